"""Lock files of CI: every package of pyproject.toml, pinned, with hashes."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXTRAS = ("local", "geo", "dev", "sagemaker")
"""Extras that scripts/test installs."""


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(name: str) -> dict[str, str]:
    """Return each package's entry with its hashes."""
    entries = (ROOT / name).read_text().replace("\\\n", " ").splitlines()
    return {normal(entry.split("==")[0]): entry for entry in entries if not entry.startswith("#")}


def test_every_dependency_is_locked_with_hashes() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(one for extra in EXTRAS for one in project["optional-dependencies"][extra]),
    ]
    names = {normal(re.split(r"[^\w.-]", text, maxsplit=1)[0]) for text in wanted} | {"hatchling"}
    there = locked("requirements-ci.lock") | locked("requirements-ci-torch.lock")
    assert names - there.keys() == set(), "run scripts/lock"
    assert [name for name, entry in there.items() if "--hash=sha256:" not in entry] == []


def test_ci_installs_locked_files_only() -> None:
    script = (ROOT / "scripts" / "install").read_text()
    assert "install --require-hashes --no-deps -r requirements-ci.lock" in script
    assert "install --no-deps --no-build-isolation -e ." in script
    assert not any("nvidia" in name for name in locked("requirements-ci.lock")), "torch's CUDA packages"


def test_the_lowest_versions_are_those_of_the_run_that_decisions_describes() -> None:
    """`scripts/test_versions lowest` writes the list; docs/decisions.md has the result of its last run."""
    tested = dict(line.split("==") for line in (ROOT / "requirements-lowest.txt").read_text().split())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    bounds = [re.match(r"([\w.-]+)>=([\d.]+)", text).groups() for text in wanted]  # type: ignore[union-attr]
    untested = [(name, bound) for name, bound in bounds if not f"{tested.get(normal(name))}.".startswith(f"{bound}.")]
    assert untested == [], "run scripts/test_versions lowest"
