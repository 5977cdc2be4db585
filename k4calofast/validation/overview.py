"""What physicists choose generators by: a few figures of a validation, once for all.

A report writes them, and several reports make a table of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from k4calofast.validation.metrics import Value
from k4calofast.validation.results import Distances
from k4calofast.validation.speed import Speed


class _Read(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


@dataclass(frozen=True)
class Measured(Value):
    """A figure, its standard error, and where it was found."""

    where: str = ""


class Fidelity(_Read):
    """How near one sample is to another.

    Attributes
    ----------
    mean_energy, resolution
        The worst relative differences of the mean and of the 68 % width of the window energy over
        kinds and momenta.
    closure
        The worst shift of an observable's mean in a bin of a condition, in units of its spread.
    auc
        Areas under the ROC curves of the classifiers: on the observables, which the literature
        calls high-level; on the cells, low-level; and of the network.
    fpd
        Frechet distance of the observables.
    failed, unresolved, checks
        Figures that fail their gates, and that their samples are too small for, of how many; None
        where that was not counted.
    """

    mean_energy: Measured | None
    resolution: Measured | None
    closure: Measured | None
    auc: dict[str, Measured]
    fpd: Measured | None
    failed: int | None
    unresolved: int | None = None
    checks: int | None


class Compared(_Read):
    """A figure beside its gate; see `k4calofast.validation.fidelity.Check`."""

    gate: str
    where: str
    value: float
    error: float
    limit: float


class Overview(_Read):
    """What a table says of a generator; None is unknown.

    Attributes
    ----------
    family, method
        Title of its family, and how it was trained, in words.
    parameters, megabytes
        Numbers in the tensors of the ONNX file, and its size.
    showers, minutes, machine
        Showers it was trained on, for how long, on what.
    speed
        Times per shower.
    generator, itself
        Against the reference, and the reference against itself.
    itself_is
        A repetition of the reference, or halves.
    """

    family: str | None = None
    method: str | None = None
    parameters: int | None = None
    megabytes: float | None = None
    showers: int | None = None
    minutes: float | None = None
    machine: str | None = None
    speed: Speed | None = None
    generator: Fidelity
    itself: Fidelity
    itself_is: str


def fidelity(distances: Distances, energy: Sequence[str], resolution: Sequence[str]) -> Fidelity:
    """Take the worst of all figures; those of energy and resolution have one of these names."""

    def worst(names: Sequence[str]) -> Measured | None:
        return _worst(
            {
                row.group.where: row.figures[name]
                for row in distances.rows
                for name in names
                if name in row.figures
            }
        )

    closure = {bin_.where(bin_.observable): bin_.figure for bin_ in distances.closure}
    return Fidelity(
        mean_energy=worst(energy),
        resolution=worst(resolution),
        closure=_worst(closure),
        auc={name: Measured(area.mean, area.error) for name, area in distances.separations.items()},
        fpd=Measured(**vars(distances.clouds["fpd"])),
        failed=sum(check.fails for check in distances.checks),
        unresolved=sum(check.blind for check in distances.checks),
        checks=len(distances.checks),
    )


def _worst(figures: Mapping[str, Value]) -> Measured | None:
    """The largest figure and its place; None if there are none."""
    where = max(figures, key=lambda place: abs(figures[place].value), default=None)
    return None if where is None else Measured(**vars(figures[where]), where=where)
