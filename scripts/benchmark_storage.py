"""The labeling portal of a server whose images are in a slow S3 service, with a cold cache.

    scripts/benchmark storage --images 10000 --people 20 --minutes 5

A second server plays the S3 service and answers each request --delay seconds late. The cache holds --cache-gb, so
little that what the server looked at to measure it is gone when a person wants to see it. A person takes a task,
fetches its image, thinks, submits. Printed: how long task and image take together, and the memory of the server every
ten seconds.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "local" / "labeling"), str(ROOT)]

from labeling_desk import Desk, draw_answer  # noqa: E402
from local_aws import LocalAWS  # noqa: E402

DISTINCT = 40


class FarDesk(Desk):
    def __init__(self, aws: LocalAWS, storage: LocalAWS) -> None:
        self.storage = storage
        super().__init__(aws)

    def connect(self) -> None:
        super().connect()
        self.s3 = self.storage.client("s3")


def draw_image(number: int, megabytes: float) -> tuple[bytes, tuple[int, int]]:
    """A JPEG of noise: about so many megabytes."""
    side = int(1000 * megabytes**0.5)
    noise = np.random.default_rng(number).integers(0, 256, (side, side, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).save(out, "JPEG", quality=75)
    return out.getvalue(), (side, side)


def put_images(desk: FarDesk, count: int, megabytes: float) -> list[dict[str, Any]]:
    sizes = 0
    for number in range(min(DISTINCT, count)):
        body, _ = draw_image(number, megabytes)
        sizes += len(body)
        desk.put(f"images/{number:05}.jpg", body)
    print(f"images of {sizes / min(DISTINCT, count) / 1e6:.2f} MB", flush=True)

    def copy(number: int) -> None:
        source = {"Bucket": desk.bucket, "Key": f"images/{number % DISTINCT:05}.jpg"}
        desk.s3.copy_object(Bucket=desk.bucket, Key=f"images/{number:05}.jpg", CopySource=source)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(copy, range(DISTINCT, count)))
    return [{"source-ref": f"s3://{desk.bucket}/images/{number:05}.jpg"} for number in range(count)]


def read_memory(pid: int) -> float:
    """Resident, MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def read_cpu(pid: int) -> float:
    """Seconds of processor time."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Person(threading.Thread):
    def __init__(self, worker: Any, job: str, think: float, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.worker, self.job, self.think, self.stopping = worker, job, think, stop
        self.seconds: list[float] = []
        self.images: list[float] = []
        self.problems: list[str] = []

    def run(self) -> None:
        mask = np.zeros((1, 1), np.uint8)
        while not self.stopping.is_set():
            begun = time.monotonic()
            status, task = self.worker("POST", f"/jobs/{self.job}/tasks")
            if status != 200:
                self.stopping.wait(0.2)
                continue
            taken = time.monotonic()
            status, image = self.worker("GET", f"/tasks/{task['task']}/image")
            self.seconds.append(time.monotonic() - begun)
            self.images.append(time.monotonic() - taken)
            if status != 200:
                self.problems.append(str(image))
            if mask.shape != (task["height"], task["width"]):
                mask = np.zeros((task["height"], task["width"]), np.uint8)
                mask[: task["height"] // 2] = 1
                self.answer = draw_answer(mask, task["labels"])
            self.stopping.wait(random.expovariate(1 / self.think))
            self.worker("POST", f"/tasks/{task['task']}/answer", {"answer": self.answer})


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
    faults = home / "faults.json"
    faults.write_text("{}")
    storage = LocalAWS(home / "s3", options={"faults": str(faults)})
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION")
    keys = {name: storage.environment[name] for name in names}
    far = LocalAWS(
        home / "far",
        options={"s3": storage.url, "only": "labeling", "cache_gb": options.cache_gb},
        variables=keys,
    )
    try:
        measure(options, FarDesk(far, storage), faults)
    finally:
        far.stop()
        storage.stop()
        shutil.rmtree(home, ignore_errors=True)


def measure(options: argparse.Namespace, desk: FarDesk, faults: Path) -> None:
    lines = put_images(desk, options.images, options.megabytes)
    faults.write_text(json.dumps({"fault": [{"kind": "delay", "seconds": options.delay}]}))
    before = read_memory(desk.aws.pid)
    job = desk.create(lines)
    stop = threading.Event()
    people = [Person(desk.hire(), job, options.think, stop) for _ in range(options.people)]
    for person in people:
        person.start()
    memory = []
    end = time.monotonic() + 60 * options.minutes
    while time.monotonic() < end:
        time.sleep(10)
        memory.append(read_memory(desk.aws.pid))
    stop.set()
    for person in people:
        person.join(30)
    seconds = sorted(second for person in people for second in person.seconds)
    half = len(seconds) // 2
    request = urllib.request.Request(
        f"{desk.aws.url}/metrics", headers={"Authorization": f"Bearer {desk.aws.owner_token}"}
    )
    with urllib.request.urlopen(request) as answer:
        figures = dict(
            line.split() for line in answer.read().decode().splitlines() if line.startswith("gtseg_storage_")
        )
    print(
        f"{options.people} people, {options.images} images, {options.delay * 1000:.0f} ms a request: "
        f"{len(seconds)} tasks with image in "
        f"{1000 * seconds[half]:.0f} ms (median), {1000 * seconds[int(len(seconds) * 0.95)]:.0f} ms (95th percentile), "
        f"{1000 * statistics.fmean(seconds):.0f} ms (mean), {1000 * seconds[-1]:.0f} ms (longest)"
    )
    images = sorted(second for person in people for second in person.images)
    print(
        f"of that the image {1000 * images[half]:.0f} ms (median), "
        f"{1000 * images[int(len(images) * 0.95)]:.0f} ms (95th percentile)"
    )
    print(f"memory of the server: {before:.0f} MiB before, then {', '.join(f'{m:.0f}' for m in memory)}")
    print(f"problems: {[p for person in people for p in person.problems][:3]}; load of the machine: {os.getloadavg()}")
    cpu = {"server": read_cpu(desk.aws.pid), "S3": read_cpu(desk.storage.pid), "people": sum(os.times()[:2])}
    print(f"processor seconds: {', '.join(f'{name} {used:.0f}' for name, used in cpu.items())}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
