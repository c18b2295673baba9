"""Train the auto-segment network.

    scripts/train_autosegment.py --out weights.npz --seen WORDS [--photos FOLDER [--no-objects]] [--start weights.npz]

FOLDER holds images/*.jpg, polygons/*.txt (one object per line: class x y x y ..., 0..1) and dataset.json with
splits.train: only those are read. --no-objects uses the photographs for surfaces alone: windows that no outline comes
near. Everything else is drawn by autosegment_scenes.py, from clip art where --cutouts names folders of it. Training
ends by CPU time, so that two runs do not give the same weights to the bit.

The mean of weights that were trained from one another keeps what each has learned:

    scripts/train_autosegment.py --average first.npz second.npz third.npz --out weights.npz --seen WORDS

What ships with the package, each file of 2.8 MB, continues the file of commit 9dde2bd (s below; that commit's script
says how they were trained), with windows of 192 pixels:

    PHOTOS="--photos cats --cutouts fluent-emoji-3d/package openclipart/usr/share/openclipart/png \
        --leave-out $(cat scripts/autosegment_cutouts.txt) --size 192"
    TWO="--rate 1.1e-3 --fall 0.9"
weights_drawn.npz has seen no outline of a photographed object (`$PHOTOS --no-objects --pool 150` in each line):
    --cpu-seconds 3300 --rate 1.2e-3 --fall 0.8 --seed 93 --start s --out n  # 3,500 steps of it, scenes of 4912c65
    $TWO --cpu-seconds 1950 --seed 95 --start n-3500 --out o  # scenes of abf984d
    --average s o --out so
    $TWO --cpu-seconds 1350 --seed 97 --start so --out p
    --average o p --out op
    $TWO --cpu-seconds 1700 --seed 99 --start op --out r  # 1,500 steps of it, masks also as people draw them
    $TWO --cpu-seconds 2800 --seed 101 --start r-1500 --people people --out v
    --average op v --out opv
    $TWO --rate 1e-3 --cpu-seconds 1200 --seed 103 --start opv --people people --out t
    --average opv t
weights_cats.npz has seen the cats' outlines: the same lines with `$PHOTOS --pool 120 --drawn 0.5`, even seeds from 92.

Data and licenses: 236 photographs of cats (public domain, in a repository under MIT); Fluent Emoji as
@lobehub/fluent-emoji-3d 1.1.0 of npm (MIT, Microsoft); Open Clip Art 0.18 as Debian's openclipart-png (public domain);
1,200 people that autosegment_people.py renders with seed 0 from MakeHuman's meshes (CC0 1.0). Every cat, lion and tiger
among the clip art is left out."""

from __future__ import annotations

import argparse
import copy
import dataclasses
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
from gtseg.local.labeling.autosegment.crop import Outline, Points, cut_balanced, prompts, window_of
from gtseg.local.labeling.autosegment.network import PromptNet, load_weights, normalized, save_weights
from gtseg.local.labeling.autosegment.network import start as start_network
from gtseg.local.labeling.autosegment.prompts import NONE, Start, click_window, second_outline
from scripts import autosegment_scenes as scenes


@dataclass(frozen=True)
class Sample:
    image: NDArray[np.uint8]  # (H, W, 3), H and W about 256
    mask: NDArray[np.uint8]  # (H, W) 0/1
    is_cell: bool = False  # cells are outlined exactly, other objects also as people draw them


# ---- photographs ---------------------------------------------------------------------------------------------------


def read_outlines(path: Path, shape: tuple[int, int]) -> list[NDArray[np.int32]]:
    """YOLO-seg lines -> (N, 2) pixel outlines."""
    rows = [np.array(line.split()[1:], float).reshape(-1, 2) for line in path.read_text().splitlines() if line.strip()]
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
            found.append(cv2.resize(image[y : y + side, x : x + side], (256, 256), interpolation=cv2.INTER_AREA))
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


def recolor(image: NDArray[np.uint8], rng: np.random.Generator, *, wild: bool) -> NDArray[np.uint8]:
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


SMALLEST, LARGEST = 14, 210
"""Longer side of an object in pixels of the image that it is taken from."""


