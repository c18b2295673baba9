"""Object keys as paths below a folder, in everything that writes files named by keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtseg.local.hosting.artifact import ArtifactError, unpack_artifact
from gtseg.local.jobs.channels import DownloadError
from gtseg.local.storage.folder import FolderObjects
from gtseg.local.storage.paths import UnsafeKey, path_below
from gtseg.local.training.artifacts import Checkpoints

HOSTILE = {
    "absolute path": "/abs/path",
    "segment ..": "a/../../out",
    "NUL character": "a\0b",
    "names a folder": "a/",
}


@pytest.fixture
def objects(tmp_path: Path) -> Iterator[FolderObjects]:
    (tmp_path / "aws").mkdir()
    stored = FolderObjects(tmp_path / "aws")
    stored.create_bucket("b")
    yield stored
    stored.index.database.close()


@pytest.mark.parametrize(("reason", "key"), [*HOSTILE.items(), ("names a folder", ""), ("names a folder", "a/.")])
def test_a_key_that_is_not_a_path_below_the_folder_is_refused(tmp_path: Path, reason: str, key: str) -> None:
    with pytest.raises(UnsafeKey, match=reason):
        path_below(tmp_path, key)


@pytest.mark.parametrize("key", ["a", "a/b.jpg", "a//b", "./a", "..a/b..", "a b/\u00e9", "-rf", "a\\b"])
def test_any_other_key_is_a_path_below_the_folder(tmp_path: Path, key: str) -> None:
    assert path_below(tmp_path, key) == tmp_path / key


def test_a_link_may_point_within_the_folder_but_not_outside(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "real").mkdir(parents=True)
    (folder / "inside").symlink_to("real")
    (folder / "outside").symlink_to(tmp_path)
    (folder / "file").symlink_to(tmp_path / "elsewhere")
    assert path_below(folder, "inside/a") == folder / "inside" / "a"
    for key in ("outside/a", "file"):
        with pytest.raises(UnsafeKey, match="symbolic link"):
            path_below(folder, key)


@given(st.text("ab./\0 \\", max_size=12))
def test_no_key_escapes_the_folder(key: str) -> None:
    folder = Path("/data/folder")
    try:
        path = path_below(folder, key)
    except UnsafeKey:
        return
    assert folder in path.resolve().parents


def list_outside(tmp_path: Path, folder: Path) -> list[Path]:
    found = (path for path in tmp_path.rglob("*") if path.is_file() and tmp_path / "aws" not in path.parents)
    return [path for path in found if folder not in path.parents]


@pytest.mark.parametrize("key", ["{outside}/path", "../escaped"])
def test_a_checkpoint_is_never_written_outside_the_jobs_folder(
    objects: FolderObjects, tmp_path: Path, key: str
) -> None:
    victim = tmp_path / "abs" / "path"
    victim.parent.mkdir()
    victim.write_bytes(b"mine")
    name = key.format(outside=victim.parent)
    objects.put("b", "ckpt/" + name, b"theirs")
    folder = tmp_path / "job" / "checkpoints"
    answer = {"CheckpointConfig": {"S3Uri": "s3://b/ckpt"}}
    with pytest.raises(DownloadError, match="cannot be a file name below checkpoints/"):
        Checkpoints(objects, answer, folder).download()
    assert victim.read_bytes() == b"mine"
    assert list_outside(tmp_path, folder) == [victim]


def test_checkpoints_are_writable_copies(objects: FolderObjects, tmp_path: Path) -> None:
    objects.put("b", "ckpt/deep/state", bytes(100_000))
    Checkpoints(objects, {"CheckpointConfig": {"S3Uri": "s3://b/ckpt"}}, tmp_path / "job").download()
    (tmp_path / "job" / "deep" / "state").write_bytes(b"changed")
    assert objects.get("b", "ckpt/deep/state") == bytes(100_000)


@pytest.mark.parametrize("key", ["{outside}/path", "../../escaped"])
def test_a_model_prefix_writes_no_file_outside_its_folder(objects: FolderObjects, tmp_path: Path, key: str) -> None:
    objects.put("b", "model/" + key.format(outside=tmp_path / "abs"), b"x")
    folder = tmp_path / "endpoint" / "model"
    with pytest.raises(ArtifactError, match="cannot be a file name"):
        unpack_artifact(objects, "s3://b/model/", folder, image="i", runnable=True)
    assert list_outside(tmp_path, folder.parent) == []
    assert not folder.exists()
