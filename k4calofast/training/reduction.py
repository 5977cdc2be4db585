"""Smaller variants of an exported generator: weights in 16 bits, or matrix products in int8.

float16
    Large weights are stored in half precision and widened when the model is loaded: half the file,
    the same speed. What is computed is computed as before. Weights of matrices are rounded, and
    large tables whose values all keep 11 bits; sums, scales, biases and small tables are not.
bfloat16
    The same, but that weights of matrices are rounded to the 8 bits of bfloat16: as they are in the
    products of a training with mixed precision, whose rounding the generator has seen. The file is
    as large, but a tenth smaller when it is compressed.
int8
    Matrix products between hidden layers in 8 bits (U8S8), with scales of activations fixed by a
    calibration sample, so that a shower still does not depend on its neighbours. About twice as
    fast; validate it before use, the rounding shows.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from k4calofast import detector
from k4calofast.arrays import Floats32
from k4calofast.exceptions import ModelError
from k4calofast.generator import Model
from k4calofast.generator.card import MODEL_FILE, ModelCard, digest, read_card, read_checked
from k4calofast.showers.reading import Hints
from k4calofast.training import export, kinds
from k4calofast.training.authorship import Authorship
from k4calofast.training.joining import read_sample
from k4calofast.training.kinds import Kind
from k4calofast.training.objectives import measured
from k4calofast.training.precision import Reduced

_MATRIX, _TABLE = 1 << 10, 1 << 16
"""Values of a matrix and of another tensor from which half precision pays."""

_HALF = np.finfo(np.float16)

_SINGLE = np.finfo(np.float32).nmant
"""Bits of single precision behind the first."""

_DROPPED = 3
"""Bits of half precision that bfloat16 does not have."""

_PRODUCTS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
"""Operators that add up products with weights, their second input."""

_WORDS = {
    Reduced.FLOAT16: "weights stored in half precision",
    Reduced.BFLOAT16: "weights rounded to 8 bits, stored in half precision",
    Reduced.INT8: "matrix products in int8",
}
"""What was done, for cards."""

_SIDE = 100
"""Rows and columns of a matrix from which int8 pays."""

_BLOCK, _BLOCKS = 64, 64
"""Showers in a block, and blocks that int8 is calibrated with, at most."""

_MEASURED = 4096
"""Showers by which models are compared, at most."""


def reduce(
    folder: Path,
    output: Path,
    precision: Reduced,
    sample: Path,
    command: str,
    whose: Authorship | None = None,
) -> ModelCard:
    """Write a variant of a model, and its card without validation.

    Parameters
    ----------
    folder, output
        Model folders: to read and to write.
    precision
        Which variant.
    sample
        Showers, with whose kinds and conditions int8 is calibrated.
    command
        What the user typed, for the card.
    whose
        Author, licence and version, where they were given; those that were not are the model's.

    Raises
    ------
    FileFormatError
        If the sample cannot be read.
    ModelError
        If there is no such model, or nothing in it to reduce.
    """
    card = read_card(folder)
    content = read_checked(folder, card)
    showers = _read(sample, card)
    if precision is Reduced.INT8:
        blocks = inputs(card, *showers)
        reduced = _quantised(content, card, islice(blocks, _BLOCKS))
    else:
        reduced = halved(content, _DROPPED if precision is Reduced.BFLOAT16 else 0)
    training = card.training.model_copy(
        update={
            "method": f"{card.training.method}; {_WORDS[precision]}",
            "command": f"{card.training.command} && {command}",
        }
    )
    update = {
        "name": "/".join(output.resolve().parts[-2:]),
        "description": f"{card.description.rstrip('.')}, {_WORDS[precision]}.",
        "file": MODEL_FILE,
        "sha256": digest(reduced),
        "training": training,
        "validation": {},
        **(whose or Authorship()).stated(),
    }
    new = card.model_copy(update=update)
    export.write_model(output, reduced, new)
    return new


def compared(folder: Path, output: Path, sample: Path) -> tuple[float, float]:
    """Return chi2 of the total energy of a model and of its variant, over full simulation.

    Raises
    ------
    FileFormatError, ModelError, TrainingError
        If the sample or a model cannot be read, or they do not fit.
    """
    card = read_card(folder)
    showers, provenance = _read(sample, card)
    few = showers.take(slice(None, None, -(-len(showers) // _MEASURED)))
    before, after = (
        measured("chi2", Model(place, "cpu"), few, provenance) for place in (folder, output)
    )
    return before, after


def inputs(card: ModelCard, showers: Any, provenance: Any) -> Iterator[dict[str, Any]]:
    """Yield inputs of a model, block by block, for the particles of showers."""
    kind, random = _kind_of(card), np.random.default_rng(0)
    for start in range(0, len(showers), _BLOCK):
        part = showers.take(slice(start, start + _BLOCK))
        told = kind.inputs(card, part, provenance, start)
        block = {name: values.astype(np.float32) for name, values in told.items()}
        block["noise"] = random.standard_normal((len(part), card.noise)).astype(np.float32)
        if card.uniform:
            block["uniform"] = random.random((len(part), card.uniform), np.float32)
        if len(card.kinds) > 1:
            block["pdg"] = part.pdg.astype(np.int64)
        yield block


def _kind_of(card: ModelCard) -> Kind:
    return kinds.of(detector.load(card.detector).kind)


def _read(sample: Path, card: ModelCard) -> tuple[Any, Any]:
    return read_sample(sample, _kind_of(card), Hints())


def halved(content: bytes, dropped: int = 0) -> bytes:
    """Return a model whose large weights are stored in half precision.

    ONNX Runtime widens them when it loads the model: constants are folded there.

    Parameters
    ----------
    content
        Of its ONNX file.
    dropped
        Bits of half precision that weights of matrices do without.

    Raises
    ------
    ModelError
        If there are none.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load_from_string(content)
    graph = model.graph
    matrices = _matrices(graph)
    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT:
            continue
        weights = numpy_helper.to_array(tensor)
        if not _fits_half(weights, tensor.name in matrices):
            continue
        name = tensor.name
        rounded = _rounded(weights, dropped if name in matrices else 0)
        half = numpy_helper.from_array(rounded, f"{name}.half")
        tensor.CopyFrom(half)
        casts.append(helper.make_node("Cast", [half.name], [name], to=TensorProto.FLOAT))
    if not casts:
        raise ModelError("this model has no large weights to reduce")
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def _rounded(weights: Floats32, dropped: int) -> npt.NDArray[np.float16]:
    """Weights in half precision, without some of its last bits; ties go to the even neighbour."""
    low = _SINGLE - _HALF.nmant + dropped
    if dropped:
        bits = weights.view(np.uint32).astype(np.int64)
        bits = (bits + (1 << low - 1) - 1 + (bits >> low & 1)) >> low << low
        weights = bits.astype(np.uint32).view(np.float32)
    return weights.astype(np.float16)


