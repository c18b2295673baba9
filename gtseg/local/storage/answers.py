"""Answers of an S3 service that are read into memory, up to a size: botocore reads a listing or an error for as long as it is sent."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

__all__ = ["limit_answers", "read_blocks"]

BLOCK_BYTES = 1 << 16


class Bounded:
    """A response of urllib3 that is read up to `limit` bytes and for so many seconds. Raises HTTPClientError."""

    def __init__(self, raw: Any, limit: int, seconds: float) -> None:
        self._raw, self._limit, self._seconds = raw, limit, seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def stream(self, *arguments: Any, **more: Any) -> Iterator[bytes]:
        from botocore.exceptions import HTTPClientError
        from urllib3.exceptions import HTTPError

        size, end = 0, time.monotonic() + self._seconds
        try:
            for block in read_blocks(self._raw, BLOCK_BYTES):
                if time.monotonic() > end:
                    self._raw.close()
                    raise HTTPClientError(error=f"the answer took more than {self._seconds:.0f} seconds")
                size += len(block)
                if size > self._limit:
                    self._raw.close()
                    raise HTTPClientError(error=f"the answer has more than {self._limit} bytes")
                yield block
        except HTTPError as error:
            raise HTTPClientError(error=error) from None


def read_blocks(raw: Any, size: int) -> Iterator[bytes]:
    """What a response of urllib3 has, as it comes: a block is at most `size` bytes and never waited for until it is full."""
    read = getattr(raw, "read1", raw.read)
    return iter(lambda: bytes(read(size)), b"")


def limit_answers(client: Any, limit: int, *, seconds: float) -> None:
    """Let a boto3 client read no answer of more than `limit` bytes into memory, nor for longer than so many seconds.

    Objects are streamed: whoever reads one sets its limits.
    """
    session = client._endpoint.http_session
    send = session.send

    def send_bounded(request: Any) -> Any:
        is_streamed, request.stream_output = request.stream_output, True
        try:
            response = send(request)
        finally:
            request.stream_output = is_streamed
        if not is_streamed or response.status_code >= 300:
            response.raw = Bounded(response.raw, limit, seconds)
            response.content  # noqa: B018  read now, as botocore does, so that the connection is free again
        return response

    session.send = send_bounded
