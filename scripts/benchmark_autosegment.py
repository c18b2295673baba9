"""scripts/benchmark autosegment --photos FOLDER...: mean IoU of masks from four extreme points, CPU time per object.

FOLDER holds images/, dataset.json (splits) and polygons/*.txt (one object per line: class x y x y ..., 0..1), or
masks/*.png where every connected part of class --classes is an object. Points: the outline's own extremes, then each
moved by 3 and by 6 pixels in a random direction. Then up to three corrective clicks are simulated, each in the middle
of the largest error that is left, from points that are 3 pixels off. --call times the parts of one auto-segment call on
a 1-megapixel image instead."""

from __future__ import annotations

import argparse
import io
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from gtseg.local.labeling.autosegment import Predictor, crop, grabcut, weights_paths
from gtseg.local.labeling.autosegment.crop import Points
from gtseg.local.labeling.autosegment.mask_crop import extract_mask
from gtseg.local.labeling.autosegment.prompts import NONE, Start
from gtseg.local.labeling.portal.outlines import decode_stored

OFF = (0, 3, 6)  # pixels
CLICKS = 3


@dataclass(frozen=True)
class Object:
    image: NDArray[np.uint8]  # (H, W, 3)
    mask: NDArray[np.bool_]  # (H, W)


@dataclass(frozen=True)
class Question:
    image: NDArray[np.uint8]
    points: Points
    inside: Points = field(default_factory=lambda: NONE)
    outside: Points = field(default_factory=lambda: NONE)


Method = Callable[[Question], NDArray[np.bool_]]


# ---- objects -------------------------------------------------------------------------------------------------------


def read_objects(
    folder: Path, split: str, classes: list[int], least: int
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.bool_]]]:
    """(image, mask) of every object at least `least` pixels across."""
    for name in json.loads((folder / "dataset.json").read_text())["splits"][split]:
        image = cv2.imread(str(next((folder / "images").glob(f"{name}.*"))))[..., ::-1]
        for mask in (
            outlines(folder, name, image.shape[:2]) if (folder / "polygons").exists() else parts(folder, name, classes)
        ):
            ys, xs = np.nonzero(mask)
            if len(xs) and min(np.ptp(xs), np.ptp(ys)) + 1 >= least:
                yield image, mask


def outlines(folder: Path, name: str, shape: tuple[int, int]) -> Iterator[NDArray[np.bool_]]:
    for line in (folder / "polygons" / f"{name}.txt").read_text().splitlines():
        points = np.array(line.split()[1:], float).reshape(-1, 2) * (shape[1], shape[0])
        mask = np.zeros(shape, np.uint8)
        if len(points) > 2:
            cv2.fillPoly(mask, [np.round(points).astype(np.int32)], 1)
        yield mask > 0


def parts(folder: Path, name: str, classes: list[int]) -> Iterator[NDArray[np.bool_]]:
    stored = cv2.imread(str(folder / "masks" / f"{name}.png"), cv2.IMREAD_UNCHANGED)
    for value in classes:
        count, labels = cv2.connectedComponents((stored == value).astype(np.uint8))
        for part in range(1, count):
            yield labels == part


