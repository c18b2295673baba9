"""Behavior found with Ceph's s3-tests, and the list of their expected outcomes (scripts/conformance.toml)."""

from __future__ import annotations

import base64
import configparser
import hashlib
import itertools
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
import urllib3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

sys.path.insert(0, str(Path(__file__).parents[3] / "scripts"))
import conformance

NAMES = (f"conformance-{number}" for number in itertools.count())
PART = 5 << 20


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


def sha256(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def begin_upload(s3: Any, bucket: str, sizes: list[int], **parameters: Any) -> tuple[dict[str, Any], list[Any]]:
    """Begin an upload with SHA-256 checksums; return its identifying members and its parts."""
    identity = {"Bucket": bucket, "Key": "k"}
    created = s3.create_multipart_upload(**identity, ChecksumAlgorithm="SHA256", **parameters)
    upload = {**identity, "UploadId": created["UploadId"]}
    parts = []
    for number, size in enumerate(sizes, 1):
        put = s3.upload_part(**upload, PartNumber=number, Body=bytes([number]) * size, ChecksumAlgorithm="SHA256")
        parts.append({"PartNumber": number, "ETag": put["ETag"], "ChecksumSHA256": put["ChecksumSHA256"]})
    return upload, parts


def test_checksums_of_object_and_parts_are_checked_at_completion(s3: Any, bucket: str) -> None:
    upload, parts = begin_upload(s3, bucket, [PART, 10])
    chosen: dict[str, Any] = {**upload, "MultipartUpload": {"Parts": parts}}
    digests = b"".join(base64.b64decode(part["ChecksumSHA256"]) for part in parts)
    whole = f"{sha256(digests)}-2"
    assert code_of(s3.complete_multipart_upload, **chosen, ChecksumSHA256=sha256(b"")) == "BadDigest"
    assert code_of(s3.complete_multipart_upload, **chosen, ChecksumCRC32="AAAAAA==") == "InvalidRequest"
    assert code_of(s3.complete_multipart_upload, **chosen, ChecksumType="FULL_OBJECT") == "InvalidRequest"
    for _ in range(2):  # a client whose answer got lost asks again
        assert s3.complete_multipart_upload(**chosen, ChecksumSHA256=whole)["ChecksumSHA256"] == whole
    second = s3.get_object(Bucket=bucket, Key="k", PartNumber=2)
    assert second["ChecksumSHA256"] == parts[1]["ChecksumSHA256"]
    assert (second["ChecksumType"], second["PartsCount"]) == ("COMPOSITE", 2)
    assert second["Body"].read() == b"\2" * 10


def test_a_full_object_checksum_named_at_completion_is_computed(s3: Any, bucket: str) -> None:
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=1, Body=b"123456789")
    chosen = {"Bucket": bucket, "Key": "k", "UploadId": upload}
    listed = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    call = s3.complete_multipart_upload
    assert code_of(call, **chosen, MultipartUpload=listed, ChecksumCRC32="AAAAAA==") == "BadDigest"
    answer = call(**chosen, MultipartUpload=listed, ChecksumCRC32="y/Q5Jg==", ChecksumType="FULL_OBJECT")
    assert (answer["ChecksumCRC32"], answer["ChecksumType"]) == ("y/Q5Jg==", "FULL_OBJECT")


def test_object_attributes_have_parts_checksums_and_pages(s3: Any, bucket: str) -> None:
    upload, parts = begin_upload(s3, bucket, [PART, PART, 7])
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    wanted = {"Bucket": bucket, "Key": "k", "ObjectAttributes": ["ObjectParts", "Checksum", "ObjectSize"]}
    page = s3.get_object_attributes(**wanted, MaxParts=1, PartNumberMarker=1)["ObjectParts"]
    assert (page["TotalPartsCount"], page["IsTruncated"], page["NextPartNumberMarker"]) == (3, True, 2)
    assert [part["PartNumber"] for part in page["Parts"]] == [2]
    last = s3.get_object_attributes(**wanted, PartNumberMarker=2)
    assert last["ObjectParts"]["IsTruncated"] is False
    assert last["ObjectParts"]["Parts"] == [{"PartNumber": 3, "Size": 7, "ChecksumSHA256": parts[2]["ChecksumSHA256"]}]
    assert code_of(s3.get_object_attributes, **wanted, MaxParts=-1) == "InvalidArgument"


