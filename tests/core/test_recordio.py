from __future__ import annotations

import contextlib
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gtseg.core.hosting.recordio import RecordError, decode_probabilities, decode_records, encode_record

ARRAYS = st.sampled_from(["<f4", "<f8", "<i4"]).flatmap(
    lambda kind: hnp.arrays(np.dtype(kind), hnp.array_shapes(max_side=5))
)


@given(st.dictionaries(st.text(max_size=8), ARRAYS, max_size=3))
def test_decoding_returns_the_encoded_values(tensors) -> None:
    (found,) = decode_records(encode_record(tensors))
    assert found.keys() == tensors.keys()
    for name, values in tensors.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values)


@given(st.binary(max_size=200))
def test_any_bytes_are_records_or_raise_a_record_error(body) -> None:
    with contextlib.suppress(RecordError):
        decode_records(body)


@given(st.binary(max_size=60))
def test_any_payload_is_features_or_raises_a_record_error(payload) -> None:
    with contextlib.suppress(RecordError):
        decode_records(struct.pack("<II", 0xCED7230A, len(payload)) + payload + b"\0" * (-len(payload) % 4))


def test_records_of_a_protobuf_library_are_read() -> None:
    pool = pytest.importorskip("google.protobuf.descriptor_pool")
    from google.protobuf import descriptor_pb2, message_factory

    record = _record_class(pool, descriptor_pb2, message_factory)()
    record.features["shape"].int32_tensor.values.extend([1, 2, 1, 3])
    record.features["target"].float32_tensor.values.extend([0.1, 0.2, 0.3, 0.9, 0.8, 0.7])
    payload = record.SerializeToString()
    body = struct.pack("<II", 0xCED7230A, len(payload)) + payload + b"\0" * (-len(payload) % 4)
    assert decode_probabilities(body) == pytest.approx(np.array([[[0.1, 0.2, 0.3]], [[0.9, 0.8, 0.7]]]))
    ours = encode_record({"target": np.array([0.5, 0.25], np.float32), "shape": np.array([-1, 7], np.int32)})
    record.ParseFromString(ours[8 : 8 + struct.unpack_from("<I", ours, 4)[0]])
    assert list(record.features["shape"].int32_tensor.values) == [-1, 7]
    assert list(record.features["target"].float32_tensor.values) == [0.5, 0.25]


def _record_class(pool, pb2, factory):
    """Return aialgs.data.Record, with unpacked values (the default of proto2)."""
    file = pb2.FileDescriptorProto(name="record.proto", package="aialgs.data", syntax="proto2")
    for name, kind in (("Float32Tensor", 2), ("Int32Tensor", 5)):
        tensor = file.message_type.add(name=name)
        tensor.field.add(name="values", number=1, label=3, type=kind)
        tensor.field.add(name="shape", number=3, label=3, type=4)
    value = file.message_type.add(name="Value")
    value.field.add(name="float32_tensor", number=2, label=1, type=11, type_name=".aialgs.data.Float32Tensor")
    value.field.add(name="int32_tensor", number=7, label=1, type=11, type_name=".aialgs.data.Int32Tensor")
    record = file.message_type.add(name="Record")
    entry = record.nested_type.add(name="FeaturesEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, label=1, type=9)
    entry.field.add(name="value", number=2, label=1, type=11, type_name=".aialgs.data.Value")
    record.field.add(name="features", number=1, label=3, type=11, type_name=".aialgs.data.Record.FeaturesEntry")
    made = pool.DescriptorPool()
    made.Add(file)
    return factory.GetMessageClass(made.FindMessageTypeByName("aialgs.data.Record"))


def test_product_and_embedded_aws_use_the_same_record_format() -> None:
    theirs = pytest.importorskip("gtseg.local.algorithm.inference.serve")
    values = np.random.default_rng(0).random((3, 4, 5), np.float32)
    np.testing.assert_array_equal(decode_probabilities(theirs.encode_probabilities(values)), values)


def test_a_shape_that_does_not_fit_is_refused() -> None:
    body = encode_record({"shape": np.array([1, 2, 2, 2], np.int32), "target": np.zeros(7, np.float32)})
    with pytest.raises(RecordError, match=r"\(1, 2, 2, 2\) does not match its 7 values"):
        decode_probabilities(body)
