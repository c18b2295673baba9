"""Signatures equal those of botocore."""

from __future__ import annotations

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from gtseg.aws.s3 import signing
from gtseg.aws.s3.signing import Signer, quote_path, quote_query

keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def botocore_authorization(
    method: str, path: str, *, query: str, headers: dict[str, str], body: bytes, who: Credentials
) -> str:
    url = f"http://{headers['host']}{path}" + (f"?{query}" if query else "")
    request = AWSRequest(method, url, data=body, headers=dict(headers))
    request.context.update({"payload_signing_enabled": True})
    S3SigV4Auth(who, "s3", "eu-west-1").add_auth(request)
    return request.headers["Authorization"]


@given(keys, st.dictionaries(keys, keys, max_size=3), st.sampled_from([None, "token=="]), st.binary(max_size=9))
@settings(deadline=None, max_examples=80)
def test_any_key_and_query_is_signed_as_by_botocore(
    key: str, parameters: dict[str, str], token: str | None, body: bytes
) -> None:
    who = Credentials("AKID", "secret", token)
    signer = Signer(who, "eu-west-1")
    path, query = "/bucket/" + quote_path(key), quote_query(parameters)
    headers = {"host": "127.0.0.1:9000", "x-amz-copy-source": "/a/b"}
    for _ in range(3):  # the second may change between the two
        signed = dict(signer.sign("PUT", path, query=query, headers=headers, body=body))
        expected = botocore_authorization("PUT", path, query=query, headers=headers, body=body, who=who)
        if signed["authorization"] == expected:
            return
    pytest.fail(f"{signed['authorization']} != {expected}")


def test_a_refreshed_session_signs_with_the_new_keys() -> None:
    class Rotating:
        turn = 0

        def get_frozen_credentials(self) -> Credentials:
            self.turn += 1
            return Credentials(f"AKID{self.turn}", f"secret{self.turn}", f"token{self.turn}")

    signer = Signer(Rotating(), "us-east-1")
    first, second = (dict(signer.sign("GET", "/b/k", query="", headers={"host": "h"}, body=b"")) for _ in range(2))
    assert (first["x-amz-security-token"], second["x-amz-security-token"]) == ("token1", "token2")
    assert first["authorization"] != second["authorization"]


def test_the_signing_key_changes_with_the_date(monkeypatch: pytest.MonkeyPatch) -> None:
    signer = Signer(Credentials("a", "b"), "us-east-1")
    signer.clock_offset = 86400 * 2
    moved = dict(signer.sign("GET", "/b/k", query="", headers={"host": "h"}, body=b""))
    signer.clock_offset = 0
    back = dict(signer.sign("GET", "/b/k", query="", headers={"host": "h"}, body=b""))
    assert moved["x-amz-date"][:8] > back["x-amz-date"][:8]
    assert moved["authorization"].split("Signature=")[1] != back["authorization"].split("Signature=")[1]


def test_the_hash_of_an_empty_body_is_a_constant() -> None:
    assert signing.EMPTY_SHA256 == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
