"""The labeling portal of a server whose images are in a slow S3 service, with a cold cache.

    scripts/benchmark storage --images 10000 --people 20 --minutes 12

`scripts/s3_stub.py` plays the S3 service and answers each request --delay seconds late. The cache holds --cache-gb, so
little that an image which the server examined before is gone when a person wants to see it; --cache-gb 10 keeps them. A
person takes a task, fetches its image, thinks, submits. Printed: how long task and image take together, in each half of
the time, the server's processor time per task, and its memory every ten seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import boto3
import numpy as np
from botocore.config import Config

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "local" / "labeling"), str(ROOT)]

from labeling_fixture import TEMPLATE, Labeling, draw_answer  # noqa: E402
from local_aws import LocalAWS  # noqa: E402

BUCKET = "bench"
"""Of scripts/s3_stub.py."""
KEYS = {"AWS_ACCESS_KEY_ID": "benchmark", "AWS_SECRET_ACCESS_KEY": "benchmark", "AWS_REGION": "us-east-1"}


class StubLabeling(Labeling):
    """Labeling with the bucket of the stub."""

    def __init__(self, aws: LocalAWS, url: str) -> None:
        self.aws, self.url, self.bucket = aws, url, BUCKET
        self.connect()
        self.put("template.liquid", TEMPLATE)

    def connect(self) -> None:
        super().connect()
        session = boto3.Session("benchmark", "benchmark", region_name="us-east-1")
        style = Config(s3={"addressing_style": "path"}, request_checksum_calculation="when_required")
        self.s3 = session.client("s3", endpoint_url=self.url, config=style)


def read_memory(pid: int) -> float:
    """Resident, MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def read_cpu(pid: int) -> float:
    """Seconds of processor time, of its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Person(threading.Thread):
    """Labels until `stop`; `taken` holds (monotonic time, seconds for task and image, seconds for the image)."""

    def __init__(self, worker: Any, job: str, think: float, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.worker, self.job, self.think, self.stopping = worker, job, think, stop
        self.taken: list[tuple[float, float, float]] = []
        self.answers = 0
        self.problems: list[str] = []

    def run(self) -> None:
        mask = np.zeros((1, 1), np.uint8)
        while not self.stopping.is_set():
            begun = time.monotonic()
            status, task = self.worker("POST", f"/jobs/{self.job}/tasks")
            if status != 200:
                self.stopping.wait(0.2)
                continue
            given = time.monotonic()
            status, image = self.worker("GET", f"/tasks/{task['task']}/image")
            shown = time.monotonic()
            self.taken.append((shown, shown - begun, shown - given))
            if status != 200:
                self.problems.append(str(image))
            if mask.shape != (task["height"], task["width"]):
                mask = np.zeros((task["height"], task["width"]), np.uint8)
                mask[: task["height"] // 2] = 1
                self.answer = draw_answer(mask, task["labels"])
            self.stopping.wait(random.expovariate(1 / self.think))
            status, said = self.worker("POST", f"/tasks/{task['task']}/answer", {"answer": self.answer})
            self.answers += status == 200
            if status != 200:
                self.problems.append(str(said))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--megabytes", type=float, default=1.0)
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--delay", type=float, default=0.025)
    parser.add_argument("--cache-gb", type=float, default=0.02)
    parser.add_argument("--think", type=float, default=5.0, help="mean seconds over one image")
    parser.add_argument("--minutes", type=float, default=2)
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="benchmark-storage-"))
    flags = [f"--photographs={options.images}", f"--megabytes={options.megabytes}", f"--delay={options.delay}"]
    command = [sys.executable, str(ROOT / "scripts" / "s3_stub.py"), *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as stub:
        assert stub.stdout is not None
        url = stub.stdout.readline().strip()
        settings = {"s3": url, "only": "labeling", "cache_gb": options.cache_gb}
        far = LocalAWS(home / "far", options=settings, variables=KEYS)
        try:
            measure(options, StubLabeling(far, url), stub.pid)
        finally:
            far.stop()
            stub.terminate()
            shutil.rmtree(home, ignore_errors=True)


def measure(options: argparse.Namespace, labeling: StubLabeling, stub: int) -> None:
    server = labeling.aws.pid
    before = read_memory(server)
    lines = [{"source-ref": f"s3://{BUCKET}/images/{number:05}.jpg"} for number in range(options.images)]
    begun = time.monotonic()
    job = labeling.create(lines)
    print(f"job of {options.images} images created in {time.monotonic() - begun:.2f} s", flush=True)
    stop = threading.Event()
    people = [Person(labeling.hire(), job, options.think, stop) for _ in range(options.people)]
    for person in people:
        person.start()
    begun, memory, used, cache = time.monotonic(), [], [read_cpu(server)], []
    while time.monotonic() < begun + 60 * options.minutes:
        time.sleep(10)
        memory.append(read_memory(server))
        used.append(read_cpu(server))
        cache.append(read_figures(labeling)["gtseg_storage_cache_bytes"])
    middle = (begun + time.monotonic()) / 2
    stop.set()
    for person in people:
        person.join(30)
    taken = [entry for person in people for entry in person.taken]
    print(f"{options.people} people, {options.images} images, {options.delay * 1000:.0f} ms a request")
    show_times("task and image", [total for _, total, _ in taken])
    show_times("of that the image", [image for _, _, image in taken])
    show_times("task and image, first half", [total for at, total, _ in taken if at < middle])
    show_times("task and image, second half", [total for at, total, _ in taken if at >= middle])
    answers = sum(person.answers for person in people)
    print(f"{answers} answers; job: {labeling.describe(job)['LabelCounters']}")
    print(f"server: {1000 * (used[-1] - used[0]) / max(1, len(taken)):.0f} ms of processor time per task")
    print(f"S3 stub: {read_cpu(stub):.0f} s, people: {sum(os.times()[:2]):.0f} s of processor time")
    half = len(memory) // 2
    halves = f"{max(memory[:half], default=0):.0f} MiB at most in the first half, {max(memory[half:], default=0):.0f}"
    print(f"memory: {before:.0f} MiB before, {halves} in the second; {', '.join(f'{m:.0f}' for m in memory)}")
    print(f"cache: {max(cache) / 1e6:.1f} MB at most of {1000 * options.cache_gb:.0f}")
    print(f"problems: {[p for person in people for p in person.problems][:3]}; load of the machine: {os.getloadavg()}")
    print(json.dumps(read_figures(labeling)))


def show_times(what: str, seconds: list[float]) -> None:
    if not seconds:
        return
    seconds = sorted(1000 * second for second in seconds)
    print(
        f"{what}: {len(seconds)} times, {seconds[len(seconds) // 2]:.0f} ms (median), "
        f"{seconds[int(len(seconds) * 0.95)]:.0f} ms (95th percentile), {statistics.fmean(seconds):.0f} ms (mean), "
        f"{seconds[-1]:.0f} ms (longest)"
    )


def read_figures(labeling: StubLabeling) -> dict[str, float]:
    """The server's metrics of its storage."""
    owner = {"Authorization": f"Bearer {labeling.aws.owner_token}"}
    with urllib.request.urlopen(urllib.request.Request(f"{labeling.aws.url}/metrics", headers=owner)) as answer:
        lines = [line for line in answer.read().decode().splitlines() if line.startswith("gtseg_storage_")]
    return {name: float(value) for name, value in (line.split() for line in lines)}


if __name__ == "__main__":
    main()
