"""A data folder of version 0.1.0 served by this version: jobs, workers, model, endpoint."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from drawn_channels import draw_scene
from kept_folder import read_facts, unpack
from PIL import Image

FACTS = read_facts()
UNFINISHED = FACTS["unfinished"]


@pytest.fixture(scope="module")
def labeling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from labeling_fixture import Labeling
    from local_aws import LocalAWS

    folder = tmp_path_factory.mktemp("upgrade") / "aws"
    unpack(folder)
    aws = LocalAWS(folder)
    labeling = Labeling.__new__(Labeling)
    labeling.aws, labeling.bucket = aws, FACTS["bucket"]
    labeling.connect()
    yield labeling
    aws.stop()


def sign_in(labeling: Any, name: str) -> Any:
    from labeling_fixture import Api

    return Api(labeling.aws.url, UNFINISHED["tokens"][name])


def test_a_finished_job_has_its_masks_and_the_owner_their_token(labeling: Any) -> None:
    assert labeling.describe("finished")["LabelCounters"]["TotalLabeled"] == len(FACTS["finished"]["masks"])
    shown = {line["source-ref"]: line["finished-ref"] for line in labeling.manifest("finished")}
    assert shown == FACTS["finished"]["masks"]
    masks = [np.array(Image.open(io.BytesIO(labeling.read(uri)))) for uri in shown.values()]
    assert all(mask.max() == 1 for mask in masks)
    assert labeling.aws.owner_token == FACTS["owner_token"]
    assert {worker["name"] for worker in labeling.owner("GET", "/workers")[1]["workers"]} >= {"Ann", "Bob"}


def cover(task: dict[str, Any]) -> np.ndarray:
    return np.ones((task["height"], task["width"]), np.uint8)


def test_an_unfinished_job_continues_with_its_workers_leases_and_answers(labeling: Any) -> None:
    from labeling_fixture import draw_answer

    ann, bob = sign_in(labeling, "Ann"), sign_in(labeling, "Bob")
    assert sign_in(labeling, "Cleo")("GET", "/jobs")[0] == 401
    held = ann("POST", f"/jobs/{UNFINISHED['job']}/tasks")[1]
    assert (held["task"], held["object"]) == (UNFINISHED["held"]["task"], UNFINISHED["held"]["object"])
    assert ann("POST", f"/tasks/{held['task']}/answer", {"answer": draw_answer(cover(held), held["labels"])})[0] == 200
    dan = labeling.hire("Dan")
    people = [
        threading.Thread(target=labeling.label_all, args=(person, UNFINISHED["job"], cover))
        for person in (ann, bob, dan)
    ]
    for person in people:
        person.start()
    for person in people:
        person.join()
    answer = labeling.await_end(UNFINISHED["job"])
    assert (answer["LabelingJobStatus"], answer["LabelCounters"]["TotalLabeled"]) == ("Completed", 4)
    responses = [key for key in labeling.keys("out/unfinished/annotations/worker-response/") if key.endswith(".json")]
    assert len(responses) == 4


def test_the_model_and_its_endpoint_give_the_same_masks(labeling: Any) -> None:
    sagemaker = labeling.aws.client("sagemaker")
    assert sagemaker.describe_training_job(TrainingJobName="discs")["TrainingJobStatus"] == "Completed"
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="discs", WaiterConfig={"Delay": 1})
    answer = labeling.aws.client("sagemaker-runtime").invoke_endpoint(
        EndpointName="discs",
        Body=draw_scene(FACTS["invocation"]["scene"])[0],
        ContentType="image/jpeg",
        Accept="image/png",
    )
    mask = np.array(Image.open(io.BytesIO(answer["Body"].read())))
    assert np.bincount(mask.ravel(), minlength=2).tolist() == FACTS["invocation"]["pixels"]


def test_objects_tags_and_unfinished_uploads_are_kept(labeling: Any) -> None:
    kept = FACTS["objects"]
    assert labeling.read(f"s3://{labeling.bucket}/{kept['small']['key']}").decode() == kept["small"]["content"]
    assert labeling.s3.get_bucket_tagging(Bucket=labeling.bucket)["TagSet"] == [{"Key": "team", "Value": "gtseg"}]
    part = {"PartNumber": 1, "ETag": kept["upload"]["etag"]}
    labeling.s3.complete_multipart_upload(
        Bucket=labeling.bucket,
        Key=kept["upload"]["key"],
        UploadId=kept["upload"]["id"],
        MultipartUpload={"Parts": [part]},
    )
    assert len(labeling.read(f"s3://{labeling.bucket}/{kept['upload']['key']}")) == kept["large"]["size"]
