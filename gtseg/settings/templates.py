"""Template files that users edit: beside the package in the wheel, in templates/ in a checkout."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent


def template_path(name: str) -> Path:
    """Return the path of the template `name`."""
    shipped = PACKAGE / "templates" / name
    return shipped if shipped.exists() else PACKAGE.parent / "templates" / name


def read_template(name: str) -> str:
    return template_path(name).read_text(encoding="utf-8")
