"""The server as a process: routing, restart, one server per folder."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.request
from contextlib import closing
from importlib.metadata import version
from typing import Any

import pytest
from botocore.exceptions import ClientError
from polling import wait_for


def test_health_answers_without_credentials(shared_aws: Any) -> None:
    with urllib.request.urlopen(f"{shared_aws.url}/_gtseg/health") as answer:
        assert json.load(answer) == {
            "status": "ok", "ready": True, "version": version("gtseg"), "region": "us-east-1", "only": None,
            "storage": {"kind": "folder", "endpoint": None, "reachable": True, "reason": None, "since": None},
            "backlog": {"objects": 0},
        }  # fmt: skip


def test_objects_survive_kill_9(local_aws: Any) -> None:
    s3 = local_aws.client("s3")
    s3.create_bucket(Bucket="photos")
    s3.put_object(Bucket="photos", Key="a/b.jpg", Body=b"turtle")
    local_aws.kill9()
    local_aws.restart()
    assert local_aws.client("s3").get_object(Bucket="photos", Key="a/b.jpg")["Body"].read() == b"turtle"


def test_a_second_server_on_the_same_folder_is_refused(local_aws: Any) -> None:
    command = [sys.executable, "-m", "gtseg.local.server", "--data", str(local_aws.folder)]
    second = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert second.returncode == 1
    assert "another server is using the data folder" in second.stderr
    assert "Traceback" not in second.stderr


def test_sigterm_ends_the_server_cleanly(local_aws: Any) -> None:
    announced = local_aws.folder / "server.json"
    told = json.loads(announced.read_text())
    assert (told["url"], told["pid"]) == (local_aws.url, local_aws.pid)
    assert local_aws.stop() == 0
    assert not announced.exists()


def test_sigterm_refuses_new_requests_and_completes_running_ones(local_aws: Any) -> None:
    body = json.dumps({"name": "Ada", "team": "gtseg"}).encode()
    head = (
        f"POST /_portal/api/workers HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {local_aws.owner_token}\r\n"
        f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", local_aws.port), timeout=60) as connection:
        connection.sendall(head.encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 100"), "the server waits for the body"
        connection.sendall(body[:5])
        os.kill(local_aws.pid, signal.SIGTERM)
        wait_for(lambda: is_closed(local_aws.port))
        connection.sendall(body[5:])
        assert connection.recv(1000).startswith(b"HTTP/1.1 201")
    assert local_aws.stop() == 0
    local_aws.start()
    with closing(sqlite3.connect(local_aws.folder / "state.sqlite3")) as state:
        assert state.execute("SELECT name FROM labeling_workers").fetchall() == [("Ada",)]


def is_closed(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=60).close()
    except ConnectionRefusedError:
        return True
    return False


def test_other_services_are_answered_by_moto(shared_aws: Any) -> None:
    assert shared_aws.client("sts").get_caller_identity()["Account"] == "123456789012"
    shared_aws.client("iam").create_role(RoleName="labeler", AssumeRolePolicyDocument="{}")
    call = shared_aws.calls()[-1]
    assert (call["service"], call["operation"], call["name"]) == ("iam", "CreateRole", "labeler")


@pytest.mark.parametrize("service", ["s3", "sts"])
def test_wrong_secret_is_refused(shared_aws: Any, service: str) -> None:
    client = shared_aws.client(service, aws_secret_access_key="wrong")
    call = client.list_buckets if service == "s3" else client.get_caller_identity
    with pytest.raises(ClientError) as refusal:
        call()
    assert refusal.value.response["Error"]["Code"] in ("SignatureDoesNotMatch", "InvalidSignatureException")
