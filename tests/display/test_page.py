"""A page is one file with everything inside, always the same; no text in it is taken for code."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace

import numpy as np
import pytest

from k4calofast.display.page import page
from k4calofast.display.reading import read


@pytest.fixture(scope="module")
def scene(besiii_file):
    return read(besiii_file, [0, 1])


def data_of(text: str):
    return json.loads(
        re.search(r'<script id="data" type="application/json">(.*)</script>', text)[1]
    )


def test_the_page_is_the_same_each_time(scene, besiii_file):
    assert page(scene) == page(read(besiii_file, [0, 1]))


def test_plotly_is_in_the_page_once_and_nothing_is_fetched(scene):
    text = page(scene)
    assert text.count("* plotly.js v") == 1
    assert 4.5e6 < len(text) < 5.5e6
    outside = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert re.findall(r'(?:src|href)="([^"]*)"', outside) == ["data:,"]
    assert "default-src 'none'" in outside


def test_columns_are_those_of_the_event(scene):
    event = data_of(page(scene))["events"][0]
    kind, text = event["cells"]["id"]
    assert kind == "u8"
    assert (np.frombuffer(base64.b64decode(text), "<u8") == scene.events[0].cells.cell_id).all()
    kind, text = event["deposits"]["energy"]
    energy = np.frombuffer(base64.b64decode(text), "<f4")
    assert energy.sum() == pytest.approx(scene.events[0].deposits.energy.sum(), rel=1e-6)


def test_no_name_ends_a_script(scene):
    collection, *others = scene.collections
    name = "</script><script>alert(1)</script><!--"
    text = page(replace(scene, file=name, collections=(replace(collection, name=name), *others)))
    assert "alert(1)" in text
    assert "<script>alert" not in text
    assert data_of(text)["collections"][0]["name"] == name
