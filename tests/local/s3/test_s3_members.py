"""Every member of every S3 operation's input is read, refused, or ignored for a stated reason.

Each member is sent by boto3 to an in-process S3. A header or a query parameter counts as read if the code looks
its name up while it answers; an element of an XML document if the operation's parser knows it (others are refused).
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import ClientError

from gtseg.local.errors import ServiceError
from gtseg.local.front.faults import Faults
from gtseg.local.s3.app import S3App, render_failure
from gtseg.local.s3.metadata import IGNORED
from gtseg.local.s3.operations import COPIES, OPERATIONS, find_operation
from gtseg.local.s3.request import Answer, Request, parse_request
from gtseg.local.s3.request_body import BodyReceiver
from gtseg.local.s3.service import S3
from gtseg.local.storage.folder import FolderObjects

ACCOUNT = "123456789012"
OWN = ("PostObject", "PreflightRequest")  # of browsers; no operations of the service model


class Recorder(dict[str, str]):
    """Headers or query parameters that record the names looked up."""

    def __init__(self, values: dict[str, str]) -> None:
        super().__init__(values)
        self.read: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.read.add(name)
        return super().get(name, default)

    def __getitem__(self, name: str) -> str:
        self.read.add(name)
        return super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        self.read.add(str(name))
        return super().__contains__(name)


class Door:
    """An in-process S3 for boto3 without a network; `read`: names looked up in the last request."""

    def __init__(self, folder: Path) -> None:
        self.objects, self.pool = FolderObjects(folder), ThreadPoolExecutor(2)
        self.objects.start()
        intake = BodyReceiver(self.objects.files, self.pool)
        s3 = S3(self.objects, ACCOUNT, "us-east-1", self.pool, intake, lambda key: "s", lambda: datetime.now(UTC))
        self.app = S3App(s3, Faults(None), lambda *_: None)
        self.read: set[str] = set()
        config = Config(parameter_validation=False, retries={"total_max_attempts": 1})
        self.client = boto3.Session().client(
            "s3",
            endpoint_url="http://localhost:1",
            region_name="us-east-1",
            aws_access_key_id="a",
            aws_secret_access_key="s",
            config=config,
        )
        self.methods = {api: method for method, api in self.client.meta.method_to_api_mapping.items()}
        self.client.meta.events.register("before-send.s3", self.answer)

    def answer(self, request: Any, **_: Any) -> AWSResponse:
        answer, record = ThreadPoolExecutor(1).submit(asyncio.run, self.run(request)).result()
        self.read = record
        body = answer.body
        if answer.file is not None:
            raise AssertionError("objects of this test are small")
        raw = io.BytesIO(body)
        raw.stream = lambda *_: iter([body])  # type: ignore[attr-defined]
        return AWSResponse(request.url, answer.status, answer.headers, raw)

    async def run(self, sent: Any) -> tuple[Answer, set[str]]:
        parts = urlsplit(sent.url)
        body = sent.body.read() if hasattr(sent.body, "read") else sent.body or b""
        body = body.encode() if isinstance(body, str) else body
        scope = {"method": sent.method, "raw_path": parts.path.encode(), "query_string": parts.query.encode()}
        headers = Recorder({name.lower(): as_text(value) for name, value in sent.headers.items()})
        headers.setdefault("content-length", str(len(body)))

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        request: Request = parse_request(scope, receive, headers)
        request.query = query = Recorder(request.query)
        try:
            answer = await self.app.run(find_operation(request), request)
        except ServiceError as error:
            answer = render_failure(error, scope, request)
        return answer, headers.read | query.read


def as_text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    door = Door(tmp_path_factory.mktemp("members"))
    yield door
    door.objects.stop()
    door.pool.shutdown()


# What each operation needs beside Bucket and Key.
NEEDS: dict[str, dict[str, Any]] = {
    "CopyObject": {
        "CopySource": "b-1/k",
        "Key": "copy",
        "MetadataDirective": "REPLACE",
        "TaggingDirective": "REPLACE",
    },
    "CreateBucket": {"Bucket": "b-2"},
    "DeleteObjects": {"Delete": {"Objects": [{"Key": "k"}]}},
    "GetObjectAttributes": {"ObjectAttributes": ["ETag"]},
    "PutBucketAcl": {"ACL": "private"},
    "PutObjectAcl": {"ACL": "private"},
    "PutBucketCors": {"CORSConfiguration": {"CORSRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}]}},
    "PutBucketOwnershipControls": {"OwnershipControls": {"Rules": [{"ObjectOwnership": "ObjectWriter"}]}},
    "PutBucketPolicy": {"Policy": "{}"},
    "PutBucketTagging": {"Tagging": {"TagSet": []}},
    "PutObjectTagging": {"Tagging": {"TagSet": []}},
    "PutBucketVersioning": {"VersioningConfiguration": {"Status": "Suspended"}},
    "PutObject": {"Body": b"x"},
    "UploadPart": {"Body": b"x", "PartNumber": 1},
    "UploadPartCopy": {"CopySource": "b-1/k", "PartNumber": 1},
    "CompleteMultipartUpload": {},
}
VALUES: dict[str, Any] = {
    "boolean": True,
    "integer": 1,
    "long": 1,
    "timestamp": datetime(2026, 1, 1, tzinfo=UTC),
    "map": {"a": "b"},
    "blob": b"x",
}
SPECIAL = {
    "ACL": "private",
    "ChecksumAlgorithm": "CRC32",
    "ChecksumMode": "ENABLED",
    "CopySourceSSECustomerKey": "k" * 32,
    "EncodingType": "url",
    "ExpectedBucketOwner": "999999999999",
    "ExpectedSourceBucketOwner": "999999999999",
    "SSECustomerKey": "k" * 32,
    "Tagging": "a=b",
    "VersionId": "null",
}


def parameters_of(door: Door, operation: str) -> dict[str, Any]:
    """Parameters of a request that succeeds, or fails on a missing resource (bucket: one object, one upload)."""
    client, given = door.client, {"Bucket": "b-1", "Key": "k"}
    for call in (
        lambda: client.create_bucket(Bucket="b-1"),
        lambda: client.put_object(**given, Body=b"x"),
    ):
        call()
    members = client.meta.service_model.operation_model(operation).input_shape.members
    chosen = {**given, **NEEDS.get(operation, {})}
    if "UploadId" in members:
        chosen["UploadId"] = client.create_multipart_upload(**given)["UploadId"]
    if operation == "CompleteMultipartUpload":
        part = client.upload_part(**given, UploadId=chosen["UploadId"], PartNumber=1, Body=b"x")
        chosen["MultipartUpload"] = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    return {name: value for name, value in chosen.items() if name in members}


CHANGING = ("DeleteObject", "DeleteBucket", "CompleteMultipartUpload", "AbortMultipartUpload")


def is_accounted_for(door: Door, operation: str, name: str, shape: Any, *, parameters: dict[str, Any]) -> bool:
    """Return whether the member is looked up, refused, or in the list of ignored members."""
    header = shape.serialization.get("name", name)
    lowered = header.lower() if shape.serialization["location"] == "header" else header
    if lowered in IGNORED:
        return True
    value = SPECIAL.get(name, VALUES.get(shape.type_name, shape.metadata.get("enum", ["abc"])[0]))
    if operation in CHANGING:
        parameters = parameters_of(door, operation)
    try:
        getattr(door.client, door.methods[operation])(**{**parameters, name: value})
    except ClientError as error:
        refusal = error.response["Error"]
        if refusal.get("Header") == lowered or refusal["Code"] == "501":  # the answer to HEAD has no body
            return True
    return lowered in door.read


def names_of_operations() -> list[str]:
    found = {operation.name for operation in (*OPERATIONS.values(), *COPIES.values())}
    return sorted(found - set(OWN))


@pytest.mark.parametrize("operation", names_of_operations())
def test_every_header_and_parameter_is_read_refused_or_listed(door: Door, operation: str) -> None:
    shape = door.client.meta.service_model.operation_model(operation).input_shape
    given = parameters_of(door, operation)
    ignored = [
        name
        for name, member in (shape.members.items() if shape is not None else ())
        if member.serialization.get("location") in ("header", "querystring")
        and not is_accounted_for(door, operation, name, member, parameters=given)
    ]
    assert ignored == []


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("create_bucket", {"CreateBucketConfiguration": {"Location": {"Type": "AvailabilityZone"}}}),
        (
            "put_bucket_versioning",
            {"VersioningConfiguration": {"MFADelete": "Enabled", "Status": "Suspended"}},
        ),
        ("put_bucket_acl", {"AccessControlPolicy": {"Owner": {"ID": "a"}}}),
        (
            "complete_multipart_upload",
            {
                "UploadId": "u",
                "Key": "k",
                "MultipartUpload": {"Parts": [{"PartNumber": 1, "ChecksumSHA512": "a"}]},
            },
        ),
    ],
)
def test_an_unknown_xml_element_is_refused(door: Door, method: str, parameters: dict[str, Any]) -> None:
    parameters_of(door, "HeadObject")
    bucket = "b-3" if method == "create_bucket" else "b-1"
    if method == "complete_multipart_upload":
        parameters = parameters_of(door, "CompleteMultipartUpload") | {"MultipartUpload": parameters["MultipartUpload"]}
    with pytest.raises(ClientError, match="NotImplemented"):
        getattr(door.client, method)(**{"Bucket": bucket, **parameters})


def test_every_operation_in_the_table_is_in_the_service_model(door: Door) -> None:
    assert set(names_of_operations()) <= set(door.methods)
    assert all(len(reason) > 10 for reason in IGNORED.values())
