"""Names and shapes of an ONNX file's inputs and outputs, read from its protobuf without loading the weights.

Only the required fields are parsed (onnx.proto, https://github.com/onnx/onnx/blob/main/onnx/onnx.proto). Weights are
skipped, so that a file of gigabytes is read at once and no runtime is required.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MODEL_GRAPH = 7
GRAPH_INITIALIZER, GRAPH_INPUT, GRAPH_OUTPUT = 5, 11, 12
TENSOR_NAME = 8
VALUE_NAME, VALUE_TYPE = 1, 2
TYPE_TENSOR, TENSOR_SHAPE, SHAPE_DIMENSION, DIMENSION_VALUE = 1, 2, 1, 1
VARINT, EIGHT_BYTES, BYTES, FOUR_BYTES = 0, 1, 2, 5

Shape = tuple[int | None, ...]
"""None: a dimension that the file does not fix."""


@dataclass(frozen=True)
class Graph:
    """Inputs (without weights) and outputs of a model, in the file's order."""

    inputs: dict[str, Shape]
    outputs: dict[str, Shape]


def read_graph(path: Path) -> Graph:
    """Read a model's inputs and outputs.

    Raises OSError if the file cannot be read, ValueError if it is not an ONNX model.
    """
    with path.open("rb") as file:
        if not file.read(1):
            raise ValueError("is empty")
        return parse_model(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))


def parse_model(data: memoryview) -> Graph:
    """Parse a ModelProto message. Raises ValueError."""
    inputs: dict[str, Shape] = {}
    outputs: dict[str, Shape] = {}
    weights: set[str] = set()
    for number, value in fields(data):
        if number != MODEL_GRAPH:
            continue
        for part, content in fields(submessage(value)):
            if part == GRAPH_INITIALIZER:
                weights.add(find_text(submessage(content), TENSOR_NAME))
            elif part in (GRAPH_INPUT, GRAPH_OUTPUT):
                name, shape = parse_value(submessage(content))
                (inputs if part == GRAPH_INPUT else outputs)[name] = shape
    if not outputs:
        raise ValueError("is not an ONNX model")
    return Graph({name: shape for name, shape in inputs.items() if name not in weights}, outputs)


def parse_value(data: memoryview) -> tuple[str, Shape]:
    """Return name and shape of a ValueInfoProto message."""
    shape: list[int | None] = []
    for number, value in fields(data):
        if number != VALUE_TYPE:
            continue
        for dimension in find_all(submessage(value), TYPE_TENSOR, TENSOR_SHAPE, SHAPE_DIMENSION):
            size = next((v for n, v in fields(dimension) if n == DIMENSION_VALUE), None)
            shape.append(size if isinstance(size, int) and size > 0 else None)
    return find_text(data, VALUE_NAME), tuple(shape)


def find_all(data: memoryview, *path: int) -> Iterator[memoryview]:
    """Yield the messages at a path of field numbers."""
    for number, value in fields(data):
        if number != path[0]:
            continue
        if len(path) == 1:
            yield submessage(value)
        else:
            yield from find_all(submessage(value), *path[1:])


def find_text(data: memoryview, number: int) -> str:
    """Return the last string with this field number; '' if there is none."""
    found = [value for n, value in fields(data) if n == number]
    return bytes(submessage(found[-1])).decode("utf-8", "replace") if found else ""


def submessage(value: int | memoryview) -> memoryview:
    """Return a field's value if it is a message. Raises ValueError if it is an integer."""
    if isinstance(value, int):
        raise ValueError("is not an ONNX model")
    return value


def fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield (field number, value) of a protobuf message; 4- and 8-byte fields as raw bytes. Raises ValueError."""
    at, end = 0, len(data)
    while at < end:
        tag, at = varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == VARINT:
            value, at = varint(data, at)
            yield number, value
            continue
        if wire == BYTES:
            size, at = varint(data, at)
        elif wire in (EIGHT_BYTES, FOUR_BYTES):
            size = 8 if wire == EIGHT_BYTES else 4
        else:
            raise ValueError("is not an ONNX model")
        if at + size > end:
            raise ValueError("is truncated")
        yield number, data[at : at + size]
        at += size


def varint(data: memoryview, at: int) -> tuple[int, int]:
    """Return (value, offset after it). Raises ValueError."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ValueError("is truncated")
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("is not an ONNX model")
