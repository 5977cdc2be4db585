"""A validation: a generator beside a reference, its verdict, and all numbers for JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

import k4calofast
from k4calofast import output
from k4calofast.generator import Model
from k4calofast.generator.card import ModelCard, read_checked
from k4calofast.validation import kinds
from k4calofast.validation.comparison import Progress, compare
from k4calofast.validation.drawing import Figure, draw
from k4calofast.validation.fidelity import Check
from k4calofast.validation.kinds import Kind
from k4calofast.validation.overview import Overview, fidelity
from k4calofast.validation.reference import Reference
from k4calofast.validation.results import Comparison
from k4calofast.validation.speed import Speed, measure
from k4calofast.validation.tables import Cell, Table, of_groups, rounded

LAYOUT = "k4calofast validation 3"
"""Name of the JSON's layout."""

PAGE, NUMBERS, TABLES = "index.html", "report.json", "report.md"
"""Files of a report: the page, all numbers, and the tables alone."""


@dataclass(frozen=True)
class Subject:
    """What is validated, and with what.

    Attributes
    ----------
    card
        The generator, and how it was made.
    parameters, megabytes
        Numbers in its tensors, None where they were not counted; size of the ONNX file.
    reference
        In words.
    showers, left_out
        Showers compared, and those of the reference outside the model's range.
    milliseconds, threads
        Per shower of the validation, noise included; threads of the inference.
    full_simulation
        Milliseconds of full simulation per shower; None if that is not known.
    gates
        Limits.
    speed
        Times per shower on one core; None if they were not measured.
    seed
        Of the generator's noise.
    """

    card: ModelCard
    parameters: int | None
    megabytes: float
    reference: str
    showers: int
    left_out: int
    milliseconds: float
    threads: int
    full_simulation: float | None
    gates: Mapping[str, float]
    speed: Speed | None
    seed: int


