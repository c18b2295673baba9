"""Permissions that a request needs, and whether a policy allows them.

Sources: service authorization reference (Actions, resources, and condition keys for Amazon S3, Amazon SageMaker AI,
Amazon CloudWatch Logs, AWS IAM); S3 API reference, "Permissions" of each operation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit

from fault_proxy import Request

KINDS = {
    "LabelingJob": "labeling-job",
    "TrainingJob": "training-job",
    "TransformJob": "transform-job",
    "HyperParameterTuningJob": "hyper-parameter-tuning-job",
    "Model": "model",
    "EndpointConfig": "endpoint-config",
    "Endpoint": "endpoint",
}
BUCKET_READS = {"location": "s3:GetBucketLocation", "cors": "s3:GetBucketCORS"}
SERVICES = {"service-quotas": "servicequotas"}


@dataclass(frozen=True)
class Need:
    """Action on a resource; `context` has the condition keys of IAM."""

    action: str
    resource: str
    context: tuple[tuple[str, str], ...] = ()


def needs_of(request: Request, *, region: str, account: str) -> Iterator[Need]:
    """Return every permission that a request needs. Raises LookupError for an unknown request."""
    service = _service(request)
    if service == "s3":
        yield from _of_s3(request)
    elif service == "sagemaker":
        yield from _of_sagemaker(request, f"arn:aws:sagemaker:{region}:{account}")
    elif service == "logs":
        yield from _of_logs(request, f"arn:aws:logs:{region}:{account}")
    elif service == "cognito-idp":
        pool = json.loads(request.body)["UserPoolId"]
        yield Need(f"cognito-idp:{request.name}", f"arn:aws:cognito-idp:{region}:{account}:userpool/{pool}")
    elif service in ("iam", "sts"):
        yield from _of_query(service, dict(parse_qsl(request.body.decode())), account)
    else:
        yield Need(f"{SERVICES.get(service, service)}:{request.name}", "*")


def _service(request: Request) -> str:
    """Return the service of the credential scope; '' if unsigned."""
    scope = re.search(r"Credential=[^/]+/\d{8}/[^/]+/([^/]+)/aws4_request", request.headers.get("authorization", ""))
    if scope is None:
        raise LookupError(f"not signed: {request.name}")
    return scope[1]


def _of_s3(request: Request) -> Iterator[Need]:
    method, address = request.name.partition(" ")[0], urlsplit(request.path)
    bucket, _, key = unquote(address.path).lstrip("/").partition("/")
    asked = parse_qs(address.query, keep_blank_values=True)
    arn = f"arn:aws:s3:::{bucket}"
    if not key:
        yield from _of_bucket(method, arn, asked, request.body)
    elif asked.keys() - {"x-id", "versionId"}:
        raise LookupError(f"an operation on an object that is not known here: {request.name}")
    elif method in ("GET", "HEAD"):
        yield Need("s3:GetObject", f"{arn}/{key}")
    elif method == "PUT":
        yield Need("s3:PutObject", f"{arn}/{key}")
        if source := request.headers.get("x-amz-copy-source"):
            yield Need("s3:GetObject", f"arn:aws:s3:::{unquote(source).lstrip('/')}")
        if "if-match" in request.headers:  # "Conditional writes": IfMatch needs GetObject too
            yield Need("s3:GetObject", f"{arn}/{key}")
    elif method == "DELETE":
        yield Need("s3:DeleteObject", f"{arn}/{key}")
    else:
        raise LookupError(request.name)


def _of_bucket(method: str, arn: str, asked: Mapping[str, Any], body: bytes) -> Iterator[Need]:
    word = next((word for word in BUCKET_READS if word in asked), None)
    if method == "POST" and "delete" in asked:
        for key in re.findall(rb"<Key>(.*?)</Key>", body):
            yield Need("s3:DeleteObject", f"{arn}/{key.decode()}")
    elif method == "PUT" and "cors" in asked:
        yield Need("s3:PutBucketCORS", arn)
    elif method == "PUT" and not asked.keys() - {"x-id"}:
        yield Need("s3:CreateBucket", arn)
    elif method == "GET" and word:
        yield Need(BUCKET_READS[word], arn)
    elif method == "HEAD" or (method == "GET" and "list-type" in asked):
        yield Need("s3:ListBucket", arn)
    else:
        raise LookupError(f"an operation on a bucket that is not known here: {method} {arn} {dict(asked)}")


def _of_sagemaker(request: Request, arn: str) -> Iterator[Need]:
    if found := re.fullmatch(r"/endpoints/([^/]+)/invocations", request.path):
        yield Need("sagemaker:InvokeEndpoint", f"{arn}:endpoint/{found[1].lower()}")
        return
    operation, asked = request.name, json.loads(request.body or b"{}")
    resource = "*"
    if operation in ("ListTags", "AddTags"):
        resource = asked["ResourceArn"]
    elif kind := KINDS.get(re.sub("^(Create|Describe|Stop|Delete|ListTrainingJobsFor)", "", operation)):
        thing = next(name for name, word in KINDS.items() if word == kind)
        resource = f"{arn}:{kind}/{asked[f'{thing}Name'].lower()}"
    elif not operation.startswith("List"):
        raise LookupError(operation)
    yield Need(f"sagemaker:{operation}", resource)
    if operation == "CreateEndpoint":
        yield Need("sagemaker:CreateEndpoint", f"{arn}:endpoint-config/{asked['EndpointConfigName'].lower()}")
    if team := asked.get("HumanTaskConfig", {}).get("WorkteamArn"):
        yield Need("sagemaker:CreateLabelingJob", team)
    if asked.get("Tags"):
        yield Need("sagemaker:AddTags", resource)
    for role in _values(asked, "RoleArn", "ExecutionRoleArn"):
        yield Need("iam:PassRole", role, (("iam:PassedToService", "sagemaker.amazonaws.com"),))


def _values(tree: Any, *keys: str) -> Iterator[str]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            if key in keys:
                yield value
            else:
                yield from _values(value, *keys)


def _of_logs(request: Request, arn: str) -> Iterator[Need]:
    asked = json.loads(request.body)
    group = f"{arn}:log-group:{asked['logGroupName']}"
    stream = asked.get("logStreamName")
    yield Need(f"logs:{request.name}", f"{group}:log-stream:{stream}" if stream else group)


def _of_query(service: str, asked: dict[str, str], account: str) -> Iterator[Need]:
    resource = asked.get("PolicySourceArn") or "*"
    if "RoleName" in asked:
        resource = f"arn:aws:iam::{account}:role/{asked['RoleName']}"
    yield Need(f"{service}:{asked['Action']}", resource)


# ---- the policy


def is_allowed(policy: Mapping[str, Any], need: Need) -> bool:
    """Return whether a statement allows it and none denies it."""
    effects = {s["Effect"] for s in policy["Statement"] if _covers(s, need)}
    return effects == {"Allow"}


def _covers(statement: Mapping[str, Any], need: Need) -> bool:
    unknown = statement.keys() - {"Effect", "Action", "Resource", "Condition", "Sid"}
    if unknown:
        raise LookupError(f"a statement with {sorted(unknown)}")
    actions = any(_match(pattern.lower(), need.action.lower()) for pattern in statement["Action"])
    resources = any(_match(pattern, need.resource) for pattern in statement["Resource"])
    return actions and resources and _holds(statement.get("Condition", {}), dict(need.context))


def _holds(condition: Mapping[str, Any], context: Mapping[str, str]) -> bool:
    if condition.keys() - {"StringEquals"}:
        raise LookupError(f"a condition with {sorted(condition)}")
    return all(context.get(key) == value for key, value in condition.get("StringEquals", {}).items())


def _match(pattern: str, value: str) -> bool:
    """Match IAM's wildcards `*` and `?`; brackets are literal."""
    return fnmatchcase(value, pattern.replace("[", "[[]"))


def actions_of(policy: Mapping[str, Any]) -> set[str]:
    return {action for statement in policy["Statement"] for action in statement["Action"]}
