"""Request bodies on their way to disk: decoding, hashing, and checks against the request's headers.

Small bodies are handled on the event loop; larger ones are hashed and written by a worker thread, 1 MiB at a time, so
that memory does not grow with their size. An object is created only after every check has passed.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Self

from gtseg.local.errors import ServiceError
from gtseg.local.front.signature import UNSIGNED_PAYLOAD
from gtseg.local.s3.checksums import ALGORITHMS, Checksum, encode, make_checksum, read_algorithm
from gtseg.local.s3.chunked import ChunkedDecoder, ChunkSigner
from gtseg.local.s3.request import Request
from gtseg.local.storage.files import Draft, Files

INLINE_BYTES = 128 * 1024
BLOCK_BYTES = 1 << 20
SIZE_MAXIMUM = 5 << 30
DOCUMENT_MAXIMUM = 4 << 20
HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class ReceivedBody:
    """A complete, checked body: in a new file, or in `content` if it is small; `file` is negative in that case.

    It is a context manager that removes the file at its end unless it was kept.
    """

    file: int
    size: int
    md5: str
    checksums: dict[str, str] = field(default_factory=dict)
    content: bytes | None = None
    draft: Draft | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.draft is not None:
            self.draft.__exit__(*exception)


class Digests:
    """The hashes that a body needs, and the values that the request declares."""

    def __init__(self, headers: dict[str, str], algorithm: str = "") -> None:
        self.md5 = hashlib.md5(usedforsecurity=False)
        self.size = 0
        self.declared_md5 = _parse_md5(headers.get("content-md5"))
        self.declared_sha256 = _parse_content_hash(headers)
        self.declared = {name: value for name in ALGORITHMS if (value := headers.get(f"x-amz-checksum-{name.lower()}"))}
        self.trailing = _read_trailing(headers)
        wanted = set(self.declared) | ({self.trailing} if self.trailing else set())
        if len(wanted) > 1:
            raise ServiceError(
                "InvalidRequest",
                "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
            )
        asked = algorithm or headers.get("x-amz-sdk-checksum-algorithm", "")
        if asked and not wanted:
            wanted = {read_algorithm(asked)}
        elif algorithm and wanted != {algorithm}:
            raise ServiceError(
                "InvalidRequest",
                f"Checksum Type mismatch occurred, expected checksum Type: {algorithm.lower()}, "
                f"actual checksum Type: {next(iter(wanted)).lower()}",
            )
        self.checksums: dict[str, Checksum] = {name: make_checksum(name) for name in sorted(wanted)}
        self.sha256 = hashlib.sha256() if self.declared_sha256 else None

    def update(self, data: bytes) -> None:
        self.size += len(data)
        self.md5.update(data)
        if self.sha256 is not None:
            self.sha256.update(data)
        for checksum in self.checksums.values():
            checksum.update(data)

    def check(self, trailer: dict[str, str]) -> dict[str, str]:
        """Return the checksums to store. Raises ServiceError if a declared value does not match."""
        if self.sha256 is not None and self.sha256.hexdigest() != self.declared_sha256:
            raise ServiceError(
                "XAmzContentSHA256Mismatch",
                "The provided 'x-amz-content-sha256' header does not match what was computed.",
            )
        if self.declared_md5 and self.md5.digest() != self.declared_md5:
            raise ServiceError("BadDigest", "The Content-MD5 you specified did not match what we received.")
        if self.trailing:
            promised = trailer.get(f"x-amz-checksum-{self.trailing.lower()}")
            if promised is None:
                raise ServiceError(
                    "MalformedTrailerError",
                    "The request contained trailing data that was not well-formed or did not conform to our published "
                    "schema.",
                )
            self.declared[self.trailing] = promised
        computed = {name: encode(checksum.digest()) for name, checksum in self.checksums.items()}
        for name, value in computed.items():
            if self.declared.get(name, value) != value:
                raise ServiceError("BadDigest", f"The {name} you specified did not match the calculated checksum.")
        return computed


class BodyReceiver:
    """Receives request bodies into new files of a data folder."""

    def __init__(self, files: Files, pool: Executor) -> None:
        self._files, self._pool = files, pool

    async def take(self, request: Request, *, algorithm: str = "", small_bytes: int = 0) -> ReceivedBody:
        """Write the body to a new file, or hold it in memory up to `small_bytes`.

        Raises ServiceError; then no file is left.

        The file is not synced to disk.
        """
        length = declared_length(request)
        digests = Digests(request.headers, algorithm)
        decoder = make_decoder(request)
        if length <= INLINE_BYTES:
            content = await self._collect(request, decoder, length)
            digests.update(content)
            checksums = finish(digests, decoder, length)
            md5 = digests.md5.hexdigest()
            if length <= small_bytes:
                return ReceivedBody(-self._files.allocate(), length, md5, checksums, content)
            loop = asyncio.get_running_loop()
            draft = await loop.run_in_executor(self._pool, self._write, content)
            return ReceivedBody(draft.number, length, md5, checksums, draft=draft)
        pieces = iterate_payload(request, decoder)
        return await self.take_stream(pieces, digests, decoder=decoder, length=length, limit=length)

    def _write(self, content: bytes) -> Draft:
        draft = self._files.begin()
        try:
            draft.write(content)
        except BaseException:
            draft.__exit__()
            raise
        return draft

    async def _collect(self, request: Request, decoder: ChunkedDecoder | None, length: int) -> bytes:
        blocks = []
        size = 0
        async for block in iterate_payload(request, decoder):
            blocks.append(block)
            size += len(block)
            if size > length:
                raise too_long()
        return blocks[0] if len(blocks) == 1 else b"".join(blocks)

    async def take_stream(
        self,
        pieces: AsyncIterator[bytes],
        digests: Digests,
        *,
        decoder: ChunkedDecoder | None,
        length: int | None,
        limit: int,
    ) -> ReceivedBody:
        """Write a stream to a new file; `length` None if the number of bytes was not declared."""
        loop = asyncio.get_running_loop()
        draft = self._files.begin()
        try:
            async for block in iterate_blocks(pieces):
                if digests.size + len(block) > limit:
                    raise too_long()
                await loop.run_in_executor(self._pool, _write_block, draft, digests, block)
            checksums = finish(digests, decoder, digests.size if length is None else length)
        except BaseException:
            draft.__exit__()
            raise
        return ReceivedBody(draft.number, digests.size, digests.md5.hexdigest(), checksums, draft=draft)


def _write_block(draft: Draft, digests: Digests, block: bytes) -> None:
    digests.update(block)
    draft.write(block)


def finish(digests: Digests, decoder: ChunkedDecoder | None, length: int) -> dict[str, str]:
    if decoder is not None:
        decoder.finish()
    if digests.size != length:
        raise ServiceError(
            "IncompleteBody",
            "You did not provide the number of bytes specified by the Content-Length HTTP header",
        )
    return digests.check(decoder.trailer if decoder is not None else {})


def too_long() -> ServiceError:
    return ServiceError("EntityTooLarge", "The request body is larger than allowed or declared.")


async def iterate_body(request: Request) -> AsyncIterator[bytes]:
    """Yield the body as it arrives. Raises ServiceError if the client disconnects or times out (connections.py)."""
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ServiceError("IncompleteBody", "The client disconnected before the end of the body.")
        request.is_read = not message.get("more_body", False)
        if message["body"]:
            yield message["body"]
        if request.is_read:
            return


async def iterate_payload(request: Request, decoder: ChunkedDecoder | None) -> AsyncIterator[bytes]:
    async for data in iterate_body(request):
        payload = data if decoder is None else decoder.feed(data)
        if payload:
            yield payload


async def iterate_blocks(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the same bytes in blocks of about 1 MiB."""
    pending: list[bytes] = []
    size = 0
    async for piece in pieces:
        pending.append(piece)
        size += len(piece)
        if size >= BLOCK_BYTES:
            yield b"".join(pending)
            pending, size = [], 0
    if pending:
        yield b"".join(pending)


