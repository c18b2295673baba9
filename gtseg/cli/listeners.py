"""Listener of a command's events: a live bar or table on a terminal, lines otherwise."""

from __future__ import annotations

import sys

from gtseg.cli.console import JsonLines, Listener, TextLines


def listener(*, as_lines: bool = False) -> Listener:
    """Return the listener: JSON lines on stdout, else text on stderr, with a live bar on a terminal."""
    if as_lines:
        return JsonLines(sys.stdout)
    if sys.stderr.isatty():
        from gtseg.cli.bar import LiveBar

        return LiveBar(sys.stderr)
    return TextLines(sys.stderr)
