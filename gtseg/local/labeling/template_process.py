"""The child process that renders worker task templates for `rendering.py`."""

from __future__ import annotations

from typing import Any

from gtseg.local.labeling.children import serve_questions
from gtseg.local.labeling.links import Links
from gtseg.local.labeling.templates import check_template, render

MEMORY = 512 << 20
"""Address space in bytes."""
SECONDS = 10.0
"""Processor time per question."""


def render_page(question: dict[str, Any]) -> str:
    return render(question["template"], question["input"], grant=Links(**question["links"]).presign)


def check(question: dict[str, Any]) -> str:
    return check_template(question["template"])


if __name__ == "__main__":
    serve_questions({"render": render_page, "check": check}, memory=MEMORY, seconds=SECONDS)