async def read_document(request: Request, *, checks_whole: bool = True) -> bytes:
    """Read a small body (XML, JSON) into memory, checked like an object's.

    `checks_whole` False: the request's checksum is that of a multipart object, not of this document.
    """
    length = declared_length(request, required=False)
    if length > DOCUMENT_MAXIMUM:
        raise ServiceError("MaxMessageLengthExceeded", "Your request was too large.")
    headers = request.headers
    if not checks_whole:
        headers = {name: value for name, value in headers.items() if not name.startswith("x-amz-checksum-")}
    digests, decoder = Digests(headers), make_decoder(request)
    blocks = [block async for block in iterate_payload(request, decoder)]
    content = b"".join(blocks)
    digests.update(content)
    finish(digests, decoder, length)
    return content


def declared_length(request: Request, *, required: bool = True) -> int:
    """Return the payload's size in bytes. Raises ServiceError for a missing or invalid length, as S3 does."""
    headers = request.headers
    text = headers.get("x-amz-decoded-content-length") or headers.get("content-length")
    if text is None:
        if required or "transfer-encoding" in headers:
            raise ServiceError("MissingContentLength", "You must provide the Content-Length HTTP header.", 411)
        return 0
    if not text.isdecimal():
        raise ServiceError("InvalidArgument", f"{text!r} is not a length in bytes")
    length = int(text)
    if length > SIZE_MAXIMUM:
        raise ServiceError(
            "EntityTooLarge",
            "Your proposed upload exceeds the maximum allowed size",
            fields={"ProposedSize": text, "MaxSizeAllowed": str(SIZE_MAXIMUM)},
        )
    return length


