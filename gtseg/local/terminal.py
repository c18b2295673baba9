"""Terminal output of the embedded AWS, with control characters escaped, because text may come from
untrusted sources.
"""

from __future__ import annotations

import logging
import re
import sys

UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    r"""Return the text with control (but newline, tab), bidirectional and undecodable characters escaped (`\x1b`)."""
    return UNSAFE.sub(lambda found: ascii(found.group())[1:-1], text)


def show(text: object = "", *, err: bool = False) -> None:
    """Print to stdout, or to stderr."""
    print(printable(str(text)), file=sys.stderr if err else sys.stdout, flush=True)


def show_warnings() -> None:
    """Log warnings and errors to stderr, escaped: they contain object keys, which clients choose."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Printable("%(asctime)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


class _Printable(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))
