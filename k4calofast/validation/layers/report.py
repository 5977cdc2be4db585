"""A validation of a generator of showers in layers: verdict, tables, and all numbers for JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

import k4calofast
from k4calofast import detector, output
from k4calofast.detector import LayeredBarrel
from k4calofast.exceptions import FileFormatError, ModelError
from k4calofast.generator import ROUNDING, Generator, Model, in_range
from k4calofast.generator.card import ModelCard, read_checked
from k4calofast.showers import layers
from k4calofast.showers.layers import LayerProvenance, LayerShowers
from k4calofast.showers.reading import Source
from k4calofast.validation.drawing import Figure
from k4calofast.validation.fidelity import Check
from k4calofast.validation.layers.comparison import (
    GATES,
    MEANINGS,
    Comparison,
    Distances,
    Row,
    compare,
)
from k4calofast.validation.layers.figures import draw
from k4calofast.validation.layers.readout import (
    Readout,
    conditions,
    full_simulation,
    generator,
)
from k4calofast.validation.layers.speed import measure
from k4calofast.validation.metrics import Value
from k4calofast.validation.report import (
    NUMBERS,
    PAGE,
    TABLES,
    Subject,
    parameters_of,
    refuse_unfit,
)

LAYOUT = "k4calofast layered validation 1"
"""Name of the JSON's layout."""

THRESHOLD = 0.25
"""MIPs from which hits are seen, if nothing else is said."""

Progress = Callable[[str], None]

_ALIKE = ("detector", "pitch", "simulation", "physics", "physics_data", "range_cut", "geometry")
"""What files of one reference must have in common."""

_COLUMNS = {
    "mean": "mean",
    "resolution": "resolution",
    "profile": "worst layer",
    "hits": "hits",
    "radius_energy": "radius, energy",
    "spread_energy": "r.m.s. radius",
    "radius_hits": "radius, hits",
}
"""Figures of a group in tables, and what they are called there."""


