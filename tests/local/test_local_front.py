"""Request routing, errors by protocol, request bodies, host names."""

from __future__ import annotations

import asyncio  # its loop gets a thread of its own: a browser's may be running in this one
import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from gtseg.local.errors import ServiceError
from gtseg.local.front.app import _find_service, _rename, render_error
from gtseg.local.front.bodies import INLINE_BYTES, Allowance, Bodies, FairSemaphore
from gtseg.local.front.hosts import Hosts

FORM = {"content-type": "application/x-www-form-urlencoded"}
SCOPE = "AWS4-HMAC-SHA256 Credential=AKIA/20261120/us-east-1/{}/aws4_request, SignedHeaders=host, Signature=0"


@pytest.mark.parametrize(
    ("headers", "query", "service"),
    [
        ({"authorization": SCOPE.format("sagemaker")}, b"", "sagemaker"),
        ({"authorization": SCOPE.format("s3")}, b"", "s3"),
        ({}, b"X-Amz-Credential=AKIA%2F20261120%2Fus-east-1%2Fs3%2Faws4_request", "s3"),
        ({}, b"X-Amz-Credential=nonsense", ""),
        ({"authorization": "Bearer x"}, b"", ""),
        ({"authorization": ""}, b"X-Amz-Credential=a%2Fb%2Fc%2Fs3%2Fd", ""),
        ({}, b"", ""),
    ],
)
def test_the_service_is_taken_from_the_credential_scope(headers: dict[str, str], query: bytes, service: str) -> None:
    assert _find_service(headers, query) == service


def test_an_error_is_json_for_json_services_and_xml_for_query_services() -> None:
    error = ServiceError("ResourceNotFound", 'no <job> "x" & more', 404)
    status, headers, body = render_error(error, {})
    assert (status, headers["x-amzn-errortype"], json.loads(body)["message"]) == (
        404,
        "ResourceNotFound",
        'no <job> "x" & more',
    )
    _, headers, body = render_error(error, FORM)
    assert headers["content-type"] == "text/xml"
    assert ElementTree.fromstring(body).findtext("Error/Message") == 'no <job> "x" & more'


@pytest.mark.parametrize(("headers", "name"), [({}, "UnrecognizedClientException"), (FORM, "InvalidClientTokenId")])
def test_each_protocol_has_its_error_code_for_an_unknown_access_key(headers: dict[str, str], name: str) -> None:
    assert _rename(ServiceError("InvalidAccessKeyId", "m", 403), headers).code == name


def spool(
    pieces: list[dict[str, Any]], headers: dict[str, str], *, folder: Path, limit: int = 1 << 20
) -> tuple[bytes, str]:
    """(the body, its SHA-256) of an unauthenticated request."""
    left = iter(pieces)

    async def receive() -> dict[str, Any]:
        return next(left)

    async def run() -> tuple[bytes, str]:
        async with Bodies(folder).spool(receive, headers, limit=limit, client_address="10.0.0.1") as body:
            return body.read(), body.sha256

    return ThreadPoolExecutor(1).submit(asyncio.run, run()).result()


def pieces(*blocks: bytes) -> list[dict[str, Any]]:
    last = len(blocks) - 1
    return [{"type": "http.request", "body": block, "more_body": n < last} for n, block in enumerate(blocks)]


@pytest.mark.parametrize("size", [1, INLINE_BYTES, INLINE_BYTES + 1, 300_000])
def test_a_body_is_spooled_in_memory_or_on_disk_and_leaves_no_file(tmp_path: Path, size: int) -> None:
    whole = bytes(range(256)) * (size // 256 + 1)
    body, digest = spool(pieces(whole[:7], whole[7:size]), {}, folder=tmp_path)
    assert body == whole[: max(size, 7)]
    assert digest == hashlib.sha256(body).hexdigest()
    assert not list(tmp_path.iterdir())


def test_a_body_is_refused_if_too_long_or_if_its_sender_disconnects(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="larger than"):
        spool([], {"content-length": str((1 << 20) + 1)}, folder=tmp_path)
    block = {"type": "http.request", "body": bytes((1 << 19) + 1), "more_body": True}
    with pytest.raises(ServiceError, match="larger than"):
        spool([block, block], {}, folder=tmp_path)
    with pytest.raises(ServiceError, match="closed the connection"):
        spool([{"type": "http.disconnect"}], {}, folder=tmp_path)


def test_unauthenticated_bodies_are_limited_per_address_and_in_total() -> None:
    allowance = Allowance(total=100, per_address=60)
    allowance.take("a", 60)
    for address, size in (("a", 1), ("b", 41)):
        with pytest.raises(ServiceError) as caught:
            allowance.take(address, size)
        assert caught.value.status == 503
    allowance.release("a", 60)
    allowance.take("b", 60)
    assert dict(allowance.held) == {"b": 60}


def test_the_semaphore_is_fifo_and_times_out() -> None:
    done: list[str] = []

    async def use(turns: FairSemaphore, name: str, size: int) -> None:
        async with turns.hold(size):
            assert turns.free >= 0
            done.append(name)
            await asyncio.sleep(0)

    async def run() -> None:
        turns = FairSemaphore(10)
        await asyncio.gather(use(turns, "a", 6), use(turns, "b", 99), use(turns, "c", 1), use(turns, "d", 1))
        assert turns.free == 10
        async with turns.hold(10):
            with pytest.raises(ServiceError, match="SlowDown"):
                async with turns.hold(1, seconds=0):
                    pass
        assert turns.free == 10
        assert not turns.waiting

    ThreadPoolExecutor(1).submit(asyncio.run, run()).result()
    assert done == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("host", "server", "answered"),
    [
        ("127.0.0.1:4566", "127.0.0.1", True),
        ("localhost:4566", "127.0.0.1", True),
        ("localhost", "::1", True),
        ("[::1]:80", "::1", True),
        ("LABEL.example:1", "10.0.0.5", True),
        ("10.0.0.5", "10.0.0.5", True),
        ("10.0.0.5", "::ffff:10.0.0.5", True),
        ("bucket.localhost:1", "127.0.0.1", True),
        ("evil.example", "127.0.0.1", False),
        ("localhost", "10.0.0.5", False),
        ("10.0.0.6", "10.0.0.5", False),
        ("", "127.0.0.1", False),
        ("label.example.evil.example", "10.0.0.5", False),
        ("a,b", "127.0.0.1", False),
        ("127.0.0.1:x", "127.0.0.1", False),
        ("label.example@evil.example", "10.0.0.5", False),
    ],
)
def test_the_server_accepts_its_addresses_and_given_host_names(host: str, server: str, answered: bool) -> None:
    hosts = Hosts(["Label.Example"])
    if answered:
        hosts.check(host, server)
        return
    with pytest.raises(ServiceError) as caught:
        hosts.check(host, server)
    assert caught.value.status == 421