def widened(content: bytes) -> bytes:
    """Return a model with weights in single precision, for tools that look for them."""
    import onnx
    from onnx import TensorProto, numpy_helper

    model = onnx.load_from_string(content)
    graph = model.graph
    halves = {one.name: one for one in graph.initializer if one.data_type == TensorProto.FLOAT16}
    casts = [
        node
        for node in graph.node
        if node.op_type == "Cast"
        and node.attribute[0].i == TensorProto.FLOAT
        and node.input[0] in halves
    ]
    for node in casts:
        weights = numpy_helper.to_array(halves[node.input[0]]).astype(np.float32)
        graph.initializer.append(numpy_helper.from_array(weights, node.output[0]))
        graph.node.remove(node)
    used = {name for node in graph.node for name in node.input}
    for name, tensor in halves.items():
        if name not in used:
            graph.initializer.remove(tensor)
    return bytes(model.SerializeToString())


def _matrices(graph: Any) -> set[str]:
    """Names of tensors that products with weights are made of, and of which nothing else is."""
    used: dict[str, set[bool]] = {}
    for node in graph.node:
        for place, name in enumerate(node.input):
            # An identity is another name, which the exporter gives to weights that occur twice.
            if node.op_type != "Identity":
                used.setdefault(name, set()).add(node.op_type in _PRODUCTS and place == 1)
    for node in reversed(graph.node):
        if node.op_type == "Identity":
            used.setdefault(node.input[0], set()).update(used.get(node.output[0], {False}))
    return {name for name, uses in used.items() if uses == {True}}


def _fits_half(values: Floats32, matrix: bool) -> bool:
    """Whether rounding to half precision pays, and does no harm.

    Errors of a matrix add up to what is small against its products if they are small against its
    largest weight, 2^-11 or less. Of other tensors each value must keep 11 bits: tables have
    energies that differ by orders of magnitude.
    """
    size = np.abs(values[values != 0])
    if values.size < (_MATRIX if matrix else _TABLE) or size.size == 0:
        return False
    if not np.isfinite(values).all() or size.max() > _HALF.max:
        return False
    return bool((size.max() if matrix else size.min()) >= _HALF.smallest_normal)


def _quantised(content: bytes, card: ModelCard, blocks: Iterator[dict[str, Any]]) -> bytes:
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Sample(CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> dict[str, Any] | None:
            return next(blocks, None)

    content = widened(content)
    graph = onnx.load_from_string(content).graph
    sizes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    hidden = [
        node.name
        for node in graph.node
        if node.op_type in ("MatMul", "Gemm")
        and any(
            len(size) == 2 and min(size) > max(_SIDE, card.noise) for size in _sizes(node, sizes)
        )
    ]
    if not hidden:
        raise ModelError(f"model '{card.name}' has no hidden layers to reduce")
    with tempfile.TemporaryDirectory() as temporary:
        plain, prepared, reduced = (Path(temporary) / name for name in ("a", "b", "c"))
        plain.write_bytes(content)
        quant_pre_process(plain, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            reduced,
            Sample(),
            quant_format=QuantFormat.QOperator,
            per_channel=True,
            op_types_to_quantize=["MatMul", "Gemm"],
            nodes_to_quantize=hidden,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return reduced.read_bytes()


def _sizes(node: Any, sizes: dict[str, list[int]]) -> list[list[int]]:
    return [sizes[name] for name in node.input if name in sizes]
