"""The page of a validation: one HTML file with everything inside."""

from __future__ import annotations

import base64
from importlib.resources import files
from typing import Any

import k4calofast
from k4calofast.exceptions import MissingExtraError
from k4calofast.validation.crystals.comparison import CLASSIFIERS
from k4calofast.validation.crystals.observables import IMPACT, OBSERVABLES
from k4calofast.validation.fidelity import MEANINGS, NAMES, Check
from k4calofast.validation.observables import Observable
from k4calofast.validation.report import Report

_TITLES = OBSERVABLES | IMPACT | {"cell_energy": Observable("log10 of cell energies [GeV]", "")}
_CLOUDS = {
    "fpd": "FPD (0 is the same)",
    "kpd": "KPD (0 is the same)",
    "precision": "precision (1 is best)",
    "recall": "recall (1 is best)",
    "density": "density (1 is the same)",
    "coverage": "coverage (1 is best)",
}
_ROW = ("mean", "width", "e1_e9", "e9_e25", "lateral", "cells")


def environment() -> Any:
    """Templates that escape what they are given.

    Raises
    ------
    MissingExtraError
        If Jinja2 is not installed.
    """
    try:
        import jinja2
    except ImportError:
        raise MissingExtraError("pages need Jinja2: pip install 'k4calofast[validation]'") from None
    return jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)


def template(name: str) -> Any:
    """Return a template of this folder."""
    text = files("k4calofast.validation").joinpath(name).read_text(encoding="utf-8")
    return environment().from_string(text)


def html(report: Report) -> str:
    """Return the page."""
    c, s = report.comparison, report.subject
    text: str = template("page.html.j2").render(
        r=report,
        s=s,
        c=c,
        names=NAMES,
        titles={name: one.title for name, one in _TITLES.items()},
        gates=_gates(c.checks),
        worst=c.worst_bins(),
        figures=[
            {
                "name": one.name,
                "title": one.title,
                "look": one.look,
                "data": base64.b64encode(one.png).decode(),
            }
            for one in report.figures
        ],
        row_names=[MEANINGS[name].split(" in a bin")[0] for name in _ROW],
        rows=[
            {
                "pdg": row.pdg,
                "momentum": row.momentum,
                "showers": row.showers,
                "values": [
                    {
                        "text": f"{value.value:+.4f} ± {value.error:.4f}",
                        "colour": "fair" if abs(value.value) > s.gates[name] else "",
                    }
                    for name, value in ((name, row.figures[name]) for name in _ROW)
                ],
            }
            for row in c.rows
        ],
        classifiers=[
            {
                "what": what,
                "one": c.distances.separations[name],
                "other": c.itself.separations[name],
            }
            for name, (_, what) in CLASSIFIERS.items()
        ],
        clouds=[
            {"name": title, "one": c.distances.clouds[name], "other": c.itself.clouds[name]}
            for name, title in _CLOUDS.items()
        ],
        spectra=[
            {
                "title": _TITLES[name].title,
                "formula": _TITLES[name].formula,
                "one": one,
                "other": c.itself.spectra[name],
            }
            for name, one in c.distances.spectra.items()
        ],
        software=f"k4calofast {k4calofast.__version__}",
    )
    return text


def _gates(checks: list[Check]) -> list[dict[str, Any]]:
    """The worst check of each gate, and what it says."""
    rows = []
    for gate in dict.fromkeys(check.gate for check in checks):
        mine = [check for check in checks if check.gate == gate]
        worst = max(mine, key=lambda check: check.excess)
        if worst.fails:
            state, colour = "fails", "bad"
        elif any(check.beyond for check in mine):
            state, colour = "beyond", "fair"
            worst = max(mine, key=lambda check: abs(check.value))
        elif any(check.blind for check in mine):
            state, colour = "blind", "fair"
        else:
            state, colour = "passes", "good"
        rows.append(
            {
                "name": gate,
                "meaning": MEANINGS[gate],
                "worst": worst,
                "state": state,
                "colour": colour,
                "count": len(mine),
            }
        )
    return rows