def test_a_bucket_is_deleted_with_its_unfinished_uploads(s3: Any, bucket: str) -> None:
    upload, _ = begin_upload(s3, bucket, [10])
    s3.delete_bucket(Bucket=bucket)
    s3.create_bucket(Bucket=bucket)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
    assert code_of(s3.list_parts, **upload) == "NoSuchUpload"


def test_conditional_deletion_by_size_time_and_version(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"12")
    modified = s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    for wrong in ({"IfMatchSize": 3}, {"IfMatchLastModifiedTime": modified.replace(year=2015)}):
        assert code_of(s3.delete_object, Bucket=bucket, Key="k", **wrong) == "PreconditionFailed"
    for wrong, code in (
        ({"Size": 3}, "PreconditionFailed"),
        ({"LastModifiedTime": modified.replace(year=2015)}, "PreconditionFailed"),
        ({"VersionId": "v1"}, "NoSuchVersion"),
    ):
        answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k", **wrong}]})
        assert [error["Code"] for error in answer["Errors"]] == [code]
    right = {"Size": 2, "LastModifiedTime": modified, "VersionId": "null"}
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k", **right}]})
    assert answer["Deleted"] == [{"Key": "k", "VersionId": "null"}]
    s3.delete_object(Bucket=bucket, Key="k", IfMatchSize=9)  # what is not there meets every size


def test_a_new_bucket_has_the_settings_it_was_created_with(s3: Any) -> None:
    name = next(NAMES)
    tags = [{"Key": "a", "Value": "b"}]
    s3.create_bucket(
        Bucket=name,
        ACL="public-read",
        ObjectOwnership="ObjectWriter",
        CreateBucketConfiguration={"LocationConstraint": "us-east-1", "Tags": tags},
    )
    assert s3.get_bucket_tagging(Bucket=name)["TagSet"] == tags
    assert len(s3.get_bucket_acl(Bucket=name)["Grants"]) == 2
    rules = s3.get_bucket_ownership_controls(Bucket=name)["OwnershipControls"]["Rules"]
    assert rules == [{"ObjectOwnership": "ObjectWriter"}]


@pytest.mark.parametrize(
    ("setting", "code"),
    [
        ({"ACL": "public-read-write"}, "NotImplemented"),
        ({"GrantRead": "id=a"}, "NotImplemented"),
        ({"ObjectLockEnabledForBucket": True}, "NotImplemented"),
        (
            {"ACL": "public-read", "ObjectOwnership": "BucketOwnerEnforced"},
            "InvalidBucketAclWithObjectOwnership",
        ),
        (
            {"CreateBucketConfiguration": {"LocationConstraint": "eu-west-3"}},
            "IllegalLocationConstraintException",
        ),
        ({"CreateBucketConfiguration": {"Bucket": {"Type": "Directory"}}}, "NotImplemented"),
    ],
)
def test_a_bucket_with_unsupported_settings_is_not_created(s3: Any, setting: dict[str, Any], code: str) -> None:
    name = next(NAMES)
    assert code_of(s3.create_bucket, Bucket=name, **setting) == code
    assert code_of(s3.head_bucket, Bucket=name) == "404"


def test_acls_are_refused_where_the_bucket_owner_is_enforced(s3: Any) -> None:
    name = next(NAMES)
    s3.create_bucket(Bucket=name, ObjectOwnership="BucketOwnerEnforced")
    put = {"Bucket": name, "Key": "k", "Body": b"x"}
    assert code_of(s3.put_object, **put, ACL="public-read") == "AccessControlListNotSupported"
    assert code_of(s3.put_bucket_acl, Bucket=name, ACL="public-read") == "AccessControlListNotSupported"
    s3.put_object(**put, ACL="bucket-owner-full-control")


