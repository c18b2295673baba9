"""Transform jobs that follow a script, for a context whose S3 is real."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from PIL import Image

from gtseg.aws.s3 import S3
from gtseg.aws.transform import TransformState
from gtseg.pipeline.run import Context


@dataclass
class ScriptedTransforms:
    """The calls of gtseg.aws.transform.Transforms.

    `script` has a pair for each job: the number of outputs that it writes when it is created, and its status then.
    """

    s3: S3
    script: list[tuple[int, str]]
    stopped: list[str] = field(default_factory=list)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    completes_when_described: bool = False
    polls: int = 10**6
    """The last of so many descriptions raises KeyboardInterrupt."""

    def create_job(self, request: dict[str, Any]) -> str:
        count, end = self.script.pop(0)
        name, source = request["TransformJobName"], request["TransformInput"]["DataSource"]["S3DataSource"]
        keys = json.loads(self.s3.read(source["S3Uri"])[0])[1:]
        answer = io.BytesIO()
        Image.fromarray(np.ones((4, 4), np.uint8)).save(answer, "PNG")
        for key in keys[:count]:
            self.s3.write(f"{request['TransformOutput']['S3OutputPath']}/{key}.out", answer.getvalue())
        tags = {tag["Key"]: tag["Value"] for tag in request["Tags"]}
        self.jobs[name] = {"status": end, "output": request["TransformOutput"]["S3OutputPath"], "tags": tags}
        return f"arn:{name}"

    def find_job(self, name: str) -> TransformState | None:
        return self._state(name) if name in self.jobs else None

    def describe_job(self, name: str) -> TransformState:
        self.polls -= 1
        if not self.polls:
            raise KeyboardInterrupt
        if self.completes_when_described:
            self.jobs[name]["status"] = "Completed"
        return self._state(name)

    def _state(self, name: str) -> TransformState:
        job, then = self.jobs[name], datetime.now(UTC) - timedelta(hours=1)
        reason = "a picture" if job["status"] == "Failed" else ""
        return TransformState(
            name,
            f"arn:{name}",
            job["status"],
            job["output"],
            "ml.c5.xlarge",
            1,
            created=then,
            started=then,
            reason=reason,
            tags=job["tags"],
        )

    def stop_job(self, name: str) -> None:
        self.stopped.append(name)
        self.jobs[name]["status"] = "Stopped"


@dataclass(frozen=True)
class ScriptedContext(Context):
    jobs: Any = None

    @property
    def transforms(self) -> Any:
        return self.jobs
