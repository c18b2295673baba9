"""The inference container over HTTP on a real socket."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn_scenes import container, draw, lay_out, run
from PIL import Image

from gtseg.local.algorithm.inference.predict import Predictor, decode
from gtseg.local.algorithm.inference.serve import decode as decode_records

JPEG = {"Content-Type": "image/jpeg", "Accept": "image/png"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = lay_out(tmp_path_factory.mktemp("served"), epochs="25", learning_rate="0.01")
    run("train", "--root", str(root))
    return root


@pytest.fixture(scope="module")
def port(model: Path) -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number = int(probe.getsockname()[1])
    process = container("serve", "--root", str(model), "--port", str(number))
    wait_until_up(number, process)
    yield number
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode in (0, -15)


def wait_until_up(port: int, process: subprocess.Popen[str]) -> None:
    while process.poll() is None:
        with contextlib.suppress(OSError):
            assert ask(port, "GET", "/ping")[0] == 200
            return
    pytest.fail(process.communicate()[1])


def ask(
    port: int, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, str, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers.get("content-type", ""), answer.read()
    finally:
        connection.close()


def picture(seed: int = 7, size: tuple[int, int] = (64, 64), form: str = ".jpg") -> bytes:
    """`size` is (H, W)."""
    return cv2.imencode(form, cv2.resize(draw(seed)[0], size[::-1]))[1].tobytes()


@pytest.mark.parametrize("size", [(64, 64), (51, 97), (300, 33), (1, 1), (640, 480)])
def test_the_mask_has_the_size_of_the_image(port: int, size: tuple[int, int]) -> None:
    status, kind, body = ask(port, "POST", "/invocations", picture(size=size), JPEG)
    mask = np.array(Image.open(io.BytesIO(body)))
    assert (status, kind, mask.shape, mask.dtype) == (200, "image/png", size, np.uint8)
    assert mask.max() < 3


def test_drawn_shapes_are_segmented(port: int) -> None:
    body = ask(port, "POST", "/invocations", picture(2000), JPEG)[2]
    truth = draw(2000)[1]
    assert np.mean(np.array(Image.open(io.BytesIO(body))) == truth) > 0.85


@pytest.mark.parametrize("accept", ["application/x-protobuf", "application/x-recordio-protobuf"])
def test_probabilities_are_returned_as_recordio_protobuf(port: int, accept: str) -> None:
    headers = {**JPEG, "Accept": accept}
    status, kind, body = ask(port, "POST", "/invocations", picture(size=(40, 60)), headers)
    (record,) = decode_records(body)
    planes = record["target"].reshape(record["shape"])
    assert (status, kind, planes.shape) == (200, accept, (1, 3, 40, 60))
    np.testing.assert_allclose(planes.sum(1), 1, atol=1e-4)
    mask = np.array(Image.open(io.BytesIO(ask(port, "POST", "/invocations", picture(size=(40, 60)), JPEG)[2])))
    np.testing.assert_array_equal(planes[0].argmax(0), mask)


@pytest.mark.parametrize(
    ("content_type", "accept"),
    [("image/png", "image/png"), ("image/jpeg", "*/*"), ("image/jpeg;q=1", "text/html, image/png")],
)
def test_content_types_and_accept_headers_with_wildcards_are_supported(
    port: int, content_type: str, accept: str
) -> None:
    body = picture(form=".png" if "png" in content_type else ".jpg")
    status, kind, _ = ask(port, "POST", "/invocations", body, {"Content-Type": content_type, "Accept": accept})
    assert (status, kind) == (200, "image/png")


REFUSED = [
    ("POST", "/invocations", b"", JPEG, 400, "the body (0 bytes) is not a readable image"),
    ("POST", "/invocations", b"no picture", JPEG, 400, "the body (10 bytes) is not a readable image"),
    (
        "POST",
        "/invocations",
        b"x",
        {**JPEG, "Content-Type": "text/csv"},
        415,
        "Content-Type text/csv is not supported",
    ),
    ("POST", "/invocations", b"x", {**JPEG, "Accept": "text/csv"}, 406, "Accept text/csv is not supported"),
    ("GET", "/invocations", None, {}, 404, "GET /invocations"),
    ("POST", "/invocations", b"", {**JPEG, "Content-Length": str(2**30)}, 413, "more than the allowed"),
]


@pytest.mark.parametrize(("method", "path", "body", "headers", "status", "says"), REFUSED)
def test_an_invalid_request_is_refused_with_the_reason(
    port: int, method: str, path: str, body: bytes | None, headers: dict[str, str], status: int, says: str
) -> None:
    answered, kind, text = ask(port, method, path, body, headers)
    assert (answered, kind) == (status, "text/plain")
    assert says in text.decode()
    assert "0x" not in text.decode()


def test_a_truncated_jpeg_does_not_end_the_service(port: int) -> None:
    body = picture(size=(200, 200))
    status, _, _ = ask(port, "POST", "/invocations", body[: len(body) // 3], JPEG)
    assert status in (200, 400)  # OpenCV draws what arrived; a header alone is refused
    assert ask(port, "POST", "/invocations", body[:300], JPEG)[0] == 400
    assert ask(port, "GET", "/ping")[0] == 200


def test_concurrent_requests_get_their_own_responses(port: int) -> None:
    pictures = [picture(seed, size=(40 + seed, 60)) for seed in range(12)]
    alone = [ask(port, "POST", "/invocations", p, JPEG)[2] for p in pictures]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda p: ask(port, "POST", "/invocations", p, JPEG)[2], pictures))
    assert together == alone


def test_execution_parameters_are_those_of_batch_transform(port: int) -> None:
    status, kind, body = ask(port, "GET", "/execution-parameters")
    assert (status, kind) == (200, "application/json")
    assert json.loads(body) == {
        "MaxConcurrentTransforms": 2,
        "BatchStrategy": "SINGLE_RECORD",
        "MaxPayloadInMB": 10,
    }


def test_a_large_jpeg_is_decoded_reduced_and_its_mask_has_full_size(model: Path) -> None:
    image, size = decode(picture(size=(900, 1200)), smallest=100)
    assert size == (900, 1200)
    assert max(image.shape[:2]) == 300
    assert Predictor(model / "model").mask(image, size).shape == size


def test_a_folder_without_a_model_is_refused_by_name(tmp_path: Path) -> None:
    out = run("serve", "--root", str(tmp_path), "--port", "1", expected=1)
    assert "ClientError" in out
    assert "hyperparams.json" in out
