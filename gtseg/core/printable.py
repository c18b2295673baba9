"""Escaping of control, bidirectional and undecodable characters, which a terminal would interpret."""

from __future__ import annotations

import re

UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    r"""Return the text with such characters as escapes (`\x1b`); line feeds and tabs stay."""
    return UNSAFE.sub(lambda found: ascii(found.group())[1:-1], text)


def printable_json(document: str) -> str:
    r"""Return a JSON document with such characters as JSON escapes (`\u001b`); they occur only in its strings."""
    return UNSAFE.sub(lambda found: f"\\u{ord(found.group()):04x}", document)
