"""A validation: a generator beside a reference, its verdict, and all numbers for JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

import k4calofast
from k4calofast import detector, output
from k4calofast.exceptions import FileFormatError, ModelError
from k4calofast.generator import ROUNDING, Model, ShowerKeys, generate, in_range
from k4calofast.generator.card import ModelCard, Training, read_checked
from k4calofast.showers.crystals import CrystalShowers
from k4calofast.showers.reading import Source
from k4calofast.validation.crystals.comparison import (
    CLASSIFIERS,
    Comparison,
    Distances,
    Reconstructed,
    compare_samples,
)
from k4calofast.validation.crystals.figures import Samples, draw
from k4calofast.validation.drawing import Figure
from k4calofast.validation.fidelity import GATES, MEANINGS, NAMES, Check, Row
from k4calofast.validation.metrics import Value
from k4calofast.validation.overview import Overview, fidelity
from k4calofast.validation.speed import Speed, measure

LAYOUT = "k4calofast validation 2"

PAGE, NUMBERS, TABLES = "index.html", "report.json", "report.md"
"""Files of a report: the page, all numbers, and the tables alone."""
"""Name of the JSON's layout."""

Progress = Callable[[str], None]

_COLUMNS = {
    "mean": "mean",
    "width": "68 % width",
    "e1_e9": "E1/E3x3",
    "e9_e25": "E3x3/E5x5",
    "lateral": "lateral",
}


@dataclass(frozen=True)
class Subject:
    """What is validated, and with what.

    Attributes
    ----------
    model, version, sha256, detector, training
        The generator, and how it was made.
    parameters, megabytes
        Numbers in its tensors, None where they were not counted; size of the ONNX file.
    reference
        In words.
    showers, left_out
        Showers compared, and those of the reference outside the model's range.
    milliseconds, threads
        Per shower of the validation, noise included; threads of the inference.
    gates
        Limits.
    speed
        Times per shower on one core; None if they were not measured.
    seed
        Of the generator's noise.
    """

    model: str
    version: str
    sha256: str
    detector: str
    training: Training
    parameters: int | None
    megabytes: float
    reference: str
    showers: int
    left_out: int
    milliseconds: float
    threads: int
    gates: Mapping[str, float]
    speed: Speed | None
    seed: int


