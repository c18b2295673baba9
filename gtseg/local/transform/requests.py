"""CreateTransformJob: validation of the request, and the initial Describe response."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gtseg.local.jobs.records import now
from gtseg.local.jobs.requests import invalid, pick, read_uri, refuse

KEPT = (
    "ModelName",
    "MaxConcurrentTransforms",
    "ModelClientConfig",
    "MaxPayloadInMB",
    "BatchStrategy",
    "Environment",
    "TransformInput",
    "TransformOutput",
    "TransformResources",
    "DataProcessing",
)
LARGEST_MB = 100
MOST_CONTAINERS = 16
"""Maximum processes of a job; each holds the model in memory, about 0.3 GB with torch."""


def check_request(request: Mapping[str, Any]) -> None:
    """Raise ValidationException for an invalid request.

    An image is one record: it cannot be split, joined or filtered.
    """
    refuse(request, ("DataCaptureConfig", "ExperimentConfig"))
    given, output = request["TransformInput"], request["TransformOutput"]
    source = given["DataSource"]["S3DataSource"]
    read_uri(source["S3Uri"], "TransformInput.DataSource.S3DataSource.S3Uri")
    read_uri(output["S3OutputPath"], "TransformOutput.S3OutputPath")
    choices = (
        ("S3DataType", source["S3DataType"], ("S3Prefix", "ManifestFile")),
        ("TransformInput.SplitType", given.get("SplitType", "None"), ("None",)),
        ("TransformInput.CompressionType", given.get("CompressionType", "None"), ("None",)),
        ("TransformOutput.AssembleWith", output.get("AssembleWith", "None"), ("None",)),
        ("DataProcessing.JoinSource", request.get("DataProcessing", {}).get("JoinSource", "None"), ("None",)),
    )
    for member, value, allowed in choices:
        if value not in allowed:
            raise invalid(
                f"{member} {value} is not supported for images by the embedded AWS. Use {' or '.join(allowed)}."
            )
    for member in ("InputFilter", "OutputFilter"):
        if request.get("DataProcessing", {}).get(member, "$") != "$":
            raise invalid(f"DataProcessing.{member} filters JSON and CSV records and does not apply to images.")
    _check_sizes(request)


def _check_sizes(request: Mapping[str, Any]) -> None:
    payload, concurrent = request.get("MaxPayloadInMB", 6), request.get("MaxConcurrentTransforms", 1)
    if payload > LARGEST_MB or payload * max(1, concurrent) > LARGEST_MB:
        raise invalid(
            f"MaxConcurrentTransforms * MaxPayloadInMB must not exceed {LARGEST_MB}, but is {concurrent} * {payload}."
        )
    count = request["TransformResources"]["InstanceCount"]
    if count > MOST_CONTAINERS:
        raise invalid(
            f"TransformResources.InstanceCount must be 1 to {MOST_CONTAINERS}, not {count}: each instance is a local "
            "process."
        )


def begin_answer(request: Mapping[str, Any], arn: str) -> dict[str, Any]:
    """Return the initial DescribeTransformJob response."""
    return {
        "TransformJobName": request["TransformJobName"],
        "TransformJobArn": arn,
        "TransformJobStatus": "InProgress",
        **pick(request, KEPT),
        "CreationTime": now(),
    }