@dataclass(frozen=True)
class Report:
    """The result of a validation; `numbers` are the own of the kind of calorimeter."""

    kind: Kind
    subject: Subject
    comparison: Comparison
    numbers: Mapping[str, Any]
    figures: list[Figure]

    @property
    def failures(self) -> list[Check]:
        """Figures that fail their gates."""
        return self.comparison.failures

    @property
    def verdict(self) -> str:
        """One sentence."""
        checks, unresolved = self.comparison.checks, len(self.comparison.unresolved)
        beyond = len(self.comparison.beyond)
        more = f"; {beyond} lie beyond by no more than chance explains" if beyond else ""
        if unresolved:
            more += f"; {unresolved} are not resolved: the sample is too small for them"
        if self.failures:
            return f"{len(self.failures)} of {len(checks)} figures fail their gates{more}."
        if unresolved:
            return f"No figure fails, {len(checks) - unresolved} of {len(checks)} pass{more}."
        return f"All {len(checks)} figures pass their gates{more}."

    @property
    def passed(self) -> bool:
        """Whether all figures pass: none fails, and the sample resolves all."""
        return not (self.failures or self.comparison.unresolved)

    @property
    def resolving(self) -> Table:
        """Showers that the reference needs, of a kind and momentum, to resolve gates."""
        rows: list[list[Cell | str]] = []
        checks = [check for check in self.comparison.checks if check.showers]
        for gate in dict.fromkeys(check.gate for check in checks):
            mine = sorted((c for c in checks if c.gate == gate), key=lambda check: check.needed)
            typical, worst = mine[len(mine) // 2], mine[-1]
            unresolved = sum(check.blind for check in mine)
            rows.append(
                [
                    gate,
                    str(len(mine)),
                    Cell(str(unresolved), unresolved > 0),
                    rounded(typical.needed),
                    rounded(worst.needed),
                    worst.where,
                ]
            )
        titles = ["gate", "compared", "not resolved", "showers needed, median", "most", "where"]
        return Table(
            "What the sample resolves",
            titles,
            rows,
            "Showers of the reference, of the same kind and momentum, from which a gate is "
            "resolved: as many times those there are as (z error / limit)^2 says.",
        )

    @property
    def facts(self) -> list[str]:
        """What a reader should know, in sentences."""
        said = self.kind.facts(self.numbers)
        if self.subject.speed is not None:
            said.append(self.subject.speed.words())
        if self.subject.full_simulation is not None:
            said.append(f"Full simulation: {self.subject.full_simulation:.4g} ms per shower.")
        return said

    @property
    def groups(self) -> list[Table]:
        """Figures of groups: of the generated sample, and of the reference against itself."""
        c = self.comparison
        sides = {
            "Generator against reference": c.distances,
            f"Reference against itself, {c.itself_is}": c.itself,
        }
        tables = [
            table
            for title, distances in sides.items()
            for table in of_groups(title, distances.rows, self.kind.columns, self.subject.gates)
        ]
        return [*tables, *self.kind.tables(c)]

    @property
    def classifiers(self) -> Table:
        """Areas under ROC curves, and the probabilities that chance alone makes them."""
        c = self.comparison
        rows = []
        for name in c.distances.separations:
            areas = [side.separations.get(name) for side in (c.distances, c.itself)]
            texts = [
                ("-", "-") if area is None else (f"{area.area:.4f}", f"{area.p_value:.2g}")
                for area in areas
            ]
            rows.append([self.kind.classifiers[name].what, *chain(*texts)])
        titles = ["classifier", "area under ROC", "p", "reference", "p"]
        return Table("Classifiers", titles, rows, "0.5 means that nothing tells the two apart.")

    @property
    def worst_bins(self) -> Table:
        """Bins of the conditions."""
        titles, observables = ["where", "shift / spread", "showers"], self.kind.observables
        rows = [
            [
                bin_.where(observables[bin_.observable].title),
                f"{bin_.figure:+.3f}",
                str(bin_.showers),
            ]
            for bin_ in self.comparison.worst_bins()
        ]
        return Table("Worst bins of the conditions", titles, rows)

    @property
    def notes(self) -> str:
        """What a reader of these tables must know."""
        return (
            "Relative differences; ± is the statistical error. Bold: beyond the gate. "
            f"{self.kind.notes}"
        )

    def summary(self) -> dict[str, Any]:
        """Figures for the model card; the same numbers as in `data`."""
        data = self.data()
        names = ("version", "sha256", "reference", "showers", "passed", "largest", "auc")
        return {name: data[name] for name in (*names, "fails", "beyond_gates", "not_resolved")}

    def data(self) -> dict[str, Any]:
        """Return all numbers, for JSON."""
        c, s = self.comparison, self.subject
        largest: dict[str, float] = {}
        for check in c.checks:
            value = round(float(abs(check.value)), 4)
            largest[check.gate] = max(value, largest.get(check.gate, 0.0))
        areas = c.distances.separations
        data = {
            "layout": LAYOUT,
            "software": f"k4calofast {k4calofast.__version__}",
            "model": s.card.name,
            "version": s.card.version,
            "sha256": s.card.sha256,
            "detector": s.card.detector,
            "parameters": s.parameters,
            "milliseconds_per_shower": round(s.milliseconds, 4),
            "full_simulation_milliseconds": s.full_simulation,
            "threads": s.threads,
            "seed": s.seed,
            "reference": s.reference,
            "showers": s.showers,
            "left_out": s.left_out,
            "passed": self.passed,
            "verdict": self.verdict,
            "gates": dict(s.gates),
            "meanings": dict(self.kind.meanings),
            "largest": largest,
            "auc": {name: round(area.mean, 4) for name, area in areas.items()},
            "fails": [check.words for check in self.failures],
            "beyond_gates": [check.words for check in c.beyond],
            "not_resolved": len(c.unresolved),
            "checks": [check.data() for check in c.checks],
            "worst_bins": [vars(bin_) for bin_ in c.worst_bins()],
            "rows": [row.data() for row in c.distances.rows],
            "reference_again": [row.data() for row in c.itself.rows],
            "distances": c.distances.data(),
            "reference_against": c.itself_is,
            "reference_distances": c.itself.data(),
            "reference_fails": [check.words for check in c.itself.checks if check.fails],
            **self.numbers,
            "closure": [vars(bin_) for bin_ in c.distances.closure],
            "overview": self._overview.model_dump(mode="json"),
        }
        plain: dict[str, Any] = json.loads(json.dumps(data, default=_number))
        return plain

    @property
    def _overview(self) -> Overview:
        """The figures of tables."""
        c, s = self.comparison, self.subject
        training = s.card.training
        return Overview(
            family=training.family,
            method=training.method,
            parameters=s.parameters,
            megabytes=round(s.megabytes, 3),
            showers=training.showers,
            minutes=training.minutes,
            machine=training.machine,
            speed=s.speed,
            generator=fidelity(c.distances, self.kind.energy, self.kind.resolution),
            itself=fidelity(c.itself, self.kind.energy, self.kind.resolution),
            itself_is=c.itself_is,
        )

    def markdown(self) -> str:
        """Return the tables for people, without pictures."""
        s, c = self.subject, self.comparison
        lines = [
            f"# {s.card.name} beside {s.reference}",
            "",
            f"**{self.verdict}** {s.showers} showers, {s.milliseconds:.3f} ms each. Model file: "
            f"SHA-256 `{s.card.sha256}`.",
            "",
            *([" ".join(self.facts), ""] if self.facts else []),
        ]
        lines += [f"- fails: {check.words}" for check in self.failures]
        lines += [f"- beyond, within chance: {check.words}" for check in c.beyond]
        lines += ["", self.notes, ""]
        for table in (*self.groups, self.classifiers, self.worst_bins, self.resolving):
            lines += table.markdown()
        return "\n".join(lines).rstrip("\n")


def _number(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(type(value))


def validate(
    model: Model,
    reference: Reference,
    seed: int = 0,
    progress: Progress = lambda _: None,
    pictures: bool = True,
    speed: bool = True,
    full_simulation: float | None = None,
) -> Report:
    """Compare a generator with a reference.

    Parameters
    ----------
    reference
        Showers never seen in training; see `k4calofast.validation.reading.read`.
    seed
        Of the generator's noise.
    progress
        Called with what comes next.
    pictures
        Whether to draw figures.
    speed
        Whether to measure the time per shower on one core: a few seconds.
    full_simulation
        Milliseconds of full simulation per shower, for the report.

    Raises
    ------
    ModelError
        If the reference has other windows, kinds that the model does not simulate, or no showers
        in its range.
    FileFormatError
        If the repetition has other particles, or there are too few showers.
    """
    card = model.card
    reference, left_out = reference.comparable(card, seed)
    kind = kinds.of(card, reference.showers)
    progress(f"{len(reference.showers)} showers of {reference.described}, {card.name}")
    showers, readout = reference.showers, reference.readout
    seen = readout.simulated(showers, seed)
    progress("generate")
    began = perf_counter()
    generated = readout.generated(model, showers, seed)
    milliseconds = 1e3 * (perf_counter() - began) / len(showers)
    progress("observables")
    again = reference.again
    twin = None if again is None else readout.observed(readout.simulated(again, seed))
    samples = readout.observed(seen), readout.observed(generated)
    gates = {**kind.gates, **card.gates}
    comparison = compare(kind, *samples, gates, twin, progress)
    measured = None
    if speed:
        progress("speed on one core")
        measured = measure(
            model, lambda alone: readout.calls(alone, showers), kind.batches, kind.average
        )
    figures = draw(kind.pictures, comparison, progress) if pictures else []
    content = read_checked(model.folder, card)
    subject = Subject(
        card,
        parameters_of(content),
        1e-6 * len(content),
        reference.described,
        len(showers),
        left_out,
        milliseconds,
        model.threads,
        full_simulation,
        gates,
        measured,
        seed,
    )
    return Report(kind, subject, comparison, kind.numbers(reference, comparison), figures)


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
