"""Helpers for browser tests: labeling jobs, and users with pointer and keyboard."""

from __future__ import annotations

import io
import json
import urllib.request
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image
from polling import wait_for

TEMPLATE = """<script src="https://assets.crowd.aws/crowd-html-elements.js"></script>
<crowd-form>
  <crowd-semantic-segmentation name="crowd-semantic-segmentation" src="{{ task.input.taskObject | grant_read_access }}"
    header="Please segment out all animals." labels="{{ task.input.labels | to_json | escape }}">
    <full-instructions header="Segmentation instructions">
      <ol><li>Read the task.</li><li>Outline every animal.</li></ol></full-instructions>
    <short-instructions><p>Outline each animal. Leave the rest unlabeled.</p></short-instructions>
  </crowd-semantic-segmentation>
</crowd-form>"""
COLORS = {1: (0x2C, 0xA0, 0x2C), 2: (0x1F, 0x77, 0xB4), 3: (0xFF, 0x7F, 0x0E)}


def draw_photo(width: int = 320, height: int = 240) -> Image.Image:
    """A bright disc on a dark background."""
    y, x = np.mgrid[:height, :width]
    pixels = np.full((height, width, 3), (40, 60, 50), np.uint8)
    pixels[(x - 160) ** 2 + (y - 120) ** 2 < 60**2] = (220, 180, 90)
    pixels += np.random.default_rng(0).integers(0, 12, pixels.shape, dtype=np.uint8)
    return Image.fromarray(pixels)


