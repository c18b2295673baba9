"""Batch transform against an endpoint of the same model: equal bytes, speed, memory.

    scripts/benchmark transform [--images 2000] [--size 128] [--instances 4] [--rounds 1]

Starts an embedded AWS of its own, trains a small model for a few seconds, puts drawn JPEGs into a bucket, and runs
`gtseg predict` both ways. Memory is the resident set of each process, sampled twice a second: its peak in the first and
in the second half of the run. CPU seconds are those of the whole process tree.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

SMALL_MB = 20
"""Processes that only start others are not shown."""
HERE = Path(__file__).resolve().parent
HYPERPARAMETERS = {
    "num_classes": "2",
    "num_training_samples": "6",
    "epochs": "2",
    "mini_batch_size": "2",
    "validation_mini_batch_size": "2",
    "base_size": "96",
    "crop_size": "96",
}


def draw(number: int, size: int) -> tuple[bytes, np.ndarray]:
    """(JPEG, mask): a bright disc on a dark ground."""
    random = np.random.default_rng(number)
    y, x = np.mgrid[:size, :size]
    row, column = random.integers(size // 3, 2 * size // 3, 2)
    mask = ((y - row) ** 2 + (x - column) ** 2 < (size // 4) ** 2).astype(np.uint8)
    pixels = random.integers(0, 60, (size, size, 3)) + mask[..., None] * 180
    body = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(body, "JPEG", quality=90)
    return body.getvalue(), mask


def train(folder: Path) -> bytes:
    """A model.tar.gz of the algorithm itself."""
    for channel, numbers in (("train", range(6)), ("validation", range(100, 103))):
        for name in (channel, f"{channel}_annotation"):
            (folder / "input" / "data" / name).mkdir(parents=True)
        for number in numbers:
            body, mask = draw(number, 96)
            (folder / "input" / "data" / channel / f"{number}.jpg").write_bytes(body)
            Image.fromarray(mask).save(folder / "input" / "data" / f"{channel}_annotation" / f"{number}.png")
    for name in ("model", "output", "checkpoints", "input/config"):
        (folder / name).mkdir()
    (folder / "input" / "config" / "hyperparameters.json").write_text(json.dumps(HYPERPARAMETERS))
    command = [sys.executable, "-m", "gtseg.local.algorithm", "train", "--root", str(folder)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for path in sorted((folder / "model").iterdir()):
            archive.add(path, path.name)
    return packed.getvalue()


@dataclass
class Watch:
    """Resident memory of processes, by what they are, while a command runs."""

    server: int
    command: subprocess.Popen[bytes]
    samples: dict[str, list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        while self.command.poll() is None:
            for process in [
                psutil.Process(self.server),
                *psutil.Process(self.server).children(recursive=True),
            ]:
                try:
                    words = process.cmdline()
                    what = (
                        f"container {process.pid}"
                        if "serve" in words
                        else "server"
                        if process.pid == self.server
                        else ""
                    )
                    if what:
                        self.samples.setdefault(what, []).append(process.memory_info().rss / 2**20)
                except psutil.Error:
                    continue
            with contextlib.suppress(psutil.Error):
                self.samples.setdefault("client", []).append(psutil.Process(self.command.pid).memory_info().rss / 2**20)
            time.sleep(0.5)

    def show(self) -> None:
        for what, values in sorted(self.samples.items()):
            half = len(values) // 2
            if half and max(values) > SMALL_MB:
                first, second = max(values[:half]), max(values[half:])
                print(f"    {what:18} at most {first:5.0f} MB in the first half, {second:5.0f} MB in the second")


def cpu_of(pid: int) -> float:
    """CPU seconds of a process and all that it has started."""
    process = psutil.Process(pid)
    own = process.cpu_times()
    return (
        own.user
        + own.system
        + own.children_user
        + own.children_system
        + sum(times.user + times.system for times in (child.cpu_times() for child in process.children(recursive=True)))
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--instances", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gtseg-benchmark-") as name:
        folder = Path(name)
        model = train(folder / "training")
        command = [sys.executable, "-m", "gtseg.local.server", "--data", str(folder / "aws"), "--port", "0"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert server.stdout
        try:
            measure(folder, server, server.stdout.readline().strip(), model, options)
        finally:
            server.terminate()
            server.wait()


def measure(folder: Path, server: subprocess.Popen[str], url: str, model: bytes, options: argparse.Namespace) -> None:
    keys = json.loads((folder / "aws" / "credentials.json").read_text())
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | {
        "AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": keys["access_key"], "AWS_SECRET_ACCESS_KEY": keys["secret_key"],
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "PYTHONPATH": str(HERE.parent),
    }  # fmt: skip
    os.environ.update(environment)
    from gtseg.aws.clients import Clients
    from gtseg.aws.s3 import S3, Bulk, work_through

    S3(Clients()).ensure_bucket("bench")
    S3(Clients()).write("s3://bench/model.tar.gz", model)
    with Bulk(Clients()) as bulk:
        for _ in work_through(
            range(options.images),
            lambda n: bulk.put(
                f"s3://bench/city/{n // 100}/{n}.jpg", draw(n, options.size)[0], content_type="image/jpeg"
            ),
            threads=4,
        ):
            pass
    (folder / "gtseg.toml").write_text(
        '[project]\nname = "bench"\nbucket = "bench"\n[deploy]\nmodel_data = "s3://bench/model.tar.gz"\n'
    )
    gtseg = [sys.executable, "-m", "gtseg"]
    subprocess.run([*gtseg, "deploy"], cwd=folder, env=environment, check=True, stderr=subprocess.DEVNULL)
    ways = {"endpoint": [], "batch": ["--batch", "--instances", str(options.instances)]}
    walls: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(options.rounds):
        for way, more in ways.items():
            output = folder / f"{way}-{number}"
            if way == "batch":  # answers that are there would be taken
                bucket = S3(Clients())
                bucket.delete(f"s3://bench/{item.key}" for item in bucket.list_objects("s3://bench/bench/batch/"))
            before, begun = cpu_of(server.pid), time.perf_counter()
            words = [*gtseg, "predict", "s3://bench/city/", "-o", str(output), *more]
            process = subprocess.Popen(words, cwd=folder, env=environment, stderr=subprocess.DEVNULL)
            watch = Watch(server.pid, process)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            walls[way].append(time.perf_counter() - begun)
            client = usage.ru_utime + usage.ru_stime
            print(
                f"{way}: {walls[way][-1]:.1f} s, {cpu_of(server.pid) - before:.1f} CPU s of the server and "
                f"its containers, "
                f"{client:.1f} CPU s of gtseg, exit code {process.returncode}, load {os.getloadavg()[0]:.0f}"
            )
            watch.show()
        check(folder / f"endpoint-{number}", folder / f"batch-{number}", options.images)
    for way, seconds in walls.items():
        print(
            f"{way}: median {statistics.median(seconds):.1f} s, "
            f"{options.images / statistics.median(seconds):.1f} images/s"
        )


def check(one: Path, other: Path, images: int) -> None:
    """Both folders hold a mask for every image, each the same bytes."""
    first, second = ({p.relative_to(f): p.read_bytes() for p in f.rglob("*.png")} for f in (one, other))
    different = [str(name) for name in first if first[name] != second.get(name)]
    print(f"{len(first)} and {len(second)} masks, {len(different)} different {different[:3]}")
    if different or len(first) != images or len(second) != images:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
