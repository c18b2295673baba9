"""The child process that renders worker task templates for `rendering.py`."""

from __future__ import annotations

from typing import Any

from gtseg.local.labeling.child_process import serve_requests
from gtseg.local.labeling.links import Links
from gtseg.local.labeling.templates import check_template, render

MEMORY = 512 << 20
"""Address space in bytes."""
SECONDS = 10.0
"""Processor time per request."""


def render_page(request: dict[str, Any]) -> str:
    return render(request["template"], request["input"], grant=Links(**request["links"]).presign)


def check(request: dict[str, Any]) -> str:
    return check_template(request["template"])


if __name__ == "__main__":
    serve_requests({"render": render_page, "check": check}, memory=MEMORY, seconds=SECONDS)
