"""scripts/benchmark autosegment --photos FOLDER: mean IoU of masks found from four extreme points, and the CPU time per object.

FOLDER holds images/*.jpg, dataset.json (splits) and polygons/*.txt (one object per line: class x y x y ..., 0..1), or masks/*.png where every
connected part of class --classes is an object. Points: the outline's own extremes, then each moved by 3 and by 6 pixels in a random direction."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from gtseg.local.labeling.autosegment import Finder, weights_path
from gtseg.local.labeling.autosegment.crop import Points, cut, paste, window_of
from gtseg.local.labeling.autosegment.grabcut import SIZE, segment_without_weights

NONE = np.zeros((0, 2), np.float32)
Method = Callable[[NDArray[np.uint8], Points], NDArray[np.bool_]]


def read_objects(
    folder: Path, split: str, classes: list[int], least: int
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.bool_]]]:
    """(image, mask) of every object at least `least` pixels across."""
    for name in json.loads((folder / "dataset.json").read_text())["splits"][split]:
        image = cv2.imread(str(folder / "images" / f"{name}.jpg"))[..., ::-1]
        for mask in (
            outlines(folder, name, image.shape[:2])
            if (folder / "polygons").exists()
            else parts(folder, name, classes)
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


def grabcut_alone(image: NDArray[np.uint8], points: Points) -> NDArray[np.bool_]:
    window = window_of(points, SIZE)
    found = segment_without_weights(cut(image, window), window.inward(points), inside=NONE, outside=NONE)
    left, top, values = paste(window, found.astype(np.float32), image.shape[:2])
    mask = np.zeros(image.shape[:2], bool)
    mask[top : top + values.shape[0], left : left + values.shape[1]] = values > 0.5
    return mask


def measure(
    objects: list[tuple[NDArray[np.uint8], NDArray[np.bool_]]], method: Method, *, off: float
) -> tuple[float, float]:
    """-> mean IoU, CPU seconds per object."""
    rng = np.random.default_rng(0)
    scores, begun = [], time.process_time()
    spent = 0.0
    for image, mask in objects:
        angle = rng.uniform(0, 2 * np.pi, 4)
        points = extreme_points(mask) + off * np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)
        points = np.clip(points, 0, (image.shape[1] - 1, image.shape[0] - 1)).astype(np.float32)
        begun = time.process_time()
        found = method(image, points)
        spent += time.process_time() - begun
        scores.append((found & mask).sum() / max(1, (found | mask).sum()))
    return float(np.mean(scores)), spent / max(1, len(scores))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--split", default="validation")
    parser.add_argument("--classes", type=int, nargs="+", default=[1])
    parser.add_argument("--least", type=int, default=16, help="pixels across, of the smaller side")
    parser.add_argument("--most", type=int, default=400, help="objects")
    parser.add_argument("--weights", type=Path, nargs="*", default=[weights_path()])
    parser.add_argument("--no-grabcut", action="store_true")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    objects = list(read_objects(args.photos, args.split, args.classes, args.least))
    if len(objects) > args.most:
        objects = [objects[i] for i in np.random.default_rng(0).permutation(len(objects))[: args.most]]
    if not objects:
        raise SystemExit(f"no object of {args.least} pixels or more in {args.photos} ({args.split})")
    print(f"{len(objects)} objects of {args.photos.name}, {args.split}")
    methods: dict[str, Method] = {} if args.no_grabcut else {"GrabCut alone, no weights": grabcut_alone}
    for path in args.weights:
        finder = Finder(path)
        finder.find(objects[0][0], extreme_points(objects[0][1]))
        methods[f"{path.name}: {finder.seen}"] = lambda image, points, finder=finder: finder.find(
            image, points
        ).whole(image.shape[:2])
    for name, method in methods.items():
        figures = [measure(objects, method, off=off) for off in (0, 3, 6)]
        scores = "  ".join(
            f"off by {off}: {score:.3f}" for off, (score, _) in zip((0, 3, 6), figures, strict=True)
        )
        print(f"{scores}  {np.mean([spent for _, spent in figures]):.3f} CPU s   {name}")


if __name__ == "__main__":
    main()
