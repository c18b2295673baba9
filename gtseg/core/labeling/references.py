"""How manifests name images and masks: s3:// addresses with raw keys, and what people and other programs write instead."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote, unquote_plus, urlsplit

_HOST = re.compile(
    r"(?:(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])\.)?s3(?:[.-](?:accelerate|dualstack|fips|website|[a-z]{2}(?:-[a-z]+)+-\d))*"
    r"\.amazonaws\.com(?:\.cn)?"
)
"""S3's own hosts: virtual-hosted and path style, with or without region, dual stack, FIPS, acceleration."""


def read_reference(text: str) -> str:
    """An s3:// address for an https:// address of an S3 object, an ARN, or s3a:// and s3n://; anything else as it is.

    The path of a web address is percent-encoded by definition (RFC 3986) and is decoded; its query (a signature) is dropped.
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
    """What a reference names if its key was URL-encoded, most likely form first: percent-encoded alone, then `+` for a space.

    Empty where decoding changes nothing. S3's event notifications write keys in the second form.
    """
    prefix, slash, key = uri.partition("://")[2].partition("/")
    if not slash or not ("%" in key or "+" in key):
        return ()
    scheme = uri.partition("://")[0]
    forms = (f"{scheme}://{prefix}/{decode(key)}" for decode in (unquote, unquote_plus))
    return tuple(form for form in dict.fromkeys(forms) if form != uri)


def rewrite(uri: str, rules: Mapping[str, str]) -> str:
    """The reference with the longest prefix that a rule names replaced; as it is where none does."""
    old = max((prefix for prefix in rules if uri.startswith(prefix)), key=len, default=None)
    return uri if old is None else rules[old] + uri[len(old) :]


def explain(reference: str) -> str:
    """Why a reference cannot be read from a bucket, with the way out; '' where nothing is known against it."""
    scheme, separator, _ = reference.partition("://")
    if not separator or scheme == "s3":
        return ""
    return (
        f"{reference} is no S3 address: copy what it names into a bucket and give --rewrite {scheme}://OLD/=s3://NEW/, or use "
        "`gtseg import masks` with the downloaded folders"
    )
