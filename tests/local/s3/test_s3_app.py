"""S3 with boto3 and plain HTTP."""

from __future__ import annotations

import itertools
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import urllib3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from polling import wait_for

NAMES = (f"bucket-{number}" for number in itertools.count())
MEGABYTE = 1 << 20


@pytest.fixture
def s3(shared_aws: Any) -> Any:
    return shared_aws.client("s3")


@pytest.fixture
def bucket(s3: Any) -> str:
    name = next(NAMES)
    s3.create_bucket(Bucket=name)
    return name


def code_of(call: Any, **parameters: Any) -> str:
    with pytest.raises(ClientError) as refusal:
        call(**parameters)
    return str(refusal.value.response["Error"]["Code"])


def read(s3: Any, bucket: str, key: str, **parameters: Any) -> bytes:
    return bytes(s3.get_object(Bucket=bucket, Key=key, **parameters)["Body"].read())


HOSTILE = [
    "a",
    "a/b",
    "a/b/",
    "..",
    "../../etc/passwd",
    "./x",
    "a//b",
    "/lead",
    "c:\\d",
    "0_2022-09-09T17:25:31.918770.png",
    "näé 日本語 🐢",
    "q?x=1&y#z%41+ ;=@$,!*'()",
    "é" * 512,
    "tab\tnew\nline",
    "trailing ",
    " lead",
    "%2F",
    "<&>\"'",
    "~-_.",
]


def test_hostile_keys_are_distinct_and_listed_unchanged(s3: Any, bucket: str) -> None:
    for key in HOSTILE:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    assert [read(s3, bucket, key).decode() for key in HOSTILE] == HOSTILE
    listed = [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert listed == sorted(HOSTILE, key=str.encode)
    s3.copy_object(Bucket=bucket, Key="copied", CopySource={"Bucket": bucket, "Key": HOSTILE[11]})
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in HOSTILE]})
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["copied"]


def test_a_key_longer_than_1024_bytes_is_refused(s3: Any, bucket: str) -> None:
    assert code_of(s3.put_object, Bucket=bucket, Key="é" * 513, Body=b"") == "KeyTooLongError"


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("bytes=0-0", b"0"),
        ("bytes=3-5", b"345"),
        ("bytes=7-", b"789"),
        ("bytes=-2", b"89"),
        ("bytes=8-99", b"89"),
    ],
)
def test_ranges(s3: Any, bucket: str, asked: str, expected: bytes) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")
    answer = s3.get_object(Bucket=bucket, Key="k", Range=asked)
    assert answer["Body"].read() == expected
    assert answer["ContentRange"].endswith("/10")


@pytest.mark.parametrize("asked", ["bytes=10-", "bytes=-0"])
def test_a_range_beyond_the_end_is_refused(s3: Any, bucket: str, asked: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")
    assert code_of(s3.get_object, Bucket=bucket, Key="k", Range=asked) == "InvalidRange"


def test_metadata_headers_and_tags_are_returned(s3: Any, bucket: str) -> None:
    kept = {
        "CacheControl": "no-cache",
        "ContentEncoding": "gzip",
        "ContentDisposition": "inline",
        "ContentType": "a/b",
    }
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Metadata={"a": "b", "c": ""}, Tagging="t=1&u=2", **kept)
    head = s3.head_object(Bucket=bucket, Key="k")
    assert {name: head[name] for name in kept} == kept
    assert head["Metadata"] == {"a": "b", "c": ""}
    tags = s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"]
    assert tags == [{"Key": "t", "Value": "1"}, {"Key": "u", "Value": "2"}]
    s3.delete_object_tagging(Bucket=bucket, Key="k")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []
    assert code_of(s3.put_object, Bucket=bucket, Key="k", Metadata={"a": "x" * 2100}) == "MetadataTooLarge"


