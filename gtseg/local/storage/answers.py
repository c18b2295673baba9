"""Answers of an S3 service that are read into memory, up to a size: botocore reads a listing or an error for as long as it is sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["limit_answers"]


class Bounded:
    """A response of urllib3 that is read up to `limit` bytes. Raises HTTPClientError."""

    def __init__(self, raw: Any, limit: int) -> None:
        self._raw, self._limit = raw, limit

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def stream(self, *arguments: Any, **more: Any) -> Iterator[bytes]:
        from botocore.exceptions import HTTPClientError
        from urllib3.exceptions import HTTPError

        size = 0
        try:
            for block in self._raw.stream(*arguments, **more):
                size += len(block)
                if size > self._limit:
                    self._raw.close()
                    raise HTTPClientError(error=f"the answer has more than {self._limit} bytes")
                yield block
        except HTTPError as error:
            raise HTTPClientError(error=error) from None


def limit_answers(client: Any, limit: int) -> None:
    """Let a boto3 client read no answer of more than `limit` bytes into memory; objects are streamed and have no limit."""
    session = client._endpoint.http_session
    send = session.send

    def send_bounded(request: Any) -> Any:
        is_streamed, request.stream_output = request.stream_output, True
        try:
            response = send(request)
        finally:
            request.stream_output = is_streamed
        if not is_streamed or response.status_code >= 300:
            response.raw = Bounded(response.raw, limit)
            response.content  # noqa: B018  read now, as botocore does, so that the connection is free again
        return response

    session.send = send_bounded