@dataclass(frozen=True)
class Report:
    """The result of a validation."""

    subject: Subject
    comparison: Comparison
    figures: list[Figure]

    @property
    def failures(self) -> list[Check]:
        """Figures that fail their gates."""
        return self.comparison.failures

    @property
    def verdict(self) -> str:
        """One sentence."""
        checks = self.comparison.checks
        if not self.failures:
            beyond = len(self.comparison.beyond)
            more = f"; {beyond} lie beyond by no more than chance explains" if beyond else ""
            return f"All {len(checks)} figures pass their gates{more}."
        return f"{len(self.failures)} of {len(checks)} figures fail their gates."

    def summary(self) -> dict[str, Any]:
        """Figures for the model card; the same numbers as in `data`."""
        data = self.data()
        return {
            name: data[name]
            for name in (
                "reference",
                "showers",
                "passed",
                "largest",
                "auc",
                "fails",
                "beyond_gates",
            )
        }

    def data(self) -> dict[str, Any]:
        """Return all numbers, for JSON."""
        c, s = self.comparison, self.subject
        largest: dict[str, float] = {}
        for check in c.checks:
            value = round(float(abs(check.value)), 4)
            largest[check.gate] = max(value, largest.get(check.gate, 0.0))
        data = {
            "layout": LAYOUT,
            "software": f"k4calofast {k4calofast.__version__}",
            "model": s.model,
            "version": s.version,
            "sha256": s.sha256,
            "detector": s.detector,
            "parameters": s.parameters,
            "milliseconds_per_shower": round(s.milliseconds, 4),
            "threads": s.threads,
            "seed": s.seed,
            "reference": s.reference,
            "showers": s.showers,
            "left_out": s.left_out,
            "passed": not self.failures,
            "verdict": self.verdict,
            "gates": dict(s.gates),
            "meanings": MEANINGS,
            "largest": largest,
            "auc": {name: round(c.distances.separations[name].mean, 4) for name in CLASSIFIERS},
            "fails": [check.words for check in self.failures],
            "beyond_gates": [check.words for check in c.beyond],
            "checks": [_check(check) for check in c.checks],
            "worst_bins": [vars(one) for one in c.worst_bins()],
            "rows": [row.data() for row in c.rows],
            "reference_again": [row.data() for row in c.again],
            "distances": _distances(c.distances),
            "reference_against": c.itself_is,
            "reference_distances": _distances(c.itself),
            "reconstruction": {
                "reference": _reconstruction(c.reference),
                "generator": _reconstruction(c.generated),
            },
            "closure": [vars(one) for one in c.closure],
        }
        plain = _plain(data)
        plain["overview"] = self._overview(plain).model_dump(mode="json")
        return plain

    def _overview(self, data: dict[str, Any]) -> Overview:
        """The figures of tables; `data` is everything else."""
        c, s = self.comparison, self.subject
        itself = {
            "rows": data["reference_again"],
            "closure": [vars(one) for one in c.itself_closure],
            "distances": data["reference_distances"],
            "checks": [_check(check) for check in c.itself_checks],
        }
        return Overview(
            family=s.training.family,
            method=s.training.method,
            parameters=s.parameters,
            megabytes=round(s.megabytes, 3),
            showers=s.training.showers,
            minutes=s.training.minutes,
            machine=s.training.machine,
            speed=s.speed,
            generator=fidelity(data),
            itself=fidelity(_plain(itself)),
            itself_is=c.itself_is,
        )

    def markdown(self) -> str:
        """Return the table for people, without pictures."""
        s, c = self.subject, self.comparison
        lines = [
            f"# {s.model} beside {s.reference}",
            "",
            f"**{self.verdict}** {s.showers} showers, {s.milliseconds:.3f} ms each. Model file: "
            f"SHA-256 `{s.sha256}`.",
            "",
            *_said_of_speed(s.speed),
        ]
        lines += [f"- fails: {check.words}" for check in self.failures]
        lines += [f"- beyond, within chance: {check.words}" for check in c.beyond]
        lines += ["", "Generator against reference:", "", *_table(c.rows, s.gates), ""]
        lines += [f"Reference against itself, {c.itself_is}:", "", *_table(c.again, s.gates), ""]
        lines += [
            "Relative differences; ± is the statistical error. The worst central cell is that of "
            "25 with the largest difference over the larger of 5 % and 0.5 MeV. Bold: beyond the "
            "gate.",
            "",
            f"| classifier | generator against reference | {c.itself_is} |",
            "|---|---|---|",
        ]
        for name, (_, what) in CLASSIFIERS.items():
            one, other = (side.separations[name] for side in (c.distances, c.itself))
            lines.append(
                f"| {what} | {one.mean:.3f} ± {one.error:.3f} | {other.mean:.3f} ± "
                f"{other.error:.3f} |"
            )
        lines += ["", "Areas under the ROC curve; 0.5 means that nothing tells the two apart.", ""]
        lines += ["Worst bins of the conditions (shift of a mean in units of its spread):", ""]
        lines += [
            f"- {NAMES.get(one.pdg, one.pdg)}, {one.observable} for {one.condition} {one.low:.3g} "
            f"to {one.high:.3g}: {one.shift:+.3f} ± {one.error:.3f}"
            for one in c.worst_bins(5)
        ]
        return "\n".join(lines)


def _check(check: Check) -> dict[str, Any]:
    return {
        "gate": check.gate,
        "where": check.where,
        "value": check.value,
        "error": check.error,
        "limit": check.limit,
        "chance": check.chance,
        "fails": check.fails,
        "blind": check.blind,
    }


def _plain(data: dict[str, Any]) -> dict[str, Any]:
    """The same as JSON has it."""
    plain: dict[str, Any] = json.loads(json.dumps(data, default=_number))
    return plain


