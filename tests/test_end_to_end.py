"""From photographs to a dataset with one command and without an AWS account."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

CATS = Path(__file__).parent / "data" / "cats"
GTSEG = [sys.executable, "-m", "gtseg"]


@dataclass
class Person:
    """A user with a folder of photographs, an empty data folder, and no AWS settings."""

    folder: Path
    outputs: list[str] = field(default_factory=list)

    def gtseg(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "GTSEG_"))}
        environ = kept | {
            "GTSEG_LOCAL_DATA": str(self.folder / "aws0"),
            "OMP_NUM_THREADS": "1",
            "AWS_PROFILE": "work",
        }
        return subprocess.run(
            [*GTSEG, *arguments],
            cwd=self.folder,
            env=environ,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=280,
        )

    def start(self, *, images: int, **settings: Any) -> None:
        """Run gtseg init, edit the table of labels and copy the photographs to the folder of gtseg.toml."""
        assert self.gtseg("init", "--name", "cats").returncode == 0
        (self.folder / "images").mkdir()
        for path in sorted((CATS / "images").iterdir())[:images]:
            (self.folder / "images" / path.name).write_bytes(path.read_bytes())
        text = (self.folder / "gtseg.toml").read_text()
        for key, value in settings.items():
            old = next(line for line in text.splitlines() if line.startswith(f"{key} ="))
            text = text.replace(old, f"{key} = {json.dumps(value)}")
        (self.folder / "gtseg.toml").write_text(text)

    def run(self, *, error: float, workers: int) -> subprocess.CompletedProcess[str]:
        crowd = [
            "--crowd-masks",
            str(CATS / "masks"),
            "--crowd-workers",
            str(workers),
            "--crowd-error",
            str(error),
            "--crowd-seed",
            "7",
        ]
        return self.gtseg("local", "exec", *crowd, "--", *GTSEG, "run", "--until", "dataset")


@dataclass
class Kept:
    """Contents of the run on the embedded AWS, read with boto3."""

    s3: Any
    bucket: str = "gtseg-123456789012-us-east-1"

    def read(self, key: str) -> bytes:
        return bytes(self.s3.get_object(Bucket=self.bucket, Key=f"cats/{key}")["Body"].read())

    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.read("objects.jsonl").splitlines()]

    def annotations(self) -> dict[str, np.ndarray]:
        """Return (H, W) uint8 class indices by the photograph's stem."""
        found = {}
        for line in self.objects():
            image = Image.open(io.BytesIO(self.read(f"channels/{line['annotation']}")))
            assert image.mode == "P"
            found[Path(line["image"]).stem] = np.asarray(image)
        return found

    def all(self) -> dict[str, str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        return {item["Key"]: item["ETag"] for page in pages for item in page["Contents"]}


def given_mask(stem: str) -> np.ndarray:
    return np.asarray(Image.open(CATS / "masks" / f"{stem}.png"))


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))


@pytest.fixture
def person(tmp_path: Path) -> Person:
    return Person(tmp_path)


@pytest.fixture
def kept(start_local_aws: Callable[..., Any]) -> Callable[[], Any]:
    """Start the user's embedded AWS again, in the first folder of `start_local_aws`."""
    servers: list[Any] = []

    @contextlib.contextmanager
    def reopen() -> Iterator[Any]:
        if servers:
            servers[0].start()
        else:
            servers.append(start_local_aws())
        try:
            yield Kept(servers[0].client("s3")), servers[0]
        finally:
            servers[0].stop()

    return reopen


def test_one_command_makes_a_dataset_of_photographs_and_a_second_one_changes_nothing(person: Person, kept: Any) -> None:
    person.start(images=10, labels=["cat"], workers_per_object=3)
    done = person.run(error=0.05, workers=5)
    assert done.returncode == 0, done.stderr
    with kept() as (aws, server):
        lines = aws.objects()
        assert sorted(line["split"] for line in lines) == ["test"] + ["train"] * 7 + ["validation"] * 2
        scores = {stem: iou(mask == 1, given_mask(stem) == 1) for stem, mask in aws.annotations().items()}
        assert len(scores) == 10
        assert min(scores.values()) > 0.9
        assert max(scores.values()) < 1
        for line in lines:
            photograph = CATS / "images" / line["image"].rpartition("/")[2]
            assert aws.read(f"channels/{line['object']}") == photograph.read_bytes()
        before = aws.all()
        responses = [
            [answer["workerId"] for answer in json.loads(aws.read(key.removeprefix("cats/")))["answers"]]
            for key in before
            if "/worker-response/" in key
        ]
        assert [len(set(workers)) for workers in responses] == [3] * 10
        assert len({worker for workers in responses for worker in workers}) <= 5
    again = person.run(error=0.05, workers=5)
    assert again.returncode == 0, again.stderr
    with kept() as (aws, server):
        assert aws.all() == before
        made = [call for call in server.calls() if call["operation"] == "CreateLabelingJob"]
        assert [call["status"] for call in made] == [200]


def test_annotations_of_workers_without_errors_equal_the_masks_exactly(person: Person, kept: Any) -> None:
    person.start(images=4, labels=["cat"], workers_per_object=3)
    done = person.run(error=0, workers=3)
    assert done.returncode == 0, done.stderr
    with kept() as (aws, _):
        annotations = aws.annotations()
        assert len(annotations) == 4
        for stem, mask in annotations.items():
            np.testing.assert_array_equal(mask, given_mask(stem))
        status = json.loads(person.gtseg("local", "exec", "--", *GTSEG, "status", "--json").stdout)
        assert status["stages"]["dataset"]["done"]
        assert status["run"]["labeling_job"]["counters"]["TotalLabeled"] == 4