def extreme_points(mask: NDArray[np.bool_]) -> Points:
    ys, xs = np.nonzero(mask)
    chosen = [np.flatnonzero(v) for v in (ys == ys.min(), xs == xs.max(), ys == ys.max(), xs == xs.min())]
    return np.array([(xs[at[len(at) // 2]], ys[at[len(at) // 2]]) for at in chosen], np.float32)


def points_off(thing: Object, off: float, rng: np.random.Generator) -> Points:
    """The extreme points, each moved by `off` pixels in a random direction, kept on the image."""
    angle = rng.uniform(0, 2 * np.pi, 4)
    points = extreme_points(thing.mask) + off * np.stack([np.cos(angle), np.sin(angle)], 1)
    height, width = thing.mask.shape
    return np.clip(points, 0, (width - 1, height - 1)).astype(np.float32)


# ---- methods -------------------------------------------------------------------------------------------------------


def grabcut_alone(question: Question) -> NDArray[np.bool_]:
    """GrabCut alone, at its best size and number of rounds: no weights, no box, no removal of specks."""
    window = crop.window_of(question.points, grabcut.SIZE)
    found = grabcut.segment_without_weights(
        crop.cut(question.image, window),
        window.inward(question.points),
        inside=window.inward(question.inside),
        outside=window.inward(question.outside),
    )
    left, top, values = crop.paste(window, found.astype(np.float32), question.image.shape[:2])
    mask = np.zeros(question.image.shape[:2], bool)
    mask[top : top + values.shape[0], left : left + values.shape[1]] = values > 0.5
    return mask


def method_of(predictor: Predictor) -> Method:
    def segment(question: Question) -> NDArray[np.bool_]:
        q = question
        start = Start("points", q.points)
        found = predictor.segment(q.image, start, inside=q.inside, outside=q.outside, key=id(q.image))
        return found.full_mask(q.image.shape[:2])

    return segment


# ---- measures ------------------------------------------------------------------------------------------------------


def overlap(found: NDArray[np.bool_], mask: NDArray[np.bool_]) -> float:
    return float((found & mask).sum() / max(1, (found | mask).sum()))


def measure(objects: list[Object], method: Method, *, off: float) -> tuple[list[float], float]:
    """-> IoU of each object, CPU seconds (of all threads) per object."""
    rng = np.random.default_rng(0)
    scores, spent = [], 0.0
    for thing in objects:
        question = Question(thing.image, points_off(thing, off, rng))
        begun = time.process_time()
        found = method(question)
        spent += time.process_time() - begun
        scores.append(overlap(found, thing.mask))
    return scores, spent / max(1, len(scores))


def worst_place(found: NDArray[np.bool_], mask: NDArray[np.bool_]) -> tuple[float, float, bool]:
    """x, y of the middle of the largest error, and whether object is missing there: where a person would click."""
    depths = [
        cv2.distanceTransform(np.pad(wrong, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
        for wrong in (mask & ~found, found & ~mask)
    ]
    missing = depths[0].max() >= depths[1].max()
    y, x = np.unravel_index(int(depths[0 if missing else 1].argmax()), mask.shape)
    return float(x), float(y), bool(missing)


def click_on(question: Question, found: NDArray[np.bool_], mask: NDArray[np.bool_]) -> Question:
    x, y, missing = worst_place(found, mask)
    click = np.array([[x, y]], np.float32)
    inside = np.concatenate([question.inside, click]) if missing else question.inside
    outside = question.outside if missing else np.concatenate([question.outside, click])
    return Question(question.image, question.points, inside, outside)


def measure_clicks(objects: list[Object], method: Method) -> NDArray[np.float64]:
    """(objects, 1 + CLICKS) IoU after no click, one, two, three."""
    rng = np.random.default_rng(0)
    rows = []
    for thing in objects:
        question = Question(thing.image, points_off(thing, 3, rng))
        found = method(question)
        row = [overlap(found, thing.mask)]
        for _ in range(CLICKS):
            question = click_on(question, found, thing.mask)
            found = method(question)
            row.append(overlap(found, thing.mask))
        rows.append(row)
    return np.array(rows)


def other_start(kind: str, thing: Object) -> Start:
    """A box around the object, or a click in its middle."""
    points = extreme_points(thing.mask)
    if kind == "box":
        return Start("box", np.stack([points.min(0), points.max(0)]))
    x, y, _ = worst_place(np.zeros_like(thing.mask), thing.mask)
    return Start("click", np.array([[x, y]], np.float32))


def report_starts(objects: list[Object], predictor: Predictor) -> None:
    for kind in ("box", "click"):
        begun, scores = time.process_time(), []
        for thing in objects:
            found = predictor.segment(thing.image, other_start(kind, thing)).full_mask(thing.mask.shape)
            scores.append(overlap(found, thing.mask))
        spent = (time.process_time() - begun) / len(objects)
        print(f"{kind}: {np.mean(scores):.3f}  {spent:.3f} CPU s   {predictor.trained_on}", flush=True)


def report(objects: list[Object], methods: dict[str, Method], *, clicks: bool) -> None:
    for name, method in methods.items():
        figures = [measure(objects, method, off=off) for off in OFF]
        line = "  ".join(f"off by {off}: {np.mean(scores):.3f}" for off, (scores, _) in zip(OFF, figures, strict=True))
        print(f"{line}  {np.mean([spent for _, spent in figures]):.3f} CPU s   {name}", flush=True)
        if clicks:
            rows = measure_clicks(objects, method)
            fell = (np.diff(rows, axis=1) < -0.01).mean(0)
            line = "  ".join(f"{n} clicks: {score:.3f}" for n, score in enumerate(rows.mean(0)))
            print(f"{line}  worse by more than 0.01 after a click: {fell.mean():.1%} of the clicks", flush=True)


# ---- the time of one call ------------------------------------------------------------------------------------------


def milliseconds(work: Callable[[], object], rounds: int = 10) -> str:
    work()
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(rounds):
        work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return f"{1000 * cpu / rounds:7.1f} ms CPU {1000 * wall / rounds:7.1f} ms wall"


def time_parts(thing: Object, predictor: Predictor) -> None:
    """What one call spends its time on: an object that fills most of a 1,024 x 1,024 image."""
    image = np.asarray(cv2.resize(thing.image, (1024, 1024)), np.uint8)
    points = extreme_points(np.asarray(cv2.resize(thing.mask.astype(np.uint8), (1024, 1024))) > 0)
    packed = io.BytesIO()
    Image.fromarray(image).save(packed, "JPEG")
    window = crop.window_of(points, predictor.size)
    extreme = window.inward(points)
    start = Start("points", points)
    state = predictor.find_state(image, start, key=None)
    probability = predictor.predict_corrected(state, inside=NONE, outside=NONE)
    found = predictor.segment(image, start)
    click = points.mean(0, keepdims=True)
    steps: dict[str, Callable[[], object]] = {
        "decode the image (once per task)": lambda: decode_stored(packed.getvalue()),
        "cut the window": lambda: crop.cut_balanced(image, window),
        "window, prompts, the frozen part": lambda: predictor.find_state(image, start, key=None),
        "the networks, two looks": lambda: predictor.predict_first(state),
        "the networks with a click": lambda: predictor.predict_corrected(
            state, inside=window.inward(click), outside=NONE
        ),
        "a further click on the same object": lambda: predictor.segment(image, start, inside=click, key=1),
        "mask in the image's pixels": lambda: extract_mask(
            probability, window, image.shape[:2], limits=extreme, inside=NONE
        ),
        "rows and JSON": lambda: json.dumps({"rows": found.rows()}),
        "all but the decoding": lambda: json.dumps({"rows": predictor.segment(image, start).rows()}),
    }
    for name, work in steps.items():
        print(f"{milliseconds(work)}   {name}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, nargs="+", required=True)
    parser.add_argument("--split", default="validation")
    parser.add_argument("--classes", type=int, nargs="+", default=[1])
    parser.add_argument("--least", type=int, default=16, help="pixels across, of the smaller side")
    parser.add_argument("--most", type=int, default=400, help="objects of a folder")
    parser.add_argument(
        "--weights",
        type=Path,
        nargs="+",
        action="append",
        help="files used together; give it again to compare",
    )
    parser.add_argument("--no-grabcut", action="store_true")
    parser.add_argument("--no-clicks", action="store_true")
    parser.add_argument("--call", action="store_true", help="time the parts of one call")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    cv2.setNumThreads(1)
    predictors = [Predictor(*paths) for paths in args.weights or [weights_paths()]]
    methods: dict[str, Method] = {} if args.no_grabcut else {"GrabCut alone, no weights": grabcut_alone}
    for predictor in predictors:
        methods[f"weights that have seen {predictor.trained_on}"] = method_of(predictor)
    for folder in args.photos:
        objects = [Object(*found) for found in read_objects(folder, args.split, args.classes, args.least)]
        if len(objects) > args.most:
            objects = [objects[i] for i in np.random.default_rng(0).permutation(len(objects))[: args.most]]
        if not objects:
            raise SystemExit(f"no object of {args.least} pixels or more in {folder} ({args.split})")
        print(f"{len(objects)} objects of {folder.name}, {args.split}", flush=True)
        for predictor in predictors:
            predictor.segment(
                objects[0].image, Start("points", extreme_points(objects[0].mask))
            )  # the first run is slower
        if args.call:
            time_parts(max(objects, key=lambda thing: int(thing.mask.sum())), predictors[0])
        else:
            report(objects, methods, clicks=not args.no_clicks)
            for predictor in predictors:
                report_starts(objects, predictor)


if __name__ == "__main__":
    main()
