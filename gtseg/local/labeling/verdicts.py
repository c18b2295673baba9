"""Label verification: a worker's verdict on a mask, and consolidation of several verdicts.

An answer is that of `<crowd-image-classifier>`, `{<element name>: {"label": <one of the job's labels>}}`, with an
optional `workerComment` (its `<worker-comment>`). Output (developer guide, sms-data-output, label verification job
output): the index of the verdict as a string, and metadata of the type `groundtruth/label-verification`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gtseg.local.errors import ServiceError
from gtseg.local.labeling.output import stamp_exact
from gtseg.local.labeling.records import Job

VERIFICATION = "groundtruth/label-verification"
MAX_COMMENT = 1000


@dataclass(frozen=True)
class Verdict:
    """One worker's verdict on one mask: index of the label, and a comment."""

    label: int
    comment: str = ""


def read_verdict(answer: Any, labels: Sequence[str]) -> Verdict:
    """Return the verdict of an answer. Raises ServiceError InvalidAnswer."""
    elements = [item for item in answer.values() if isinstance(item, dict)] if isinstance(answer, dict) else []
    chosen = [item for item in elements if "label" in item]
    if len(chosen) != 1:
        raise refuse(f"The answer must have exactly one element with a label; it has {len(chosen)}.")
    label, comment = chosen[0]["label"], chosen[0].get("workerComment", "")
    if label not in labels:
        raise refuse(f"{str(label)[:80]!r} is not a label of this job; its labels are {', '.join(labels)}."[:400])
    if not isinstance(comment, str) or len(comment) > MAX_COMMENT:
        raise refuse(f"workerComment must be a string of at most {MAX_COMMENT} characters.")
    return Verdict(list(labels).index(label), comment.strip())


def refuse(message: str) -> ServiceError:
    """Return the ServiceError InvalidAnswer with this message."""
    return ServiceError("InvalidAnswer", message)


def consolidate_verdicts(job: Job, contents: Sequence[str], stamp: float) -> dict[str, Any]:
    """Return the new members of the manifest line: the most frequent verdict and its share of the votes.

    Of equally frequent verdicts, the later label wins.
    """
    verdicts = [read_verdict(json.loads(content), job.labels) for content in contents]
    votes = [sum(verdict.label == index for verdict in verdicts) for index in range(len(job.labels))]
    winner = max(range(len(votes)), key=lambda index: (votes[index], index))
    metadata: dict[str, Any] = {
        "class-name": job.labels[winner],
        "confidence": round(votes[winner] / len(verdicts), 4),
        "type": VERIFICATION,
        "job-name": f"labeling-job/{job.name}",
        "human-annotated": "yes",
        "creation-date": stamp_exact(stamp),
    }
    if comments := [verdict.comment for verdict in verdicts if verdict.comment]:
        metadata["worker-feedback"] = [{"comment": comment} for comment in comments]
    return {job.attribute: str(winner), f"{job.attribute}-metadata": metadata}
