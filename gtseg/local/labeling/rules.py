"""Validation of CreateLabelingJob beyond the service model: the API reference's rules for semantic segmentation.

Every function raises ServiceError ValidationException with a message that names the field and its value.
"""

from __future__ import annotations

import json
import re
from typing import Any

from gtseg.local.errors import ServiceError
from gtseg.local.labeling.masks import BACKGROUND, MAX_LABELS
from gtseg.local.labeling.rendering import shared_renderer
from gtseg.local.storage.objects import Objects, StorageUnavailable, split_uri
from gtseg.local.storage.store import Store

# Accounts of the built-in PRE- and ACS- functions by region (API reference, HumanTaskConfig).
LAMBDA_ACCOUNTS = {
    "us-east-1": "432418664414", "us-east-2": "266458841044", "us-west-2": "081040173940",
    "ca-central-1": "918755190332", "eu-west-1": "568282634449", "eu-west-2": "487402164563",
    "ap-northeast-1": "477331159723", "ap-northeast-2": "845288260483", "ap-south-1": "565803892007",
    "ap-southeast-1": "377565633583", "ap-southeast-2": "454466003867", "eu-central-1": "203001061592",
}  # fmt: skip
VERIFICATION = "VerificationSemanticSegmentation"
TASK_TYPES = ("SemanticSegmentation", "AdjustmentSemanticSegmentation", VERIFICATION)
PUBLIC_ACCOUNT = "394669845002"
PRICES = ((0, 84, 0), (0, 96, 0), (1, 8, 0), (1, 20, 0))
"""Allowed prices as (dollars, cents, tenths of a cent)."""
MAX_TIME_LIMIT = 28_800
MAX_LIFETIMES = {"public-crowd": 43_200, "private-crowd": 2_592_000, "vendor-crowd": 2_592_000}
MAX_TEMPLATE = 128_000
LAMBDA = re.compile(r"arn:aws[a-z\-]*:lambda:([a-z0-9-]+):(\d{12}):function:([a-zA-Z0-9-_.]+)(:.*)?")


def refuse(message: str) -> ServiceError:
    """Return the ServiceError ValidationException with this message."""
    return ServiceError("ValidationException", message)


def check_request(request: dict[str, Any], store: Store) -> None:
    """Check the rules that depend on the request alone."""
    check_attribute(request["LabelAttributeName"])
    check_unsupported(request)
    human = request["HumanTaskConfig"]
    check_ending(request["LabelAttributeName"], check_functions(human, store.region))
    check_interface(human["UiConfig"])
    crowd = check_workteam_arn(human["WorkteamArn"], store)
    check_times(human, crowd)
    check_public(request, crowd)
    if not request.get("LabelCategoryConfigS3Uri"):
        raise refuse("LabelCategoryConfigS3Uri is required for the Semantic Segmentation task type.")


def check_attribute(name: str) -> None:
    if name in ("source", "source-ref"):
        raise refuse(f"The LabelAttributeName '{name}' is reserved.")
    if name.endswith("-metadata"):
        raise refuse(f"The LabelAttributeName '{name}' can't end with '-metadata'.")


def check_ending(name: str, kind: str) -> None:
    """Check the attribute's suffix: -ref for masks, none for verdicts (API reference, LabelAttributeName)."""
    if kind == VERIFICATION and name.endswith("-ref"):
        raise refuse(f"The LabelAttributeName '{name}' for the Label Verification task type must not end with '-ref'.")
    if kind != VERIFICATION and not name.endswith("-ref"):
        raise refuse(
            "The value of the LabelAttributeName field for the Semantic Segmentation task type must end with '-ref'."
        )


def check_unsupported(request: dict[str, Any]) -> None:
    """Reject features that this server does not implement."""
    source = request["InputConfig"]["DataSource"]
    if source.get("SnsDataSource") or request["OutputConfig"].get("SnsTopicArn"):
        raise refuse("Streaming labeling jobs (SnsDataSource, SnsTopicArn) are not supported by the embedded AWS.")
    if not source.get("S3DataSource"):
        raise refuse("InputConfig.DataSource requires an S3DataSource.")


def check_functions(human: dict[str, Any], region: str) -> str:
    """Return the task type of the built-in PRE- and ACS- functions, which must be the same and of this region."""
    consolidation = human.get("AnnotationConsolidationConfig") or {}
    before, after = human.get("PreHumanTaskLambdaArn"), consolidation.get("AnnotationConsolidationLambdaArn")
    kinds = (
        check_function("PreHumanTaskLambdaArn", before, region=region, prefix="PRE-"),
        check_function("AnnotationConsolidationLambdaArn", after, region=region, prefix="ACS-"),
    )
    if kinds[0] != kinds[1]:
        raise refuse(
            f"PreHumanTaskLambdaArn and AnnotationConsolidationLambdaArn have different task types: {kinds[0]}, "
            f"{kinds[1]}."
        )
    return kinds[0]


def check_function(field: str, arn: str | None, *, region: str, prefix: str) -> str:
    """Return the task type of a built-in function, one of TASK_TYPES."""
    account = LAMBDA_ACCOUNTS.get(region)
    if account is None:
        raise refuse(
            f"Ground Truth's built-in functions do not exist in {region}; use one of {', '.join(LAMBDA_ACCOUNTS)}."
        )
    right = f"arn:aws:lambda:{region}:{account}:function:{prefix}{TASK_TYPES[0]}"
    match = LAMBDA.fullmatch(arn or "")
    if match is None:
        raise refuse(f"{field} is required: {right}")
    if match[1] != region:
        raise refuse(f"{field} '{arn}' must be in the same AWS Region as the labeling job ({region}): {right}")
    kind = match[3].removeprefix(prefix)
    if match[2] == account and match[3].startswith(prefix) and kind in TASK_TYPES:
        return kind
    if match[2] in LAMBDA_ACCOUNTS.values():
        raise refuse(f"{field} '{arn}' isn't a built-in function for semantic segmentation in {region}: {right}")
    raise refuse(f"{field} '{arn}': custom Lambda functions are not supported by the embedded AWS; use {right}")


