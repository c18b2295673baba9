"""Sequences of S3 calls, compared with moto's S3.

Compared: bodies, ETags, metadata, listings, error codes. Left out, because moto differs from AWS: If-Match on objects
that are missing, continuation tokens (opaque), copies onto themselves, a StartAfter inside of a common prefix (moto
leaves the prefix out although keys of it come later).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

KEYS = st.sampled_from(["a", "a/b", "a/b/c", "a/c d", "b+", "é/x", "z/"])
BODIES = st.binary(max_size=40)


@pytest.fixture(scope="module")
def oracle() -> Iterator[Any]:
    server_module = pytest.importorskip("moto.server")
    server = server_module.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield boto3.Session().client(
        "s3",
        endpoint_url=f"http://{host}:{port}",
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
    )
    server.stop()


def run_call(client: Any, name: str, parameters: dict[str, Any]) -> Any:
    """Return a call's result without members that may differ; for an error, its code."""
    try:
        answer = getattr(client, name)(**parameters)
    except ClientError as error:
        return error.response["Error"]["Code"]
    kept = {key: answer.get(key) for key in ("ETag", "Metadata", "ContentType", "TagSet", "ContentLength")}
    if "Body" in answer:
        kept["Body"] = answer["Body"].read()
    if name.startswith("list"):
        kept["keys"] = [(entry["Key"], entry["Size"], entry["ETag"]) for entry in answer.get("Contents", [])]
        kept["prefixes"] = [entry["Prefix"] for entry in answer.get("CommonPrefixes", [])]
        kept["truncated"] = answer["IsTruncated"]
    if name == "copy_object":
        kept["ETag"] = answer["CopyObjectResult"]["ETag"]
    return kept


class Compared(RuleBasedStateMachine):
    ours: Any
    oracle: Any
    runs = 0

    def __init__(self) -> None:
        super().__init__()
        Compared.runs += 1
        self.bucket = f"oracle-{Compared.runs}"
        self.both("create_bucket")

    def both(self, name: str, **parameters: Any) -> None:
        parameters["Bucket"] = self.bucket
        assert run_call(self.ours, name, parameters) == run_call(self.oracle, name, parameters), (
            name,
            parameters,
        )

    @rule(
        key=KEYS,
        body=BODIES,
        metadata=st.dictionaries(st.sampled_from("ab"), st.sampled_from("xy"), max_size=2),
    )
    def put(self, key: str, body: bytes, metadata: dict[str, str]) -> None:
        self.both("put_object", Key=key, Body=body, Metadata=metadata)

    @rule(key=KEYS, body=BODIES)
    def create(self, key: str, body: bytes) -> None:
        self.both("put_object", Key=key, Body=body, IfNoneMatch="*")

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        self.both("delete_object", Key=key)

    @rule(keys=st.lists(KEYS, min_size=1, max_size=3, unique=True))
    def delete_many(self, keys: list[str]) -> None:
        self.both("delete_objects", Delete={"Objects": [{"Key": key} for key in keys]})

    @rule(source=KEYS, to=KEYS)
    def copy(self, source: str, to: str) -> None:
        if source != to:
            self.both("copy_object", Key=to, CopySource={"Bucket": self.bucket, "Key": source})

    @rule(key=KEYS, start=st.integers(0, 20), length=st.integers(1, 30))
    def read_range(self, key: str, start: int, length: int) -> None:
        self.both("get_object", Key=key, Range=f"bytes={start}-{start + length - 1}")

    @rule(key=KEYS, value=st.sampled_from("xyz"))
    def tag(self, key: str, value: str) -> None:
        self.both("put_object_tagging", Key=key, Tagging={"TagSet": [{"Key": "t", "Value": value}]})
        self.both("get_object_tagging", Key=key)

    @rule(
        prefix=st.sampled_from(["", "a", "a/", "é"]),
        delimiter=st.sampled_from(["", "/"]),
        limit=st.integers(1, 4),
        after=st.sampled_from(["", "a/b", "b+"]),
    )
    def list_pages(self, prefix: str, delimiter: str, limit: int, after: str) -> None:
        if not (delimiter and after.startswith(prefix) and delimiter in after[len(prefix) :]):
            self.both("list_objects_v2", Prefix=prefix, Delimiter=delimiter, StartAfter=after, MaxKeys=1000)
        if not delimiter:
            self.both("list_objects_v2", Prefix=prefix, StartAfter=after, MaxKeys=limit)

    @rule(key=KEYS)
    def read(self, key: str) -> None:
        self.both("get_object", Key=key)
        self.both("head_object", Key=key)

    @invariant()
    def same_keys(self) -> None:
        self.both("list_objects_v2")


def test_every_sequence_of_calls_gives_the_oracles_results(shared_aws: Any, oracle: Any) -> None:
    machine = type("Machine", (Compared,), {"ours": shared_aws.client("s3"), "oracle": oracle})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=10, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