def test_buckets_are_listed_by_prefix_and_page(s3: Any) -> None:
    names = [f"paged-{letter}" for letter in "abc"]
    for name in names:
        s3.create_bucket(Bucket=name)
    first = s3.list_buckets(Prefix="paged-", MaxBuckets=2)
    assert [bucket["Name"] for bucket in first["Buckets"]] == names[:2]
    second = s3.list_buckets(Prefix="paged-", MaxBuckets=2, ContinuationToken=first["ContinuationToken"])
    assert [bucket["Name"] for bucket in second["Buckets"]] == names[2:]
    assert "ContinuationToken" not in second
    assert s3.list_buckets(Prefix="paged-", BucketRegion="eu-west-1")["Buckets"] == []


def test_requests_with_another_expected_bucket_owner_are_refused(s3: Any, bucket: str) -> None:
    other = {"ExpectedBucketOwner": "999999999999"}
    assert code_of(s3.put_object, Bucket=bucket, Key="k", Body=b"", **other) == "AccessDenied"
    s3.put_object(Bucket=bucket, Key="k", Body=b"", ExpectedBucketOwner="123456789012")
    copy = {"Bucket": bucket, "Key": "l", "CopySource": f"{bucket}/k"}
    assert code_of(s3.copy_object, **copy, ExpectedSourceBucketOwner="999999999999") == "AccessDenied"


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_the_preflight_of_a_presigned_url_needs_no_signature(
    shared_aws: Any, s3: Any, bucket: str, version: str
) -> None:
    signer = shared_aws.client("s3", config=Config(signature_version=version))
    rule = {"AllowedMethods": ["PUT"], "AllowedOrigins": ["https://page"], "AllowedHeaders": ["*"]}
    link = signer.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "k"})
    asked = {
        "Origin": "https://page",
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "content-type",
    }
    assert urllib3.request("OPTIONS", link, headers=asked).status == 403
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule]})
    answer = urllib3.request("OPTIONS", link, headers=asked)
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, "https://page")
    assert urllib3.request("OPTIONS", link).status == 400


def test_anonymous_requests_for_missing_keys_are_404_only_if_listing_is_allowed(shared_aws: Any, s3: Any) -> None:
    anonymous, name = shared_aws.client("s3", config=Config(signature_version=UNSIGNED)), next(NAMES)
    assert code_of(anonymous.delete_object, Bucket=name, Key="k") == "NoSuchBucket"
    s3.create_bucket(Bucket=name, ACL="public-read")
    assert code_of(anonymous.get_object, Bucket=name, Key="k") == "NoSuchKey"
    s3.put_bucket_acl(Bucket=name, ACL="private")
    assert code_of(anonymous.get_object, Bucket=name, Key="k") == "AccessDenied"


def test_a_form_needs_a_signature_and_a_date_in_utc(shared_aws: Any, s3: Any, bucket: str) -> None:
    form = s3.generate_presigned_post(bucket, "k")
    unsigned = {name: value for name, value in form["fields"].items() if "ignature" not in name}
    answer = urllib3.request("POST", form["url"], fields={**unsigned, "file": ("f", b"x")})
    assert (answer.status, b"<Code>InvalidArgument</Code>" in answer.data) == (400, True)
    from gtseg.local.errors import ServiceError
    from gtseg.local.s3.post import check_policy

    for date in ("2999-01-01 00:00:00+00:00", "2999-01-01T00:00:00", "tomorrow", 5):
        policy = base64.b64encode(f'{{"expiration": "{date}", "conditions": []}}'.encode()).decode()
        with pytest.raises(ServiceError, match="InvalidPolicyDocument"):
            check_policy(policy, {}, now=clock())

    for largest in ("Infinity", "-Infinity", "NaN", "9" * 5000):
        policy = base64.b64encode(
            f'{{"expiration": "2999-01-01T00:00:00Z", "conditions": [["content-length-range", 0, {largest}]]}}'.encode()
        ).decode()
        with pytest.raises(ServiceError, match="InvalidPolicyDocument"):
            check_policy(policy, {}, now=clock())


def test_a_number_of_thousands_of_digits_is_a_client_error(shared_aws: Any, s3: Any, bucket: str) -> None:
    link = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"}, ExpiresIn=60)
    key = parse_qs(urlsplit(link).query)["AWSAccessKeyId"][0]
    url = f"{shared_aws.url}/{bucket}/k?AWSAccessKeyId={key}&Signature=x&Expires={'9' * 5000}"
    assert urllib3.request("GET", url).status == 403
    s3.put_bucket_acl(Bucket=bucket, ACL="public-read")
    listed = urllib3.request("GET", f"{shared_aws.url}/{bucket}?list-type=2&max-keys={'9' * 5000}")
    assert (listed.status, b"<Code>InvalidArgument</Code>" in listed.data) == (400, True)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    ranged = {"Range": f"bytes={'9' * 5000}-"}
    signed = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"}, ExpiresIn=60)
    assert 400 <= urllib3.request("GET", signed, headers=ranged).status < 500


