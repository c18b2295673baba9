"""The embedded AWS's own words on a terminal: it shows them and obeys nothing in them, whoever wrote them."""

from __future__ import annotations

import logging
import re
import sys

__all__ = ["printable", "show", "show_warnings"]

UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    r"""The text with control, bidirectional and undecodable characters as escapes (`\x1b`); line feeds and tabs stay."""
    return UNSAFE.sub(lambda found: ascii(found.group())[1:-1], text)


def show(text: object = "", *, err: bool = False) -> None:
    """Print to stdout, or stderr."""
    print(printable(str(text)), file=sys.stderr if err else sys.stdout, flush=True)


def show_warnings() -> None:
    """Log warnings and errors to stderr: they name objects, and whoever stores an object chooses its key."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Printable("%(asctime)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


class _Printable(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))
