"""Backup, restore and check of a data folder; damaged objects."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from kept_folder import read_facts, unpack

from gtseg.local.errors import ServiceError
from gtseg.local.server import open_folder
from gtseg.local.storage.backup import back_up, check_folder, hold_snapshot, restore
from gtseg.local.storage.files import locate
from gtseg.local.storage.folder import ABANDONED_MS, FolderObjects
from gtseg.local.storage.index import read_clock_ms
from gtseg.local.storage.store import Store

ONCE = Config(retries={"max_attempts": 0})
LARGE = os.urandom(300_000)


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[tuple[Store, FolderObjects]]:
    with contextlib.ExitStack() as stack:
        yield open_folder(folder, "us-east-1", opened=stack)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The data folder of a stopped server, with an object in a file and one in the database."""
    with opened(tmp_path / "aws") as (_, objects):
        objects.create_bucket("b")
        objects.put("b", "large", LARGE)
        objects.put("b", "small", b"small")
    return tmp_path / "aws"


def path_of(folder: Path, key: str) -> Path:
    connection = sqlite3.connect(folder / "objects.sqlite3")
    (number,) = connection.execute("SELECT file FROM object WHERE key=?", (key.encode(),)).fetchone()
    connection.close()
    return Path(locate(folder / "objects", number))


