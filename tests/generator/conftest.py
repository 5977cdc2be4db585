"""A toy model: the momentum shared among nine cells."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import onnx.parser
import pytest
import yaml

from k4calofast.detector import description

GRAPH = """
<ir_version: 8, opset_import: ["" : 17]>
toy (float[N,9] noise, float[N,6] conditions, int64[N] pdg) => (float[N,3,3] energies) {
  zero = Constant <value = int64[1] {0}> ()
  one = Constant <value = int64[1] {1}> ()
  window = Constant <value = int64[3] {-1, 3, 3}> ()
  momentum = Slice (conditions, zero, one, one)
  shares = Softmax <axis = 1> (noise)
  flat = Mul (shares, momentum)
  energies = Reshape (flat, window)
}
"""

RANGES = {
    "momentum": [0.02, 3.0],
    "delta_theta_mom": [-0.3, 0.3],
    "delta_phi_mom": [-0.3, 0.3],
    "delta_z_pos": [-40.0, 40.0],
    "delta_phi_pos": [-0.03, 0.03],
    "z": [-1378.0, 1378.0],
}

LAYER_RANGES = {
    "momentum": [0.1, 100.0],
    "angle_t": [-0.5, 0.5],
    "angle_z": [-0.9, 0.9],
    "offset_t": [-2.5, 2.5],
    "offset_z": [-2.5, 2.5],
    "depth": [0.0, 1.0],
}


@pytest.fixture
def two_layers(tmp_path, monkeypatch) -> str:
    """Name of CLD's barrel with two layers, described outside the package."""
    name = "TOY_ECAL_barrel"
    text = (description.FOLDER / "CLD_ECAL_barrel.yaml").read_text()
    text = text.replace("name: CLD_ECAL_barrel", f"name: {name}").replace("repeat: 40", "repeat: 2")
    (tmp_path / f"{name}.yaml").write_text(text)
    monkeypatch.setenv(description.SEARCH_PATH, str(tmp_path))
    return name


@pytest.fixture
def toy(tmp_path) -> Callable[..., Path]:
    """Write the toy model, or another; keywords replace fields of its card, None removes them.

    A list of kinds gives them the ranges of a shower in crystals; a window with layers, in layers.
    """

    def write(graph: str | onnx.ModelProto = GRAPH, **changes: Any) -> Path:
        model = onnx.parser.parse_model(graph) if isinstance(graph, str) else graph
        content = model.SerializeToString()
        folder = tmp_path / "barrel" / "toy"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.onnx").write_bytes(content)
        card = {
            "layout": 1,
            "name": "barrel/toy",
            "version": "1",
            "description": "momentum shared among nine cells",
            "licence": "Apache-2.0",
            "authors": "nobody",
            "file": "model.onnx",
            "sha256": hashlib.sha256(content).hexdigest(),
            "detector": "BESIII_EMC_barrel",
            "interface": "windows",
            "window": [3, 3],
            "threshold": 0.0,
            "kinds": [22, 11],
            "noise": 9,
            "block": 16,
            "training": {
                "method": "none",
                "command": "none",
                "showers": 0,
                "sample": "none",
                "seed": 0,
                "simulation": "none",
                "physics": "none",
                "physics_data": "none",
                "software": "none",
                "machine": "none",
                "minutes": 0.0,
            },
            "validation": {},
        } | changes
        if isinstance(card["kinds"], list):
            ranges = LAYER_RANGES if len(card["window"]) == 3 else RANGES
            card["kinds"] = dict.fromkeys(card["kinds"], ranges)
        card = {field: value for field, value in card.items() if value is not None}
        (folder / "card.yaml").write_text(yaml.safe_dump(card, sort_keys=False))
        return folder

    return write
