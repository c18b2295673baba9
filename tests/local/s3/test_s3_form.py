"""Parsing of multipart/form-data in pieces of any size."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gtseg.local.errors import ServiceError
from gtseg.local.s3.form import FIELDS_MAXIMUM, Form

KIND = "multipart/form-data; boundary=b"
HEAD = 'Content-Disposition: form-data; name="file"; filename="a b.jpg"\r\nContent-Type: image/jpeg'


def part(head: str, body: bytes) -> bytes:
    return f"--b\r\n{head}\r\n\r\n".encode() + body + b"\r\n"


def field(name: str, value: bytes) -> bytes:
    return part(f'Content-Disposition: form-data; name="{name}"', value)


def read(body: bytes, *, step: int = 1 << 16, kind: str = KIND) -> tuple[Form, bytes]:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), step):
            yield body[start : start + step]

    async def take() -> tuple[Form, bytes]:
        form = Form(kind, pieces())
        await form.read_fields()
        return form, b"".join([block async for block in form.read_file()])

    with ThreadPoolExecutor(1) as pool:  # a test with a browser leaves a running loop in this thread
        return pool.submit(asyncio.run, take()).result()


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300), st.text("\r\n-b é", max_size=40), st.integers(1, 60))
@example(b"\n\x00\x00\x00", "", 1)  # werkzeug before 3.1.7 added a carriage return
def test_fields_and_file_do_not_depend_on_the_size_of_pieces(file: bytes, value: str, step: int) -> None:
    if b"--b" in file or "--b" in value:
        return
    body = field("Key", value.encode()) + part(HEAD, file) + field("after", b"ignored") + b"--b--\r\n"
    form, content = read(body, step=step)
    assert (form.fields, form.filename, content) == ({"key": value}, "a b.jpg", file)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (field("key", b"k") + b"--b--\r\n", "InvalidArgument"),
        (field("key", b"k"), "IncompleteBody"),
        (field("key", b"k") + part(HEAD, b"half")[:-2], "IncompleteBody"),
        (part("Content-Type: text/plain", b"nameless"), "MalformedPOSTRequest"),
        (part("Content-Disposition: form-data", b"nameless"), "MalformedPOSTRequest"),
        (b"--b\r\nContent-Disposition: \xff\r\n\r\n", "MalformedPOSTRequest"),
        (field("key", bytes(FIELDS_MAXIMUM + 1)), "MaxPostPreDataLengthExceeded"),
        (b"".join(field("key", bytes(900)) for _ in range(30)), "MaxPostPreDataLengthExceeded"),
        (b"no delimiter " * FIELDS_MAXIMUM, "MaxPostPreDataLengthExceeded"),
        (b"", "IncompleteBody"),
    ],
)
def test_an_invalid_form_is_refused_with_s3s_error_code(body: bytes, code: str) -> None:
    with pytest.raises(ServiceError) as refusal:
        read(body)
    assert refusal.value.code == code


@pytest.mark.parametrize("kind", ["", "application/json", "multipart/form-data", "multipart/mixed; boundary=b"])
def test_another_content_type_is_refused(kind: str) -> None:
    with pytest.raises(ServiceError, match="PreconditionFailed"):
        read(b"", kind=kind)