def test_a_copy_keeps_or_replaces_metadata(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Metadata={"a": "b"}, ContentType="image/png")
    source = {"Bucket": bucket, "Key": "k"}
    s3.copy_object(Bucket=bucket, Key="same", CopySource=source)
    s3.copy_object(Bucket=bucket, Key="new", CopySource=source, MetadataDirective="REPLACE", Metadata={"c": "d"})
    same, new = s3.head_object(Bucket=bucket, Key="same"), s3.head_object(Bucket=bucket, Key="new")
    assert (same["Metadata"], same["ContentType"]) == ({"a": "b"}, "image/png")
    assert (new["Metadata"], new["ContentType"]) == ({"c": "d"}, "binary/octet-stream")
    assert code_of(s3.copy_object, Bucket=bucket, Key="k", CopySource=source) == "InvalidRequest"
    stale = {"Bucket": bucket, "Key": "n", "CopySource": source, "CopySourceIfMatch": '"0"'}
    assert code_of(s3.copy_object, **stale) == "PreconditionFailed"
    missing = {"Bucket": bucket, "Key": "nothing"}
    assert code_of(s3.copy_object, Bucket=bucket, Key="n", CopySource=missing) == "NoSuchKey"


def test_conditional_reads(s3: Any, bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["ETag"]
    assert read(s3, bucket, "k", IfMatch=etag) == b"x"
    assert code_of(s3.get_object, Bucket=bucket, Key="k", IfMatch='"0"') == "PreconditionFailed"
    assert code_of(s3.get_object, Bucket=bucket, Key="k", IfNoneMatch=etag) == "304"
    modified = s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    assert code_of(s3.get_object, Bucket=bucket, Key="k", IfModifiedSince=modified) == "304"


def test_conditional_writes(s3: Any, bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"1", IfNoneMatch="*")["ETag"]
    assert code_of(s3.put_object, Bucket=bucket, Key="k", Body=b"2", IfNoneMatch="*") == "PreconditionFailed"
    s3.put_object(Bucket=bucket, Key="k", Body=b"3", IfMatch=etag)
    assert code_of(s3.put_object, Bucket=bucket, Key="k", Body=b"4", IfMatch=etag) == "PreconditionFailed"
    assert code_of(s3.put_object, Bucket=bucket, Key="none", Body=b"4", IfMatch=etag) == "NoSuchKey"
    assert code_of(s3.delete_object, Bucket=bucket, Key="k", IfMatch=etag) == "PreconditionFailed"
    assert read(s3, bucket, "k") == b"3"


def test_exactly_one_of_many_concurrent_creations_succeeds(shared_aws: Any, s3: Any, bucket: str) -> None:
    def create(number: int) -> str:
        try:
            clients[number].put_object(Bucket=bucket, Key="run.json", Body=b"%d" % number, IfNoneMatch="*")
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return "won"

    clients = [shared_aws.client("s3") for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(create, range(8)))
    assert sorted(outcomes) == ["PreconditionFailed"] * 7 + ["won"]
    assert read(s3, bucket, "run.json") == b"%d" % outcomes.index("won")


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
def test_checksums_are_verified_and_returned(s3: Any, bucket: str, algorithm: str) -> None:
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"x" * 300_000, ChecksumAlgorithm=algorithm)
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert head[f"Checksum{algorithm}"] == put[f"Checksum{algorithm}"]
    assert len(read(s3, bucket, "k")) == 300_000  # boto3 checks it
    wrong = {
        f"Checksum{algorithm}": "A" * len(put[f"Checksum{algorithm}"].rstrip("="))
        + "=" * put[f"Checksum{algorithm}"].count("=")
    }
    assert code_of(s3.put_object, Bucket=bucket, Key="k", Body=b"y", **wrong) == "BadDigest"


def test_crc64nvme_is_verified(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"123456789", ChecksumCRC64NVME="rosUhgp5mIg=")
    assert s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")["ChecksumCRC64NVME"] == "rosUhgp5mIg="
    wrong = {"ChecksumCRC64NVME": "rosUhgp5mIk="}
    assert code_of(s3.put_object, Bucket=bucket, Key="k", Body=b"123456789", **wrong) == "BadDigest"


def start_upload(s3: Any, bucket: str, *sizes: int) -> tuple[str, list[dict[str, Any]], bytes]:
    upload = s3.create_multipart_upload(Bucket=bucket, Key="big", Metadata={"m": "1"})["UploadId"]
    bodies = [bytes([65 + number]) * size for number, size in enumerate(sizes)]
    parts = []
    for number, body in enumerate(bodies, 1):
        part = s3.upload_part(Bucket=bucket, Key="big", UploadId=upload, PartNumber=number, Body=body)
        parts.append({"PartNumber": number, "ETag": part["ETag"], "ChecksumCRC32": part["ChecksumCRC32"]})
    return upload, parts, b"".join(bodies)


