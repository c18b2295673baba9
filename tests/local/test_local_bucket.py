"""Objects in an S3 service, which is another embedded server with injected faults."""

from __future__ import annotations

import hashlib
import io
import json
import re
import socket
import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from local_aws import LocalAWS

from gtseg.local.errors import ServiceError
from gtseg.local.hosting.artifact import find_artifact
from gtseg.local.jobs.channels import materialize_channel
from gtseg.local.storage.bucket import PART_BYTES, BucketObjects, is_digest
from gtseg.local.storage.cache import RESERVE_BYTES, Cache
from gtseg.local.storage.clients import Limits
from gtseg.local.storage.connection import Connection
from gtseg.local.storage.objects import StorageUnavailable, split_uri
from gtseg.local.storage.outages import Interrupted, WaitingObjects
from gtseg.local.storage.rights import S3_ACTIONS
from gtseg.local.training.artifacts import upload_model

MEGABYTE = b"m" * (1 << 20)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAWS]:
    folder = tmp_path_factory.mktemp("service")
    (folder / "faults.json").write_text("{}")
    server = LocalAWS(folder / "aws", options={"faults": folder / "faults.json"})
    yield server
    server.stop()


@pytest.fixture
def faults(service: LocalAWS) -> Iterator[Any]:
    """`faults(kind="throttle", ...)` sets the service's faults until the test ends; `faults()` removes them."""
    path = Path(service.options["faults"])

    def strike(*wanted: dict[str, Any]) -> None:
        path.write_text(json.dumps({"fault": list(wanted), "seed": uuid.uuid4().hex}))

    yield strike
    strike()


