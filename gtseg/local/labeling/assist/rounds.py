"""One round of the assisting model, as files: data laid down, a training process, a scoring process, ready.

    assist/round-3/            ml: input/, model/, checkpoints/ of the training; process/ of both
        input/names            of what is scored        output/scores.jsonl, output/masks/, output/refined/
        ready.json             {"model", "objects"}: written last; only then suggestions are taken from it

The processes (train, score, refine) have the lowest priority and one thread, and end with the server; after a restart they go on from their files.
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

__all__ = ["Pair", "Round", "Scored", "find_rounds"]

SAMPLES = 3000  # pictures that a training sees: about a minute of one core
EPOCHS = (10, 60)
KEPT = 8  # one in so many answers chooses the best epoch
MEASURED = 100  # answers that say how small an object may be
LOWEST = 19
ONE_THREAD = {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


@dataclass(frozen=True)
class Pair:
    """One answer: the image's file and its (H, W) uint8 class indices."""

    line: int
    image: Path
    mask: np.ndarray


@dataclass(frozen=True)
class Scored:
    confidence: float
    features: tuple[float, ...]


@dataclass(frozen=True)
class Round:
    folder: Path
    number: int

    @property
    def is_ready(self) -> bool:
        return (self.folder / "ready.json").exists()

    @cached_property
    def ready(self) -> Mapping[str, object]:
        """What ready.json says."""
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
        """The channels and the hyperparameters, whole or not at all."""
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
        self._launch(self.training, "train", "--root", str(self.folder))

    def score(self, names: Sequence[str], images: Path) -> None:
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
        """Make the round's masks the suggestions of what is handed out from now on."""
        shutil.rmtree(self.folder / "checkpoints", ignore_errors=True)
        part = self.folder / ".ready.part"
        objects = int((self.folder / "input" / "objects").read_text())
        part.write_text(json.dumps({"model": model, "objects": objects}))
        os.replace(part, self.folder / "ready.json")

    def mask(self, line: int) -> bytes | None:
        """The PNG that the model proposes for an object; None where it was not asked."""
        for folder in ("refined", "masks"):
            try:
                return (self.folder / "output" / folder / f"{line:06d}.png").read_bytes()
            except FileNotFoundError:
                continue
        return None

    def read_scores(self) -> dict[int, Scored]:
        path, found = self.folder / "output" / "scores.jsonl", {}
        content = path.read_bytes() if path.exists() else b""
        for text in content[: content.rfind(b"\n") + 1].splitlines():
            entry = json.loads(text)
            if "confidence" in entry:
                found[int(entry["name"])] = Scored(float(entry["confidence"]), tuple(entry.get("features", ())))
        return found

    def end(self) -> None:
        for process in (self.training, self.scoring, self.refining):
            if process.alive():
                process.send(signal.SIGKILL)


def find_rounds(folder: Path) -> list[Round]:
    """The rounds below assist/, the last first."""
    found = [(int(path.name.removeprefix("round-")), path) for path in folder.glob("round-*")]
    return [Round(path, number) for number, path in sorted(found, reverse=True)]