def check_interface(config: dict[str, Any]) -> None:
    if config.get("HumanTaskUiArn"):
        raise refuse("HumanTaskUiArn is not supported for image semantic segmentation; use UiTemplateS3Uri.")
    if not config.get("UiTemplateS3Uri"):
        raise refuse("UiConfig requires UiTemplateS3Uri for the Semantic Segmentation task type.")


def check_workteam_arn(arn: str, store: Store) -> str:
    """Return the kind of workforce, private-crowd or public-crowd, of an existing workteam."""
    match = re.fullmatch(r"arn:aws[a-z\-]*:sagemaker:([a-z0-9-]*):(\d{12}):workteam/([a-z-]+)/(.+)", arn)
    if match is None:
        raise refuse(f"The WorkteamArn '{arn}' is not valid.")
    region, account, crowd, name = match.groups()
    if region != store.region:
        raise refuse(f"The WorkteamArn '{arn}' must be in the same AWS Region as the labeling job ({store.region}).")
    if crowd == "public-crowd" and (account, name) == (PUBLIC_ACCOUNT, "default"):
        return crowd
    row = store.read().execute("SELECT 1 FROM labeling_teams WHERE arn = ?", (arn,)).fetchone()
    if crowd != "private-crowd" or row is None:
        raise refuse(f"The workteam '{arn}' does not exist. ListWorkteams lists the existing ones.")
    return crowd


def check_times(human: dict[str, Any], crowd: str) -> None:
    limit, lifetime = human["TaskTimeLimitInSeconds"], human.get("TaskAvailabilityLifetimeInSeconds")
    if limit > MAX_TIME_LIMIT:
        raise refuse(
            f"TaskTimeLimitInSeconds {limit} is more than {MAX_TIME_LIMIT} seconds (8 hours), the limit for images."
        )
    if lifetime is not None and lifetime > MAX_LIFETIMES[crowd]:
        raise refuse(
            f"TaskAvailabilityLifetimeInSeconds {lifetime} is more than {MAX_LIFETIMES[crowd]} seconds, the limit for "
            f"a {crowd.removesuffix('-crowd')} workforce."
        )


def check_public(request: dict[str, Any], crowd: str) -> None:
    """Check price and content classifiers, which the public workforce requires; no other allows a price."""
    price = request["HumanTaskConfig"].get("PublicWorkforceTaskPrice")
    if crowd != "public-crowd":
        if price:
            raise refuse("PublicWorkforceTaskPrice is only for the public workforce (Amazon Mechanical Turk).")
        return
    amount = (price or {}).get("AmountInUsd") or {}
    paid = (amount.get("Dollars", 0), amount.get("Cents", 0), amount.get("TenthFractionsOfACent", 0))
    if paid not in PRICES:
        raise refuse(
            "PublicWorkforceTaskPrice must be one of the prices for semantic segmentation: 0.840, 0.960, 1.080 or "
            "1.200 "
            "USD."
        )
    classifiers = (request["InputConfig"].get("DataAttributes") or {}).get("ContentClassifiers") or []
    if "FreeOfPersonallyIdentifiableInformation" not in classifiers:
        raise refuse(
            "ContentClassifiers must contain FreeOfPersonallyIdentifiableInformation for the public workforce: data "
            "with "
            "personally identifiable information can't be sent to it."
        )


def read_object(objects: Objects, field: str, uri: str) -> bytes:
    bucket, key = split_uri(uri)
    try:
        return objects.get(bucket, key)
    except StorageUnavailable:
        raise
    except ServiceError as error:
        raise refuse(f"{field}: {uri} cannot be read: {error.message}") from None


def read_labels(objects: Objects, uri: str) -> list[str]:
    """Return the label names of the label category configuration file, in its order."""
    try:
        document = json.loads(read_object(objects, "LabelCategoryConfigS3Uri", uri))
        labels = [entry["label"] for entry in document["labels"]]
    except (ValueError, KeyError, TypeError):
        raise refuse(f'The label category file {uri} must be JSON: {{"labels": [{{"label": "name"}}, ...]}}.') from None
    if not labels or len(labels) > MAX_LABELS:
        raise refuse(f"The label category file {uri} has {len(labels)} labels; it must have 1 to {MAX_LABELS}.")
    for label in labels:
        if not isinstance(label, str) or not 1 <= len(label) <= 256:
            raise refuse(f"The label {label!r} in {uri} must be a string of 1 to 256 characters.")
    if len(set(labels)) < len(labels):
        raise refuse(f"The labels in {uri} must be unique.")
    if BACKGROUND in labels:
        raise refuse(f"The label {BACKGROUND} in {uri} is reserved for unlabeled pixels; remove it.")
    return labels


def read_template(objects: Objects, uri: str) -> str:
    """Return the worker task template after parsing it, so that a broken one is rejected at once."""
    try:
        text = read_object(objects, "UiTemplateS3Uri", uri).decode()
    except UnicodeDecodeError:
        raise refuse(f"UiTemplateS3Uri: {uri} is not UTF-8 text.") from None
    if not 1 <= len(text) <= MAX_TEMPLATE:
        raise refuse(f"UiTemplateS3Uri: {uri} has {len(text)} characters; it must have 1 to {MAX_TEMPLATE}.")
    problem = shared_renderer().check(text)
    if problem:
        raise refuse(f"UiTemplateS3Uri: {uri} is not a valid Liquid template: {problem}")
    return text
