"""Every error of AWS has a remedy and the documented exit code."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from botocore import exceptions as aws

from gtseg.aws.calls import HiddenTags, read_tags
from gtseg.aws.clients import Clients
from gtseg.aws.credentials import ask_on_terminal
from gtseg.aws.failures import is_transient, translate
from gtseg.aws.groundtruth import GroundTruth
from gtseg.aws.hosting import Hosting
from gtseg.aws.logs import LogTail
from gtseg.aws.reachability import proxy_variable
from gtseg.aws.refusals import refusal
from gtseg.aws.s3 import S3
from gtseg.aws.training import Training
from gtseg.aws.waiting import persist
from gtseg.errors import AWSError, GtsegError, SettingsError

EXPIRED = "Signature expired: 20261129T202900Z is now earlier than 20261129T212900Z (20261129T213400Z - 5 min.)"
ROLE = (
    "Could not assume role arn:aws:iam::1:role/x. Please ensure that the role exists and allows principal "
    "sagemaker.amazonaws.com."
)
CASES = {
    ("PutObject s3://b/k", "AccessDenied", "explicit deny in a resource-based policy"): (4, "[project] sse"),
    ("GetObject s3://b/k", "AccessDenied", "Access Denied"): (4, "requester_pays"),
    ("CreateTrainingJob", "AccessDeniedException", "not authorized to perform"): (4, "init --policies"),
    ("PutObject s3://b/k", "AccessDenied", "no permission for kms:GenerateDataKey"): (4, "KMS key"),
    ("AssumeRole", "AccessDenied", "MultiFactorAuthentication failed with invalid MFA code"): (4, "the next one"),
    ("DescribeTrainingJob x", "ExpiredTokenException", "expired"): (4, "log in again"),
    ("DescribeTrainingJob x", "InvalidSignatureException", EXPIRED): (4,
    "2026-11-29 20:29:00 UTC, AWS's 2026-11-29 21:34:00"),
    ("HeadObject s3://b/k", "RequestTimeTooSkewed", "The difference is too large."): (4, "clock"),
    ("DescribeTrainingJob x", "UnrecognizedClientException", "invalid token"): (4, "region is not enabled"),
    ("ListModels", "OptInRequired", "not subscribed"): (4, "[project] region"),
    ("CreateTrainingJob", "ValidationException", ROLE): (4, "policies/trust.json"),
    ("CreateTrainingJob", "ResourceLimitExceeded", "0 Instances"): (1, "Service Quotas"),
    ("CreateEndpoint", "InsufficientInstanceCapacity", "none"): (1, "another instance type"),
    ("ListModels", "ThrottlingException", "Rate exceeded"): (1, "same command again"),
    ("ListModels", "InternalFailure", "x"): (1, "same command again"),
    ("DescribeTrainingJob x", "ValidationException", "Requested resource not found."): (3, "--refresh"),
    ("InvokeEndpoint e", "ValidationError", "Endpoint e of account 1 not found."): (3, "gtseg deploy"),
    ("CreateTrainingJob", "ValidationException", "1 validation error detected"): (1, "--dry-run"),
    ("HeadBucket b", "NoSuchBucket", "x"): (3, "[project] bucket"),
    ("CreateModel", "NobodyHasHeardOfThis", "x"): (1, "gtseg doctor"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0].split()[0]}-{case[1]}")
def test_a_refusal_has_its_exit_code_and_a_remedy(case: tuple[str, str, str]) -> None:
    error = refusal(*case)
    assert error.exit_code == CASES[case][0]
    assert CASES[case][1] in error.hint


def test_the_message_about_a_wrong_clock_compares_it_with_the_responses_date() -> None:
    date = "Fri, 01 Jan 2038 00:00:00 GMT"
    hint = refusal("ListModels", "RequestExpired", "Request has expired.", date=date).hint
    assert "AWS's 2038-01-01 00:00:00 UTC" in hint


SIGNED_OUT = [
    aws.SSOTokenLoadError(error_msg="x"), aws.UnauthorizedSSOTokenError(),
    aws.TokenRetrievalError(provider="sso", error_msg="x"),
    aws.LoginRefreshRequired(), aws.LoginTokenLoadError(error_msg="x"), aws.RefreshWithMFAUnsupportedError(),
    aws.CredentialRetrievalError(provider="sso", error_msg="x"), aws.MetadataRetrievalError(error_msg="x"),
    aws.NoCredentialsError(), aws.ProfileNotFound(profile="p"),
    aws.PartialCredentialsError(provider="env", cred_var="x"),
    aws.InvalidConfigError(error_msg="x"),
]  # fmt: skip


@pytest.mark.parametrize("error", SIGNED_OUT, ids=lambda error: type(error).__name__)
def test_a_missing_or_expired_sign_in_is_exit_code_4_with_the_command_to_run(error: Exception) -> None:
    with pytest.raises(AWSError) as caught, translate("ListModels"):
        raise error
    assert caught.value.exit_code == 4
    assert caught.value.hint or "profile" in str(error)


# ---------------------------------------------------------------- credentials of the AWS configuration


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], Clients]:
    """Clients of a profile, from the text of an AWS configuration file."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    def make(text: str) -> Clients:
        (tmp_path / "config").write_text(text)
        monkeypatch.setenv("AWS_PROFILE", "p")
        return Clients(region="us-east-1")

    return make


