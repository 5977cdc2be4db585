"""A validation of a region: all models of a set that simulate one calorimeter, and all together.

Each model is validated with the showers that a job would give it: those of its kinds whose
conditions it holds, and no model before it in the set.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

import k4calofast
from k4calofast.exceptions import ModelError
from k4calofast.generator import ROUNDING, Model, in_range
from k4calofast.validation import kinds
from k4calofast.validation.fidelity import NAMES, Check
from k4calofast.validation.kinds import Across
from k4calofast.validation.reference import Reference
from k4calofast.validation.report import LAYOUT, Report

REGION_LAYOUT = f"{LAYOUT}, region"
"""Name of the JSON's layout."""


@dataclass(frozen=True)
class Simulator:
    """A model of a set for the region.

    Attributes
    ----------
    model, kinds
        The model, and the kinds of particles (PDG numbers) that it is for.
    reference
        All showers of the reference, as it sees them.
    """

    model: Model
    kinds: tuple[int, ...]
    reference: Reference


@dataclass(frozen=True)
class Member:
    """A model, its report, and the folder of the report, beside the others."""

    model: Model
    report: Report
    folder: str

    @property
    def kinds(self) -> str:
        """Kinds of particles compared, in words."""
        pdgs = dict.fromkeys(self.report.comparison.reference.pdg.tolist())
        return ", ".join(NAMES.get(pdg, str(pdg)) for pdg in pdgs)


@dataclass(frozen=True)
class RegionReport:
    """The result of the validation of a region.

    Attributes
    ----------
    name, detector, reference
        Of the set, of the calorimeter; the reference in words.
    members
        Reports of its models.
    across
        What is compared across them; None if the reference has not what it takes.
    left_out
        What of the reference no model simulates, in sentences.
    """

    name: str
    detector: str
    reference: str
    members: Sequence[Member]
    across: Across | None
    left_out: Sequence[str]

    @property
    def checks(self) -> list[Check]:
        """All figures beside their gates."""
        own = [check for member in self.members for check in member.report.comparison.checks]
        return own + (self.across.checks if self.across else [])

    @property
    def failures(self) -> list[Check]:
        """Figures that fail, the worst first."""
        failed = [check for check in self.checks if check.fails]
        return sorted(failed, key=lambda check: check.excess / check.limit, reverse=True)

    @property
    def unresolved(self) -> list[Check]:
        """Figures that neither pass nor fail."""
        return [check for check in self.checks if check.blind and not check.fails]

    @property
    def state(self) -> str:
        """Colour of the verdict."""
        return "bad" if self.failures else "unresolved" if self.unresolved else "good"

    @property
    def verdict(self) -> str:
        """One sentence."""
        failed, unresolved, count = len(self.failures), len(self.unresolved), len(self.checks)
        passed = sum(check.passes for check in self.checks)
        return (
            f"Of {count} figures of {len(self.members)} models, {passed} pass their gates, "
            f"{failed} fail, {unresolved} are not resolved by the sample."
        )

    def data(self) -> dict[str, object]:
        """Return all but the numbers of the models, which their own reports have."""
        across = self.across
        return {
            "layout": REGION_LAYOUT,
            "software": f"k4calofast {k4calofast.__version__}",
            "set": self.name,
            "detector": self.detector,
            "reference": self.reference,
            "verdict": self.verdict,
            "passed": not (self.failures or self.unresolved),
            "left_out": list(self.left_out),
            "models": {member.report.subject.card.name: member.folder for member in self.members},
            "fails": [check.words for check in self.failures],
            "not_resolved": len(self.unresolved),
            "across": None
            if across is None
            else across.data | {"checks": [check.data() for check in across.checks]},
        }

    def markdown(self) -> str:
        """Return the tables for people."""
        lines = [f"# {self.name}, {self.detector}, beside {self.reference}", ""]
        lines += [f"**{self.verdict}**", "", *self.left_out, ""]
        for member in self.members:
            name = member.report.subject.card.name
            lines.append(
                f"- [{name}]({member.folder}/report.md) ({member.kinds}): {member.report.verdict}"
            )
        lines.append("")
        if self.across is not None:
            lines += self.across.table.markdown()
        return "\n".join(lines).rstrip("\n")


def parted(simulators: Sequence[Simulator]) -> list[Reference]:
    """References with the showers that a job would give to each model."""
    taken = np.zeros(len(simulators[0].reference.showers), np.bool_)
    parts = []
    for simulator in simulators:
        reference, card = simulator.reference, simulator.model.card
        showers = reference.showers
        rows = np.flatnonzero(np.isin(showers.pdg, simulator.kinds) & ~taken)
        if len(rows):
            some = showers.take(rows)
            conditions = reference.readout.conditions(some, 0)
            rows = rows[in_range(card, some.pdg, conditions, ROUNDING)]
        taken[rows] = True
        parts.append(reference.take(rows))
    return parts


def validate(
    name: str,
    simulators: Sequence[Simulator],
    one: Callable[[Model, Reference], Report],
) -> RegionReport:
    """Validate the models of a region, and what is compared across them.

    Parameters
    ----------
    name
        Of the set.
    simulators
        Its models for the region, in order.
    one
        Validates a model.

    Raises
    ------
    ModelError
        If the reference has nothing for any of them; and see
        `k4calofast.validation.report.validate`.
    """
    card = simulators[0].model.card
    parts = parted(simulators)
    members = []
    for simulator, part in zip(simulators, parts, strict=True):
        if len(part.showers):
            report = one(simulator.model, part)
            folder = report.subject.card.name.replace("/", "-")
            members.append(Member(simulator.model, report, folder))
    if not members:
        raise ModelError(f"no model of '{name}' simulates what the reference holds")
    reference = simulators[0].reference
    showers = reference.showers
    counts = {pdg: int((showers.pdg == pdg).sum()) for pdg in np.unique(showers.pdg).tolist()}
    for part in parts:
        for pdg, number in zip(*np.unique(part.showers.pdg, return_counts=True), strict=True):
            counts[int(pdg)] -= int(number)
    left_out = [
        f"{count} showers of {NAMES.get(pdg, pdg)} in the reference are in the range of no model."
        for pdg, count in counts.items()
        if count
    ]
    kind = kinds.of(card, showers)
    samples = [member.report.comparison.samples for member in members]
    return RegionReport(
        name,
        card.detector,
        reference.described,
        members,
        kind.across(samples),
        left_out,
    )
