"""`k4calofast tune`: a search for the settings of a family."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from k4calofast.cli import training
from k4calofast.training import families

if TYPE_CHECKING:
    import optuna
    from rich.table import Table

_SHOWN = 10
"""Trials in the table."""


def tune(
    sample: Annotated[Path, typer.Argument(help="Showers: HDF5, EDM4hep or rtraw.")],
    choose: Annotated[
        Path, typer.Option(help="Sample with another seed, by which trials are compared.")
    ],
    family: training.Family = None,
    config: Annotated[
        Path | None, typer.Option(help="Settings in YAML that the search starts from.")
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A setting that is not searched."),
    ] = None,
    space: Annotated[
        Path | None,
        typer.Option(
            help="Settings to search, in YAML: {low, high, log} or a list of choices for each. "
            "Rates and widths if not given; --show prints them."
        ),
    ] = None,
    objective: Annotated[
        str,
        typer.Option(
            help="What to make small: chi2, fpd or auc_observables; for crystals auc_cells or "
            "closure, too. Layers have too many cells for a classifier of cells."
        ),
    ] = "chi2",
    trials: Annotated[int, typer.Option(min=1, help="Trials in the study, all together.")] = 20,
    prune: Annotated[
        bool, typer.Option(help="Give up trials that are worse than the median at the same place.")
    ] = True,
    out: Annotated[
        Path, typer.Option(help="Folder for the trials, best.yaml and history.png.")
    ] = Path("tune"),
    storage: Annotated[
        str | None,
        typer.Option(help="URL of a database, for workers on many machines; SQLite in --out."),
    ] = None,
    study: Annotated[str, typer.Option(help="Name of the study in the database.")] = "tune",
    seed: Annotated[int, typer.Option(min=0, help="Seed of what is tried.")] = 0,
    hits: training.Hits = "EMCBarrelCollection",
    particles: training.Particles = "MCParticles",
    binning: training.Binning = None,
    detector: training.Detector = None,
    device: training.Device = "auto",
    show: Annotated[
        bool, typer.Option("--show", help="Print the settings to search and do nothing else.")
    ] = False,
) -> None:
    """Search for the settings of a family by training many times.

    The same command again goes on where a killed one stopped; several at once share the trials.
    """
    from k4calofast.training import configuration

    found = configuration.read(family, config, assignments or [], families.DEFAULT)
    training.require_packages()
    from k4calofast.validation import metrics

    metrics.require_packages()
    from k4calofast.showers.reading import Hints
    from k4calofast.training import space as spaces
    from k4calofast.training import tuning

    base = found.settings(families.settings_of(found.family))
    fixed = [assignment.partition("=")[0] for assignment in assignments or []]
    searched = spaces.searched(space, found.family, base, fixed)
    if show:
        typer.echo(spaces.text(searched), nl=False)
        return
    search = tuning.Search(
        sample,
        choose,
        found.family,
        base,
        searched,
        objective,
        seed,
        prune,
        training.device(device),
        Hints(hits, particles, binning, detector),
        training.command(),
    )
    done = tuning.tune(search, out, trials, training.progress, typer.echo, storage, study)
    best = tuning.completed(done)
    from rich.console import Console

    Console().print(_table(best, list(searched), objective))
    typer.echo(f"{out / tuning.BEST}: trial {best[0].number}, {objective} {best[0].value:.4g}")


def _table(best: list[optuna.trial.FrozenTrial], names: list[str], objective: str) -> Table:
    from rich.table import Table

    table = Table()
    for title in ("trial", objective, "minutes", *names):
        table.add_column(title)
    for trial in best[:_SHOWN]:
        values = (trial.params[name] for name in names)
        table.add_row(
            str(trial.number),
            f"{trial.value:.4g}",
            str(trial.user_attrs["minutes"]),
            *(f"{value:.3g}" if isinstance(value, float) else str(value) for value in values),
        )
    return table
