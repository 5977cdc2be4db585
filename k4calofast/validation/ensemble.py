"""What is a generator's own and what chance gave it: trainings that differ by their seed alone.

A member's difference to the reference is a sum: the bias that all members share, what the seed of
its training did, and the statistics of the reference and of the showers that were generated. The
mean over members is the bias, with the error of the mean and that of the reference; the spread
between members, less what the statistics of generated showers give, is that of the training.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np

from k4calofast import output
from k4calofast.documents import one_line
from k4calofast.exceptions import FileFormatError
from k4calofast.pictures import image, styled
from k4calofast.validation.fidelity import CHANCE
from k4calofast.validation.metrics import Value, t_score, z_score
from k4calofast.validation.side_by_side import Summary, as_markdown, in_figure
from k4calofast.validation.tables import Cell, Table

_WORST_OF_MANY = {"cells", "profile"}
"""Gates of the worst of several places, which is another one in each member, and never 0."""

_MANY = "closure"
"""A gate with so many figures that the worst are listed alone."""

_WORST = 8


@dataclass(frozen=True)
class Line:
    """One figure of all members.

    Attributes
    ----------
    gate, where
        What it is.
    members
        Differences to the reference (for areas under ROC curves, to 0.5), one per member.
    bias
        Their mean, with its error from training and reference.
    spread
        What the seed of a training does, without the statistics of showers.
    reference
        Statistical error of the reference.
    significant
        Whether chance does not explain the bias, given how many figures the gate has.
    limit, meaning
        Of the gate.
    """

    gate: str
    where: str
    members: tuple[float, ...]
    bias: Value
    spread: Value
    reference: float
    significant: bool
    limit: float
    meaning: str = ""


def line(
    gate: str,
    where: str,
    members: Sequence[float],
    errors: Sequence[float],
    comparisons: int = 1,
    limit: float = math.inf,
    same_noise: bool = False,
    meaning: str = "",
) -> Line:
    """Tell bias, training and statistics apart.

    Parameters
    ----------
    members, errors
        Differences to one reference, and their standard errors, which are of reference and
        generated showers in equal parts: there are as many of both.
    comparisons
        Figures of the gate.
    same_noise
        Whether members were validated with the same noise. They may then have their statistics in
        common, too: all of it counts as the reference's, and none is taken off the spread.
    meaning
        Of the gate.
    """
    count = len(members)
    found = float(np.var(members, ddof=1))
    both = float(np.mean(np.square(errors)))
    reference, generated = (both, 0.0) if same_noise else (both / 2, both / 2)
    training = max(found - generated, 0.0)
    # The error of a sample's variance; upwards, so that it is finite where the spread is 0.
    wide = training + found * math.sqrt(2 / (count - 1))
    bias, of_mean = float(np.mean(members)), found / count
    # The spread is estimated from few members, the reference's error from many showers. To add
    # the limits of both in quadrature (W. Cochran 1964) is never too optimistic.
    chance = CHANCE / comparisons
    most = t_score(chance, count - 1) ** 2 * of_mean + z_score(chance) ** 2 * reference
    return Line(
        gate,
        where,
        tuple(members),
        Value(bias, math.sqrt(of_mean + reference)),
        Value(math.sqrt(training), math.sqrt(wide) - math.sqrt(training)),
        math.sqrt(reference),
        bias**2 > most,
        limit,
        meaning,
    )


def lines(found: Sequence[Summary]) -> list[Line]:
    """Return a line for each figure that the reports of an ensemble have.

    Raises
    ------
    FileFormatError
        If there are fewer than two reports, or they do not belong together.
    """
    if len(found) < 2:
        raise FileFormatError("an ensemble has two members at least, each with its report")
    first = found[0]
    for other in found[1:]:
        for name in ("detector", "reference", "showers"):
            expected, value = getattr(first, name), getattr(other, name)
            if value != expected:
                raise FileFormatError(
                    f"not of one ensemble: {first.model} has the {name} {expected}, "
                    f"{other.model} {value}"
                )
    same_noise = len({report.seed for report in found}) < len(found)
    figures = [{(check.gate, check.where): check for check in report.checks} for report in found]
    common = [key for key in figures[0] if all(key in others for others in figures)]
    gates = [gate for gate, _ in common]
    made = []
    for gate, where in common:
        if gate in _WORST_OF_MANY:
            continue
        members = [others[gate, where] for others in figures]
        nothing = 0.5 if gate.startswith("auc") else 0.0
        made.append(
            line(
                gate,
                where,
                [check.value - nothing for check in members],
                [check.error for check in members],
                gates.count(gate),
                members[0].limit - nothing,
                same_noise,
                first.meanings.get(gate, ""),
            )
        )
    if not made:
        raise FileFormatError("the reports have no figures in common")
    return made


def markdown(made: Sequence[Line], picture: str | None = None) -> str:
    """Return tables of gates and of figures, and a link to the picture if there is one."""
    gates = list(dict.fromkeys(entry.gate for entry in made))
    rows = []
    for gate in gates:
        of_gate = [entry for entry in made if entry.gate == gate]
        sizes = (
            [entry.bias.value for entry in of_gate],
            [entry.spread.value for entry in of_gate],
            [entry.reference for entry in of_gate],
        )
        significant = sum(entry.significant for entry in of_gate)
        means = (f"{np.sqrt(np.mean(np.square(values))):.4f}" for values in sizes)
        rows.append([_text(gate), str(len(of_gate)), *means, str(significant)])
    said = (
        "Bias: mean of the members' differences to the reference, of areas under ROC curves to "
        "0.5. Training: spread between members beyond the statistics of their showers. Reference: "
        "its statistical error. In this table, roots of mean squares. Significant biases, bold "
        "below, are those that chance makes, anywhere among a figure's comparisons, in less than "
        f"one of {1 / CHANCE:.0f} ensembles."
    )
    titles = ["figure", "comparisons", "bias", "training", "reference", "significant biases"]
    text = [f"{len(made[0].members)} trainings that differ by their seed.", ""]
    text += Table("", titles, rows, said).markdown()
    many = [entry for entry in made if entry.gate == _MANY]
    many.sort(key=lambda entry: abs(entry.bias.value) - 2 * entry.bias.error, reverse=True)
    shown = [entry for entry in made if entry.gate != _MANY] + many[:_WORST]
    titles = ["figure", "where", "bias", "training", "reference", "gate"]
    text += Table("", titles, [_row(entry) for entry in shown]).markdown()[:-1]
    meanings = {entry.gate: entry.meaning for entry in made if entry.meaning}
    text += ["", *(f"- {_text(gate)}: {_text(said)}" for gate, said in meanings.items())]
    if len(many) > _WORST:
        text += ["", f"Of {_MANY}, the {_WORST} largest biases less two errors are listed."]
    if picture is not None:
        text += ["", f"![Bias and spread]({quote(picture)})"]
    return "\n".join(text)


def picture(made: Sequence[Line]) -> bytes:
    """Draw members, bias and errors of the figures that bins of momentum have (PNG)."""
    places: dict[str, list[str]] = {}
    for entry in made:
        places.setdefault(entry.gate, []).append(entry.where)
    # Those that the first one's bins have, too.
    gates = [gate for gate, where in places.items() if where == places[made[0].gate]]
    with styled() as (plt, _):
        figure, panels = plt.subplots(
            len(gates),
            figsize=(7, 1 + 1.8 * len(gates)),
            sharex=True,
            squeeze=False,
        )
        for axes, gate in zip(panels[:, 0], gates, strict=True):
            of_gate = [entry for entry in made if entry.gate == gate]
            for place, entry in enumerate(of_gate):
                axes.plot([place] * len(entry.members), entry.members, ".", color="gray", alpha=0.6)
                colour = "tab:red" if entry.significant else "black"
                spread = [[entry.spread.value]] * 2
                axes.errorbar(place, entry.bias.value, spread, fmt="o", color=colour, capsize=2)
            error = np.array([entry.reference for entry in of_gate])
            axes.bar(
                range(len(of_gate)), 2 * error, 0.8, -error, color="tab:blue", alpha=0.25, zorder=0
            )
            axes.axhline(0, color="black", linewidth=0.8)
            axes.set_ylabel(in_figure(gate))
            axes.tick_params(axis="x", which="minor", length=0)
        axes.set_xticks(
            range(len(of_gate)), [in_figure(entry.where) for entry in of_gate], rotation=90
        )
        figure.suptitle(
            "bias and spread of trainings (points: members; band: error of the reference; "
            "red: significant)",
            fontsize=8,
        )
        return image(plt, figure, 110)


def write(made: Sequence[Line], file: Path) -> None:
    """Write the tables, and the picture beside them."""
    drawn = file.with_suffix(".png")
    output.write(drawn, picture(made))
    output.write(file, markdown(made, drawn.name) + "\n")


def _row(entry: Line) -> list[Cell]:
    return [
        Cell(_text(entry.gate)),
        Cell(_text(entry.where)),
        Cell(f"{entry.bias:+.4f}", entry.significant),
        Cell(f"{entry.spread:.4f}"),
        Cell(f"{entry.reference:.4f}"),
        Cell(f"{entry.limit:.3g}"),
    ]


def _text(text: str) -> str:
    return as_markdown(one_line(text))
