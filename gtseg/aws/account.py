"""What the account says of itself: who is asking, the execution role, quotas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gtseg.aws.failures import read_answer, translate
from gtseg.errors import AWSError

if TYPE_CHECKING:
    from gtseg.aws.clients import Clients

__all__ = ["Role", "find_quota", "find_role", "simulate", "who_am_i"]


@dataclass(frozen=True)
class Role:
    """An IAM role: who may assume it, as a list of service names."""

    arn: str
    trusted: tuple[str, ...]


def who_am_i(clients: Clients) -> tuple[str, str]:
    """(account, ARN) of the caller."""
    with translate("GetCallerIdentity"):
        answer = clients.sts.get_caller_identity()
    return read_answer("GetCallerIdentity", answer, lambda a: (str(a["Account"]), str(a["Arn"])))


def find_role(clients: Clients, arn: str) -> Role | None:
    """The role, None if there is none. AWSError where the caller may not look."""
    name = arn.rsplit("/", 1)[-1]
    try:
        with translate(f"GetRole {name}"):
            answer = clients.iam.get_role(RoleName=name)
    except AWSError as error:
        if error.code == "NoSuchEntity":
            return None
        raise
    return read_answer(f"GetRole {name}", answer, _role)


def _role(answer: dict[str, Any]) -> Role:
    role = answer["Role"]
    return Role(role["Arn"], tuple(_trusted(role.get("AssumeRolePolicyDocument") or {})))


def _trusted(document: dict[str, Any]) -> list[str]:
    found = []
    for statement in _listed(document.get("Statement")):
        principal = statement.get("Principal") or {}
        if statement.get("Effect") == "Allow" and isinstance(principal, dict):
            found += [str(service) for service in _listed(principal.get("Service"))]
    return found


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def simulate(clients: Clients, role_arn: str, actions: Sequence[str], resource: str) -> list[str]:
    """The actions that IAM would deny the role on a resource. AWSError where simulation is not allowed."""
    with translate("SimulatePrincipalPolicy"):
        answer = clients.iam.simulate_principal_policy(
            PolicySourceArn=role_arn, ActionNames=list(actions), ResourceArns=[resource]
        )
    return [r["EvalActionName"] for r in answer["EvaluationResults"] if r["EvalDecision"] != "allowed"]


def find_quota(clients: Clients, name: str) -> float | None:
    """A SageMaker quota by its name, like `ml.g4dn.xlarge for training job usage`; None if AWS lists none of that name."""
    client = clients.client("service-quotas")
    with translate("ListServiceQuotas"):
        for page in client.get_paginator("list_service_quotas").paginate(ServiceCode="sagemaker"):
            for quota in page["Quotas"]:
                if quota["QuotaName"] == name:
                    return float(quota["Value"])
    return None
