"""Validation of LabelingJobAlgorithmsConfig by the developer guide's rules of automated labeling."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gtseg.local.embedded import Embedded
from gtseg.local.labeling.automated.training import check_initial_model
from gtseg.local.labeling.rules import refuse

ACCOUNT = "027400017018"
MOST_LABELS = 20


def check_automated(embedded: Embedded, request: dict[str, Any], labels: Sequence[str], manifest: Path) -> None:
    """Raise ServiceError ValidationException if the configuration is not valid. `manifest` is the stored copy."""
    config = request.get("LabelingJobAlgorithmsConfig")
    if not config:
        return
    if not str(request["HumanTaskConfig"]["PreHumanTaskLambdaArn"]).endswith(":PRE-SemanticSegmentation"):
        raise refuse("LabelingJobAlgorithmsConfig is not supported for adjustment and verification jobs.")
    right = (
        f"arn:aws:sagemaker:{embedded.store.region}:{ACCOUNT}:"
        "labeling-job-algorithm-specification/semantic-segmentation"
    )
    given = config["LabelingJobAlgorithmSpecificationArn"]
    if given != right:
        raise refuse(f"LabelingJobAlgorithmSpecificationArn '{given}' is not that of semantic segmentation: {right}")
    if len(labels) > MOST_LABELS:
        raise refuse(f"Automated data labeling supports at most {MOST_LABELS} labels; the job has {len(labels)}.")
    with manifest.open("rb") as file:
        objects = sum(1 for line in file if line.strip())
    fewest = embedded.options.automated_objects
    if objects < fewest:
        raise refuse(
            f"Automated data labeling requires at least {fewest:,} data objects; the manifest has {objects:,}."
        )
    check_initial_model(embedded, request, labels)
