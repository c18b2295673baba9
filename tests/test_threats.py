"""Attacks of docs/threat-model.md without a test elsewhere; the existence of every test that the page names."""

from __future__ import annotations

import contextlib
import io
import json
import re
import ssl
import subprocess
import tarfile
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from gtseg.local.errors import ServiceError
from gtseg.local.hosting.artifact import ArtifactError
from gtseg.local.labeling.templates import render

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "threat-model.md"


def test_every_attack_on_the_page_names_an_existing_test() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ") and "`tests/" in line]
    assert len(rows) >= 20
    for row in rows:
        for path, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row):
            assert f"def {name}(" in (ROOT / path).read_text(), f"{path}::{name}"
        assert re.search(r"`tests/[\w/]+\.py::\w+`", row), row


@pytest.mark.parametrize(
    "template",
    [
        "{% for i in (1..100000000) %}x{% endfor %}",
        "{% for i in (1..90000) %}{{ task.input.long }}{% endfor %}",
        "{% include '/etc/passwd' %}",
        "{% render '../../etc/passwd' %}",
        "{{ task.input",
    ],
)
def test_a_template_can_neither_loop_forever_nor_read_files(template: str) -> None:
    with pytest.raises(ServiceError, match="cannot be rendered"):
        render(template, {"long": "x" * 1000}, grant=str)


@pytest.mark.parametrize(
    "expression",
    ["task.__class__", "task.input.__init__.__globals__", "task.input['__class__']", "granting.__closure__"],
)
def test_a_template_has_no_access_to_python_attributes(expression: str) -> None:
    assert render("[{{ " + expression + " }}]", {"a": 1}, grant=str) == "[]"


def test_the_secret_key_is_in_no_log_state_file_or_response(local_aws: Any) -> None:
    s3, sagemaker = local_aws.client("s3"), local_aws.client("sagemaker")
    s3.create_bucket(Bucket="kept")
    s3.put_object(Bucket="kept", Key="k", Body=b"x")
    sagemaker.list_labeling_jobs()
    with pytest.raises(ClientError) as refusal:
        local_aws.client("s3", aws_secret_access_key="wrong").list_buckets()
    assert local_aws.secret_key not in json.dumps(refusal.value.response, default=str)
    files = [p for p in Path(local_aws.folder).rglob("*") if p.is_file() and p.name != "credentials.json"]
    for path in [*files, local_aws.log]:
        body = path.read_bytes()
        assert local_aws.secret_key.encode() not in body, path
        assert local_aws.owner_token.encode() not in body, path
    assert (local_aws.folder / "credentials.json").stat().st_mode & 0o077 == 0


def archive(*members: tuple[str, bytes | None]) -> bytes:
    """A tar.gz; a member without content is a link to /etc/passwd."""
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w:gz") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if content is None:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            info.size = len(content or b"")
            tar.addfile(info, io.BytesIO(content or b""))
    return body.getvalue()


@pytest.mark.parametrize("member", [("../../escaped", b"x"), ("/tmp/escaped-by-gtseg-test", b"x"), ("link", None)])
def test_a_model_archive_cannot_write_outside_its_folder(tmp_path: Path, member: tuple[str, bytes | None]) -> None:
    from gtseg.local.hosting.artifact import _extract

    (tmp_path / "model.tar.gz").write_bytes(archive(member))
    folder = tmp_path / "deep" / "er" / "model"
    folder.mkdir(parents=True)

    class One:
        @contextlib.contextmanager
        def file(self, bucket: str, key: str) -> Iterator[Path]:
            yield tmp_path / "model.tar.gz"

    with contextlib.suppress(ArtifactError):  # refused, or put inside the folder under a harmless name
        _extract(One(), "b", "k", folder)  # type: ignore[arg-type]
    assert not (tmp_path / "escaped").exists()
    assert not (tmp_path / "deep" / "escaped").exists()
    assert not Path("/tmp/escaped-by-gtseg-test").exists()
    assert not any(path.is_symlink() for path in folder.rglob("*"))


def test_pickled_code_in_a_model_is_not_executed(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")

    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"state": Evil()}, tmp_path / "model_best.params")
    with pytest.raises(Exception, match=r"(?i)weights.only|unsupported|global"):
        torch.load(tmp_path / "model_best.params", weights_only=True)
    assert not (tmp_path / "ran").exists()
    loads = [
        line for p in (ROOT / "gtseg").rglob("*.py") for line in p.read_text().splitlines() if "torch.load(" in line
    ]
    assert loads
    assert all("weights_only=True" in line for line in loads)


def test_the_package_uses_no_pickle_eval_or_shell() -> None:
    wanted = re.compile(r"\b(pickle\.load|eval\(|exec\(|os\.system|shell=True|yaml\.load)")
    found = [
        f"{p.name}: {line.strip()}"
        for p in (ROOT / "gtseg").rglob("*.py")
        for line in p.read_text().splitlines()
        if wanted.search(line)
    ]
    assert [line for line in found if ".eval()" not in line and "def exec(" not in line] == []


def test_faults_cannot_be_set_on_a_server_started_without_them(shared_aws: Any) -> None:
    request = urllib.request.Request(f"{shared_aws.url}/_gtseg/health", headers={"x-gtseg-fault": "drop"})
    assert json.load(urllib.request.urlopen(request, timeout=20))["status"] == "ok"
    with urllib.request.urlopen(f"{shared_aws.url}/_gtseg/faults", timeout=20) as answer:
        assert not json.load(answer)["enabled"]


@pytest.mark.parametrize("header", [f"Bearer {'x' * 5000}", "Bearer ", "Basic b3duZXI6", "Bearer null", "Bearer ../.."])
def test_a_guessed_owner_token_is_refused(shared_aws: Any, header: str) -> None:
    for path in ("workers", "owner/jobs"):
        request = urllib.request.Request(f"{shared_aws.url}/_portal/api/{path}", headers={"Authorization": header})
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=20)
        assert caught.value.code == 401


def test_a_server_with_a_certificate_encrypts_and_clients_refuse_another_certificate(tmp_path: Path) -> None:
    """`gtseg local up --tls-cert --tls-key` serves clients that trust the certificate, and no plain HTTP."""
    import sys

    make = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "1",
        "-subj",
        "/CN=127.0.0.1",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-keyout",
        str(tmp_path / "key"),
        "-out",
        str(tmp_path / "crt"),
    ]
    try:
        subprocess.run(make, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl makes the certificate")
    words = [
        "local",
        "up",
        "--data",
        str(tmp_path / "aws"),
        "--port",
        "0",
        "--tls-cert",
        str(tmp_path / "crt"),
        "--tls-key",
        str(tmp_path / "key"),
    ]
    server = subprocess.Popen(
        [sys.executable, "-m", "gtseg", *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert server.stdout is not None
        url = next(re.search(r"https://[\d.]+:\d+", line)[0] for line in server.stdout if "AWS_ENDPOINT_URL=" in line)  # type: ignore[index]
        trusted = ssl.create_default_context(cafile=str(tmp_path / "crt"))
        assert json.load(urllib.request.urlopen(f"{url}/_gtseg/health", context=trusted, timeout=20))["status"] == "ok"
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            urllib.request.urlopen(f"{url}/_gtseg/health", timeout=20)
        with pytest.raises(OSError):
            urllib.request.urlopen(f"{url.replace('https', 'http')}/_gtseg/health", timeout=20)
    finally:
        server.terminate()
        server.wait(30)
        assert server.stdout is not None
        server.stdout.close()


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_a_presigned_url_gives_access_to_its_own_object_only(shared_aws: Any, version: str) -> None:
    s3, bucket = shared_aws.client("s3"), f"links-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=bucket)
    for key in ("mine", "yours"):
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    signer = shared_aws.client("s3", config=Config(signature_version=version))
    link = signer.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "mine"}, ExpiresIn=60)
    assert urllib.request.urlopen(link, timeout=20).read() == b"mine"
    for other in (
        link.replace("/mine?", "/yours?"),
        re.sub(r"Expires=(\d+)", r"Expires=\g<1>0", link),
        link.replace("/mine?", "?"),
    ):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(other, timeout=20)
        assert caught.value.code == 403
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(urllib.request.Request(link, data=b"over", method="PUT"), timeout=20)
    assert caught.value.code == 403


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_unsigned_headers_of_a_presigned_url_are_refused(shared_aws: Any, version: str) -> None:
    s3, bucket = shared_aws.client("s3"), f"headers-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="secret", Body=b"secret")
    signer = shared_aws.client("s3", config=Config(signature_version=version))
    link = signer.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "upload"}, ExpiresIn=60)
    for name, value in (
        ("x-amz-copy-source", f"/{bucket}/secret"),
        ("x-amz-acl", "public-read"),
        ("x-amz-meta-a", "b"),
        ("x-amz-security-token", "token"),
    ):
        headers = {name: value, "Content-Type": ""}
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(urllib.request.Request(link, data=b"x", method="PUT", headers=headers), timeout=20)
        assert caught.value.code == 403
        if version == "s3v4":
            assert f"<HeadersNotSigned>{name}</HeadersNotSigned>" in caught.value.read().decode()
    for token in ("x-amz-security-token", "X-Amz-Security-Token"):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(
                urllib.request.Request(f"{link}&{token}=token", data=b"x", method="PUT", headers={"Content-Type": ""}),
                timeout=20,
            )
        assert caught.value.code == 403
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["secret"]


def test_stored_html_cannot_run_scripts_in_the_portals_origin(shared_aws: Any) -> None:
    """An HTML object opened by the owner has the portal's origin: no script or form of it may run."""
    s3, bucket = shared_aws.client("s3"), f"pages-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="x.html", Body=b"<script>1</script>", ContentType="text/html")
    s3.put_object(Bucket=bucket, Key="large.html", Body=b"<p>" * 100_000, ContentType="text/html")
    for key in ("x.html", "large.html", "missing.html"):
        link = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=60)
        try:
            headers = urllib.request.urlopen(link, timeout=20).headers
        except urllib.error.HTTPError as error:
            headers = error.headers
        assert headers["Content-Security-Policy"] == "sandbox"
        assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be", "iso-8859-1", "cp037"])
def test_xml_with_a_document_type_is_refused_in_every_encoding(encoding: str) -> None:
    from gtseg.local.s3.xml import parse

    text = f'<?xml version="1.0" encoding="{encoding}"?><!DOCTYPE x [<!ENTITY a "b">]><Delete><Key>&a;</Key></Delete>'
    with pytest.raises(ServiceError, match="MalformedXML"):
        parse(text.encode(encoding), "Delete", "Key")
    if encoding in ("utf-8", "utf-16", "iso-8859-1"):
        plain = f'<?xml version="1.0" encoding="{encoding}"?><Delete><Key>ä</Key></Delete>'
        assert parse(plain.encode(encoding), "Delete", "Key").findtext("Key") == "ä"