def _number(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(type(value))


def _value(value: Value) -> dict[str, float]:
    return {"value": value.value, "error": value.error}


def _distances(distances: Distances) -> dict[str, Any]:
    return {
        "spectra": {
            name: {
                "chi2_ndf": one.chi2_ndf,
                "p_value": one.p_value,
                "separation": _value(one.separation),
                "wasserstein": _value(one.wasserstein),
            }
            for name, one in distances.spectra.items()
        },
        "classifiers": {
            name: {
                "auc": one.mean,
                "spread": one.spread,
                "error": one.error,
                "p_value": one.p_value,
            }
            for name, one in distances.separations.items()
        },
        **{name: _value(value) for name, value in distances.clouds.items()},
    }


def _reconstruction(side: Reconstructed) -> dict[str, Any]:
    return {
        "resolutions": [
            {
                "pdg": one.pdg,
                "momentum": one.momentum,
                "showers": one.showers,
                "found": one.found,
                "energy": _value(one.energy),
                "z": _value(one.z),
                "phi": _value(one.phi),
            }
            for one in side.resolutions
        ],
        "pion": None
        if side.pion is None
        else {
            "pairs": len(side.pion.masses),
            "mean": _value(side.pion.mean),
            "width": _value(side.pion.width),
        },
    }


def _said_of_speed(speed: Speed | None) -> list[str]:
    """A line with the times on one core, if they were measured."""
    if speed is None:
        return []
    times = ", ".join(f"{one.milliseconds:.3f} ms in calls of {one.batch}" for one in speed.timings)
    return [f"Per shower on one core ({speed.processor}): {times}.", ""]


def _table(rows: list[Row], gates: Mapping[str, float]) -> list[str]:
    """Lines of a table of figures; those beyond their gates are bold."""
    lines = [
        "| particle | GeV | showers | " + " | ".join(_COLUMNS.values()) + " | worst central cell |",
        "|---|---|---|" + "---|" * (len(_COLUMNS) + 1),
    ]
    for row in rows:
        cells = []
        for name in (*_COLUMNS, "cells"):
            value, error = row.figures[name].value, row.figures[name].error
            text = f"{100 * value:+.2f} ± {100 * error:.2f} %"
            if name == "cells":
                text = f"{value:.2f} ± {error:.2f}"
            cells.append(f"**{text}**" if abs(value) > gates[name] else text)
        lines.append(
            f"| {NAMES.get(row.pdg, row.pdg)} | {row.momentum:.3g} | {row.showers} | "
            + " | ".join(cells)
            + " |"
        )
    return lines


def generated(model: Model, reference: CrystalShowers, seed: int) -> CrystalShowers:
    """Showers of a generator for the kinds and conditions of other showers."""
    count = len(reference)
    keys = ShowerKeys.of_sample(np.arange(count), seed)
    found = generate(model, reference.pdg, reference.conditions, keys)
    return CrystalShowers(
        reference.pdg,
        reference.cell,
        reference.conditions,
        found.in_windows(count, model.card.window),
        np.zeros(count, np.float32),
    )


def validate(
    model: Model,
    reference: CrystalShowers,
    described: str,
    seed: int = 0,
    again: CrystalShowers | None = None,
    progress: Progress = lambda _: None,
    pictures: bool = True,
    speed: bool = True,
) -> Report:
    """Compare a generator with a reference.

    Parameters
    ----------
    reference
        Showers never seen in training.
    described
        What they are, in words.
    seed
        Of the generator's noise.
    again
        The same particles as `reference`, simulated with other random numbers.
    progress
        Called with what comes next.
    pictures
        Whether to draw figures.
    speed
        Whether to measure the time per shower on one core: a few seconds.

    Raises
    ------
    ModelError
        If the reference has other windows, kinds that the model does not simulate, or no showers
        in its range.
    FileFormatError
        If `again` has other particles.
    """
    card = model.card
    inside = comparable(model, reference)
    if again is not None and not np.array_equal(again.conditions, reference.conditions):
        raise FileFormatError("the repetition has other particles than the reference")
    there = above_threshold(reference.take(inside), card.threshold)
    progress("generate")
    began = perf_counter()
    here = generated(model, there, seed)
    milliseconds = 1e3 * (perf_counter() - began) / len(there)
    geometry = detector.load_crystals(card.detector)
    gates = GATES | card.gates
    twin = None if again is None else above_threshold(again.take(inside), card.threshold)
    comparison = compare_samples(there, here, geometry, gates, twin, progress)
    measured = None
    if speed:
        progress("speed on one core")
        measured = measure(model, there)
    figures = []
    if pictures:
        figures = draw(Samples(there, here, comparison), progress)
    content = read_checked(model.folder, card)
    subject = Subject(
        card.name,
        card.version,
        card.sha256,
        card.detector,
        card.training,
        parameters_of(content),
        1e-6 * len(content),
        described,
        len(there),
        int((~inside).sum()),
        milliseconds,
        model.threads,
        gates,
        measured,
        seed,
    )
    return Report(subject, comparison, figures)


def refuse_unfit(card: ModelCard, file: Path, source: Source) -> None:
    """Refuse references that say nothing of a generator, whatever the showers are.

    Raises
    ------
    ModelError
        If the reference is of another detector, or has the seed of the sample that the model was
        trained on.
    """
    if source.detector is not None and source.detector != card.detector:
        raise ModelError(
            f"{file} is of detector {source.detector}, but the model of {card.detector}"
        )
    training = card.training
    # Seeds of different programs have nothing to do with each other.
    if _program(source.description) != _program(training.simulation):
        return
    if source.seed is not None and source.seed in (training.sample_seed, *training.more_seeds):
        raise ModelError(
            f"{file} has the seed of the sample that model '{card.name}' was trained on, "
            f"{source.seed}: a reference needs showers that were not trained on"
        )


def _program(simulation: str) -> str:
    """First word of a simulation's name, without its version."""
    return simulation.split(maxsplit=1)[0].rstrip(",") if simulation.strip() else ""


def parameters_of(content: bytes) -> int | None:
    """Count the numbers in the tensors of an ONNX file; None without the package onnx."""
    try:
        import onnx
    except ImportError:
        return None
    graph = onnx.load_from_string(content).graph
    sizes = [int(np.prod(tensor.dims)) for tensor in graph.initializer]
    sizes += [
        int(np.prod(attribute.t.dims))
        for node in graph.node
        if node.op_type == "Constant"
        for attribute in node.attribute
    ]
    return sum(sizes)


def comparable(model: Model, reference: CrystalShowers) -> npt.NDArray[np.bool_]:
    """Return which showers (N,) of a reference a generator can be compared with.

    Raises
    ------
    ModelError
        If the reference has other windows, kinds that the model does not simulate, or no showers
        in its range.
    """
    card = model.card
    if reference.energies.shape[1:] != card.window:
        raise ModelError(
            f"model '{card.name}' has windows of {card.window}, the sample's column energies has "
            f"{reference.energies.shape[1:]}"
        )
    unknown = set(np.unique(reference.pdg).tolist()) - set(card.kinds)
    if unknown:
        raise ModelError(f"model '{card.name}' does not simulate the kinds {sorted(unknown)}")
    inside = in_range(card, reference.pdg, reference.conditions, ROUNDING)
    if not inside.any():
        raise ModelError(f"no shower of the sample is in the range of model '{card.name}'")
    return inside


def above_threshold(showers: CrystalShowers, threshold: float) -> CrystalShowers:
    """Showers without energies that the generator drops, too."""
    energies = np.where(showers.energies > threshold, showers.energies, np.float32(0))
    return replace(showers, energies=energies)


def write(report: Report, folder: Path) -> None:
    """Write the page and the JSON; both have their names only when they are complete."""
    from k4calofast.validation.page import html

    output.write(folder / PAGE, html(report))
    output.write(folder / NUMBERS, json.dumps(report.data(), indent=1) + "\n")
    output.write(folder / TABLES, report.markdown() + "\n")


def check_destination(folder: Path, inputs: Iterable[Path] = ()) -> None:
    """Refuse a folder that a report could not be written to, before the work begins.

    Parameters
    ----------
    inputs
        What the work reads.

    Raises
    ------
    OutputError
        See `k4calofast.output.check`.
    """
    for name in (PAGE, NUMBERS, TABLES):
        output.check(folder / name, inputs)
