"""Decoder of the aws-chunked transfer coding: bodies signed chunk by chunk, and trailing headers.

    hex-size[;chunk-signature=hex]\\r\\n data \\r\\n ... 0[;chunk-signature=hex]\\r\\n [name:value\\r\\n ...] \\r\\n

Source: S3 API Reference, "Signature calculations for the Authorization header: transferring payload in multiple
chunks" and "... including trailing headers".
"""

from __future__ import annotations

import hashlib
import hmac

from gtseg.local.errors import ServiceError
from gtseg.local.front.signature import Signed

EMPTY_HASH = hashlib.sha256(b"").hexdigest()
LINE_MAXIMUM = 16 * 1024
CHUNK_MAXIMUM = 5 << 30


def _incomplete() -> ServiceError:
    return ServiceError("IncompleteBody", "The request body terminated unexpectedly")


def _malformed(reason: str) -> ServiceError:
    return ServiceError("InvalidRequest", f"The aws-chunked body is malformed: {reason}.")


class ChunkSigner:
    """Chain of chunk signatures, starting from the request's signature."""

    def __init__(self, signed: Signed, key: bytes) -> None:
        self._signed, self._key, self._previous = signed, key, signed.signature

    def check_chunk(self, digest: str, signature: str) -> None:
        self._check("AWS4-HMAC-SHA256-PAYLOAD", f"{EMPTY_HASH}\n{digest}", signature)

    def check_trailer(self, trailer: bytes, signature: str) -> None:
        self._check("AWS4-HMAC-SHA256-TRAILER", hashlib.sha256(trailer).hexdigest(), signature)

    def _check(self, algorithm: str, content: str, signature: str) -> None:
        text = f"{algorithm}\n{self._signed.time}\n{self._signed.scope}\n{self._previous}\n{content}"
        expected = hmac.digest(self._key, text.encode(), "sha256").hex()
        if not hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace")):
            raise ServiceError(
                "SignatureDoesNotMatch",
                "The chunk signature we calculated does not match the signature you provided.",
                403,
            )
        self._previous = expected


class ChunkedDecoder:
    """Incremental decoder: `feed` returns the payload, `trailer` has the trailing headers at the end."""

    def __init__(self, *, signer: ChunkSigner | None, has_trailer: bool) -> None:
        self.trailer: dict[str, str] = {}
        self._signer, self._has_trailer = signer, has_trailer
        self._pending = bytearray()  # bytes of an incomplete line
        self._left = 0  # remaining payload bytes of the current chunk
        self._state = "size"  # size -> data -> data end -> size ..., then trailer -> done
        self._signature = ""
        self._digest = hashlib.sha256()
        self._signed_trailer = bytearray()

    def feed(self, data: bytes) -> bytes:
        """Return the payload in `data`, a piece of any length."""
        payload: list[bytes] = []
        position = 0
        while position < len(data):
            if self._state == "data":
                position = self._take_data(data, position, payload)
            else:
                position = self._take_line(data, position)
        return payload[0] if len(payload) == 1 else b"".join(payload)

    def finish(self) -> None:
        """Raise ServiceError IncompleteBody if the body ended early."""
        if self._state == "trailer" and not self._has_trailer and not self._pending:
            self._state = "done"  # some clients omit the last line break
        if self._state != "done":
            raise _incomplete()

    def _take_data(self, data: bytes, position: int, payload: list[bytes]) -> int:
        end = min(len(data), position + self._left)
        piece = data[position:end]
        payload.append(piece)
        if self._signer is not None:
            self._digest.update(piece)
        self._left -= len(piece)
        if not self._left:
            self._end_chunk()
            self._state = "data end"
        return end

    def _take_line(self, data: bytes, position: int) -> int:
        end = data.find(b"\n", position)
        self._pending += data[position : len(data) if end < 0 else end + 1]
        if len(self._pending) > LINE_MAXIMUM:
            raise _malformed("a line is too long")
        if end < 0:
            return len(data)
        line = bytes(self._pending).rstrip(b"\r\n")
        self._pending.clear()
        self._take_whole_line(line)
        return end + 1

    def _take_whole_line(self, line: bytes) -> None:
        if self._state == "size":
            self._start_chunk(line)
        elif self._state == "data end":
            if line:
                raise _malformed("a chunk is longer than its size")
            self._state = "size"
        elif self._state == "trailer":
            self._take_trailer(line)
        elif line:
            raise _malformed("bytes follow the last chunk")

    def _start_chunk(self, line: bytes) -> None:
        size, _, extension = line.partition(b";")
        try:
            self._left = int(size, 16)
        except ValueError:
            raise _malformed(f"{line[:40]!r} is not a chunk size") from None
        if not 0 <= self._left <= CHUNK_MAXIMUM:
            raise ServiceError("EntityTooLarge", "Your proposed upload exceeds the maximum allowed object size.")
        self._signature = extension.strip().removeprefix(b"chunk-signature=").decode("latin-1")
        self._digest = hashlib.sha256()
        if self._left:
            self._state = "data"
        else:
            self._end_chunk()
            self._state = "trailer"

    def _end_chunk(self) -> None:
        if self._signer is not None:
            self._signer.check_chunk(self._digest.hexdigest(), self._signature)

    def _take_trailer(self, line: bytes) -> None:
        if not line:
            self._finish_trailer()
            return
        name, _, value = line.partition(b":")
        header, text = name.decode("latin-1").strip().lower(), value.decode("latin-1").strip()
        self.trailer[header] = text
        if header != "x-amz-trailer-signature":
            self._signed_trailer += f"{header}:{text}\n".encode("latin-1")

    def _finish_trailer(self) -> None:
        if self._signer is not None and self._has_trailer:
            signature = self.trailer.get("x-amz-trailer-signature", "")
            self._signer.check_trailer(bytes(self._signed_trailer), signature)
        self._state = "done"
