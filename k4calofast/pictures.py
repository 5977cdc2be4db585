"""Pictures by matplotlib: one style for all, and their files."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

USUAL = 9
"""Size of letters (points)."""


def image(
    plt: Any, figure: Any, dpi: int, form: str = "png", metadata: Mapping[str, Any] | None = None
) -> bytes:
    """Return a figure's file, and close it if it is a PNG: of pictures in two forms, the last."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=dpi, format=form, metadata=metadata)
    if form == "png":
        plt.close(figure)
    return buffer.getvalue()


@contextmanager
def styled(**settings: str) -> Iterator[tuple[Any, Any]]:
    """Yield what `plotting` returns, in the style of all pictures; settings are of SVG files."""
    plt, mplhep = plotting()
    common = {"font.size": USUAL, "figure.constrained_layout.use": True}
    more = {f"svg.{name}": value for name, value in settings.items()}
    with (
        plt.style.context(mplhep.style.ATLAS),
        plt.rc_context(common | more),
        warnings.catch_warnings(),
    ):
        # Names may have characters that the font has not.
        warnings.filterwarnings("ignore", message="Glyph")
        yield plt, mplhep


def plotting() -> tuple[Any, Any]:
    """Return matplotlib's pyplot, without a display, and mplhep: they take a second to load."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    import mplhep

    return plt, mplhep
