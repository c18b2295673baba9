"""Worker task template: validation, title and instructions."""

from __future__ import annotations

import html
import re

from gtseg.errors import SettingsError

NEEDED = {
    r"<crowd-form[\s>]": "<crowd-form> around everything: without it Submit throws an error in the worker's browser",
    r"<crowd-semantic-segmentation[\s>]": "<crowd-semantic-segmentation>, the annotation tool of this task",
    r'name\s*=\s*["\']crowd-semantic-segmentation["\']': (
        'name="crowd-semantic-segmentation", the key under which answers are stored'
    ),
    r"task\.input\.taskObject\s*\|\s*grant_read_access": (
        "{{ task.input.taskObject | grant_read_access }}, the image (auto-segment requires this form)"
    ),
    r"task\.input\.labels": "{{ task.input.labels | to_json | escape }}, the labels",
}
MAX_CHARACTERS = 128_000
"""RenderUiTemplate's limit on a template's content."""


def task_template(text: str, *, header: str, instructions: str) -> bytes:
    """Return the template with `[[header]]` and `[[instructions]]` replaced; a user's own template may have neither.

    `instructions` is HTML, or plain text whose lines become paragraphs. Raises SettingsError with what is missing.
    """
    missing = [words for pattern, words in NEEDED.items() if not re.search(pattern, text)]
    if missing:
        raise SettingsError("The worker template lacks " + "; ".join(missing))
    filled = text.replace("[[header]]", html.escape(header, quote=True)).replace(
        "[[instructions]]", _as_html(instructions)
    )
    if len(filled) > MAX_CHARACTERS:
        raise SettingsError(
            f"The worker template has {len(filled):,} characters; Ground Truth's limit is {MAX_CHARACTERS:,}"
        )
    return filled.encode()


def review_template(text: str, *, attribute: str, header: str, instructions: str) -> bytes:
    """Return a bundled template, filled in, for a job that reviews the masks under `attribute`."""
    filled = text.replace("[[attribute]]", attribute).replace("[[header]]", html.escape(header, quote=True))
    return filled.replace("[[instructions]]", _as_html(instructions)).encode()


def _as_html(instructions: str) -> str:
    """Return HTML unchanged, and text as paragraphs with Liquid's braces escaped."""
    if re.search(r"<[a-zA-Z][^>]*>", instructions):
        return instructions
    paragraphs = [p.strip() for p in re.split(r"\n\s*\n", instructions) if p.strip()]
    safe = [html.escape(p).replace("{", "&#123;").replace("}", "&#125;").replace("\n", "<br>") for p in paragraphs]
    return "\n      ".join(f"<p>{p}</p>" for p in safe)