def make_decoder(request: Request) -> ChunkedDecoder | None:
    """Return a decoder if the body is aws-chunked, else None."""
    kind = request.headers.get("x-amz-content-sha256", "")
    if not kind.startswith("STREAMING-"):
        return None
    if "x-amz-decoded-content-length" not in request.headers:
        raise ServiceError("MissingContentLength", "You must provide the x-amz-decoded-content-length header.", 411)
    signed_chunks = kind.startswith("STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
    if not signed_chunks and kind != "STREAMING-UNSIGNED-PAYLOAD-TRAILER":
        raise ServiceError("NotImplemented", f"x-amz-content-sha256 {kind} is not implemented.", 501)
    if signed_chunks and request.signed is None:
        raise ServiceError("AccessDenied", "Signed chunks require a signed request.", 403)
    signer = ChunkSigner(request.signed, request.signing_key) if signed_chunks and request.signed else None
    return ChunkedDecoder(signer=signer, has_trailer="x-amz-trailer" in request.headers)


def _read_trailing(headers: dict[str, str]) -> str:
    """Return the algorithm of the trailing checksum; '' if there is none."""
    trailer = headers.get("x-amz-trailer", "").strip().lower()
    algorithm = trailer.removeprefix("x-amz-checksum-").upper()
    if trailer and (algorithm not in ALGORITHMS or not trailer.startswith("x-amz-checksum-")):
        raise ServiceError("InvalidRequest", "The value specified in the x-amz-trailer header is not supported")
    return algorithm


def _parse_md5(text: str | None) -> bytes:
    if text is None:
        return b""
    try:
        digest = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != 16:
        raise ServiceError("InvalidDigest", "The Content-MD5 you specified was invalid.")
    return digest


def _parse_content_hash(headers: dict[str, str]) -> str:
    """Return the hex SHA-256 that a signed request declares for its body; '' if it declares none."""
    kind = headers.get("x-amz-content-sha256", "")
    if not kind or kind == UNSIGNED_PAYLOAD or kind.startswith("STREAMING-"):
        return ""
    if len(kind) != 64 or not HEX.issuperset(kind):
        raise ServiceError(
            "InvalidArgument",
            "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, "
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.",
        )
    return kind
