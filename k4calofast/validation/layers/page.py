"""The page of a validation of showers in layers: one HTML file with everything inside."""

from __future__ import annotations

import base64
from typing import Any

import k4calofast
from k4calofast.validation.fidelity import Check
from k4calofast.validation.layers.comparison import MEANINGS, Distances
from k4calofast.validation.layers.observables import OBSERVABLES
from k4calofast.validation.layers.report import Report, shown, titles
from k4calofast.validation.page import template


def html(report: Report) -> str:
    """Return the page."""
    c, s = report.comparison, report.subject
    text: str = template("layers/page.html.j2").render(
        r=report,
        s=s,
        gates=_gates(c.checks),
        titles=titles(),
        tables=[
            {"title": "Generator against reference", "rows": _rows(c.distances, s.gates)},
            {
                "title": f"Reference against itself: {c.itself_is}",
                "rows": _rows(c.itself, s.gates),
            },
        ],
        resolutions=[
            {
                "where": row.group.where,
                "values": [
                    f"{scale * one.value:.2f} ± {scale * one.error:.2f}"
                    for name, scale in (("response", 1e3), ("resolution", 1e2))
                    for one in (getattr(row.reference, name), getattr(row.generated, name))
                ],
            }
            for row in c.distances.rows
        ],
        areas=[(title, side.separation) for title, side in _sides(report)],
        spectra=[
            {
                "title": one.title,
                "formula": one.formula,
                "values": [
                    text
                    for _, side in _sides(report)
                    for text in (
                        f"{side.spectra[name].chi2_ndf:.2f}",
                        f"{side.spectra[name].wasserstein.value:.4f}",
                    )
                ],
            }
            for name, one in OBSERVABLES.items()
        ],
        figures=[
            {
                "name": one.name,
                "title": one.title,
                "look": one.look,
                "data": base64.b64encode(one.png).decode(),
            }
            for one in report.figures
        ],
        software=f"k4calofast {k4calofast.__version__}",
    )
    return text


def _sides(report: Report) -> list[tuple[str, Distances]]:
    c = report.comparison
    return [("generator", c.distances), (c.itself_is, c.itself)]


def _rows(distances: Distances, gates: Any) -> list[dict[str, Any]]:
    """Lines of the table of groups."""
    return [
        {
            "where": row.group.where,
            "showers": row.showers,
            "spectrum": "-" if row.spectrum is None else f"{row.spectrum:.2f}",
            "values": [
                {
                    "text": f"{100 * value.value:+.2f} ± {100 * value.error:.2f}",
                    "colour": "fair" if abs(value.value) > gates[name] else "",
                }
                for name, value in shown(row).items()
            ],
        }
        for row in distances.rows
    ]


def _gates(checks: list[Check]) -> list[dict[str, Any]]:
    """The worst check of each gate, and what it says."""
    rows = []
    for gate in dict.fromkeys(check.gate for check in checks):
        mine = [check for check in checks if check.gate == gate]
        worst = max(mine, key=lambda check: check.excess)
        if worst.fails:
            state, colour = "fails", "bad"
        else:
            worst = max(mine, key=lambda check: abs(check.value))
            state, colour = ("beyond", "fair") if worst.beyond else ("passes", "good")
        rows.append(
            {
                "name": gate,
                "meaning": MEANINGS[gate],
                "worst": worst,
                "state": state,
                "colour": colour,
                "count": len(mine),
                "failed": sum(check.fails for check in mine),
                "blind": sum(check.blind for check in mine),
            }
        )
    return rows
