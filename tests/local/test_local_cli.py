"""The gtseg local commands: exec (environment, exit codes, signals), up, crowd, worker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from polling import wait_for
from typer.testing import CliRunner

from gtseg.local.cli import app

LOCAL = [sys.executable, "-m", "gtseg.local.cli"]
SHOW = "import json, os; print(json.dumps({k: v for k, v in os.environ.items() if k.startswith('AWS_')}))"
LIST = (
    "import boto3; boto3.client('s3').create_bucket(Bucket='kept'); print([b['Name'] for b in "
    "boto3.client('s3').list_buckets()['Buckets']])"
)


def run(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*LOCAL, *arguments], capture_output=True, text=True, timeout=120, **more)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return (
        Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z" if Path("/proc").is_dir() else True
    )


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Callable[..., tuple[Path, dict[str, str], subprocess.Popen[str]]]]:
    """Start `gtseg local up` on a folder; return (folder, exported variables, process)."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> tuple[Path, dict[str, str], subprocess.Popen[str]]:
        folder = tmp_path / f"up{len(started)}"
        command = [*LOCAL, "up", "--data", str(folder), "--port", "0", *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        exported = {}
        for line in iter(process.stdout.readline, "unset AWS_PROFILE AWS_SESSION_TOKEN\n"):
            assert line, process.stderr and process.stderr.read()
            name, _, value = line.removeprefix("export ").strip().partition("=")
            exported[name] = value
        return folder, exported, process

    yield start
    for process in started:
        process.terminate()
        process.communicate(timeout=30)


def test_exec_sets_this_aws_and_removes_other_aws_variables(tmp_path: Path) -> None:
    other = {
        "AWS_PROFILE": "mine", "AWS_DEFAULT_PROFILE": "mine", "AWS_SESSION_TOKEN": "t",
        "AWS_ENDPOINT_URL_S3": "https://x",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true", "AWS_ROLE_ARN": "r", "AWS_WEB_IDENTITY_TOKEN_FILE": "f",
        "AWS_REGION": "eu-west-1", "AWS_CONFIG_FILE": "/nowhere", "HTTP_PROXY": "http://127.0.0.1:1",
        "http_proxy": "http://127.0.0.1:1",
    }  # fmt: skip
    both = f"{SHOW}\n{LIST}"
    done = run("exec", "--data", str(tmp_path), "--", sys.executable, "-c", both, env={**os.environ, **other})
    assert done.returncode == 0, done.stderr
    shown, buckets = done.stdout.splitlines()
    seen = json.loads(shown)
    assert set(seen) == {
        "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION",
        "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_EC2_METADATA_DISABLED", "AWS_ALLOW_HTTP",
        "AWS_S3_ENDPOINT",
        "AWS_HTTPS", "AWS_VIRTUAL_HOSTING",
    }  # fmt: skip
    assert seen["AWS_ENDPOINT_URL"].startswith("http://127.0.0.1:")
    assert seen["AWS_REGION"] == seen["AWS_DEFAULT_REGION"] == "us-east-1"
    assert buckets == "['kept']"
    assert not (tmp_path / "server.json").exists()


def test_exec_exits_with_the_commands_exit_code(up: Any) -> None:
    folder, _, _ = up()
    for command, code in (
        (["sh", "-c", "exit 7"], 7),
        (["no-such-command-here"], 127),
        ([os.devnull], 126),
        (["sh", "-c", "kill -9 $$"], 137),
        (["sh", "-c", "kill $$"], 143),
    ):
        assert run("exec", "--data", str(folder), "--", *command).returncode == code


def test_exec_names_the_server_that_ends_with_the_command(tmp_path: Path) -> None:
    show = "import os; print(os.environ['GTSEG_LOCAL_EXEC'] == os.environ['AWS_ENDPOINT_URL'])"
    assert run("exec", "--data", str(tmp_path), "--", sys.executable, "-c", show).stdout == "True\n"


def test_exec_uses_a_running_server_and_leaves_it_running(up: Any) -> None:
    folder, exported, process = up()
    done = run("exec", "--data", str(folder), "--", sys.executable, "-c", SHOW)
    assert json.loads(done.stdout)["AWS_ENDPOINT_URL"] == exported["AWS_ENDPOINT_URL"]
    assert process.poll() is None
    marked = run("exec", "--data", str(folder), "--", "printenv", "GTSEG_LOCAL_EXEC")
    assert (marked.returncode, marked.stdout) == (1, "")  # it does not end with this command
    refused = run("exec", "--data", str(folder), "--train-seconds", "5", "--", "true")
    assert refused.returncode == 75
    assert "already served" in refused.stderr


def test_a_second_server_on_the_same_folder_is_refused_in_one_line(up: Any) -> None:
    folder, _, _ = up()
    done = run("up", "--data", str(folder), "--port", "0")
    assert done.returncode == 75
    assert "another server is using the data folder" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_exec_forwards_signals_and_stops_its_server(tmp_path: Path, number: int) -> None:
    script = (
        "import signal, sys, time; signal.signal(%d, lambda *_: sys.exit(42)); open(sys.argv[1], 'w'); time.sleep(60)"
    )
    ready = tmp_path / "ready"
    command = [
        *LOCAL,
        "exec",
        "--data",
        str(tmp_path / "aws"),
        "--",
        sys.executable,
        "-c",
        script % number,
        str(ready),
    ]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE)
    wait_for(ready.exists)
    server = json.loads((tmp_path / "aws" / "server.json").read_bytes())["pid"]
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 42
    assert not is_alive(server)


