"""Progress bar on terminals of several widths."""

from __future__ import annotations

import io
import re

import pytest

from gtseg.cli.bar import LiveBar
from gtseg.pipeline.run.events import Event


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def frames(event: Event) -> list[str]:
    """Return the lines that a bar writes for this event, without escape sequences."""
    with LiveBar(stream := Terminal()) as bar:
        bar(event)
    return re.split(r"[\r\n]+", re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", stream.getvalue()))


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize("address", ["s3://b/", f"s3://{'bucket-' * 8}b/run/images/"])
def test_the_count_is_visible_at_every_width(monkeypatch: pytest.MonkeyPatch, columns: int, address: str) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm-256color")
    seen = frames(Event("import", "progress", f"uploading to {address}", 7, 1_400))
    assert max(map(len, seen)) <= columns
    assert re.search(r"uploading to s3://b.* ━+ +7/1400", "\n".join(seen))


def test_no_color_removes_colors_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")
    with LiveBar(stream := Terminal()) as bar:
        bar(Event("import", "progress", "reading masks", 1, 2))
        bar(Event("import", "warning", "one is damaged"))
    assert "import: warning: one is damaged" in stream.getvalue()
    assert "reading masks ━" in stream.getvalue()
    assert not re.search(r"\x1b\[[\d;]*m", stream.getvalue())
