"""scripts/benchmark objects [--numbers 2000 20000] [--side 32]: label, crowd, watch and dataset by number of objects.

Tiny drawn images, a server of its own with three simulated workers, one answer an object. For each number: seconds of
each stage and per 1,000 objects, and the peak memory (VmHWM) of each command, of the server and of the crowd: none may
grow with the number."""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]

from local_aws import LocalAWS  # noqa: E402

SETTINGS = """[project]
name = "many"
bucket = "many-objects"
create_bucket = true
role_arn = "arn:aws:iam::123456789012:role/gtseg"
[images]
source = "images"
[labeling]
labels = ["disc"]
workforce = "private"
workers_per_object = 1
"""


def draw(folder: Path, number: int, side: int) -> None:
    """images/ and masks/: every image of its own bytes."""
    y, x = np.mgrid[:side, :side]
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    random = np.random.default_rng(0)
    for n in range(number):
        (cx, cy), r = random.integers(side // 4, side * 3 // 4, 2), side // 5
        mask = (((x - cx) ** 2 + (y - cy) ** 2) < r * r).astype(np.uint8)
        photo = random.integers(0, 60, (side, side, 3), np.uint8) + 150 * mask[..., None]
        body = io.BytesIO()
        Image.fromarray(photo.astype(np.uint8)).save(body, "JPEG", quality=85)
        (folder / f"images/{n:06}.jpg").write_bytes(body.getvalue())
        Image.fromarray(mask).save(folder / f"masks/{n:06}.png")


def peak_of(pid: int) -> float:
    """MB that a process held at most so far."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def crowd_of(server: int) -> int:
    """The server's child that simulates the workers."""
    children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
    found = [int(pid) for pid in children if b"crowd" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return found[0]


def run(command: str, folder: Path, environment: dict[str, str]) -> tuple[float, float]:
    """(seconds, peak MB) of one gtseg command."""
    begun = time.perf_counter()
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "gtseg", *command.split()],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
        )
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"gtseg {command} failed: {(folder / 'log').read_text()[-2000:]}")
    return time.perf_counter() - begun, usage.ru_maxrss / 1024


def measure(number: int, side: int) -> None:
    with tempfile.TemporaryDirectory(prefix="gtseg-objects-") as name:
        folder = Path(name)
        draw(folder / "project", number, side)
        (folder / "project/gtseg.toml").write_text(SETTINGS)
        options = {"crowd_masks": str(folder / "project/masks"), "crowd_error": 0.0}
        aws = LocalAWS(folder / "aws", options=options)
        try:
            cells = []
            for command in ("label --yes", "watch", "dataset"):
                seconds, peak = run(command, folder / "project", aws.environment)
                cells.append(
                    f"{command.split()[0]} {seconds:6.1f} s {1000 * seconds / number:6.2f} s/1,000 {peak:4.0f} MB"
                )
            cells.append(f"server {peak_of(aws.pid):4.0f} MB, crowd {peak_of(crowd_of(aws.pid)):4.0f} MB")
            body = aws.client("s3").get_object(Bucket="many-objects", Key="many/dataset.json")["Body"].read()
            counts = json.loads(body)["counts"]
            cells.append(f"{sum(counts[part] for part in ('train', 'validation', 'test')):,} in the dataset")
        finally:
            aws.stop()
    print(f"{number:6,} objects: " + "; ".join(cells), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--numbers", type=int, nargs="+", default=[2_000, 20_000])
    parser.add_argument("--side", type=int, default=32)
    options = parser.parse_args()
    for number in options.numbers:
        measure(number, options.side)


if __name__ == "__main__":
    main()
