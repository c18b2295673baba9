"""Request of CreateTransformJob, its input manifest, and the mapping of outputs to inputs.

One image is one request: SplitType None, SingleRecord, MaxConcurrentTransforms 1. With more concurrency, AWS's image of
the algorithm is reported to hang or crash (sagemaker-python-sdk, issues 1284 and 2084).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MAX_PICTURE_MB = 10
MAX_PICTURE = MAX_PICTURE_MB * 2**20
"""Maximum bytes of one request; /execution-parameters of the built-in image returns MaxPayloadInMB = 10 (issue
1284).
"""
CLIENT_SECONDS, CLIENT_RETRIES = 600, 3
OUT = ".out"
REPORTED = (
    "AWS's image of the algorithm is reported to hang in batch transform for some images (sagemaker-python-sdk, "
    "issues 1284 and 2084)"
)


@dataclass(frozen=True)
class Transform:
    """Parameters of a transform job, without its name."""

    model: str
    """Name of the SageMaker model."""
    manifest: str
    """s3:// URI of the input manifest."""
    output: str
    """s3:// URI, ending in a slash, below which each input's `<key>.out` is written."""
    content_type: str = "image/jpeg"
    accept: str = "image/png"
    instance_type: str = "ml.c5.xlarge"
    instance_count: int = 1
    kms_key: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


def transform_request(name: str, transform: Transform) -> dict[str, Any]:
    """Return the request of CreateTransformJob."""
    source = {"S3DataType": "ManifestFile", "S3Uri": transform.manifest}
    output = {"S3OutputPath": transform.output, "Accept": transform.accept, "AssembleWith": "None"}
    request: dict[str, Any] = {
        "TransformJobName": name,
        "ModelName": transform.model,
        "BatchStrategy": "SingleRecord",
        "MaxConcurrentTransforms": 1,
        "MaxPayloadInMB": MAX_PICTURE_MB,
        "ModelClientConfig": {
            "InvocationsTimeoutInSeconds": CLIENT_SECONDS,
            "InvocationsMaxRetries": CLIENT_RETRIES,
        },
        "TransformInput": {
            "DataSource": {"S3DataSource": source},
            "ContentType": transform.content_type,
            "CompressionType": "None",
            "SplitType": "None",
        },
        "TransformOutput": output | ({"KmsKeyId": transform.kms_key} if transform.kms_key else {}),
        "TransformResources": {
            "InstanceType": transform.instance_type,
            "InstanceCount": transform.instance_count,
        },
    }
    tags = [{"Key": key, "Value": value} for key, value in sorted(transform.tags.items())]
    return request | ({"Tags": tags} if tags else {})


def manifest_body(bucket: str, keys: Iterable[str]) -> bytes:
    """Return a ManifestFile of objects of one bucket: `[{"prefix": "s3://bucket/"}, "key", ...]`, keys sorted."""
    return json.dumps([{"prefix": f"s3://{bucket}/"}, *sorted(keys)], ensure_ascii=False).encode()


def match_outputs(keys: Sequence[str], outputs: Collection[str]) -> dict[str, str]:
    """Return {input key: path of its output below S3OutputPath} for the inputs that have an output.

    An output is named by its input's path below the manifest's prefix. AWS's documentation also shows outputs without
    their leading folders; the smallest number of omitted folders with which any output matches applies to all.
    """
    depth = max((key.count("/") for key in keys), default=0)
    for dropped in range(depth + 1):
        named = {key: "/".join(key.split("/")[dropped:]) + OUT for key in keys if key.count("/") >= dropped}
        found = {key: name for key, name in named.items() if name in outputs}
        if found:
            return found if len(set(named.values())) == len(named) else {}
    return {}
