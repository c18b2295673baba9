"""Training data of these tests: small drawn scenes with exact masks, in the folders of a SageMaker container."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

from gtseg.local.algorithm.__main__ import main

QUICK = {
    "epochs": "3",
    "optimizer": "adam",
    "crop_size": "32",
    "mini_batch_size": "4",
    "validation_mini_batch_size": "2",
}


def draw(seed: int, size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """(size, size, 3) uint8 BGR and (size, size) uint8: green discs (1) and red boxes (2) on blue noise (0)."""
    random = np.random.default_rng(seed)
    image = random.integers(0, 70, (size, size, 3), np.uint8)
    image[..., 0] += 120
    mask = np.zeros((size, size), np.uint8)
    x, y, r = (int(v) for v in random.integers((size // 4, size // 4, size // 8), (size // 2, size // 2, size // 4)))
    for target, disc, box in ((image, (40, 200, 60), (30, 40, 220)), (mask, 1, 2)):
        cv2.circle(target, (x, y), r, disc, -1)
        cv2.rectangle(target, (size * 5 // 8, size * 5 // 8), (size * 7 // 8, size - 1 - r // 2), box, -1)
    return image, mask


def lay_out(root: Path, *, train: int = 6, validation: int = 3, **hyperparameters: str) -> Path:
    """ROOT with `train` and `validation` scenes; hyperparameters over QUICK."""
    for split, seeds in (("train", range(train)), ("validation", range(1000, 1000 + validation))):
        for name in (split, f"{split}_annotation"):
            (root / "input/data" / name).mkdir(parents=True)
        for seed in seeds:
            image, mask = draw(seed)
            cv2.imwrite(str(root / f"input/data/{split}/{seed}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 95])
            cv2.imwrite(str(root / f"input/data/{split}_annotation/{seed}.png"), mask)
    write_hyperparameters(root, num_classes="3", num_training_samples=str(train), **{**QUICK, **hyperparameters})
    return root


def write_hyperparameters(root: Path, **hyperparameters: str) -> None:
    (root / "input/config").mkdir(parents=True, exist_ok=True)
    (root / "input/config/hyperparameters.json").write_text(json.dumps(hyperparameters))


def container(*arguments: str) -> subprocess.Popen[str]:
    """The container's command, as the embedded AWS starts it."""
    return subprocess.Popen(
        [sys.executable, "-m", "gtseg.local.algorithm", *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(*arguments: str, expected: int = 0) -> str:
    """Run the command in this process, check that it returns `expected`, and return its stdout."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = main([*arguments])
    assert code == expected, out.getvalue()
    return out.getvalue()
