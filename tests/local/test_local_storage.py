"""A labeling server whose objects are in another S3 service: two embedded servers, one of them playing AWS."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError
from labeling.labeling_desk import SIZE, Desk, draw_picture
from local_aws import LocalAWS
from PIL import Image

STAMP = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?")


class FarDesk(Desk):
    """A desk at a labeling server, with its bucket at the S3 service that the server uses."""

    def __init__(self, aws: LocalAWS, storage: LocalAWS) -> None:
        self.storage = storage
        super().__init__(aws)

    def connect(self) -> None:
        super().connect()
        self.s3 = self.storage.client("s3")


def variables(storage: LocalAWS) -> dict[str, str]:
    """The environment of a server that uses the S3 of another one."""
    return {
        name: storage.environment[name]
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION")
    }


def draw_masks(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        mask = np.zeros((SIZE[1], SIZE[0]), np.uint8)
        mask[4 : 12 + number % 5, 3 : 20 + number % 7] = 1
        Image.fromarray(mask).save(folder / f"{number:03}.png")
    return folder


@pytest.fixture(scope="module")
def masks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_masks(tmp_path_factory.mktemp("crowd") / "masks", 14)


@pytest.fixture(scope="module")
def far_aws(
    session_aws: LocalAWS, masks: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalAWS]:
    """A labeling server with `--s3 URL --only labeling`, whose crowd labels every job."""
    options = {"s3": session_aws.url, "only": "labeling", "crowd_masks": masks}
    server = LocalAWS(
        tmp_path_factory.mktemp("far") / "aws", options=options, variables=variables(session_aws)
    )
    yield server
    server.stop()


def label(desk: Desk, name: str) -> tuple[bytes, list[bytes]]:
    """The output manifest of a job that the crowd has labeled, without its times, and the masks in its order."""
    lines = [
        {"source-ref": desk.put(f"images/{number:03}.jpg", draw_picture(number))} for number in range(14)
    ]
    request = desk.request(lines, workers=3) | {"LabelingJobName": name, "LabelAttributeName": "mask-ref"}
    desk.sagemaker.create_labeling_job(**request)
    assert desk.await_end(name)["LabelingJobStatus"] == "Completed"
    uri = desk.describe(name)["LabelingJobOutput"]["OutputDatasetS3Uri"]
    manifest = STAMP.sub(b"T", desk.read(uri)).replace(desk.bucket.encode(), b"BUCKET")
    return manifest, [desk.read(line["mask-ref"]) for line in desk.manifest(name)]


def test_a_job_over_another_s3_service_ends_in_the_bytes_of_one_in_the_data_folder(
    far_aws: LocalAWS, session_aws: LocalAWS, masks: Path, start_local_aws: Any
) -> None:
    near = start_local_aws(options={"crowd_masks": masks})
    assert label(FarDesk(far_aws, session_aws), "job") == label(Desk(near), "job")


def test_s3_requests_are_refused_with_the_address_of_the_objects(
    far_aws: LocalAWS, session_aws: LocalAWS
) -> None:
    with pytest.raises(ClientError, match=re.escape(session_aws.url)) as refusal:
        far_aws.client("s3").list_buckets()
    assert refusal.value.response["Error"]["Code"] == "NotImplemented"
