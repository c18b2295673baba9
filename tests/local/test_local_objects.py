"""Objects in the data folder (FolderObjects)."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import pytest

from gtseg.local.errors import ServiceError
from gtseg.local.storage.files import SMALL_BYTES
from gtseg.local.storage.folder import FolderObjects
from gtseg.local.storage.objects import split_uri

LARGE = b"l" * (SMALL_BYTES + 1)


@pytest.fixture
def objects(tmp_path: Path) -> FolderObjects:
    objects = FolderObjects(tmp_path)
    objects.create_bucket("photos")
    return objects


def test_bytes_streams_and_paths_are_stored_alike(objects: FolderObjects, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"turtle")
    bodies: list[Any] = [b"turtle", io.BytesIO(b"turtle"), tmp_path / "file"]
    infos = [
        objects.put("photos", f"{n}", body, content_type="a/b", metadata={"m": "1"}) for n, body in enumerate(bodies)
    ]
    assert {info.etag for info in infos} == {hashlib.md5(b"turtle").hexdigest()}
    assert [objects.get("photos", f"{n}") for n in range(3)] == [b"turtle"] * 3
    head = objects.head("photos", "2")
    assert head is not None
    assert (head.size, head.content_type, head.metadata, head.modified.tzname()) == (
        6,
        "a/b",
        {"m": "1"},
        "UTC",
    )


def test_a_file_of_an_object_stays_readable_after_its_replacement(objects: FolderObjects) -> None:
    objects.put("photos", "k", LARGE)
    with objects.file("photos", "k") as path:
        objects.put("photos", "k", b"new")
        objects.reap()
        assert path.read_bytes() == LARGE
        assert objects.reap(older_than_seconds=0) == 1
        assert not path.exists()
    assert objects.get("photos", "k") == b"new"


@pytest.mark.parametrize("body", [b"small", LARGE])
def test_a_stream_continues_with_the_opened_object_after_its_replacement(objects: FolderObjects, body: bytes) -> None:
    objects.put("photos", "k", body)
    with objects.open("photos", "k") as stream:
        objects.put("photos", "k", b"new")
        objects.reap(older_than_seconds=0)
        assert (stream.info.size, b"".join(stream.blocks(1000))) == (len(body), body)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("body", [b"small", LARGE])
def test_a_download_creates_a_new_file_and_replaces_none(
    objects: FolderObjects, tmp_path: Path, body: bytes, shared: bool
) -> None:
    objects.put("photos", "k", body)
    target = tmp_path / "a" / "b"
    assert objects.download("photos", "k", target, shared=shared).etag == hashlib.md5(body).hexdigest()
    assert target.read_bytes() == body
    with pytest.raises(FileExistsError):
        objects.download("photos", "k", target, shared=shared)
    if not shared:
        target.write_bytes(b"changed")
        assert objects.get("photos", "k") == body


def test_a_copy_keeps_type_and_metadata(objects: FolderObjects) -> None:
    for body in (b"small", LARGE):
        objects.put("photos", "k", body, content_type="a/b", metadata={"m": "1"})
        made = objects.copy(("photos", "k"), ("photos", "copy"))
        assert (made.content_type, made.metadata, objects.get("photos", "copy")) == ("a/b", {"m": "1"}, body)


def test_missing_objects_and_buckets_are_named(objects: FolderObjects) -> None:
    assert objects.head("photos", "k") is None
    for bucket, code in (("photos", "NoSuchKey"), ("nothing", "NoSuchBucket")):
        with pytest.raises(ServiceError) as refusal:
            objects.get(bucket, "k")
        assert refusal.value.code == code
    with pytest.raises(ServiceError, match="NoSuchBucket"):
        objects.put("nothing", "k", b"")
    assert [path for path in (objects.files.folder).rglob("*") if path.is_file()] == []


def test_a_listing_is_sorted_by_bytes_and_tolerates_concurrent_deletion(objects: FolderObjects) -> None:
    keys = ["photos", "a/é", "a/z", "a", "\U0001f422", "\uffff"]
    for key in keys:
        objects.put("photos", key, b"")
    listed = []
    for info in objects.list("photos"):
        listed.append(info.key)
        objects.delete("photos", info.key)
    assert listed == sorted(keys, key=str.encode)
    assert list(objects.list("photos")) == []


def test_a_broken_stream_leaves_the_old_object(objects: FolderObjects) -> None:
    class Broken(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise OSError("gone")

    objects.put("photos", "k", b"old")
    with pytest.raises(OSError, match="gone"):
        objects.put("photos", "k", Broken())  # type: ignore[arg-type]
    assert objects.get("photos", "k") == b"old"


def test_only_leftovers_of_an_interrupted_run_are_deleted(objects: FolderObjects, tmp_path: Path) -> None:
    objects.put("photos", "k", b"kept")
    with objects.files.begin() as draft:
        draft.write(b"never committed")
        draft.keep()
    orphan = draft.number
    objects.index.database.close()  # as after kill -9: no clean stop
    later = FolderObjects(tmp_path)
    assert later.sweep() == 1
    assert not Path(later.files.locate(orphan)).exists()
    assert later.get("photos", "k") == b"kept"


@pytest.mark.parametrize("uri", ["photos/k", "s3://", "https://photos/k", ""])
def test_an_invalid_s3_uri_is_refused(uri: str) -> None:
    with pytest.raises(ServiceError, match="is not an S3 URI"):
        split_uri(uri)


def test_uris_are_split_at_the_first_slash() -> None:
    assert split_uri("s3://photos/a/b c.jpg") == ("photos", "a/b c.jpg")
    assert split_uri("s3://photos") == ("photos", "")


def count_small(objects: FolderObjects) -> int:
    return int(objects.index.database.read().execute("SELECT COUNT(*) FROM small").fetchone()[0])


def test_small_objects_are_in_the_index_and_large_ones_in_files(objects: FolderObjects) -> None:
    small = b"s" * SMALL_BYTES
    objects.put("photos", "small", small)
    objects.put("photos", "large", LARGE)
    assert count_small(objects) == 1
    assert (objects.get("photos", "small"), objects.get("photos", "large")) == (small, LARGE)


def test_a_small_object_has_a_file_only_while_it_is_in_use(objects: FolderObjects) -> None:
    objects.put("photos", "small", b"body")
    with objects.file("photos", "small") as path:
        assert path.read_bytes() == b"body"
    assert not path.exists()
    assert count_small(objects) == 1


def test_the_bytes_of_replaced_and_deleted_small_objects_are_removed(objects: FolderObjects) -> None:
    for body in (b"1", b"2", b"3"):
        objects.put("photos", "k", body)
    assert count_small(objects) == 1
    objects.put("photos", "k", b"x" * (SMALL_BYTES + 1))
    assert count_small(objects) == 0
    objects.put("photos", "k", b"4")
    objects.delete("photos", "k")
    assert count_small(objects) == 0


def test_small_objects_are_checked_at_every_read(objects: FolderObjects) -> None:
    objects.create_bucket("bucket")
    objects.put("bucket", "key", b"as it was put")
    assert objects.get("bucket", "key") == objects.get("bucket", "key") == b"as it was put"
    with objects.index.database.write() as connection:
        connection.execute("UPDATE small SET content=?", (b"as it was not",))
    with pytest.raises(ServiceError, match="do not match its ETag"):
        objects.get("bucket", "key")
    with objects.index.database.write() as connection:
        connection.execute("DELETE FROM small")
    with pytest.raises(ServiceError, match="missing"):
        objects.get("bucket", "key")


def test_writing_to_a_deleted_bucket_is_refused(objects: FolderObjects) -> None:
    objects.create_bucket("short")
    objects.index.check_bucket_early("short")
    objects.index.delete_bucket("short")
    with pytest.raises(ServiceError, match="does not exist"):
        objects.index.check_bucket_early("short")
    with pytest.raises(ServiceError, match="does not exist"):
        objects.put("short", "key", b"x")