@dataclass(frozen=True)
class Reference:
    """Showers of full simulation that were not trained on.

    Attributes
    ----------
    showers
        All of them.
    pitch
        Size of the small cells (mm).
    said
        What they are, in words.
    again
        The same particles with other random numbers, if there are some.
    milliseconds
        Time that full simulation takes for a shower, if that is known.
    """

    showers: LayerShowers
    pitch: float
    said: str
    again: LayerShowers | None = None
    milliseconds: float | None = None

    def thinned(self, most: int) -> Reference:
        """Return at most so many showers, spread evenly."""
        rows = slice(None, None, max(-(-len(self.showers) // most), 1))
        again = None if self.again is None else self.again.take(rows)
        return replace(self, showers=self.showers.take(rows), again=again)


@dataclass(frozen=True)
class Report:
    """The result of a validation.

    Attributes
    ----------
    subject
        What is validated, and with what.
    comparison, figures
        All figures, and pictures.
    outside
        Share of the reference's energy outside the windows.
    full_simulation
        Milliseconds of full simulation per shower; None if that is not known.
    """

    subject: Subject
    comparison: Comparison
    figures: list[Figure]
    outside: float
    full_simulation: float | None

    @property
    def failures(self) -> list[Check]:
        """Figures that fail their gates."""
        return self.comparison.failures

    @property
    def verdict(self) -> str:
        """One sentence."""
        checks, beyond = self.comparison.checks, len(self.comparison.beyond)
        if self.failures:
            return f"{len(self.failures)} of {len(checks)} figures fail their gates."
        more = f"; {beyond} lie beyond by no more than chance explains" if beyond else ""
        return f"All {len(checks)} figures pass their gates{more}."

    @property
    def facts(self) -> list[str]:
        """Sentences on hits, windows and times."""
        c, speed = self.comparison, self.subject.speed
        said = [
            f"Hits are seen from {c.threshold:g} MIP ({1e6 * c.threshold * c.mip:.3g} keV).",
            f"{100 * self.outside:.2f} % of the reference's energy lie outside the windows and are "
            "compared in the sum alone.",
        ]
        if speed is not None:
            times = ", ".join(
                f"{one.milliseconds:.2f} ms in calls of {one.batch}" for one in speed.timings
            )
            said.append(f"Per shower on one core ({speed.processor}): {times}.")
        if self.full_simulation is not None:
            said.append(f"Full simulation: {self.full_simulation:.4g} ms per shower.")
        return said

    def summary(self) -> dict[str, Any]:
        """Figures for the model card; the same numbers as in `data`."""
        data = self.data()
        names = ("reference", "showers", "passed", "largest", "auc", "fails", "beyond_gates")
        return {name: data[name] for name in names}

    def data(self) -> dict[str, Any]:
        """Return all numbers, for JSON."""
        c, s = self.comparison, self.subject
        largest: dict[str, float] = {}
        for check in c.checks:
            value = round(float(abs(check.value)), 4)
            largest[check.gate] = max(value, largest.get(check.gate, 0.0))
        return {
            "layout": LAYOUT,
            "software": f"k4calofast {k4calofast.__version__}",
            "model": s.model,
            "version": s.version,
            "sha256": s.sha256,
            "detector": s.detector,
            "family": s.training.family,
            "parameters": s.parameters,
            "megabytes": round(s.megabytes, 3),
            "milliseconds_per_shower": round(s.milliseconds, 4),
            "threads": s.threads,
            "speed": None if s.speed is None else s.speed.model_dump(mode="json"),
            "full_simulation_milliseconds": self.full_simulation,
            "seed": s.seed,
            "reference": s.reference,
            "showers": s.showers,
            "left_out": s.left_out,
            "energy_outside_windows": self.outside,
            "threshold_mip": c.threshold,
            "mip": c.mip,
            "passed": not self.failures,
            "verdict": self.verdict,
            "gates": dict(s.gates),
            "meanings": MEANINGS,
            "largest": largest,
            "auc": {"observables": round(c.distances.separation.mean, 4)},
            "fails": [check.words for check in self.failures],
            "beyond_gates": [check.words for check in c.beyond],
            "checks": [_check(check) for check in c.checks],
            "generator": _distances(c.distances),
            "reference_against": c.itself_is,
            "reference_again": _distances(c.itself),
            "reference_fails": [check.words for check in c.itself.checks if check.fails],
        }

    def markdown(self) -> str:
        """Return the tables for people, without pictures."""
        s, c = self.subject, self.comparison
        area, other = c.distances.separation, c.itself.separation
        lines = [
            f"# {s.model} beside {s.reference}",
            "",
            f"**{self.verdict}** {s.showers} showers. Model file: SHA-256 `{s.sha256}`.",
            "",
            " ".join(self.facts),
            "",
        ]
        lines += [f"- fails: {check.words}" for check in self.failures]
        lines += [f"- beyond, within chance: {check.words}" for check in c.beyond]
        lines += ["", "Generator against reference:", "", *_table(c.distances, s.gates), ""]
        lines += [f"Reference against itself, {c.itself_is}:", "", *_table(c.itself, s.gates), ""]
        lines += [
            "Relative differences; of the layer that is worst, over the profile's maximum. ± is "
            "the statistical error. Bold: beyond the gate. The last column is chi2 / NDF of the "
            "hits' energies.",
            "",
            "| | generator against reference | " + c.itself_is + " |",
            "|---|---|---|",
            f"| boosted trees on the observables | {area.mean:.3f} ± {area.error:.3f} | "
            f"{other.mean:.3f} ± {other.error:.3f} |",
            "",
            "Areas under the ROC curve; 0.5 means that nothing tells the two apart.",
            "",
            "Linearity and resolution of the visible energy:",
            "",
            "| group | E/p, reference | E/p, generator | resolution, reference | resolution, "
            "generator |",
            "|---|---|---|---|---|",
            *_resolutions(c.distances.rows),
        ]
        return "\n".join(lines)


def _check(check: Check) -> dict[str, Any]:
    return {
        "gate": check.gate,
        "where": check.where,
        "value": float(check.value),
        "error": float(check.error),
        "limit": check.limit,
        "chance": check.chance,
        "fails": bool(check.fails),
        "blind": bool(check.blind),
    }


def _distances(distances: Distances) -> dict[str, Any]:
    area = distances.separation
    return {
        "rows": [row.data() for row in distances.rows],
        "spectra": {
            name: {
                "chi2_ndf": one.chi2_ndf,
                "p_value": one.p_value,
                "separation": vars(one.separation),
                "wasserstein": vars(one.wasserstein),
            }
            for name, one in distances.spectra.items()
        },
        "auc": {
            "value": area.mean,
            "error": area.error,
            "spread": area.spread,
            "p_value": area.p_value,
        },
    }


def _table(distances: Distances, gates: Mapping[str, float]) -> list[str]:
    """Lines of a table of figures; those beyond their gates are bold."""
    lines = [
        "| group | showers | " + " | ".join(_COLUMNS.values()) + " | MIP spectrum |",
        "|---|---|" + "---|" * (len(_COLUMNS) + 1),
    ]
    for row in distances.rows:
        cells = [
            f"**{_percent(value)}**" if abs(value.value) > gates[name] else _percent(value)
            for name, value in shown(row).items()
        ]
        spectrum = "-" if row.spectrum is None else f"{row.spectrum:.2f}"
        lines.append(f"| {row.group.where} | {row.showers} | {' | '.join(cells)} | {spectrum} |")
    return lines


def shown(row: Row) -> dict[str, Value]:
    """Figures of a row that tables show, in their order."""
    return {name: row.figures[name] for name in _COLUMNS}


def titles() -> list[str]:
    """What those are called."""
    return list(_COLUMNS.values())


def _percent(value: Value) -> str:
    return f"{100 * value.value:+.2f} ± {100 * value.error:.2f} %"


def _resolutions(rows: list[Row]) -> list[str]:
    lines = []
    for row in rows:
        means, widths = (
            [getattr(side, name) for side in (row.reference, row.generated)]
            for name in ("response", "resolution")
        )
        cells = [f"{1e3 * one.value:.3f} ± {1e3 * one.error:.3f} MeV/GeV" for one in means]
        cells += [f"{100 * one.value:.2f} ± {100 * one.error:.2f} %" for one in widths]
        lines.append(f"| {row.group.where} | {' | '.join(cells)} |")
    return lines


def read(
    card: ModelCard,
    files: list[Path],
    again: list[Path],
    milliseconds: float | None = None,
) -> Reference:
    """Read a reference of one or more files, one for each direction, say.

    Parameters
    ----------
    again
        Repetitions of the files, in the same order; or none.
    milliseconds
        Time that full simulation takes for a shower.

    Raises
    ------
    FileFormatError
        If files cannot be read, or are not of one simulation.
    ModelError
        If the reference is of another detector, or has the seed of the training sample.
    """
    showers, said = _joined(files)
    for file, one in zip(files, said, strict=True):
        refuse_unfit(card, file, Source(one.detector, one.simulation, one.seed))
    seeds = ", ".join("unknown" if one.seed is None else str(one.seed) for one in said)
    first = said[0]
    described = f"{first.simulation}, {first.physics}, seed {seeds}"
    repeated = _joined(again)[0] if again else None
    return Reference(showers, first.pitch, described, repeated, milliseconds)


def _joined(files: list[Path]) -> tuple[LayerShowers, list[LayerProvenance]]:
    parts = [layers.read(file) for file in files]
    first = parts[0][1]
    for file, (_, one) in zip(files, parts, strict=True):
        for name in _ALIKE:
            if getattr(one, name) != getattr(first, name):
                raise FileFormatError(
                    f"{files[0]} and {file} differ in {name}: {getattr(first, name)}, "
                    f"{getattr(one, name)}"
                )
    showers = LayerShowers.concatenate([part for part, _ in parts])
    if not len(showers):
        raise FileFormatError(f"{files[0]}: holds no showers")
    return showers, [one for _, one in parts]


def validate(
    model: Generator,
    reference: Reference,
    seed: int = 0,
    threshold: float = THRESHOLD,
    progress: Progress = lambda _: None,
    pictures: bool = True,
    speed: bool = True,
) -> Report:
    """Compare a generator with full simulation, as cells at random places see both.

    Parameters
    ----------
    seed
        Of the generator's noise, and of where cells lie.
    threshold
        MIPs from which hits are seen.
    progress
        Called with what comes next.
    pictures
        Whether to draw figures.
    speed
        Whether to measure the time per shower on one core: a few seconds.

    Raises
    ------
    ModelError
        If the model does not simulate what is in the reference.
    FileFormatError
        If the repetition has other particles, or if there are too few showers.
    """
    card, again = model.card, reference.again
    barrel = detector.load(card.detector)
    if not isinstance(barrel, LayeredBarrel) or not card.layered:
        raise ModelError(f"model '{card.name}' does not generate showers in layers")
    readout = Readout.of(barrel, reference.pitch, card.window[-1], threshold)
    inside = comparable(card, reference.showers, readout, seed)
    if again is not None:
        _refuse_others(reference.showers, again)
        again = again.take(inside)
    showers = reference.showers.take(inside)
    progress("full simulation in cells")
    there = full_simulation(showers, readout, seed)
    twin = None if again is None else full_simulation(again, readout, seed)
    progress("generate")
    began = perf_counter()
    here = generator(model, showers, readout, seed)
    milliseconds = 1e3 * (perf_counter() - began) / len(showers)
    gates = GATES | card.gates
    comparison = compare(there, here, twin, barrel.n_layers, barrel.mip, threshold, gates, progress)
    measured = None
    if speed:
        progress("speed on one core")
        measured = measure(model, showers, readout)
    subject = Subject(
        card.name,
        card.version,
        card.sha256,
        card.detector,
        card.training,
        *_file(model),
        reference.said,
        len(showers),
        int((~inside).sum()),
        milliseconds,
        model.threads if isinstance(model, Model) else 1,
        gates,
        measured,
        seed,
    )
    outside = float(there.outside.sum() / max(showers.energy.sum(dtype=np.float64), 1e-12))
    figures = draw(comparison, readout, progress) if pictures else []
    return Report(subject, comparison, figures, outside, reference.milliseconds)


def _file(model: Generator) -> tuple[int | None, float]:
    """Numbers in the tensors of a model's file, and its size in MB."""
    if not isinstance(model, Model):
        return None, 0.0
    content = read_checked(model.folder, model.card)
    return parameters_of(content), 1e-6 * len(content)


def _refuse_others(showers: LayerShowers, again: LayerShowers) -> None:
    for name in ("pdg", "momentum", "angle_t", "angle_z"):
        if not np.array_equal(getattr(showers, name), getattr(again, name)):
            raise FileFormatError("the repetition has other particles than the reference")


def comparable(
    card: ModelCard, showers: LayerShowers, readout: Readout, seed: int
) -> npt.NDArray[np.bool_]:
    """Return which showers (N,) of a reference a generator can be compared with.

    Raises
    ------
    ModelError
        If there are kinds that the model does not simulate, or no showers in its range.
    """
    unknown = set(np.unique(showers.pdg).tolist()) - set(card.kinds)
    if unknown:
        raise ModelError(f"model '{card.name}' does not simulate the kinds {sorted(unknown)}")
    values = conditions(showers, readout.windows(showers, readout.phases(len(showers), seed)))
    inside = in_range(card, showers.pdg, values, ROUNDING)
    if not inside.any():
        raise ModelError(f"no shower of the sample is in the range of model '{card.name}'")
    return inside


def write(report: Report, folder: Path) -> None:
    """Write the page, the JSON and the tables; they have their names only when complete."""
    from k4calofast.validation.layers.page import html

    output.write(folder / PAGE, html(report))
    output.write(folder / NUMBERS, json.dumps(report.data(), indent=1) + "\n")
    output.write(folder / TABLES, report.markdown() + "\n")
