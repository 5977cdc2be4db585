"""What active learning saves: fewer showers, simulated where a generator is worst.

python benchmarks/active_learning.py POOL.h5 REFERENCE.h5

No Geant4 runs here: showers are drawn from a large pool that was simulated before, by chance or
with the density that `k4calofast request` asks for. Generators are trained on both, and their
closure is measured with showers of the pool that nobody trains on; requests are made with
REFERENCE. The same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from k4calofast import detector
from k4calofast.arrays import Floats, Indices
from k4calofast.detector.crystals import CONDITIONS
from k4calofast.fullsim.request import Request
from k4calofast.generator import Model
from k4calofast.showers import crystals
from k4calofast.showers.crystals import CrystalShowers
from k4calofast.training import configuration, recipe
from k4calofast.training.families import settings_of
from k4calofast.validation.closure import closure
from k4calofast.validation.crystals.kind import KIND
from k4calofast.validation.crystals.readout import Crystals
from k4calofast.validation.request import POWER, request
from k4calofast.validation.results import Sample

SMALL: dict[str, dict[str, Any]] = {
    "flow_matching": {
        "width": 96,
        "blocks": 3,
        "steps": 4000,
        "batch": 256,
        "jumps": 2,
        "distillation_steps": 400,
        "distillation_batch": 128,
        "precision": "32-true",
    },
    "library": {"bin": 16},
}
"""Settings of a training of seconds to a minute, where --set says nothing else."""

COMMON = {"block": 256}

FIGURES = {"closure": "rms of the shifts beyond chance", "worst": "largest shift"}
UNIFORM, ACTIVE = "uniform", "by request"


@dataclass(frozen=True)
class Point:
    """Closure of one generator.

    Attributes
    ----------
    seed, strategy, showers
        Of the training sample and of the training.
    closure
        Root of the mean squared shift over all bins and observables, without what chance does.
    worst
        Largest shift of all.
    seconds
        Of the training.
    """

    seed: int
    strategy: str
    showers: int
    closure: float
    worst: float
    seconds: float


class Study:
    """Trainings on parts of a pool.

    Parameters
    ----------
    pool, provenance
        Showers to choose from, and where they come from.
    asked_by
        The reference of requests.
    measured
        The reference of the closure.
    family, settings
        Of the generators.
    power
        See `k4calofast.validation.request.request`.
    alike
        Whether requests leave the kinds alike.
    lacking
        Condition, and the range of it that the first sample does not have.
    """

    def __init__(
        self,
        pool: CrystalShowers,
        provenance: crystals.CrystalProvenance,
        asked_by: CrystalShowers,
        measured: CrystalShowers,
        family: str,
        settings: configuration.Settings,
        power: float,
        alike: bool,
        lacking: tuple[str, float, float] | None = None,
    ) -> None:
        self.pool, self.provenance = pool, provenance
        self.power, self.alike = power, alike
        self.family, self.settings = family, settings
        geometry = detector.load_crystals(provenance.detector)
        self.readout = Crystals(geometry, settings.threshold)
        self.asked_by, self.measured = (
            self.readout.observed(self.readout.simulated(showers))
            for showers in (asked_by, measured)
        )
        self.lacking = np.zeros(len(pool), np.bool_)
        if lacking is not None:
            name, low, high = lacking
            values = pool.conditions[:, [one.name for one in CONDITIONS].index(name)]
            self.lacking = (values >= low) & (values <= high)
        self.kinds = {
            int(pdg): np.flatnonzero(pool.pdg == pdg) for pdg in sorted(provenance.coverage)
        }

    def trained(self, rows: Indices, seed: int) -> tuple[Model, float]:
        """Train a generator on rows of the pool; return it, and how long it took (s)."""
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            crystals.write(folder / "sample.h5", [self.pool.take(np.sort(rows))], self.provenance)
            began = perf_counter()
            output = folder / "study" / self.family
            settings = self.settings.model_copy(update={"seed": seed})
            task = recipe.Task(self.family, settings, folder / "sample.h5")
            recipe.train(task, recipe.Product(output, folder / "work", "study"))
            return Model(output, "cpu"), perf_counter() - began

    def made(self, model: Model, reference: Sample, seed: int) -> Sample:
        """What a generator makes at the conditions of showers."""
        return self.readout.observed(self.readout.generated(model, reference.showers, seed))

    def point(self, seed: int, strategy: str, rows: Indices, size: int) -> tuple[Point, Model]:
        """Train on rows of the pool, `size` but for rounding, and measure the closure."""
        model, seconds = self.trained(rows, seed)
        generated = self.made(model, self.measured, seed)
        bins = closure(self.measured, generated, KIND.conditions, KIND.compared)
        excess = float(np.mean([bin_.shift**2 - bin_.error**2 for bin_ in bins]))
        worst = max(abs(bin_.shift) for bin_ in bins)
        return Point(seed, strategy, size, max(excess, 0.0) ** 0.5, worst, seconds), model

    def asked(self, model: Model, seed: int) -> Request:
        """What the generator asks for."""
        generated = self.made(model, self.asked_by, seed)
        name = self.provenance.detector
        return request(KIND, self.asked_by, generated, name, "study", power=self.power)

    def first(self, seed: int, size: int) -> Indices:
        """Rows of the first sample, as many of each kind."""
        rng = np.random.default_rng((seed, 0))
        parts = []
        for rows in self.kinds.values():
            mixed = rng.permutation(rows)
            parts.append(mixed[~self.lacking[mixed]][: size // len(self.kinds)])
        return np.concatenate(parts)

    def by_chance(self, seed: int, taken: Indices, count: int) -> Indices:
        """Rows that are taken already, and more; a larger number begins with the same rows."""
        rng = np.random.default_rng((seed, 1))
        free = self._free(taken)
        parts = [taken]
        for rows in self.kinds.values():
            mixed = rng.permutation(rows)
            parts.append(mixed[free[mixed]][: count // len(self.kinds)])
        return np.concatenate(parts)

    def on_request(
        self, rng: np.random.Generator, taken: Indices, count: int, wish: Request
    ) -> Indices:
        """Rows that are taken already, and more with the density of a request, none twice."""
        kinds = tuple(self.kinds)
        mean = count // len(kinds)
        counts = dict.fromkeys(kinds, mean) if self.alike else wish.counts(kinds, mean)
        free = self._free(taken)
        parts = [taken]
        for pdg, rows in self.kinds.items():
            there = rows[free[rows]]
            density = wish.density(pdg, self.pool.take(there))
            chosen = rng.choice(there, counts[pdg], replace=False, p=density / density.sum())
            parts.append(chosen)
        return np.concatenate(parts)

    def _free(self, taken: Indices) -> npt.NDArray[np.bool_]:
        free = np.ones(len(self.pool), np.bool_)
        free[taken] = False
        return free


def points(
    study: Study, seed: int, sizes: list[int], rounds: int, known: set[tuple[str, int]]
) -> Iterator[Point]:
    """Yield the points of one seed that are not known: all sizes by chance, some on request."""
    rows, first = study.first(seed, sizes[0]), None
    for size in sizes:
        if (UNIFORM, size) not in known:
            more = study.by_chance(seed, rows, size - sizes[0])
            point, model = study.point(seed, UNIFORM, more, size)
            first = model if size == sizes[0] else first
            yield point
    steps = list(pairwise(sizes[: rounds + 1]))
    if all((ACTIVE, size) in known for _, size in steps):
        return
    rng = np.random.default_rng((seed, 2))
    model = study.trained(rows, seed)[0] if first is None else first
    for before, size in steps:
        rows = study.on_request(rng, rows, size - before, study.asked(model, seed))
        point, model = study.point(seed, ACTIVE, rows, size)
        if (ACTIVE, size) not in known:
            yield point


@dataclass(frozen=True)
class Saving:
    """What a request saves at one size.

    Attributes
    ----------
    showers
        Size of the sample.
    lower
        The figure on request over that by chance at the same size, and its error.
    further
        Further showers by chance for the same figure, over those on request, and its error; NaN
        where the figures by chance do not fall from size to size.
    """

    showers: int
    lower: tuple[float, float]
    further: tuple[float, float]


def savings(found: list[Point], figure: str) -> list[Saving]:
    """Compare the strategies; seeds are independent repetitions, errors are jackknifed over them.

    Between sizes, and beyond, figures by chance follow power laws.
    """
    values = {(one.seed, one.strategy, one.showers): getattr(one, figure) for one in found}
    sizes = sorted({one.showers for one in found if one.strategy == UNIFORM})
    asked = sorted({one.showers for one in found if one.strategy == ACTIVE})
    keys = [(UNIFORM, size) for size in sizes] + [(ACTIVE, size) for size in asked]
    seeds = [
        seed
        for seed in sorted({one.seed for one in found})
        if all((seed, *key) in values for key in keys)
    ]
    if not seeds:
        return []
    logarithms = np.log([[max(values[(seed, *key)], 1e-6) for key in keys] for seed in seeds])
    result = []
    for number, size in enumerate(asked):

        def compared(rows: Floats, number: int = number, size: int = size) -> Floats:
            mean = rows.mean(0)
            there, here = mean[: len(sizes)], float(mean[len(sizes) + number])
            lower = np.exp(here - there[sizes.index(size)])
            return np.array([lower, (_size_for(here, sizes, there) - sizes[0]) / (size - sizes[0])])

        value, count = compared(logarithms), len(seeds)
        error = np.full(2, np.nan)
        if count > 1:
            left = np.array([compared(np.delete(logarithms, one, 0)) for one in range(count)])
            error = np.sqrt((count - 1) * ((left - left.mean(0)) ** 2).mean(0))
        lower, further = zip(value.tolist(), error.tolist(), strict=True)
        result.append(Saving(size, lower, further))
    return result


def _size_for(figure: float, sizes: list[int], figures: Floats) -> float:
    """Size at which a falling figure has a value, all but the size in logarithms."""
    if not (np.diff(figures) < 0).all():
        return np.nan
    place = int(np.clip(np.searchsorted(-figures, -figure), 1, len(sizes) - 1))
    (before, after), ends = figures[place - 1 : place + 1], np.log(sizes[place - 1 : place + 1])
    part = (figure - before) / (after - before)
    return float(np.exp(ends[0] + part * (ends[1] - ends[0])))


def table(found: list[Point]) -> str:
    """Figures and savings, in Markdown."""
    count = len({one.seed for one in found})
    lines = [
        f"| showers | chosen | {FIGURES['closure']} | {FIGURES['worst']} |",
        "|---|---|---|---|",
    ]
    for strategy in (UNIFORM, ACTIVE):
        for size in sorted({one.showers for one in found if one.strategy == strategy}):
            cells = []
            for figure in FIGURES:
                mean, error = _mean(found, strategy, size, figure)
                cells.append(f"{mean:.4f} ± {error:.4f}")
            lines.append(f"| {size} | {strategy} | {' | '.join(cells)} |")
    lines += [
        "",
        f"Means and standard errors of {count} seeds, shifts in units of the spread.",
        "",
        "| showers, the further ones on request | figure | over that by chance | further showers "
        "by chance for the same, over those on request |",
        "|---|---|---|---|",
    ]
    for figure, title in FIGURES.items():
        for one in savings(found, figure):
            cells = [_said(*one.lower), _said(*one.further)]
            lines.append(f"| {one.showers} | {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _mean(found: list[Point], strategy: str, size: int, figure: str) -> tuple[float, float]:
    values = [
        getattr(one, figure) for one in found if (one.strategy, one.showers) == (strategy, size)
    ]
    error = np.std(values, ddof=1) / len(values) ** 0.5 if len(values) > 1 else np.nan
    return float(np.mean(values)), float(error)


def _said(value: float, error: float) -> str:
    if np.isnan(value):
        return "cannot be said"
    return f"{value:.2f}, error unknown" if np.isnan(error) else f"{value:.2f} ± {error:.2f}"


def picture(found: list[Point], file: Path) -> None:
    """Figures over the size of the sample."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "k4calofast"
    import matplotlib.pyplot as plt
    from matplotlib.ticker import NullFormatter, ScalarFormatter

    figure, panels = plt.subplots(1, len(FIGURES), figsize=(7.5, 3.0), layout="constrained")
    for panel, (name, title) in zip(panels, FIGURES.items(), strict=True):
        for strategy, marker in ((UNIFORM, "o"), (ACTIVE, "s")):
            sizes = sorted({one.showers for one in found if one.strategy == strategy})
            values = np.array([_mean(found, strategy, size, name) for size in sizes])
            panel.errorbar(
                sizes, values[:, 0], values[:, 1], marker=marker, capsize=2, label=strategy
            )
        panel.set(xscale="log", yscale="log", xlabel="showers trained on", ylabel=title)
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_minor_formatter(NullFormatter())
            axis.set_major_formatter(ScalarFormatter())
        panel.set_xticks(sorted({one.showers for one in found}))
        low, high = panel.get_ylim()
        panel.set_yticks([tick for tick in _ticks() if low <= tick <= high])
    panels[0].legend(frameon=False)
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)


