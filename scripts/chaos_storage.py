"""The matrix of scripts/chaos for a server with --s3 whose objects are on a second server.

    python scripts/chaos_storage.py                                  every cell; writes docs/chaos-storage.md
    python scripts/chaos_storage.py --stages label,watch --faults away --seconds 60

Clients reach S3 at the second server and everything else at the first, with one pair of keys. A fault begins half a
stage after the command and lasts --seconds; a command that ends meanwhile runs again at once, and last of all the same
command runs undisturbed. What holds is what holds in scripts/chaos.

The row two-clients has two sides: the first server labels and does nothing else, the second one plays AWS and does the
rest. Two commands of two machines, which have nothing in common but the run in S3, begin the stage at once.

Most of a cell is waiting, so --lanes cells go on beside each other, each with a copy of the servers' folders of its
own.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import queue
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
spec = importlib.util.spec_from_file_location("chaos", ROOT / "scripts" / "chaos.py")
assert spec is not None
assert spec.loader is not None
chaos: Any = importlib.util.module_from_spec(spec)
sys.modules["chaos"] = chaos
spec.loader.exec_module(chaos)

EXPIRED = {
    "kind": "answer",
    "status": 400,
    "code": "ExpiredToken",
    "message": "The provided token has expired.",
}
PORTS = (20_000, 30_000)
"""Below those that the system hands out: a server that is away for a minute finds its port again."""
AGAIN_SECONDS = 10
"""Between two tries of a command that ended while the fault lasts."""


class FarBench(chaos.Bench):  # type: ignore[misc]
    """Two servers over one folder that can be put back.

    `sides`: the first one labels only and the second one, which plays AWS, does the rest.
    """

    def __init__(self, home: Path, *, seconds: float = 60.0, sides: bool = False) -> None:
        super().__init__(home)
        self.storage: subprocess.Popen[str] | None = None
        self.storage_url, self.port = "", find_port()
        self.took: dict[str, float] = {}
        self.seconds, self.sides = seconds, sides

    def copy(self, home: Path) -> FarBench:
        """A bench beside this one, with what this one knows of undisturbed stages."""
        shutil.copytree(self.home, home, symlinks=True)
        bench = FarBench(home, seconds=self.seconds, sides=self.sides)
        for kept in home.glob("before-*/storage.json"):  # the same service under another address
            kept.write_text(json.dumps({"s3": f"http://127.0.0.1:{bench.port}"}))
        bench.requests, bench.expected, bench.took = self.requests, self.expected, self.took
        return bench

    @property
    def keys(self) -> dict[str, str]:
        document: dict[str, str] = json.loads((self.data / "s3" / "credentials.json").read_bytes())
        return document

    # ---- the two servers

    def start(self) -> None:
        self.start_storage()
        self.start_labeling()

    def start_storage(self) -> None:
        (self.data / "s3").mkdir(parents=True, exist_ok=True)
        self.storage = self.serve(self.data / "s3", {"faults": str(self.faults)}, port=self.port)
        self.storage_url = self.read_url(self.storage)
        self.port = urlsplit(self.storage_url).port or 0

    def start_labeling(self) -> None:
        options: dict[str, Any] = {"crowd_masks": str(self.home / "masks"), "crowd_error": 0, "s3": self.storage_url}
        options |= {"only": "labeling"} if self.sides else {}
        keys = {
            "AWS_ACCESS_KEY_ID": self.keys["access_key"],
            "AWS_SECRET_ACCESS_KEY": self.keys["secret_key"],
        }
        self.server = self.serve(self.data, options, **keys, AWS_EC2_METADATA_DISABLED="true")
        self.proxy.target = self.read_url(self.server)

    def serve(self, folder: Path, options: dict[str, Any], *, port: int = 0, **more: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "gtseg.local.server", "--data", str(folder), "--port", str(port)]
        kept = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        with (self.home / "server.log").open("ab") as log:
            return subprocess.Popen(
                [*command, "--options", json.dumps(options)],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**kept, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **more},
                cwd=ROOT,
            )

    def read_url(self, process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        if not url:
            raise RuntimeError("a server did not start: " + (self.home / "server.log").read_text()[-2000:])
        return url

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        super().stop(number)
        self.stop_storage(number)

    def stop_storage(self, number: signal.Signals) -> None:
        storage, self.storage = self.storage, None
        if storage is not None:
            storage.send_signal(number)
            storage.wait(40)

    # ---- clients

    def environment(self, **more: str) -> dict[str, str]:
        keys = {"AWS_ACCESS_KEY_ID": self.keys["access_key"], "AWS_SECRET_ACCESS_KEY": self.keys["secret_key"]}
        if not self.sides:
            return dict(super().environment(AWS_ENDPOINT_URL_S3=self.storage_url, **keys, **more))
        config, own = self.home / "config", json.loads((self.data / "credentials.json").read_bytes())
        config.write_text(
            f"[profile labels]\nregion = us-east-1\nendpoint_url = {self.proxy.url}\n"
            f"aws_access_key_id = {own['access_key']}\naws_secret_access_key = {own['secret_key']}\n"
        )
        sides = {
            "AWS_ENDPOINT_URL": self.storage_url,
            "AWS_CONFIG_FILE": str(config),
            "GTSEG_LABELING__PROFILE": "labels",
        }
        return dict(super().environment(**sides, **keys, **more))

    def call_logs(self) -> list[Path]:
        return [self.data / "calls.jsonl", self.data / "s3" / "calls.jsonl"]

    def result(self, stage: str) -> Any:
        """As scripts/chaos has it; once labels are there also how many answers and masks the job has in S3."""
        found = super().result(stage)
        if stage not in ("watch", "dataset"):
            return found
        pages = self.s3().get_paginator("list_objects_v2").paginate(Bucket="chaos-bucket", Prefix="c/labeling/")
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        kinds = ("/worker-response/", "/consolidated-annotation/output/", "output.manifest")
        return [*found, [sum(kind in key for key in keys) for kind in kinds]]

    def s3(self) -> Any:
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.storage_url,
            region_name="us-east-1",
            aws_access_key_id=self.keys["access_key"],
            aws_secret_access_key=self.keys["secret_key"],
        )

    def fired(self, kind: str) -> int:
        with urllib.request.urlopen(f"{self.storage_url}/_gtseg/faults", timeout=30) as answer:
            return int(json.load(answer)["fired"][kind])

    def command(self, stage: str, **more: Any) -> int:
        begun = time.monotonic()
        code = super().command(stage, **more)
        self.took.setdefault(stage, time.monotonic() - begun)
        return int(code)


def find_port() -> int:
    """A port that is free now and that the system gives to nobody by itself."""
    for port in random.sample(range(*PORTS), 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no free port")


def wait_out(bench: FarBench, stage: str, process: subprocess.Popen[str]) -> subprocess.Popen[str]:
    """As long as the fault lasts; a command that has ended is begun again, as a person would. The last one begun."""
    end = time.monotonic() + bench.seconds
    while (left := end - time.monotonic()) > 0:
        try:
            process.wait(left)
        except subprocess.TimeoutExpired:
            break
        time.sleep(min(AGAIN_SECONDS, max(0.0, end - time.monotonic())))
        if end - time.monotonic() > AGAIN_SECONDS:
            bench.finish(process)
            process = bench.begin(stage)
    return process


def strike(begin: Callable[[FarBench], None], end: Callable[[FarBench], int]) -> Callable[[FarBench, str], int]:
    """A fault from half a stage after the command begins, for so many seconds."""

    def disturb(bench: FarBench, stage: str) -> int:
        process = bench.begin(stage)
        time.sleep(bench.took[stage] / 2)
        begin(bench)
        process = wait_out(bench, stage, process)
        fired = end(bench)
        bench.finish(process)
        return fired

    return disturb


def kill_storage(bench: FarBench) -> None:
    bench.stop_storage(signal.SIGKILL)


def revive_storage(bench: FarBench) -> int:
    bench.start_storage()
    return 1


def kill_labeling(bench: FarBench) -> None:
    chaos.Bench.stop(bench, signal.SIGKILL)


def revive_labeling(bench: FarBench) -> int:
    bench.start_labeling()
    return 1


def kill_both(bench: FarBench) -> None:
    bench.stop(signal.SIGKILL)


def revive_both(bench: FarBench) -> int:
    bench.start()
    return 1


def break_requests(fault: dict[str, Any]) -> Callable[[FarBench, str], int]:
    """A fault of the storage's answers, from the beginning of a stage."""

    def disturb(bench: FarBench, stage: str) -> int:
        bench.set_faults([{**fault, "rate": 1, "limit": 1}, fault])
        process = wait_out(bench, stage, bench.begin(stage))
        fired = bench.fired(fault["kind"])
        bench.set_faults([])
        bench.finish(process)
        return fired

    return disturb


