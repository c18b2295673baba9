"""Every target of scripts/fuzz on its seeds and on what fuzzing once found, without the fuzzer."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "fuzz.py"


def load() -> Any:
    spec = importlib.util.spec_from_file_location("fuzz", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz"] = module
    spec.loader.exec_module(module)
    return module


fuzz = load()
DEEP = b'{"source-ref":' + b"[" * 3000
FOUND: list[tuple[str, bytes]] = [
    (
        "manifest",
        fuzz.LINE.replace(b"#ffffff", b"'ffffff\x97"),
    ),  # bytes that are no UTF-8, deep inside a colour map
    ("manifest", fuzz.LINE.replace(b'"#ffffff"', b"[" * 3000)),
    ("input-manifest", bytes(60)),  # an images.jsonl of another, damaged attempt
    ("input-manifest", b'{"source-ref":"s3://b/a","etag":"e","width":"4"}'),
    ("input-manifest", DEEP),
]
"""Inputs that once ended in an exception of Python's own."""


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_seeds_and_their_damaged_neighbours_are_read_or_refused(name: str) -> None:
    target = fuzz.TARGETS[name]
    for seed in (*target.seeds, b"", bytes(60), b"{" * 5000, b"\xff" * 50):
        target.run(seed)
        target.run(seed[: len(seed) // 2])
        target.run(seed[:-1] + b"\x97")


@pytest.mark.parametrize(("name", "data"), FOUND)
def test_what_fuzzing_found_stays_mended(name: str, data: bytes) -> None:
    fuzz.TARGETS[name].run(data)


def test_an_exception_that_is_not_the_readers_own_is_a_finding() -> None:
    with pytest.raises(AssertionError, match="left the folder"):
        fuzz_a_reader_that_writes_beside_its_folder()


def fuzz_a_reader_that_writes_beside_its_folder() -> None:
    import gtseg.local.algorithm.untrusted.model_archive as unpacking

    def careless(path: Path, folder: Path) -> None:
        (folder.parent / "escaped").write_bytes(b"x")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unpacking, "unpack", careless)
        fuzz.fuzz_archive(b"")


def test_a_kept_input_is_replayed_without_the_fuzzer(tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes(FOUND[0][1])
    command = [sys.executable, str(SCRIPT), "--replay", str(tmp_path / "input"), "manifest"]
    assert subprocess.run(command).returncode == 0
    assert subprocess.run([*command[:-1], "nothing"], capture_output=True).returncode == 2