def encode(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@dataclass
class PortalJob:
    """A job of a running server, and access to its output."""

    aws: Any
    job: str
    links: dict[str, str] = field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        return self.aws.client("sagemaker").describe_labeling_job(LabelingJobName=self.job)  # type: ignore[no-any-return]

    def await_status(self, status: str = "Completed", *, seconds: float = 120) -> dict[str, Any]:
        return wait_for(lambda: (answer := self.describe())["LabelingJobStatus"] == status and answer, seconds=seconds)

    def read(self, key_end: str) -> list[bytes]:
        """The job's output objects with this key suffix."""
        s3 = self.aws.client("s3")
        keys = [o["Key"] for o in s3.list_objects_v2(Bucket="labels", Prefix=f"out/{self.job}/").get("Contents", [])]
        return [s3.get_object(Bucket="labels", Key=key)["Body"].read() for key in keys if key.endswith(key_end)]

    def masks(self) -> list[np.ndarray]:
        """Consolidated masks as (H, W) indices, in the order of the output manifest."""
        found = []
        (manifest,) = self.read("output.manifest")
        for line in manifest.decode().splitlines():
            bucket, _, key = json.loads(line)["animals-ref"].removeprefix("s3://").partition("/")
            body = self.aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
            found.append(np.array(Image.open(io.BytesIO(body))))
        return found

    def answers(self) -> list[dict[str, Any]]:
        """The submitted answers, from the worker-response files."""
        documents = [json.loads(body) for body in self.read(".json") if b'"answers"' in body[:20]]
        return [answer for document in documents for answer in document["answers"]]


def png_of(answer: dict[str, Any]) -> np.ndarray:
    """The (H, W, 4) pixels of a worker's PNG."""
    import base64

    value = answer["answerContent"]["crowd-semantic-segmentation"]
    image = Image.open(io.BytesIO(base64.b64decode(value["labeledImage"]["pngImageData"])))
    assert image.mode == "RGBA"
    return np.array(image)


def ask(aws: Any, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    request = urllib.request.Request(
        aws.url + path,
        method=method,
        data=json.dumps(body).encode() if body is not None else None,
        headers={"Authorization": f"Bearer {aws.owner_token}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read() or b"null")


def make_job(
    aws: Any,
    images: dict[str, bytes],
    *,
    job: str,
    workers: tuple[str, ...] = ("Ada",),
    per_object: int = 1,
    template: str = TEMPLATE,
    labels: tuple[str, ...] = ("cat", "dog", "sea turtle"),
    time_limit: int = 3600,
    entry: dict[str, Any] | None = None,
) -> PortalJob:
    """Create a private job over these images, with workers and their links. `entry` is added to each manifest line."""
    s3, sagemaker = aws.client("s3"), aws.client("sagemaker")
    s3.create_bucket(Bucket="labels")
    for name, body in images.items():
        kind = "image/png" if name.endswith(".png") else "image/jpeg"
        s3.put_object(Bucket="labels", Key=f"{job}/{name}", Body=body, ContentType=kind)
    lines = "".join(json.dumps({"source-ref": f"s3://labels/{job}/{name}", **(entry or {})}) + "\n" for name in images)
    s3.put_object(Bucket="labels", Key=f"{job}.manifest", Body=lines.encode())
    categories = {"document-version": "2018-11-28", "labels": [{"label": label} for label in labels]}
    s3.put_object(Bucket="labels", Key=f"{job}.labels.json", Body=json.dumps(categories).encode())
    s3.put_object(Bucket="labels", Key=f"{job}.liquid", Body=template.encode())
    team = sagemaker.list_workteams()["Workteams"][0]
    functions = "arn:aws:lambda:us-east-1:432418664414:function:{}-SemanticSegmentation"
    sagemaker.create_labeling_job(
        LabelingJobName=job,
        LabelAttributeName="animals-ref",
        InputConfig={"DataSource": {"S3DataSource": {"ManifestS3Uri": f"s3://labels/{job}.manifest"}}},
        OutputConfig={"S3OutputPath": "s3://labels/out/"},
        RoleArn="arn:aws:iam::123456789012:role/GroundTruth",
        LabelCategoryConfigS3Uri=f"s3://labels/{job}.labels.json",
        HumanTaskConfig={
            "WorkteamArn": team["WorkteamArn"],
            "UiConfig": {"UiTemplateS3Uri": f"s3://labels/{job}.liquid"},
            "PreHumanTaskLambdaArn": functions.format("PRE"),
            "AnnotationConsolidationConfig": {"AnnotationConsolidationLambdaArn": functions.format("ACS")},
            "TaskTitle": "Animals",
            "TaskDescription": "Outline every animal in the photograph.",
            "NumberOfHumanWorkersPerDataObject": per_object,
            "TaskTimeLimitInSeconds": time_limit,
        },
    )
    portal_job = PortalJob(aws, job)
    portal_job.await_status("InProgress")
    for name in workers:
        made = ask(aws, "POST", "/_portal/api/workers", {"name": f"{name} {job}", "team": team["WorkteamName"]})
        portal_job.links[name] = f"{aws.url}/_portal/signin#{made['token']}"
    return portal_job


class Pointer:
    """A user of the drawing area: converts image pixels to pointer events.

    Reads only the position of the area on the page and its fit rule.
    """

    def __init__(self, page: Any, width: int, height: int) -> None:
        self.page, self.width, self.height = page, width, height

    def at(self, x: float, y: float) -> tuple[float, float]:
        """The page position of image point (x, y) while the whole image is shown."""
        box = self.page.locator(".stage").bounding_box()
        ratio = self.page.evaluate("devicePixelRatio")
        across, down = (
            int(box["width"] * ratio + 0.5),
            int(box["height"] * ratio + 0.5),
        )  # as a browser rounds
        scale = min(across * 0.96 / self.width, down * 0.96 / self.height)
        left, top = (across - self.width * scale) / 2, (down - self.height * scale) / 2
        return box["x"] + (x * scale + left) / ratio, box["y"] + (y * scale + top) / ratio

    def click(self, x: float, y: float) -> None:
        self.page.mouse.click(*self.at(x, y))

    def drag(self, *points: tuple[float, float], button: str = "left") -> None:
        self.page.mouse.move(*self.at(*points[0]))
        self.page.mouse.down(button=button)
        for point in points[1:]:
            self.page.mouse.move(*self.at(*point), steps=6)
        self.page.mouse.up(button=button)


def enter(page: Any, link: str) -> None:
    page.goto(link)
    page.get_by_role("heading", name="Your jobs").wait_for()


def begin(page: Any, *, instructions: bool = True) -> None:
    """Open the first task from the home page."""
    page.get_by_role("link", name="Start").click()
    page.locator("[data-ready]").wait_for()
    if instructions:
        page.get_by_role("button", name="Close", exact=True).click()
