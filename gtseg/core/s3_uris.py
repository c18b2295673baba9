"""S3 URIs (raw keys, never percent-encoded), and their distinction from paths and from mistyped addresses."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, unquote, urlsplit

from gtseg.errors import SettingsError

_URI = re.compile(r"s3://([a-zA-Z0-9._-]{3,255})(?:/(.*))?", re.DOTALL)
"""Buckets in us-east-1 created before March 2018 may have upper-case letters, underscores and up to 255 characters."""
_S3 = re.compile(r"\s*s3:/*", re.IGNORECASE)
_SCHEME = re.compile(r"\s*(?:[a-z][a-z0-9+.-]+://|(?:https?|s3[an]):/)", re.IGNORECASE)
_ONE_SLASH = re.compile(r"(https?|s3[an]):/(?!/)", re.IGNORECASE)
"""URL as pathlib.Path writes it."""
_ARN = re.compile(r"\s*(?:s3:/*)?arn:", re.IGNORECASE)
_ACCESS_POINT = re.compile(r"arn:[^/]*:accesspoint[:/]", re.IGNORECASE)
_OBJECT_ARN = re.compile(r"arn:aws[a-z-]*:s3:::(.+)", re.DOTALL)
_HOST = re.compile(
    r"(?:(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])\.)?"
    r"s3(?:[.-](?:accelerate|dualstack|fips|website|[a-z]{2}(?:-[a-z]+)+-\d))*"
    r"\.amazonaws\.com(?:\.cn)?"
)
"""Host names of S3: virtual-hosted and path style, with or without region, dual stack, FIPS, acceleration."""
_CONSOLE = re.compile(r"(?:[a-z0-9-]+\.)*console\.(?:aws\.amazon\.com|amazonaws\.cn|amazonaws-us-gov\.com)")
_CONSOLE_PATH = re.compile(r"/s3/(?:buckets|object|upload)/([^/]+)/?(.*)", re.DOTALL)


def is_s3_uri(text: str) -> bool:
    """Return whether a text is an S3 URI; False for a path.

    Raises SettingsError for a mistyped S3 URI (S3://bucket, s3:/bucket, s3://b), so that none is taken for a file name.
    """
    if _URI.fullmatch(text):
        return True
    if _S3.match(text):
        raise SettingsError(f"{text}: {find_problem(text)}")
    return False


def split_uri(uri: str) -> tuple[str, str]:
    """Split `s3://bucket/a/b` into `("bucket", "a/b")`; the key is "" for a bucket alone. Raises SettingsError if
    invalid.
    """
    match = _URI.fullmatch(uri)
    if match is None:
        raise SettingsError(f"{uri!r} is not an S3 URI: {find_problem(uri) or 'write s3://BUCKET/KEY'}")
    return match[1], match[2] or ""


def find_problem(text: str) -> str:
    """Return why a text is neither a valid S3 URI nor a path, with the solution; '' if it is one of them.

    A file with such a name is given as ./NAME.
    """
    if _URI.fullmatch(text) or not (_SCHEME.match(text) or _S3.match(text) or _ARN.match(text)):
        return ""
    if _ACCESS_POINT.search(text):
        return "an access point is named by its alias, not its ARN: write s3://NAME-s3alias/KEY"
    if uri := _find_uri(text):
        return f"an S3 URI starts with s3:// and the name of a bucket: write {uri}"
    if not _S3.match(text):
        kind = "it is an ARN" if _ARN.match(text) else "other schemes are not supported"
        return f"must be an s3:// URI or a path; {kind}"
    bucket = _S3.sub("", text, count=1).partition("/")[0]
    if not bucket:
        return "it has no bucket name: write s3://BUCKET/KEY"
    return (
        f"{bucket!r} is not a bucket name (3 to 63 lower-case letters, digits, hyphens, periods): write s3://BUCKET/KEY"
    )


def find_file_problem(text: str) -> str:
    """Return why a text is neither the S3 URI of an object nor a path, with the solution; '' if it is one of them."""
    uri = _URI.fullmatch(text)
    return f"it names no object: write s3://{uri[1]}/KEY" if uri and not uri[2] else find_problem(text)


def is_path(text: str) -> bool:
    """Return whether a text is neither an S3 URI, mistyped or not, nor another URL or ARN."""
    return _URI.fullmatch(text) is None and not find_problem(text)


def require_location(text: str, name: str) -> str:
    """Return an S3 URI or a path unchanged. Raises SettingsError naming the argument for anything else."""
    if problem := find_problem(text):
        raise SettingsError(f"{name} {text}: {problem}")
    return text


def require_file(text: str, name: str) -> str:
    """Return the S3 URI of an object or a path unchanged. Raises SettingsError naming the argument for another text."""
    if problem := find_file_problem(text):
        raise SettingsError(f"{name} {text}: {problem}")
    return text


def require_path(text: str, name: str) -> str:
    """Return a path unchanged. Raises SettingsError naming the argument for an S3 URI or another URL."""
    if problem := find_path_problem(text):
        raise SettingsError(f"{name} {text}: {problem}")
    return text


def find_path_problem(text: str) -> str:
    """Return why a text is not a path, with the solution; '' if it is one."""
    if is_path(text):
        return ""
    return "must be a path on this machine; copy files from or to S3 with `aws s3 cp` or `aws s3 sync`"


def read_reference(text: str) -> str:
    """Convert the https:// URL of an S3 object, an ARN, or s3a:// and s3n:// to an s3:// URI; return others unchanged.

    The path of a URL is percent-encoded (RFC 3986) and is decoded; its query (a signature) is dropped.
    """
    scheme, separator, rest = text.partition("://")
    if separator and scheme.lower() in ("s3a", "s3n"):
        return f"s3://{rest}"
    if match := _OBJECT_ARN.fullmatch(text):
        return f"s3://{match[1]}"
    if separator and scheme.lower() in ("http", "https"):
        return _read_web_address(text)
    return text


def _read_web_address(text: str) -> str:
    try:
        address = urlsplit(text)
        host = _HOST.fullmatch((address.hostname or "").lower())
    except ValueError:
        return text
    path = unquote(address.path).removeprefix("/")
    if host is None or not path:
        return text
    return f"s3://{host['bucket']}/{path}" if host["bucket"] else f"s3://{path}"


def _find_uri(text: str) -> str:
    """Return the S3 URI that an address stands for: mistyped, a URL, an ARN or a page of the console; '' if unknown."""
    plain = _ONE_SLASH.sub(r"\1://", text.lstrip(), count=1)
    candidates = (_S3.sub("s3://", plain, count=1), read_reference(plain), _read_console(plain))
    return next((uri for uri in candidates if _URI.fullmatch(uri)), "")


def _read_console(text: str) -> str:
    """Convert the address of a bucket, prefix or object in the S3 console to an S3 URI; '' for others."""
    try:
        address = urlsplit(text)
        is_console = _CONSOLE.fullmatch((address.hostname or "").lower())
    except ValueError:
        return ""
    match = _CONSOLE_PATH.fullmatch(unquote(address.path))
    if not is_console or match is None:
        return ""
    key = parse_qs(address.query).get("prefix", [match[2]])[0]
    return f"s3://{match[1]}/{key}"
