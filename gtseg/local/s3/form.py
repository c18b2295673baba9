"""multipart/form-data as browsers send it: fields first, then the file, which is streamed (RFC 7578)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from email.message import Message

from gtseg.local.errors import ServiceError

__all__ = ["Form"]

FIELDS_MAXIMUM = 20 * 1024  # S3's limit of what comes before the file
NAME = re.compile(rb'[;\s]name="([^"]*)"', re.IGNORECASE)
FILENAME = re.compile(rb'[;\s]filename="([^"]*)"', re.IGNORECASE)


class Form:
    """`await read_fields()`, then iterate over `read_file()`. Field names are lower-case."""

    def __init__(self, content_type: str, body: AsyncIterator[bytes]) -> None:
        self.fields: dict[str, str] = {}
        self.filename = ""
        self._body = body
        self._buffer = bytearray()
        self._delimiter = b"\r\n--" + _read_boundary(content_type)

    async def read_fields(self) -> None:
        """Everything up to the file. Raises ServiceError MalformedPOSTRequest, or InvalidArgument without a file."""
        self._buffer += b"\r\n"  # the first delimiter may stand at the very beginning
        await self._take_until(self._delimiter)
        while True:
            if (await self._take_until(b"\r\n"))[:2] == b"--":
                raise ServiceError("InvalidArgument", "POST requires exactly one file upload per request.")
            head = await self._take_until(b"\r\n\r\n", keep_empty_head=True)
            found = NAME.search(head)
            if found is None:
                raise _malformed()
            name = found[1].decode("utf-8", "replace").lower()
            if name == "file":
                filename = FILENAME.search(head)
                self.filename = filename[1].decode("utf-8", "replace") if filename else ""
                return
            self.fields[name] = (await self._take_until(self._delimiter)).decode("utf-8", "replace")

    async def read_file(self) -> AsyncIterator[bytes]:
        """The file's bytes. Raises ServiceError IncompleteBody if its end never comes."""
        while (end := self._buffer.find(self._delimiter)) < 0:
            ready = len(self._buffer) - len(self._delimiter)
            if ready > 0:
                yield bytes(self._buffer[:ready])
                del self._buffer[:ready]
            await self._fill()
        if end:
            yield bytes(self._buffer[:end])
        async for _ in self._body:  # fields after the file are ignored, as S3 ignores them
            pass

    async def _take_until(self, mark: bytes, *, keep_empty_head: bool = False) -> bytes:
        while (end := self._buffer.find(mark)) < 0:
            if len(self._buffer) > FIELDS_MAXIMUM:
                raise ServiceError(
                    "MaxPostPreDataLengthExceeded",
                    "Your POST request fields preceding the upload file were too large.",
                )
            await self._fill()
        taken = bytes(self._buffer[:end])
        del self._buffer[: end + len(mark)]
        return b"\r\n" + taken if keep_empty_head else taken

    async def _fill(self) -> None:
        try:
            self._buffer += await anext(self._body)
        except StopAsyncIteration:
            raise ServiceError("IncompleteBody", "The form ended before its last delimiter.") from None


def _read_boundary(content_type: str) -> bytes:
    message = Message()
    message["content-type"] = content_type
    boundary = message.get_param("boundary")
    if message.get_content_type() != "multipart/form-data" or not isinstance(boundary, str) or not boundary:
        raise ServiceError(
            "PreconditionFailed", "Bucket POST must be of the enclosure-type multipart/form-data", 412
        )
    return boundary.encode("latin-1", "replace")


def _malformed() -> ServiceError:
    return ServiceError(
        "MalformedPOSTRequest", "The body of your POST request is not well-formed multipart/form-data."
    )
