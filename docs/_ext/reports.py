"""The gallery of reports: a table, pictures and pages, of each `report.json` that is here."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

DOCS = Path(__file__).parents[1]
_MARK = "<!-- made of the reports -->"
_COLOURS = {22: "tab:blue", 11: "tab:red", -11: "tab:green"}
"""Of photons, electrons and positrons; others have matplotlib's."""


def _folders() -> list[str]:
    """Folders of reports, below that of the docs; the best model of each detector first."""
    files = DOCS.glob("reports/*/*/report.json")
    return sorted((str(file.parent.relative_to(DOCS)) for file in files), key=_order)


def _read(folder: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((DOCS / folder / "report.json").read_text())
    return report


def _order(folder: str) -> tuple[str, float]:
    report = _read(folder)
    area: float = report["overview"]["generator"]["auc"]["observables"]["value"]
    return report["detector"], area


def _page(report: dict[str, Any]) -> Iterator[str]:
    yield "```{toctree}\n:hidden:\n:maxdepth: 1"
    for folder, one in report.items():
        yield f"{one['model']} <{folder}/report>"
    yield "```\n"
    yield "| model | area | gates failed | report |"
    yield "|---|---|---|---|"
    for folder, one in report.items():
        made = one["overview"]["generator"]
        area = made["auc"]["observables"]
        links = f"[figures]({folder}/report.md)"
        if (DOCS / folder / "index.html").exists():
            links += f' and <a href="{folder}/index.html">pictures</a>'
        figure = f"{area['value']:.3f} ± {area['error']:.3f}"
        failed = f"{made['failed']} of {made['checks']}"
        yield f"| `{one['model']}` | {figure} | {failed} | {links} |"
    yield "\n## Mean energies beside Geant4\n"
    yield "Grey is what the gate allows; bars are statistical errors of both samples.\n"
    yield '<div class="gallery">'
    for folder, one in report.items():
        alt = f"Mean energy of {one['model']} over Geant4's, less one, against momentum"
        yield f'<a href="{folder}/report.html"><img src="{_picture(folder)}" alt="{alt}"></a>'
    yield "</div>"


def _picture(folder: str) -> str:
    return f"_images/report_{folder.replace('/', '_')}.svg"


def fill(_app: Sphinx, page: str, source: list[str]) -> None:
    """Put the gallery where its page asks for it."""
    if page == "reports":
        found = {folder: _read(folder) for folder in _folders()}
        source[0] = source[0].replace(_MARK, "\n".join(_page(found)))


def draw(report: dict[str, Any], file: Path) -> None:
    """Draw differences of mean energies, with their errors and the gate."""
    from k4calofast.display.names import latex_of
    from k4calofast.pictures import styled

    with styled(hashsalt="report") as (plt, _):
        figure, axes = plt.subplots(figsize=(3.6, 2.4))
        # Of hadrons and muons, which have no mean of windows, that of all crystals.
        figure_of = "mean" if "mean" in report["rows"][0] else "energy"
        kinds = list(dict.fromkeys(row["pdg"] for row in report["rows"]))
        for pdg in kinds:
            rows = [row for row in report["rows"] if row["pdg"] == pdg]
            x = [row["momentum"] for row in rows]
            y = [100 * row[figure_of]["value"] for row in rows]
            errors = [100 * row[figure_of]["error"] for row in rows]
            style = {"color": _COLOURS.get(pdg), "label": latex_of(pdg)}
            axes.errorbar(x, y, errors, fmt="o", ms=3, lw=1, **style)
        gate = 100 * report["gates"][figure_of]
        axes.axhspan(-gate, gate, color="0.9", zorder=0)
        axes.set_xscale("log")
        momenta = [row["momentum"] for row in report["rows"]]
        axes.set_xlim(0.7 * min(momenta), 1.4 * max(momenta))
        axes.set_xlabel("momentum [GeV]", fontsize=8)
        axes.set_ylabel("difference of mean energies [%]", fontsize=8)
        axes.tick_params(labelsize=8)
        axes.set_title(report["model"], fontsize=8)
        size = 7 if len(kinds) <= len(_COLOURS) else 5
        columns = min(len(kinds), 6)
        axes.legend(fontsize=size, frameon=False, ncols=columns, loc="upper center")
        axes.margins(y=0.25)
        figure.savefig(file, metadata={"Date": None})
        plt.close(figure)


def finish(app: Sphinx, failure: Exception | None) -> None:
    """Put pictures and pages beside the site's own."""
    if failure is not None or app.builder.format != "html":
        return
    out = Path(app.outdir)
    (out / "_images").mkdir(exist_ok=True)
    for folder in _folders():
        draw(_read(folder), out / _picture(folder))
        if (page := DOCS / folder / "index.html").exists():
            shutil.copy(page, out / folder / "index.html")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("source-read", fill)
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