def run_two_clients(bench: FarBench, stage: str) -> int:
    assert bench.sides
    return int(chaos.run_on_two_machines(bench, stage))


FAULTS: dict[str, Callable[[FarBench, str], int]] = {
    "away": strike(kill_storage, revive_storage),
    "throttled": break_requests({"kind": "throttle", "operations": ["s3:*"], "rate": 0.5}),
    "wrong-bytes": break_requests({"kind": "corrupt", "operations": ["s3:GetObject"], "rate": 0.5}),
    "expired": break_requests(EXPIRED | {"operations": ["s3:*"]}),
    "labeling-killed": strike(kill_labeling, revive_labeling),
    "both-killed": strike(kill_both, revive_both),
    "two-clients": run_two_clients,
}
SIDED = ("two-clients",)
"""Faults that are tried with labeling at one server and everything else at another."""


class Run:
    """Cells that are left, tried beside each other; the page is written after each."""

    def __init__(self, matrix: Any, options: argparse.Namespace) -> None:
        self.matrix, self.options = matrix, options
        self.lock = threading.Lock()
        self.began = time.monotonic()

    def go(self, home: Path) -> None:
        for sides in (False, True):
            cells = [c for c in self.matrix.cells if not c.outcome and (c.fault in SIDED) is sides]
            if cells:
                self.try_cells(cells, home / f"sides-{sides}", sides=sides)

    def try_cells(self, cells: list[Any], home: Path, *, sides: bool) -> None:
        """Each stage once undisturbed; then its cells in lanes, each with a bench of its own."""
        waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for cell in cells:
            waiting.put(cell)
        with ExitStack() as stack:
            first = FarBench(home / "lane-0", seconds=self.options.seconds, sides=sides)
            first.home.mkdir(parents=True)
            stack.callback(first.close)
            last = max(chaos.STAGES.index(cell.stage) for cell in cells)
            first.walk_undisturbed(chaos.STAGES[: last + 1])
            first.stop()
            benches = [first]
            for number in range(1, min(self.options.lanes, len(cells))):
                benches.append(first.copy(home / f"lane-{number}"))
                stack.callback(benches[-1].close)
            lanes = [threading.Thread(target=self.work, args=(bench, waiting)) for bench in benches]
            for lane in lanes:
                lane.start()
            for lane in lanes:
                lane.join()

    def work(self, bench: FarBench, waiting: queue.SimpleQueue[Any]) -> None:
        while time.monotonic() - self.began < 60 * self.options.minutes:
            try:
                cell = waiting.get_nowait()
            except queue.Empty:
                return
            chaos.try_cell(bench, cell)
            with self.lock:
                print(f"{cell.stage} {cell.fault}: {cell.outcome} ({cell.fired}, {cell.seconds} s)", flush=True)
                if self.options.keep:
                    self.options.keep.write_text(json.dumps([asdict(one) for one in self.matrix.cells]))
                self.options.out.write_text(render(self.matrix, seconds=self.options.seconds))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--stages", default=",".join(chaos.STAGES))
    parser.add_argument("--faults", default=",".join(FAULTS))
    parser.add_argument("--seconds", type=float, default=60, help="how long a fault lasts")
    parser.add_argument("--lanes", type=int, default=3, help="cells beside each other")
    parser.add_argument("--minutes", type=float, default=600, help="begin no cell after so long")
    parser.add_argument("--keep", type=Path, help="a file of cells that held earlier, which are not run again")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "chaos-storage.md")
    options = parser.parse_args()
    chaos.FAULTS, chaos.IMPOSSIBLE = FAULTS, {}
    matrix = chaos.generate(tuple(options.stages.split(",")), tuple(options.faults.split(",")))
    chaos.recall(matrix, options.keep)
    os.nice(10)
    with tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True) as home:
        Run(matrix, options).go(Path(home))
    options.out.write_text(render(matrix, seconds=options.seconds))
    sys.exit(1 if matrix.wrong else 0)


