"""A size limit for S3 responses that botocore reads into memory (listings, errors), which botocore itself does not
limit.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

BLOCK_BYTES = 1 << 16


class Bounded:
    """A urllib3 response read up to `limit` bytes and for a limited time. Raises HTTPClientError beyond that."""

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
                    raise HTTPClientError(error=f"the response is larger than {self._limit} bytes")
                yield block
        except HTTPError as error:
            raise HTTPClientError(error=error) from None


def read_blocks(raw: Any, size: int) -> Iterator[bytes]:
    """Yield a urllib3 response's body as it arrives, in blocks of up to `size` bytes, without waiting for full ones."""
    read = getattr(raw, "read1", raw.read)
    return iter(lambda: bytes(read(size)), b"")


def limit_answers(client: Any, limit: int, *, seconds: float) -> None:
    """Limit in-memory responses of a boto3 client to `limit` bytes and `seconds`; streamed bodies are not limited."""
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
            response.content  # noqa: B018  reads the body, as botocore does, which releases the connection
        return response

    session.send = send_bounded
