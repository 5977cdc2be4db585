"""What still pictures have in common: letters for slides, colours, files, spectra of showers."""

from __future__ import annotations

from typing import Any

import numpy as np

from k4calofast.display.names import latex_of
from k4calofast.display.showers import MeanShower
from k4calofast.pictures import image

LETTERS = {
    "font.size": 18,
    "axes.titlesize": 19,
    "axes.labelsize": 20,
    "xtick.labelsize": 17,
    "ytick.labelsize": 17,
    "legend.fontsize": 18,
    "figure.titlesize": 21,
    "figure.labelsize": 20,
    "xaxis.labellocation": "center",
    "yaxis.labellocation": "center",
}
"""Letters (sizes in points) in a picture that is as wide as a slide."""

_DPI = 100

COLOURS = ("#fcd34d", "#f59e0b", "#ea580c", "#b91c1c", "#4a0404")
"""From low to high energies, as on the pages."""

_BINS = 40
"""At most."""


def heat() -> Any:
    """Return the map of colours."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("heat", COLOURS)


def saved(plt: Any, figure: Any, form: str) -> bytes:
    """Return a figure's file (``png``, ``svg``, ``pdf``), without the time in it, and close it."""
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(form)
    content = image(plt, figure, _DPI, form, metadata)
    plt.close(figure)
    return content


def spectrum(panel: Any, shower: MeanShower) -> None:
    """Draw the spectrum of deposited over incident energy."""
    share = 100 * shower.deposited / shower.momentum
    low, high = np.quantile(share, [0.005, 1.0])
    bins = int(np.clip(np.sqrt(len(share)), 5, _BINS))
    edges = np.linspace(low, high + 0.02 * max(high - low, 1e-6), bins + 1)
    counts, _ = np.histogram(share, edges)
    panel.stairs(counts, edges, color="#0969da", fill=True, alpha=0.25)
    panel.stairs(counts, edges, color="#0969da", linewidth=2)
    panel.set_xlabel("deposited energy / momentum [%]")
    panel.set_ylabel("showers")
    panel.set_title(f"mean {share.mean():.4g} %, spread {share.std():.3g} %")


def title(shower: MeanShower) -> str:
    """Return the title of a picture of showers."""
    at = f"{shower.momentum:g} GeV, theta {shower.theta:g}°, phi {shower.phi:g}°"
    what = f"{len(shower.deposited)} showers of {latex_of(shower.pdg)}, {at}"
    return f"{shower.card.name}: {what}"
