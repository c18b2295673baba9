"""Durability: what a response acknowledges is synced to disk. Traced in a real server, and unit tests of group commit.

`scripts/trace_sync.py` proves the order with strace, row by row.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from labeling_fixture import Labeling, draw_answer, square

from gtseg.local.storage.database import Database
from gtseg.local.storage.sync import Barrier, DiskError, Log

TRACING = """
import os
def traced(call):
    def sync(descriptor):
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        call(descriptor)
        with open(os.environ["SYNCED"], "a") as file:  # only once it is done
            file.write(path + "\\n")
    return sync
os.fsync, os.fdatasync = traced(os.fsync), traced(os.fdatasync)
"""


class Traced:
    """A server whose sync calls are recorded, and the paths synced during a block."""

    def __init__(self, aws: Any, log: Path) -> None:
        self.aws, self.log = aws, log

    def synced(self, act: Any) -> list[str]:
        """The synced paths below the data folder, in order, at the time of the response."""
        before = self.log.stat().st_size
        act()
        with self.log.open() as file:
            file.seek(before)
            folder = str(self.aws.folder) + "/"
            return [line.strip().removeprefix(folder) for line in file if line.startswith(folder)]


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    from local_aws import LocalAWS

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("descriptors have no names on this system")
    home = tmp_path_factory.mktemp("synced")
    (home / "sitecustomize.py").write_text(TRACING)
    (home / "log").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYNCED", str(home / "log"))
        patch.setenv("PYTHONPATH", os.pathsep.join([str(home), os.environ.get("PYTHONPATH", "")]))
        aws = LocalAWS(home / "aws")
    yield Traced(aws, home / "log")
    aws.stop()


def in_a_loop_of_its_own(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine in a new thread, because browser tests leave a running loop in the main thread."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


def is_whole(synced: list[str]) -> bool:
    """Return whether objects/xx/number, its folder objects/xx and the log were synced once each."""
    return sorted(path.count("/") for path in synced) == [0, 1, 2] and "objects.sqlite3-wal" in synced


def test_file_folder_and_row_of_an_object_are_synced_before_the_response(traced: Traced) -> None:
    s3 = traced.aws.client("s3")
    assert "objects.sqlite3-wal" in traced.synced(lambda: s3.create_bucket(Bucket="bucket"))
    small = traced.synced(lambda: s3.put_object(Bucket="bucket", Key="small", Body=b"x"))
    assert small == ["objects.sqlite3-wal"]
    large = traced.synced(lambda: s3.put_object(Bucket="bucket", Key="large", Body=bytes(100_000)))
    assert is_whole(large)
    upload = s3.create_multipart_upload(Bucket="bucket", Key="parts")["UploadId"]
    parts: list[dict[str, Any]] = []

    def put_part() -> None:
        answer = s3.upload_part(Bucket="bucket", Key="parts", UploadId=upload, PartNumber=1, Body=b"part")
        parts.append({"PartNumber": 1, "ETag": answer["ETag"]})

    def complete() -> None:
        s3.complete_multipart_upload(Bucket="bucket", Key="parts", UploadId=upload, MultipartUpload={"Parts": parts})

    for act in (put_part, complete):
        assert is_whole(traced.synced(act))
    assert traced.synced(lambda: s3.delete_object(Bucket="bucket", Key="small")) == ["objects.sqlite3-wal"]
    assert traced.synced(lambda: s3.get_object(Bucket="bucket", Key="large")) == []


def test_a_job_and_a_workers_answer_are_synced_before_the_response(traced: Traced) -> None:
    labeling = Labeling(traced.aws)
    request = labeling.request(1)
    created = traced.synced(lambda: labeling.sagemaker.create_labeling_job(**request))
    manifest = next(path for path in created if path.endswith("/input.manifest"))
    for path in (manifest, os.path.dirname(manifest), "labeling"):
        assert path in created[: created.index("state.sqlite3-wal")]
    worker = labeling.hire()
    task = labeling.lease(worker, request["LabelingJobName"])
    answer = {"answer": draw_answer(square(), task["labels"])}
    assert "state.sqlite3-wal" in traced.synced(lambda: worker("POST", f"/tasks/{task['task']}/answer", answer))
    assert "state.sqlite3-wal" in traced.synced(lambda: labeling.hire())
    labeling.await_end(request["LabelingJobName"])


def test_the_index_is_synced_before_a_state_that_refers_to_its_objects(tmp_path: Path) -> None:
    index, state = Database(tmp_path / "objects.sqlite3"), Database(tmp_path / "state.sqlite3")
    state.before_commit = index.sync_own
    for database in (index, state):
        database.create("CREATE TABLE IF NOT EXISTS t (a)")
    with index.write() as connection:
        connection.execute("INSERT INTO t VALUES (1)")
    assert not index.log.is_clean
    with state.write() as connection:
        assert index.log.is_clean
        connection.execute("INSERT INTO t VALUES (1)")
        with index.write() as inner:
            inner.execute("INSERT INTO t VALUES (2)")
    assert index.log.is_clean
    for database in (index, state):
        database.close()


class Slow:
    """A sync function that blocks until released; `count` is the number of calls."""

    def __init__(self) -> None:
        self.count, self.begun, self.go = 0, threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, descriptor: int) -> None:
        self.count += 1
        self.begun.release()
        assert self.go.acquire(timeout=30)


def test_transactions_waiting_during_a_sync_share_the_next_one(tmp_path: Path) -> None:
    (tmp_path / "wal").touch()
    slow = Slow()
    log = Log(tmp_path / "wal", sync=slow)

    async def commit_many() -> None:
        with contextlib.closing(Barrier([log], passes=1)) as barrier:
            log.note()
            first = asyncio.create_task(barrier.wait())
            assert await asyncio.to_thread(slow.begun.acquire, timeout=30)
            others = []
            for _ in range(20):
                log.note()
                others.append(asyncio.create_task(barrier.wait()))
            await asyncio.sleep(0)
            slow.go.release()
            await first
            assert not any(other.done() for other in others)
            slow.go.release()
            await asyncio.gather(*others)
            await barrier.wait()

    in_a_loop_of_its_own(commit_many())
    assert slow.count == 2
    assert log.is_clean


def test_a_transaction_does_not_wait_for_a_sync_that_started_before_it(tmp_path: Path) -> None:
    (tmp_path / "wal").touch()
    slow = Slow()
    log = Log(tmp_path / "wal", sync=slow)

    async def commit_two() -> None:
        with contextlib.closing(Barrier([log])) as barrier:
            for _ in range(2):
                log.note()
                waiting.append(asyncio.create_task(barrier.wait()))
                assert await asyncio.to_thread(slow.begun.acquire, timeout=30)
            slow.go.release(2)
            await asyncio.gather(*waiting)

    waiting: list[asyncio.Task[None]] = []
    in_a_loop_of_its_own(commit_two())
    assert slow.count == 2
    assert log.is_clean


def test_all_syncs_fail_after_the_first_failed_one(tmp_path: Path) -> None:
    (tmp_path / "wal").touch()
    answers = iter([OSError(5, "Input/output error")])

    def fail_once(descriptor: int) -> None:
        error = next(answers, None)
        if error is not None:
            raise error

    log = Log(tmp_path / "wal", sync=fail_once)
    for _ in range(2):
        log.note()
        with pytest.raises(DiskError, match=r"could not be synced to disk \(Input/output error\)"):
            log.wait()
        assert not log.is_clean


def test_a_failed_sync_is_reported_as_an_error() -> None:
    from gtseg.local.front.acknowledgment import Acknowledgment

    class Refusing:
        async def wait(self) -> None:
            raise DiskError("the disk is gone")

    async def put(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})

    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def ask(method: str, target: bytes = b"") -> int:
        sent.clear()
        scope = {
            "type": "http",
            "method": method,
            "path": "/b/k",
            "headers": [(b"x-amz-target", target)] if target else [],
        }
        await Acknowledgment(put, Refusing())(scope, send, send)  # type: ignore[arg-type]
        return int(sent[0]["status"])

    assert in_a_loop_of_its_own(ask("PUT")) == 500
    assert b"done" not in sent[1]["body"]
    assert in_a_loop_of_its_own(ask("POST", b"SageMaker.CreateLabelingJob")) == 500
    assert in_a_loop_of_its_own(ask("GET")) == 200
    assert in_a_loop_of_its_own(ask("POST", b"SageMaker.DescribeLabelingJob")) == 200


@pytest.mark.skipif(sys.platform != "linux", reason="a folder can be synced everywhere; this asks Linux")
def test_the_synced_log_is_the_file_that_sqlite_writes(tmp_path: Path) -> None:
    database = Database(tmp_path / "state.sqlite3")
    size = database.log.path.stat().st_size
    with database.write() as connection:
        connection.execute("CREATE TABLE t (a)")
        connection.execute("INSERT INTO t VALUES (zeroblob(100000))")
    database.log.wait()
    assert database.log.path.stat().st_size > size
    database.close()
