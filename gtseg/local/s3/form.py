"""Parser of multipart/form-data from browsers: fields first, then the file, which is streamed (RFC 7578)."""

from __future__ import annotations

from collections.abc import AsyncIterator

from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import Data, Epilogue, Event, Field, File, MultipartDecoder, NeedData

from gtseg.local.errors import ServiceError

FIELDS_MAXIMUM = 20 * 1024
"""S3's limit of the bytes before the file."""


class Form:
    """A form: `await read_fields()`, then iterate over `read_file()`. Field names are lower-case."""

    def __init__(self, content_type: str, body: AsyncIterator[bytes]) -> None:
        self.fields: dict[str, str] = {}
        self.filename = ""
        self._body = body
        self._decoder = MultipartDecoder(_read_boundary(content_type))
        self._in_file = False

    async def read_fields(self) -> None:
        """Read the fields before the file.

        Raises ServiceError MalformedPOSTRequest, or InvalidArgument without a file.
        """
        name, value, size = "", b"", 0
        while True:
            event = await self._next_event()
            if isinstance(event, Epilogue):
                raise ServiceError("InvalidArgument", "POST requires exactly one file upload per request.")
            if isinstance(event, Field | File):
                if not event.name:
                    raise _malformed()
                name, value = event.name.lower(), b""
                size += len(name)
                if name == "file":
                    self.filename = event.filename if isinstance(event, File) else ""
                    self._in_file = True
                    return
            elif isinstance(event, Data):
                value += event.data
                size += len(event.data)
                self.fields[name] = value.decode("utf-8", "replace")
            if size > FIELDS_MAXIMUM:
                raise _too_large()

    async def read_file(self) -> AsyncIterator[bytes]:
        """Yield the file's bytes. Raises ServiceError IncompleteBody if the body ends before the file does."""
        has_more = True
        while has_more:
            event = await self._next_event()
            assert isinstance(event, Data)
            if event.data:
                yield event.data
            has_more = event.more_data
        async for _ in self._body:  # fields after the file are ignored, as on S3
            pass

    async def _next_event(self) -> Event:
        while True:
            try:
                event = self._decoder.next_event()
            except ValueError:  # no Content-Disposition, a header that is not UTF-8, or a premature end
                raise _incomplete() if self._decoder.complete else _malformed() from None
            if not isinstance(event, NeedData):
                return event
            if not self._in_file and len(self._decoder.buffer) > FIELDS_MAXIMUM:
                raise _too_large()
            self._decoder.receive_data(await anext(self._body, None))


def _read_boundary(content_type: str) -> bytes:
    kind, options = parse_options_header(content_type)
    boundary = options.get("boundary", "")
    if kind.lower() != "multipart/form-data" or not boundary:
        raise ServiceError("PreconditionFailed", "Bucket POST must be of the enclosure-type multipart/form-data", 412)
    return boundary.encode("latin-1", "replace")


def _malformed() -> ServiceError:
    return ServiceError("MalformedPOSTRequest", "The body of your POST request is not well-formed multipart/form-data.")


def _incomplete() -> ServiceError:
    return ServiceError("IncompleteBody", "The form ended before its last delimiter.")


def _too_large() -> ServiceError:
    return ServiceError(
        "MaxPostPreDataLengthExceeded",
        "Your POST request fields preceding the upload file were too large.",
    )
