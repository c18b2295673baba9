"""Channels of training jobs: prefixes, manifests, augmented manifests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gtseg.local.jobs.channels import DownloadError, describe_channel, materialize_channel
from gtseg.local.storage.folder import FolderObjects


@pytest.fixture
def objects(tmp_path: Path) -> Iterator[FolderObjects]:
    (tmp_path / "aws").mkdir()
    stored = FolderObjects(tmp_path / "aws")
    stored.create_bucket("b")
    stored.start()
    yield stored
    stored.stop()


def lay(objects: FolderObjects, folder: Path, uri: str, kind: str = "S3Prefix", **source: Any) -> list[str]:
    """Materialize a channel `train` below `folder`; return its files."""
    channel = {
        "ChannelName": "train",
        "DataSource": {"S3DataSource": {"S3DataType": kind, "S3Uri": uri, **source}},
    }
    materialize_channel(objects, channel, folder, region="us-east-1", role="arn:aws:iam::1:role/x")
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_prefix_without_a_slash_includes_the_neighboring_channel(objects: FolderObjects, tmp_path: Path) -> None:
    for key in ("p/train/a.jpg", "p/train/deep/b.jpg", "p/train_annotation/a.png", "p/train/"):
        objects.put("b", key, b"x")
    exact = lay(objects, tmp_path / "exact", "s3://b/p/train/")
    trapped = lay(objects, tmp_path / "trapped", "s3://b/p/train")
    assert exact == ["train/a.jpg", "train/deep/b.jpg"]
    assert trapped == ["train/a.jpg", "train/deep/b.jpg", "train/train_annotation/a.png"]


def test_an_object_key_as_prefix_gives_a_channel_with_that_file(objects: FolderObjects, tmp_path: Path) -> None:
    objects.put("b", "jobs/one/output/model.tar.gz", b"weights")
    assert lay(objects, tmp_path / "x", "s3://b/jobs/one/output/model.tar.gz") == ["train/model.tar.gz"]


def test_large_objects_are_linked_instead_of_copied(objects: FolderObjects, tmp_path: Path) -> None:
    objects.put("b", "p/a.jpg", bytes(100_000))
    lay(objects, tmp_path / "x", "s3://b/p/")
    with objects.file("b", "p/a.jpg") as stored:
        assert (tmp_path / "x" / "train" / "a.jpg").samefile(stored)


def test_a_manifest_file_names_the_objects(objects: FolderObjects, tmp_path: Path) -> None:
    objects.put("b", "p/a.jpg", b"x")
    objects.put("b", "p/b.jpg", b"x")
    objects.put("b", "m.json", json.dumps([{"prefix": "s3://b/p/"}, "b.jpg"]).encode())
    assert lay(objects, tmp_path / "x", "s3://b/m.json", "ManifestFile") == ["train/b.jpg"]


def test_an_augmented_manifest_becomes_numbered_pairs(objects: FolderObjects, tmp_path: Path) -> None:
    for key in ("x/same.jpg", "y/same.jpg", "m/1.png", "m/2.png"):
        objects.put("b", key, key.encode())
    lines = [
        {"source-ref": "s3://b/x/same.jpg", "l-ref": "s3://b/m/1.png", "l-ref-metadata": {}},
        {"source-ref": "s3://b/y/same.jpg", "l-ref": "s3://b/m/2.png"},
    ]
    objects.put("b", "out.manifest", "\n".join(map(json.dumps, lines)).encode())
    attributes = {"AttributeNames": ["source-ref", "l-ref"]}
    found = lay(objects, tmp_path / "x", "s3://b/out.manifest", "AugmentedManifestFile", **attributes)
    assert found == [
        "train/00000000.jpg",
        "train/00000001.jpg",
        "train_annotation/00000000.png",
        "train_annotation/00000001.png",
    ]
    assert (tmp_path / "x/train/00000001.jpg").read_bytes() == b"y/same.jpg"
    assert (tmp_path / "x/train_annotation/00000001.png").read_bytes() == b"m/2.png"


@pytest.mark.parametrize(
    ("kind", "body", "reason"),
    [
        ("ManifestFile", b"{}", "must be a JSON array"),
        ("ManifestFile", b'[{"prefix": "s3://b/"}, "gone.jpg"]', "s3://b/gone.jpg"),
        ("ManifestFile", b'[{"prefix": "s3://b/"}, "../m"]', "cannot be a file name"),
        ("AugmentedManifestFile", b"", "has no records"),
        (
            "AugmentedManifestFile",
            b'{"source-ref": "s3://b/m"}',
            "line 1 of s3://b/m has no attribute 'l-ref'",
        ),
        ("AugmentedManifestFile", b"\n{", "line 2 of s3://b/m is not JSON"),
        ("AugmentedManifestFile", b'{"source-ref": "a.jpg", "l-ref": "b.png"}', "not an S3 URI"),
    ],
)
def test_an_invalid_manifest_is_named_in_the_failure_reason(
    objects: FolderObjects, tmp_path: Path, kind: str, body: bytes, reason: str
) -> None:
    objects.put("b", "m", body)
    attributes = {"AttributeNames": ["source-ref", "l-ref"]} if kind[0] == "A" else {}
    with pytest.raises(DownloadError) as caught:
        lay(objects, tmp_path / "x", "s3://b/m", kind, **attributes)
    assert str(caught.value).startswith("ClientError: Data download failed: ")
    assert reason in str(caught.value)


@pytest.mark.parametrize("uri", ["s3://b/nothing/", "s3://nobody/p/"])
def test_a_prefix_without_objects_fails_with_sagemakers_message(
    objects: FolderObjects, tmp_path: Path, uri: str
) -> None:
    with pytest.raises(DownloadError, match=f'No S3 objects found under S3 URL "{uri}"'):
        lay(objects, tmp_path / "x", uri)


def test_two_objects_with_one_path_fail_with_their_names(objects: FolderObjects, tmp_path: Path) -> None:
    objects.put("b", "p/a", b"file")
    objects.put("b", "p/a/b", b"below it")
    with pytest.raises(DownloadError, match="one is a folder of the other"):
        lay(objects, tmp_path / "x", "s3://b/p/")


def test_a_channel_name_cannot_escape_its_folder(objects: FolderObjects, tmp_path: Path) -> None:
    objects.put("b", "p/a.jpg", b"x")
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/p/"}}
    with pytest.raises(DownloadError, match=r"channel name '\.\.' cannot be a folder"):
        materialize_channel(
            objects, {"ChannelName": "..", "DataSource": source}, tmp_path / "data", region="r", role="x"
        )
    assert not (tmp_path / "a.jpg").exists()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text("ab./ ", min_size=1, max_size=8), min_size=1, max_size=4, unique=True))
def test_no_key_escapes_the_channels_folder(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    folder = tmp_path_factory.mktemp("keys")
    (folder / "aws").mkdir()
    stored = FolderObjects(folder / "aws")
    stored.create_bucket("b")
    for name in names:
        stored.put("b", "p/" + name, b"x")
    try:
        lay(stored, folder / "deep" / "x", "s3://b/p/")
    except DownloadError:
        pass
    finally:
        stored.index.database.close()
    outside = [path for path in folder.rglob("*") if path.is_file() and "aws" not in path.parts]
    assert all((folder / "deep" / "x" / "train") in path.parents for path in outside)


def test_the_container_gets_sagemakers_input_configuration() -> None:
    channel = {"ContentType": "image/jpeg", "DataSource": {"S3DataSource": {}}}
    assert describe_channel(channel, "File") == {
        "TrainingInputMode": "File",
        "S3DistributionType": "FullyReplicated",
        "RecordWrapperType": "None",
        "ContentType": "image/jpeg",
    }