def spoil(path: Path) -> None:
    """Flip one bit of the last byte."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_a_backup_of_the_first_versions_folder_is_restored_and_upgraded(tmp_path: Path) -> None:
    unpack(tmp_path / "aws")
    assert back_up(tmp_path / "aws", tmp_path / "kept").damaged == []
    assert restore(tmp_path / "kept", tmp_path / "again").objects > 20
    with opened(tmp_path / "again") as (store, objects):
        assert objects.get("kept", "large.bin") == bytes(range(256)) * 256
        assert store.credentials.owner_token == read_facts()["owner_token"]
        assert store.read().execute("SELECT count(*) FROM labeling_answers").fetchone()[0] == 1


def test_a_backup_is_a_consistent_snapshot_while_the_server_writes(local_aws: Any, tmp_path: Path) -> None:
    s3 = local_aws.client("s3")
    s3.create_bucket(Bucket="busy")
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            body = hashlib.sha256(str(number).encode()).digest() * (2000 if number % 2 else 10)
            s3.put_object(Bucket="busy", Key=f"{number % 7}", Body=body)
            s3.delete_object(Bucket="busy", Key=f"{(number + 3) % 7}")
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(3):
            assert back_up(local_aws.folder, tmp_path / f"kept{number}").damaged == []
    finally:
        stop.set()
        writer.join()
    assert check_folder(local_aws.folder).damaged == []
    restore(tmp_path / "kept2", tmp_path / "again")
    assert check_folder(tmp_path / "again").damaged == []


def test_files_of_deleted_objects_are_kept_during_a_backup(folder: Path) -> None:
    with opened(folder) as (_, objects):
        path = path_of(folder, "large")
        with hold_snapshot(folder):
            objects.delete("b", "large")
            objects.reap(older_than_seconds=0)
            assert path.exists()
        objects.reap(older_than_seconds=0)
        assert not path.exists()


def test_a_backup_overwrites_nothing_and_leaves_nothing_if_it_fails(folder: Path, tmp_path: Path) -> None:
    for target, word in (
        (tmp_path, "exists"),
        (folder / "in", "inside"),
        (tmp_path / "no" / "b", "does not exist"),
    ):
        with pytest.raises(ServiceError, match=word):
            back_up(folder, target)
    command = [
        sys.executable,
        "-m",
        "gtseg.local.cli",
        "backup",
        "--data",
        str(folder),
        str(tmp_path / "full"),
    ]
    limited = ["prlimit", "--fsize=100000", *command]  # a write beyond it fails as on a full disk
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}  # it writes, too
    done = subprocess.run(limited, env=plain, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "full" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["aws"]


def test_a_restore_requires_an_empty_folder_and_a_complete_backup(folder: Path, tmp_path: Path) -> None:
    back_up(folder, tmp_path / "kept")
    with pytest.raises(ServiceError, match="not empty"):
        restore(tmp_path / "kept", folder)
    (tmp_path / "empty").mkdir()
    restore(tmp_path / "kept", tmp_path / "empty")
    (tmp_path / "kept" / "backup.json").unlink()
    with pytest.raises(ServiceError, match="is not a complete backup"):
        restore(tmp_path / "kept", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_check_names_damaged_truncated_and_missing_files(folder: Path, tmp_path: Path) -> None:
    assert check_folder(folder).damaged == []
    whole = tmp_path / "whole"
    shutil.copytree(folder, whole)
    spoil(path_of(folder, "large"))
    assert check_folder(folder).damaged == [
        f"s3://b/large: {path_of(folder, 'large')}: its bytes do not match its ETag"
    ]
    os.truncate(path_of(folder, "large"), 10)
    assert "10 bytes instead of 300000" in check_folder(folder).damaged[0]
    path_of(folder, "large").unlink()
    connection = sqlite3.connect(folder / "objects.sqlite3")
    connection.execute("UPDATE small SET content = x'00'")
    connection.commit()
    connection.close()
    assert [line.partition(":")[0:3:2][1].partition(": ")[0] for line in check_folder(folder).damaged] == [
        "//b/large",
        "//b/small",
    ]
    command = [sys.executable, "-m", "gtseg.local.cli", "check", "--data", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 5
    assert done.stderr.startswith("damaged: s3://b/large: ")


def test_a_damaged_object_is_never_served(folder: Path) -> None:
    with opened(folder) as (_, objects):
        assert objects.get("b", "large") == LARGE
        spoil(path_of(folder, "large"))  # under a running server too: the file's time of change tells
        for read in (objects.get, objects.open, lambda b, k: objects.copy((b, k), ("b", "copy"))):
            with pytest.raises(ServiceError, match="s3://b/large is damaged"):
                read("b", "large")
        with pytest.raises(ServiceError, match="damaged"):
            objects.download("b", "large", folder / "link", shared=True)
        with pytest.raises(ServiceError, match="damaged"), objects.file("b", "large"):
            pass
        with objects.index.database.write() as connection:
            connection.execute("UPDATE small SET content = x'00'")
        with pytest.raises(ServiceError, match="s3://b/small is damaged"):
            objects.get("b", "small")


def test_reading_a_damaged_object_is_an_error_without_content(local_aws: Any) -> None:
    s3 = local_aws.client("s3", config=ONCE)
    s3.create_bucket(Bucket="bad-disk")
    s3.put_object(Bucket="bad-disk", Key="large", Body=LARGE)
    upload = s3.create_multipart_upload(Bucket="bad-disk", Key="parts")["UploadId"]
    etag = s3.upload_part(Bucket="bad-disk", Key="parts", UploadId=upload, PartNumber=1, Body=LARGE)["ETag"]
    s3.complete_multipart_upload(
        Bucket="bad-disk",
        Key="parts",
        UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]},
    )
    local_aws.kill9()
    local_aws.start()
    s3 = local_aws.client("s3", config=ONCE)
    for key in ("large", "parts"):
        assert s3.get_object(Bucket="bad-disk", Key=key)["Body"].read() == LARGE
        spoil(path_of(local_aws.folder, key))
        for asked in ({}, {"Range": "bytes=0-9"}):
            with pytest.raises(ClientError, match=f"s3://bad-disk/{key} is damaged"):
                s3.get_object(Bucket="bad-disk", Key=key, **asked)
        s3.put_object(Bucket="bad-disk", Key=key, Body=b"new")
        assert s3.get_object(Bucket="bad-disk", Key=key)["Body"].read() == b"new"


def write_file(objects: FolderObjects) -> int:
    with objects.files.begin() as draft:
        draft.write(b"part")
        draft.keep()
    return draft.number


def test_an_abandoned_upload_expires_with_its_parts(folder: Path) -> None:
    with opened(folder) as (_, objects):
        from gtseg.local.storage.uploads import Part, Upload

        ids = [objects.uploads.begin(Upload("b", name)) for name in ("left", "worked-on")]
        number = write_file(objects)
        objects.uploads.put_part(objects.uploads.find("b", "left", ids[0]), Part(1, number, 4, "0" * 32, 0, {}))
        with objects.index.database.write() as connection:
            connection.execute("UPDATE upload SET started=0")
        fresh = Part(1, write_file(objects), 4, "0" * 32, read_clock_ms(), {})
        objects.uploads.put_part(objects.uploads.find("b", "worked-on", ids[1]), fresh)
        assert objects.uploads.expire(before_ms=read_clock_ms() - ABANDONED_MS) == 1
        assert [row[1] for row in objects.uploads.list_uploads("b", b"")] == [ids[1]]
        objects.reap(older_than_seconds=0)
        assert not os.path.exists(objects.files.locate(number))
