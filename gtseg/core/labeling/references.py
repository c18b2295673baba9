"""References to images and masks in manifests: s3:// URIs with raw keys, and other forms that occur."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote, unquote_plus

from gtseg.core.s3_uris import find_problem


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


def find_rule(uri: str, rules: Mapping[str, str]) -> str | None:
    """Return the longest prefix of the reference that a rule replaces; None if there is none."""
    return max((prefix for prefix in rules if uri.startswith(prefix)), key=len, default=None)


def rewrite(uri: str, rules: Mapping[str, str]) -> str:
    """Replace the longest prefix that a rule names; return the reference unchanged if none matches."""
    old = find_rule(uri, rules)
    return uri if old is None else rules[old] + uri[len(old) :]


def find_rule_problem(old: str, new: str) -> str:
    """Return why the rule that replaces the prefix `old` by `new` is wrong, with the solution; '' if it is right."""
    if problem := find_problem(new):
        return problem
    if re.fullmatch(r"[A-Za-z0-9+.-]+://[^/]+", old):
        right = f"{old}/={new.rstrip('/')}/"
        return f"{old} must end with a slash, because other buckets' names may begin like it: write {right}"
    if old.endswith("/") and not new.endswith("/"):
        return f"must end with a slash like the prefix that it replaces: write {new}/"
    return ""


def explain(reference: str) -> str:
    """Return why a reference cannot be read from a bucket, with the solution; '' if it can."""
    problem = find_problem(reference)
    if not problem or "other schemes" not in problem:
        return f"{reference!r} is not an S3 URI: {problem}" if problem else ""
    scheme = reference.partition(":")[0]
    return (
        f"{reference} is not an S3 URI: copy the files into a bucket and give --rewrite {scheme}://OLD/=s3://NEW/, or "
        "use `gtseg import masks` with the downloaded folders"
    )
