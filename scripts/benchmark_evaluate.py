"""scripts/benchmark evaluate [--size 1024] [--images 8] [--rounds 5]: pixels per second of the confusion matrix.

Against torchmetrics' default, scikit-learn, `np.bincount`, and copying both masks. Interleaved rounds, medians, one
thread."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")
import numpy as np

from gtseg.core.scores.metrics import confusion_matrix


def blobs(rng: np.random.Generator, size: int, classes: int, *, shift: int = 0) -> np.ndarray:
    """(S, S) uint8 masks like labels: smooth regions, outlines that wander."""
    y, x = np.mgrid[:size, :size].astype(np.float32) / size
    mask = np.zeros((size, size), np.uint8)
    for index in range(1, classes):
        for _ in range(3):
            cy, cx, radius = rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.9), rng.uniform(0.05, 0.2)
            angle = np.arctan2(y - cy, x - cx)
            outline = radius * (1 + 0.2 * np.sin(3 * angle + rng.uniform(0, 6)) + 0.08 * np.sin(11 * angle))
            mask[np.hypot(y - cy, x - cx) < outline] = index
    return np.roll(mask, shift, axis=1)


def pairs(args: argparse.Namespace) -> list[tuple[np.ndarray, np.ndarray]]:
    result = []
    for number in range(args.images):
        seed = np.random.SeedSequence([args.seed, number])
        truth = blobs(np.random.default_rng(seed), args.size, args.classes)
        result.append((truth, blobs(np.random.default_rng(seed), args.size, args.classes, shift=args.size // 100)))
    return result


def ways(args: argparse.Namespace) -> dict[str, Callable[[np.ndarray, np.ndarray], object]]:
    import torch
    from sklearn.metrics import confusion_matrix as sklearn_matrix
    from torchmetrics.functional.classification import multiclass_confusion_matrix

    torch.set_num_threads(1)
    k = args.classes
    return {
        "gtseg": lambda t, p: confusion_matrix(t, p, k),
        "torchmetrics": lambda t, p: multiclass_confusion_matrix(
            torch.from_numpy(p).long(), torch.from_numpy(t).long(), k
        ).numpy(),
        "scikit-learn": lambda t, p: sklearn_matrix(t.ravel(), p.ravel(), labels=range(k)),
        "np.bincount": lambda t, p: np.bincount(t.ravel().astype(np.int64) * k + p.ravel(), minlength=k * k).reshape(
            k, k
        ),
        "memory copy": lambda t, p: (t.copy(), p.copy()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in {"size": 1024, "images": 8, "rounds": 5, "classes": 5, "seed": 0}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--noise", action="store_true", help="random pixels: the worst case for run lengths")
    args = parser.parse_args()
    data, timed = pairs(args), ways(args)
    if args.noise:
        rng = np.random.default_rng(args.seed)
        data = [tuple(rng.integers(0, args.classes, (2, args.size, args.size), dtype=np.uint8)) for _ in data]
    for name in ("torchmetrics", "scikit-learn", "np.bincount"):
        assert all(np.array_equal(timed[name](t, p), timed["gtseg"](t, p)) for t, p in data[:2]), name
    seconds: dict[str, list[float]] = {name: [] for name in timed}
    for _ in range(args.rounds):
        for name, way in timed.items():
            begun = time.process_time()
            for truth, prediction in data:
                way(truth, prediction)
            seconds[name].append(time.process_time() - begun)
    pixels = args.images * args.size**2
    ours = float(np.median(seconds["gtseg"]))
    print(
        f"{args.images} masks of {args.size} x {args.size}, {args.classes} classes, medians of {args.rounds}, CPU time"
    )
    for name, values in seconds.items():
        middle = float(np.median(values))
        print(
            f"{name:>14}  {middle / pixels * 1e9:8.2f} ns/pixel  {pixels / middle / 1e6:9.0f} Mpixel/s  "
            f"{middle / ours:7.1f} x gtseg's time"
        )


if __name__ == "__main__":
    main()
