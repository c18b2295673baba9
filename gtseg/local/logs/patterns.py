"""Unstructured filter patterns of CloudWatch Logs (terms, phrases, ?any, -none).

Source: CloudWatch Logs user guide, "Filter pattern syntax for unstructured log events".
"""

from __future__ import annotations

import re
from collections.abc import Callable

from gtseg.local.errors import ServiceError

TERM = re.compile(r'\s*([?-]?)(?:"((?:[^"\\]|\\.)*)"|([^\s"?-][^\s"]*))')


def compile_pattern(pattern: str) -> Callable[[str], bool]:
    """Compile a pattern to a predicate of a message.

    Rejects JSON `{...}`, space-delimited `[...]` and regular expressions `%...%`.
    """
    text = pattern.strip()
    if text[:1] in ("{", "[", "%"):
        raise _invalid(pattern, "the embedded AWS only supports terms, ?optional and -excluded terms")
    every, some, none = _split(text, pattern)

    def matches(message: str) -> bool:
        return (
            all(term in message for term in every)
            and (not some or any(term in message for term in some))
            and not any(term in message for term in none)
        )

    return matches


def _split(text: str, pattern: str) -> tuple[list[str], list[str], list[str]]:
    terms: dict[str, list[str]] = {"": [], "?": [], "-": []}
    position = 0
    while position < len(text):
        found = TERM.match(text, position)
        if found is None:
            raise _invalid(pattern, f"syntax error at character {position + 1}")
        sign, phrase, word = found.groups()
        terms[sign].append(re.sub(r"\\(.)", r"\1", phrase) if phrase is not None else word)
        position = found.end()
        while position < len(text) and text[position].isspace():
            position += 1
    return terms[""], terms["?"], terms["-"]


def _invalid(pattern: str, why: str) -> ServiceError:
    return ServiceError("InvalidParameterException", f"Invalid filter pattern {pattern!r}: {why}.")
