"""Least-privilege IAM policies of the caller, of the execution role, and of a labeling server.

Sources: SageMaker developer guide, sms-security-permission-execution-role and sagemaker-roles; IAM's service
authorization reference. The built-in Ground Truth functions need no lambda:InvokeFunction.
"""

from __future__ import annotations

from typing import Any

VERSION = "2012-10-17"
OBJECT_ACTIONS = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"]
"""S3 actions of the role: SageMaker uploads models in parts, gtseg does not."""
LOG_ACTIONS = [
    "cloudwatch:PutMetricData",
    "logs:CreateLogGroup",
    "logs:CreateLogStream",
    "logs:DescribeLogStreams",
    "logs:PutLogEvents",
]
IMAGE_ACTIONS = [
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:GetAuthorizationToken",
    "ecr:GetDownloadUrlForLayer",
]
KEY_ACTIONS = ["kms:Decrypt", "kms:GenerateDataKey"]
EXECUTION_ACTIONS = ("s3:ListBucket", *OBJECT_ACTIONS[:2], *LOG_ACTIONS[2:])

JOB_ACTIONS = {
    "labeling-job": ["CreateLabelingJob", "DescribeLabelingJob", "StopLabelingJob"],
    "training-job": ["CreateTrainingJob", "DescribeTrainingJob", "StopTrainingJob"],
    "hyper-parameter-tuning-job": ["CreateHyperParameterTuningJob", "DescribeHyperParameterTuningJob",
                                   "ListTrainingJobsForHyperParameterTuningJob", "StopHyperParameterTuningJob"],
    "transform-job": ["CreateTransformJob", "DescribeTransformJob", "StopTransformJob"],
    "model": ["CreateModel", "DescribeModel", "DeleteModel"],
    "endpoint-config": ["CreateEndpointConfig", "DescribeEndpointConfig", "DeleteEndpointConfig", "CreateEndpoint"],
    "endpoint": ["CreateEndpoint", "DescribeEndpoint", "DeleteEndpoint", "InvokeEndpoint"],
}  # fmt: skip
LIST_ACTIONS = [
    "sagemaker:ListLabelingJobs",
    "sagemaker:ListWorkteams",
    "sagemaker:ListTrainingJobs",
    "sagemaker:ListEndpoints",
    "sagemaker:ListEndpointConfigs",
    "sagemaker:ListModels",
]

LABELING_LISTS = ("sagemaker:ListLabelingJobs", "sagemaker:ListWorkteams")


def _allow(actions: list[str], *resources: str, condition: dict[str, Any] | None = None) -> dict[str, Any]:
    statement: dict[str, Any] = {"Effect": "Allow", "Action": actions, "Resource": list(resources)}
    return statement | ({"Condition": condition} if condition else {})


def _partition(region: str) -> str:
    return "aws-cn" if region.startswith("cn-") else "aws-us-gov" if region.startswith("us-gov-") else "aws"


def trust_policy() -> dict[str, Any]:
    """Return the trust policy of the execution role: SageMaker may assume it."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sagemaker.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    return {"Version": VERSION, "Statement": [statement]}


def execution_policy(*, region: str, buckets: list[str]) -> dict[str, Any]:
    """Return the policy of the execution role: the buckets' objects, logs, the container image."""
    arn = f"arn:{_partition(region)}"
    statements = [
        _allow(["s3:ListBucket", "s3:GetBucketLocation"], *(f"{arn}:s3:::{bucket}" for bucket in buckets)),
        _allow(OBJECT_ACTIONS, *(f"{arn}:s3:::{bucket}/*" for bucket in buckets)),
        _allow(LOG_ACTIONS, "*"),
        _allow(IMAGE_ACTIONS, "*"),
    ]
    return {"Version": VERSION, "Statement": statements}