SSO = "sso_start_url = https://x.awsapps.com/start\nsso_region = us-east-1\nsso_account_id = 1\nsso_role_name = r\n"
CONFIGURATIONS = {
    "not logged in": f"[profile p]\n{SSO}",
    "session not logged in": "[profile p]\nsso_session = s\nsso_account_id = 1\nsso_role_name = r\n"
    "[sso-session s]\nsso_region = us-east-1\nsso_start_url = https://x.awsapps.com/start\n",
    "a process that fails": "[profile p]\ncredential_process = /bin/false\n",
    "a process that is not there": "[profile p]\ncredential_process = /no/such/program\n",
    "a process that says nonsense": "[profile p]\ncredential_process = /bin/echo hello\n",
    "a process with expired keys": '[profile p]\ncredential_process = /bin/echo \'{"Version": 1, "AccessKeyId": "a", '
    '"SecretAccessKey": "b", "Expiration": "2020-01-01T00:00:00Z"}\'\n',
    "a source that is not there": "[profile p]\nrole_arn = arn:aws:iam::123456789012:role/r\nsource_profile = q\n",
    "an MFA code without a terminal": "[profile p]\nrole_arn = arn:aws:iam::123456789012:role/r\nsource_profile = q\n"
    "mfa_serial = arn:aws:iam::123456789012:mfa/me\n[profile q]\naws_access_key_id = a\naws_secret_access_key = b\n",
}


@pytest.mark.parametrize("text", CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_credentials_that_cannot_be_loaded_are_exit_code_4_in_every_client(
    configured: Callable[[str], Clients], text: str
) -> None:
    for ask in (lambda c: c.account, lambda c: S3(c).read("s3://bucket/key")):
        with pytest.raises(GtsegError) as caught:
            ask(configured(text))
        assert caught.value.exit_code == 4
        assert "`" in str(caught.value)


def test_a_damaged_aws_configuration_is_a_settings_error(configured: Callable[[str], Clients]) -> None:
    with pytest.raises(GtsegError, match="AWS_CONFIG_FILE") as caught:
        _ = configured("[profile p\n").account
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:4566", "localhost", "http://", "http://ho st:1", "http://127.0.0.1:port", "http://h:99999"],
)
def test_an_invalid_endpoint_url_is_a_settings_error(configured: Callable[[str], Clients], url: str) -> None:
    clients = configured(f"[profile p]\nendpoint_url = {url}\naws_access_key_id = a\naws_secret_access_key = b\n")
    for ask in (lambda: clients.account, lambda: S3(clients).read("s3://bucket/key")):
        with pytest.raises(SettingsError, match="is not a valid URL"):
            ask()


def test_an_mfa_session_is_cached_in_the_aws_clis_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import botocore.session

    monkeypatch.setenv("HOME", str(tmp_path))
    session = botocore.session.Session()
    ask_on_terminal(session)
    provider = session.get_component("credential_provider").get_provider("assume-role")
    provider.cache["a"] = {"Credentials": {}}
    assert json.loads((tmp_path / ".aws/cli/cache/a.json").read_bytes()) == {"Credentials": {}}


# ---------------------------------------------------------------- a false or dead AWS

FALSE = {
    "a portal's page": (200, "text/html", b"<html>sign in</html>"),
    "nothing": (200, "text/plain", b""),
    "nothing in JSON": (200, "application/json", b"{}"),
    "a redirect": (302, "text/html", b""),
    "a proxy's refusal": (403, "text/html", b"<html>blocked</html>"),
    "a refusal in plain text": (403, "text/plain", b"blocked"),
    "a bad gateway": (502, "text/html", b"<html>bad gateway</html>"),
    "a fault without words": (500, "", b""),
    "a network that wants a sign-in": (511, "text/html", b"<html>sign in</html>"),
    "a method that nobody knows": (501, "", b""),
}
CALLS: dict[str, Callable[[Clients], Any]] = {
    "sts": lambda c: c.account,
    "s3 object": lambda c: S3(c).read("s3://bucket/key"),
    "s3 head": lambda c: S3(c).list_folders("s3://bucket/").__next__(),
    "s3 listing": lambda c: list(S3(c).list_objects("s3://bucket/")),
    "s3 write": lambda c: S3(c).write("s3://bucket/key", b"x"),
    "labeling jobs": lambda c: list(GroundTruth(c).list_jobs()),
    "training job": lambda c: Training(c).describe_job("x"),
    "endpoints": lambda c: list(Hosting(c).list_all("endpoint", contains="x")),
}


