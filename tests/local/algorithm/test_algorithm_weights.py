"""Untrusted weights: a file that would allocate more memory than its content is refused before loading."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
import torch

from gtseg.local.algorithm.container import ClientError
from gtseg.local.algorithm.model import BEST, HYPERPARAMETERS, read_artifact
from gtseg.local.algorithm.untrusted.weights import BadWeights, load_weights

HUGE = 1 << 38  # bytes; no machine of ours has them


def rewrite(path: Path, *, pickled: bytes | None = None, compression: int = zipfile.ZIP_STORED) -> Path:
    """The same archive with another pickle or compression."""
    with zipfile.ZipFile(path) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in records.items():
            archive.writestr(name, pickled if pickled and name.endswith("/data.pkl") else content)
    return path


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.save({"weight": torch.ones(2, 3), "count": torch.tensor(3)}, tmp_path / "w.params")
    return tmp_path / "w.params"


def test_dictionaries_of_tensors_are_loaded(saved: Path) -> None:
    assert load_weights(saved)["weight"].tolist() == [[1.0] * 3] * 2


def test_a_pickle_that_allocates_memory_is_refused(saved: Path) -> None:
    number = HUGE.to_bytes(5, "little")
    pickled = b"\x80\x02cbuiltins\nbytearray\n\x8a\x05" + number + b"\x85R."
    with pytest.raises(BadWeights, match="refers to 'builtins bytearray'"):
        load_weights(rewrite(saved, pickled=pickled))


def test_a_pickle_with_names_from_the_stack_is_refused(saved: Path) -> None:
    pickled = b"\x80\x04\x8c\x08builtins\x8c\x09bytearray\x93."
    with pytest.raises(BadWeights, match="STACK_GLOBAL"):
        load_weights(rewrite(saved, pickled=pickled))


def test_compressed_records_are_refused(saved: Path) -> None:
    with pytest.raises(BadWeights, match="compressed records"):
        load_weights(rewrite(saved, compression=zipfile.ZIP_DEFLATED))


def test_a_tensor_larger_than_what_is_stored_is_refused(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(1).expand(HUGE)}, tmp_path / "w.params")
    assert (tmp_path / "w.params").stat().st_size < 10_000
    with pytest.raises(BadWeights, match="larger than its stored data"):
        load_weights(tmp_path / "w.params")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", bytes(1000), b"\x80\x02}."])
def test_a_file_that_is_not_an_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.params").write_bytes(content)
    with pytest.raises(BadWeights, match="cannot be read"):
        load_weights(tmp_path / "w.params")


@pytest.mark.parametrize(
    ("name", "value"), [("num_classes", "1000000000"), ("_inference_size", "1000000"), ("num_classes", "-1")]
)
def test_a_network_beyond_the_size_limits_is_not_built(saved: Path, name: str, value: str) -> None:
    saved.rename(saved.parent / BEST)
    settings = {"_network": "compact", "_inference_size": "64", "num_classes": "3", name: value}
    (saved.parent / HYPERPARAMETERS).write_text(json.dumps(settings))
    with pytest.raises(ClientError, match=f"{name} is '{value}'; it must be"):
        read_artifact(saved.parent)
