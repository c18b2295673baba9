"""Proof by system calls that an acknowledged object is on disk: a server under strace and one client.

    python scripts/trace_sync.py [--puts 100]

Needs strace. Of every PUT it must hold: what becomes of the file is written to the index's write-ahead log (the row
itself of a small object), and the file's bytes are written; then the file, its folder and the log are synced, at the
same time; then the row of a file is written; then the answer is sent. Prints how many syncs a PUT had, how many waits
that is (syncs that began only when another had ended), and beside it how long one sync takes on this disk. Ends with 1
where the order is wrong.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

ROOT = Path(__file__).resolve().parent.parent
CALL = re.compile(r"\d+ +(?P<time>[\d.]+) (?P<name>\w+)\((?P<rest>.*)")
RESUMED = re.compile(r"(?P<thread>\d+) +(?P<time>[\d.]+) <\.\.\. (?P<name>\w+) resumed>.*<(?P<took>[\d.]+)>$")
TOOK = re.compile(r"<([\d.]+)>$")
CALLS = "write,pwrite64,writev,sendto,sendmsg,sendfile,fsync,fdatasync,rename,renameat,renameat2"
SMALL_BYTES = 65_536
SIZES = (12_000, 64_000, 100_000, 1_000_000, 16_000_000)
PART_BYTES, PARTS = 5 << 20, 3
SYNCS = ("fsync", "fdatasync")


@dataclass(frozen=True)
class Call:
    """One system call: what it did to which kind of file, from when to when (seconds)."""

    began: float
    ended: float
    name: str
    target: str
    thread: str


def measure_disk(folder: Path, count: int = 50) -> float:
    """Milliseconds of one fdatasync after overwriting 4 KB, the median."""
    descriptor = os.open(folder / "probe", os.O_CREAT | os.O_WRONLY, 0o600)
    times = []
    for _ in range(count):
        os.pwrite(descriptor, os.urandom(4096), 0)
        begun = time.perf_counter()
        os.fdatasync(descriptor)
        times.append(time.perf_counter() - begun)
    os.close(descriptor)
    return statistics.median(times) * 1000


def read_trace(path: Path) -> list[Call]:
    """Calls in the order in which they returned; those that strace splits in two are put together."""
    calls, begun = [], {}
    for line in path.read_text(errors="replace").splitlines():
        thread = line.split(None, 1)[0]
        if found := RESUMED.match(line):
            if thread in begun:
                began, name, target = begun.pop(thread)
                calls.append(Call(began, began + float(found["took"]), name, target, thread))
        elif found := CALL.match(line):
            began, name, target = float(found["time"]), found["name"], describe(found["rest"])
            if "<unfinished" in line:
                begun[thread] = began, name, target
            elif took := TOOK.search(line):
                calls.append(Call(began, began + float(took[1]), name, target, thread))
    return sorted(calls, key=lambda call: call.ended)


def describe(rest: str) -> str:
    """wal, database, file, folder, socket or other: what the descriptor of a call is."""
    named = re.match(r"\d+<([^>]*)>", rest)
    path = named[1] if named else ""
    if path.endswith("objects.sqlite3-wal"):
        return "wal"
    if path.endswith(".sqlite3"):
        return "database"
    if re.search(r"/objects/[0-9a-f]{2}/[0-9a-f]{14}$", path):
        return "file"
    if re.search(r"/objects/[0-9a-f]{2}$", path):
        return "folder"
    return "socket" if path.startswith(("TCP", "socket")) else "other"


def find_fault(calls: list[Call], *, has_file: bool) -> str:
    """What is wrong with the order of one request's calls; "" if nothing is."""

    def find(target: str, *, synced: bool) -> list[Call]:
        return [call for call in calls if call.target == target and (call.name in SYNCS) == synced]

    written, logs, answers = (
        find("wal", synced=False),
        find("wal", synced=True),
        find("socket", synced=False),
    )
    if not written or not logs or not answers:
        return "nothing is written to the index, it is not synced, or nothing is answered"
    promised, row, answered = written[0], written[-1], answers[-1]
    log = next((log for log in logs if log.began > promised.ended), None)
    if log is None:
        return "the index is not synced after it is written"
    waits = [log]
    if has_file:
        contents, files, folders = (
            find("file", synced=False),
            find("file", synced=True),
            find("folder", synced=True),
        )
        if not contents or not files or not folders:
            return "the file is not written, or it or its folder is not synced"
        if contents[-1].ended > files[-1].began:
            return "the file is synced before it is written"
        waits += [files[-1], folders[-1]]
        if max(wait.ended for wait in waits) > row.began:
            return "the row is written before the file, its folder and the promise are synced"
    if max(wait.ended for wait in waits) > answered.began:
        return "the answer is sent before everything is synced"
    return ""