def turn_and_scale(sample: Sample, rng: np.random.Generator) -> Sample:
    """The sample turned, mirrored and stretched, with the object between SMALLEST and LARGEST pixels."""
    ys, xs = np.nonzero(sample.mask)
    longer = max(np.ptp(xs), np.ptp(ys)) + 1
    wanted = math.exp(rng.uniform(math.log(SMALLEST), math.log(LARGEST)))
    if rng.random() < 0.4:
        wanted = longer * rng.uniform(0.5, 1.15)
    scale = min(wanted / longer, 1.15)
    image, mask = sample.image, sample.mask
    if scale < 0.6:  # averaged first: a plain warp would alias
        small = (max(8, round(mask.shape[1] * scale * 1.4)), max(8, round(mask.shape[0] * scale * 1.4)))
        image = np.asarray(cv2.resize(image, small, interpolation=cv2.INTER_AREA), np.uint8)
        shares = cv2.resize(mask.astype(np.float32), small, interpolation=cv2.INTER_AREA)
        mask, scale = (shares > 0.5).astype(np.uint8), 1 / 1.4
    height, width = mask.shape
    m = cv2.getRotationMatrix2D((width / 2, height / 2), float(rng.normal(0, 14)), scale)
    m[0, :2] *= rng.uniform(0.85, 1.18)
    m[:, 2] += np.array([width, height]) * (scale - 1) / 2
    if rng.random() < 0.5:
        m[0] = -m[0]
        m[0, 2] += width * scale
    size = (max(8, int(width * scale)), max(8, int(height * scale)))
    image = cv2.warpAffine(image, m, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    mask = cv2.warpAffine(mask, m, size, flags=cv2.INTER_NEAREST)
    return dataclasses.replace(sample, image=np.asarray(image, np.uint8), mask=np.asarray(mask, np.uint8))


def drawn_by_hand(mask: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """The mask as people outline it: smoother, and up to two pixels outside of the object or a little inside."""
    ys, xs = np.nonzero(mask)
    shorter = min(np.ptp(xs), np.ptp(ys)) + 1
    inner, outer = (cv2.distanceTransform(side, cv2.DIST_L2, 5) for side in (mask, 1 - mask))
    away = cv2.GaussianBlur(outer - inner, (0, 0), rng.uniform(0.3, 1.5))
    found = (away < min(rng.uniform(-0.5, 1.8), 0.06 * shorter)).astype(np.uint8)
    return found if found.any() else mask


def darkened(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """One image in four with the light of dusk or a lamp: dark, dull, and as noisy as sensors then are."""
    if rng.random() < 0.75:
        return image
    pixels = image.astype(np.float32) / 255
    pixels = pixels ** rng.uniform(1.0, 2.2) * 255 * rng.uniform(0.15, 0.8) + rng.uniform(0, 25)
    pixels += rng.normal(0, rng.uniform(0, 3), pixels.shape)
    return np.clip(pixels, 0, 255).astype(np.uint8)


def worn(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """The image as a camera and a JPEG file leave it, three times in five."""
    kind = rng.random()
    if kind < 0.25:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.3)), np.uint8)
    if kind > 0.65 or kind < 0.1:
        packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 95))])[1]
        image = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)
    return image


@dataclass(frozen=True)
class Example:
    """One window: (S, S, 3) RGB, its start in window pixels, what follows from that, and the (S, S) 0/1 mask."""

    photo: NDArray[np.uint8]
    start: Start
    outline: Outline
    mask: NDArray[np.uint8]


def points_by_people(mask: NDArray[np.uint8], rng: np.random.Generator) -> Points:
    """The extreme points, as far off as people are: a share of the object, or some pixels at any of its sizes."""
    true = extreme_points(mask, rng)
    longer = max(np.ptp(true[:, 0]), np.ptp(true[:, 1])) + 1
    if rng.random() < 0.55:
        return (true + rng.normal(0, rng.choice([0.0, 0.0, 0.01, 0.03]) * longer + 0.3, (4, 2))).astype(np.float32)
    angle, off = rng.uniform(0, 2 * np.pi, 4), min(rng.choice([1.0, 3.0, 3.0, 5.0]), 0.2 * longer)
    moved = true + off * np.stack([np.cos(angle), np.sin(angle)], 1)
    return np.clip(moved, 0, (mask.shape[1] - 1, mask.shape[0] - 1)).astype(np.float32)


