"""Jobs with automated labeling: simulated workers, real training jobs, a killed server."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labeling_fixture import Labeling
from local_aws import LocalAWS
from PIL import Image
from polling import wait_for

OBJECTS = 150
SPECIFICATION = "arn:aws:sagemaker:us-east-1:027400017018:labeling-job-algorithm-specification/semantic-segmentation"


def draw_disc(number: int) -> tuple[bytes, np.ndarray]:
    """A bright disc on noise: its JPEG and its mask, (48, 64) uint8."""
    random = np.random.default_rng(number)
    rows, columns = np.mgrid[:48, :64]
    mask = (columns - random.uniform(18, 46)) ** 2 + (rows - random.uniform(16, 32)) ** 2 < 144
    pixels = random.integers(20, 90, (48, 64, 3))
    pixels[mask] = np.array([220, 120, 40]) + random.integers(-20, 20, 3)
    image = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(image, "JPEG", quality=92)
    return image.getvalue(), mask.astype(np.uint8)


def request_automated(labeling: Labeling, lines: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    config = {"LabelingJobAlgorithmSpecificationArn": SPECIFICATION, **more.pop("config", {})}
    return {**labeling.request(lines, labels=("disc",)), "LabelingJobAlgorithmsConfig": config, **more}


def list_training(labeling: Labeling, name: str) -> list[dict[str, Any]]:
    found = labeling.sagemaker.list_training_jobs(NameContains=name[:20])["TrainingJobSummaries"]
    return sorted(found, key=lambda job: str(job["TrainingJobName"]))


@pytest.mark.timeout(600)  # a model is trained, whatever else the machine does
def test_a_model_labels_part_of_the_objects_even_if_the_server_is_killed(start_local_aws: Any, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    draw_masks(masks)
    options = {"automated_objects": OBJECTS, "crowd_masks": masks, "crowd_error": 0}
    aws: LocalAWS = start_local_aws(options=options)
    labeling = Labeling(aws)
    request = request_automated(labeling, put_discs(labeling))
    name = request["LabelingJobName"]
    labeling.sagemaker.create_labeling_job(**request)

    def kill() -> None:
        aws.kill9()
        aws.start()
        labeling.connect()

    wait_for(lambda: list_training(labeling, name))
    kill()
    folder = aws.folder / "labeling"
    wait_for(lambda: list(folder.glob("*/automated/round-1/output/scores.jsonl")), seconds=400)
    kill()
    wait_for(lambda: labeling.describe(name)["LabelCounters"]["MachineLabeled"], seconds=400)
    kill()
    described = labeling.await_end(name, seconds=400)

    assert described["LabelingJobStatus"] == "Completed", described.get("FailureReason")
    counters, lines = described["LabelCounters"], labeling.manifest(name)
    by_people = [line[f"{name}-ref-metadata"]["human-annotated"] for line in lines].count("yes")
    assert counters["TotalLabeled"] == OBJECTS == counters["HumanLabeled"] + counters["MachineLabeled"]
    assert counters["HumanLabeled"] == by_people <= OBJECTS // 2
    assert mean_iou_of_machine(labeling, name, lines) >= 0.8

    jobs = list_training(labeling, name)
    assert len({job["TrainingJobName"] for job in jobs}) == len(jobs) >= 1
    assert described["LabelingJobOutput"]["FinalActiveLearningModelArn"].endswith(
        f":model/{jobs[-1]['TrainingJobName'].lower()}"
    )
    logs = aws.client("logs").describe_log_streams(logGroupName="/aws/sagemaker/TrainingJobs")["logStreams"]
    assert {job["TrainingJobName"] for job in jobs} <= {s["logStreamName"].partition("/")[0] for s in logs}
    keys = labeling.keys(f"out/{name}/")
    assert len([key for key in keys if "/consolidated-annotation/output/" in key]) == OBJECTS
    document = json.loads(labeling.read(f"s3://{labeling.bucket}/out/{name}/activelearning/round-1/threshold.json"))
    assert document["lowerBound"] >= 0.7
    assert any(key.startswith(f"out/{name}/inference/round-1/") for key in keys)
    assert not list(folder.glob("*/automated"))


def draw_masks(folder: Path) -> None:
    for number in range(OBJECTS):
        Image.fromarray(draw_disc(number)[1]).save(folder / f"disc-{number:03}.png")


def put_discs(labeling: Labeling) -> list[dict[str, Any]]:
    return [
        {"source-ref": labeling.put(f"images/disc-{number:03}.jpg", draw_disc(number)[0])} for number in range(OBJECTS)
    ]


def mean_iou_of_machine(labeling: Labeling, name: str, lines: list[dict[str, Any]]) -> float:
    """Mean IoU of the disc over all automatic labels, after a check of their metadata."""
    ious = []
    for number, line in enumerate(lines):
        metadata = line[f"{name}-ref-metadata"]
        if metadata["human-annotated"] == "yes":
            continue
        assert metadata["type"] == "groundtruth/semantic-segmentation"
        assert 0 < metadata["internal-color-map"]["1"]["confidence"] <= 1
        found = np.array(Image.open(io.BytesIO(labeling.read(line[f"{name}-ref"]))))
        truth = draw_disc(number)[1]
        ious.append(((found == 1) & (truth == 1)).sum() / ((found == 1) | (truth == 1)).sum())
    return float(np.mean(ious))
