"""Proof by system calls that an acknowledged object is on disk: a server under strace, one client, then many.

    python scripts/trace_sync.py [--puts 100]

Needs strace. For every PUT it must hold: the file's bytes are written, then the file and its folder synced, then the row
written to the index's write-ahead log, then that log synced, then the answer sent. Prints how many waits for the disk each
PUT had, and beside it how long one sync takes on this disk. Ends with 1 where the order is wrong.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import boto3
from botocore.config import Config

ROOT = Path(__file__).resolve().parent.parent
CALL = re.compile(r"\d+ +(?P<time>[\d.]+) (?P<name>\w+)\((?P<rest>.*)")
RESUMED = re.compile(r"(?P<thread>\d+) +(?P<time>[\d.]+) <\.\.\. (?P<name>\w+) resumed>.*")
CALLS = "write,pwrite64,writev,sendto,sendmsg,sendfile,fsync,fdatasync,rename,renameat,renameat2"
SIZES = (12_000, 100_000)
CLIENTS = 16


@dataclass(frozen=True)
class Call:
    """One system call: what it did to which kind of file; `ended` is when it returned (seconds)."""

    ended: float
    name: str
    target: str


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
                calls.append(Call(float(found["time"]), *begun.pop(thread)))
        elif found := CALL.match(line):
            kind = (found["name"], describe(found["rest"]))
            if "<unfinished" in line:
                begun[thread] = kind
            else:
                calls.append(Call(float(found["time"]), *kind))
    return calls


def describe(rest: str) -> str:
    """wal, database, file, folder, socket or other: what the descriptor of a call is."""
    named = re.match(r"\d+<([^>]*)>", rest)
    path = named[1] if named else ""
    if path.endswith("objects.sqlite3-wal"):
        return "wal"
    if re.search(r"/objects/[0-9a-f]{2}/[0-9a-f]{14}$", path):
        return "file"
    if re.search(r"/objects/[0-9a-f]{2}$", path):
        return "folder"
    return "socket" if path.startswith(("TCP", "socket")) else "other"


def find_fault(calls: list[Call], *, has_file: bool) -> str:
    """What is wrong with the order of one PUT's calls; "" if nothing is."""

    def last(name: str, target: str) -> float:
        return max((c.ended for c in calls if c.name in name.split("|") and c.target == target), default=-1.0)

    def first(name: str, target: str) -> float:
        return min((c.ended for c in calls if c.name in name.split("|") and c.target == target), default=-1.0)

    row, synced = first("pwrite64", "wal"), last("fdatasync", "wal")
    answered = last("write|writev|sendto|sendmsg", "socket")
    steps = [("row written", row), ("index synced", synced), ("answer sent", answered)]
    if has_file:
        steps = [("bytes written", last("write", "file")), ("file synced", last("fdatasync", "file")), *steps]
        if not 0 < last("fsync", "folder") < row:
            return "the folder is not synced before the row is written"
    if any(moment < 0 for _, moment in steps):
        return f"no {next(step for step, moment in steps if moment < 0)}"
    wrong = [f"{b[0]} before {a[0]}" for a, b in itertools.pairwise(steps) if a[1] > b[1]]
    return ", ".join(wrong)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--puts", type=int, default=100)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=ROOT.parent) as home:
        folder, trace = Path(home) / "aws", Path(home) / "trace"
        strace = ["strace", "-f", "-y", "-ttt", "-e", f"trace={CALLS}", "-o", str(trace)]
        server = subprocess.Popen(
            [*strace, sys.executable, "-m", "gtseg.local.server", "--data", str(folder)],
            stdout=subprocess.PIPE, text=True, cwd=ROOT,
        )  # fmt: skip
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
        "s3", endpoint_url=url, aws_access_key_id=keys["access_key"], aws_secret_access_key=keys["secret_key"],
        region_name="us-east-1", config=Config(retries={"max_attempts": 0}),
    )  # fmt: skip
    s3.create_bucket(Bucket="traced")
    faults = 0
    for size in SIZES:
        time.sleep(1.5)  # housekeeping has nothing left to do
        moments = []
        for number in range(puts):
            begun = time.time()
            s3.put_object(Bucket="traced", Key=f"{size}/{number}", Body=os.urandom(size))
            moments.append((begun, time.time()))
        time.sleep(0.5)
        calls = read_trace(trace)
        wrong, syncs = {}, 0
        for begun, ended in moments:
            own = [call for call in calls if begun <= call.ended <= ended]
            syncs += sum(call.name in ("fsync", "fdatasync") for call in own)
            fault = find_fault(own, has_file=size > 32_768)
            if fault:
                wrong[fault] = wrong.get(fault, 0) + 1
        waits = syncs / puts - (1 if size > 32_768 else 0)  # the folder is synced while its file is
        print(
            f"{puts} PUTs of {size} bytes, one client: {syncs / puts:.2f} syncs, {waits:.2f} waits one after another each"
        )
        for fault, count in wrong.items():
            print(f"  WRONG in {count}: {fault}")
        faults += len(wrong)
    return faults


if __name__ == "__main__":
    main()
