"""Conditional requests. Sources: RFC 9110 section 13; S3 User Guide, "Conditional requests"."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from gtseg.local.errors import ServiceError
from gtseg.local.storage.index import Condition
from gtseg.local.storage.stored import StoredObject


def check_read(info: StoredObject, headers: dict[str, str]) -> bool:
    """Return False if the object is not modified (304). Raises ServiceError PreconditionFailed."""
    if "if-match" in headers or "if-unmodified-since" in headers:
        _check_unchanged(info, headers, "if-match", "if-unmodified-since")
    if "if-none-match" in headers:
        return not _matches(headers["if-none-match"], info.etag)
    since = _parse_seconds(headers.get("if-modified-since"))
    return since is None or info.modified_ms // 1000 > since


def check_copy_source(info: StoredObject, headers: dict[str, str]) -> None:
    """Check the four x-amz-copy-source-if-* headers. Raises ServiceError 412, also where a read would return 304."""
    names = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since")
    given = {name: headers.get(f"x-amz-copy-source-{name}") for name in names}
    plain = {name: value for name, value in given.items() if value is not None}
    if not check_read(info, plain):
        raise failed("x-amz-copy-source-If-None-Match")


def make_write_condition(headers: dict[str, str]) -> Condition | None:
    """Return the condition of If-Match: <etag> or If-None-Match: * in PutObject and CompleteMultipartUpload."""
    match, none_match = headers.get("if-match"), headers.get("if-none-match")
    if match is None and none_match is None:
        return None
    if match is not None and none_match is not None:
        raise ServiceError("NotImplemented", "If-Match and If-None-Match together are not implemented", 501)
    if none_match is not None and none_match.strip() != "*":
        raise ServiceError("NotImplemented", "A header you provided implies functionality that is not implemented", 501)

    def check(present: StoredObject | None) -> None:
        if none_match is not None and present is not None:
            raise failed("If-None-Match")
        if match is not None and present is None:
            raise ServiceError("NoSuchKey", "The specified key does not exist.", 404)
        if match is not None and present is not None and not _matches(match, present.etag):
            raise failed("If-Match")

    return check


def make_delete_condition(
    match: str | None, *, size: str | None = None, modified: str | None = None
) -> Condition | None:
    """Return the condition of a deletion.

    A missing object fails If-Match (* or an ETag) and passes conditions on size and time.

    Raises ServiceError for an invalid size or time: an unreadable condition must not delete.
    """
    if match is None and size is None and modified is None:
        return None
    wanted_size, wanted_second = _read_size(size), _read_second(modified)

    def check(present: StoredObject | None) -> None:
        if match is not None and (present is None or not _matches(match, present.etag)):
            raise failed("If-Match")
        if present is None:
            return
        if wanted_size is not None and present.size != wanted_size:
            raise failed("x-amz-if-match-size")
        if wanted_second is not None and present.modified_ms // 1000 != wanted_second:
            raise failed("x-amz-if-match-last-modified-time")

    return check


def _read_size(text: str | None) -> int | None:
    if text is not None and not text.strip().isdecimal():
        raise ServiceError("InvalidArgument", f"The size {text!r} is not an integer")
    return None if text is None else int(text)


def _read_second(text: str | None) -> int | None:
    """Parse an HTTP date (of a header) or an ISO 8601 one (of a document); return epoch seconds."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text) if text[:4].isdecimal() else parsedate_to_datetime(text)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, TypeError):
        raise ServiceError("InvalidArgument", f"The last modified time {text!r} is not a date") from None


def failed(condition: str) -> ServiceError:
    """Return S3's error for a failed precondition."""
    return ServiceError(
        "PreconditionFailed",
        "At least one of the pre-conditions you specified did not hold",
        412,
        fields={"Condition": condition},
    )


def _check_unchanged(info: StoredObject, headers: dict[str, str], match: str, since: str) -> None:
    if match in headers:  # RFC 9110 13.2.2: If-Match overrides If-Unmodified-Since
        if not _matches(headers[match], info.etag):
            raise failed("If-Match")
        return
    limit = _parse_seconds(headers.get(since))
    if limit is not None and info.modified_ms // 1000 > limit:
        raise failed("If-Unmodified-Since")


def _matches(header: str, etag: str) -> bool:
    wanted = (part.strip().removeprefix("W/").strip('"') for part in header.split(","))
    return any(part in ("*", etag) for part in wanted)


def _parse_seconds(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return int(parsedate_to_datetime(text).timestamp())
    except (ValueError, TypeError):
        return None
