"""Names of a private workforce's workers, from responses of Amazon Cognito."""

from __future__ import annotations

import pytest
from botocore.stub import Stubber

from gtseg.aws.clients import Clients
from gtseg.aws.identities import find_names
from gtseg.errors import AWSError


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> Clients:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    return Clients(region="us-east-1")


@pytest.mark.parametrize(
    ("attributes", "name"),
    [({"name": "Ada", "email": "a@x.org"}, "Ada"), ({"name": "", "email": "a@x.org"}, "a@x.org"), ({}, "u1")],
)
def test_a_worker_is_shown_by_name_else_email_address_else_user_name(
    clients: Clients, attributes: dict[str, str], name: str
) -> None:
    user = {
        "Username": "u1",
        "Attributes": [{"Name": key, "Value": value} for key, value in attributes.items()],
    }
    with Stubber(clients.identities) as stub:
        words = {"UserPoolId": "us-east-1_p", "Filter": 'sub = "a\\"b"', "Limit": 1}
        stub.add_response("list_users", {"Users": [user]}, words)
        stub.add_response("list_users", {"Users": []})
        found = find_names(clients, [("us-east-1_p", 'a"b'), ("us-east-1_p", "gone")])
    assert found == {("us-east-1_p", 'a"b'): name}


def test_a_refusal_of_cognito_is_an_aws_error(clients: Clients) -> None:
    with Stubber(clients.identities) as stub:
        stub.add_client_error("list_users", "NotAuthorizedException")
        with pytest.raises(AWSError, match="ListUsers"):
            find_names(clients, [("us-east-1_p", "s")])
