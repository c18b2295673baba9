"""A round of the assisting model, as files: training data, a training process, a scoring process, and the result.

    assist/round-3/            ml: input/, model/, checkpoints/ of the training; process/ of both
        input/names            images to score            output/scores.jsonl, output/masks/, output/refined/
        ready.json             {"model", "objects"}: written last; suggestions are used from then on

The processes (train, score, refine) run at the lowest priority with one thread and end with the server. After a restart
they continue from their files.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from gtseg.local.jobs.processes import Process
from gtseg.local.labeling.assist.refine import find_smallest

SAMPLES = 3000
"""Number of images that a training processes over all epochs: about a minute of one core."""
EPOCHS = (10, 60)
KEPT = 8
"""One answer in this many is used to choose the best epoch."""
MEASURED = 100
"""Number of answers from which the smallest plausible object is measured."""
LOWEST = 19
ONE_THREAD = {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


@dataclass(frozen=True)
class Pair:
    """An answer: the image's file and (H, W) uint8 class indices."""

    line: int
    image: Path
    mask: np.ndarray


@dataclass(frozen=True)
class Scored:
    """The model's result for an image."""

    confidence: float
    features: tuple[float, ...]


@dataclass(frozen=True)
class Round:
    """The folder of a round and its number."""

    folder: Path
    number: int

    @property
    def is_ready(self) -> bool:
        return (self.folder / "ready.json").exists()

    @cached_property
    def ready(self) -> Mapping[str, object]:
        """Content of ready.json."""
        document: dict[str, object] = json.loads((self.folder / "ready.json").read_bytes())
        return document

    @property
    def training(self) -> Process:
        return Process(self.folder / "process-train")

    @property
    def scoring(self) -> Process:
        return Process(self.folder / "process-score")

    @property
    def refining(self) -> Process:
        return Process(self.folder / "process-refine")

    def write_channels(self, pairs: Sequence[Pair], *, classes: int) -> None:
        """Write the channels and the hyperparameters atomically."""
        part = self.folder.with_name(f".{self.folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        kept = max(2, len(pairs) // KEPT)
        for channel, chosen in (("train", pairs[kept:]), ("validation", pairs[:kept])):
            images, masks = (part / "input" / "data" / f"{channel}{ending}" for ending in ("", "_annotation"))
            images.mkdir(parents=True)
            masks.mkdir(parents=True)
            for pair in chosen:
                os.link(pair.image, images / f"{pair.line:06d}{pair.image.suffix}")
                Image.fromarray(pair.mask).save(masks / f"{pair.line:06d}.png")
        training = len(pairs) - kept
        epochs = min(max(round(SAMPLES / training), EPOCHS[0]), EPOCHS[1])
        hyperparameters = {
            "num_classes": str(classes),
            "num_training_samples": str(training),
            "epochs": str(epochs),
        }
        (part / "input" / "config").mkdir()
        (part / "input" / "config" / "hyperparameters.json").write_text(json.dumps(hyperparameters))
        (part / "input" / "objects").write_text(str(len(pairs)))
        (part / "input" / "smallest").write_text(json.dumps(find_smallest([pair.mask for pair in pairs[:MEASURED]])))
        os.replace(part, self.folder)

    def train(self) -> None:
        """Start the training process."""
        self._launch(self.training, "train", "--root", str(self.folder))

    def score(self, names: Sequence[str], images: Path) -> None:
        """Start the scoring process on the named images."""
        part = self.folder / "input" / ".names.part"
        part.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
        os.replace(part, self.folder / "input" / "names")
        self._launch(self.scoring, "score", "--root", str(self.folder), "--images", str(images), "--features")

    def refine(self, images: Path) -> None:
        arguments = ("--root", str(self.folder), "--images", str(images))
        self._launch(self.refining, *arguments, module="gtseg.local.labeling.assist.refine")

    def _launch(self, process: Process, *arguments: str, module: str = "gtseg.local.algorithm") -> None:
        command = [sys.executable, "-m", module, *arguments]
        process.launch(command, environment={**os.environ, **ONE_THREAD}, dies_with_us=True, niceness=LOWEST)

    def conclude(self, model: str) -> None:
        """Mark the round complete, so that its masks are suggested from now on."""
        shutil.rmtree(self.folder / "checkpoints", ignore_errors=True)
        part = self.folder / ".ready.part"
        objects = int((self.folder / "input" / "objects").read_text())
        part.write_text(json.dumps({"model": model, "objects": objects}))
        os.replace(part, self.folder / "ready.json")

    def mask(self, line: int) -> bytes | None:
        """Return the PNG that the model proposes for an object; None if it was not scored."""
        for folder in ("refined", "masks"):
            try:
                return (self.folder / "output" / folder / f"{line:06d}.png").read_bytes()
            except FileNotFoundError:
                continue
        return None

    def read_scores(self) -> dict[int, Scored]:
        """Return line -> result, from the complete lines of scores.jsonl."""
        path, found = self.folder / "output" / "scores.jsonl", {}
        content = path.read_bytes() if path.exists() else b""
        for text in content[: content.rfind(b"\n") + 1].splitlines():
            entry = json.loads(text)
            if "confidence" in entry:
                found[int(entry["name"])] = Scored(float(entry["confidence"]), tuple(entry.get("features", ())))
        return found

    def end(self) -> None:
        """Kill the processes."""
        for process in (self.training, self.scoring, self.refining):
            if process.alive():
                process.send(signal.SIGKILL)


def find_rounds(folder: Path) -> list[Round]:
    """Return the rounds in a job's assist folder, latest first."""
    found = [(int(path.name.removeprefix("round-")), path) for path in folder.glob("round-*")]
    return [Round(path, number) for number, path in sorted(found, reverse=True)]