def test_multipart_upload(s3: Any, bucket: str) -> None:
    upload, parts, content = start_upload(s3, bucket, 5 * MEGABYTE, 5 * MEGABYTE, 7)
    assert [part["Size"] for part in s3.list_parts(Bucket=bucket, Key="big", UploadId=upload)["Parts"]][2] == 7
    assert [found["UploadId"] for found in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == [upload]
    complete = {"Bucket": bucket, "Key": "big", "UploadId": upload, "MultipartUpload": {"Parts": parts}}
    etag = s3.complete_multipart_upload(**complete)["ETag"]
    assert etag.endswith('-3"')
    assert s3.complete_multipart_upload(**complete)["ETag"] == etag  # its answer may have been lost
    assert read(s3, bucket, "big") == content
    assert s3.head_object(Bucket=bucket, Key="big")["Metadata"] == {"m": "1"}
    assert len(read(s3, bucket, "big", PartNumber=3)) == 7
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


def test_invalid_multipart_completions_are_refused(s3: Any, bucket: str) -> None:
    upload, parts, _ = start_upload(s3, bucket, 5 * MEGABYTE, 10, 10)
    target = {"Bucket": bucket, "Key": "big", "UploadId": upload}

    def complete(chosen: list[dict[str, Any]]) -> str:
        return code_of(s3.complete_multipart_upload, **target, MultipartUpload={"Parts": chosen})

    assert complete([parts[1], parts[0]]) == "InvalidPartOrder"
    assert complete(parts) == "EntityTooSmall"
    assert complete([{**parts[0], "ETag": '"0"'}]) == "InvalidPart"
    assert complete([{"PartNumber": 9, "ETag": parts[0]["ETag"]}]) == "InvalidPart"
    s3.abort_multipart_upload(**target)
    assert complete([parts[0]]) == "NoSuchUpload"
    assert code_of(s3.head_object, Bucket=bucket, Key="big") == "404"


def test_parts_are_copied_from_ranges(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="source", Body=bytes(range(200)) * 30_000)
    upload = s3.create_multipart_upload(Bucket=bucket, Key="big")["UploadId"]
    source = {"Bucket": bucket, "Key": "source"}
    parts = []
    for number, asked in enumerate(("bytes=0-5242879", "bytes=10-19"), 1):
        copied = s3.upload_part_copy(
            Bucket=bucket,
            Key="big",
            UploadId=upload,
            PartNumber=number,
            CopySource=source,
            CopySourceRange=asked,
        )["CopyPartResult"]
        parts.append({"PartNumber": number, "ETag": copied["ETag"]})
    s3.complete_multipart_upload(Bucket=bucket, Key="big", UploadId=upload, MultipartUpload={"Parts": parts})
    assert read(s3, bucket, "big", Range="bytes=5242878-") == bytes([78, 79, *range(10, 20)])


def test_listings_page_through_v1_and_v2(s3: Any, bucket: str) -> None:
    keys = [f"{letter}/{number}" for letter in "ab" for number in range(3)] + ["c d", "z+"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key)
    for operation in ("list_objects", "list_objects_v2"):
        pages = s3.get_paginator(operation).paginate(Bucket=bucket, PaginationConfig={"PageSize": 3})
        assert [entry["Key"] for page in pages for entry in page["Contents"]] == keys
        pages = s3.get_paginator(operation).paginate(Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": 1})
        found = [
            e.get("Key") or e.get("Prefix") for p in pages for e in p.get("Contents", []) + p.get("CommonPrefixes", [])
        ]
        assert found == ["a/", "b/", "c d", "z+"]
    after = s3.list_objects_v2(Bucket=bucket, StartAfter="b/1")
    assert [entry["Key"] for entry in after["Contents"]] == ["b/2", "c d", "z+"]
    assert code_of(s3.list_objects_v2, Bucket=bucket, ContinuationToken="???") == "InvalidArgument"
    assert code_of(s3.list_objects_v2, Bucket="no-such-bucket") == "NoSuchBucket"


def test_buckets(s3: Any, bucket: str) -> None:
    assert code_of(s3.create_bucket, Bucket="Not_A_Bucket") == "InvalidBucketName"
    s3.put_object(Bucket=bucket, Key="k")
    assert code_of(s3.delete_bucket, Bucket=bucket) == "BucketNotEmpty"
    s3.delete_object(Bucket=bucket, Key="k")
    s3.delete_bucket(Bucket=bucket)
    assert code_of(s3.head_bucket, Bucket=bucket) == "404"
    assert code_of(s3.put_object, Bucket=bucket, Key="k") == "NoSuchBucket"


def test_unset_bucket_settings_are_answered_as_by_aws(s3: Any, bucket: str) -> None:
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None
    assert s3.get_bucket_acl(Bucket=bucket)["Grants"][0]["Permission"] == "FULL_CONTROL"
    assert code_of(s3.get_bucket_policy, Bucket=bucket) == "NoSuchBucketPolicy"
    assert code_of(s3.get_bucket_cors, Bucket=bucket) == "NoSuchCORSConfiguration"
    assert code_of(s3.get_bucket_lifecycle_configuration, Bucket=bucket) == "NoSuchLifecycleConfiguration"
    assert code_of(s3.get_bucket_tagging, Bucket=bucket) == "NoSuchTagSet"


def test_unsupported_operations_are_not_implemented_errors(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k")
    enabled = {"Status": "Enabled"}
    assert code_of(s3.put_bucket_versioning, Bucket=bucket, VersioningConfiguration=enabled) == "NotImplemented"
    assert code_of(s3.restore_object, Bucket=bucket, Key="k") == "NotImplemented"
    assert code_of(s3.get_object_torrent, Bucket=bucket, Key="k") == "NotImplemented"
    assert code_of(s3.put_object, Bucket=bucket, Key="k", ServerSideEncryption="aws:kms") == "NotImplemented"
    assert code_of(s3.put_object, Bucket=bucket, Key="k", GrantRead="id=1") == "NotImplemented"
    assert code_of(s3.get_object, Bucket=bucket, Key="k", VersionId="x") == "NoSuchVersion"


def test_cors_preflight_follows_the_buckets_rules(shared_aws: Any, s3: Any, bucket: str) -> None:
    url = f"{shared_aws.url}/{bucket}/k"
    asked = {"Origin": "https://a.example", "Access-Control-Request-Method": "GET"}
    assert urllib3.request("OPTIONS", url, headers=asked).status == 403
    rule = {
        "AllowedMethods": ["GET"],
        "AllowedOrigins": ["https://*.example"],
        "MaxAgeSeconds": 9,
        "ExposeHeaders": ["ETag"],
    }
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule]})
    assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"] == [rule]
    allowed = urllib3.request("OPTIONS", url, headers=asked)
    assert allowed.status == 200
    assert allowed.headers["Access-Control-Allow-Origin"] == "https://a.example"
    assert allowed.headers["Access-Control-Max-Age"] == "9"
    assert urllib3.request("OPTIONS", url, headers={**asked, "Origin": "https://evil"}).status == 403
    assert urllib3.request("OPTIONS", url, headers={**asked, "Access-Control-Request-Method": "PUT"}).status == 403
    signed = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})
    s3.put_object(Bucket=bucket, Key="k")
    answer = urllib3.request("GET", signed, headers={"Origin": "https://a.example"})
    assert answer.headers["Access-Control-Expose-Headers"] == "ETag"


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_presigned_urls_work_until_they_expire(shared_aws: Any, bucket: str, version: str) -> None:
    s3 = shared_aws.client("s3", config=Config(signature_version=version))
    target = {"Bucket": bucket, "Key": "a b/é"}
    put = s3.generate_presigned_url("put_object", Params=target, ExpiresIn=60)
    assert urllib3.request("PUT", put, body=b"turtle").status == 200
    get = s3.generate_presigned_url("get_object", Params={**target, "ResponseContentType": "a/b"}, ExpiresIn=60)
    answer = urllib3.request("GET", get)
    assert (answer.data, answer.headers["Content-Type"]) == (b"turtle", "a/b")
    assert urllib3.request("GET", get.replace("turtle", "x") + "x").status == 403
    expired = s3.generate_presigned_url("get_object", Params=target, ExpiresIn=-5 if version == "s3" else 1)
    answer = wait_for(lambda: (found := urllib3.request("GET", expired)).status != 200 and found)
    assert answer.status == 403
    assert b"Request has expired" in answer.data


