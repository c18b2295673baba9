"""From a finished labeling job to training channels: the blog's way, the same with s5cmd, and `gtseg dataset`.

    scripts/benchmark dataset [--objects 300 3000] [--rounds 3] [--ways aws s5cmd gtseg]
                              [--target stub embedded] [--rgba] [--size 16 16]

Runs interleaved; prints medians of wall and CPU seconds of the whole process tree, peak memory, requests and bytes
through the client. The stub adds 25 ms a request. Images are 1024x768 JPEGs of about 184 KB, masks palette PNGs of 14
KB (or RGBA). The blog's way = download all with the AWS CLI, rename, split, move, four uploads. `again` = gtseg on
finished output, `unknown` = gtseg without images.jsonl, `palette` = gtseg with --check palette. One object (--objects
1) shows what starting costs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
BIN = Path(sys.executable).parent
MANIFEST = "s3://bench/labeling/job/manifests/output/output.manifest"
PARTS = ("train", "train_annotation", "validation", "validation_annotation")

RENAME = """
import json, os, shutil, random, sys
from pathlib import Path
lines = [json.loads(l) for l in open("out/manifests/output/output.manifest")]
random.Random(0).shuffle(lines)
for n, line in enumerate(lines):
    part = "train" if n < 0.8 * len(lines) else "validation"
    stem = Path(line["source-ref"]).stem
    mask = "out/annotations/consolidated-annotation/output/" + line["job-ref"].rsplit("/", 1)[1]
    for folder in (part, part + "_annotation"):
        os.makedirs("channels/" + folder, exist_ok=True)
    os.rename(f"images/{stem}.jpg", f"channels/{part}/{stem}.jpg")
    target = f"channels/{part}_annotation/{stem}.png"
    if len(sys.argv) > 1:
        import numpy as np
        from PIL import Image
        colors = line["job-ref-metadata"]["internal-color-map"]
        pixels = np.array(Image.open(mask).convert("RGB"))
        indices = np.zeros(pixels.shape[:2], dtype=np.uint8)
        for key, entry in colors.items():
            rgb = [int(entry["hex-color"][i : i + 2], 16) for i in (1, 3, 5)]
            indices[(pixels == rgb).all(-1)] = int(key)
        Image.fromarray(indices).save(target)
    else:
        os.rename(mask, target)
