"""Inference container: GET /ping, GET /execution-parameters, POST /invocations, on 127.0.0.1.

A raw ASGI application with little overhead per request. Accept: image/png (also */*) returns the indexed mask;
application/x-protobuf and application/x-recordio-protobuf return the probabilities, shape (1, C, H, W).
"""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any

import cv2
import numpy as np
import torch
import uvicorn

from gtseg.local.algorithm import log
from gtseg.local.algorithm.container import ClientError, Folders
from gtseg.local.algorithm.inference.predict import Predictor, encode_png
from gtseg.local.algorithm.inference.predict import decode as decode_image

# --- RecordIO ---
#
# RecordIO-wrapped protobuf Record, the format of AWS's algorithms for `application/x-protobuf`.
#
# Record (aialgs.data, proto2): `map<string, Value> features = 1`; Value: oneof float32_tensor = 2, float64_tensor = 3,
# int32_tensor = 7; every tensor: `repeated values = 1 [packed]`, `repeated uint64 shape = 3 [packed]`.
# Framing (MXNet RecordIO): little-endian uint32 0xCED7230A, uint32 length, payload, zeros up to a multiple of 4.

MAGIC = 0xCED7230A
FLOAT32_TENSOR, FLOAT64_TENSOR, INT32_TENSOR = 2, 3, 7


def encode_probabilities(probabilities: np.ndarray) -> bytes:
    """Encode (C, H, W) float32 as one RecordIO record with `shape` (1, C, H, W) int32 and `target` float32."""
    shape = np.array([1, *probabilities.shape], np.int32)
    features = feature("shape", INT32_TENSOR, b"".join(varint(int(v)) for v in shape), length=shape.size)
    values = np.ascontiguousarray(probabilities, "<f4").tobytes()
    features += feature("target", FLOAT32_TENSOR, values, length=probabilities.size)
    return frame(features)


def decode(body: bytes) -> list[dict[str, np.ndarray]]:
    """Decode RecordIO records to their features, each a flat array. Raises ValueError for a malformed body."""
    try:
        return [dict(read_features(payload)) for payload in unframe(body)]
    except (IndexError, struct.error) as error:
        raise ValueError(f"truncated RecordIO protobuf: {error}") from error


# --- framing ---


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
                f"the record at byte {start} has a length of {length} bytes, but only {len(body) - start - 8} remain"
            )
        yield body[start + 8 : start + 8 + length]
        start += 8 + length + (-length % 4)


# --- protobuf ---


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # negative numbers take ten bytes in protobuf
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
    """Yield (field number, content) of every length-delimited field. Raises ValueError."""
    at = 0
    while at < len(data):
        tag, at = read_varint(data, at)
        if tag & 7 != 2:
            raise ValueError(f"field {tag >> 3} has wire type {tag & 7}; only length-delimited fields are expected")
        length, at = read_varint(data, at)
        if at + length > len(data):
            raise ValueError(f"field {tag >> 3} has a length of {length} bytes, but only {len(data) - at} remain")
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


# --- server ---

MAX_BODY = 100 * 2**20
"""The largest MaxPayloadInMB of batch transform."""
IMAGES = ("image/jpeg", "image/jpg", "image/png", "application/x-image")
PROTOBUF = ("application/x-protobuf", "application/x-recordio-protobuf")
EXECUTION = {"MaxConcurrentTransforms": 2, "BatchStrategy": "SINGLE_RECORD", "MaxPayloadInMB": 10}
"""As the real container on a two-core machine, except for the strategy: one image per request."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Refusal(Exception):
    """A request is rejected with a status and a message."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


def serve(folders: Folders, *, port: int) -> None:
    """Serve until SIGTERM. Raises ClientError if model/ is not a model of this algorithm."""
    cv2.setNumThreads(1)
    predictor = Predictor(folders.model)
    log.info(f"Serving {predictor.settings['_network']} {predictor.settings['algorithm']} on port {port}")
    uvicorn.run(
        application(predictor),
        host="127.0.0.1",
        port=port,
        log_level="warning",
        access_log=False,
        lifespan="off",
    )


def application(predictor: Predictor) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            status, kind, body = await answer(predictor, scope, receive)
        except Refusal as refusal:
            status, kind, body = refusal.status, "text/plain", str(refusal).encode()
        except Exception as error:
            log.error(f"{scope['path']}: {type(error).__name__}: {error}")
            status, kind, body = 500, "text/plain", f"{type(error).__name__}: {error}".encode()
        headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


async def answer(predictor: Predictor, scope: Scope, receive: Receive) -> tuple[int, str, bytes]:
    route = scope["method"], scope["path"]
    if route == ("GET", "/ping"):
        return 200, "application/json", b"\n"
    if route == ("GET", "/execution-parameters"):
        return 200, "application/json", json.dumps(EXECUTION).encode()
    if route != ("POST", "/invocations"):
        raise Refusal(
            404,
            f"{route[0]} {route[1]}: not found; available: GET /ping, GET /execution-parameters, POST /invocations",
        )
    headers = {name.decode().lower(): value.decode("latin-1") for name, value in scope["headers"]}
    accept = _negotiate(headers)
    body = await _read_body(receive, headers)
    return await asyncio.to_thread(_infer, predictor, body, accept)


def _negotiate(headers: dict[str, str]) -> str:
    """Return the response's content type. Raises Refusal 415 or 406."""
    content = media_type(headers.get("content-type", "image/jpeg"))
    if content not in IMAGES:
        raise Refusal(415, f"Content-Type {content} is not supported; send one of {', '.join(IMAGES)}")
    for wish in headers.get("accept", "image/png").split(","):
        if media_type(wish) in ("image/png", "image/*", "*/*", ""):
            return "image/png"
        if media_type(wish) in PROTOBUF:
            return media_type(wish)
    raise Refusal(
        406, f"Accept {headers['accept']} is not supported; ask for image/png or one of {', '.join(PROTOBUF)}"
    )


def media_type(text: str) -> str:
    return text.split(";")[0].strip().lower()


async def _read_body(receive: Receive, headers: dict[str, str]) -> bytes:
    announced = headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > MAX_BODY:
        raise Refusal(413, f"the body has {announced} bytes, more than the allowed {MAX_BODY:,}")
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refusal(400, "the client closed the connection before the end of the body")
        parts.append(message.get("body", b""))
        size, more = size + len(parts[-1]), message.get("more_body", False)
        if size > MAX_BODY:
            raise Refusal(413, f"the body has more than {MAX_BODY:,} bytes")
    return b"".join(parts)


def _infer(predictor: Predictor, body: bytes, accept: str) -> tuple[int, str, bytes]:
    try:
        image, size = decode_image(body, smallest=predictor.inference_size)
    except ClientError as error:
        raise Refusal(400, str(error)) from None
    with torch.inference_mode():
        if accept == "image/png":
            return 200, accept, encode_png(predictor.mask(image, size))
        return 200, accept, encode_probabilities(predictor.full_probabilities(image, size))
