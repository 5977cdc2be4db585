"""The page of a validation: one HTML file with everything inside."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import k4calofast
from k4calofast import output
from k4calofast.exceptions import require
from k4calofast.validation.fidelity import Check
from k4calofast.validation.region import RegionReport
from k4calofast.validation.report import NUMBERS, PAGE, TABLES, Report
from k4calofast.validation.tables import Table

_CLOUDS = {
    "fpd": "FPD (0 is the same)",
    "kpd": "KPD (0 is the same)",
    "precision": "precision (1 is best)",
    "recall": "recall (1 is best)",
    "density": "density (1 is the same)",
    "coverage": "coverage (1 is best)",
}


def require_packages() -> None:
    """Make sure that the package of pages is there.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    require("validation", "a page", "jinja2")


def environment() -> Any:
    """Templates that escape what they are given.

    Raises
    ------
    MissingExtraError
        If Jinja2 is not installed.
    """
    require_packages()
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FunctionLoader(_content),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )


def _content(name: str) -> str:
    return files("k4calofast.validation").joinpath(name).read_text(encoding="utf-8")


def template(name: str) -> Any:
    """Return a template of this folder."""
    return environment().get_template(name)


def write(report: Report, folder: Path) -> None:
    """Write the page, the JSON and the tables; they have their names only when complete."""
    output.write(folder / PAGE, html(report))
    output.write(folder / NUMBERS, json.dumps(report.data(), indent=1) + "\n")
    output.write(folder / TABLES, report.markdown() + "\n")


def write_region(report: RegionReport, folder: Path) -> None:
    """Write the reports of models, each in a folder of its own, and the page that leads to them."""
    for member in report.members:
        write(member.report, folder / member.folder)
    text = template("region.html.j2").render(
        r=report, software=f"k4calofast {k4calofast.__version__}"
    )
    output.write(folder / PAGE, text)
    output.write(folder / NUMBERS, json.dumps(report.data(), indent=1) + "\n")
    output.write(folder / TABLES, report.markdown() + "\n")


def html(report: Report) -> str:
    """Return the page."""
    text: str = template("page.html.j2").render(
        r=report,
        s=report.subject,
        c=report.comparison,
        gates=_gates(report),
        metrics=[report.classifiers, *_parts(report), _clouds(report), _spectra(report)],
        unresolved=len(report.comparison.unresolved),
        software=f"k4calofast {k4calofast.__version__}",
    )
    return text


def _gates(report: Report) -> list[dict[str, Any]]:
    """The worst check of each gate, and what it says."""
    rows = []
    checks = report.comparison.checks
    for gate in dict.fromkeys(check.gate for check in checks):
        mine = [check for check in checks if check.gate == gate]
        state, colour, worst = _state(mine)
        rows.append(
            {
                "name": gate,
                "meaning": report.kind.meanings[gate],
                "worst": worst,
                "state": state,
                "colour": colour,
                "count": len(mine),
                "failed": sum(check.fails for check in mine),
                "unresolved": sum(check.blind and not check.fails for check in mine),
                "needed": max(check.needed for check in mine),
            }
        )
    return rows


def _state(checks: list[Check]) -> tuple[str, str, Check]:
    """What a gate's checks say, its colour, and the worst of them."""
    worst = max(checks, key=lambda check: check.excess)
    if worst.fails:
        return "fails", "bad", worst
    if any(check.blind for check in checks):
        widest = max(checks, key=lambda check: check.chance * check.error)
        return "not resolved", "unresolved", widest
    if any(check.beyond for check in checks):
        return "beyond", "fair", max(checks, key=lambda check: abs(check.value))
    return "passes", "good", worst


def _parts(report: Report) -> list[Table]:
    """Areas of kinds and momenta."""
    c, rows = report.comparison, []
    for name, area in c.distances.separations.items():
        itself = c.itself.separations.get(name)
        other = {} if itself is None else {part.where: part.area for part in itself.parts}
        for part in area.parts:
            against = f"{other[part.where]:.4f}" if part.where in other else "-"
            what = report.kind.classifiers[name].what
            rows.append([what, part.where, str(part.showers), f"{part.area:.4f}", against])
    titles = ["classifier", "of", "showers", "area under ROC", "reference"]
    return [Table("Classifiers, kind by kind", titles, rows)] if rows else []


def _clouds(report: Report) -> Table:
    c = report.comparison
    rows = [
        [title, *(f"{side.clouds[name]:.4f}" for side in (c.distances, c.itself))]
        for name, title in _CLOUDS.items()
    ]
    titles = ["distance or share", "generator", "reference"]
    return Table("All observables together", titles, rows)


def _spectra(report: Report) -> Table:
    c = report.comparison
    rows = []
    for name, spectrum in c.distances.spectra.items():
        itself, observable = c.itself.spectra[name], report.kind.titles[name]
        rows.append(
            [
                observable.title,
                f"{spectrum.chi2_ndf:.2f}",
                f"{spectrum.p_value:.2g}",
                f"{spectrum.separation:.5f}",
                f"{spectrum.wasserstein.value:.4f}",
                f"{itself.chi2_ndf:.2f}",
                f"{itself.p_value:.2g}",
                f"{itself.wasserstein.value:.4f}",
                observable.formula,
            ]
        )
    titles = ["observable", "chi2/NDF", "p", "separation power", "Wasserstein"]
    titles += ["chi2/NDF, reference", "p", "Wasserstein, reference", "formula"]
    return Table("Spectra", titles, rows)
