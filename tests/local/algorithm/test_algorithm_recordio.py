"""RecordIO protobuf: compatibility with the protobuf library, padding, errors."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gtseg.local.algorithm.inference.serve import decode, encode_probabilities, frame, read_varint, unframe, varint

PLANES = hnp.arrays(
    np.float32, hnp.array_shapes(min_dims=3, max_dims=3, max_side=5), elements=st.floats(0, 1, width=32)
)


@given(PLANES)
def test_encoded_records_are_decoded(planes: np.ndarray) -> None:
    (record,) = decode(encode_probabilities(planes))
    assert record["shape"].tolist() == [1, *planes.shape]
    np.testing.assert_array_equal(record["target"].reshape(planes.shape), planes)


def record_class() -> Any:
    """aialgs.data.Record (record.proto), built at run time."""
    descriptor_pb2 = pytest.importorskip("google.protobuf.descriptor_pb2")
    from google.protobuf import descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="record.proto", package="aialgs.data", syntax="proto2")
    field = descriptor_pb2.FieldDescriptorProto

    def add(
        message: Any, name: str, number: int, *, kind: int, label: int = 1, of: str = "", packed: bool = False
    ) -> None:
        one = message.field.add(name=name, number=number, type=kind, label=label)
        if of:
            one.type_name = f".aialgs.data.{of}"
        one.options.packed = packed

    for tensor, kind in (("Float32Tensor", field.TYPE_FLOAT), ("Int32Tensor", field.TYPE_INT32)):
        message = file.message_type.add(name=tensor)
        add(message, "values", 1, kind=kind, label=3, packed=True)
        add(message, "shape", 3, kind=field.TYPE_UINT64, label=3, packed=True)
    value = file.message_type.add(name="Value")
    add(value, "float32_tensor", 2, kind=field.TYPE_MESSAGE, of="Float32Tensor")
    add(value, "int32_tensor", 7, kind=field.TYPE_MESSAGE, of="Int32Tensor")
    record = file.message_type.add(name="Record")
    entry = record.nested_type.add(name="FeaturesEntry")
    entry.options.map_entry = True
    add(entry, "key", 1, kind=field.TYPE_STRING)
    add(entry, "value", 2, kind=field.TYPE_MESSAGE, of="Value")
    add(record, "features", 1, kind=field.TYPE_MESSAGE, label=3, of="Record.FeaturesEntry")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("aialgs.data.Record"))


def test_protobuf_reads_encoded_records() -> None:
    planes = np.random.default_rng(0).random((3, 4, 5), np.float32)
    (payload,) = unframe(encode_probabilities(planes))
    record = record_class().FromString(payload)
    assert list(record.features["shape"].int32_tensor.values) == [1, 3, 4, 5]
    assert list(record.features["target"].float32_tensor.shape) == [60]
    np.testing.assert_array_equal(np.array(record.features["target"].float32_tensor.values, np.float32), planes.ravel())


def test_records_written_by_protobuf_are_decoded() -> None:
    record = record_class()()
    record.features["shape"].int32_tensor.values.extend([1, -2, 300])
    record.features["target"].float32_tensor.values.extend([0.5, 0.25])
    (decoded,) = decode(frame(record.SerializeToString()))
    assert decoded["shape"].tolist() == [1, -2, 300]
    assert decoded["target"].tolist() == [0.5, 0.25]


def test_records_are_padded_to_four_bytes_after_their_magic_number() -> None:
    assert frame(b"abcde") == struct.pack("<II", 0xCED7230A, 5) + b"abcde\0\0\0"
    assert list(unframe(frame(b"abcde") + frame(b""))) == [b"abcde", b""]


@given(st.integers(0, 2**64 - 1))
def test_a_varint_round_trips(value: int) -> None:
    assert read_varint(varint(value), 0) == (value, len(varint(value)))


@given(st.binary(max_size=60))
def test_any_bytes_are_decoded_or_refused(body: bytes) -> None:
    for data in (body, frame(body)):
        try:
            decode(data)
        except ValueError:
            continue


def test_a_truncated_body_is_refused() -> None:
    body = encode_probabilities(np.ones((2, 3, 3), np.float32))
    for length in range(1, len(body) - 3):  # the last three bytes may be padding
        with pytest.raises(ValueError):
            decode(body[:length])
