"""The RecordIO-wrapped protobuf Record in which AWS's algorithms answer `application/x-protobuf`.

Record (aialgs.data, proto2): `map<string, Value> features = 1`; Value: oneof float32_tensor = 2, float64_tensor = 3,
int32_tensor = 7; every tensor: `repeated values = 1 [packed]`, `repeated uint64 shape = 3 [packed]`.
Framing (MXNet RecordIO): little-endian uint32 0xCED7230A, uint32 length, payload, zeros up to a multiple of 4.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

MAGIC = 0xCED7230A
FLOAT32_TENSOR, FLOAT64_TENSOR, INT32_TENSOR = 2, 3, 7


def encode_probabilities(probabilities: np.ndarray) -> bytes:
    """(C, H, W) float32 -> one RecordIO record with `shape` (1, C, H, W) int32 and `target` float32."""
    shape = np.array([1, *probabilities.shape], np.int32)
    features = feature("shape", INT32_TENSOR, b"".join(varint(int(v)) for v in shape), length=shape.size)
    values = np.ascontiguousarray(probabilities, "<f4").tobytes()
    features += feature("target", FLOAT32_TENSOR, values, length=probabilities.size)
    return frame(features)


def decode(body: bytes) -> list[dict[str, np.ndarray]]:
    """RecordIO records -> their features, each a flat array. Raises ValueError for a broken body."""
    try:
        return [dict(read_features(payload)) for payload in unframe(body)]
    except (IndexError, struct.error) as error:
        raise ValueError(f"truncated RecordIO protobuf: {error}") from error


# ------------------------------------------------------------------------------------------------- framing


def frame(payload: bytes) -> bytes:
    return struct.pack("<II", MAGIC, len(payload)) + payload + b"\0" * (-len(payload) % 4)


def unframe(body: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(body):
        magic, length = struct.unpack_from("<II", body, start)
        if magic != MAGIC:
            raise ValueError(f"byte {start} is not the start of a RecordIO record")
        if start + 8 + length > len(body):
            raise ValueError(
                f"the record at byte {start} needs {length} bytes, {len(body) - start - 8} are left"
            )
        yield body[start + 8 : start + 8 + length]
        start += 8 + length + (-length % 4)


# ------------------------------------------------------------------------------------------------ protobuf


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # negative numbers take ten bytes, as protobuf has it
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def feature(key: str, kind: int, packed: bytes, *, length: int) -> bytes:
    tensor = field(1, packed) + field(3, varint(length))
    return field(1, field(1, key.encode()) + field(2, field(kind, tensor)))


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError(f"the varint at byte {at} is too long")


def read_fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(field number, content) of every length-delimited field."""
    at = 0
    while at < len(data):
        tag, at = read_varint(data, at)
        if tag & 7 != 2:
            raise ValueError(
                f"field {tag >> 3} has wire type {tag & 7}; only length-delimited fields are expected"
            )
        length, at = read_varint(data, at)
        if at + length > len(data):
            raise ValueError(f"field {tag >> 3} needs {length} bytes, {len(data) - at} are left")
        yield tag >> 3, data[at : at + length]
        at += length


def read_features(payload: bytes) -> Iterator[tuple[str, np.ndarray]]:
    for number, content in read_fields(payload):
        if number != 1:
            continue
        entry = dict(read_fields(content))
        for kind, tensor in read_fields(entry.get(2, b"")):
            yield entry.get(1, b"").decode(), read_values(kind, dict(read_fields(tensor)).get(1, b""))


def read_values(kind: int, packed: bytes) -> np.ndarray:
    if kind in (FLOAT32_TENSOR, FLOAT64_TENSOR):
        dtype = "<f4" if kind == FLOAT32_TENSOR else "<f8"
        if len(packed) % int(dtype[-1]):
            raise ValueError(f"{len(packed)} bytes are not whole {dtype} values")
        return np.frombuffer(packed, dtype)
    values, at = [], 0
    while at < len(packed):
        value, at = read_varint(packed, at)
        values.append(value - (1 << 64) if value >> 63 else value)
    return np.array(values, np.int32 if kind == INT32_TENSOR else np.uint64)
