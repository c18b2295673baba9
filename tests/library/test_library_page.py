from __future__ import annotations

import importlib.util
from pathlib import Path

import gtseg

ROOT = Path(__file__).resolve().parents[2]


def load() -> object:
    spec = importlib.util.spec_from_file_location("library_page", ROOT / "scripts" / "library_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_docstrings_say() -> None:
    written = (ROOT / "docs" / "library.md").read_text()
    assert written == load().page(), "docs/library.md is old: scripts/library_page.py"


def test_every_public_name_is_on_the_page() -> None:
    told = {*load().ORDER, "GtsegError", "__version__"}
    assert told == set(gtseg.__all__)
    assert all(getattr(gtseg, name).__doc__ for name in load().ORDER)
