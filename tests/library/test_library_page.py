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


def test_docs_library_equals_the_docstrings() -> None:
    written = (ROOT / "docs" / "library.md").read_text()
    assert written == load().page(), "docs/library.md is old: scripts/library_page.py"


def test_docs_library_has_every_public_name() -> None:
    told = {*load().ORDER, "GtsegError", "__version__"}
    assert told == set(gtseg.__all__)
    assert all(getattr(gtseg, name).__doc__ for name in load().ORDER)