def labeling_server_policy(
    *, region: str, account: str, bucket: str, image_buckets: list[str], runs: str, kms_keys: list[str]
) -> dict[str, Any]:
    """Return the policy of a labeling server (`gtseg local up --s3 aws`): reads images and masks, writes job outputs.

    `runs`: key prefix of this project's runs, <prefix><project>. It allows no deletion and no SageMaker action.
    """
    arn = f"arn:{_partition(region)}"
    buckets = [f"{arn}:s3:::{name}" for name in dict.fromkeys([bucket, *image_buckets])]
    statements = [
        _allow(["s3:ListBucket"], *buckets),
        _allow(["s3:GetObject"], *(f"{name}/*" for name in buckets)),
        _allow(["s3:PutObject", "s3:AbortMultipartUpload"], f"{arn}:s3:::{bucket}/{runs}*/labeling/*"),
        *(_key(name, f"{arn}:kms:{region}:{account}") for name in dict.fromkeys(kms_keys)),
    ]
    return {"Version": VERSION, "Statement": statements}


def _key(name: str, keys: str) -> dict[str, Any]:
    """Return the statement for one KMS key: by ARN, ID or alias (KMS developer guide, "kms:ResourceAliases")."""
    arn = name if name.startswith("arn:") else f"{keys}:{name if '/' in name else 'key/' + name}"
    if ":alias/" not in arn:
        return _allow(KEY_ACTIONS, arn)
    place, _, alias = arn.rpartition(":")
    return _allow(KEY_ACTIONS, f"{place}:key/*", condition={"ForAnyValue:StringEquals": {"kms:ResourceAliases": alias}})


def caller_policy(
    *,
    region: str,
    account: str,
    bucket: str,
    image_buckets: list[str],
    role_arn: str,
    project: str,
    labels_here: bool = True,
) -> dict[str, Any]:
    """Return the policy of the person or machine that runs gtseg, limited to this project's resources.

    `labels_here`: whether labeling uses this account too, not a labeling server ([labeling] profile).
    """
    arn = f"arn:{_partition(region)}"
    sagemaker = f"{arn}:sagemaker:{region}:{account}"
    buckets = [f"{arn}:s3:::{name}" for name in dict.fromkeys([bucket, *image_buckets])]
    own = [
        _allow([f"sagemaker:{action}" for action in actions], f"{sagemaker}:{kind}/{project.lower()}*")
        for kind, actions in JOB_ACTIONS.items()
        if labels_here or kind != "labeling-job"
    ]
    cors = ["s3:GetBucketCORS", "s3:PutBucketCORS"] if labels_here else []
    teams = [_allow(["sagemaker:CreateLabelingJob"], f"{sagemaker}:workteam/*")] if labels_here else []
    lists = [name for name in LIST_ACTIONS if labels_here or name not in LABELING_LISTS]
    to_sagemaker = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    log_groups = f"{arn}:logs:{region}:{account}:log-group:/aws/sagemaker/*"
    statements = [
        _allow(["s3:ListBucket", "s3:GetBucketLocation", *cors], *buckets),
        _allow(["s3:CreateBucket"], f"{arn}:s3:::{bucket}"),
        _allow(["s3:GetObject"], *(f"{name}/*" for name in buckets)),
        _allow(["s3:PutObject", "s3:DeleteObject"], f"{arn}:s3:::{bucket}/*"),
        *own,
        *teams,
        _allow(["sagemaker:AddTags", "sagemaker:ListTags"], f"{sagemaker}:*/{project.lower()}*"),
        _allow([*lists, "sts:GetCallerIdentity"], "*"),
        _allow(["iam:PassRole"], role_arn, condition=to_sagemaker),
        _allow(["iam:GetRole", "iam:SimulatePrincipalPolicy"], role_arn),
        _allow(["logs:DescribeLogStreams", "logs:GetLogEvents"], log_groups),
        _allow(["cognito-idp:ListUsers"], f"{arn}:cognito-idp:{region}:{account}:userpool/*"),
        _allow(["pricing:GetProducts", "servicequotas:ListServiceQuotas"], "*"),
    ]
    return {"Version": VERSION, "Statement": statements}
