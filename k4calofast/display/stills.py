"""Still pictures of an event: r-phi and r-z beside each other, for slides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from k4calofast.arrays import Floats, Indices, Mask
from k4calofast.display import kinds
from k4calofast.display.drawing import LETTERS, heat, saved, title
from k4calofast.display.names import latex_of
from k4calofast.display.scene import Cells, Event, Particle, Scene
from k4calofast.display.showers import MeanShower
from k4calofast.pictures import styled

_SIZE = (16.0, 8.0)

_MOST_SHAPES = 2000
"""Cells in an SVG or PDF; if there are more, they are an image in it."""

_DECADES = 4
"""Of the colours; cells of less energy have the colour of the lowest."""

_MOST_KINDS = 6
"""Of particles in a legend."""

_M = 1e-3
"""m, in mm."""

_KINDS: dict[int, tuple[str, Any]] = {
    22: ("#0969da", (0, (4, 2))),
    11: ("#1a7f37", "-"),
    -11: ("#bf3989", "-"),
    13: ("#8250df", "-"),
    -13: ("#8250df", "-"),
}
"""Colours and lines of particles."""

View = Callable[[Floats, Floats], Floats]
"""Projects points (N, P, 3); the sides of their middles (N, 3) decide what is above the beam."""


def event_still(scene: Scene, form: str, threshold: float = 0.0) -> bytes:
    """Draw the first event of a scene.

    Parameters
    ----------
    form
        ``png``, ``svg`` or ``pdf``.
    threshold
        GeV below which cells are not drawn.

    Returns
    -------
    bytes
        The file, always the same for the same scene.
    """
    event = scene.events[0]
    drawn = event.cells.energy >= threshold
    with styled(hashsalt="k4calofast", fonttype="none") as (plt, _), plt.rc_context(LETTERS):
        radius, length = _extent(scene, event)
        figure, panels = plt.subplots(
            1, 2, figsize=_SIZE, width_ratios=(radius, length), sharey=True
        )
        colours = _colours(event, drawn)
        for panel, view in zip(panels, (_across, _along), strict=True):
            _outlines(panel, scene, view)
            _cells(panel, event, drawn, view, colours, form)
            _ways(panel, event, view)
            panel.set_aspect("equal")
            panel.set_ylim(-radius, radius)
        panels[0].set_xlim(-radius, radius)
        panels[1].set_xlim(-length, length)
        _words(figure, panels, scene, event, drawn)
        bar = figure.colorbar(colours, ax=panels, pad=0.01, fraction=0.04, aspect=32)
        bar.set_label("energy of a cell [GeV]")
        return saved(plt, figure, form)


def _across(points: Floats, _middles: Floats) -> Floats:
    """Project along the beam: x and y."""
    return points[..., :2]


def _along(points: Floats, middles: Floats) -> Floats:
    """Project around the beam: z, and the distance from the beam, negative below y = 0."""
    side = np.where(middles[:, 1] < 0, -1.0, 1.0)
    radius = np.hypot(points[..., 0], points[..., 1]) * side[:, None]
    return np.stack([points[..., 2], radius], axis=-1)


def _extent(scene: Scene, event: Event) -> tuple[float, float]:
    """Largest distance (m) from the beam, and along it from the middle, with a margin."""
    lines = [line for one in scene.calorimeters for line in one.outline]
    points = np.abs(np.concatenate([event.cells.position, *lines]))
    radius = max(np.hypot(points[:, 0], points[:, 1]).max(), 1.0)
    length = points[:, 2].max()
    return 1.04 * radius * _M, 1.04 * max(length, radius / 2) * _M


def _colours(event: Event, drawn: Mask) -> Any:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm

    energy = event.cells.energy[drawn]
    high = float(energy.max(initial=0.0)) or 1.0
    low = max(float(energy.min(initial=high)), high * 10.0**-_DECADES)
    return ScalarMappable(LogNorm(min(low, high / 1.1), high, clip=True), heat())


def _cells(panel: Any, event: Event, drawn: Mask, view: View, colours: Any, form: str) -> None:
    """Draw cells, those of more energy over others."""
    from matplotlib.collections import PolyCollection

    # Cells are as in the file, which need not be in any order.
    order = np.argsort(event.cells.energy, kind="stable")
    cells = event.cells.take(order[drawn[order]])
    known = _known(cells)
    as_image = len(cells.energy) > _MOST_SHAPES and form != "png"
    if known.any():
        corners = view(cells.solids[known], cells.position[known])
        # A convex cell is all of its faces.
        faces = _faces(corners.shape[1] // 2)
        polygons = [cell[face] * _M for cell in corners for face in faces]
        shades = np.repeat(colours.to_rgba(cells.energy[known]), len(faces), axis=0)
        shapes = PolyCollection(polygons, facecolors=shades, edgecolors=shades, linewidths=0.6)
        shapes.set_rasterized(as_image)
        panel.add_collection(shapes)
    if not known.all():
        position = cells.position[~known]
        x, y = (view(position[:, None], position)[:, 0] * _M).T
        energy = cells.energy[~known]
        size = 3 + 60 * energy / energy.max()
        shades = colours.to_rgba(energy)
        panel.scatter(x, y, size, c=shades, linewidths=0, rasterized=as_image, zorder=2)


def _faces(front: int) -> list[Indices]:
    """Corners of the faces of a solid with so many in front: front, back and sides."""
    around = np.arange(front)
    after = (around + 1) % front
    sides = np.stack([around, after, front + after, front + around], axis=1)
    return [around, front + around, *sides]


def _known(cells: Cells) -> Mask:
    """(C,) whether the solids of cells are known."""
    return np.asarray(np.isfinite(cells.solids).all((1, 2)))


def _outlines(panel: Any, scene: Scene, view: View) -> None:
    style = {"color": "#b1bac4", "linewidth": 1.2, "zorder": 0}
    for calorimeter in scene.calorimeters:
        lines = calorimeter.outline
        if view is _across:
            for line in lines:
                x, y = line[:, :2].T * _M
                panel.plot(x, y, **style)
            continue
        for body in _bodies(lines):
            points = np.concatenate(body)
            z, r = _hull(np.stack([points[:, 2], np.hypot(points[:, 0], points[:, 1])], 1)).T * _M
            for side in (1, -1):
                panel.plot(z, side * r, **style)


def _bodies(lines: Sequence[Floats]) -> list[list[Floats]]:
    """Lines of each end, if none goes from one to the other; else all together."""
    ends = [[line for line in lines if (sign * line[:, 2] > 0).all()] for sign in (1, -1)]
    return ends if all(ends) and sum(map(len, ends)) == len(lines) else [list(lines)]


def _hull(points: Floats) -> Floats:
    """Corners of the convex hull of points (N, 2), closed (A. M. Andrew, 1979)."""
    ordered = np.unique(points, axis=0)

    def half(chain: Floats) -> list[Floats]:
        kept: list[Floats] = []
        for point in chain:
            while len(kept) > 1:
                (ax, ay), (bx, by) = kept[-1] - kept[-2], point - kept[-2]
                if ax * by - ay * bx > 0:
                    break
                kept.pop()
            kept.append(point)
        return kept

    below, above = half(ordered), half(ordered[::-1])
    return np.array(below + above[1:])


def _style(particle: Particle) -> dict[str, Any]:
    """Colour and line of a particle's way, as on the pages."""
    if particle.pdg in _KINDS:
        colour, line = _KINDS[particle.pdg]
        return {"color": colour, "linestyle": line}
    if particle.charge:
        return {"color": "#57606a", "linestyle": "-"}
    return {"color": "#8c959f", "linestyle": (0, (1, 2))}


