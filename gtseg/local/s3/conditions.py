"""Conditional requests. Sources: RFC 9110 section 13; S3 User Guide, "Conditional requests"."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

from gtseg.local.errors import ServiceError
from gtseg.local.storage.index import Condition
from gtseg.local.storage.stored import StoredObject

__all__ = ["check_copy_source", "check_read", "make_delete_condition", "make_write_condition"]


def check_read(info: StoredObject, headers: dict[str, str]) -> bool:
    """False: not modified (304). Raises ServiceError PreconditionFailed."""
    if "if-match" in headers or "if-unmodified-since" in headers:
        _check_unchanged(info, headers, "if-match", "if-unmodified-since")
    if "if-none-match" in headers:
        return not _matches(headers["if-none-match"], info.etag)
    since = _parse_seconds(headers.get("if-modified-since"))
    return since is None or info.modified_ms // 1000 > since


def check_copy_source(info: StoredObject, headers: dict[str, str]) -> None:
    """The four x-amz-copy-source-if-* headers: 412 wherever a read would have said 304."""
    prefix = "x-amz-copy-source-"
    plain = {name[len(prefix) :]: value for name, value in headers.items() if name.startswith(prefix)}
    if not check_read(info, plain):
        raise failed("x-amz-copy-source-If-None-Match")


def make_write_condition(headers: dict[str, str]) -> Condition | None:
    """If-Match: <etag> and If-None-Match: * of PutObject and CompleteMultipartUpload."""
    match, none_match = headers.get("if-match"), headers.get("if-none-match")
    if match is None and none_match is None:
        return None
    if match is not None and none_match is not None:
        raise ServiceError("NotImplemented", "If-Match and If-None-Match together are not implemented", 501)
    if none_match is not None and none_match.strip() != "*":
        raise ServiceError(
            "NotImplemented", "A header you provided implies functionality that is not implemented", 501
        )

    def check(present: StoredObject | None) -> None:
        if none_match is not None and present is not None:
            raise failed("If-None-Match")
        if match is not None and present is None:
            raise ServiceError("NoSuchKey", "The specified key does not exist.", 404)
        if match is not None and present is not None and not _matches(match, present.etag):
            raise failed("If-Match")

    return check


def make_delete_condition(headers: dict[str, str]) -> Condition | None:
    """If-Match of DeleteObject: * or an ETag. An object that is not there fails it too."""
    match = headers.get("if-match")
    if match is None:
        return None

    def check(present: StoredObject | None) -> None:
        if present is None or not _matches(match, present.etag):
            raise failed("If-Match")

    return check


def failed(condition: str) -> ServiceError:
    return ServiceError(
        "PreconditionFailed",
        "At least one of the pre-conditions you specified did not hold",
        412,
        fields={"Condition": condition},
    )


def _check_unchanged(info: StoredObject, headers: dict[str, str], match: str, since: str) -> None:
    if match in headers:  # RFC 9110 13.2.2: If-Unmodified-Since counts only without If-Match
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
