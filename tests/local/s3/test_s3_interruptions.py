"""Writes under kill -9, full disks and concurrency: an object is either the old or the new one."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import resource
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

ONCE = Config(retries={"mode": "standard", "total_max_attempts": 1}, connect_timeout=10, read_timeout=30)


def count_files(folder: Path) -> int:
    return sum(1 for path in (folder / "objects").rglob("*") if path.is_file())


def count_small(folder: Path) -> int:
    """The number of bodies stored in the index."""
    with contextlib.closing(sqlite3.connect(folder / "objects.sqlite3")) as connection:
        return int(connection.execute("SELECT COUNT(*) FROM small").fetchone()[0])


def write_until_it_dies(client: Any, key: str, size: int, written: dict[str, str]) -> None:
    """PUT versions until the server dies; `written` is the last confirmed one."""
    version = 0
    try:
        while True:
            version += 1
            body = hashlib.sha256(f"{key} {version}".encode()).digest() * (size // 32)
            client.put_object(Bucket="photos", Key=key, Body=body)
            written[key] = hashlib.md5(body).hexdigest()
    except (BotoCoreError, ClientError):
        return


@pytest.mark.parametrize("size", [3200, 3 << 20])
def test_kill_9_during_puts_leaves_complete_objects_and_no_orphans(local_aws: Any, size: int) -> None:
    local_aws.client("s3").create_bucket(Bucket="photos")
    written: dict[str, str] = {}
    writers = [
        threading.Thread(target=write_until_it_dies, args=(local_aws.client("s3", config=ONCE), f"{n}", size, written))
        for n in range(4)
    ]
    for writer in writers:
        writer.start()
    while len(written) < len(writers):
        threading.Event().wait(0.01)
    local_aws.kill9()
    for writer in writers:
        writer.join()
    local_aws.restart()
    s3 = local_aws.client("s3")
    for key, confirmed in written.items():
        answer = s3.get_object(Bucket="photos", Key=key)
        body = answer["Body"].read()
        assert len(body) == size
        digest = hashlib.md5(body).hexdigest()
        assert answer["ETag"] == f'"{digest}"'
        versions = (hashlib.sha256(f"{key} {v}".encode()).digest() * (size // 32) for v in range(1, 10_000))
        known = [confirmed]
        for body_of_version in versions:  # the confirmed version, or the one that was under way
            if hashlib.md5(body_of_version).hexdigest() == confirmed:
                known.append(hashlib.md5(next(versions)).hexdigest())
                break
        assert digest in known
    local_aws.stop()
    local_aws.start()
    deadline = 200
    while count_files(local_aws.folder) > len(written) and deadline:
        threading.Event().wait(0.1)
        deadline -= 1
    assert count_files(local_aws.folder) + count_small(local_aws.folder) == len(written)
    assert (count_small(local_aws.folder) > 0) == (size < 10_000)


def test_a_full_disk_is_reported_and_leaves_no_files(local_aws: Any) -> None:
    s3 = local_aws.client("s3", config=ONCE)
    s3.create_bucket(Bucket="photos")
    s3.put_object(Bucket="photos", Key="k", Body=b"old")
    files = count_files(local_aws.folder)
    _, hard = resource.prlimit(local_aws.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(local_aws.pid, resource.RLIMIT_FSIZE, (3 << 20, hard))  # a write beyond it fails as on a full disk
    for size in (3 << 20) + 1, 20 << 20:
        with pytest.raises(ClientError) as refusal:
            s3.put_object(Bucket="photos", Key="k", Body=b"x" * size)
        assert refusal.value.response["Error"]["Code"] == "InsufficientStorage"
    assert s3.get_object(Bucket="photos", Key="k")["Body"].read() == b"old"
    assert count_files(local_aws.folder) == files
    s3.put_object(Bucket="photos", Key="k", Body=b"new")


def test_concurrent_listing_putting_and_deleting_never_fail(shared_aws: Any) -> None:
    shared_aws.client("s3").create_bucket(Bucket="busy")

    def work(number: int) -> int:
        s3 = shared_aws.client("s3", config=ONCE)
        for turn in range(25):
            key = f"{(number + turn) % 5}/{turn % 7}"
            s3.put_object(Bucket="busy", Key=key, Body=bytes(turn * 10))
            s3.list_objects_v2(Bucket="busy", Delimiter="/" if turn % 2 else "")
            s3.delete_objects(Bucket="busy", Delete={"Objects": [{"Key": f"{turn % 5}/{number % 7}"}, {"Key": key}]})
            s3.copy_object(Bucket="busy", Key=f"copy/{number}", CopySource={"Bucket": "busy", "Key": "seed"})
        return 25

    shared_aws.client("s3").put_object(Bucket="busy", Key="seed", Body=b"x")
    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(work, range(6))) == 150
    assert "Traceback" not in shared_aws.log.read_text()


class Zeros:
    """A file of zeros without memory; boto3 reads it twice (checksum, body)."""

    def __init__(self, size: int) -> None:
        self.size, self.position = size, 0

    def read(self, count: int = -1) -> bytes:
        count = self.size - self.position if count < 0 else min(count, self.size - self.position)
        self.position += count
        return bytes(count)

    def seek(self, offset: int, whence: int = 0) -> int:
        self.position = offset + (0, self.position, self.size)[whence]
        return self.position

    def tell(self) -> int:
        return self.position


@pytest.mark.parametrize("size", [200 << 20, pytest.param(1 << 30, marks=pytest.mark.slow)])
def test_memory_does_not_grow_with_the_size_of_an_object(local_aws: Any, size: int) -> None:
    s3 = local_aws.client("s3")
    s3.create_bucket(Bucket="big")
    s3.put_object(Bucket="big", Key="warm", Body=b"x" * (4 << 20))
    before = psutil.Process(local_aws.pid).memory_info().rss
    s3.put_object(Bucket="big", Key="k", Body=Zeros(size))
    s3.copy_object(Bucket="big", Key="copy", CopySource={"Bucket": "big", "Key": "k"})
    peak, received = 0, 0
    for block in s3.get_object(Bucket="big", Key="copy")["Body"].iter_chunks(4 << 20):
        received += len(block)
        peak = max(peak, psutil.Process(local_aws.pid).memory_info().rss)
    assert received == size
    assert peak - before < 48 << 20


def test_a_copy_of_a_small_object_uses_no_file_and_has_its_checksum(local_aws: Any) -> None:
    client = local_aws.client("s3")
    client.create_bucket(Bucket="copies")
    small, large = b"s" * 3000, b"l" * 100_000
    client.put_object(Bucket="copies", Key="small", Body=small, Metadata={"a": "b"})
    client.put_object(Bucket="copies", Key="large", Body=large)
    for name in ("small", "large"):
        client.copy_object(Bucket="copies", Key=f"{name}-2", CopySource=f"copies/{name}", ChecksumAlgorithm="SHA256")
    assert (count_files(local_aws.folder), count_small(local_aws.folder)) == (2, 2)
    client.delete_object(Bucket="copies", Key="small")
    answer = client.get_object(Bucket="copies", Key="small-2", ChecksumMode="ENABLED")
    assert (answer["Body"].read(), answer["Metadata"]) == (small, {"a": "b"})
    assert answer["ETag"] == f'"{hashlib.md5(small).hexdigest()}"'
    assert answer["ChecksumSHA256"] == base64.b64encode(hashlib.sha256(small).digest()).decode()
    assert client.get_object(Bucket="copies", Key="large-2")["Body"].read() == large
