"""scripts/benchmark train DATA: mIoU against CPU seconds from both starts, and what a prediction costs.

DATA holds images/*.jpg, masks/*.png (class indices, 255 void) and dataset.json {"classes": [...], "splits": {"train":
[stem, ...], "validation": [...]}}. Every figure comes from the container itself: `python -m gtseg.local.algorithm train
--cpu-seconds S` on one thread, the whole process counted (start, reading, augmentation, every validation, saving), and
its own log parsed.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STARTS = ("imagenet", "scratch")
MIOU = re.compile(r"#quality_metric\. host: \S+, epoch: (\d+), validation mIOU: (\S+)")


def main() -> int:
    options = read_options()
    scratch = Path(tempfile.mkdtemp(prefix="gtseg-benchmark-"))
    try:
        for start in options.starts:
            folder = scratch / start
            rows = [
                train(options, folder / f"{seconds:g}-{seed}", seconds, seed=seed, start=start)
                for seconds in options.cpu_seconds
                for seed in range(1, options.seeds + 1)
            ]
            print_curve(options.data, start, rows)
        for start in options.starts:
            print(f"\n{start}:", end="")
            compare_inference(
                scratch / start / f"{options.cpu_seconds[-1]:g}-1", image_of(options.data), options.requests
            )
    finally:
        shutil.rmtree(scratch)
    return 0


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/benchmark train", description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--cpu-seconds", type=float, nargs="+", default=[60, 120, 300])
    parser.add_argument("--starts", nargs="+", choices=STARTS, default=STARTS)
    parser.add_argument("--seeds", type=int, default=3, help="jobs for each figure; medians are printed too")
    parser.add_argument("--requests", type=int, default=40, help="requests per inference measurement")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a hyperparameter")
    return parser.parse_args()


# --------------------------------------------------------------------------------------------------- training


def lay_out(data: Path, root: Path, hyperparameters: dict[str, str]) -> None:
    """SageMaker's folders, linked to the data."""
    dataset = json.loads((data / "dataset.json").read_text())
    for channel in ("train", "validation"):  # a test split stays aside
        stems = dataset["splits"].get(channel)
        if not stems:
            raise SystemExit(f"{data / 'dataset.json'}: splits must have images under {channel!r}")
        for name in (channel, f"{channel}_annotation"):
            (root / "input/data" / name).mkdir(parents=True, exist_ok=True)
        for stem in stems:
            (root / "input/data" / channel / f"{stem}.jpg").symlink_to((data / "images" / f"{stem}.jpg").resolve())
            (root / "input/data" / f"{channel}_annotation" / f"{stem}.png").symlink_to(
                (data / "masks" / f"{stem}.png").resolve()
            )
    (root / "input/config").mkdir(parents=True)
    counts = {"num_classes": len(dataset["classes"]), "num_training_samples": len(dataset["splits"]["train"])}
    settings = {**{k: str(v) for k, v in counts.items()}, "epochs": "100000", **hyperparameters}
    (root / "input/config/hyperparameters.json").write_text(json.dumps(settings))


def train(
    options: argparse.Namespace, root: Path, seconds: float, *, seed: int, start: str
) -> tuple[float, float, float, int, float, float]:
    """(budget, CPU s of the whole process, wall s, validations, last mIOU, best mIOU)"""
    given = dict(text.split("=", 1) for text in options.set)
    lay_out(options.data, root, {"use_pretrained_model": str(start == "imagenet"), **given})
    command = [sys.executable, "-m", "gtseg.local.algorithm", "train", "--root", str(root)]
    before, started = cpu_of_children(), time.monotonic()
    done = subprocess.run(
        [*command, "--cpu-seconds", str(seconds), "--seed", str(seed)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    scores = [float(value) for _, value in MIOU.findall(done.stdout)]
    if done.returncode or not scores:
        raise SystemExit(f"training failed:\n{done.stdout[-2000:]}")
    wall = time.monotonic() - started
    print(f"{start}, seed {seed}, {seconds:g} CPU s: mIOU {scores[-1]:.4f}", file=sys.stderr)
    return seconds, cpu_of_children() - before, wall, len(scores), scores[-1], max(scores)


def cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def print_curve(data: Path, start: str, rows: list[tuple[float, float, float, int, float, float]]) -> None:
    print(f"\n{data.name}: validation mIOU against CPU seconds, start: {start}, one thread")
    print(f"{'budget':>8} {'process CPU s':>14} {'wall s':>8} {'scored':>7} {'last mIOU':>10} {'best mIOU':>10}")
    for budget, cpu, wall, epochs, last, best in rows:
        print(f"{budget:8g} {cpu:14.1f} {wall:8.1f} {epochs:7d} {last:10.4f} {best:10.4f}")
    for budget in sorted({row[0] for row in rows}):
        median = statistics.median(row[5] for row in rows if row[0] == budget)
        print(f"{budget:8g} median of the best {median:.4f}")


# -------------------------------------------------------------------------------------------------- inference


def image_of(data: Path) -> bytes:
    """A JPEG of the data's, its long side at 512 pixels."""
    import cv2

    picture = cv2.imread(str(min((data / "images").glob("*.jpg"))))
    scale = 512 / max(picture.shape[:2])
    size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
    return cv2.imencode(".jpg", cv2.resize(picture, size, interpolation=cv2.INTER_AREA))[1].tobytes()


def compare_inference(root: Path, body: bytes, requests: int) -> None:
    bare, whole = in_process(root, body, requests)
    print(f"\nOne 512-pixel JPEG -> mask, median of {requests}, milliseconds")
    print(f"{bare:8.2f}  the network alone")
    print(f"{whole:8.2f}  decoding, network, mask, PNG in one process")
    print(f"{through_http(root, body, requests):8.2f}  the same through the container's HTTP")


def in_process(root: Path, body: bytes, requests: int) -> tuple[float, float]:
    import torch

    from gtseg.local.algorithm.inference.predict import Predictor, decode, encode_png

    predictor = Predictor(root / "model")
    image, size = decode(body, smallest=predictor.inference_size)
    x = predictor.prepared(image)
    with torch.inference_mode():
        bare = median_ms(lambda: predictor.run(x), requests)
        whole = median_ms(
            lambda: encode_png(predictor.mask(decode(body, smallest=predictor.inference_size)[0], size)),
            requests,
        )
    return bare, whole


def median_ms(call: object, times: int) -> float:
    samples = []
    for _ in range(times):
        started = time.perf_counter()
        call()  # type: ignore[operator]
        samples.append(1e3 * (time.perf_counter() - started))
    return statistics.median(samples)


def through_http(root: Path, body: bytes, requests: int) -> float:
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "gtseg.local.algorithm", "serve", "--root", str(root), "--port", str(port)],
        stdout=subprocess.DEVNULL,
    )
    try:
        connection = connect(port)

        def ask() -> None:
            connection.request("POST", "/invocations", body, {"Content-Type": "image/jpeg", "Accept": "image/png"})
            answer = connection.getresponse()
            if answer.status != 200 or not answer.read():
                raise SystemExit(f"the container answered {answer.status}")

        ask()
        return median_ms(ask, requests)
    finally:
        server.terminate()
        server.wait()


def connect(port: int) -> http.client.HTTPConnection:
    for _ in range(600):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.connect()
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the container did not start within a minute")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    sys.exit(main())
