"""Cognito's ListUsers: members of the private team."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError
from labeling_fixture import Labeling

POOL = "us-east-1_gtseglocal"


def test_a_worker_is_found_by_sub_and_users_are_listed_in_pages(shared_aws: Any) -> None:
    labeling = Labeling(shared_aws)
    for name in ('Zoë "Quick"', "Bob of the users"):
        labeling.hire(name)
    cognito = shared_aws.client("cognito-idp")
    pages = cognito.get_paginator("list_users").paginate(
        UserPoolId=POOL, PaginationConfig={"PageSize": 1, "MaxItems": 1000}
    )
    users = [user for page in pages for user in page["Users"]]
    subs = {
        attributes["name"]: attributes["sub"]
        for user in users
        for attributes in [{item["Name"]: item["Value"] for item in user["Attributes"]}]
    }
    assert len(subs) == len(users) >= 2
    (found,) = cognito.list_users(UserPoolId=POOL, Filter=f'sub = "{subs["Bob of the users"]}"')["Users"]
    assert {"Name": "name", "Value": "Bob of the users"} in found["Attributes"]
    (found,) = cognito.list_users(UserPoolId=POOL, Filter='name ^= "Zoë \\"Qu"')["Users"]
    assert found["Enabled"]
    (one, *_) = cognito.list_users(UserPoolId=POOL, AttributesToGet=["name"])["Users"]
    assert [attribute["Name"] for attribute in one["Attributes"]] == ["name"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ({"UserPoolId": "us-east-1_other"}, "ResourceNotFoundException"),
        ({"UserPoolId": POOL, "Filter": "sub = 1 OR 1"}, "InvalidParameterException"),
        ({"UserPoolId": POOL, "Filter": 'token = "x"'}, "InvalidParameterException"),
        ({"UserPoolId": POOL, "PaginationToken": "-1"}, "InvalidParameterException"),
    ],
)
def test_invalid_list_users_requests_are_refused_as_by_cognito(
    shared_aws: Any, words: dict[str, str], code: str
) -> None:
    with pytest.raises(ClientError) as caught:
        shared_aws.client("cognito-idp").list_users(**words)
    assert caught.value.response["Error"]["Code"] == code
