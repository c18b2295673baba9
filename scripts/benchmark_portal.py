"""scripts/benchmark portal [--only ink|robot|load] [--beside-training] [--cats FOLDER] [--megapixels 12] [--people 20]
[--kills 5]: how quick the page is, how much work it saves, and how many people the server bears.

Robot: labels ten photographs of --cats, ten drawn street scenes and ten drawn images of cells to IoU 0.9
(portal_robot.py), and counts. Ink: a real server, a real Chromium, a drawn photograph; from a pointer event's own time
stamp to the end of the frame that painted it, and from the fourth extreme point to the outline. Load: people (HTTP
clients that do what the page does) label a job with three answers per object while the server is killed with SIGKILL
and started again; then every answer is looked for in S3. First without a pause, then as people work: some seconds of
thought, and auto-segment; then so with the same kills. --beside-training: while a model of `gtseg:assist` is trained,
as it is beside people who label (one thread at the lowest priority)."""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
for folder in ("scripts", "tests/local/labeling", "tests/browser", "tests", "."):
    sys.path.insert(0, str(ROOT / folder))

from labeling_fixture import Labeling  # noqa: E402
from local_aws import LocalAWS  # noqa: E402
from PIL import Image  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402
from portal_helpers import Pointer, begin, encode, enter, make_job  # noqa: E402
from portal_load import check_load, run_load  # noqa: E402
from portal_robot import Robot, Scene, cells, photographs, street  # noqa: E402

from gtseg.local.labeling.assist.rounds import Pair, Round  # noqa: E402

WATCH = """() => {
  const editor = document.querySelector("crowd-semantic-segmentation");
  window.times = [];
  let waiting = [];
  editor.view.stage.addEventListener("pointermove", (event) => waiting.push(event.timeStamp));
  const draw = editor.view.draw.bind(editor.view);
  editor.view.draw = () => {
    draw(); const now = performance.now(); for (const t of waiting) window.times.push(now - t); waiting = [];
  };
}"""


def draw(width: int, height: int) -> bytes:
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (height // 64 + 1, width // 64 + 1, 3), dtype=np.uint8)
    return encode(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC), quality=88)