def _ticks() -> list[float]:
    return [base * 10.0**power for power in range(-3, 1) for base in (1, 1.5, 2, 3, 4, 5, 7)]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pool", type=Path, help="large sample, drawn without a request")
    parser.add_argument("reference", type=Path, help="sample with another seed, for requests")
    parser.add_argument("--family", default="library")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--first", type=int, default=6144, help="showers of the first training")
    parser.add_argument("--grow", type=float, default=2, help="times more showers in each round")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--beyond", type=int, default=1, help="further rounds, by chance alone")
    parser.add_argument(
        "--alike",
        action="store_true",
        help="ask for as many of each kind: a library leaves out what one kind has more",
    )
    parser.add_argument(
        "--lacking",
        nargs=3,
        metavar=("CONDITION", "LOW", "HIGH"),
        help="what the first sample does not have",
    )
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--measured", type=int, default=90_000, help="of the pool, not trained on")
    parser.add_argument(
        "--power", type=float, default=POWER, help="see `k4calofast request --help`"
    )
    parser.add_argument("--work", type=Path, default=Path("active_learning.work"))
    parser.add_argument("--out", type=Path, help="figure to write, .svg or .png")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    read = configuration.read(given.family, None, given.set, "")
    values = {**COMMON, **SMALL.get(given.family, {}), **read.values}
    settings = settings_of(read.family).model_validate(values)
    sample, provenance = crystals.read(given.pool)
    asked_by, _ = crystals.read(given.reference)
    kept = len(sample) - given.measured
    sizes = [
        round(given.first * given.grow**number) for number in range(given.rounds + given.beyond + 1)
    ]
    if sizes[-1] > kept // 2:
        raise SystemExit(f"{sizes[-1]} showers are too many of a pool of {kept}")
    lacking = None
    if given.lacking is not None:
        name, low, high = given.lacking
        lacking = (name, float(low), float(high))
    study = Study(
        sample.take(slice(0, kept)),
        provenance,
        asked_by,
        sample.take(slice(kept, None)),
        read.family,
        settings,
        given.power,
        given.alike,
        lacking,
    )
    identity = json.dumps(
        {
            "settings": settings.model_dump(mode="json"),
            **{
                name: str(getattr(given, name))
                for name in ("pool", "reference", "family", "measured", "power", "alike", "lacking")
            },
        }
    )
    found = list(_taken_up(given.work, identity))
    wanted = {(UNIFORM, size) for size in sizes}
    wanted |= {(ACTIVE, size) for size in sizes[1 : given.rounds + 1]}
    for seed in range(given.seeds):
        known = {(one.strategy, one.showers) for one in found if one.seed == seed}
        for point in points(study, seed, sizes, given.rounds, known):
            print(point, flush=True)
            found.append(point)
            with (given.work / "points.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(point)) + "\n")
    found = [
        one for one in found if one.seed < given.seeds and (one.strategy, one.showers) in wanted
    ]
    print(table(found))
    if given.out is not None:
        picture(found, given.out)


def _taken_up(work: Path, identity: str) -> Iterator[Point]:
    """Points that were found before, after making sure that they are of the same study."""
    work.mkdir(parents=True, exist_ok=True)
    file = work / "study.json"
    if not file.is_file():
        file.write_text(identity, encoding="utf-8")
    elif file.read_text(encoding="utf-8") != identity:
        raise SystemExit(f"{work} is of another study; remove it, or choose another --work")
    there = work / "points.jsonl"
    if there.is_file():
        lines: list[dict[str, Any]] = [json.loads(line) for line in there.read_text().splitlines()]
        yield from (Point(**line) for line in lines)


if __name__ == "__main__":
    main()
