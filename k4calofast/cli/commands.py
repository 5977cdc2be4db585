"""The subcommands of `k4calofast`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from k4calofast.cli import (
    compare,
    convert,
    display,
    ensemble,
    fullsim,
    models,
    options,
    particles,
    reduce,
    refine,
    request,
    train,
    tune,
    validate,
)

_RUN, _SHOWERS, _TRAIN, _JUDGE = "Run", "Showers", "Train", "Compare"
"""Parts of the list of commands."""


app = typer.Typer(
    name="k4calofast",
    help="Calorimeter fast simulation for Key4hep: options files and models of the simulation, and "
    "samples, training and validation of generators. The simulation itself runs with "
    "`k4run fastsim.py`.",
    epilog="Example: k4calofast options copy fastsim.py",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _say_version(asked: bool) -> None:
    if asked:
        from k4calofast import __version__

        typer.echo(f"k4calofast {__version__}")
        raise typer.Exit


def _say_citation(asked: bool) -> None:
    if asked:
        from k4calofast import citation

        typer.echo(citation.text())
        raise typer.Exit


@app.callback()
def _about(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_say_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
    _citation: Annotated[
        bool,
        typer.Option(
            "--citation", callback=_say_citation, is_eager=True, help="Print how to cite and exit."
        ),
    ] = False,
) -> None:
    pass


def _add(panel: str, command: Callable[..., Any], example: str) -> None:
    """Add a command under its function's name, with an example at the end of its help."""
    app.command(rich_help_panel=panel, epilog=f"Example: k4calofast {example}")(command)


app.add_typer(options.app, name="options", rich_help_panel=_RUN)
app.add_typer(models.app, name="models", rich_help_panel=_RUN)
_add(_RUN, particles.particles, "particles events.hepmc3 events.edm4hep.root")
_add(_RUN, display.display, "display fastsim.edm4hep.root --event 3 --out event.html")
_add(_SHOWERS, fullsim.fullsim, "fullsim train.h5 -n 200000 --seed 1")
_add(
    _SHOWERS,
    request.request,
    "request models/mine/flow --reference test.h5 --out request.yaml",
)
_add(_SHOWERS, convert.convert, "convert test.h5 photons.hdf5 --pdg 22")
_add(_TRAIN, train.train, "train train.h5 models/mine/flow")
_add(_TRAIN, tune.tune, "tune train.h5 --choose choose.h5 --family vae --trials 30")
_add(_TRAIN, refine.refine, "refine models/mine/flow.work train.h5 models/mine/refined")
_add(_TRAIN, reduce.reduce, "reduce models/mine/flow test.h5 models/mine/half --kind float16")
_add(_JUDGE, validate.validate, "validate models/mine/flow --reference test.h5 --out report")
_add(_JUDGE, compare.compare, "compare report-1 report-2 --out compared.html")
_add(_JUDGE, ensemble.ensemble, "ensemble report-1 report-2 report-3 --out ensemble.md")
