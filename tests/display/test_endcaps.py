"""What leaks from BESIII's barrel into an endcap is drawn in its crystals, five-sided ones too."""

from __future__ import annotations

import base64
import json
import re

import numpy as np
import pytest

import k4calofast
from k4calofast.detector import besiii
from k4calofast.display.page import page
from k4calofast.display.reading import read
from k4calofast.display.scene import Scene
from k4calofast.display.stills import _bodies, event_still


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Scene:
    """Frozen showers in the last rings: some have energy in the endcaps."""
    events = k4calofast.simulate(
        pdg=np.full((1, 300), 22),
        momentum=2.0,
        theta=np.tile([0.625, np.pi - 0.625], (1, 150)),
        phi=np.linspace(-3, 3, 300)[None],
        model="besiii_emc_barrel/library",
    )
    file = tmp_path_factory.mktemp("endcaps") / "leaks.edm4hep.root"
    events.to_edm4hep(file)
    return read(file, [0])


def test_both_collections_are_in_the_crystals_of_their_calorimeters(scene):
    assert [one.calorimeter.name for one in scene.collections] == [
        "BESIII_EMC_barrel",
        "BESIII_EMC_endcaps",
    ]
    cells = scene.events[0].cells
    assert np.isfinite(cells.solids).all()
    assert cells.solids.shape[1:] == (10, 3)
    middles = np.stack([np.unique(solid, axis=0).mean(0) for solid in cells.solids])
    assert middles == pytest.approx(cells.position, abs=1e-2)
    far = np.abs(cells.position[cells.collection == 1][:, 2])
    assert len(far) > 0
    assert far.min() > 1395


def test_a_page_says_how_many_corners_cells_have(scene):
    text = re.search(r'<script id="data" type="application/json">(.*)</script>', page(scene))[1]
    event = json.loads(text)["events"][0]
    assert event["corners"] == 10
    shapes = np.frombuffer(base64.b64decode(event["shapes"][1]), "<f4")
    shape = np.frombuffer(base64.b64decode(event["cells"]["shape"][1]), "<i4")
    assert len(shapes) == (shape.max() + 1) * 10 * 3


def test_the_outlines_of_both_ends_are_two_and_that_of_the_barrel_is_one(scene):
    assert len(_bodies(besiii.endcaps().outline)) == 2
    assert len(_bodies(besiii.barrel().outline)) == 1
    assert event_still(scene, "png").startswith(b"\x89PNG")
