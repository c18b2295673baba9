"""Worker of the embedded AWS's team that answers tasks over the worker HTTP API."""

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

COLORS = ("#2ca02c", "#1f77b4", "#ff7f0e")
SIZE = (32, 24)
Answering = Callable[[dict[str, Any]], dict[str, Any] | str]
"""A task -> the answer, or the reason to decline it."""


def square(value: int = 1, *, shift: int = 0) -> np.ndarray:
    mask = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    mask[6:18, 8 + shift : 20 + shift] = value
    return mask


def paint(mask: np.ndarray, labels: list[str], **more: Any) -> dict[str, Any]:
    """Return an answer of <crowd-semantic-segmentation>."""
    rgba = np.zeros((*mask.shape, 4), np.uint8)
    for index in range(1, len(labels) + 1):
        rgba[mask == index] = (*bytes.fromhex(COLORS[index - 1][1:]), 255)
    output = io.BytesIO()
    Image.fromarray(rgba).save(output, "PNG")
    return {
        "crowd-semantic-segmentation": {
            "inputImageProperties": {"height": mask.shape[0], "width": mask.shape[1]},
            "labelMappings": {label: {"color": COLORS[n]} for n, label in enumerate(labels)},
            "labeledImage": {"pngImageData": base64.b64encode(output.getvalue()).decode()},
            **more,
        }
    }


class Worker:
    """Worker; `work` answers a job's tasks until it ends."""

    def __init__(self, aws: Any) -> None:
        self.url, self.sagemaker = aws.url, aws.client("sagemaker")
        self.token = aws.owner_token
        name = {"name": f"worker-{uuid.uuid4().hex[:8]}", "team": "gtseg"}
        self.token = json.loads(self.ask("POST", "workers", name)[1])["token"]

    def ask(self, method: str, path: str, document: Any = None) -> tuple[int, bytes]:
        body = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(f"{self.url}/_portal/api/{path}", body, method=method)
        request.add_header("Authorization", f"Bearer {self.token}")
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def work(self, job: str, answering: Answering, *, count: int = 10_000, seconds: float = 40) -> list[dict[str, Any]]:
        """Answer all tasks of the job, or the first `count`, and return them."""
        given: list[dict[str, Any]] = []

        def answer_all() -> bool:
            """Answer the available tasks and return whether the job has ended."""
            while len(given) < count:
                status, body = self.ask("POST", f"jobs/{job}/tasks")
                if status != 200:
                    return self._status(job) in ("Completed", "Failed", "Stopped")
                task = json.loads(body)
                given.append(task)
                self._reply(task, answering(task))
            return True

        wait_for(answer_all, seconds=seconds)
        return given

    def page(self, task: dict[str, Any]) -> str:
        status, body = self.ask("GET", f"tasks/{task['task']}/page")
        assert status == 200, body
        return body.decode()

    def _reply(self, task: dict[str, Any], answer: dict[str, Any] | str) -> None:
        if isinstance(answer, str):
            status, body = self.ask("POST", f"tasks/{task['task']}/decline", {"reason": answer})
        else:
            status, body = self.ask("POST", f"tasks/{task['task']}/answer", {"answer": answer})
        assert status == 200, body

    def _status(self, job: str) -> str:
        return str(self.sagemaker.describe_labeling_job(LabelingJobName=job)["LabelingJobStatus"])
