"""Who hears a command's events: a live bar or table on a terminal, lines elsewhere."""

from __future__ import annotations

import sys

from gtseg.cli.console import JsonLines, Listener, Words


def listener(*, as_lines: bool = False) -> Listener:
    """Where a command's events go: JSON lines on stdout, else words on stderr, with a live bar on a terminal."""
    if as_lines:
        return JsonLines(sys.stdout)
    if sys.stderr.isatty():
        from gtseg.cli.bar import LiveBar

        return LiveBar(sys.stderr)
    return Words(sys.stderr)
