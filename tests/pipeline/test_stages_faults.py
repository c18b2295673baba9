"""label, watch and dataset with each fault at a rate of 20 %: one labeling job and the undisturbed result.

Each operation of a stage has a fault at a rate of 20 %, seeded so that its first request is hit.
"""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from labeling_project import write_image
from local_aws import LocalAWS
from PIL import Image

KINDS = ("throttle", "fail", "delay", "drop", "truncate", "corrupt")
IMAGES, RATE, BUCKET = 12, 0.2, "faulty-run"
BODIED = {
    "label": ["sts:GetCallerIdentity", "sagemaker:ListWorkteams", "s3:GetBucketLocation", "s3:GetBucketCors",
    "s3:ListObjectsV2",
              "sagemaker:DescribeLabelingJob", "sagemaker:CreateLabelingJob"],
    "watch": ["s3:GetObject", "sagemaker:DescribeLabelingJob"],
    "dataset": ["s3:GetObject", "s3:CopyObject", "s3:ListObjectsV2"],
}  # fmt: skip
"""What each stage asks for whose answer has a body to truncate or to corrupt."""
BODILESS = {
    "label": ["s3:HeadBucket", "s3:CreateBucket", "s3:PutBucketCors", "s3:PutObject"],
    "watch": ["s3:PutObject"],
    "dataset": ["s3:PutObject"],
}
BY_THE_JOB = re.compile(r"/(annotations|manifests)/")
"""What the labeling job writes by itself while commands run."""


def operations_of(stage: str, kind: str) -> list[str]:
    return BODIED[stage] + ([] if kind in ("truncate", "corrupt") else BODILESS[stage])


def seed_that_hits_the_first(number: int) -> int:
    """Return the `number`th seed whose first draw is below the rate."""
    hits = (seed for seed in range(10_000) if random.Random(seed).random() < RATE)
    return next(seed for place, seed in enumerate(hits) if place == number)


class FaultyProject:
    """Project on its own server, with real commands."""

    def __init__(self, folder: Path, start: Callable[..., LocalAWS]) -> None:
        self.folder, self.faults = folder / "project", folder / "faults.json"
        self.draw(folder / "masks")
        self.faults.write_text("{}")
        options = {"crowd_masks": str(folder / "masks"), "crowd_error": 0, "faults": str(self.faults)}
        self.server = start(folder / "aws", options=options)
        self.s3 = self.server.client("s3")

    def draw(self, masks: Path) -> None:
        masks.mkdir(parents=True)
        for number in range(IMAGES):
            write_image(self.folder / "photos" / f"p{number:02}.jpg", size=(40, 30), color=number)
            mask = Image.new("L", (40, 30), 0)
            mask.paste(1, (number, 5, number + 10, 20))
            mask.save(masks / f"p{number:02}.png")
        (self.folder / "gtseg.toml").write_text(
            f'[project]\nname = "r"\nbucket = "{BUCKET}"\ncreate_bucket = true\n'
            '[images]\nsource = "photos"\n[labeling]\nlabels = ["box"]\n'
        )

    def command(self, stage: str) -> None:
        words = [sys.executable, "-m", "gtseg", stage, *(["--yes"] if stage == "label" else [])]
        environment = self.server.environment | {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(words, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, f"{stage}: {done.stderr[-3000:]}"
        assert "Traceback" not in done.stderr

    def disturb(self, stage: str, kind: str) -> dict[str, int]:
        """Run a stage with faults of one kind and return how often each operation's fault fired."""
        faults = [
            {
                "kind": kind,
                "operations": [name],
                "rate": RATE,
                "seconds": 0.05,
                "seed": seed_that_hits_the_first(number),
            }
            for number, name in enumerate(operations_of(stage, kind))
        ]
        self.faults.write_text(json.dumps({"fault": faults}))
        self.command(stage)
        with urllib.request.urlopen(f"{self.server.url}/_gtseg/faults", timeout=30) as answer:
            counted = json.load(answer)["faults"]
        self.faults.write_text("{}")
        return {fault["operations"][0]: fault["fired"] for fault in counted}

    def objects(self) -> dict[str, bytes]:
        """Return all objects written by the commands, by key."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        return {key: self.read(key) for key in keys if not BY_THE_JOB.search(key)}

    def read(self, key: str) -> bytes:
        return bytes(self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())

    def put_back(self, objects: dict[str, bytes]) -> None:
        for key in self.objects().keys() - objects.keys():
            self.s3.delete_object(Bucket=BUCKET, Key=key)
        for key, body in objects.items():
            self.s3.put_object(Bucket=BUCKET, Key=key, Body=body)

    def created(self) -> list[str]:
        """Return the names of created labeling jobs from the server's log; no other resource may be created."""
        made = [call for call in self.server.calls() if call["status"] < 300 and call["service"] != "s3"]
        return [f"{call['operation']} {call['name']}" for call in made]

    def request(self) -> dict[str, Any]:
        """Return the server's description of the job, without fields that change while it runs."""
        job = self.server.client("sagemaker").describe_labeling_job(LabelingJobName="r-label-1")
        changing = (
            "LabelingJobStatus",
            "LabelCounters",
            "LabelingJobOutput",
            "CreationTime",
            "LastModifiedTime",
            "JobReferenceCode",
            "ResponseMetadata",
        )
        return {name: value for name, value in job.items() if name not in changing}


def without_times(objects: dict[str, bytes]) -> dict[str, bytes]:
    """Return run.json without times, and without the difference between created and adopted."""
    text = re.sub(rb'"\d{4}-\d\d-\d\dT[\d:]+Z"', b'"time"', objects["r/run.json"])
    return objects | {"r/run.json": text.replace(b'"adopted"', b'"created"')}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, bytes], Any]]:
    """Return the objects of an undisturbed `gtseg label`, and the server's description of the job."""
    project = FaultyProject(tmp_path_factory.mktemp("undisturbed"), LocalAWS)
    project.command("label")
    yield without_times(project.objects()), project.request()
    project.server.stop()


@pytest.mark.parametrize("kind", KINDS)
def test_label_watch_and_dataset_have_the_same_results_with_a_fifth_of_faults(
    kind: str,
    undisturbed: tuple[dict[str, bytes], Any],
    start_server: Callable[..., LocalAWS],
    tmp_path: Path,
) -> None:
    project = FaultyProject(tmp_path, start_server)
    fired = project.disturb("label", kind)
    assert fired.keys() == set(operations_of("label", kind))
    assert all(fired.values()), fired
    assert project.created() == ["CreateLabelingJob r-label-1"]
    assert (without_times(project.objects()), project.request()) == undisturbed
    for stage in ("watch", "dataset"):
        before = project.objects()
        fired = project.disturb(stage, kind)
        assert all(fired.values()), fired
        disturbed = project.objects()
        assert disturbed != before
        project.put_back(before)
        project.command(stage)
        assert disturbed == project.objects(), stage
    assert project.created() == ["CreateLabelingJob r-label-1"]
    assert "Traceback" not in project.server.log.read_text()


@pytest.fixture
def start_server() -> Iterator[Callable[..., LocalAWS]]:
    servers: list[LocalAWS] = []

    def start(folder: Path, **settings: Any) -> LocalAWS:
        servers.append(LocalAWS(folder, **settings))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()
