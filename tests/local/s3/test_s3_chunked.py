"""The aws-chunked decoder, fed in pieces of any size."""

from __future__ import annotations

import hashlib
import hmac
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtseg.local.errors import ServiceError
from gtseg.local.front.signature import Signed
from gtseg.local.s3.chunked import ChunkedDecoder, ChunkSigner

KEY = b"k" * 32
SIGNED = Signed("AKIA", "20261120", "us-east-1", "s3", ("host",), "a" * 64, "20261120T120000Z")
EMPTY = hashlib.sha256(b"").hexdigest()


def encode(chunks: list[bytes], trailer: bytes = b"") -> bytes:
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks if chunk)
    return body + b"0\r\n" + trailer + b"\r\n"


def encode_signed(chunks: list[bytes]) -> bytes:
    previous, body = SIGNED.signature, b""
    for chunk in [*[chunk for chunk in chunks if chunk], b""]:
        digest = hashlib.sha256(chunk).hexdigest()
        text = f"AWS4-HMAC-SHA256-PAYLOAD\n{SIGNED.time}\n{SIGNED.scope}\n{previous}\n{EMPTY}\n{digest}"
        previous = hmac.digest(KEY, text.encode(), "sha256").hex()
        body += b"%x;chunk-signature=%s\r\n%s\r\n" % (len(chunk), previous.encode(), chunk)
    return body


def decode(body: bytes, cuts: list[int], decoder: ChunkedDecoder) -> bytes:
    edges = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    payload = b"".join(decoder.feed(body[start:stop]) for start, stop in pairwise(edges))
    decoder.finish()
    return payload


@given(st.lists(st.binary(max_size=50), max_size=5), st.lists(st.integers(0, 500), max_size=8))
def test_payload_and_trailer_are_decoded_from_pieces_of_any_size(chunks: list[bytes], cuts: list[int]) -> None:
    decoder = ChunkedDecoder(signer=None, has_trailer=True)
    assert decode(encode(chunks, b"x-amz-checksum-crc32:AAAAAA==\r\n"), cuts, decoder) == b"".join(chunks)
    assert decoder.trailer == {"x-amz-checksum-crc32": "AAAAAA=="}


@given(st.lists(st.binary(max_size=50), max_size=5), st.lists(st.integers(0, 500), max_size=8))
def test_signed_chunks_are_accepted(chunks: list[bytes], cuts: list[int]) -> None:
    decoder = ChunkedDecoder(signer=ChunkSigner(SIGNED, KEY), has_trailer=False)
    assert decode(encode_signed(chunks), cuts, decoder) == b"".join(chunks)


@given(st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=4), st.integers(0))
def test_a_changed_payload_byte_invalidates_the_signature(chunks: list[bytes], place: int) -> None:
    body = bytearray(encode_signed(chunks))
    start = body.index(b"\r\n") + 2
    body[start + place % len(chunks[0])] ^= 1
    with pytest.raises(ServiceError) as refusal:
        decode(bytes(body), [], ChunkedDecoder(signer=ChunkSigner(SIGNED, KEY), has_trailer=False))
    assert refusal.value.code in ("SignatureDoesNotMatch", "InvalidRequest")


@given(st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=4), st.integers(0))
def test_a_body_that_ends_early_is_incomplete(chunks: list[bytes], cut: int) -> None:
    body = encode(chunks, b"x-amz-checksum-crc32:AAAAAA==\r\n")
    decoder = ChunkedDecoder(signer=None, has_trailer=True)
    decoder.feed(body[: cut % (len(body) - 2)])
    with pytest.raises(ServiceError, match="IncompleteBody"):
        decoder.finish()


@pytest.mark.parametrize("body", [b"zz\r\n", b"-1\r\n", b"5\r\nabcdefgh\r\n", b"1" * 20_000, b"0\r\n\r\nmore\r\n"])
def test_malformed_chunks_are_refused(body: bytes) -> None:
    with pytest.raises(ServiceError):
        ChunkedDecoder(signer=None, has_trailer=True).feed(body)