def count_waits(calls: list[Call]) -> int:
    """How many syncs followed one another: the longest chain of which each began after the one before had ended."""
    waits, ended = 0, 0.0
    for call in calls:  # in the order in which they ended
        if call.name in SYNCS and call.began >= ended:
            waits, ended = waits + 1, call.ended
    return waits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--puts", type=int, default=100)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=ROOT.parent) as home:
        folder, trace = Path(home) / "aws", Path(home) / "trace"
        strace = [
            "strace",
            "-f",
            "-y",
            "-ttt",
            "-T",
            "--seccomp-bpf",
            "-e",
            f"trace={CALLS}",
            "-o",
            str(trace),
        ]
        server = subprocess.Popen(
            [*strace, sys.executable, "-m", "gtseg.local.server", "--data", str(folder)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        pid = json.loads((folder / "server.json").read_bytes())["pid"]
        try:
            faults = put_and_judge(url, folder, trace, puts=chosen.puts)
            print(f"one sync of this disk ({home}): {measure_disk(Path(home)):.2f} ms")
        finally:
            os.kill(pid, signal.SIGTERM)
            server.wait(60)
    sys.exit(1 if faults else 0)


def put_and_judge(url: str, folder: Path, trace: Path, *, puts: int) -> int:
    keys = json.loads((folder / "credentials.json").read_bytes())
    s3 = boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id=keys["access_key"],
        aws_secret_access_key=keys["secret_key"],
        region_name="us-east-1",
        config=Config(retries={"max_attempts": 0}),
    )
    s3.create_bucket(Bucket="traced")
    faults = 0
    for size in SIZES:
        count = min(puts, 4 * puts * 1_000_000 // size)
        acts = [
            functools.partial(s3.put_object, Bucket="traced", Key=f"{size}/{number}", Body=os.urandom(size))
            for number in range(count)
        ]
        faults += judge(f"PUTs of {size} bytes", acts, trace, has_file=size > SMALL_BYTES)
    return faults + judge_uploads(s3, trace, count=max(1, puts // 10))


def judge_uploads(s3: Any, trace: Path, *, count: int) -> int:
    """Multipart uploads: their parts, and their completions."""
    sent: dict[int, list[dict[str, Any]]] = {number: [] for number in range(count)}
    names = {number: {"Bucket": "traced", "Key": f"parts/{number}"} for number in range(count)}
    for name in names.values():
        name["UploadId"] = s3.create_multipart_upload(**name)["UploadId"]

    def put(number: int, part: int) -> None:
        answer = s3.upload_part(**names[number], PartNumber=part, Body=os.urandom(PART_BYTES))
        sent[number].append({"PartNumber": part, "ETag": answer["ETag"]})

    def complete(number: int) -> None:
        s3.complete_multipart_upload(**names[number], MultipartUpload={"Parts": sent[number]})

    parts = [functools.partial(put, number, part) for number in names for part in range(1, PARTS + 1)]
    faults = judge(f"parts of {PART_BYTES} bytes", parts, trace, has_file=True)
    ends = [functools.partial(complete, number) for number in names]
    return faults + judge(f"completions of {PARTS} such parts", ends, trace, has_file=True)


def judge(title: str, acts: list[Callable[[], object]], trace: Path, *, has_file: bool) -> int:
    """Let one client act, one request after the other; how many kinds of mistakes their calls show."""
    time.sleep(1.5)  # housekeeping has nothing left to do
    moments = []
    for act in acts:
        begun = time.time()
        act()
        moments.append((begun, time.time()))
    time.sleep(0.5)
    calls = read_trace(trace)
    begun = moments[0][0]  # before it the server started, in its main thread
    keepers = {call.thread for call in calls if call.name in SYNCS and call.target == "database" and call.began > begun}
    calls = [call for call in calls if call.thread not in keepers]
    wrong: dict[str, int] = {}
    syncs = waits = 0
    for begun, ended in moments:
        own = [call for call in calls if begun <= call.began <= ended]
        syncs += sum(call.name in SYNCS for call in own)
        waits += count_waits(own)
        fault = find_fault(own, has_file=has_file)
        if fault:
            wrong[fault] = wrong.get(fault, 0) + 1
    count = len(acts)
    print(f"{count} {title}, one client: {syncs / count:.2f} syncs, {waits / count:.2f} waits each", flush=True)
    for fault, times in wrong.items():
        print(f"  WRONG in {times}: {fault}")
    return len(wrong)


if __name__ == "__main__":
    main()
