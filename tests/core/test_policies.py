import json

import botocore.session
import pytest

from gtseg.core.policies import caller_policy, execution_policy, labeling_server_policy, trust_policy
from gtseg.local.storage.rights import KMS_ACTIONS, S3_ACTIONS

CALLER = caller_policy(
    region="eu-west-1",
    account="111122223333",
    bucket="data",
    image_buckets=["photos"],
    role_arn="arn:aws:iam::111122223333:role/gt",
    project="Turtles",
)
KEY = "arn:aws:kms:eu-west-1:111122223333:key/1-2"
SERVER = labeling_server_policy(
    region="eu-west-1",
    account="111122223333",
    bucket="data",
    image_buckets=["photos"],
    runs="p/Turtles",
    kms_keys=[KEY],
)
SERVICES = {"servicequotas": "service-quotas"}


def actions(policy: dict) -> set[str]:
    return {action for statement in policy["Statement"] for action in statement["Action"]}


@pytest.mark.parametrize(
    "action",
    sorted(a for a in actions(CALLER) if a.split(":")[0] in {"sagemaker", "sts", "logs", "pricing", "iam"}),
)
def test_every_action_is_an_operation_of_its_service(action: str) -> None:
    service, name = action.split(":")
    models = [service] if service != "sagemaker" else ["sagemaker", "sagemaker-runtime"]
    operations = {o for m in models for o in botocore.session.get_session().get_service_model(m).operation_names}
    assert name in operations | {"PassRole"}


def test_no_policy_allows_a_wildcard_action() -> None:
    assert not [
        a
        for policy in (CALLER, execution_policy(region="eu-west-1", buckets=["data"]))
        for a in actions(policy)
        if "*" in a
    ]


def test_policies_allow_writing_to_the_runs_bucket_and_resources_of_the_project_only() -> None:
    writers = [s for s in CALLER["Statement"] if "s3:PutObject" in s["Action"]]
    assert [s["Resource"] for s in writers] == [["arn:aws:s3:::data/*"]]
    creating = [s for s in CALLER["Statement"] if "sagemaker:CreateTrainingJob" in s["Action"]]
    assert creating[0]["Resource"] == ["arn:aws:sagemaker:eu-west-1:111122223333:training-job/turtles*"]


def test_a_project_with_a_labeling_server_needs_no_labeling_permissions_on_aws() -> None:
    elsewhere = caller_policy(
        region="eu-west-1",
        account="111122223333",
        bucket="data",
        image_buckets=["photos"],
        role_arn="arn:aws:iam::111122223333:role/gt",
        project="Turtles",
        labels_here=False,
    )
    assert actions(CALLER) - actions(elsewhere) == {
        "sagemaker:CreateLabelingJob",
        "sagemaker:DescribeLabelingJob",
        "sagemaker:StopLabelingJob",
        "sagemaker:ListLabelingJobs",
        "sagemaker:ListWorkteams",
        "s3:GetBucketCORS",
        "s3:PutBucketCORS",
    }


def test_the_labeling_servers_policy_allows_exactly_the_operations_it_sends() -> None:
    """The server sends only operations of its table (gtseg.local.storage.clients.check_listed)."""
    assert actions(SERVER) == {*S3_ACTIONS.values(), *KMS_ACTIONS}


def test_the_labeling_server_may_write_below_labeling_of_the_projects_runs_only() -> None:
    writing = next(s for s in SERVER["Statement"] if "s3:PutObject" in s["Action"])
    assert writing["Resource"] == ["arn:aws:s3:::data/p/Turtles*/labeling/*"]


@pytest.mark.parametrize(
    ("key", "resource", "alias"),
    [
        (KEY, KEY, None),
        ("1-2", KEY, None),
        ("alias/own", "arn:aws:kms:eu-west-1:111122223333:key/*", "alias/own"),
        ("arn:aws:kms:us-east-1:1:alias/own", "arn:aws:kms:us-east-1:1:key/*", "alias/own"),
    ],
)
def test_a_kms_key_is_allowed_by_id_arn_or_alias(key: str, resource: str, alias: str | None) -> None:
    policy = labeling_server_policy(
        region="eu-west-1", account="111122223333", bucket="b", image_buckets=[], runs="r", kms_keys=[key]
    )
    using = policy["Statement"][-1]
    assert using["Resource"] == [resource]
    condition = {"ForAnyValue:StringEquals": {"kms:ResourceAliases": alias}}
    assert using.get("Condition") == (condition if alias else None)


def test_the_role_may_be_passed_to_sagemaker_only() -> None:
    passing = next(s for s in CALLER["Statement"] if s["Action"] == ["iam:PassRole"])
    assert passing["Condition"] == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    assert trust_policy()["Statement"][0]["Principal"] == {"Service": "sagemaker.amazonaws.com"}


def test_policies_for_china_and_govcloud_use_their_partitions() -> None:
    assert "arn:aws-cn:s3:::b" in json.dumps(execution_policy(region="cn-north-1", buckets=["b"]))
    assert "arn:aws-us-gov:s3:::b" in json.dumps(execution_policy(region="us-gov-west-1", buckets=["b"]))


def test_every_policy_is_within_iams_size_limit() -> None:
    """A managed policy holds 6,144 characters without white space (IAM quotas)."""
    assert len(json.dumps(CALLER, separators=(",", ":"))) < 6144
