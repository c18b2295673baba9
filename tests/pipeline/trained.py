"""Small run of drawn scenes with a dataset."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
from fault_proxy import FaultProxy, Request
from PIL import Image

from gtseg.aws.clients import Clients
from gtseg.aws.s3 import S3
from gtseg.core.images.scenes import draw_scene
from gtseg.core.masks import encode_palette_png
from gtseg.pipeline.run import Context, DatasetSection, Run, RunFile, locate
from gtseg.pipeline.run.events import Event
from gtseg.settings import Settings, load

CLASSES = ("BACKGROUND", "turtle", "boat")
COLORS = ("#ffffff", "#2ca02c", "#1f77b4")
COUNTS = {"train": 6, "validation": 2, "test": 3}
PALETTE = b"".join(bytes.fromhex(c[1:]) for c in COLORS).ljust(768, b"\xff")


def small_scene(number: int) -> tuple[bytes, bytes, np.ndarray]:
    """Return (JPEG, PNG, mask) of a scene at a quarter of its size."""
    scene = draw_scene(number)
    size = (scene.mask.shape[1] // 4, scene.mask.shape[0] // 4)
    photo = io.BytesIO()
    Image.fromarray(scene.pixels).resize(size).save(photo, "JPEG", quality=90)
    mask = np.asarray(Image.fromarray(scene.mask).resize(size, Image.Resampling.NEAREST)).copy()
    mask[:2] = 255
    return photo.getvalue(), encode_palette_png(mask, *size, palette=PALETTE), mask


class Trained:
    """Project folder, its settings and its run. `run_stage(stage)` runs one stage and saves the run."""

    def __init__(self, folder: Path, clients: Clients, name: str) -> None:
        self.folder, self.clients, self.name = folder, clients, name
        self.events: list[Event] = []
        self.tables: dict[str, str] = {"train.hyperparameters": "epochs = 2\nmini_batch_size = 2"}
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def settings(self) -> Settings:
        text = f'[project]\nname = "{self.name}"\nbucket = "bucket-{self.name}"\n'
        text += "".join(f"[{table}]\n{body}\n" for table, body in self.tables.items())
        (self.folder / "gtseg.toml").write_text(text)
        return load(self.folder / "gtseg.toml", environ={})

    @property
    def run_file(self) -> RunFile:
        return RunFile(self.clients, locate(self.settings, self.clients))

    @property
    def run(self) -> Run:
        return self.run_file.load()

    def messages(self, kind: str = "") -> str:
        return "\n".join(event.message for event in self.events if not kind or event.kind == kind)

    def context(self, **options: Any) -> Context:
        """Return the context of a command of this project."""
        given = {"settings": self.settings, "clients": self.clients, "notify": self.events.append}
        return Context(**(given | options))

    def run_stage(self, stage: Any, **options: Any) -> Run:
        return self.run_file.save(stage(self.run, self.context(), **options))

    def give_dataset(self) -> None:
        """Write channels, dataset.json, objects.jsonl and the run's section as `gtseg dataset` does."""
        s3, run = S3(self.clients), self.run
        s3.ensure_bucket(f"bucket-{self.name}")
        channels, number, records = f"{run.root}channels/", 0, []
        pixels = {part: dict.fromkeys(CLASSES, 0) for part in COUNTS}
        for part, count in COUNTS.items():
            for _ in range(count):
                jpeg, png, mask = small_scene(number)
                s3.write(f"{channels}{part}/scene-{number}.jpg", jpeg)
                s3.write(f"{channels}{part}_annotation/scene-{number}.png", png)
                records.append(
                    {
                        "line": number,
                        "image": f"s3://images/scene-{number}.jpg",
                        "status": "accepted",
                        "split": part,
                        "confidence": 0.9,
                    }
                )
                for index, name in enumerate(CLASSES):
                    pixels[part][name] += int((mask == index).sum())
                number += 1
        records.append(
            {
                "line": number,
                "image": "s3://images/bad.jpg",
                "status": "rejected",
                "reason": "its mask has 1 color without a label",
            }
        )
        rows = [{"index": i, "name": n, "color": c} for i, (n, c) in enumerate(zip(CLASSES, COLORS, strict=True))]
        s3.write(f"{run.root}dataset.json", json.dumps({"classes": rows, "pixels": pixels}).encode())
        s3.write(f"{run.root}objects.jsonl", b"".join(json.dumps(r).encode() + b"\n" for r in records))
        section = DatasetSection(
            channels=channels,
            classes=CLASSES,
            counts=COUNTS | {"rejected": 1, "failed": 0, "unlabeled": 0},
            fingerprint="f" * 32,
            source="s3://images/output.manifest",
        )
        self.run_file.save(run.update(dataset=section))


class Killer:
    """Proxy that kills the watched process at the first request of a name, before or after the server handles it."""

    def __init__(self, server: Any) -> None:
        self.name, self.when, self.stdout, self.stderr = "", "", "", ""
        self.process: subprocess.Popen[str] | None = None
        self.lock = threading.Lock()
        self.server = server

    def _before(self, request: Request) -> tuple[int, bytes] | None:
        return (500, b"") if self.when == "before" and self._kill(request) else None

    def _after(self, request: Request) -> None:
        if self.when == "after":
            self._kill(request)

    def _kill(self, request: Request) -> bool:
        with self.lock:
            if request.name != self.name or self.process is None or self.process.poll() is not None:
                return False
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait(10)
            return True

    def command(self, folder: Path, *words: str, at: tuple[str, str] = ("", "")) -> int:
        """Run `gtseg` in `folder`, killed at (request, before|after), and return its exit code."""
        self.name, self.when = at
        command = [sys.executable, "-m", "gtseg", *words]
        with FaultProxy(self.server.url, before=self._before, after=self._after) as proxy:
            environment = self.server.environment | {"AWS_ENDPOINT_URL": proxy.url, "OMP_NUM_THREADS": "1"}
            with self.lock:
                self.process = subprocess.Popen(
                    command,
                    cwd=folder,
                    env=environment,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            self.stdout, self.stderr = self.process.communicate(timeout=150)
        return self.process.returncode


def created(server: Any, operation: str, start: str) -> list[str]:
    """Return the names of created resources from the server's log."""
    calls = [c for c in server.calls() if c["operation"] == operation and c["status"] == 200]
    return [c["name"] for c in calls if c["name"].startswith(start)]
