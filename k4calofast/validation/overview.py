"""What physicists choose generators by: a few figures of a validation, once for all.

A report writes them, and several reports make a table of them. Reports from before there were any
have the figures that these are taken from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from k4calofast.validation.fidelity import NAMES
from k4calofast.validation.speed import Speed


class _Read(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Measured(_Read):
    """A figure, its standard error, and where it was found."""

    value: float
    error: float
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
    failed, checks
        Gates that fail, of how many; None where that was not counted.
    """

    mean_energy: Measured | None
    resolution: Measured | None
    closure: Measured | None
    auc: dict[str, Measured]
    fpd: Measured | None
    failed: int | None
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


class _Row(_Read):
    pdg: int
    momentum: float
    mean: Measured
    width: Measured


class _Bin(_Read):
    pdg: int
    condition: str
    low: float
    high: float
    observable: str
    shift: float
    error: float


class _Area(_Read):
    auc: float
    error: float


class _Distances(_Read):
    classifiers: dict[str, _Area]
    fpd: Measured | None = None


class _Check(_Read):
    fails: bool


class _Figures(_Read):
    """Figures of a report's JSON."""

    rows: list[_Row]
    closure: list[_Bin]
    distances: _Distances
    checks: list[_Check] | None


def fidelity(figures: dict[str, Any]) -> Fidelity:
    """Take the worst of all figures.

    Parameters
    ----------
    figures
        ``rows``, ``closure``, ``distances`` and ``checks`` as in a report's JSON; the last may be
        None.

    Raises
    ------
    pydantic.ValidationError
        If they are not.
    """
    all_of_them = _Figures.model_validate(figures)
    rows, checks = all_of_them.rows, all_of_them.checks
    places = [f"{NAMES.get(row.pdg, row.pdg)} at {row.momentum:.3g} GeV" for row in rows]
    closure = [
        Measured(
            value=one.shift,
            error=one.error,
            where=f"{NAMES.get(one.pdg, one.pdg)}, {one.observable} for {one.condition} "
            f"{one.low:.3g} to {one.high:.3g}",
        )
        for one in all_of_them.closure
    ]
    return Fidelity(
        mean_energy=_worst([row.mean for row in rows], places),
        resolution=_worst([row.width for row in rows], places),
        closure=_worst(closure, [one.where for one in closure]),
        auc={
            name: Measured(value=area.auc, error=area.error)
            for name, area in all_of_them.distances.classifiers.items()
        },
        fpd=all_of_them.distances.fpd,
        failed=None if checks is None else sum(check.fails for check in checks),
        checks=None if checks is None else len(checks),
    )


def of_an_old_report(data: dict[str, Any]) -> dict[str, Any]:
    """Overview, as JSON, of a report that was written before there was any.

    Raises
    ------
    KeyError, pydantic.ValidationError
        If figures are missing.
    """
    reference = {
        "rows": data["reference_again"],
        "closure": [],
        "distances": data["reference_distances"],
        "checks": None,
    }
    return {
        "parameters": data["parameters"],
        "generator": fidelity(data).model_dump(),
        "itself": fidelity(reference).model_dump(),
        "itself_is": data["reference_against"],
    }


def _worst(figures: Sequence[Measured], places: Sequence[str]) -> Measured | None:
    """The largest figure and its place; None if there are none."""
    pairs = zip(figures, places, strict=True)
    worst, place = max(pairs, key=lambda pair: abs(pair[0].value), default=(None, ""))
    return None if worst is None else worst.model_copy(update={"where": place})
