"""What an ONNX file would do, read from its bytes before ONNX Runtime sees them.

ONNX Runtime reads the weights of "external data" from any file that a model names, relative to the
working directory if the model comes from memory; and operators that draw random numbers of their
own make showers that depend on what was simulated before. Neither can be switched off, so models
with them are refused. The file is a message of protobuf (https://protobuf.dev/programming-guides/
encoding); the numbers of fields are those of ONNX's ``onnx.proto``.
"""

from __future__ import annotations

from collections.abc import Iterator

MESSAGES = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: "TensorProto",
        6: "GraphProto",
        10: "TensorProto",
        11: "GraphProto",
        22: "SparseTensorProto",
        23: "SparseTensorProto",
    },
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
    "TensorProto": {},
}
"""Fields through which nodes and tensors are reached, by message and number."""

NODE_INPUT, NODE_OPERATOR = 1, 4
EXTERNAL_DATA, DATA_LOCATION = 13, 14
"""Fields of a tensor."""

_RANDOM = frozenset(
    {
        "Bernoulli",
        "Multinomial",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
        "Sampling",
    }
)
_RANDOM_IN_TRAINING = frozenset({"BiasDropout", "BitmaskBiasDropout", "BitmaskDropout", "Dropout"})
_TRAINING_MODE = {"BiasDropout": 4, "BitmaskBiasDropout": 4}
"""Input that switches a dropout to training; 2 for the others."""
_NAMES_FILES = "EPContext"

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 10


def refusal(model: bytes) -> str | None:
    """Say why a model must not be run, or None.

    Parameters
    ----------
    model
        Content of an ONNX file.
    """
    waiting = [("ModelProto", 0, len(model))]
    try:
        while waiting:
            message, start, end = waiting.pop()
            inner = MESSAGES[message]
            operator, inputs = "", []
            for number, kind, low, high in _fields(model, start, end):
                if kind == _BYTES and number in inner:
                    waiting.append((inner[number], low, high))
                elif message == "NodeProto" and kind == _BYTES:
                    if number == NODE_OPERATOR:
                        operator = model[low:high].decode("ascii", "replace")
                    elif number == NODE_INPUT:
                        inputs.append(high > low)
                elif message == "TensorProto" and (
                    number == EXTERNAL_DATA or (number == DATA_LOCATION and any(model[low:high]))
                ):
                    return "it has weights in other files (external data)"
            if operator == _NAMES_FILES:
                return f"its operator {operator} reads other files"
            if operator in _RANDOM:
                return f"its operator {operator} draws random numbers of its own"
            if operator in _RANDOM_IN_TRAINING and any(inputs[_TRAINING_MODE.get(operator, 2) :]):
                return f"its operator {operator} can be in training, where it is random"
    except ValueError:
        return "it is not an ONNX model, or damaged"
    return None


def _fields(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield number, wire type, and where the value begins and ends, of each field of a message."""
    while at < end:
        tag, at = _varint(data, at, end)
        number, kind = tag >> 3, tag & 7
        start = at
        if kind == _BYTES:
            length, start = _varint(data, at, end)
            at = start + length
        elif kind == _VARINT:
            _, at = _varint(data, at, end)
        elif kind == _FIXED32:
            at += 4
        elif kind == _FIXED64:
            at += 8
        else:
            raise ValueError("no wire type of ONNX")
        if at > end:
            raise ValueError("field ends behind its message")
        yield number, kind, start, at


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Value of a number that is stored in 7 bits per byte, and where it ends."""
    value = 0
    for index in range(_LONGEST_VARINT):
        if at >= end:
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, at
    raise ValueError("number without an end")
