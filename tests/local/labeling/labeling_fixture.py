"""Helpers for tests of labeling: a bucket with small images, jobs over them, and workers of the HTTP API."""

from __future__ import annotations

import base64
import io
import json
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image
from polling import wait_for

TEMPLATE = """<script src="https://assets.crowd.aws/crowd-html-elements.js"></script><crowd-form>
<crowd-semantic-segmentation name="crowd-semantic-segmentation" src="{{ task.input.taskObject | grant_read_access }}"
 header="Mark {{ task.input.labels | join: ', ' }}" labels="{{ task.input.labels | to_json | escape }}">
<short-instructions>Mark everything.</short-instructions></crowd-semantic-segmentation></crowd-form>"""
PRE = "arn:aws:lambda:us-east-1:432418664414:function:PRE-SemanticSegmentation"
ACS = "arn:aws:lambda:us-east-1:432418664414:function:ACS-SemanticSegmentation"
TEAM = "arn:aws:sagemaker:us-east-1:123456789012:workteam/private-crowd/gtseg"
PUBLIC = "arn:aws:sagemaker:us-east-1:394669845002:workteam/public-crowd/default"
COLORS = {1: "#2ca02c", 2: "#1f77b4", 3: "#ff7f0e"}
SIZE = (32, 24)
END = ("Completed", "Failed", "Stopped")


def draw_picture(number: int) -> bytes:
    output = io.BytesIO()
    Image.new("RGB", SIZE, (number * 7 % 256, 80, 120)).save(output, "JPEG")
    return output.getvalue()


def draw_answer(mask: np.ndarray, labels: list[str], colors: dict[int, str] = COLORS) -> dict[str, Any]:
    rgba = np.zeros((*mask.shape, 4), np.uint8)
    for index in range(1, len(labels) + 1):
        rgba[mask == index] = (*bytes.fromhex(colors[index][1:]), 255)
    output = io.BytesIO()
    Image.fromarray(rgba).save(output, "PNG")
    return {
        "crowd-semantic-segmentation": {
            "inputImageProperties": {"height": mask.shape[0], "width": mask.shape[1]},
            "labelMappings": {label: {"color": colors[index + 1]} for index, label in enumerate(labels)},
            "labeledImage": {"pngImageData": base64.b64encode(output.getvalue()).decode()},
        }
    }


def square(value: int = 1, *, shift: int = 0) -> np.ndarray:
    mask = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    mask[6:18, 8 + shift : 20 + shift] = value
    return mask


