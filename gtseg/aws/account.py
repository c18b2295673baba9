"""Account data: caller identity, execution role, IAM simulation and service quotas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gtseg.aws.failures import read_answer, translate
from gtseg.errors import AWSError

if TYPE_CHECKING:
    from gtseg.aws.clients import Clients


@dataclass(frozen=True)
class Role:
    """An IAM role. `services`: the service principals that its trust policy allows to assume it."""

    arn: str
    trusted: tuple[str, ...]


def who_am_i(clients: Clients) -> tuple[str, str]:
    """Return (account, ARN) of the caller."""
    with translate("GetCallerIdentity"):
        answer = clients.sts.get_caller_identity()
    return read_answer("GetCallerIdentity", answer, lambda a: (str(a["Account"]), str(a["Arn"])))


def find_role(clients: Clients, arn: str) -> Role | None:
    """Return the role, or None if there is none. Raises AWSError if the caller may not read it."""
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
    """Return the actions that IAM would deny the role on a resource. Raises AWSError if simulation is not allowed."""
    with translate("SimulatePrincipalPolicy"):
        answer = clients.iam.simulate_principal_policy(
            PolicySourceArn=role_arn, ActionNames=list(actions), ResourceArns=[resource]
        )
    return [r["EvalActionName"] for r in answer["EvaluationResults"] if r["EvalDecision"] != "allowed"]


def find_quota(clients: Clients, name: str) -> float | None:
    """Return the SageMaker quota of this name (e.g. `ml.g4dn.xlarge for training job usage`), or None if AWS lists
    none.
    """
    client = clients.client("service-quotas")
    with translate("ListServiceQuotas"):
        for page in client.get_paginator("list_service_quotas").paginate(ServiceCode="sagemaker"):
            for quota in page["Quotas"]:
                if quota["QuotaName"] == name:
                    return float(quota["Value"])
    return None
