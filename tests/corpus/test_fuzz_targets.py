"""Targets of scripts/fuzz with their seeds and with inputs that fuzzing has found, without the fuzzer."""

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
    ),  # invalid UTF-8 within a color map
    ("manifest", fuzz.LINE.replace(b'"#ffffff"', b"[" * 3000)),
    ("input-manifest", bytes(60)),  # a damaged images.jsonl
    ("input-manifest", b'{"source-ref":"s3://b/a","etag":"e","width":"4"}'),
    ("input-manifest", DEEP),
]
"""Inputs that once raised an exception that is not a GtsegError."""


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_seeds_and_damaged_seeds_are_read_or_rejected(name: str) -> None:
    target = fuzz.TARGETS[name]
    for seed in (*target.seeds, b"", bytes(60), b"{" * 5000, b"\xff" * 50):
        target.run(seed)
        target.run(seed[: len(seed) // 2])
        target.run(seed[:-1] + b"\x97")


@pytest.mark.parametrize(("name", "data"), FOUND)
def test_inputs_that_fuzzing_found_raise_no_unexpected_exception(name: str, data: bytes) -> None:
    fuzz.TARGETS[name].run(data)


def test_a_reader_that_writes_outside_its_folder_is_a_finding() -> None:
    with pytest.raises(AssertionError, match="left the folder"):
        fuzz_unsafe_reader()


def fuzz_unsafe_reader() -> None:
    """Run the archive target with a reader that writes outside its folder."""
    from gtseg.local.algorithm.untrusted import model_archive

    def unpack(path: Path, folder: Path) -> None:
        (folder.parent / "escaped").write_bytes(b"x")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_archive, "unpack", unpack)
        fuzz.fuzz_archive(b"")


def test_a_saved_input_is_replayed_without_the_fuzzer(tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes(FOUND[0][1])
    command = [sys.executable, str(SCRIPT), "--replay", str(tmp_path / "input"), "manifest"]
    assert subprocess.run(command).returncode == 0
    assert subprocess.run([*command[:-1], "nothing"], capture_output=True).returncode == 2
