"""Train the auto-segment network: scripts/train_autosegment.py --out weights.npz [--photos FOLDER [--no-objects]] [--seconds CPU_S] [--start weights.npz]

FOLDER holds images/*.jpg, polygons/*.txt (one object per line: class x y x y ..., 0..1) and dataset.json with splits.train: only those are read.
--no-objects uses the photographs for surfaces alone: windows that no outline comes near. Everything else is drawn by autosegment_scenes.py."""

from __future__ import annotations

import argparse
import copy
import json
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from gtseg.local.labeling.autosegment.crop import Points, cut, features, window_of
from gtseg.local.labeling.autosegment.network import PointNet, load_weights, save_weights
from scripts import autosegment_scenes as scenes


@dataclass(frozen=True)
class Sample:
    image: NDArray[np.uint8]  # (H, W, 3), H and W about 256
    mask: NDArray[np.uint8]  # (H, W) 0/1


# ---- photographs ---------------------------------------------------------------------------------------------------


def read_outlines(path: Path, shape: tuple[int, int]) -> list[NDArray[np.int32]]:
    """YOLO-seg lines -> (N, 2) pixel outlines."""
    rows = [
        np.array(line.split()[1:], float).reshape(-1, 2)
        for line in path.read_text().splitlines()
        if line.strip()
    ]
    return [np.round(row * (shape[1], shape[0])).astype(np.int32) for row in rows if len(row) >= 3]


def read_photographs(folder: Path) -> list[tuple[NDArray[np.uint8], list[NDArray[np.int32]]]]:
    names = json.loads((folder / "dataset.json").read_text())["splits"]["train"]
    found = []
    for name in names:
        image = cv2.imread(str(folder / "images" / f"{name}.jpg"))[..., ::-1]
        found.append((image, read_outlines(folder / "polygons" / f"{name}.txt", image.shape[:2])))
    return found


