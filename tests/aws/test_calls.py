"""Common parts of the SageMaker clients: tags of all pages, unreadable tags, missing resources."""

from __future__ import annotations

import pytest
from botocore.stub import Stubber

from gtseg.aws.calls import Calls, HiddenTags, is_missing
from gtseg.aws.clients import Clients
from gtseg.aws.groundtruth import GroundTruth
from gtseg.aws.hosting import Hosting
from gtseg.aws.training import Training
from gtseg.aws.transform import Transforms
from gtseg.errors import AWSError

ARN = "arn:aws:sagemaker:us-east-1:123456789012:training-job/t"


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> Clients:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    return Clients(region="us-east-1")


@pytest.mark.parametrize("door", [Training, Hosting, Transforms, GroundTruth])
def test_tags_of_all_pages_are_read(clients: Clients, door: type[Calls]) -> None:
    calls = door(clients)
    with Stubber(calls._client) as stub:
        first = {"Tags": [{"Key": "a", "Value": "1"}], "NextToken": "more"}
        stub.add_response("list_tags", first, {"ResourceArn": ARN})
        stub.add_response(
            "list_tags", {"Tags": [{"Key": "b", "Value": "2"}]}, {"ResourceArn": ARN, "NextToken": "more"}
        )
        assert calls.tags(ARN) == {"a": "1", "b": "2"}
        stub.assert_no_pending_responses()


def test_a_job_whose_tags_may_not_be_listed_is_found_with_hidden_tags(clients: Clients) -> None:
    with Stubber(clients.sagemaker) as stub:
        stub.add_client_error("list_tags", "AccessDeniedException", http_status_code=400)
        assert isinstance(Calls(clients).tags(ARN), HiddenTags)


@pytest.mark.parametrize(
    ("code", "message", "missing"),
    [
        ("ResourceNotFound", "", True),
        ("ValidationException", 'Could not find endpoint "x".', True),
        ("ValidationException", "1 validation error detected", False),
        ("AccessDeniedException", "could not find", False),
    ],
)
def test_each_of_sagemakers_errors_for_a_missing_resource_is_recognized(code: str, message: str, missing: bool) -> None:
    assert is_missing(AWSError("Describe", code, message)) is missing