def render(matrix: Any, *, seconds: float) -> str:
    """docs/chaos-storage.md."""
    lines = chaos.table(matrix, {}).splitlines()
    head = next(number for number, line in enumerate(lines) if line.startswith("| fault"))
    ran = [cell for cell in matrix.cells if cell.outcome]
    words = [
        "# Fault injection with remote storage", "",
        (
            "Written by `scripts/chaos_storage.py`. A server with `--s3` labels, trains and hosts; a "
            "second server acts as the S3 service; clients use both. The fault begins half a stage "
            f"after the command (faults of responses: with it) and lasts {seconds:.0f} seconds. A "
            "command that ends in this time is run again; at the end it is run undisturbed. A cell "
            "holds under the conditions of [chaos.md](chaos.md), and if S3 has as many answers and "
            "masks as without the fault. How often the fault occurred is in brackets. `two-clients`: "
            "the first server only labels, the second server acts as AWS for everything else, and "
            "commands on two machines begin the stage at the same time."
        ),
        "", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC: {sum(cell.outcome == 'ok' for cell in ran)} of "
            f"{len(matrix.cells)} cells hold, "
        f"{sum(cell.outcome != 'ok' for cell in ran)} failed, {len(matrix.cells) - len(ran)} were not run.", "",
        *lines[head:], "",
        (
            "Tests in `tests/local/test_local_storage.py` cover images that are replaced while people "
            "label, and answers that survive `kill -9` of both servers. `tests/test_chaos_storage.py` "
            "runs one cell of this table."
        ), "",
    ]  # fmt: skip
    return "\n".join(words)


if __name__ == "__main__":
    main()
