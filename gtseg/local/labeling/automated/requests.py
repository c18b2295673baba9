"""What CreateLabelingJob refuses of LabelingJobAlgorithmsConfig: the developer guide's conditions of automated labeling."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gtseg.local.embedded import Embedded
from gtseg.local.labeling.automated.training import check_initial_model
from gtseg.local.labeling.rules import refuse

__all__ = ["check_automated"]

ACCOUNT = "027400017018"
MOST_LABELS = 20


def check_automated(embedded: Embedded, request: dict[str, Any], labels: Sequence[str], manifest: Path) -> None:
    """Raise ServiceError ValidationException. `manifest`: the kept one."""
    config = request.get("LabelingJobAlgorithmsConfig")
    if not config:
        return
    if not str(request["HumanTaskConfig"]["PreHumanTaskLambdaArn"]).endswith(":PRE-SemanticSegmentation"):
        raise refuse("LabelingJobAlgorithmsConfig is not for adjustment and verification jobs.")
    right = f"arn:aws:sagemaker:{embedded.store.region}:{ACCOUNT}:labeling-job-algorithm-specification/semantic-segmentation"
    given = config["LabelingJobAlgorithmSpecificationArn"]
    if given != right:
        raise refuse(f"LabelingJobAlgorithmSpecificationArn '{given}' is not that of semantic segmentation: {right}")
    if len(labels) > MOST_LABELS:
        raise refuse(f"Automated data labeling takes at most {MOST_LABELS} labels; there are {len(labels)}.")
    with manifest.open("rb") as file:
        objects = sum(1 for line in file if line.strip())
    fewest = embedded.options.automated_objects
    if objects < fewest:
        raise refuse(f"Automated data labeling needs at least {fewest:,} data objects; the manifest has {objects:,}.")
    check_initial_model(embedded, request, labels)
