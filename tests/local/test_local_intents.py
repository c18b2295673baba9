"""Intents: records of new files, completed or undone after a power cut."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from gtseg.local.errors import ServiceError
from gtseg.local.storage.files import Draft
from gtseg.local.storage.folder import FolderObjects
from gtseg.local.storage.index import read_clock_ms
from gtseg.local.storage.intents import Intent
from gtseg.local.storage.stored import StoredObject
from gtseg.local.storage.sync import DiskError
from gtseg.local.storage.uploads import Part, Upload

CONTENT = bytes(range(256)) * 400
MD5 = hashlib.md5(CONTENT, usedforsecurity=False)


@pytest.fixture
def objects(tmp_path: Path) -> FolderObjects:
    objects = FolderObjects(tmp_path)
    objects.create_bucket("b")
    return objects


def describe(draft: Draft, etag: str = MD5.hexdigest(), parts: tuple[int, ...] = ()) -> StoredObject:
    return StoredObject("b", "k", len(CONTENT), etag, "image/png", 1, {"a": "é"}, file=draft.number, parts=parts)


def cut_the_power(objects: FolderObjects, make: Callable[[Draft], Intent], *, kept_bytes: int) -> FolderObjects:
    """The folder after a power cut between the intent and the row, with this part of the file on disk."""
    draft = objects.files.begin()
    draft.write(CONTENT[:kept_bytes])
    objects._intents.record(make(draft))
    objects.index.database.close()
    return FolderObjects(Path(objects._folder))


def test_a_complete_object_with_an_intent_exists_after_a_power_cut(objects: FolderObjects) -> None:
    objects.put("b", "k", b"old")
    later = cut_the_power(objects, lambda draft: Intent("b", "k", describe(draft)), kept_bytes=len(CONTENT))
    found = later.head("b", "k")
    assert later.get("b", "k") == CONTENT
    assert found is not None
    assert (found.etag, found.content_type, found.metadata) == (MD5.hexdigest(), "image/png", {"a": "é"})
    assert later.sweep() == 0


@pytest.mark.parametrize("kept_bytes", [0, 1000])
def test_the_old_object_is_kept_if_the_new_bytes_did_not_reach_the_disk(
    objects: FolderObjects, kept_bytes: int
) -> None:
    objects.put("b", "k", b"old")
    later = cut_the_power(objects, lambda draft: Intent("b", "k", describe(draft)), kept_bytes=kept_bytes)
    assert later.get("b", "k") == b"old"
    assert later.sweep() == 1
    assert list_intents(later) == []


def test_a_part_and_a_completion_are_carried_out_from_their_intents(objects: FolderObjects) -> None:
    name = objects.uploads.begin(Upload("b", "k"))

    def promise_part(draft: Draft) -> Intent:
        return Intent("b", "k", Part(1, draft.number, len(CONTENT), MD5.hexdigest(), read_clock_ms(), {}), name)

    def promise_completion(draft: Draft) -> Intent:
        etag = hashlib.md5(MD5.digest(), usedforsecurity=False).hexdigest() + "-1"
        return Intent("b", "k", describe(draft, etag, (len(CONTENT),)), name)

    with_part = cut_the_power(objects, promise_part, kept_bytes=len(CONTENT))
    assert [part.size for part in with_part.uploads.list_parts(name)] == [len(CONTENT)]
    done = cut_the_power(with_part, promise_completion, kept_bytes=len(CONTENT))
    assert done.get("b", "k") == CONTENT
    assert done.uploads.list_uploads("b", b"") == []
    assert done.uploads.find_completed("b", "k", name)


def test_an_intent_for_a_deleted_bucket_or_upload_is_dropped(objects: FolderObjects) -> None:
    objects.index.delete_bucket("b")
    later = cut_the_power(objects, lambda draft: Intent("b", "k", describe(draft)), kept_bytes=len(CONTENT))
    assert list_intents(later) == []
    assert later.sweep() == 1


def test_a_refused_or_failed_write_leaves_no_file_row_or_intent(
    objects: FolderObjects,
) -> None:
    objects.put("b", "k", b"old")

    def refuse(found: StoredObject | None) -> None:
        raise ServiceError("PreconditionFailed", "no", 412)

    def commit(draft: Draft, **condition: Callable[[StoredObject | None], None]) -> None:
        with draft:
            draft.write(CONTENT)
            objects.commit(draft, Intent("b", "k", describe(draft)), **condition)

    with pytest.raises(ServiceError, match="no"):
        commit(objects.files.begin(), condition=refuse)
    objects.index.database.log._sync_descriptor = fail
    with pytest.raises(DiskError):
        commit(objects.files.begin())
    assert objects.get("b", "k") == b"old"
    assert list_intents(objects) == []
    assert not [path for path in (Path(objects._folder) / "objects").glob("*/*") if path.is_file()]


def fail(descriptor: int) -> None:
    raise OSError(5, "Input/output error")


def list_intents(objects: FolderObjects) -> list[tuple[int]]:
    return objects.index.database.read().execute("SELECT file FROM intent").fetchall()