def test_the_server_ends_when_its_exec_is_killed(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    command = [*LOCAL, "exec", "--data", str(tmp_path), "--", "sh", "-c", f"touch '{ready}'; exec sleep 30"]
    process = subprocess.Popen(command, start_new_session=True)
    wait_for(ready.exists)
    server = json.loads((tmp_path / "server.json").read_bytes())["pid"]
    process.kill()
    process.wait()
    wait_for(lambda: not is_alive(server))
    os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--crowd-masks", "/no/such/folder"], "is not a folder"),
        (["--faults", "/no/such/file"], "is not a file"),
        (["--train-seconds", "0"], "must be greater than 0"),
        (["--crowd-workers", "5"], "require --crowd-masks"),
        (["--crowd-error", "2"], "--crowd-error"),
    ],
)
def test_invalid_options_are_usage_errors(tmp_path: Path, arguments: list[str], words: str) -> None:
    done = run("exec", "--data", str(tmp_path), *arguments, "--", "true")
    assert done.returncode == 2
    assert words in done.stderr


def test_workers_are_added_listed_paused_and_removed(up: Any) -> None:
    folder, _, _ = up()

    def worker(*arguments: str) -> subprocess.CompletedProcess[str]:
        return run("worker", *arguments, "--data", str(folder))

    token = worker("add", "Ada").stdout.strip()
    assert len(token) >= 32
    assert "already" in worker("add", "Ada").stderr
    assert worker("add", "Ada", "--renew").stdout.strip() not in ("", token)
    assert worker("list").stdout.split("\t")[1:] == ["gtseg", "active", "Ada\n"]
    assert worker("pause", "Ada").returncode == 0
    assert "\tpaused\t" in worker("list").stdout
    assert worker("remove", "Ada").returncode == 0
    assert worker("list").stdout == ""
    assert worker("remove", "Ada").returncode == 3


def test_owner_commands_without_a_server_say_how_to_start_one(tmp_path: Path) -> None:
    for command in (["worker", "list"], ["crowd", "--masks", str(tmp_path)]):
        done = run(*command, "--data", str(tmp_path / "nobody"))
        assert done.returncode == 1
        assert "gtseg local up" in done.stderr


def make_certificate(folder: Path) -> tuple[Path, Path]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "labels.example")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - timedelta(1)).not_valid_after(now + timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("labels.example")]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


def test_https_with_a_users_certificate(up: Any, tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    folder, exported, _ = up("--tls-cert", str(certificate), "--tls-key", str(key))
    assert exported["AWS_ENDPOINT_URL"].startswith("https://127.0.0.1:")
    assert run("worker", "add", "Ada", "--data", str(folder)).returncode == 0
    lonely = run("up", "--data", str(folder), "--tls-cert", str(certificate))
    assert (lonely.returncode, "must be used together" in lonely.stderr) == (2, True)


@pytest.mark.parametrize("text", ["s3://bucket/x", "S3:/bucket/x", "https://bucket.s3.amazonaws.com/x"])
def test_data_folders_and_backups_are_never_uris(tmp_path: Path, text: str) -> None:
    shown = str(Path(text))
    here = ["--data", str(tmp_path / "data")]
    cases: dict[str, tuple[list[str], dict[str, str]]] = {
        "--data": (["check", "--data", text], {}),
        "GTSEG_LOCAL_DATA": (["check"], {"GTSEG_LOCAL_DATA": text}),
        "TARGET": (["backup", text, *here], {}),
        "SOURCE": (["restore", text, *here], {}),
    }
    for name, (arguments, variables) in cases.items():
        done = run(*arguments, cwd=tmp_path, env={**os.environ, **variables})
        assert done.returncode == 2, done.stderr
        assert f"{name} {shown}: must be a path on this machine" in " ".join(done.stderr.split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text", ["S3://photos/x", "s3:/photos", "photos", "s3://", "https://photos.s3.amazonaws.com/x"]
)
def test_a_place_to_check_must_be_an_s3_uri(tmp_path: Path, text: str) -> None:
    done = run("check", "--s3", "--place", text, "--data", str(tmp_path))
    assert done.returncode == 2
    assert f"--place {text}: must be a bucket or a prefix, written s3://BUCKET/PREFIX" in done.stderr


@pytest.mark.parametrize(
    "text", ["s3://bucket/x", "s3:/bucket", "label.local", "arn:aws:s3:::bucket", "http://x:99999"]
)
@pytest.mark.parametrize(
    "arguments",
    [
        ("owner", "--at"),
        ("worker", "add", "ada", "--at"),
        ("profile", "labels", "--at"),
        ("crowd", "--masks", ".", "--url"),
    ],
)
def test_the_address_of_a_server_must_be_a_url(tmp_path: Path, arguments: tuple[str, ...], text: str) -> None:
    result = CliRunner().invoke(app, [*arguments, text, "--data", str(tmp_path)])
    assert result.exit_code == 2
    assert f"{text}: must be the URL of a server, like https://label.local" in " ".join(result.output.split())


def test_other_machines_are_accepted_only_by_option_with_a_warning(up: Any) -> None:
    _, _, process = up("--host", "0.0.0.0")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "not encrypted" in said
    assert "--tls-cert" in said