def post_form(form: dict[str, Any], body: bytes, **changed: str) -> Any:
    return urllib3.request("POST", form["url"], fields={**form["fields"], **changed, "file": ("cat.txt", body)})


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_browser_forms_are_checked_against_their_policy(shared_aws: Any, s3: Any, bucket: str, version: str) -> None:
    signer = shared_aws.client("s3", config=Config(signature_version=version))
    conditions = [["content-length-range", 2, 200_000], ["starts-with", "$x-amz-meta-who", "w"]]
    form = signer.generate_presigned_post(
        bucket, "up/${filename}", Fields={"x-amz-meta-who": "w1"}, Conditions=conditions
    )
    assert post_form(form, b"m" * 150_000).status == 204
    head = s3.head_object(Bucket=bucket, Key="up/cat.txt")
    assert (head["ContentLength"], head["Metadata"]) == (150_000, {"who": "w1"})
    assert b"EntityTooLarge" in post_form(form, b"m" * 200_001).data
    assert b"EntityTooSmall" in post_form(form, b"m").data
    assert b"Policy Condition failed" in post_form(form, b"mm", **{"x-amz-meta-who": "other"}).data
    assert b"Extra input fields" in post_form(form, b"mm", extra="1").data
    assert b"SignatureDoesNotMatch" in post_form(form, b"mm", policy=form["fields"]["policy"][:-4]).data
    expired = signer.generate_presigned_post(bucket, "up/late", ExpiresIn=-1)
    assert b"Policy expired" in post_form(expired, b"mm").data
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["up/cat.txt"]


