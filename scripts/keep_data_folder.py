"""Make the data folder that a release of gtseg leaves behind, small, for the upgrade tests (tests/data/data-folder-*).

    git worktree add ../released 97dcc9b
    python scripts/keep_data_folder.py ../released tests/data/data-folder-0.1.0

The release's own code does everything: it serves, labels with a simulated crowd and with people, trains and hosts. The
result is DIRECTORY/folder.tar.xz and DIRECTORY/facts.json, which says what is in it. The last step unpacks the archive
again and lets the release serve from it: the jobs, the model and the endpoint must still be usable.
"""

from __future__ import annotations

import argparse
import importlib
import io
import json
import lzma
import os
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

BUCKET = "kept"
LABELS = ["disc", "ring"]
FINISHED, UNFINISHED = "finished", "unfinished"
MODEL = "discs"
FRACTION = 1 << 23  # the bits of a float32 below its exponent
KEPT_SHARE = 0.6  # of the weights of a large tensor become powers of two; the others, the smallest, become 0
FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 0, "lp": 2, "pb": 2}]
TASK_SECONDS = 8 * 3600


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("checkout", type=Path, help="the release's source, its tests included")
    parser.add_argument("directory", type=Path)
    chosen = parser.parse_args()
    release = chosen.checkout.resolve()
    os.environ["PYTHONPATH"] = str(release)
    sys.path[:0] = [str(release / part) for part in ("tests", "tests/local", "tests/local/labeling", "")]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "aws"
        facts = fill(folder, Path(scratch))
        chosen.directory.mkdir(parents=True, exist_ok=True)
        archive = chosen.directory / "folder.tar.xz"
        pack(folder, archive)
        (chosen.directory / "facts.json").write_text(json.dumps(facts, indent=1) + "\n")
        prove(archive, facts, Path(scratch) / "again")
    print(f"{archive}: {archive.stat().st_size:,} bytes")


def fill(folder: Path, scratch: Path) -> dict[str, Any]:
    """What is in the folder afterwards, with the tokens that open it."""
    drawn = importlib.import_module("drawn_channels")
    local_aws = importlib.import_module("local_aws")
    masks = scratch / "masks"
    masks.mkdir()
    crowd = {"crowd_masks": str(masks), "crowd_workers": 2, "crowd_error": 0.02}
    uris = []
    for number in range(4):
        _, annotation = drawn.draw_scene(number)
        (masks / f"{number}.png").write_bytes(annotation)
        uris.append(f"s3://{BUCKET}/images/{number}.jpg")
    aws = local_aws.LocalAWS(folder, options=crowd)
    drawn.upload_channels(aws, BUCKET, train=4, validation=2)
    labeling = make_labeling(aws)
    for number, uri in enumerate(uris):
        labeling.put(f"images/{number}.jpg", drawn.draw_scene(number)[0])
        assert uri.endswith(f"/{number}.jpg")
    facts: dict[str, Any] = {"bucket": BUCKET, "labels": LABELS}
    facts["finished"] = label_with_crowd(labeling, uris)
    aws.stop()

    aws.options = {}
    aws.start()
    labeling = make_labeling(aws)
    facts["unfinished"] = label_by_hand(labeling, uris)
    facts["model"] = train_and_host(aws, drawn)
    facts["objects"] = put_objects(labeling)
    facts["owner_token"] = aws.owner_token
    facts["invocation"] = invoke(aws, drawn)
    aws.stop()
    aws.start()  # removes the files of what was replaced
    labeling.connect()
    assert aws.stop() == 0
    return facts


def make_labeling(aws: Any) -> Any:
    """labeling_fixture.Labeling on a bucket whose name is always the same."""
    labeling_fixture = importlib.import_module("labeling_fixture")
    labeling = labeling_fixture.Labeling.__new__(labeling_fixture.Labeling)
    labeling.aws, labeling.bucket = aws, BUCKET
    labeling.connect()
    labeling.put("template.liquid", labeling_fixture.TEMPLATE)
    return labeling