def measure_ink(args: argparse.Namespace) -> None:
    width = round((args.megapixels * 1e6 * 4 / 3) ** 0.5)
    height = round(width * 3 / 4)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        aws = LocalAWS(Path(folder) / "aws")
        labeling = make_job(aws, {"a.jpg": draw(width, height)}, job="speed")
        browser = driver.chromium.launch(executable_path=args.chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        enter(page, labeling.links["Ada"])
        begin(page)
        pointer = Pointer(page, width, height)
        page.evaluate(WATCH)
        page.keyboard.press("b")
        for i in range(6):
            y = height * (0.1 + 0.13 * i)
            pointer.drag(*[(width * (0.1 + 0.08 * k), y + (k % 2) * height * 0.05) for k in range(10)])
        times = sorted(page.evaluate("window.times"))
        print(
            f"pointer to ink, {width} x {height}: median {statistics.median(times):.0f} ms, 95th percentile "
            f"{times[int(len(times) * 0.95)]:.0f} ms ({len(times)} events)"
        )
        outlines = []
        page.keyboard.press("a")
        page.get_by_role("button", name="Four points").click()
        for i in range(5):
            x, y, r = width * (0.2 + 0.12 * i), height * 0.5, width * 0.05
            for dx, dy in ((0, -r), (0, r), (-r, 0)):
                pointer.click(x + dx, y + dy)
            begun = time.perf_counter()
            pointer.click(x + r, y)
            page.wait_for_function(
                "() => document.querySelector('crowd-semantic-segmentation').tools.auto.object.rows.length"
            )
            outlines.append(time.perf_counter() - begun)
            page.keyboard.press("Enter")
        print(f"fourth point to outline: median {statistics.median(outlines):.2f} s, slowest {max(outlines):.2f} s")
        opened = []
        for _ in range(5):
            page.goto(f"{aws.url}/_portal/")
            begun = time.perf_counter()
            begin(page, instructions=False)
            opened.append(time.perf_counter() - begun)
        print(f"open: median {statistics.median(opened):.2f} s, slowest {max(opened):.2f} s")
        browser.close()
        aws.stop()


@contextmanager
def training(folder: Path) -> Iterator[None]:
    """Meanwhile the server's training process trains a model of suggested masks on drawn scenes."""
    from gtseg.core.images.scenes import draw_scene

    pairs = []
    (folder / "images").mkdir(parents=True)
    for number in range(60):
        scene = draw_scene(number, seed=7)
        path = folder / "images" / f"{number:06}.jpg"
        path.write_bytes(scene.jpeg())
        pairs.append(Pair(number, path, np.asarray(Image.open(io.BytesIO(scene.png())), np.uint8)))
    current = Round(folder / "round-1", 1)
    current.write_channels(pairs, classes=3)
    current.train()
    while not list(current.folder.glob("process-train/pid")) or not current.training.alive():
        time.sleep(0.1)
    time.sleep(8)  # it imports PyTorch and reads the images first
    begun = time.monotonic()
    try:
        yield
        words = "still ran" if current.training.alive() else "ended before"
        print(
            f"  (beside a training that {words} after {time.monotonic() - begun:.0f} s; load {os.getloadavg()[0]:.1f})"
        )
    finally:
        current.end()


def measure_robot(args: argparse.Namespace) -> None:
    """Actions until IoU 0.9, set by set."""
    sets: dict[str, list[Scene]] = {
        "drawn street scenes": [street(n) for n in range(args.scenes)],
        "drawn cells": [cells(n) for n in range(args.scenes)],
    }
    if args.cats:
        names = json.loads((args.cats / "dataset.json").read_text())["splits"]["validation"][: args.scenes]
        sets = {f"photographs of {args.cats.name}": list(photographs(args.cats, names)), **sets}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        aws = LocalAWS(Path(folder) / "aws")
        browser = driver.chromium.launch(executable_path=args.chromium, args=["--no-sandbox"])
        for number, (words, scenes) in enumerate(sets.items()):
            print(f"{words}: {label_all(aws, browser, scenes, job=f'robot-{number}')}", flush=True)
        browser.close()
        aws.stop()


def label_all(aws: LocalAWS, browser: Any, scenes: list[Scene], *, job: str) -> str:
    """Label each scene on a page of its own, as a job of one image."""
    total, reached = 0, 0
    for number, scene in enumerate(scenes):
        picture = {f"{number}.png": encode(Image.fromarray(scene.picture), "PNG")}
        labeling = make_job(aws, picture, job=f"{job}-{number}", labels=("one", "two"))
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        enter(page, labeling.links["Ada"])
        page.goto(f"{aws.url}/_portal/work/{labeling.job}")
        page.locator("[data-ready]").wait_for()
        page.keyboard.press("Escape")  # the instructions
        height, width = scene.truth.shape
        actions, score = Robot(page, Pointer(page, width, height), scene).work()
        print(f"  {scene.name}: {len(scene.objects)} objects, {actions} actions, IoU {score:.3f}", flush=True)
        total, reached = total + actions, reached + (score >= 0.9)
        page.close()
    return f"{total} actions for {len(scenes)} images, {reached} of them at IoU 0.9"


def measure_load(args: argparse.Namespace) -> None:
    """Flat out with kills, then at people's pace."""
    per_object = 3
    for words, objects, kills, think in (
        ("without a pause", args.objects, args.kills, 0.0),
        (f"{args.think:g} s of thought, auto-segment", args.people * 2, 0, args.think),
        (f"{args.think:g} s of thought, auto-segment, kills", args.people * 5, args.kills, args.think),
    ):
        if args.pace and not think:
            continue
        with tempfile.TemporaryDirectory() as folder:
            aws = LocalAWS(Path(folder) / "aws")
            labeling = Labeling(aws)
            for number in range(objects):
                labeling.put(f"images/{number:03}.jpg", draw(640, 480))
            lines = [{"source-ref": f"s3://{labeling.bucket}/images/{number:03}.jpg"} for number in range(objects)]
            job = labeling.create(lines, workers=per_object)
            load = run_load(
                labeling,
                job,
                people=args.people,
                answers=objects * per_object,
                kills=kills,
                think=think,
                outlines=think > 0,
                seconds=900,
            )
            check_load(labeling, job, load, objects=objects, per_object=per_object)
            print(f"{args.people} people, {objects} objects, 640 x 480, {words}: {load.sentence()}")
            print(f"  {load.restart_sentence()}; load of the machine {os.getloadavg()[0]:.1f}")
            print(
                f"  checked in S3: {objects} objects with {per_object} answers of {per_object} people each, "
                f"none lost, none twice"
            )
            aws.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("ink", "robot", "load"))
    parser.add_argument("--beside-training", action="store_true", help="while a model of suggested masks is trained")
    parser.add_argument("--cats", type=Path, help="folder of photographs with polygons/, for the robot")
    parser.add_argument("--scenes", type=int, default=10, help="images of each set, for the robot")
    parser.add_argument("--megapixels", type=float, default=12)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--objects", type=int, default=400)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--pace", action="store_true", help="only at people's pace")
    parser.add_argument("--think", type=float, default=5.0, help="mean seconds per task at people's pace")
    args = parser.parse_args()
    with ExitStack() as stack:
        if args.beside_training:
            stack.enter_context(training(Path(stack.enter_context(tempfile.TemporaryDirectory()))))
        for name, measure in (("ink", measure_ink), ("robot", measure_robot), ("load", measure_load)):
            if args.only in (None, name):
                measure(args)


if __name__ == "__main__":
    main()
