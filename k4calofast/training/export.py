"""Exporting a trained generator: physical units in and out, as one ONNX file with its card."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import torch

from k4calofast import output
from k4calofast.generator.card import ModelCard, write_card
from k4calofast.training.family import Family

OPSET = 17
"""Of the exported graphs. ONNX Runtime 1.20 and later run it; the IR version is onnx's."""


def to_onnx(generator: Family) -> bytes:
    """Return the generator as an ONNX model, for any number of showers."""
    import onnx

    inputs, outputs = generator.signature(2)
    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        # The exporter that torch recommends needs packages beyond torch and onnx.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            generator.eval(),
            tuple(inputs.values()),
            buffer,  # type: ignore[arg-type]
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={
                **{name: {0: "N"} for name in inputs},
                **{name: {0: first} for name, (first, _) in outputs.items()},
            },
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load_from_string(buffer.getvalue())
    for tensor, (_, sizes) in zip(model.graph.output, outputs.values(), strict=True):
        for axis, size in zip(tensor.type.tensor_type.shape.dim[1:], sizes, strict=True):
            axis.dim_value = size
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def write_model(folder: Path, content: bytes, card: ModelCard) -> None:
    """Write a model folder: the ONNX file, then the card that names it.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    output.write(folder / card.file, content)
    write_card(folder, card)
