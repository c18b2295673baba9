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
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from labeling_desk import Desk
    from local_aws import LocalAWS

    folder = tmp_path_factory.mktemp("upgrade") / "aws"
    unpack(folder)
    aws = LocalAWS(folder)
    desk = Desk.__new__(Desk)
    desk.aws, desk.bucket = aws, FACTS["bucket"]
    desk.connect()
    yield desk
    aws.stop()


def sign_in(desk: Any, name: str) -> Any:
    from labeling_desk import Api

    return Api(desk.aws.url, UNFINISHED["tokens"][name])


def test_a_finished_job_has_its_masks_and_the_owner_their_token(desk: Any) -> None:
    assert desk.describe("finished")["LabelCounters"]["TotalLabeled"] == len(FACTS["finished"]["masks"])
    shown = {line["source-ref"]: line["finished-ref"] for line in desk.manifest("finished")}
    assert shown == FACTS["finished"]["masks"]
    masks = [np.array(Image.open(io.BytesIO(desk.read(uri)))) for uri in shown.values()]
    assert all(mask.max() == 1 for mask in masks)
    assert desk.aws.owner_token == FACTS["owner_token"]
    assert {worker["name"] for worker in desk.owner("GET", "/workers")[1]["workers"]} >= {"Ann", "Bob"}


def cover(task: dict[str, Any]) -> np.ndarray:
    return np.ones((task["height"], task["width"]), np.uint8)


def test_an_unfinished_job_continues_with_its_workers_leases_and_answers(desk: Any) -> None:
    from labeling_desk import draw_answer

    ann, bob = sign_in(desk, "Ann"), sign_in(desk, "Bob")
    assert sign_in(desk, "Cleo")("GET", "/jobs")[0] == 401
    held = ann("POST", f"/jobs/{UNFINISHED['job']}/tasks")[1]
    assert (held["task"], held["object"]) == (UNFINISHED["held"]["task"], UNFINISHED["held"]["object"])
    assert ann("POST", f"/tasks/{held['task']}/answer", {"answer": draw_answer(cover(held), held["labels"])})[0] == 200
    dan = desk.hire("Dan")
    people = [
        threading.Thread(target=desk.label_all, args=(person, UNFINISHED["job"], cover)) for person in (ann, bob, dan)
    ]
    for person in people:
        person.start()
    for person in people:
        person.join()
    answer = desk.await_end(UNFINISHED["job"])
    assert (answer["LabelingJobStatus"], answer["LabelCounters"]["TotalLabeled"]) == ("Completed", 4)
    responses = [key for key in desk.keys("out/unfinished/annotations/worker-response/") if key.endswith(".json")]
    assert len(responses) == 4


def test_the_model_and_its_endpoint_give_the_same_masks(desk: Any) -> None:
    sagemaker = desk.aws.client("sagemaker")
    assert sagemaker.describe_training_job(TrainingJobName="discs")["TrainingJobStatus"] == "Completed"
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="discs", WaiterConfig={"Delay": 1})
    answer = desk.aws.client("sagemaker-runtime").invoke_endpoint(
        EndpointName="discs",
        Body=draw_scene(FACTS["invocation"]["scene"])[0],
        ContentType="image/jpeg",
        Accept="image/png",
    )
    mask = np.array(Image.open(io.BytesIO(answer["Body"].read())))
    assert np.bincount(mask.ravel(), minlength=2).tolist() == FACTS["invocation"]["pixels"]


def test_objects_tags_and_unfinished_uploads_are_kept(desk: Any) -> None:
    kept = FACTS["objects"]
    assert desk.read(f"s3://{desk.bucket}/{kept['small']['key']}").decode() == kept["small"]["content"]
    assert desk.s3.get_bucket_tagging(Bucket=desk.bucket)["TagSet"] == [{"Key": "team", "Value": "gtseg"}]
    part = {"PartNumber": 1, "ETag": kept["upload"]["etag"]}
    desk.s3.complete_multipart_upload(
        Bucket=desk.bucket,
        Key=kept["upload"]["key"],
        UploadId=kept["upload"]["id"],
        MultipartUpload={"Parts": [part]},
    )
    assert len(desk.read(f"s3://{desk.bucket}/{kept['upload']['key']}")) == kept["large"]["size"]
