"""The table of a validation: figures, gates, and Geant4 against itself beside them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from k4calofast.exceptions import FileFormatError, ModelError
from k4calofast.generator import Model
from k4calofast.noise import normal_noise
from k4calofast.showers import Showers
from k4calofast.validation.fidelity import GATES, NAMES, Row, Separation, compare, separations
from k4calofast.validation.figures import draw

_COLUMNS = {
    "mean": "mean",
    "width": "68 % width",
    "e1_e9": "E1/E3x3",
    "e9_e25": "E3x3/E5x5",
    "lateral": "lateral",
}


@dataclass(frozen=True)
class Report:
    """A generator beside full simulation; see `k4calofast.validation.fidelity`.

    Attributes
    ----------
    model, sha256
        The generator.
    rows, separations
        Its figures.
    again
        The same figures of the full simulation, repeated for the same conditions with other
        random numbers: what chance alone does. Empty without such a sample.
    pictures
        Names of pictures beside the report, and what to look for in them.
    """

    model: str
    sha256: str
    rows: list[Row]
    separations: dict[str, Separation]
    again: list[Row] = field(default_factory=list)
    pictures: list[tuple[str, str]] = field(default_factory=list)

    @property
    def failures(self) -> list[str]:
        """Figures beyond their gates, in words."""
        failed = [
            f"{NAMES.get(row.pdg, row.pdg)} at {row.momentum:.3g} GeV: {name} "
            f"{row.figures[name]:+.4f} (gate {GATES[name]})"
            for row in self.rows
            for name in row.failed
        ]
        failed += [
            f"separation on {name}: {self.separations[name].mean:.3f} (gate {GATES[gate]})"
            for name, gate in (("observables", "auc_observables"), ("cells", "auc_cells"))
            if self.separations[name].mean > GATES[gate]
        ]
        return failed

    def markdown(self) -> str:
        """Return the table for people."""
        lines = [f"# {self.model} beside Geant4", "", f"Model file: SHA-256 `{self.sha256}`.", ""]
        lines += ["Generator against Geant4:", "", *_table(self.rows), ""]
        if self.again:
            lines += [
                "Geant4 against Geant4, the same particles with other random numbers:",
                "",
                *_table(self.again),
                "",
            ]
        lines += [
            "Relative differences to Geant4; ± is the statistical error. The worst of the 25 "
            "central cells is the difference of its mean over the larger of 5 % and 0.5 MeV. "
            "Bold: beyond the gate.",
            "",
            "| classifier on | generator against Geant4 | Geant4 against Geant4 |",
            "|---|---|---|",
        ]
        for name in ("observables", "cells"):
            one, other = self.separations[name], self.separations[f"{name}, reference halves"]
            lines.append(
                f"| {name} | {one.mean:.3f} ± {one.spread:.3f} | "
                f"{other.mean:.3f} ± {other.spread:.3f} |"
            )
        lines += ["", "Areas under the ROC curve; 0.5 means that nothing tells the two apart."]
        for name, meaning in self.pictures:
            lines += ["", f"![{meaning}]({name})", "", meaning]
        return "\n".join(lines)

    def summary(self) -> dict[str, Any]:
        """Figures for the model card: the worst of each, and the areas."""
        return {
            "showers": sum(row.showers for row in self.rows),
            "momenta": sorted({round(row.momentum, 6) for row in self.rows}),
            "largest": {
                name: round(max(abs(row.figures[name]) for row in self.rows), 4)
                for name in (*_COLUMNS, "cells")
            },
            "auc": {name: round(value.mean, 4) for name, value in self.separations.items()},
            "beyond_gates": self.failures,
        }

    def data(self) -> dict[str, Any]:
        """Return all figures, for JSON."""
        return {
            "model": self.model,
            "sha256": self.sha256,
            "gates": GATES,
            "rows": [row.data() for row in self.rows],
            "geant4_again": [row.data() for row in self.again],
            "auc": {
                name: {"mean": value.mean, "spread": value.spread}
                for name, value in self.separations.items()
            },
        }


def _table(rows: list[Row]) -> list[str]:
    """Lines of a table of figures; those beyond their gates are bold."""
    lines = [
        "| particle | GeV | showers | " + " | ".join(_COLUMNS.values()) + " | worst central cell |",
        "|---|---|---|" + "---|" * (len(_COLUMNS) + 1),
    ]
    for row in rows:
        cells = []
        for name in (*_COLUMNS, "cells"):
            value = row.figures[name]
            text = f"{value:.2f}" if name == "cells" else f"{100 * value:+.2f} %"
            if name == "mean":
                text += f" ± {100 * row.figures['mean_error']:.2f}"
            cells.append(f"**{text}**" if name in row.failed else text)
        lines.append(
            f"| {NAMES.get(row.pdg, row.pdg)} | {row.momentum:.3g} | {row.showers} | "
            + " | ".join(cells)
            + " |"
        )
    return lines


def generated(model: Model, reference: Showers, seed: int) -> Showers:
    """Showers of a generator for the kinds and conditions of other showers."""
    count = len(reference)
    rows = np.arange(count, dtype=np.uint64)
    parts = []
    for start in range(0, count, 4096):
        part = slice(start, start + 4096)
        noise = normal_noise(
            np.full(len(rows[part]), seed, np.uint64),
            np.zeros(len(rows[part]), np.uint32),
            np.zeros(len(rows[part]), np.uint64),
            rows[part],
            model.card.noise,
        )
        parts.append(model.energies(reference.pdg[part], reference.conditions[part], noise))
    return Showers(
        reference.pdg,
        reference.cell,
        reference.conditions,
        np.concatenate(parts),
        np.zeros(count, np.float32),
    )


def validate(
    model: Model,
    reference: Showers,
    seed: int = 0,
    again: Showers | None = None,
    pictures: Path | None = None,
) -> Report:
    """Compare a generator with full simulation.

    Parameters
    ----------
    reference
        Showers at a few momenta, never seen in training.
    seed
        Of the generator's noise.
    again
        The same particles as `reference`, simulated with other random numbers.
    pictures
        Folder for pictures; none are drawn without.

    Raises
    ------
    ModelError
        If the reference has other windows, or kinds that the model does not simulate.
    FileFormatError
        If `again` has other particles.
    """
    card = model.card
    if reference.energies.shape[1:] != card.window:
        raise ModelError(f"model '{card.name}' has other windows than the sample")
    unknown = set(np.unique(reference.pdg).tolist()) - set(card.kinds)
    if unknown:
        raise ModelError(f"model '{card.name}' does not simulate the kinds {sorted(unknown)}")
    there = _above(reference, card.threshold)
    here = generated(model, there, seed)
    rows: list[Row] = []
    if again is not None:
        if not np.array_equal(again.conditions, reference.conditions):
            raise FileFormatError("the repetition has other particles than the reference")
        rows = compare(there, _above(again, card.threshold))
    drawn = draw(there, here, pictures) if pictures is not None else []
    return Report(
        card.name, card.sha256, compare(there, here), separations(there, here), rows, drawn
    )


def _above(showers: Showers, threshold: float) -> Showers:
    """Showers without energies that the generator drops, too."""
    energies = np.where(showers.energies > threshold, showers.energies, np.float32(0))
    return replace(showers, energies=energies)