def test_anonymous_requests_can_read_public_objects_only(shared_aws: Any, s3: Any, bucket: str) -> None:
    anonymous = shared_aws.client("s3", config=Config(signature_version=UNSIGNED))
    s3.put_object(Bucket=bucket, Key="secret", Body=b"s")
    s3.put_object(Bucket=bucket, Key="open", Body=b"o", ACL="public-read")
    assert read(anonymous, bucket, "open") == b"o"
    assert code_of(anonymous.get_object, Bucket=bucket, Key="secret") == "AccessDenied"
    assert code_of(anonymous.list_objects_v2, Bucket=bucket) == "AccessDenied"
    resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": ["s3:GetObject", "s3:ListBucket"],
        "Resource": resources,
    }
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    assert read(anonymous, bucket, "secret") == b"s"
    assert anonymous.list_objects_v2(Bucket=bucket)["KeyCount"] == 2
    assert code_of(anonymous.put_object, Bucket=bucket, Key="x", Body=b"") == "AccessDenied"
    assert code_of(anonymous.delete_object, Bucket=bucket, Key="open") == "AccessDenied"
    denial = {"Version": "2012-10-17", "Statement": [{**statement, "Effect": "Deny"}]}
    assert code_of(s3.put_bucket_policy, Bucket=bucket, Policy=json.dumps(denial)) == "NotImplemented"


def test_invalid_keys_and_clock_skew_are_refused(shared_aws: Any, bucket: str) -> None:
    stranger = shared_aws.client("s3", aws_access_key_id="AKIAAAAAAAAAAAAAAAAA")
    assert code_of(stranger.list_buckets) == "InvalidAccessKeyId"
    s3 = shared_aws.client("s3")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})
    assert urllib3.request("DELETE", url).status == 403  # signed for GET


def test_an_aborted_upload_creates_no_object(shared_aws: Any, bucket: str) -> None:
    s3 = shared_aws.client("s3", config=Config(signature_version="s3v4"))
    for length in (100, 5 * MEGABYTE):
        url = s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "half"})
        host, port = shared_aws.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            path = url.removeprefix(shared_aws.url)
            head = f"PUT {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {length}\r\n\r\n"
            connection.sendall(head.encode() + b"x" * (length - 1))
        assert code_of(s3.head_object, Bucket=bucket, Key="half") == "404"


def test_an_endless_request_head_is_refused(shared_aws: Any) -> None:
    host, port = shared_aws.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-Filler: y\r\n" * 8000)
        assert connection.recv(100).startswith(b"HTTP/1.1 431")
