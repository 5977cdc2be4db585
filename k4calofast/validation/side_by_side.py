"""Several validations side by side: fidelity against time per shower and size."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from k4calofast.exceptions import FileFormatError
from k4calofast.validation.figures import plotting
from k4calofast.validation.page import template
from k4calofast.validation.report import LAYOUT

_LARGEST = 1 << 26


class Summary(BaseModel):
    """What is compared of a report: a part of its JSON."""

    model_config = ConfigDict(extra="ignore")

    layout: str
    model: str
    version: str
    detector: str
    reference: str
    showers: int
    parameters: int | None
    milliseconds_per_shower: float
    threads: int
    passed: bool
    fails: list[str]
    largest: dict[str, float]
    auc: dict[str, float]
    distances: dict[str, Any]

    @property
    def row(self) -> dict[str, str]:
        """Cells of a table, by their titles."""
        fpd = self.distances.get("fpd", {}).get("value", float("nan"))
        cells = {
            "generator": f"{self.model} {self.version}",
            "verdict": "passes" if self.passed else f"{len(self.fails)} fail",
            "ms per shower": f"{self.milliseconds_per_shower:.3f}",
            "threads": str(self.threads),
            "parameters": "?" if self.parameters is None else f"{self.parameters / 1e6:.2f} M",
        }
        cells |= {f"AUC {name}": f"{value:.3f}" for name, value in self.auc.items()}
        cells |= {"FPD": f"{fpd:.4f}"}
        for gate in ("response", "width", "e1_e9", "closure"):
            if gate in self.largest:
                cells[f"worst {gate}"] = f"{self.largest[gate]:.4f}"
        return cells | {"reference": f"{self.showers} showers of {self.reference}"}


def read(report: Path) -> Summary:
    """Read a report.

    Raises
    ------
    FileFormatError
        If there is none, or it is not one.
    """
    file = report / "report.json" if report.is_dir() else report
    try:
        if file.stat().st_size > _LARGEST:
            raise FileFormatError(f"{file}: too large for a report")
        content = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or content.get("layout") != LAYOUT:
            raise FileFormatError(f"{file}: not a report ('{LAYOUT}')")
        return Summary.model_validate(content)
    except OSError as error:
        raise FileFormatError(f"{file}: {error.strerror}") from error
    except (ValueError, ValidationError) as error:
        raise FileFormatError(f"{file}: not a report: {str(error).splitlines()[0]}") from error


def table(found: list[Summary]) -> str:
    """Return a Markdown table, a line per generator."""
    rows = [one.row for one in found]
    titles = list(dict.fromkeys(title for row in rows for title in row))
    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    lines += ["| " + " | ".join(row.get(title, "") for title in titles) + " |" for row in rows]
    return "\n".join(lines)


def html(found: list[Summary]) -> str:
    """Return a page with the table and figures."""
    rows = [one.row for one in found]
    titles = list(dict.fromkeys(title for row in rows for title in row))
    text: str = template("side_by_side.html.j2").render(
        rows=rows, titles=titles, found=found, figure=base64.b64encode(_figure(found)).decode()
    )
    return text


def _figure(found: list[Summary]) -> bytes:
    plt, mplhep = plotting()
    with plt.style.context(mplhep.style.ATLAS), plt.rc_context({"font.size": 9}):
        figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained", sharey=True)
        for panel, title, values in (
            (axes[0], "ms per shower", [one.milliseconds_per_shower for one in found]),
            (axes[1], "parameters", [one.parameters for one in found]),
        ):
            for one, value in zip(found, values, strict=True):
                if value is None:
                    continue
                place = (value, max(one.auc.values()))
                panel.plot(*place, "o" if one.passed else "x")
                panel.annotate(
                    one.model.split("/")[-1], place, textcoords="offset points", xytext=(6, 4)
                )
            panel.set_xscale("log")
            panel.set_xlabel(title)
            panel.axhline(0.5, linestyle=":", color="gray")
        axes[0].set_ylabel("largest area under a classifier's ROC curve")
        buffer = io.BytesIO()
        figure.savefig(buffer, dpi=80, format="png")
        plt.close(figure)
    return buffer.getvalue()
