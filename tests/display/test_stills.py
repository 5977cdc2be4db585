"""Stills show what is there, in letters that can be read on a slide, and are always the same."""

from __future__ import annotations

import io
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from k4calofast.display.reading import read
from k4calofast.display.stills import event_still


@pytest.fixture(scope="module")
def scene(besiii_file):
    return read(besiii_file, [0])


def pixels(png: bytes):
    image = pytest.importorskip("PIL.Image")
    with image.open(io.BytesIO(png)) as opened:
        return np.asarray(opened.convert("RGB")).astype(int)


def warm(png: bytes) -> int:
    """Pixels in the colours of cells: much more red than blue."""
    red, _, blue = np.moveaxis(pixels(png), -1, 0)
    return int((red - blue > 100).sum())


def test_the_picture_has_the_size_of_a_slide_and_cells_in_it(scene):
    png = event_still(scene, "png")
    height, width, _ = pixels(png).shape
    assert width >= 1500
    assert 0.4 < height / width < 0.6
    # 70 crystals of 280 mm in views of 2.5 m: some per cent of a panel, and the colour bar.
    assert warm(png) > 10_000
    strongest = scene.events[0].cells.energy.max()
    assert warm(event_still(scene, "png", strongest)) < warm(png)


def test_labels_are_text_with_units(scene):
    svg = event_still(scene, "svg").decode()
    root = ElementTree.fromstring(svg)  # noqa: S314 - our own
    texts = ["".join(part.itertext()).strip() for part in root.iter() if part.tag.endswith("}text")]
    for label in ("x [m]", "y [m]", "z [m]", "r [m], with the sign of y", "energy of a cell [GeV]"):
        assert label in texts
    assert "BESIII_EMC_barrel, BESIII_EMC_endcaps" in texts
    assert "fastsim.edm4hep.root, event 0 of the file (run 1, event 0)" in texts
    assert any("cells, " in text and "GeV" in text for text in texts)


def test_thousands_of_cells_are_an_image_in_an_svg(cld_file):
    svg = event_still(read(cld_file, [0]), "svg")
    assert len(svg) < 400_000
    assert b"data:image/png;base64" in svg
    assert b"CLD_ECAL_barrel" in svg


@pytest.mark.parametrize("form", ["svg", "pdf"])
def test_the_same_event_is_the_same_file(scene, form):
    assert event_still(scene, form) == event_still(scene, form)


def test_a_detector_that_is_not_known_has_points(edm4hep_file):
    file = edm4hep_file("odd_piplus10GeV_10ev_pyedm4hep_sample_event.root")
    assert warm(event_still(read(file, [0]), "png")) > 4000


def test_hits_without_sense_are_a_picture_too(edm4hep_file):
    scene = read(edm4hep_file("coffea_edm4hep_all_types.root"), [0])
    assert event_still(scene, "png").startswith(b"\x89PNG")


def test_names_with_dollars_and_braces_are_no_mathematics(scene):
    strange = replace(scene, file="a$x_{y$.root")
    assert b"a$x_{y$.root" in event_still(strange, "svg")
