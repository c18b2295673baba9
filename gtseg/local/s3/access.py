"""Access control: the data folder's own keys may do everything, anonymous requests only what a bucket makes public.

Implemented: the canned ACLs private and public-read, and bucket policies in the form that open data uses (Allow to
everybody, s3:GetObject / s3:ListBucket / s3:GetBucketLocation, no conditions). Any other policy is rejected, because it
would have to be enforced.
"""

from __future__ import annotations

import json
import re
from typing import Any

from gtseg.local.errors import ServiceError
from gtseg.local.s3.metadata import read_acl
from gtseg.local.s3.ownership import ENFORCED, refuse_disabled_acl
from gtseg.local.s3.request import Answer, Request
from gtseg.local.s3.service import S3
from gtseg.local.s3.xml import NAMESPACE, element
from gtseg.local.storage.stored import StoredObject

Policy = dict[str, Any]
ACTIONS = {
    "GetObject": ("s3:GetObject", True),
    "HeadObject": ("s3:GetObject", True),
    "ListObjects": ("s3:ListBucket", False),
    "ListObjectsV2": ("s3:ListBucket", False),
    "HeadBucket": ("s3:ListBucket", False),
    "GetBucketLocation": ("s3:GetBucketLocation", False),
}
"""Operation -> (required action, whether its resource is the object, else the bucket)."""
PUBLIC = ("s3:GetObject", "s3:ListBucket", "s3:GetBucketLocation", "s3:GetObjectVersion")
ALL_USERS = "http://acs.amazonaws.com/groups/global/AllUsers"


def denied() -> ServiceError:
    return ServiceError("AccessDenied", "Access Denied", 403)


def check_anonymous(s3: S3, request: Request, operation: str) -> None:
    """Raise ServiceError AccessDenied unless the bucket allows the operation to everybody."""
    if not request.bucket:
        raise denied()
    settings = s3.objects.index.read_settings(request.bucket)  # NoSuchBucket is public, as on AWS
    needed = ACTIONS.get(operation)
    if needed is None:
        raise denied()
    action, on_object = needed
    resource = f"arn:aws:s3:::{request.bucket}" + (f"/{request.key}" if on_object else "")
    if _allows(settings.get("policy"), action, resource):
        return
    if not on_object:
        if _may_list(settings, action, resource):
            return
        raise denied()
    info = s3.objects.index.find(request.bucket, request.key)
    if info is None:  # 404 only with list permission, else 403, as on AWS
        if _may_list(settings, "s3:ListBucket", f"arn:aws:s3:::{request.bucket}"):
            return
    elif info.acl == "public-read" and settings.get("ownership") != ENFORCED:
        return
    raise denied()


def _may_list(settings: dict[str, Any], action: str, resource: str) -> bool:
    if settings.get("acl") == "public-read" and action == "s3:ListBucket":
        return settings.get("ownership") != ENFORCED
    return _allows(settings.get("policy"), action, resource)


def get_policy(s3: S3, request: Request) -> Answer:
    return Answer(200, {"content-type": "application/json"}, json.dumps(_read_policy(s3, request)).encode())


def put_policy(s3: S3, request: Request) -> Answer:
    policy = _parse_policy(request.body, request.bucket)
    s3.objects.index.write_setting(request.bucket, "policy", policy)
    return Answer(204)


def delete_policy(s3: S3, request: Request) -> Answer:
    s3.objects.index.write_setting(request.bucket, "policy", None)
    return Answer(204)


def get_policy_status(s3: S3, request: Request) -> Answer:
    _read_policy(s3, request)
    body = f'<PolicyStatus xmlns="{NAMESPACE}"><IsPublic>true</IsPublic></PolicyStatus>'
    return Answer(body=body.encode())


def _parse_policy(document: bytes, bucket: str) -> Policy:
    """Parse a bucket policy. Raises ServiceError MalformedPolicy, or NotImplemented for one that cannot be enforced."""
    try:
        policy = json.loads(document)
        statements = _as_list(policy["Statement"])
        for statement in statements:
            _check_statement(statement, bucket)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ServiceError("MalformedPolicy", "Policies must be valid JSON with Version and Statement") from None
    return dict(policy)


def _check_statement(statement: dict[str, Any], bucket: str) -> None:
    known = {"Sid", "Effect", "Principal", "Action", "Resource"}
    actions, resources = _as_list(statement["Action"]), _as_list(statement["Resource"])
    is_everybody = statement["Principal"] in ("*", {"AWS": "*"}, {"AWS": ["*"]})
    if (
        statement["Effect"] != "Allow"
        or not is_everybody
        or not set(actions) <= set(PUBLIC)
        or not set(statement) <= known
    ):
        raise ServiceError(
            "NotImplemented",
            f"This server only implements policies that allow {', '.join(PUBLIC)} to everybody.",
            501,
        )
    own = f"arn:aws:s3:::{bucket}"
    if not all(resource == own or resource.startswith(f"{own}/") for resource in resources):
        raise ServiceError("MalformedPolicy", "Policy has invalid resource")


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _allows(policy: Policy | None, action: str, resource: str) -> bool:
    if policy is None:
        return False
    return any(
        action in _as_list(statement["Action"])
        and any(_matches(pattern, resource) for pattern in _as_list(statement["Resource"]))
        for statement in _as_list(policy["Statement"])
    )


def _matches(pattern: str, text: str) -> bool:
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, text, re.DOTALL) is not None


def _read_policy(s3: S3, request: Request) -> Policy:
    policy: Policy = s3.read_setting(
        request.bucket, "policy", code="NoSuchBucketPolicy", message="The bucket policy does not exist"
    )
    return policy


# --- ACLs ---


def get_bucket_acl(s3: S3, request: Request) -> Answer:
    return _render_acl(s3, s3.objects.index.read_settings(request.bucket).get("acl", ""))


def put_bucket_acl(s3: S3, request: Request) -> Answer:
    refuse_disabled_acl(s3, request.bucket, request.headers)
    s3.objects.index.write_setting(request.bucket, "acl", _read_canned(request) or None)
    return Answer()


def get_object_acl(s3: S3, request: Request) -> Answer:
    return _render_acl(s3, s3.objects.find(request.bucket, request.key).acl)


def put_object_acl(s3: S3, request: Request) -> Answer:
    from dataclasses import replace

    refuse_disabled_acl(s3, request.bucket, request.headers)
    acl = _read_canned(request)
    with s3.objects.index.database.write():
        info: StoredObject = s3.objects.find(request.bucket, request.key)
        s3.objects.index.replace(replace(info, acl=acl))
    return Answer()


def _read_canned(request: Request) -> str:
    if "x-amz-acl" not in request.headers:
        raise ServiceError("NotImplemented", "Only canned ACLs (x-amz-acl) are implemented by this server.", 501)
    return read_acl(request.headers)


def _render_acl(s3: S3, acl: str) -> Answer:
    kind = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type='
    owner = f"{element('ID', s3.account)}{element('DisplayName', 'gtseg')}"
    grants = f'<Grant><Grantee {kind}"CanonicalUser">{owner}</Grantee><Permission>FULL_CONTROL</Permission></Grant>'
    if acl == "public-read":
        group = f'<Grantee {kind}"Group">{element("URI", ALL_USERS)}</Grantee>'
        grants += f"<Grant>{group}<Permission>READ</Permission></Grant>"
    body = (
        f'<AccessControlPolicy xmlns="{NAMESPACE}"><Owner>{owner}</Owner>'
        f"<AccessControlList>{grants}</AccessControlList></AccessControlPolicy>"
    )
    return Answer(body=body.encode())
