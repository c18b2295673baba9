"""`--s3 aws` at the host names of AWS (tests/aws_hosts.py): access points, regions, accounts, KMS keys."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aws_hosts import ACCOUNT, OTHER_ACCOUNT, Answer, AWSHosts, Bucket

from gtseg.local.embedded import Embedded
from gtseg.local.errors import ServiceError
from gtseg.local.hosting.container import Response
from gtseg.local.storage.bucket import PART_BYTES, BucketObjects
from gtseg.local.storage.cache import Cache
from gtseg.local.storage.connection import Connection
from gtseg.local.storage.objects import StorageUnavailable
from gtseg.local.storage.store import Store
from gtseg.local.training.artifacts import upload_model
from gtseg.local.transform.execution import Execution

POINT = f"arn:aws:s3:eu-west-1:{ACCOUNT}:accesspoint/photos"
POINT_HOST = f"photos-{ACCOUNT}.s3-accesspoint.eu-west-1.amazonaws.com"
KEY = "images/a b+é.jpg"


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AWSHosts]:
    """AWS with a bucket in each of two regions and an access point, for a server with keys of the same account."""
    for name in [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("proxy")]:
        monkeypatch.delenv(name)
    with AWSHosts(tmp_path) as hosts:
        access_key, secret, _ = hosts.give_keys()
        keys = {"AWS_ACCESS_KEY_ID": access_key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_EC2_METADATA_DISABLED": "true"}
        for name, value in {**hosts.environment, **keys, "AWS_DEFAULT_REGION": "us-east-1"}.items():
            monkeypatch.setenv(name, value)
        hosts.buckets = {"near": Bucket("us-east-1"), "far": Bucket("eu-west-1")}
        hosts.points["photos", ACCOUNT, "eu-west-1"] = "far"
        yield hosts


@pytest.fixture
def objects(hosts: AWSHosts, tmp_path: Path) -> Iterator[BucketObjects]:
    objects = BucketObjects(Connection("aws"), Cache(tmp_path / "cache", 1 << 30))
    yield objects
    objects.close()


def asked(hosts: AWSHosts) -> list[tuple[str, str]]:
    """Return (method and host, region of the signature) of every request since the last call."""
    seen = [(f"{request.method} {request.host}", request.region) for request in hosts.seen]
    hosts.seen.clear()
    return seen


# ---------------------------------------------------------------- addresses


def test_requests_to_an_access_point_use_its_host_and_region(hosts: AWSHosts, objects: BucketObjects) -> None:
    hosts.put("far", KEY, b"photograph")
    assert objects.get(POINT, KEY) == b"photograph"
    assert [info.key for info in objects.list(POINT, "images/")] == [KEY]
    assert objects.bucket_exists(POINT)
    objects.put(POINT, "out/mask.png", b"mask")
    assert {(seen.host, seen.region) for seen in hosts.seen} == {(POINT_HOST, "eu-west-1")}
    assert hosts.requests(f"GET {POINT_HOST}/{KEY}")
    assert hosts.buckets["far"].objects["out/mask.png"][0] == b"mask"
    assert [right.problem for right in objects.check_rights(POINT, "out/", writes=True)] == [""] * 4


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1", "ap-southeast-2"])
def test_the_region_of_a_bucket_is_found_once_and_then_used(
    hosts: AWSHosts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, region: str
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", region)
    objects = BucketObjects(Connection("aws"), Cache(tmp_path / "cache", 1 << 30))
    for bucket, place in (("near", "us-east-1"), ("far", "eu-west-1")):
        hosts.put(bucket, "k", bucket.encode())
        assert objects.head(bucket, "k") is not None
        assert objects.get(bucket, "k") == bucket.encode()
        objects.put(bucket, "out", b"1")
        asked(hosts)
        objects.put(bucket, "out", b"2")
        objects.bucket_exists(bucket)
        assert {seen.region for seen in hosts.seen} == {place}
        assert len(hosts.seen) == 2
    objects.close()


@pytest.mark.parametrize(
    "bucket",
    [
        f"arn:aws:s3::{ACCOUNT}:accesspoint/mfzwi23gnjvgw.mrap",
        f"arn:aws-cn:s3:cn-north-1:{ACCOUNT}:accesspoint/photos",
        f"arn:aws:s3:eu-west-1:{ACCOUNT}:accesspoint/not_a_host",
    ],
)
def test_an_unsupported_arn_is_refused_without_affecting_other_buckets(
    hosts: AWSHosts, objects: BucketObjects, bucket: str
) -> None:
    with pytest.raises(ServiceError, match="InvalidBucketName") as refusal:
        objects.get(bucket, "k")
    assert bucket in refusal.value.message
    assert objects.state().reason == ""


def test_an_unreachable_bucket_does_not_affect_other_buckets(hosts: AWSHosts, objects: BucketObjects) -> None:
    lost = f"arn:aws:s3:eu-wset-1:{ACCOUNT}:accesspoint/photos"
    hosts.unreachable = "photos-"
    with pytest.raises(StorageUnavailable, match="eu-wset-1"):
        objects.get(lost, "k")
    assert "eu-wset-1" in objects.state().reason
    hosts.put("near", "k", b"still here")
    assert objects.get("near", "k") == b"still here"
    assert objects.connection.probe()


def test_a_bucket_without_requests_is_dropped_from_the_status(hosts: AWSHosts, tmp_path: Path) -> None:
    objects = BucketObjects(Connection("aws", remember_seconds=0), Cache(tmp_path / "cache", 1000))
    hosts.buckets["theirs"] = Bucket("us-east-1", OTHER_ACCOUNT, is_public=True)
    with pytest.raises(StorageUnavailable, match="cannot be written to"):
        objects.put("theirs", "k", b"x")
    assert objects.state().reason == ""
    objects.close()


def test_the_service_is_probed_through_the_proxy_with_its_certificate_authority(objects: BucketObjects) -> None:
    assert objects.connection.probe()
    assert objects.state().reason == ""


# ---------------------------------------------------------------- accounts


def test_a_bucket_of_another_account_is_read_if_its_policy_allows(hosts: AWSHosts, objects: BucketObjects) -> None:
    hosts.buckets["theirs"] = Bucket("eu-central-1", OTHER_ACCOUNT, readers={ACCOUNT})
    hosts.put("theirs", "k", b"shared")
    assert objects.get("theirs", "k") == b"shared"
    assert all(seen.access_key for seen in hosts.seen), "signed, as the policy needs it"
    hosts.buckets["theirs"].readers.clear()
    with pytest.raises(StorageUnavailable, match="s3://theirs cannot be read: Access Denied"):
        objects.get("theirs", "k2")


def test_a_bucket_of_another_account_without_a_policy_is_refused_with_the_missing_right(
    hosts: AWSHosts, objects: BucketObjects
) -> None:
    hosts.buckets["theirs"] = Bucket("eu-central-1", OTHER_ACCOUNT)
    with pytest.raises(ServiceError, match="another account's bucket needs a bucket policy") as refusal:
        objects.get("theirs", "k")
    assert not isinstance(refusal.value, StorageUnavailable)
    assert objects.bucket_exists("theirs"), "what may not be listed may exist"
    assert objects.state().reason == ""


def test_a_public_bucket_of_another_region_is_read_without_keys(
    hosts: AWSHosts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    hosts.buckets["open"] = Bucket("us-west-2", OTHER_ACCOUNT, is_public=True)
    hosts.put("open", KEY, b"open data")
    objects = BucketObjects(Connection("aws"), Cache(tmp_path / "cache", 1000))
    assert objects.get("open", KEY) == b"open data"
    assert [info.key for info in objects.list("open")] == [KEY]
    assert not any(seen.access_key for seen in hosts.seen)
    objects.close()


def test_requester_pays_is_sent_only_in_reads_of_requester_pays_buckets(
    hosts: AWSHosts, objects: BucketObjects
) -> None:
    hosts.buckets["paid"] = Bucket("us-east-1", OTHER_ACCOUNT, readers={ACCOUNT}, requester_pays=True)
    for bucket in ("paid", "near"):
        hosts.put(bucket, "k", b"x")
        assert objects.get(bucket, "k") == b"x"
    hosts.seen.clear()
    objects.get("paid", "k")
    objects.head("paid", "k")
    list(objects.list("paid"))
    assert [seen.headers.get("x-amz-request-payer") for seen in hosts.seen] == ["requester"] * 3
    hosts.seen.clear()
    objects.get("near", "k")
    assert "x-amz-request-payer" not in hosts.seen[0].headers


# ---------------------------------------------------------------- encryption


def test_the_kms_key_is_sent_with_small_objects_and_once_per_multipart_upload(
    hosts: AWSHosts, objects: BucketObjects, tmp_path: Path
) -> None:
    (tmp_path / "large").write_bytes(bytes(PART_BYTES + 1))
    key = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/1234"
    objects.put("near", "small", b"x", kms_key=key)
    objects.put("near", "large", tmp_path / "large", kms_key=key)
    objects.put("near", "plain", b"x")
    keys = {seen.path: seen.kms_key for seen in hosts.seen if seen.method in ("PUT", "POST") and not seen.is_part}
    assert keys == {"/small": key, "/large": key, "/plain": ""}
    assert not any(seen.kms_key for seen in hosts.seen if seen.is_part), "S3 refuses it there"


def test_an_object_encrypted_by_kms_is_read_although_its_etag_is_not_a_digest(
    hosts: AWSHosts, objects: BucketObjects
) -> None:
    hosts.put("near", "k", b"secret", etag="0" * 32, headers={"x-amz-server-side-encryption": "aws:kms"})
    assert objects.get("near", "k") == b"secret"


def test_a_model_is_stored_with_the_key_of_its_training_job(
    hosts: AWSHosts, objects: BucketObjects, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "model_best.params").write_bytes(b"weights")
    artifacts = {"S3ModelArtifacts": "s3://near/job/output/model.tar.gz"}
    upload_model(objects, {"ModelArtifacts": artifacts, "OutputDataConfig": {"KmsKeyId": "alias/models"}}, model)
    (stored,) = hosts.requests("PUT near.s3.amazonaws.com/job/output/model.tar.gz")
    assert stored.kms_key == "alias/models"


def test_a_refusal_by_kms_makes_the_storage_unavailable_with_the_reason(
    hosts: AWSHosts, objects: BucketObjects
) -> None:
    words = "User is not authorized to perform: kms:GenerateDataKey on this resource"
    hosts.refusals["near."] = Answer(
        403, f"<Error><Code>AccessDenied</Code><Message>{words}</Message></Error>".encode()
    )
    with pytest.raises(StorageUnavailable, match="kms:GenerateDataKey"):
        objects.put("near", "k", b"x", kms_key="alias/labels")
    hosts.refusals.clear()
    objects.put("near", "k", b"x", kms_key="alias/labels")
    assert objects.state().reason == ""


def test_masks_of_a_batch_transform_are_stored_with_its_key(
    hosts: AWSHosts, objects: BucketObjects, tmp_path: Path
) -> None:
    hosts.put("far", "in/1.jpg", b"photograph")
    embedded = Embedded(Store(tmp_path / "data"), objects)
    execution: Any = Execution(embedded, NoRecords(), "masks", shutdown=threading.Event())  # type: ignore[arg-type]
    output = {"S3OutputPath": "s3://near/out", "KmsKeyId": "alias/masks"}
    answer = {"TransformStartTime": datetime.now(UTC), "TransformInput": {}, "TransformOutput": output}
    transform = execution._make_task(SimpleNamespace(answer=answer))
    transform(("far", "in/1.jpg", "1.jpg"), EchoContainer())
    (stored,) = hosts.requests("PUT near.s3.amazonaws.com/out/1.jpg.out")
    assert stored.kms_key == "alias/masks"
    assert hosts.buckets["near"].objects["out/1.jpg.out"][0] == b"photograph"
    embedded.store.close()


class NoRecords:
    def find(self, name: str) -> None:
        return None


class EchoContainer:
    def request(self, method: str, path: str, headers: dict[str, str], *, body: bytes, timeout: float) -> Response:
        return Response(200, {"content-type": "image/png"}, body)