def create_job(labeling: Any, name: str, uris: list[str], *, workers: int) -> None:
    request = labeling.request([{"source-ref": uri} for uri in uris], labels=tuple(LABELS), workers=workers)
    request["LabelingJobName"], request["LabelAttributeName"] = name, f"{name}-ref"
    request["HumanTaskConfig"]["TaskTimeLimitInSeconds"] = TASK_SECONDS
    labeling.sagemaker.create_labeling_job(**request)


def label_with_crowd(labeling: Any, uris: list[str]) -> dict[str, Any]:
    create_job(labeling, FINISHED, uris, workers=2)
    assert labeling.await_end(FINISHED)["LabelingJobStatus"] == "Completed"
    lines = labeling.manifest(FINISHED)
    masks = {line["source-ref"]: line[f"{FINISHED}-ref"] for line in lines}
    assert len(masks) == len(uris)
    return {"job": FINISHED, "masks": masks}


def label_by_hand(labeling: Any, uris: list[str]) -> dict[str, Any]:
    """Two answers per object: one object done, one with an answer and a decline, one leased to Ann, one untouched."""
    create_job(labeling, UNFINISHED, uris, workers=2)
    people = {name: labeling.hire(name) for name in ("Ann", "Bob", "Cleo")}
    answered: dict[str, list[str]] = {name: [] for name in people}
    for name in ("Ann", "Bob"):
        answered[name].append(submit(labeling, people[name], labeling.lease(people[name], UNFINISHED)))
    answered["Ann"].append(submit(labeling, people["Ann"], labeling.lease(people["Ann"], UNFINISHED)))
    declined = labeling.lease(people["Bob"], UNFINISHED)
    people["Bob"]("POST", f"/tasks/{declined['task']}/decline", {"reason": "too dark"})
    held = labeling.lease(people["Ann"], UNFINISHED)
    status, _ = labeling.owner("DELETE", f"/workers/{find_worker(labeling, 'Cleo')}")
    assert status == 204
    return {
        "job": UNFINISHED,
        "tokens": {name: person.token for name, person in people.items()},
        "removed": "Cleo",
        "answered": answered,
        "declined": {"Bob": declined["object"]},
        "held": {"worker": "Ann", "task": held["task"], "object": held["object"]},
    }


def submit(labeling: Any, person: Any, task: dict[str, Any]) -> str:
    labeling_fixture = importlib.import_module("labeling_fixture")
    mask = np.zeros((task["height"], task["width"]), np.uint8)
    mask[8:30, 8:30] = 1
    document = {"answer": labeling_fixture.draw_answer(mask, task["labels"])}
    status, _ = person("POST", f"/tasks/{task['task']}/answer", document)
    assert status == 200
    return str(task["object"])


def find_worker(labeling: Any, name: str) -> str:
    return next(one["worker_id"] for one in labeling.owner("GET", "/workers")[1]["workers"] if one["name"] == name)


def train_and_host(aws: Any, drawn: Any) -> dict[str, Any]:
    sagemaker, s3 = aws.client("sagemaker"), aws.client("s3")
    sagemaker.create_training_job(**drawn.training_request(MODEL, BUCKET, epochs="6"))
    answer = drawn.await_job(sagemaker, MODEL)
    assert answer["TrainingJobStatus"] == "Completed", answer
    key = f"out/{MODEL}/output/model.tar.gz"
    content = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    s3.put_object(Bucket=BUCKET, Key=key, Body=round_weights(content))
    container = {"Image": drawn.IMAGE, "ModelDataUrl": f"s3://{BUCKET}/{key}"}
    sagemaker.create_model(ModelName=MODEL, ExecutionRoleArn=drawn.ROLE, PrimaryContainer=container)
    variant = {"VariantName": "AllTraffic", "ModelName": MODEL, "InstanceType": "ml.c5.xlarge"}
    sagemaker.create_endpoint_config(
        EndpointConfigName=MODEL, ProductionVariants=[{**variant, "InitialInstanceCount": 1}]
    )
    sagemaker.create_endpoint(EndpointName=MODEL, EndpointConfigName=MODEL)
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=MODEL, WaiterConfig={"Delay": 1})
    metrics = {item["MetricName"]: item["Value"] for item in answer["FinalMetricDataList"]}
    return {"training_job": MODEL, "endpoint": MODEL, "artifact": f"s3://{BUCKET}/{key}", "metrics": metrics}


