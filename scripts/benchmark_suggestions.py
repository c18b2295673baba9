"""scripts/benchmark suggestions DATA [--photos 20] [--taught 60]: work per photo, with and without suggested masks.

DATA holds images/*.jpg and masks/*.png (0 background, 1 the object, 255 void). A job with `gtseg:assist` learns from
the first answers, then a scripted person labels what is left in a real browser with pointer and keys; then the same
photographs in a job without suggestions. The person knows the true masks: takes suggested objects that overlap true
ones by 0.65, clears the rest, and for every object that is not labeled to an IoU of 0.8 then clicks into the largest
mistake until it is 0.85 or --clicks corrections were made: from the suggested object where it was taken, else from a
first click into the object. Presses of the pointer and of keys are counted, the one that submits too.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
for folder in ("tests/local/labeling", "tests/browser", "tests", "."):
    sys.path.insert(0, str(ROOT / folder))

from labeling_fixture import Api, Labeling, draw_answer  # noqa: E402
from local_aws import LocalAWS  # noqa: E402
from PIL import Image  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402
from portal_helpers import Pointer, enter  # noqa: E402

TAKEN, GOOD, WORTH, SMALLEST = 0.8, 0.85, 0.65, 0.004
MAP = """() => {
  const { data } = document.querySelector("crowd-semantic-segmentation").map; let s = "";
  for (let i = 0; i < data.length; i += 8192) s += String.fromCharCode(...data.subarray(i, i + 8192));
  return btoa(s);
}"""

SETTLED = """() => {
  const { auto } = document.querySelector("crowd-semantic-segmentation").tools;
  return !auto.object?.waiting && !auto.pending.size;
}"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/benchmark suggestions", description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--photos", type=int, default=20)
    parser.add_argument("--taught", type=int, default=60)
    parser.add_argument("--clicks", type=int, default=15, help="corrections of one object at most")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    args = parser.parse_args()
    paths = sorted((args.data / "images").glob("*.jpg"))
    chosen = [paths[i * len(paths) // (args.photos + args.taught)] for i in range(args.photos + args.taught)]
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        aws = LocalAWS(Path(folder) / "aws")
        try:
            browser = driver.chromium.launch(executable_path=args.chromium, args=["--no-sandbox"])
            labeling = Labeling(aws)
            left, suggested = measure_suggested(labeling, browser, chosen, args)
            plain = measure_plain(labeling, browser, left, args)
        finally:
            aws.stop()
    for words, rows in (("with suggestions", suggested), ("without", plain)):
        actions, ious = [row[0] for row in rows], [row[1] for row in rows]
        print(
            f"{words}: {sum(actions)} actions for {len(rows)} photographs, median "
            f"{statistics.median(actions):g}, mean IoU {statistics.fmean(ious):.3f}"
        )
    print(
        f"ratio {sum(row[0] for row in suggested) / sum(row[0] for row in plain):.2f}; "
        f"{sum(row[2] for row in suggested)} of {len(suggested)} opened with a suggestion"
    )


def create(labeling: Labeling, paths: list[Path], tags: list[dict[str, str]]) -> str:
    lines = [{"source-ref": labeling.put(f"images/{path.name}", path.read_bytes())} for path in paths]
    request = {**labeling.request(lines), "Tags": tags}
    labeling.sagemaker.create_labeling_job(**request)
    return str(request["LabelingJobName"])


def measure_suggested(
    labeling: Labeling, browser: Any, paths: list[Path], args: argparse.Namespace
) -> tuple[list[Path], list[tuple[int, float, bool]]]:
    name = create(labeling, paths, [{"Key": "gtseg:assist", "Value": "true"}])
    teacher, done = labeling.hire(), set()
    for _ in range(args.taught):
        task = labeling.lease(teacher, name)
        path = path_of(task, args)
        teacher("POST", f"/tasks/{task['task']}/answer", {"answer": draw_answer(read_mask(path), task["labels"])})
        done.add(path)
    folder = Path(labeling.aws.folder) / "labeling" / labeling.describe(name)["JobReferenceCode"] / "assist"
    begun = time.monotonic()
    while not any(
        json.loads(p.read_text())["objects"] >= args.taught * 2 // 3 for p in folder.glob("round-*/ready.json")
    ):
        time.sleep(1)
    print(f"the model was ready {time.monotonic() - begun:.0f} s after the last answer", file=sys.stderr)
    left = [path for path in paths if path not in done]
    return left, label_all(labeling, browser, name, len(left), args)


def measure_plain(
    labeling: Labeling, browser: Any, paths: list[Path], args: argparse.Namespace
) -> list[tuple[int, float, bool]]:
    name = create(labeling, paths, [])
    return label_all(labeling, browser, name, len(paths), args)


def label_all(
    labeling: Labeling, browser: Any, name: str, count: int, args: argparse.Namespace
) -> list[tuple[int, float, bool]]:
    worker = labeling.hire()
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(120_000)
    enter(page, f"{labeling.aws.url}/_portal/signin#{worker.token}")
    page.goto(f"{labeling.aws.url}/_portal/work/{name}")
    rows = []
    for number in range(count):
        await_image(page)
        task = labeling.lease(worker, name)
        person = Person(page, worker, task, read_mask(path_of(task, args)), clicks=args.clicks)
        rows.append(person.label())
        print(f"{number + 1}: {rows[-1]}", file=sys.stderr)
        before = task["task"]
        page.keyboard.press("Control+Enter")
        if number + 1 < count:
            until = time.monotonic() + 120
            while labeling.lease(worker, name)["task"] == before and time.monotonic() < until:
                time.sleep(0.2)
            page.wait_for_timeout(500)
    page.close()
    return rows


def await_image(page: Any) -> None:
    """Wait for the next image. Between two batches of a job the page says that nothing is left until it is reloaded."""
    ready, again = page.locator("[data-ready]"), page.get_by_role("button", name="Look again")
    until = time.monotonic() + 300
    while not ready.count() and time.monotonic() < until:
        if again.count():
            again.click()
        page.wait_for_timeout(1000)
    ready.wait_for()


def path_of(task: dict[str, Any], args: argparse.Namespace) -> Path:
    return Path(args.data / "images" / task["input"]["taskObject"].rsplit("/", 1)[1])


def read_mask(path: Path) -> np.ndarray:
    mask = np.array(Image.open(path.parent.parent / "masks" / f"{path.stem}.png"))
    return (mask == 1).astype(np.uint8)


class Person:
    """Labels one photograph; counts presses."""

    def __init__(self, page: Any, worker: Api, task: dict[str, Any], truth: np.ndarray, *, clicks: int) -> None:
        self.clicks = clicks
        self.page, self.worker, self.task, self.truth = page, worker, task, truth
        self.pointer = Pointer(page, truth.shape[1], truth.shape[0])
        self.actions = 1  # the one that submits

    def label(self) -> tuple[int, float, bool]:
        objects, suggested = components(self.truth), []
        if self.task["suggested_by"]:
            found = self.worker("GET", f"/tasks/{self.task['task']}/suggestion")[1]["objects"]
            suggested = [fill(item["rows"], self.truth.shape) for item in found]
        kept = self.take(suggested, objects)
        for wanted in objects:
            if iou(self.seen(wanted), wanted) >= TAKEN:
                continue
            base = max(kept, key=lambda mask: np.count_nonzero(mask & wanted), default=None)
            is_base = base is not None and np.count_nonzero(base & wanted) >= 0.5 * np.count_nonzero(wanted)
            self.outline(wanted, base if is_base else None)
        return self.actions, iou(self.drawn(), self.truth > 0), bool(suggested)

    def take(self, suggested: list[np.ndarray], objects: list[np.ndarray]) -> list[np.ndarray]:
        """Accept good suggestions with the fewest presses: clear the others one by one, or accept one by one."""
        kept = [mask for mask in suggested if is_worth_it(mask, objects)]
        rest = [mask for mask in suggested if not any(mask is one for one in kept)]
        if kept and len(rest) + 1 <= len(kept) + bool(rest):
            for mask in rest:
                self.click(*middle(mask), button="right")
            self.press("Shift+Enter")
            return kept
        for mask in kept:
            self.page.mouse.move(*self.pointer.at(*middle(mask)))
            self.press("s")
        if rest:
            self.press("d")
        return kept

    def outline(self, wanted: np.ndarray, base: np.ndarray | None) -> None:
        """Click missing parts and right-click excess, from a suggested object or from a first click."""
        is_open = base is None
        if is_open:
            self.click(*middle(wanted))
        for _ in range(self.clicks):
            self.await_outline()
            drawn = self.seen(wanted)
            if iou(drawn, wanted) >= GOOD:
                break
            wrong = max(components((drawn != wanted).astype(np.uint8), smallest=0), key=np.count_nonzero)
            x, y = middle(wrong)
            is_excess = bool(drawn[int(y), int(x)])
            if base is not None and not is_open and not is_excess and not is_within(base, x, y):
                self.click(*middle(base))  # opens it, so that a click beside it is a correction
            is_open = True
            self.click(x, y, button="right" if is_excess else "left")
        self.await_outline()
        self.press("Enter")

    def seen(self, wanted: np.ndarray) -> np.ndarray:
        """What is drawn on and around an object, without the other objects."""
        near = cv2.dilate(wanted.astype(np.uint8), np.ones((41, 41), np.uint8)) > 0
        return self.drawn() & near & ~((self.truth > 0) & ~wanted)

    def await_outline(self) -> None:
        self.page.wait_for_function(SETTLED)

    def click(self, x: float, y: float, *, button: str = "left") -> None:
        self.actions += 1
        self.page.mouse.click(*self.pointer.at(float(x), float(y)), button=button)

    def press(self, key: str) -> None:
        self.actions += 1
        self.page.keyboard.press(key)

    def drawn(self) -> np.ndarray:
        import base64

        return np.frombuffer(base64.b64decode(self.page.evaluate(MAP)), np.uint8).reshape(self.truth.shape) > 0


def is_worth_it(mask: np.ndarray, objects: list[np.ndarray]) -> bool:
    """Whether a suggested object is near a true one, or near all that it covers together."""
    covered = [one for one in objects if np.count_nonzero(mask & one) >= 0.5 * np.count_nonzero(one)]
    together = [np.logical_or.reduce(covered)] if covered else []
    return max((iou(mask, one) for one in (*objects, *together)), default=0.0) >= WORTH


def is_within(mask: np.ndarray, x: float, y: float) -> bool:
    """Whether a place is in a mask's box, or so near that a click there corrects it (NEAR in suggestion.js)."""
    ys, xs = np.nonzero(mask)
    more = 0.15 * max(np.ptp(xs), np.ptp(ys))
    return bool(xs.min() - more <= x <= xs.max() + more and ys.min() - more <= y <= ys.max() + more)


def components(mask: np.ndarray, *, smallest: float = SMALLEST) -> list[np.ndarray]:
    count, numbers = cv2.connectedComponents(mask.astype(np.uint8))
    found = [numbers == n for n in range(1, count)]
    return [one for one in found if np.count_nonzero(one) >= max(1, smallest * mask.size)]


def fill(rows: list[list[int]], shape: tuple[int, ...]) -> np.ndarray:
    mask = np.zeros(shape, bool)
    for y, *ends in rows:
        for a, b in zip(ends[::2], ends[1::2], strict=True):
            mask[y, a:b] = True
    return mask


def middle(mask: np.ndarray) -> tuple[float, float]:
    """A point well inside."""
    distance = cv2.distanceTransform(np.pad(mask.astype(np.uint8), 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    y, x = np.unravel_index(distance.argmax(), distance.shape)
    return float(x) + 0.5, float(y) + 0.5


def iou(one: np.ndarray, other: np.ndarray) -> float:
    union = np.count_nonzero(one | other)
    return float(np.count_nonzero(one & other) / union) if union else 1.0


if __name__ == "__main__":
    main()
