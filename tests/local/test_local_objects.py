"""S3 from inside the process."""

from __future__ import annotations

import hashlib
import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gtseg.local.errors import ServiceError
from gtseg.local.s3.files import SMALL_BYTES
from gtseg.local.storage.objects import Objects, split_uri


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    objects = Objects(tmp_path)
    objects.create_bucket("photos")
    return objects


def test_bytes_streams_and_paths_are_stored_alike(objects: Objects, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"turtle")
    bodies: list[Any] = [b"turtle", io.BytesIO(b"turtle"), tmp_path / "file"]
    infos = [
        objects.put("photos", f"{n}", body, content_type="a/b", metadata={"m": "1"})
        for n, body in enumerate(bodies)
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


def test_a_path_can_still_be_read_after_its_object_was_replaced(objects: Objects) -> None:
    objects.put("photos", "k", b"old")
    path = objects.path("photos", "k")
    objects.put("photos", "k", b"new")
    objects.reap()
    assert path.read_bytes() == b"old"
    assert objects.reap(older_than_seconds=0) == 1
    assert not path.exists()
    assert objects.get("photos", "k") == b"new"


def test_what_is_missing_is_named(objects: Objects) -> None:
    assert objects.head("photos", "k") is None
    for bucket, code in (("photos", "NoSuchKey"), ("nothing", "NoSuchBucket")):
        with pytest.raises(ServiceError) as refusal:
            objects.get(bucket, "k")
        assert refusal.value.code == code
    with pytest.raises(ServiceError, match="NoSuchBucket"):
        objects.put("nothing", "k", b"")
    assert [path for path in (objects.files.folder).rglob("*") if path.is_file()] == []


def test_listing_is_sorted_by_bytes_and_survives_deletion_meanwhile(objects: Objects) -> None:
    keys = ["photos", "a/é", "a/z", "a", "\U0001f422", "\uffff"]
    for key in keys:
        objects.put("photos", key, b"")
    listed = []
    for info in objects.list("photos"):
        listed.append(info.key)
        objects.delete("photos", info.key)
    assert listed == sorted(keys, key=str.encode)
    assert list(objects.list("photos")) == []


def test_a_stream_that_breaks_leaves_the_old_object(objects: Objects) -> None:
    class Broken(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise OSError("gone")

    objects.put("photos", "k", b"old")
    with pytest.raises(OSError, match="gone"):
        objects.put("photos", "k", Broken())  # type: ignore[arg-type]
    assert objects.get("photos", "k") == b"old"


def test_leftovers_of_an_interrupted_run_are_swept_and_nothing_else(objects: Objects, tmp_path: Path) -> None:
    objects.put("photos", "k", b"kept")
    orphan = objects.files.write(b"never committed")
    objects.index.database.close()  # as after kill -9: no clean stop
    later = Objects(tmp_path)
    assert later.sweep() == 1
    assert not Path(later.files.locate(orphan)).exists()
    assert later.get("photos", "k") == b"kept"


@pytest.mark.parametrize("uri", ["photos/k", "s3://", "https://photos/k", ""])
def test_what_is_no_s3_uri_is_refused(uri: str) -> None:
    with pytest.raises(ServiceError, match="is not an S3 URI"):
        split_uri(uri)


def test_uris_are_split_at_the_first_slash() -> None:
    assert split_uri("s3://photos/a/b c.jpg") == ("photos", "a/b c.jpg")
    assert split_uri("s3://photos") == ("photos", "")


def count_small(objects: Objects) -> int:
    return int(objects.index.database.read().execute("SELECT COUNT(*) FROM small").fetchone()[0])


def test_small_objects_have_no_file_until_one_is_asked_for(objects: Objects) -> None:
    small, large = b"s" * SMALL_BYTES, b"l" * (SMALL_BYTES + 1)
    objects.put("photos", "small", small)
    objects.put("photos", "large", large)
    assert (count_small(objects), objects.get("photos", "small"), objects.get("photos", "large")) == (
        1,
        small,
        large,
    )
    before = objects.head("photos", "small")
    path = objects.path("photos", "small")
    assert (path.read_bytes(), count_small(objects)) == (small, 0)
    assert objects.path("photos", "small") == path
    after = objects.head("photos", "small")
    assert before is not None
    assert after is not None
    assert (after.etag, after.modified_ms, after.is_small) == (before.etag, before.modified_ms, False)
    objects.put("photos", "small", b"new")
    assert (path.read_bytes(), objects.get("photos", "small")) == (small, b"new")


def test_the_bytes_of_small_objects_go_when_they_are_replaced_or_deleted(objects: Objects) -> None:
    for body in (b"1", b"2", b"3"):
        objects.put("photos", "k", body)
    assert count_small(objects) == 1
    objects.put("photos", "k", b"x" * (SMALL_BYTES + 1))
    assert count_small(objects) == 0
    objects.put("photos", "k", b"4")
    objects.delete("photos", "k")
    assert count_small(objects) == 0


def test_a_path_asked_for_by_many_at_once_is_one_file(objects: Objects) -> None:
    objects.put("photos", "k", b"body")
    with ThreadPoolExecutor(8) as pool:
        paths = set(pool.map(lambda _: objects.path("photos", "k"), range(16)))
    assert len(paths) == 1
    assert [path.read_bytes() for path in paths] == [b"body"]
    stored = [path for path in paths.pop().parents[1].rglob("*") if path.is_file()]
    assert len(stored) == 1