def round_weights(archive: bytes) -> bytes:
    """The same model with weights that compress, in an archive that is not compressed itself."""
    import torch

    output = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(archive)) as source,
        tarfile.open(fileobj=output, mode="w:gz", compresslevel=0) as target,
    ):
        for member in source.getmembers():
            file = source.extractfile(member)
            content = file.read() if file is not None else b""
            if not member.name.endswith(".json"):
                weights = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
                rounded = io.BytesIO()
                torch.save({name: round_tensor(value) for name, value in weights.items()}, rounded)
                content = rounded.getvalue()
            member.size = len(content)
            target.addfile(member, io.BytesIO(content))
    return output.getvalue()


def round_tensor(value: Any) -> Any:
    """A tensor of the same shape whose numbers are rounded, most of them to 0."""
    import torch

    if value.dtype != torch.float32 or value.numel() < 1000:
        return value
    smallest = value.abs().flatten().kthvalue(int(value.numel() * (1 - KEPT_SHARE))).values
    kept = torch.where(value.abs() > smallest, value, torch.zeros_like(value)).contiguous()
    return ((kept.view(torch.int32) + FRACTION // 2) & -FRACTION).view(torch.float32)


def put_objects(labeling: Any) -> dict[str, Any]:
    """Further objects: one in a file, one with a name that is no file name, a multipart upload that goes on."""
    large = bytes(range(256)) * 256
    labeling.put("large.bin", large)
    labeling.put("ab/../Größe 1+1=2", "small")
    labeling.s3.put_bucket_tagging(Bucket=BUCKET, Tagging={"TagSet": [{"Key": "team", "Value": "gtseg"}]})
    upload = labeling.s3.create_multipart_upload(Bucket=BUCKET, Key="assembled.bin")["UploadId"]
    part = labeling.s3.upload_part(Bucket=BUCKET, Key="assembled.bin", UploadId=upload, PartNumber=1, Body=large)
    return {
        "large": {"key": "large.bin", "size": len(large)},
        "small": {"key": "ab/../Größe 1+1=2", "content": "small"},
        "upload": {"key": "assembled.bin", "id": upload, "etag": part["ETag"]},
    }


def invoke(aws: Any, drawn: Any) -> dict[str, Any]:
    """What the endpoint answers for one scene: the number of pixels of every class."""
    answer = aws.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=MODEL, Body=drawn.draw_scene(7)[0], ContentType="image/jpeg", Accept="image/png"
    )
    mask = np.array(Image.open(io.BytesIO(answer["Body"].read())))
    return {"scene": 7, "size": list(mask.shape), "pixels": np.bincount(mask.ravel(), minlength=2).tolist()}


def pack(folder: Path, archive: Path) -> None:
    """The folder without what the release recreates: logs, unpacked models, empty folders of objects."""
    with (
        lzma.open(archive, "wb", filters=FILTERS) as compressed,
        tarfile.open(fileobj=compressed, mode="w") as target,
    ):
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder)
            if path.is_file() and "ml" not in name.parts and path.name != "server.log":
                target.add(path, arcname=str(name), filter=strip)


def strip(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    return member


def prove(archive: Path, facts: dict[str, Any], folder: Path) -> None:
    """Let the release serve the unpacked archive."""
    drawn, local_aws = importlib.import_module("drawn_channels"), importlib.import_module("local_aws")
    with tarfile.open(archive) as source:
        source.extractall(folder, filter="data")
    aws = local_aws.LocalAWS(folder)
    try:
        labeling = make_labeling(aws)
        labeling.sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=MODEL, WaiterConfig={"Delay": 1})
        assert invoke(aws, drawn) == facts["invocation"]
        ann = importlib.import_module("labeling_fixture").Api(aws.url, facts["unfinished"]["tokens"]["Ann"])
        assert ann("POST", f"/jobs/{UNFINISHED}/tasks")[1]["task"] == facts["unfinished"]["held"]["task"]
        assert labeling.describe(FINISHED)["LabelCounters"]["TotalLabeled"] == len(facts["finished"]["masks"])
    finally:
        aws.stop()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
