"""RecordIO-protobuf, the format of `application/x-protobuf` responses with probabilities.

RecordIO: `<II` magic 0xCED7230A and length, the payload, zeros up to a multiple of four. The payload is one protobuf
`aialgs.data.Record {map<string, Value> features = 1; map<string, Value> label = 2}`. A Value is one of `float32_tensor
= 2`, `float64_tensor = 3`, `int32_tensor = 7`; a tensor is `repeated values = 1; repeated uint64 keys = 2; repeated
uint64 shape = 3`. Both packed and unpacked numbers are read; packed ones are written.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from gtseg.errors import GtsegError

MAGIC = 0xCED7230A
KINDS = {2: "<f4", 3: "<f8", 7: "<i4"}
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
Tensors = dict[str, NDArray[np.generic]]
Field = tuple[int, int, bytes | int]  # number, wire type, content


class RecordError(GtsegError):
    """The bytes are not valid RecordIO-protobuf."""


def decode_records(body: bytes) -> list[Tensors]:
    """Return the features of each record by name, in their shapes. Raises RecordError with the byte offset."""
    return [_features(payload) for payload in _payloads(body)]


def decode_probabilities(body: bytes) -> NDArray[np.float32]:
    """Return the (C, H, W) float32 probabilities of the built-in algorithm's response.

    The record has the features `shape` (1, C, H, W) int32 and `target` float32.
    """
    records = decode_records(body)
    if len(records) != 1 or not {"shape", "target"} <= records[0].keys():
        raise RecordError("the response is not one record with the features 'shape' and 'target'")
    shape = tuple(int(side) for side in records[0]["shape"].reshape(-1))
    target = records[0]["target"].reshape(-1)
    if len(shape) != 4 or shape[0] != 1 or min(shape) < 1 or np.prod(shape, dtype=object) != target.size:
        raise RecordError(f"the response's shape {shape} does not match its {target.size} values")
    return target.astype(np.float32).reshape(shape[1:])


def encode_record(tensors: Mapping[str, NDArray[np.generic]]) -> bytes:
    """Encode one record of float32, float64 or int32 tensors."""
    entries = (_field(1, _field(1, name.encode()) + _field(2, _tensor(values))) for name, values in tensors.items())
    payload = b"".join(entries)
    return struct.pack("<II", MAGIC, len(payload)) + payload + b"\0" * (-len(payload) % 4)


def _payloads(body: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(body):
        if len(body) - at < 8:
            raise RecordError(f"the record at byte {at} ends within its header")
        magic, length = struct.unpack_from("<II", body, at)
        if magic != MAGIC:
            raise RecordError(f"no RecordIO record starts at byte {at}")
        if at + 8 + length > len(body):
            raise RecordError(
                f"the record at byte {at} is truncated: its length is {length} bytes, {len(body) - at - 8} are present"
            )
        yield body[at + 8 : at + 8 + length]
        at += 8 + length + (-length % 4)


def _features(payload: bytes) -> Tensors:
    found: Tensors = {}
    for number, _, content in _fields(payload):
        if number == 1 and isinstance(content, bytes):
            entry = {n: c for n, _, c in _fields(content) if isinstance(c, bytes)}
            for kind, _, tensor in _fields(entry.get(2, b"")):
                if kind in KINDS and isinstance(tensor, bytes):
                    found[entry.get(1, b"").decode(errors="replace")] = _values(tensor, kind)
    return found


def _values(tensor: bytes, kind: int) -> NDArray[np.generic]:
    parts: list[NDArray[np.generic]] = []
    shape: list[int] = []
    for number, wire, content in _fields(tensor):
        if number == 1:
            parts.append(_numbers(content, wire, kind))
        elif number == 3:
            shape += _varints(content) if isinstance(content, bytes) else [content]
    values = np.concatenate(parts) if parts else np.zeros(0, KINDS[kind])
    fits = shape and np.prod(shape, dtype=object) == values.size
    return values.reshape(shape) if fits else values


def _numbers(content: bytes | int, wire: int, kind: int) -> NDArray[np.generic]:
    if isinstance(content, int):
        return _signed([content])
    if kind == 7 and wire == BYTES:
        return _signed(_varints(content))
    if len(content) % np.dtype(KINDS[kind]).itemsize:
        raise RecordError(f"{len(content)} bytes are not a whole number of values")
    return np.frombuffer(content, KINDS[kind])


def _signed(values: list[int]) -> NDArray[np.generic]:
    """Decode int32 values, stored as 64-bit two's complement."""
    return np.array([value & 0xFFFFFFFF for value in values], np.uint32).astype(np.int32)


def _fields(data: bytes) -> Iterator[Field]:
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == VARINT:
            value, at = _varint(data, at)
            yield number, wire, value
            continue
        length = 8 if wire == FIXED64 else 4
        if wire == BYTES:
            length, at = _varint(data, at)
        elif wire not in (FIXED64, FIXED32):
            raise RecordError(f"field {number} has the unknown wire type {wire}")
        if at + length > len(data):
            raise RecordError(
                f"field {number} is truncated: its length is {length} bytes, {len(data) - at} are present"
            )
        yield number, wire, data[at : at + length]
        at += length


def _varints(data: bytes) -> list[int]:
    values, at = [], 0
    while at < len(data):
        value, at = _varint(data, at)
        values.append(value)
    return values


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise RecordError("a number is truncated")
        byte = data[at]
        value, at = value | (byte & 0x7F) << shift, at + 1
        if byte < 0x80:
            return value, at
    raise RecordError("a number has more than ten bytes")


def _field(number: int, content: bytes) -> bytes:
    return _number(number << 3 | BYTES) + _number(len(content)) + content


def _number(value: int) -> bytes:
    out = bytearray()
    value &= 0xFFFFFFFFFFFFFFFF
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _tensor(values: NDArray[np.generic]) -> bytes:
    kind = next((kind for kind, dtype in KINDS.items() if values.dtype == np.dtype(dtype)), None)
    if kind is None:
        raise RecordError(f"a tensor must be float32, float64 or int32, not {values.dtype}")
    flat = values.reshape(-1)
    packed = b"".join(map(_number, flat.tolist())) if kind == 7 else flat.astype(KINDS[kind]).tobytes()
    return _field(kind, _field(1, packed) + _field(3, b"".join(map(_number, values.shape))))