"""


@dataclass(frozen=True)
class Measured:
    wall: float
    cpu: float
    peak: float
    requests: int
    megabytes: float


def script_of(way: str, *, rgba: bool, source: str) -> str:
    """The shell script of one way, run in an empty folder."""
    rename = f"{sys.executable} rename.py {'recode' if rgba else ''}"
    if way == "aws":
        down = (
            "aws s3 cp --quiet --recursive s3://bench/images/ images/\naws s3 cp --quiet --recursive "
            "s3://bench/labeling/job/ out/"
        )
        up = "\n".join(f"aws s3 cp --quiet --recursive channels/{p}/ s3://bench/out/blog/{p}/" for p in PARTS)
        return f"{down}\n{rename}\n{up}"
    if way == "s5cmd":
        down = (
            "s5cmd --log error cp 's3://bench/images/*' images/\ns5cmd --log error cp 's3://bench/labeling/job/*' out/"
        )
        up = "\n".join(f"s5cmd --log error cp channels/{p}/ s3://bench/out/blog/{p}/" for p in PARTS)
        return f"{down}\n{rename}\n{up}"
    check = "--check palette " if way == "palette" else ""
    return f"exec {sys.executable} -m gtseg dataset {check}--settings gtseg.toml --manifest {source} 2>log"


def measure(way: str, url: str, environment: dict[str, str], *, rgba: bool, keep: bool = False) -> Measured:
    """One run in a fresh folder against a server whose output is cleared first, unless `keep`."""
    folder = Path(tempfile.mkdtemp(prefix="gtseg-benchmark-"))
    (folder / "rename.py").write_text(RENAME)
    (folder / "gtseg.toml").write_text(
        '[project]\nname = "made"\nbucket = "bench"\nprefix = "out/"\nregion = "us-east-1"\n'
    )
    source = MANIFEST.replace("/job/", "/copy/") if way == "unknown" else MANIFEST
    is_stub = clear(url, environment, keep=keep)
    begun = time.perf_counter()
    process = subprocess.Popen(["bash", "-ec", script_of(way, rgba=rgba, source=source)], cwd=folder, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begun
    if status:
        log = folder / "log"
        raise SystemExit(f"{way} failed: {log.read_text()[-2000:] if log.exists() else status}")
    counted = (
        json.loads(urllib.request.urlopen(f"{url}/_stub/counters").read()) if is_stub else {"requests": 0, "bytes": 0}
    )
    shutil.rmtree(folder)
    cpu = usage.ru_utime + usage.ru_stime
    return Measured(wall, cpu, usage.ru_maxrss / 1024, counted["requests"], counted["bytes"] / 1e6)


def clear(url: str, environment: dict[str, str], *, keep: bool) -> bool:
    """Forget earlier output and counters; whether the server is the stub."""
    try:
        path = "count" if keep else "reset"
        urllib.request.urlopen(f"{url}/_stub/{path}", data=b"").read()
        return True
    except OSError:
        if not keep:
            remove = ["aws", "s3", "rm", "--quiet", "--recursive", "s3://bench/out/"]
            subprocess.run(remove, env=environment, check=True)
        return False


def start_stub(objects: int, *, rgba: bool, size: list[int] | None = None) -> tuple[subprocess.Popen[str], str]:
    command = [
        sys.executable,
        str(HERE / "s3_stub.py"),
        "--objects",
        str(objects),
        *(["--rgba"] if rgba else []),
        *(["--size", *map(str, size)] if size else []),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    return process, process.stdout.readline().strip()


def start_embedded(objects: int, folder: Path, *, rgba: bool) -> tuple[subprocess.Popen[str], str, dict[str, str]]:
    """The embedded AWS, filled with what the stub holds."""
    command = [sys.executable, "-m", "gtseg.local.server", "--data", str(folder), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    url = process.stdout.readline().strip()
    keys = json.loads((folder / "credentials.json").read_text())
    environment = settings(url, keys["access_key"], keys["secret_key"])
    os.environ.update(environment)
    sys.path.insert(0, str(HERE))
    from s3_stub import Shelf, fill

    from gtseg.aws.clients import Clients
    from gtseg.aws.s3 import S3, Bulk, work_through

    shelf, clients = Shelf(), Clients()
    fill(shelf, objects, rgba=rgba)
    S3(clients).ensure_bucket("bench")
    with Bulk(clients) as bulk:
        items = [(f"s3://{key}", body) for key, (body, _) in shelf.objects.items()]
        for _ in work_through(items, lambda item: bulk.put(item[0], item[1], content_type="image/jpeg"), threads=16):
            pass
    return process, url, environment


def settings(url: str, access_key: str = "AKIDEXAMPLE", secret_key: str = "secret") -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    own = {
        "AWS_ENDPOINT_URL": url,
        "S3_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": secret_key,
    }
    paths = {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "PYTHONPATH": str(HERE.parent),
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    quiet = {
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    return kept | own | paths | quiet


def compare(
    url: str, environment: dict[str, str], *, ways: list[str], rounds: int, rgba: bool
) -> dict[str, list[Measured]]:
    results: dict[str, list[Measured]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            results[way].append(measure(way, url, environment, rgba=rgba))
            if way == "gtseg":
                again = measure(way, url, environment, rgba=rgba, keep=True)
                results.setdefault("again", []).append(again)
            print(f"  {way} {results[way][-1].wall:.1f} s", file=sys.stderr, flush=True)
    return results


def show(title: str, results: dict[str, list[Measured]]) -> None:
    medians = {
        way: [statistics.median(getattr(m, f) for m in runs) for f in Measured.__annotations__]
        for way, runs in results.items()
    }
    print(
        f"\n{title}, load {os.getloadavg()[0]:.0f}\n{'way':8} {'wall s':>8} {'faster':>7} {'CPU s':>7} {'less':>6} "
        f"{'peak MB':>8} {'requests':>9} {'MB':>8} {'less':>6}"
    )
    base = medians.get("aws", next(iter(medians.values())))
    for way, (wall, cpu, peak, requests, megabytes) in medians.items():
        fewer = base[4] / megabytes if megabytes else 0
        print(
            f"{way:8} {wall:8.2f} {base[0] / wall:6.1f}x {cpu:7.2f} {base[1] / cpu:5.1f}x "
            f"{peak:8.0f} {requests:9.0f} {megabytes:8.1f} {fewer:5.1f}x"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, nargs="+", default=[300, 3000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--ways",
        nargs="+",
        choices=["aws", "s5cmd", "gtseg", "palette", "unknown"],
        default=["aws", "s5cmd", "gtseg"],
    )
    parser.add_argument("--target", nargs="+", choices=["stub", "embedded"], default=["stub", "embedded"])
    parser.add_argument("--size", type=int, nargs=2, default=[1024, 768], help="of the stub's images")
    parser.add_argument("--rgba", action="store_true", help="masks are RGBA; the others recode them naively")
    options = parser.parse_args()
    chosen = {"ways": options.ways, "rounds": options.rounds, "rgba": options.rgba}
    for target in options.target:
        for objects in options.objects:
            folder = Path(tempfile.mkdtemp(prefix="gtseg-benchmark-"))
            if target == "stub":
                process, url = start_stub(objects, rgba=options.rgba, size=options.size)
                environment = settings(url)
            else:
                process, url, environment = start_embedded(objects, folder / "aws", rgba=options.rgba)
            try:
                show(f"{objects} objects, {target}", compare(url, environment, **chosen))
            finally:
                process.terminate()
                process.wait()
                shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