@pytest.fixture
def keys(service: LocalAWS, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Environment variables with credentials of the service."""
    allow(service, monkeypatch)
    return monkeypatch


def allow(service: LocalAWS, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_CONFIG_FILE",
        "AWS_SHARED_CREDENTIALS_FILE",
    ):
        monkeypatch.setenv(name, service.environment[name])
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def connect(service: LocalAWS, folder: Path) -> BucketObjects:
    """A connection with its own credentials."""
    return BucketObjects(Connection(service.url), Cache(folder / "cache", 1 << 30))


@pytest.fixture(scope="module")
def connection(service: LocalAWS) -> Connection:
    with pytest.MonkeyPatch.context() as patch:
        allow(service, patch)
        return Connection(service.url)


@pytest.fixture
def objects(connection: Connection, keys: Any, tmp_path: Path) -> Iterator[BucketObjects]:
    connection._refusals.clear()
    objects = BucketObjects(connection, Cache(tmp_path / "cache", 1 << 30))
    yield objects
    objects.close()


@pytest.fixture(scope="module")
def s3(service: LocalAWS) -> Any:
    return service.client("s3")


@pytest.fixture
def bucket(s3: Any) -> str:
    name = f"b-{uuid.uuid4().hex}"
    s3.create_bucket(Bucket=name)
    return name


# ---------------------------------------------------------------- the interface


def test_bytes_streams_and_paths_are_stored_alike(objects: BucketObjects, bucket: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"turtle")
    bodies: list[Any] = [b"turtle", io.BytesIO(b"turtle"), tmp_path / "file"]
    for number, body in enumerate(bodies):
        objects.put(bucket, f"{number}", body, content_type="a/b", metadata={"m": "1"})
    assert [objects.get(bucket, f"{number}") for number in range(3)] == [b"turtle"] * 3
    head = objects.head(bucket, "2")
    assert head is not None
    assert (head.size, head.content_type, head.metadata) == (6, "a/b", {"m": "1"})
    assert {info.etag for info in objects.list(bucket)} == {hashlib.md5(b"turtle").hexdigest()}


def test_a_large_body_is_uploaded_in_parts_and_read_back(objects: BucketObjects, bucket: str, tmp_path: Path) -> None:
    body = bytes(range(256)) * (PART_BYTES // 256) + b"end"
    (tmp_path / "large").write_bytes(body)
    assert objects.put(bucket, "k", tmp_path / "large").etag.endswith("-2")
    assert objects.get(bucket, "k") == body


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("shared", [True, False])
def test_a_download_creates_a_new_file_and_replaces_none(
    objects: BucketObjects, bucket: str, tmp_path: Path, shared: bool, kept: bool
) -> None:
    objects.put(bucket, "k", MEGABYTE)
    if kept:
        objects.get(bucket, "k")
    target = tmp_path / "a" / "b"
    assert objects.download(bucket, "k", target, shared=shared).size == len(MEGABYTE)
    assert target.read_bytes() == MEGABYTE
    with pytest.raises(FileExistsError):
        objects.download(bucket, "k", target, shared=shared)
    if not shared:
        target.write_bytes(b"changed")
        assert objects.get(bucket, "k") == MEGABYTE


def test_missing_objects_and_buckets_are_named(objects: BucketObjects, bucket: str) -> None:
    assert objects.head(bucket, "k") is None
    assert not objects.bucket_exists("no-such-bucket-at-all")
    for place, code in ((bucket, "NoSuchKey"), ("no-such-bucket-at-all", "NoSuchBucket")):
        with pytest.raises(ServiceError) as refusal:
            objects.get(place, "k")
        assert (refusal.value.code, isinstance(refusal.value, StorageUnavailable)) == (code, False)
    assert objects.state().reason == ""


def test_listing_is_sorted_by_bytes_over_pages(objects: BucketObjects, bucket: str, faults: Any) -> None:
    keys = ["photos", "a/é", "a/z", "a b+c", "\U0001f422", "\uffff"]
    for key in keys:
        objects.put(bucket, key, b"")
    assert [info.key for info in objects.list(bucket)] == sorted(keys, key=str.encode)
    assert [info.key for info in objects.list(bucket, "a/")] == ["a/z", "a/é"]


def test_an_access_point_is_used_like_a_bucket() -> None:
    arn = "arn:aws:s3:eu-west-1:123456789012:accesspoint/photos"
    assert split_uri(f"s3://{arn}/a/b.jpg") == (arn, "a/b.jpg")


# ---------------------------------------------------------------- the cache


def test_an_object_is_fetched_once_and_again_after_a_change(
    objects: BucketObjects, s3: Any, bucket: str, tmp_path: Path
) -> None:
    objects.put(bucket, "k", b"first")
    assert [objects.get(bucket, "k"), objects.get(bucket, "k")] == [b"first", b"first"]
    assert objects.cache.size == 5
    s3.put_object(Bucket=bucket, Key="k", Body=b"second")
    assert objects.get(bucket, "k") == b"second"
    assert objects.cache.size == 6


def test_the_cache_is_limited_and_keeps_the_most_recently_used_objects(
    connection: Connection, objects: BucketObjects, bucket: str, tmp_path: Path
) -> None:
    objects = BucketObjects(connection, Cache(tmp_path / "small", 2 * len(MEGABYTE)))
    for key in ("a", "b", "c"):
        objects.put(bucket, key, MEGABYTE)
    for key in ("a", "b", "a", "c"):
        assert objects.get(bucket, key) == MEGABYTE
    assert objects.cache.size == 2 * len(MEGABYTE)
    assert [objects.cache.find(bucket, key) is not None for key in ("a", "b", "c")] == [True, False, True]
    objects.put(bucket, "huge", 3 * MEGABYTE)
    assert objects.get(bucket, "huge") == 3 * MEGABYTE
    assert len(list((tmp_path / "small").glob("*.object"))) == 2


def test_the_cache_stores_nothing_on_a_nearly_full_disk(
    connection: Connection, objects: BucketObjects, bucket: str, tmp_path: Path
) -> None:
    class FullCache(Cache):
        free = 2 * RESERVE_BYTES

        def measure_free(self) -> int:
            return self.free

    cache = FullCache(tmp_path / "full", 1 << 40)
    far = BucketObjects(connection, cache)
    for key in ("a", "b"):
        objects.put(bucket, key, MEGABYTE)
    assert far.get(bucket, "a") == MEGABYTE
    cache.free = RESERVE_BYTES - 1
    assert far.get(bucket, "b") == MEGABYTE
    assert cache.size == 0
    far.close()


def test_damaged_or_incomplete_cache_files_are_fetched_again(
    objects: BucketObjects, connection: Connection, bucket: str, tmp_path: Path
) -> None:
    objects.put(bucket, "k", b"right")
    objects.get(bucket, "k")
    objects.close()
    (kept,) = (tmp_path / "cache").glob("*.object")
    kept.write_bytes(b"wrong")
    (tmp_path / "cache" / "half.object").write_bytes(b"interrupted")
    later = BucketObjects(connection, Cache(tmp_path / "cache", 1000))
    assert later.get(bucket, "k") == b"right"
    later.close()
    (tmp_path / "cache" / "index.sqlite3").write_bytes(b"no database")
    last = BucketObjects(connection, Cache(tmp_path / "cache", 1000))
    assert last.get(bucket, "k") == b"right"
    assert len(list((tmp_path / "cache").glob("*.object"))) == 1
    last.close()


# ---------------------------------------------------------------- away and back

GET, PUT = {"operations": ["s3:GetObject"]}, {"operations": ["s3:PutObject"]}


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "throttle"},
        {"kind": "fail"},
        {"kind": "drop"},
        {
            "kind": "answer",
            "status": 400,
            "code": "ExpiredToken",
            "message": "The provided token has expired.",
        },
        {"kind": "answer", "status": 403, "code": "InvalidAccessKeyId", "message": "There is no such key."},
        {"kind": "answer", "status": 200, "body": "<html>Sign in to the hotel's network</html>"},
    ],
    ids=lambda fault: str(fault.get("code", fault["kind"])),
)
def test_an_unavailable_storage_serves_cached_objects_refuses_writes_and_recovers(
    objects: BucketObjects, bucket: str, faults: Any, fault: dict[str, Any]
) -> None:
    objects.put(bucket, "kept", b"turtle")
    objects.get(bucket, "kept")
    faults(fault)
    assert objects.get(bucket, "kept") == b"turtle"
    with pytest.raises(StorageUnavailable) as refusal:
        objects.put(bucket, "new", b"answer")
    assert refusal.value.status == 503
    assert fault.get("message", "") in objects.state().reason != ""
    faults()
    assert objects.connection.probe()
    assert objects.state().reason == ""
    objects.put(bucket, "new", b"answer")
    assert objects.get(bucket, "new") == b"answer"


def test_a_bucket_that_refuses_writes_is_unavailable_with_the_reason(
    objects: BucketObjects, bucket: str, faults: Any
) -> None:
    faults({"kind": "answer", "status": 403, "code": "AccessDenied", "message": "Frozen by policy.", **PUT})
    with pytest.raises(StorageUnavailable, match="Frozen by policy"):
        objects.put(bucket, "k", b"answer")
    assert bucket in objects.state().reason
    objects.connection.probe()
    assert "Frozen by policy" in objects.state().reason, "a successful listing does not prove that writes are allowed"
    faults()
    objects.put(bucket, "k", b"answer")
    assert objects.state().reason == ""


def test_a_refused_object_is_distinguished_from_a_refused_bucket(
    objects: BucketObjects, bucket: str, faults: Any
) -> None:
    for key in ("open", "secret"):
        objects.put(bucket, key, b"x")
    objects.get(bucket, "open")
    refused = {"kind": "answer", "status": 403, "code": "AccessDenied", "message": "no"}
    faults(refused | {"resources": [f"{bucket}/secret"]})
    with pytest.raises(ServiceError) as refusal:
        objects.get(bucket, "secret")
    assert (refusal.value.code, isinstance(refusal.value, StorageUnavailable)) == ("AccessDenied", False)
    faults(refused)
    with pytest.raises(StorageUnavailable):
        objects.get(bucket, "secret")


@pytest.mark.parametrize("kind", ["corrupt", "truncate"])
def test_damaged_bytes_are_requested_again_and_never_served_or_cached(
    objects: BucketObjects, bucket: str, faults: Any, kind: str
) -> None:
    objects.put(bucket, "k", MEGABYTE)
    faults({"kind": kind, "limit": 1, **GET})
    assert objects.get(bucket, "k") == MEGABYTE
    objects.cache.forget(bucket, "k")
    faults({"kind": kind, **GET})
    with pytest.raises(StorageUnavailable, match="arrived incomplete or damaged"):
        objects.get(bucket, "k")
    assert objects.cache.size == 0


def test_bytes_damaged_while_sending_are_not_stored(objects: BucketObjects, bucket: str, faults: Any) -> None:
    faults({"kind": "corrupt-request", **PUT})
    with pytest.raises(StorageUnavailable):
        objects.put(bucket, "k", MEGABYTE)
    faults()
    assert objects.head(bucket, "k") is None


def test_a_refused_connection_is_reported_at_once_with_the_address(keys: Any, tmp_path: Path) -> None:
    objects = BucketObjects(Connection("http://127.0.0.1:9"), Cache(tmp_path / "cache", 1000))
    with pytest.raises(StorageUnavailable, match=re.escape("127.0.0.1:9")):
        objects.get("photos", "k")
    assert not objects.connection.probe()
    objects.close()


def test_a_silent_service_times_out_once_and_is_then_unavailable(keys: Any, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        objects = BucketObjects(Connection(url, limits=Limits(read_seconds=0.05)), Cache(tmp_path / "cache", 1000))
        with pytest.raises(StorageUnavailable, match=r"(?i)read timeout"):
            objects.get("photos", "k")
        asked = objects.connection.requests
        with pytest.raises(StorageUnavailable):
            objects.get("photos", "k")
        assert objects.connection.requests == asked
        objects.close()


def test_refused_credentials_are_read_again(
    service: LocalAWS, keys: pytest.MonkeyPatch, bucket: str, tmp_path: Path
) -> None:
    keys.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    objects = connect(service, tmp_path)
    with pytest.raises(StorageUnavailable):
        objects.put(bucket, "k", b"x")
    assert not objects.connection.probe()
    keys.setenv("AWS_SECRET_ACCESS_KEY", service.secret_key)
    assert objects.connection.probe()
    objects.put(bucket, "k", b"x")
    objects.close()


# ---------------------------------------------------------------- whose credentials


def test_a_public_bucket_can_be_read_without_credentials_but_not_written(
    service: LocalAWS, objects: BucketObjects, keys: pytest.MonkeyPatch, bucket: str, tmp_path: Path
) -> None:
    objects.put(bucket, "k", b"open data")
    statement = {"Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject", "s3:ListBucket"]}
    policy = {
        "Version": "2012-10-17",
        "Statement": [statement | {"Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]}],
    }
    service.client("s3").put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        keys.delenv(name)
    stranger = connect(service, tmp_path / "stranger")
    assert stranger.get(bucket, "k") == b"open data"
    assert [info.key for info in stranger.list(bucket)] == ["k"]
    with pytest.raises(StorageUnavailable, match="no AWS credentials"):
        stranger.put(bucket, "k2", b"x")
    stranger.close()


def test_requests_to_a_requester_pays_bucket_accept_the_charge(
    objects: BucketObjects, bucket: str, faults: Any
) -> None:
    objects.put(bucket, "k", b"x")
    payer = {"unless": {"x-amz-request-payer": "requester"}}
    faults({"kind": "answer", "status": 403, "code": "AccessDenied", "message": "no", **payer})
    assert objects.get(bucket, "k") == b"x"
    assert [info.key for info in objects.list(bucket)] == ["k"]


def test_a_profile_that_does_not_exist_is_named(service: LocalAWS, keys: Any) -> None:
    with pytest.raises(ServiceError, match="'nobody'"):
        Connection(service.url, "nobody")


@pytest.mark.parametrize(
    ("answer", "etag", "wanted"),
    [
        ({}, "d" * 32, True),
        ({"ServerSideEncryption": "AES256"}, "d" * 32, True),
        ({"ServerSideEncryption": "aws:kms"}, "d" * 32, False),
        ({"ServerSideEncryption": "aws:kms:dsse"}, "d" * 32, False),
        ({"SSECustomerAlgorithm": "AES256"}, "d" * 32, False),
        ({}, "d" * 32 + "-2", False),
    ],
)
def test_an_etag_is_used_as_a_digest_only_where_s3_defines_it(answer: dict[str, str], etag: str, wanted: bool) -> None:
    assert is_digest(answer, etag) is wanted


# ---------------------------------------------------------------- training and hosting


def test_channels_models_and_artifacts_are_read_and_written(
    objects: BucketObjects, bucket: str, tmp_path: Path
) -> None:
    for number in range(3):
        objects.put(bucket, f"train/{number}.jpg", f"{number}".encode())
    source = {
        "S3DataType": "S3Prefix",
        "S3Uri": f"s3://{bucket}/train/",
        "S3DataDistributionType": "FullyReplicated",
    }
    channel = {"ChannelName": "train", "DataSource": {"S3DataSource": source}}
    patient = WaitingObjects(objects)
    assert materialize_channel(patient, channel, tmp_path / "data", region="us-east-1", role="r") == 3
    assert sorted(path.read_text() for path in (tmp_path / "data" / "train").iterdir()) == ["0", "1", "2"]
    model = tmp_path / "ml" / "model"
    model.mkdir(parents=True)
    (model / "model_best.params").write_bytes(MEGABYTE)
    uri = f"s3://{bucket}/job/output/model.tar.gz"
    upload_model(patient, {"ModelArtifacts": {"S3ModelArtifacts": uri}}, model)
    assert find_artifact(patient, uri)
    with patient.file(*split_uri(uri)) as path:
        with tarfile.open(path) as archive:
            assert archive.getnames() == ["model_best.params"]
    assert not path.exists()


# ---------------------------------------------------------------- rights


def test_rights_are_checked_one_by_one_and_leave_no_objects(
    objects: BucketObjects, s3: Any, bucket: str, faults: Any
) -> None:
    objects.put(bucket, "images/a.jpg", b"x")
    assert [right.problem for right in objects.check_rights(bucket, "images/", writes=True)] == [""] * 4
    refused = {"kind": "answer", "status": 403, "code": "AccessDenied", "message": "not you"}
    faults(refused | {"operations": ["s3:CreateMultipartUpload", "s3:ListObjectsV2"]})
    rights = {right.action: right.problem for right in objects.check_rights(bucket, "images/", writes=True)}
    assert rights == {
        "s3:ListBucket": "not you (AccessDenied)",
        "s3:GetObject": "",
        "s3:PutObject": "not you (AccessDenied)",
    }
    assert objects.state().reason == "", "a check of rights is not pending work"
    faults()
    assert objects.check_rights("no-such-bucket-at-all", "", writes=False)[0].problem
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["images/a.jpg"]


def test_only_the_documented_operations_are_sent(
    service: LocalAWS, keys: Any, bucket: str, tmp_path: Path, faults: Any
) -> None:
    objects, sent = connect(service, tmp_path), set()
    for writes in (True, False):
        client = objects.connection._client("own", writes=writes)
        client.meta.events.register("before-call.s3", lambda model, **_: sent.add(model.name))
    objects.bucket_exists(bucket)
    objects.put(bucket, "small", b"x")
    objects.put(bucket, "large", io.BytesIO(bytes(PART_BYTES + 1)))
    objects.get(bucket, "small")
    objects.head(bucket, "small")
    list(objects.list(bucket))
    objects.check_rights(bucket, "", writes=True)
    assert sent == set(S3_ACTIONS)
    with pytest.raises(AssertionError, match="DeleteObject"):
        objects.connection._client("own").delete_object(Bucket=bucket, Key="small")
    objects.close()


# ---------------------------------------------------------------- patience


def test_a_waiting_call_returns_when_the_storage_is_available_again(
    objects: BucketObjects, bucket: str, faults: Any
) -> None:
    patient = WaitingObjects(objects)
    faults({"kind": "fail", "limit": 3, **PUT})
    objects.connection._forget_refusal("")

    def probe(seconds: float) -> bool:
        objects.connection.probe()
        return False

    patient._stopping.wait = probe  # type: ignore[method-assign]
    patient.put(bucket, "k", b"model")
    assert objects.get(bucket, "k") == b"model"


def test_a_waiting_call_ends_when_the_server_stops(keys: Any, tmp_path: Path) -> None:
    objects = BucketObjects(Connection("http://127.0.0.1:9"), Cache(tmp_path / "cache", 1000))
    patient = WaitingObjects(objects)
    patient.stop()
    with pytest.raises(Interrupted):
        patient.get("photos", "k")
    objects.close()
