"""References to images and masks in manifests: s3:// URIs with raw keys, and other forms that occur."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote, unquote_plus, urlsplit

_HOST = re.compile(
    r"(?:(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])\.)?"
    r"s3(?:[.-](?:accelerate|dualstack|fips|website|[a-z]{2}(?:-[a-z]+)+-\d))*"
    r"\.amazonaws\.com(?:\.cn)?"
)
"""Host names of S3: virtual-hosted and path style, with or without region, dual stack, FIPS, acceleration."""


def read_reference(text: str) -> str:
    """Convert the https:// URL of an S3 object, an ARN, or s3a:// and s3n:// to an s3:// URI; return others unchanged.

    The path of a URL is percent-encoded (RFC 3986) and is decoded; its query (a signature) is dropped.
    """
    scheme, separator, rest = text.partition("://")
    if separator and scheme.lower() in ("s3a", "s3n"):
        return f"s3://{rest}"
    if text.startswith("arn:aws") and (match := re.fullmatch(r"arn:aws[a-z-]*:s3:::(.+)", text, re.DOTALL)):
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


def decoded_forms(uri: str) -> tuple[str, ...]:
    """Return what a URL-encoded reference may name, most likely first: percent-decoded, then with `+` as a space.

    Empty if decoding changes nothing. S3's event notifications write keys in the second form.
    """
    prefix, slash, key = uri.partition("://")[2].partition("/")
    if not slash or not ("%" in key or "+" in key):
        return ()
    scheme = uri.partition("://")[0]
    forms = (f"{scheme}://{prefix}/{decode(key)}" for decode in (unquote, unquote_plus))
    return tuple(form for form in dict.fromkeys(forms) if form != uri)


def rewrite(uri: str, rules: Mapping[str, str]) -> str:
    """Replace the longest prefix that a rule names; return the reference unchanged if none matches."""
    old = max((prefix for prefix in rules if uri.startswith(prefix)), key=len, default=None)
    return uri if old is None else rules[old] + uri[len(old) :]


def explain(reference: str) -> str:
    """Return why a reference cannot be read from a bucket, with the solution; '' if it can."""
    scheme, separator, _ = reference.partition("://")
    if not separator or scheme == "s3":
        return ""
    return (
        f"{reference} is not an S3 URI: copy the files into a bucket and give --rewrite {scheme}://OLD/=s3://NEW/, or "
        "use `gtseg import masks` with the downloaded folders"
    )
