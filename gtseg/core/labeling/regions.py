"""AWS accounts of Ground Truth's built-in functions, by region.

Source: CreateLabelingJob's API reference (PreHumanTaskLambdaArn, AnnotationConsolidationLambdaArn,
LabelingJobAlgorithmSpecificationArn) in botocore 1.43's service model; the public crowd's account is in the developer
guide, sms-workforce-management-public. One account owns all functions of a region. AWS rejects the account of another
region, and no other commercial region has one.
"""

from __future__ import annotations

from gtseg.errors import SettingsError

LAMBDA_ACCOUNTS = {
    "ap-northeast-1": "477331159723",
    "ap-northeast-2": "845288260483",
    "ap-south-1": "565803892007",
    "ap-southeast-1": "377565633583",
    "ap-southeast-2": "454466003867",
    "ca-central-1": "918755190332",
    "eu-central-1": "203001061592",
    "eu-west-1": "568282634449",
    "eu-west-2": "487402164563",
    "us-east-1": "432418664414",
    "us-east-2": "266458841044",
    "us-west-2": "081040173940",
}
PUBLIC_CROWD_ACCOUNT = "394669845002"
AUTOMATED_LABELING_ACCOUNT = "027400017018"


def lambda_arn(region: str, function: str) -> str:
    """Return the ARN of a built-in function such as 'PRE-SemanticSegmentation'.

    Raises SettingsError if the region has no Ground Truth.
    """
    if region not in LAMBDA_ACCOUNTS:
        raise SettingsError(
            f"Ground Truth is not available in region {region!r}. Set [project] region to one of "
            f"{', '.join(LAMBDA_ACCOUNTS)}."
        )
    return f"arn:aws:lambda:{region}:{LAMBDA_ACCOUNTS[region]}:function:{function}"


def public_crowd_arn(region: str) -> str:
    return f"arn:aws:sagemaker:{region}:{PUBLIC_CROWD_ACCOUNT}:workteam/public-crowd/default"


def automated_labeling_arn(region: str) -> str:
    return (
        f"arn:aws:sagemaker:{region}:{AUTOMATED_LABELING_ACCOUNT}"
        ":labeling-job-algorithm-specification/semantic-segmentation"
    )