@pytest.fixture(scope="module")
def false_aws() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (address, {"answer": (status, content type, body)}) of a server that is not AWS."""
    told: dict[str, Any] = {}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            status, kind, body = told["answer"]
            self.send_response(status)
            if kind:
                self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body if self.command != "HEAD" else b"")

        do_GET = do_POST = do_PUT = do_HEAD = answer

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", told
    server.shutdown()


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Clients]:
    """Return clients with keys for an address, without pauses between attempts."""
    for name, value in {
        "ACCESS_KEY_ID": "a",
        "SECRET_ACCESS_KEY": "b",
        "EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setattr("time.sleep", lambda seconds: None)

    def make(url: str) -> Clients:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        return Clients(region="us-east-1")

    return make


@pytest.mark.parametrize("answer", FALSE.values(), ids=FALSE)
def test_a_response_that_is_not_from_aws_is_an_error_that_names_the_address(
    false_aws: tuple[str, dict[str, Any]], at: Callable[[str], Clients], answer: tuple[int, str, bytes]
) -> None:
    url, told = false_aws
    told["answer"] = answer
    for call in CALLS.values():
        with pytest.raises(AWSError, match=url) as caught:
            call(at(url))
        assert (caught.value.code, is_transient(caught.value)) == ("NotAWS", False)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        (
            "sts",
            (
                200,
                "application/xml",
                b"<?xml version='1.0'?><ListBucketResult><Contents/></ListBucketResult>",
            ),
        ),
        ("labeling jobs", (200, "application/json", b'{"LabelingJobSummaryList": 5}')),
        ("labeling jobs", (200, "application/json", b'{"hello": "world"}')),
        ("endpoints", (200, "application/x-amz-json-1.1", b"[1]")),
    ],
)
def test_a_well_formed_response_of_another_service_is_an_error_without_retries(
    false_aws: tuple[str, dict[str, Any]],
    at: Callable[[str], Clients],
    call: str,
    answer: tuple[int, str, bytes],
) -> None:
    url, told = false_aws
    told["answer"] = answer
    with pytest.raises(AWSError, match=r"not (from AWS|a response of AWS)") as caught:
        CALLS[call](at(url))
    assert (caught.value.code, is_transient(caught.value)) == ("NotAWS", False)


def test_an_unreachable_port_is_given_up_after_a_few_attempts_and_named(at: Callable[[str], Clients]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    for call in CALLS.values():
        with pytest.raises(AWSError, match=url.removeprefix("http://")) as caught:
            call(at(url))
        assert (caught.value.code, is_transient(caught.value)) == ("ConnectionError", False)


def test_the_message_about_a_failed_connection_names_the_configured_proxy(
    false_aws: tuple[str, dict[str, Any]], at: Callable[[str], Clients], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, told = false_aws
    told["answer"] = FALSE["a proxy's refusal"]
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for proxy in (url, "http://127.0.0.1:9"):
        monkeypatch.setenv("HTTP_PROXY", proxy)
        monkeypatch.setenv("http_proxy", proxy)
        for call in CALLS.values():
            with pytest.raises(AWSError, match="NO_PROXY"):
                call(at("http://127.0.0.1:65000"))


@pytest.mark.parametrize(
    ("spared", "found"), [("", "http_proxy"), ("127.0.0.1", None), ("*", None), ("example.com", "http_proxy")]
)
def test_no_proxy_matches_hosts_as_in_other_clients(spared: str, found: str | None) -> None:
    environ = {"http_proxy": "http://p", "NO_PROXY": spared}
    assert proxy_variable("http://127.0.0.1:1/", environ) == found


# ---------------------------------------------------------------- what passes, and what nothing hangs on


def new_role() -> AWSError:
    return refusal("CreateTrainingJob", "ValidationException", ROLE)


def test_a_new_role_that_iam_does_not_know_yet_is_retried_for_a_minute() -> None:
    left, slept = [new_role(), new_role()], []

    def create() -> str:
        if left:
            raise left.pop()
        return "arn"

    assert persist(create, sleep=slept.append) == "arn"
    assert slept == [5.0, 5.0]


def test_a_role_that_stays_unknown_for_a_minute_is_exit_code_4() -> None:
    slept: list[float] = []

    def create() -> str:
        raise new_role()

    with pytest.raises(AWSError) as caught:
        persist(create, sleep=slept.append)
    assert (caught.value.exit_code, sum(slept)) == (4, 60.0)


@pytest.mark.parametrize("code", ["AccessDeniedException", "ThrottlingException"])
def test_missing_access_to_tags_is_no_error(code: str) -> None:
    def pages() -> Any:
        raise refusal("ListTags", code, "no")

    assert isinstance(read_tags(pages), HiddenTags)


class DeniedLogs:
    """Clients whose requests to CloudWatch Logs are denied."""

    def __init__(self, code: str) -> None:
        self.logs, self.code, self.asked = self, code, 0

    def describe_log_streams(self, **_: Any) -> Any:
        self.asked += 1
        raise aws.ClientError({"Error": {"Code": self.code, "Message": "no"}}, "DescribeLogStreams")


def test_a_log_without_access_is_empty_and_requested_once() -> None:
    clients = DeniedLogs("AccessDeniedException")
    tail = LogTail(clients, "job")  # type: ignore[arg-type]
    assert (tail.read(), tail.read(), clients.asked) == ([], [], 1)
    assert tail.refusal is not None
    assert tail.refusal.exit_code == 4