def object_sample(image: NDArray[np.uint8], outline: NDArray[np.int32]) -> Sample | None:
    """One object with generous surroundings, its longer side at most 190 pixels."""
    mask = np.zeros(image.shape[:2], np.uint8)
    cv2.fillPoly(mask, [outline], 1)
    ys, xs = np.nonzero(mask)
    if len(xs) < 150:
        return None
    side = max(np.ptp(xs), np.ptp(ys)) + 1
    pad = int(side * 0.5)
    x0, x1, y0, y1 = max(0, xs.min() - pad), xs.max() + pad, max(0, ys.min() - pad), ys.max() + pad
    factor = min(1.0, 190 / side)
    part, inner = image[y0:y1, x0:x1], mask[y0:y1, x0:x1]
    if factor < 1:
        part = cv2.resize(part, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        inner = cv2.resize(inner, (part.shape[1], part.shape[0]), interpolation=cv2.INTER_NEAREST)
    return Sample(np.ascontiguousarray(part), inner)


def surfaces(
    image: NDArray[np.uint8], outlines: list[NDArray[np.int32]], rng: np.random.Generator
) -> list[NDArray[np.uint8]]:
    """Windows of the photograph that stay clear of every outline, brought to 256 x 256."""
    taken = np.zeros(image.shape[:2], np.uint8)
    for outline in outlines:
        cv2.fillPoly(taken, [outline], 1)
    taken = cv2.dilate(taken, np.ones((25, 25), np.uint8))
    found = []
    for _ in range(40):
        side = int(rng.integers(90, 400))
        x, y = (int(rng.integers(0, max(1, length - side))) for length in (image.shape[1], image.shape[0]))
        if not taken[y : y + side, x : x + side].any() and len(found) < 4:
            found.append(
                cv2.resize(image[y : y + side, x : x + side], (256, 256), interpolation=cv2.INTER_AREA)
            )
    return found


# ---- one training example ------------------------------------------------------------------------------------------


def extreme_points(mask: NDArray[np.uint8], rng: np.random.Generator | None = None) -> Points:
    """(4, 2) top, right, bottom, left pixel of a 0/1 mask; with `rng` any of the pixels that share the extreme."""
    ys, xs = np.nonzero(mask)
    found = []
    for values in (ys == ys.min(), xs == xs.max(), ys == ys.max(), xs == xs.min()):
        at = np.flatnonzero(values)
        chosen = at[len(at) // 2] if rng is None else rng.choice(at)
        found.append((xs[chosen], ys[chosen]))
    return np.array(found, np.float32)


def recolour(image: NDArray[np.uint8], rng: np.random.Generator, *, wild: bool) -> NDArray[np.uint8]:
    pixels = image.astype(np.float32)
    if wild:
        if rng.random() < 0.25:
            pixels = pixels[..., rng.permutation(3)]
        if rng.random() < 0.12:
            pixels = np.repeat(pixels.mean(-1, keepdims=True), 3, -1)
        if rng.random() < 0.08:
            pixels = 255 - pixels
    pixels = (pixels - 127) * rng.uniform(0.65, 1.35) + 127 + rng.uniform(-35, 35)
    return np.clip(pixels * rng.uniform(0.85, 1.15, 3), 0, 255).astype(np.uint8)


def turn_and_scale(sample: Sample, rng: np.random.Generator) -> Sample:
    height, width = sample.mask.shape
    scale = rng.uniform(0.5, 1.15)
    m = cv2.getRotationMatrix2D((width / 2, height / 2), float(rng.normal(0, 14)), scale)
    m[0, :2] *= rng.uniform(0.85, 1.18)
    m[:, 2] += np.array([width, height]) * (scale - 1) / 2
    if rng.random() < 0.5:
        m[0] = -m[0]
        m[0, 2] += width * scale
    size = (max(16, int(width * scale)), max(16, int(height * scale)))
    image = cv2.warpAffine(sample.image, m, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    mask = cv2.warpAffine(sample.mask, m, size, flags=cv2.INTER_NEAREST)
    return Sample(image, mask)


def some_clicks(mask: NDArray[np.uint8], rng: np.random.Generator) -> tuple[Points, Points]:
    """A few (N, 2) clicks inside and outside a window's mask; most examples have none."""
    none = np.zeros((0, 2), np.float32)
    if rng.random() < 0.7:
        return none, none
    sides = []
    for value in (1, 0):
        ys, xs = np.nonzero(mask == value)
        count = min(int(rng.integers(0, 4)), len(xs))
        at = rng.choice(len(xs), count, replace=False) if count else np.zeros(0, int)
        sides.append(np.stack([xs[at], ys[at]], 1).astype(np.float32))
    return sides[0], sides[1]


def example(
    sample: Sample, rng: np.random.Generator, *, size: int, wild: bool
) -> tuple[NDArray, NDArray] | None:
    """-> (8, size, size) features and the (size, size) mask, or None where the object was lost."""
    turned = turn_and_scale(sample, rng)
    if turned.mask.sum() < 60:
        return None
    image = recolour(turned.image, rng, wild=wild)
    true = extreme_points(turned.mask, rng)
    spread = rng.choice([0.0, 0.01, 0.03]) * max(np.ptp(true[:, 0]), np.ptp(true[:, 1]))
    points = (true + rng.normal(0, spread + 0.3, (4, 2))).astype(np.float32)
    window = window_of(points, size, margin=float(rng.uniform(0.16, 0.28)))
    photo = cut(image, window)
    mask = (cv2.warpAffine(turned.mask.astype(np.float32), window.matrix(), (size, size)) > 0.5).astype(
        np.uint8
    )
    inside, outside = some_clicks(mask, rng)
    return features(photo, window.inward(points), inside=inside, outside=outside), mask


# ---- training ------------------------------------------------------------------------------------------------------


def loss_of(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Cross entropy + soft IoU, each (N, 1, S, S)."""
    probability = torch.sigmoid(logits)
    both = (probability * target).sum((1, 2, 3))
    either = (probability + target - probability * target).sum((1, 2, 3))
    return F.binary_cross_entropy_with_logits(logits, target) + (1 - (both + 1) / (either + 1)).mean()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--no-objects", action="store_true")
    parser.add_argument(
        "--drawn", type=float, default=0.25, help="share of drawn scenes beside photographs' objects"
    )
    parser.add_argument("--seconds", type=float, default=1200, help="CPU seconds")
    parser.add_argument("--start", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seen", required=True, help="what to say about what these weights have seen")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)

    photographs = read_photographs(args.photos) if args.photos else []
    objects = (
        []
        if args.no_objects
        else [s for image, outs in photographs for o in outs if (s := object_sample(image, o))]
    )
    textures = [scenes.draw_texture(rng) for _ in range(200)] + [
        w for image, outs in photographs for w in surfaces(image, outs, rng)
    ]
    drawn = [Sample(*scenes.draw_scene(rng, textures)) for _ in range(40)]
    print(f"{len(objects)} objects, {len(textures)} surfaces", flush=True)

    net = load_weights(args.start)[0] if args.start else PointNet()
    net = net.to(memory_format=torch.channels_last).train()
    steady = copy.deepcopy(net).eval()
    groups = [
        {"params": [p for p in net.parameters() if p.ndim > 1], "weight_decay": 0.03},
        {"params": [p for p in net.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=2e-3)
    begun, step, seen, running = time.process_time(), 0, 0, 0.0

    while (done := (time.process_time() - begun) / args.seconds) < 1:
        size = 112 if done < 0.5 else 160  # the coarse half costs half
        batch = []
        while len(batch) < 16:
            if objects and rng.random() > args.drawn:
                made = example(objects[rng.integers(len(objects))], rng, size=size, wild=True)
            else:
                if (
                    rng.random() < 0.35
                ):  # a fresh scene now and then; each is used about three times, warped anew
                    drawn[rng.integers(len(drawn))] = Sample(*scenes.draw_scene(rng, textures))
                made = example(drawn[rng.integers(len(drawn))], rng, size=size, wild=True)
            if made:
                batch.append(made)
        x = torch.from_numpy(np.stack([b[0] for b in batch])).to(memory_format=torch.channels_last)
        y = torch.from_numpy(np.stack([b[1] for b in batch])[:, None].astype(np.float32))
        rate = 2e-3 * min(1, (step + 1) / 60) * (0.5 + 0.5 * math.cos(math.pi * done)) + 1e-6
        for group in optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast("cpu", torch.bfloat16):
            logits = net(x)
        loss = loss_of(logits.float(), y)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()
        with torch.no_grad():
            keep = min(0.99, (step + 1) / (step + 10))
            for slow, fast in zip(steady.state_dict().values(), net.state_dict().values(), strict=True):
                slow.copy_(slow * keep + fast * (1 - keep)) if slow.is_floating_point() else slow.copy_(fast)
        step, seen = step + 1, seen + len(batch)
        running = 0.98 * running + 0.02 * loss.item() if step > 1 else loss.item()
        if step % 50 == 0:
            print(f"{done:.0%} step {step} examples {seen} loss {running:.3f}", flush=True)
        if step % 200 == 0:
            save_weights(steady, args.out, seen=args.seen)
    save_weights(steady, args.out, seen=args.seen)


if __name__ == "__main__":
    main()