def start_of(mask: NDArray[np.uint8], rng: np.random.Generator) -> Start:
    """Seven in ten four points, the others a box or a click."""
    points = points_by_people(mask, rng)
    kind = rng.random()
    if kind < 0.7:
        return Start("points", points)
    if kind < 0.85:
        return Start("box", np.stack([points.min(0), points.max(0)]))
    depth = cv2.distanceTransform(np.pad(mask, 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    ys, xs = np.nonzero(depth > depth.max() * rng.choice([0.3, 0.6, 0.95]))
    at = rng.integers(len(xs))
    return Start("click", np.array([[xs[at], ys[at]]], np.float32))


def example(sample: Sample, rng: np.random.Generator, *, size: int, wild: bool) -> Example | None:
    """One window of the sample, or None where the object was lost."""
    turned = turn_and_scale(sample, rng)
    if turned.mask.sum() < 60:
        return None
    if not turned.is_cell and rng.random() < 0.4:
        turned = dataclasses.replace(turned, mask=drawn_by_hand(turned.mask, rng))
    image = worn(darkened(recolor(turned.image, rng, wild=wild), rng), rng)
    start = start_of(turned.mask, rng)
    if start.kind == "click":
        true = extreme_points(turned.mask)
        longer = float(max(np.ptp(true[:, 0]), np.ptp(true[:, 1]))) + 1
        window = click_window(start.points, longer * math.exp(rng.uniform(math.log(1.3), math.log(3.5))), size)
    else:
        window = window_of(start.points, size, margin=float(rng.uniform(0.18, 0.26)))
    soft = cv2.warpAffine(turned.mask.astype(np.float32), window.matrix(), (size, size))
    mask = (soft > 0.5).astype(np.uint8)
    if not mask.any():
        return None
    photo, start = cut_balanced(image, window), start.within(window)
    return Example(photo, start, start.outline(photo), mask)


@dataclass(frozen=True)
class Supply:
    """What scenes are drawn from: surfaces, cut-outs, rendered people."""

    textures: list[NDArray[np.uint8]]
    cutouts: list[scenes.Cutout]
    people: list[scenes.Cutout]


def draw(supply: Supply, rng: np.random.Generator) -> list[Sample]:
    """The objects of one drawn scene."""
    textures, cutouts = supply.textures, supply.cutouts
    while True:
        kind, is_cell = rng.random(), False
        if kind < 0.35:
            is_cell = True
            canvas, masks = scenes.draw_colony(rng, textures)
        elif kind < (0.68 if supply.people else 0.6):
            canvas, masks = scenes.draw_machines(rng, textures, supply.people)
            masks += scenes.groups(rng, masks)
        elif cutouts and kind < 0.92:
            canvas, masks = scenes.draw_crowd(rng, textures, cutouts)
            masks += scenes.groups(rng, masks)
        else:
            canvas, mask = scenes.draw_scene(rng, textures)
            masks = [mask]
        if masks:
            return [Sample(canvas, mask, is_cell) for mask in masks]


def on_new_ground(sample: Sample, textures: list[NDArray[np.uint8]], rng: np.random.Generator) -> Sample:
    """The object before another surface, with a soft edge."""
    height, width = sample.mask.shape
    canvas = cv2.resize(scenes.pick(rng, textures), (width, height)).astype(np.float32)
    scenes.lay(canvas, sample.mask, sample.image, softness=rng.uniform(0.6, 1.6))
    return Sample(np.clip(canvas, 0, 255).astype(np.uint8), sample.mask)


# ---- training ------------------------------------------------------------------------------------------------------


STEADY = 2.0
"""Weight of a pixel that the mask before the clicks has right (1 without clicks): a click leaves the rest alone."""


def weights_of(batch: list[Clicked], masks: torch.Tensor) -> torch.Tensor:
    """(N, 1, S, S), mean 1 in each example: what the mask before the clicks has right weighs STEADY times as much."""
    weights = torch.ones_like(masks)
    for one, weight, mask in zip(batch, weights, masks, strict=True):
        if one.present is not None:
            weight += (STEADY - 1) * ((torch.from_numpy(one.present) > 0.5) == (mask > 0.5))
            weight /= weight.mean()
    return weights


def loss_of(logits: torch.Tensor, target: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Cross entropy + soft IoU, each (N, 1, S, S)."""
    probability = torch.sigmoid(logits)
    both = (probability * target).sum((1, 2, 3))
    either = (probability + target - probability * target).sum((1, 2, 3))
    return F.binary_cross_entropy_with_logits(logits, target, weights) + (1 - (both + 1) / (either + 1)).mean()


def some_click(
    found: NDArray[np.bool_], mask: NDArray[np.uint8], rng: np.random.Generator
) -> tuple[float, float, bool] | None:
    """A click near the middle of the largest error, and whether object is missing there; None if no error is left."""
    truth = mask > 0
    depths = [
        cv2.distanceTransform(np.pad(wrong, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
        for wrong in (truth & ~found, found & ~truth)
    ]
    missing = bool(depths[0].max() >= depths[1].max())
    depth = depths[0 if missing else 1]
    if depth.max() < 1.5:
        return None
    ys, xs = np.nonzero(depth > depth.max() * rng.choice([0.6, 0.95]))
    at = rng.integers(len(xs))
    return float(xs[at]), float(ys[at]), missing


@dataclass
class Clicked:
    """An example with what was clicked so far, and the mask that the person saw before the first click."""

    example: Example
    inside: Points
    outside: Points
    present: NDArray[np.float32] | None = None

    def planes(self) -> NDArray[np.float32]:
        one = self.example
        return prompts(
            len(one.mask),
            extreme=one.start.extreme,
            inside=self.inside,
            outside=self.outside,
            outline=one.outline,
            present=self.present,
        )


def begin(example: Example) -> Clicked:
    return Clicked(example, example.start.points if example.start.kind == "click" else NONE, NONE)


def tensors(batch: list[Clicked]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(N, 3, S, S) pixels, (N, 7, S, S) prompts, (N, 1, S, S) masks."""
    pixels = normalized(np.stack([one.example.photo for one in batch]))
    planes = torch.from_numpy(np.stack([one.planes() for one in batch]))
    masks = torch.from_numpy(np.stack([one.example.mask for one in batch])[:, None].astype(np.float32))
    return pixels.contiguous(memory_format=torch.channels_last), planes, masks


def answers_of(net: PromptNet, batch: list[Clicked]) -> NDArray[np.float32]:
    """(N, S, S) probabilities, without gradients."""
    pixels, planes, _ = tensors(batch)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        answers: NDArray[np.float32] = torch.sigmoid(net(pixels, planes).float())[:, 0].numpy()
    return answers


def look_again(net: PromptNet, batch: list[Clicked]) -> None:
    """Let the network answer, and make the planes of a second look from the answer; not after a click."""
    for one, answer in zip(batch, answers_of(net, batch), strict=True):
        example = one.example
        if example.start.kind != "click":
            outline = second_outline(example.photo, example.outline, example.start.around, answer)
            one.example = dataclasses.replace(example, outline=outline)


def click_rounds(net: PromptNet, batch: list[Clicked], rounds: int, rng: np.random.Generator) -> None:
    """Let the network answer and click on what it got wrong, `rounds` times, as the page will."""
    for turn in range(rounds):
        for one, answer in zip(batch, answers_of(net, batch), strict=True):
            if turn == 0:
                one.present = answer
            if place := some_click(answer > 0.5, one.example.mask, rng):
                click = np.array([place[:2]], np.float32)
                if place[2]:
                    one.inside = np.concatenate([one.inside, click])
                else:
                    one.outside = np.concatenate([one.outside, click])


def rate_at(used: float, *, whole: float, rate: float, fall: float) -> float:
    """A short warm-up, a level stretch, and a cosine down to almost nothing over the last `fall` of the time."""
    left = (whole - used) / max(1e-9, fall * whole)
    warm = min(1.0, 0.02 + used / (0.03 * whole))
    return rate * warm * (0.5 - 0.5 * math.cos(math.pi * min(1.0, left))) + 1e-6


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--no-objects", action="store_true")
    parser.add_argument(
        "--hold-out",
        type=int,
        default=0,
        help="photographs of the training split to leave out: the last ones",
    )
    parser.add_argument("--cutouts", type=Path, nargs="*", default=[], help="folders of pictures with an alpha plane")
    parser.add_argument("--people", type=Path, help="folder of people rendered by autosegment_people.py")
    parser.add_argument("--leave-out", default="^$", help="regular expression of cut-outs' paths not to use")
    parser.add_argument("--drawn", type=float, default=0.25, help="share of drawn scenes beside photographs' objects")
    parser.add_argument(
        "--pool",
        type=int,
        default=250,
        help="drawn scenes kept at a time; one is replaced at every third step",
    )
    parser.add_argument("--cpu-seconds", type=float, default=500, help="of training; preparing comes on top")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=160, help="pixels of the window")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument(
        "--fall", type=float, default=0.9, help="share of the time over which the rate falls to nothing"
    )
    parser.add_argument("--start", type=Path)
    parser.add_argument("--average", type=Path, nargs="+", help="do not train: write the mean of these weights")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seen", required=True, help="what to say about what these weights have seen")
    return parser.parse_args()


def averaged(paths: list[Path]) -> PromptNet:
    """The network whose weights are the mean of those of the files."""
    nets = [load_weights(path)[0] for path in paths]
    states = [net.state_dict() for net in nets]
    nets[0].load_state_dict({name: torch.stack([state[name] for state in states]).mean(0) for name in states[0]})
    return nets[0]


def main() -> None:
    args = arguments()
    if args.average:
        save_weights(averaged(args.average), args.out, seen=args.seen)
        return
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)

    photographs = read_photographs(args.photos) if args.photos else []
    photographs = photographs[: len(photographs) - args.hold_out]
    objects = (
        [] if args.no_objects else [s for image, outs in photographs for o in outs if (s := object_sample(image, o))]
    )
    textures = [scenes.draw_texture(rng) for _ in range(200)] + [
        w for image, outs in photographs for w in surfaces(image, outs, rng)
    ]
    cutouts = scenes.read_cutouts(args.cutouts, leave_out=args.leave_out, most=1000, rng=rng)
    print(f"{len(objects)} objects, {len(textures)} surfaces, {len(cutouts)} cut-outs", flush=True)
    people = scenes.read_people(args.people) if args.people else []
    supply = Supply(textures, cutouts, people)
    drawn = [draw(supply, rng) for _ in range(args.pool)]

    net = load_weights(args.start)[0] if args.start else start_network()
    net = net.to(memory_format=torch.channels_last).train()
    steady = copy.deepcopy(net).eval()
    learning = [(name, p) for name, p in net.named_parameters() if p.requires_grad]
    groups = [
        {
            "params": [p for n, p in learning if (p.ndim > 1, n.startswith("encoder.")) == kind],
            "share": share,
            "weight_decay": decay,
        }
        for kind, share, decay in (
            ((True, True), 0.25, 0.03),
            ((False, True), 0.25, 0.0),
            ((True, False), 1.0, 0.03),
            ((False, False), 1.0, 0.0),
        )
    ]
    optimizer = torch.optim.AdamW(groups, lr=args.rate)
    begun, running = time.process_time(), 0.0

    def make() -> Clicked:
        while True:
            if objects and rng.random() > args.drawn:
                sample = objects[rng.integers(len(objects))]
                if rng.random() < 0.2:
                    sample = on_new_ground(sample, textures, rng)
            else:
                scene = drawn[rng.integers(len(drawn))]
                sample = scene[rng.integers(len(scene))]
            made = example(sample, rng, size=args.size, wild=rng.random() < 0.3)
            if made is not None:
                return begin(made)

    step, used = 0, 0.0
    while used < args.cpu_seconds:
        if step % 3 == 0:
            drawn[rng.integers(len(drawn))] = draw(supply, rng)
        batch = [make() for _ in range(args.batch)]
        if rng.random() < 0.7:
            look_again(net, batch)
        click_rounds(net, batch, int(rng.choice([0, 0, 0, 1, 2, 3])), rng)
        pixels, planes, masks = tensors(batch)
        for group in optimizer.param_groups:
            group["lr"] = group["share"] * rate_at(used, whole=args.cpu_seconds, rate=args.rate, fall=args.fall)
        with torch.autocast("cpu", torch.bfloat16):
            logits = net(pixels, planes)
        loss = loss_of(logits.float(), masks, weights_of(batch, masks))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for _, p in learning], 10.0)
        optimizer.step()
        with torch.no_grad():
            keep = min(0.995, (step + 1) / (step + 10))
            torch._foreach_lerp_(list(steady.parameters()), list(net.parameters()), 1 - keep)
        running = 0.98 * running + 0.02 * loss.item() if step else loss.item()
        step, used = step + 1, time.process_time() - begun
        if step % 50 == 0:
            print(f"step {step} loss {running:.3f} CPU s {used:.0f}", flush=True)
        if step % 500 == 0:
            save_weights(steady, args.out.with_stem(f"{args.out.stem}-{step}"), seen=args.seen)
    save_weights(steady, args.out, seen=args.seen)


if __name__ == "__main__":
    main()
