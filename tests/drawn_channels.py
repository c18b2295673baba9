"""Small drawn training data, and requests of training jobs for it."""

from __future__ import annotations

import functools
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from polling import wait_for

ROLE = "arn:aws:iam::123456789012:role/gtseg"
IMAGE = "811284229777.dkr.ecr.us-east-1.amazonaws.com/semantic-segmentation:1"
HYPERPARAMETERS = {
    "num_classes": "2",
    "num_training_samples": "6",
    "epochs": "2",
    "mini_batch_size": "2",
    "validation_mini_batch_size": "2",
    "base_size": "48",
    "crop_size": "48",
}


def draw_scene(seed: int, size: int = 48) -> tuple[bytes, bytes]:
    """(JPEG, PNG of class indices 0 and 1): a bright disc on a dark ground."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    center = random.integers(size // 3, 2 * size // 3, 2)
    mask = ((x - center[0]) ** 2 + (y - center[1]) ** 2 < (size // 4) ** 2).astype(np.uint8)
    pixels = random.integers(0, 60, (size, size, 3)) + mask[..., None] * 180
    image, annotation = io.BytesIO(), io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(image, "JPEG")
    Image.fromarray(mask).save(annotation, "PNG")
    return image.getvalue(), annotation.getvalue()


def upload_channels(aws: Any, bucket: str, *, train: int = 6, validation: int = 3) -> None:
    """train/, train_annotation/, validation/, validation_annotation/ below s3://bucket/data/."""
    s3 = aws.client("s3")
    s3.create_bucket(Bucket=bucket)
    for channel, count, start in (("train", train, 0), ("validation", validation, 100)):
        for number in range(start, start + count):
            image, annotation = draw_scene(number)
            s3.put_object(Bucket=bucket, Key=f"data/{channel}/{number}.jpg", Body=image)
            s3.put_object(Bucket=bucket, Key=f"data/{channel}_annotation/{number}.png", Body=annotation)


def channel(bucket: str, name: str, *, slash: str = "/") -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/data/{name}{slash}"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}}


def training_request(name: str, bucket: str, **hyperparameters: str) -> dict[str, Any]:
    """CreateTrainingJob on the drawn channels."""
    names = ("train", "train_annotation", "validation", "validation_annotation")
    return {
        "TrainingJobName": name,
        "RoleArn": ROLE,
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        "HyperParameters": {**HYPERPARAMETERS, **hyperparameters},
        "InputDataConfig": [channel(bucket, one) for one in names],
        "OutputDataConfig": {"S3OutputPath": f"s3://{bucket}/out"},
        "ResourceConfig": {"InstanceType": "ml.g4dn.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 10},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
    }


def await_job(sagemaker: Any, name: str, *, seconds: float = 90) -> dict[str, Any]:
    """Return the description of a training job that has ended."""

    def look() -> dict[str, Any] | None:
        answer = sagemaker.describe_training_job(TrainingJobName=name)
        return answer if answer["TrainingJobStatus"] in ("Completed", "Failed", "Stopped") else None

    return wait_for(look, seconds=seconds)


@functools.lru_cache
def train_artifact() -> bytes:
    """Return a model.tar.gz of the algorithm, trained once per process."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for channel_name, numbers in (("train", range(6)), ("validation", range(100, 103))):
            for number in numbers:
                image, annotation = draw_scene(number)
                for path, content in (
                    (root / "input" / "data" / channel_name / f"{number}.jpg", image),
                    (root / "input" / "data" / f"{channel_name}_annotation" / f"{number}.png", annotation),
                ):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(content)
        (root / "input" / "config").mkdir()
        (root / "input" / "config" / "hyperparameters.json").write_text(json.dumps(HYPERPARAMETERS))
        for name in ("model", "output", "checkpoints"):
            (root / name).mkdir()
        command = [sys.executable, "-m", "gtseg.local.algorithm", "train", "--root", str(root)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as archive:
            for path in sorted((root / "model").iterdir()):
                archive.add(path, arcname=path.name)
        return packed.getvalue()
