"""scripts/benchmark automated [DATA]: one labeling job with automated data labeling, by simulated people, to its end.

Without DATA: 1,300 of the demo's drawn scenes (world seed 7). DATA holds images/*.jpg, masks/*.png (class indices, 255
void) and dataset.json {"classes": [...]}. Printed: how many objects people and the model labeled, the mean IoU without
background of the automatic labels against the known masks (a class that is missing or too much counts as 0), the bound
that each round promised, and CPU time of the server and everything it started.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SCENES, WORLD = 1300, 7
ACCOUNT, LAMBDAS = "123456789012", "arn:aws:lambda:us-east-1:432418664414:function"
SPECIFICATION = "arn:aws:sagemaker:us-east-1:027400017018:labeling-job-algorithm-specification/semantic-segmentation"
TEMPLATE = (
    '<crowd-form><crowd-semantic-segmentation name="crowd-semantic-segmentation" '
    'src="{{ task.input.taskObject | grant_read_access }}" labels="{{ task.input.labels | to_json | escape }}">'
    "</crowd-semantic-segmentation></crowd-form>"
)


@dataclass(frozen=True)
class Figures:
    """What came out of a job: `qualities` are the mean IoUs without background of the automatic labels, `bounds` what
    each round promised (None where it accepted no threshold)."""

    status: str
    objects: int
    by_people: int
    by_machine: int
    qualities: tuple[float, ...]
    bounds: tuple[float | None, ...]


ENDED = ("Completed", "Failed", "Stopped")


def main() -> int:
    options = read_options()
    scratch = Path(tempfile.mkdtemp(prefix="gtseg-benchmark-"))
    try:
        classes = draw(scratch, options.objects) if options.data is None else link(options.data, scratch)
        run(options, scratch, classes)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return 0


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/benchmark automated", description=__doc__)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--objects", type=int, default=SCENES, help="how many scenes are drawn")
    parser.add_argument("--error", type=float, default=0.05, help="of each simulated person (--crowd-error)")
    return parser.parse_args()


def draw(folder: Path, count: int) -> list[str]:
    from gtseg.core.images.scenes import LABELS, draw_scene

    for name in ("images", "masks"):
        (folder / name).mkdir()
    for number in range(count):
        scene = draw_scene(number, seed=WORLD)
        (folder / "images" / f"scene-{number:04d}.jpg").write_bytes(scene.jpeg())
        (folder / "masks" / f"scene-{number:04d}.png").write_bytes(scene.png())
    return list(LABELS)


def link(data: Path, folder: Path) -> list[str]:
    for name in ("images", "masks"):
        (folder / name).symlink_to((data / name).resolve())
    classes: list[str] = json.loads((data / "dataset.json").read_text())["classes"]
    return [name for name in classes if name.lower() != "background"]


def run(options: argparse.Namespace, folder: Path, classes: list[str]) -> Figures:
    """Label `folder`/images by people who know `folder`/masks and by models; print and return what came out."""
    images = sorted((folder / "images").glob("*.jpg"))
    server_options = {
        "crowd_masks": str(folder / "masks"),
        "crowd_error": options.error,
        "automated_objects": min(len(images), 1250),
    }
    server = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "gtseg.local.server",
            "--data",
            str(folder / "aws"),
            "--port",
            "0",
            "--options",
            json.dumps(server_options),
        ],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert server.stdout is not None
    url = server.stdout.readline().strip()
    started = time.monotonic()
    try:
        clients = make_clients(url, folder / "aws")
        name = create_job(clients, images, classes)
        described = follow(clients["sagemaker"], name)
        figures = report(clients["s3"], described, folder / "masks", classes=len(classes))
    finally:
        wall = time.monotonic() - started
        server.terminate()
        server.wait()
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"CPU {usage.ru_utime + usage.ru_stime:.0f} s (server, crowd, training, scoring), wall {wall:.0f} s")
    return figures


def make_clients(url: str, data: Path) -> dict[str, Any]:
    import boto3

    keys = json.loads((data / "credentials.json").read_bytes())
    session = boto3.Session(keys["access_key"], keys["secret_key"], region_name="us-east-1")
    return {name: session.client(name, endpoint_url=url) for name in ("s3", "sagemaker")}


def create_job(clients: dict[str, Any], images: Sequence[Path], classes: Sequence[str]) -> str:
    s3, bucket, name = clients["s3"], "benchmark", "automated"
    s3.create_bucket(Bucket=bucket)
    for path in images:
        s3.upload_file(str(path), bucket, f"images/{path.name}")
    lines = "".join(json.dumps({"source-ref": f"s3://{bucket}/images/{path.name}"}) + "\n" for path in images)
    labels = json.dumps({"document-version": "2018-11-28", "labels": [{"label": label} for label in classes]})
    for key, body in (("manifest", lines), ("labels.json", labels), ("template", TEMPLATE)):
        s3.put_object(Bucket=bucket, Key=key, Body=body.encode())
    clients["sagemaker"].create_labeling_job(
        LabelingJobName=name,
        LabelAttributeName="label-ref",
        InputConfig={"DataSource": {"S3DataSource": {"ManifestS3Uri": f"s3://{bucket}/manifest"}}},
        OutputConfig={"S3OutputPath": f"s3://{bucket}/out"},
        RoleArn=f"arn:aws:iam::{ACCOUNT}:role/GroundTruth",
        LabelCategoryConfigS3Uri=f"s3://{bucket}/labels.json",
        LabelingJobAlgorithmsConfig={"LabelingJobAlgorithmSpecificationArn": SPECIFICATION},
        HumanTaskConfig={
            "WorkteamArn": f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:workteam/private-crowd/gtseg",
            "UiConfig": {"UiTemplateS3Uri": f"s3://{bucket}/template"},
            "PreHumanTaskLambdaArn": f"{LAMBDAS}:PRE-SemanticSegmentation",
            "AnnotationConsolidationConfig": {
                "AnnotationConsolidationLambdaArn": f"{LAMBDAS}:ACS-SemanticSegmentation"
            },
            "TaskTitle": "Mark",
            "TaskDescription": "Mark everything",
            "NumberOfHumanWorkersPerDataObject": 1,
            "TaskTimeLimitInSeconds": 3600,
        },
    )
    return name


def follow(sagemaker: Any, name: str) -> dict[str, Any]:
    shown = ""
    while True:
        described: dict[str, Any] = sagemaker.describe_labeling_job(LabelingJobName=name)
        counters = described["LabelCounters"]
        line = f"people {counters['HumanLabeled']}, model {counters['MachineLabeled']}, left {counters['Unlabeled']}"
        if line != shown:
            print(line, file=sys.stderr)
            shown = line
        if described["LabelingJobStatus"] in ENDED:
            return described
        time.sleep(2)


def report(s3: Any, described: dict[str, Any], masks: Path, *, classes: int) -> Figures:
    counters, output = described["LabelCounters"], described["LabelingJobOutput"]
    print(f"{described['LabelingJobStatus']} {described.get('FailureReason', '')}".strip())
    total = sum(counters[key] for key in ("TotalLabeled", "Unlabeled", "FailedNonRetryableError"))
    people = counters["HumanLabeled"]
    print(
        f"{total} objects: {people} labeled by people ({people / total:.1%}), {counters['MachineLabeled']} by the model"
    )
    manifest = read(s3, output["OutputDatasetS3Uri"]).decode()
    qualities = []
    for text in manifest.splitlines():
        line = json.loads(text)
        if line.get("label-ref-metadata", {}).get("human-annotated") == "no":
            found = np.array(Image.open(io.BytesIO(read(s3, line["label-ref"]))))
            truth = np.array(Image.open(masks / f"{Path(line['source-ref']).stem}.png"))
            qualities.append(mean_iou(found, truth, classes))
    if qualities:
        low = np.percentile(qualities, 5)
        print(f"automatic labels: mean IoU without background {np.mean(qualities):.4f} (5th percentile {low:.3f})")
    bounds = []
    for page in s3.get_paginator("list_objects_v2").paginate(
        Bucket="benchmark", Prefix="out/automated/activelearning/"
    ):
        for entry in page.get("Contents", []):
            document = json.loads(read(s3, f"s3://benchmark/{entry['Key']}"))
            bounds.append(document["lowerBound"])
            print(
                f"{entry['Key'].split('/')[-2]}: {document['validationObjectsAbove']} of "
                f"{len(document['validation'])} validation "
                f"objects above {document['threshold']}, mean IoU {document['expectedMeanIoU']}, at least "
                f"{document['lowerBound']}"
            )
    return Figures(
        described["LabelingJobStatus"], total, people, counters["MachineLabeled"], tuple(qualities), tuple(bounds)
    )


def read(s3: Any, uri: str) -> bytes:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    content: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    return content


def mean_iou(found: np.ndarray, truth: np.ndarray, classes: int) -> float:
    """Over the classes that either has, without background; void pixels count nowhere."""
    counted = truth != 255
    ious = []
    for index in range(1, classes + 1):
        ours, theirs = (found == index) & counted, (truth == index) & counted
        union = np.count_nonzero(ours | theirs)
        if union:
            ious.append(np.count_nonzero(ours & theirs) / union)
    return float(np.mean(ious)) if ious else 1.0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    sys.exit(main())