def _ways(panel: Any, event: Event, view: View) -> None:
    for particle in event.particles:
        if len(particle.way) > 1:
            way = particle.way
            x, y = view(way[None], way[None, -1])[0].T * _M
            panel.plot(x, y, linewidth=2, zorder=3, **_style(particle))


def _words(figure: Any, panels: Any, scene: Scene, event: Event, drawn: Mask) -> None:
    from matplotlib.lines import Line2D

    names = ", ".join(one.name for one in scene.calorimeters)
    title = f"{scene.file}, {event.title}"
    figure.suptitle(title, parse_math=False)
    sum_ = event.cells.energy[drawn].sum()
    some = "" if drawn.all() else f" of {len(drawn)}"
    panels[0].set_title(names or "hits", parse_math=False)
    panels[1].set_title(f"{drawn.sum()}{some} cells, {sum_:.3g} GeV")
    panels[0].set_xlabel("x [m]")
    panels[0].set_ylabel("y [m]")
    panels[1].set_xlabel("z [m]")
    panels[1].set_ylabel("r [m], with the sign of y")
    kinds: dict[int, list[Particle]] = {}
    for particle in event.particles:
        if len(particle.way) > 1:
            kinds.setdefault(particle.pdg, []).append(particle)
    handles = [
        Line2D([], [], linewidth=2.5, label=_entry(pdg, found), **_style(found[0]))
        for pdg, found in list(kinds.items())[:_MOST_KINDS]
    ]
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))


def _entry(pdg: int, particles: list[Particle]) -> str:
    """Entry of a legend: a kind, how many there are, and with how much energy."""
    energy = sum(particle.energy for particle in particles)
    count = f"{len(particles)} " if len(particles) > 1 else ""
    return f"{count}{latex_of(pdg)}, {energy:.3g} GeV"


def shower_still(shower: MeanShower, form: str) -> bytes:
    """Draw mean showers; the form and the file are as in `event_still`."""
    with styled(hashsalt="k4calofast", fonttype="none") as (plt, _), plt.rc_context(LETTERS):
        figure = kinds.find(shower.calorimeter.kind).draw(plt, shower)
        figure.suptitle(title(shower))
        return saved(plt, figure, form)
