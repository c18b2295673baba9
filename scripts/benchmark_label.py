"""CPU seconds of client and server per image for label, answers and dataset: the load that one core can bear.

    scripts/benchmark label [--images 1000] [--size 512]

Starts an embedded AWS of its own, labels a folder of drawn JPEGs with simulated workers (one answer an image, over the
same HTTP API as people), and makes the dataset. The workers' own CPU time is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from benchmark_transform import HERE, draw
from PIL import Image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--size", type=int, default=512)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gtseg-benchmark-") as name:
        folder = Path(name)
        (folder / "images").mkdir()
        (folder / "masks").mkdir()
        for number in range(options.images):
            body, mask = draw(number, options.size)
            (folder / "images" / f"{number:07}.jpg").write_bytes(body)
            Image.fromarray(mask).save(folder / "masks" / f"{number:07}.png")
        command = [sys.executable, "-m", "gtseg.local.server", "--data", str(folder / "aws"), "--port", "0"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert server.stdout
        try:
            measure(folder, server.pid, server.stdout.readline().strip(), options.images)
        finally:
            server.terminate()
            server.wait()


def measure(folder: Path, server: int, url: str, images: int) -> None:
    keys = json.loads((folder / "aws" / "credentials.json").read_text())
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | {
        "AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": keys["access_key"], "AWS_SECRET_ACCESS_KEY": keys["secret_key"],
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "PYTHONPATH": str(HERE.parent), "GTSEG_LOCAL_DATA": str(folder / "aws"),
    }  # fmt: skip
    (folder / "gtseg.toml").write_text(
        '[project]\nname = "bench"\ncreate_bucket = true\n[images]\nsource = "images"\n'
        '[labeling]\nlabels = ["disc"]\nworkers_per_object = 1\n'
    )
    crowd_command = [sys.executable, "-m", "gtseg", "local", "crowd", "--masks", "masks", "--error", "0"]
    crowd: subprocess.Popen[bytes] | None = None
    print(
        f"{'step':10} {'wall s':>8} {'client ms an image':>20} {'server ms an image':>20} {'client MB':>10} "
        f"{'server MB':>10}"
    )
    try:
        for step in ("label", "watch", "dataset"):
            if step == "watch":
                crowd = subprocess.Popen(crowd_command, cwd=folder, env=environment, stderr=subprocess.DEVNULL)
            before, begun = own_cpu(server), time.perf_counter()
            process = subprocess.Popen(
                [sys.executable, "-m", "gtseg", step], cwd=folder, env=environment, stderr=subprocess.DEVNULL
            )
            _, status, usage = os.wait4(process.pid, 0)
            if status:
                raise SystemExit(f"gtseg {step} failed: {os.waitstatus_to_exitcode(status)}")
            client, there = usage.ru_utime + usage.ru_stime, own_cpu(server) - before
            memory = psutil.Process(server).memory_info().rss / 2**20
            print(
                f"{step:10} {time.perf_counter() - begun:8.1f} {1000 * client / images:20.2f} "
                f"{1000 * there / images:20.2f} "
                f"{usage.ru_maxrss / 1024:10.0f} {memory:10.0f}"
            )
    finally:
        if crowd is not None:
            crowd.terminate()
            crowd.wait()


def own_cpu(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


if __name__ == "__main__":
    main()
