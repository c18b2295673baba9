"""The inference container: GET /ping, GET /execution-parameters, POST /invocations, on 127.0.0.1.

A bare ASGI application: a request costs little beside the network. Accept: image/png (also */*) answers the indexed mask;
application/x-protobuf and application/x-recordio-protobuf answer the probabilities, shape (1, C, H, W).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import cv2
import torch
import uvicorn

from gtseg.local.algorithm import log
from gtseg.local.algorithm.errors import ClientError
from gtseg.local.algorithm.folders import Folders
from gtseg.local.algorithm.predict import Predictor, decode, encode_png
from gtseg.local.algorithm.recordio import encode_probabilities

MAX_BODY = 100 * 2**20  # batch transform's largest MaxPayloadInMB
IMAGES = ("image/jpeg", "image/jpg", "image/png", "application/x-image")
PROTOBUF = ("application/x-protobuf", "application/x-recordio-protobuf")
# what the real container answers on a two-core machine, but for the strategy: it takes one image per request
EXECUTION = {"MaxConcurrentTransforms": 2, "BatchStrategy": "SINGLE_RECORD", "MaxPayloadInMB": 10}

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Refusal(Exception):
    """A request that cannot be answered: status and message."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


def serve(folders: Folders, *, port: int) -> None:
    """Until SIGTERM. Raises ClientError where model/ holds no model of this algorithm."""
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
            f"{route[0]} {route[1]}: there are GET /ping, GET /execution-parameters and POST /invocations",
        )
    headers = {name.decode().lower(): value.decode("latin-1") for name, value in scope["headers"]}
    accept = negotiate(headers)
    body = await read_body(receive, headers)
    return await asyncio.to_thread(infer, predictor, body, accept)


def negotiate(headers: dict[str, str]) -> str:
    """The answer's content type. Raises Refusal 415 and 406."""
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


async def read_body(receive: Receive, headers: dict[str, str]) -> bytes:
    announced = headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > MAX_BODY:
        raise Refusal(413, f"the body is {announced} bytes; at most {MAX_BODY:,} are read")
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refusal(400, "the client went away before the body ended")
        parts.append(message.get("body", b""))
        size, more = size + len(parts[-1]), message.get("more_body", False)
        if size > MAX_BODY:
            raise Refusal(413, f"the body is over {MAX_BODY:,} bytes")
    return b"".join(parts)


def infer(predictor: Predictor, body: bytes, accept: str) -> tuple[int, str, bytes]:
    try:
        image, size = decode(body, smallest=predictor.inference_size)
    except ClientError as error:
        raise Refusal(400, str(error)) from None
    with torch.inference_mode():
        if accept == "image/png":
            return 200, accept, encode_png(predictor.mask(image, size))
        return 200, accept, encode_probabilities(predictor.full_probabilities(image, size))