def test_a_credential_without_a_signature_does_not_bypass_the_host_check(shared_aws: Any, s3: Any, bucket: str) -> None:
    s3.put_bucket_acl(Bucket=bucket, ACL="public-read")
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ACL="public-read")
    url = f"{shared_aws.url}/{bucket}"
    credential = "X-Amz-Credential=AKIA%2F20261120%2Fus-east-1%2Fs3%2Faws4_request"
    for query in ("", f"?{credential}"):
        for method in ("GET", "HEAD", "OPTIONS", "POST"):
            answer = urllib3.request(method, f"{url}{query}", headers={"Host": "evil.example"})
            assert answer.status in (421, 400), (method, query)
    assert urllib3.request("GET", f"{url}?{credential}").status == 200
    assert urllib3.request("GET", f"{url}?{credential}", headers={"Host": "evil.example"}).status == 421


def clock() -> Any:
    from datetime import UTC, datetime

    return datetime(2026, 1, 1, tzinfo=UTC)


def test_list_objects_v1_does_not_encode_the_prefix(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a+b/c d", Body=b"")
    for call in (s3.list_objects, s3.list_objects_v2, s3.list_object_versions):
        listed = call(Bucket=bucket, Prefix="a+b/", Delimiter="/", EncodingType="url")
        assert listed["Prefix"] == "a+b/" if call is s3.list_objects else "a%2Bb/"


def test_non_ascii_metadata_is_returned_as_an_rfc_2047_encoded_word(shared_aws: Any, s3: Any, bucket: str) -> None:
    link = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})

    def add(params: Any, **_: Any) -> None:
        params["headers"]["x-amz-meta-a"] = "Hell\xf6"

    s3.meta.events.register("before-call.s3.PutObject", add)
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    word = urllib3.request("GET", link).headers["x-amz-meta-a"]
    assert word == f"=?UTF-8?B?{base64.b64encode('Hellö'.encode()).decode()}?="


# ---------------------------------------------------------------- scripts/conformance


def test_every_reason_in_the_conformance_list_matches_a_test_name() -> None:
    claims = conformance.read_claims()
    assert conformance.find_reason(claims.not_claimed, "test_versioning_obj_create[a]") is not None
    assert conformance.find_reason(claims.differs, "test_put_excess_tags") is not None
    assert conformance.find_reason(claims.differs, "test_bucket_list_empty") is None
    both = set(claims.differs) & set(claims.not_claimed)
    assert not both


def test_the_conformance_suite_gets_a_server_and_its_keys(tmp_path: Path) -> None:
    with conformance.serve_suite(tmp_path) as environment:
        configuration = configparser.ConfigParser()
        configuration.read(environment["S3TEST_CONF"])
        main, place = configuration["s3 main"], configuration["DEFAULT"]
        client = boto3.Session().client(
            "s3",
            endpoint_url=f"http://{place['host']}:{place['port']}",
            aws_access_key_id=main["access_key"],
            aws_secret_access_key=main["secret_key"],
            region_name="us-east-1",
        )
        assert client.list_buckets()["Owner"]["ID"] == main["user_id"]


def test_unexpected_outcomes_of_the_conformance_suite_are_reported() -> None:
    claims = conformance.Claims("file", not_claimed={}, differs={"a_*": "AWS differs"})
    outcomes = [
        conformance.Outcome("test_a_b", passed=False, message="as listed"),
        conformance.Outcome("test_a_c", passed=True, message=""),
        conformance.Outcome("test_d", passed=False, message="broken"),
        conformance.Outcome("test_e", passed=True, message=""),
    ]
    assert conformance.compare(outcomes, claims) == [
        "passed, but is listed as failing (AWS differs): test_a_c",
        "failed: test_d: broken",
    ]
