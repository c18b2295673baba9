"""scripts/benchmark order [DATA] [--seeds 5] [--steps 15 30 60] [--cpu-seconds 12]: does `gtseg:order` = helpful help?

DATA as for `scripts/benchmark train`; without it 260 of the demo's drawn scenes (world seed 7). For each seed the same
first images are labeled; then, step by step, either random ones (a manifest in no particular order) or those that the
server's own rule puts first by the model of the step before. Each model gets the same CPU time on one thread. Printed:
the mean IoU without background on images that nobody chooses from, and the mean over the steps after the first (the
area under the learning curve) with a 95 % t interval over the seeds.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from PIL import Image  # noqa: E402

from gtseg.local.labeling.assist.order import as_matrix, order_objects  # noqa: E402
from gtseg.local.labeling.automated.inference import measure_quality  # noqa: E402

T_95 = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 8: 2.36, 10: 2.26}
TEST = 60


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/benchmark order", description=__doc__)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, nargs="+", default=[15, 30, 60])
    parser.add_argument("--cpu-seconds", type=float, default=12)
    options = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="gtseg-benchmark-"))
    try:
        data = options.data or draw(scratch / "scenes")
        gains = []
        for seed in range(options.seeds):
            learner = Learner(data, scratch / str(seed), options, seed)
            curves = [learner.learn(way) for way in ("given", "helpful")]
            gains.append(float(np.mean(curves[1][1:]) - np.mean(curves[0][1:])))
            told = "; ".join(
                f"{way} {' '.join(f'{v:.3f}' for v in curve)}"
                for way, curve in zip(("given", "helpful"), curves, strict=True)
            )
            print(f"{data.name}, seed {seed}: {told}; gain {gains[-1]:+.4f}", flush=True)
            if len(gains) > 1:
                reach = T_95.get(len(gains), 2.0) * np.std(gains, ddof=1) / len(gains) ** 0.5
                print(
                    (
                        f"  mean gain of {len(gains)} seeds {np.mean(gains):+.4f}, 95 % interval "
                        f"{np.mean(gains) - reach:+.4f} to {np.mean(gains) + reach:+.4f}"
                    ),
                    flush=True,
                )
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def draw(folder: Path) -> Path:
    from gtseg.core.images.scenes import draw_scene

    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for number in range(260):
        scene = draw_scene(number, seed=7)
        (folder / "images" / f"scene-{number:04d}.jpg").write_bytes(scene.jpeg())
        (folder / "masks" / f"scene-{number:04d}.png").write_bytes(scene.png())
    (folder / "dataset.json").write_text(json.dumps({"classes": ["background", "turtle", "boat"]}))
    return folder


class Learner:
    """One seed. The first model is the same for both ways, and is trained once."""

    def __init__(self, data: Path, folder: Path, options: argparse.Namespace, seed: int) -> None:
        self.data, self.folder, self.options, self.seed = data, folder, options, seed
        self.classes = len(json.loads((data / "dataset.json").read_text())["classes"])
        names = sorted(path.stem for path in (data / "images").glob("*.jpg"))
        random.Random(seed).shuffle(names)
        self.test, self.pool = names[:TEST], names[TEST:]
        self.labeled = self.pool[: options.steps[0]]
        self.first = self.train(self.labeled, folder / "first", ask_pool=True)

    def learn(self, way: str) -> list[float]:
        """The score after each step."""
        labeled, scores, root = self.labeled, [self.first], self.folder / "first"
        for number, size in enumerate(self.options.steps[1:], start=1):
            left = [name for name in self.pool if name not in labeled]
            more = size - len(labeled)
            labeled = [*labeled, *(self.choose(root, left, labeled, more) if way == "helpful" else left[:more])]
            root = self.folder / f"{way}-{number}"
            scores.append(self.train(labeled, root, ask_pool=way == "helpful" and size < self.options.steps[-1]))
        return scores

    def choose(self, root: Path, left: list[str], labeled: list[str], count: int) -> list[str]:
        """The `count` images that the model of `root` puts first."""
        found = {}
        for line in (root / "output" / "scores.jsonl").read_text().splitlines():
            entry = json.loads(line)
            found[entry["name"].removesuffix(".jpg")] = entry
        order = order_objects(
            np.array([found[name]["confidence"] for name in left]),
            as_matrix([found[name]["features"] for name in left]),
            as_matrix([found[name]["features"] for name in labeled]),
            count=count,
            seed=self.seed * 100 + len(labeled),
        )
        return [left[position] for position in order]

    def train(self, labeled: list[str], root: Path, *, ask_pool: bool) -> float:
        kept = max(2, len(labeled) // 8)
        shuffled = random.Random(self.seed).sample(labeled, len(labeled))
        for channel, names in (("train", shuffled[kept:]), ("validation", shuffled[:kept])):
            for ending, source, suffix in (("", "images", "jpg"), ("_annotation", "masks", "png")):
                target = root / "input" / "data" / f"{channel}{ending}"
                target.mkdir(parents=True)
                for name in names:
                    (target / f"{name}.{suffix}").symlink_to((self.data / source / f"{name}.{suffix}").resolve())
        (root / "input" / "config").mkdir()
        settings = {
            "num_classes": str(self.classes),
            "num_training_samples": str(len(labeled) - kept),
            "epochs": "100000",
        }
        (root / "input" / "config" / "hyperparameters.json").write_text(json.dumps(settings))
        (root / "input" / "names").write_text(
            "".join(f"{name}.jpg\n" for name in [*self.test, *(self.pool if ask_pool else [])])
        )
        self.run(
            "train",
            "--root",
            str(root),
            "--cpu-seconds",
            f"{self.options.cpu_seconds:g}",
            "--seed",
            str(self.seed + 1),
        )
        self.run("score", "--root", str(root), "--images", str(self.data / "images"), "--features")
        return float(np.mean([self.judge(root, name) for name in self.test]))

    def judge(self, root: Path, name: str) -> float:
        guess = np.array(Image.open(root / "output" / "masks" / f"{name}.jpg.png"))
        truth = np.array(Image.open(self.data / "masks" / f"{name}.png"))
        guess, truth = np.where(truth == 255, 0, guess), np.where(truth == 255, 0, truth)
        return measure_quality(guess, truth)

    def run(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "gtseg.local.algorithm", *arguments]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"{arguments[0]} failed:\n{done.stdout[-2000:]}")


if __name__ == "__main__":
    main()