class Api:
    """HTTP with a bearer token: (status, JSON or bytes)."""

    def __init__(self, url: str, token: str) -> None:
        self.url, self.token = url, token

    def __call__(
        self, method: str, path: str, document: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        body = document if isinstance(document, bytes) else None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(f"{self.url}/_portal/api{path}", body, method=method)
        for name, value in {"Authorization": f"Bearer {self.token}", **(headers or {})}.items():
            if value:
                request.add_header(name, value)
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                status, kind, content = (
                    response.status,
                    response.headers["Content-Type"] or "",
                    response.read(),
                )
        except urllib.error.HTTPError as error:
            status, kind, content = error.code, error.headers["Content-Type"] or "", error.read()
        return status, json.loads(content) if content and "json" in kind else content


class Labeling:
    def __init__(self, aws: Any) -> None:
        self.aws, self.bucket = aws, f"labeling-{uuid.uuid4().hex[:12]}"
        self.connect()
        self.s3.create_bucket(Bucket=self.bucket)
        self.put("template.liquid", TEMPLATE)

    def connect(self) -> None:
        self.s3, self.sagemaker = self.aws.client("s3"), self.aws.client("sagemaker")
        self.owner = Api(self.aws.url, self.aws.owner_token)

    def put(self, key: str, body: str | bytes) -> str:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)
        return f"s3://{self.bucket}/{key}"

    def read(self, uri: str) -> bytes:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()

    def keys(self, prefix: str) -> list[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def put_pictures(self, count: int) -> list[str]:
        return [self.put(f"images/{number:03}.jpg", draw_picture(number)) for number in range(count)]

    def request(
        self,
        lines: list[dict[str, Any]] | int,
        *,
        labels: tuple[str, ...] = ("cat",),
        workers: int = 1,
        **human: Any,
    ) -> dict[str, Any]:
        """A CreateLabelingJob request for `count` new images, or for these manifest lines."""
        if isinstance(lines, int):
            lines = [{"source-ref": uri} for uri in self.put_pictures(lines)]
        name = f"Job-{uuid.uuid4().hex[:8]}"
        manifest = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
        document = {"document-version": "2018-11-28", "labels": [{"label": label} for label in labels]}
        return {
            "LabelingJobName": name,
            "LabelAttributeName": f"{name}-ref",
            "InputConfig": {"DataSource": {"S3DataSource": {"ManifestS3Uri": self.put(f"{name}.manifest", manifest)}}},
            "OutputConfig": {"S3OutputPath": f"s3://{self.bucket}/out/"},
            "RoleArn": "arn:aws:iam::111122223333:role/GroundTruth",
            "LabelCategoryConfigS3Uri": self.put(f"{name}.json", json.dumps(document)),
            "HumanTaskConfig": {
                "WorkteamArn": TEAM,
                "UiConfig": {"UiTemplateS3Uri": f"s3://{self.bucket}/template.liquid"},
                "PreHumanTaskLambdaArn": PRE,
                "AnnotationConsolidationConfig": {"AnnotationConsolidationLambdaArn": ACS},
                "TaskTitle": "Mark cats",
                "TaskDescription": "Mark every cat",
                "NumberOfHumanWorkersPerDataObject": workers,
                "TaskTimeLimitInSeconds": 3600,
                **human,
            },
        }

    def create(self, *arguments: Any, **settings: Any) -> str:
        request = self.request(*arguments, **settings)
        self.sagemaker.create_labeling_job(**request)
        return request["LabelingJobName"]

    def describe(self, name: str) -> dict[str, Any]:
        return self.sagemaker.describe_labeling_job(LabelingJobName=name)

    def await_end(self, name: str, *, seconds: float = 120) -> dict[str, Any]:
        wait_for(lambda: self.describe(name)["LabelingJobStatus"] in END, seconds=seconds)
        return self.describe(name)

    def manifest(self, name: str) -> list[dict[str, Any]]:
        uri = self.describe(name)["LabelingJobOutput"]["OutputDatasetS3Uri"]
        return [json.loads(line) for line in self.read(uri).decode().splitlines()]

    def hire(self, name: str = "", team: str = "gtseg", **more: Any) -> Api:
        status, answer = self.owner("POST", "/workers", {"name": name or uuid.uuid4().hex, "team": team, **more})
        assert status == 201, answer
        return Api(self.aws.url, answer["token"])

    def lease(self, worker: Api, job: str, *, seconds: float = 120) -> dict[str, Any]:
        return wait_for(lambda: worker("POST", f"/jobs/{job}/tasks")[1], seconds=seconds)

    def label_all(
        self,
        worker: Api,
        job: str,
        mask: Callable[[dict[str, Any]], np.ndarray] = lambda task: square(),
        *,
        count: int | None = None,
    ) -> list[str]:
        """Answer `count` tasks, or every task until the job has ended; return the objects in order."""
        done: list[str] = []

        def answer_all() -> bool:
            """Answer all available tasks; return whether the job has ended."""
            while len(done) != count:
                status, task = worker("POST", f"/jobs/{job}/tasks")
                if status != 200:
                    return self.describe(job)["LabelingJobStatus"] in END
                answer = {"answer": draw_answer(mask(task), task["labels"])}
                assert worker("POST", f"/tasks/{task['task']}/answer", answer)[0] == 200
                done.append(task["object"])
            return True

        wait_for(answer_all, seconds=120)
        return done
