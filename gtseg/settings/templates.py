"""The files that a user edits, as they ship: beside the package in the wheel, in templates/ of a checkout."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent


def template_path(name: str) -> Path:
    """Where the shipped template `name` lies."""
    shipped = PACKAGE / "templates" / name
    return shipped if shipped.exists() else PACKAGE.parent / "templates" / name


def read_template(name: str) -> str:
    return template_path(name).read_text(encoding="utf-8")
