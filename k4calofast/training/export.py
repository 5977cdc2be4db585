"""Exporting a trained generator: physical units in and out, as one ONNX file with its card."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import torch

from k4calofast.generator.card import ModelCard, write_card
from k4calofast.incidence import CONDITIONS
from k4calofast.training.families.family import Family

MODEL_FILE = "model.onnx"
OPSET = 17
"""Of the exported graphs. ONNX Runtime 1.20 and later run it; the IR version is onnx's."""


def to_onnx(generator: Family) -> bytes:
    """Return the generator as an ONNX model, for any number of showers."""
    import onnx

    count = 2
    arguments = [torch.zeros(count, generator.noise), torch.ones(count, len(CONDITIONS))]
    names = ["noise", "conditions"]
    if len(generator.shape.kinds) > 1:
        arguments += [generator.features.kinds[:1].repeat(count)]
        names += ["pdg"]
    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        # The exporter that torch recommends needs packages beyond torch and onnx.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            generator.eval(),
            tuple(arguments),
            buffer,  # type: ignore[arg-type]
            input_names=names,
            output_names=["energies"],
            dynamic_axes={name: {0: "N"} for name in (*names, "energies")},
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load_from_string(buffer.getvalue())
    (energies,) = model.graph.output
    for axis, size in zip(
        energies.type.tensor_type.shape.dim[1:], generator.shape.window, strict=True
    ):
        axis.dim_value = size
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def write_model(folder: Path, content: bytes, card: ModelCard) -> None:
    """Write a model folder: the ONNX file, then the card that names it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / card.file).write_bytes(content)
    write_card(folder, card)
