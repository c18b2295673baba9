from __future__ import annotations

import inspect
from typing import Any

import pytest
from botocore import exceptions as aws

from gtseg.aws.clients import Clients
from gtseg.aws.failures import from_response, is_transient, translate
from gtseg.errors import AWSError, GtsegError, SettingsError


@pytest.fixture(autouse=True)
def no_aws_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Remove credentials, region and configuration."""
    for name in [
        "AWS_PROFILE",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_ENDPOINT_URL",
    ]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def error(code: str, message: str = "m") -> aws.ClientError:
    return aws.ClientError({"Error": {"Code": code, "Message": message}}, "Op")


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        ("ValidationException", 1),
        ("ResourceNotFound", 3),
        ("NoSuchBucket", 3),
        ("AccessDeniedException", 4),
        ("ExpiredToken", 4),
    ],
)
def test_an_error_has_the_code_and_message_of_aws_and_its_exit_code(code: str, exit_code: int) -> None:
    with pytest.raises(AWSError, match=f"Op failed: {code}: m") as caught, translate("Op"):
        raise error(code)
    assert caught.value.exit_code == exit_code


def test_the_error_code_of_a_head_request_is_its_status() -> None:
    assert from_response("HeadObject", {"Error": {}, "ResponseMetadata": {"HTTPStatusCode": 404}}).exit_code == 3


def test_every_botocore_error_is_translated() -> None:
    """Raise each class that botocore defines, with the fields of its message."""

    class Anything(dict):  # type: ignore[type-arg]
        def __missing__(self, key: str) -> str:
            return "x"

    kinds = [k for _, k in inspect.getmembers(aws, inspect.isclass) if issubclass(k, aws.BotoCoreError)]
    assert len(kinds) > 80
    for kind in kinds:
        made = kind.__new__(kind)
        Exception.__init__(made, "x")
        with pytest.raises(GtsegError), translate("Op"):
            raise made


def test_missing_credentials_are_exit_code_4_with_a_remedy() -> None:
    with pytest.raises(AWSError, match="gtseg local exec") as caught:
        _ = Clients(region="us-east-1").account
    assert caught.value.exit_code == 4


def test_a_missing_region_is_a_settings_error() -> None:
    with pytest.raises(SettingsError, match="region"):
        _ = Clients().region


def test_an_unknown_profile_is_a_settings_error_that_names_it() -> None:
    with pytest.raises(AWSError, match="nobody-has-this"):
        _ = Clients(region="us-east-1", profile="nobody-has-this").s3


def are_awss(clients: Clients) -> tuple[bool, bool, bool]:
    """Return whether labeling, the rest of SageMaker, and S3 are AWS's."""
    return clients.is_aws("labeling"), clients.is_aws("sagemaker"), clients.is_aws("s3")


def test_a_service_is_awss_or_not_by_its_own_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    assert are_awss(Clients(region="us-east-1")) == (True, True, True)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9000")  # a MinIO of one's own beside SageMaker
    assert are_awss(Clients(region="us-east-1")) == (True, True, False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://192.168.1.20:4566")  # a server of the team's network
    assert are_awss(Clients(region="us-east-1")) == (False, False, False)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", "https://vpce-1.api.sagemaker.us-east-1.vpce.amazonaws.com")
    assert are_awss(Clients(region="us-east-1")) == (True, True, False)


def test_the_users_retry_configuration_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Clients(region="us-east-1").s3.meta.config.retries["mode"] == "standard"
    monkeypatch.setenv("AWS_RETRY_MODE", "adaptive")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "9")
    retries = Clients(region="us-east-1").s3.meta.config.retries
    assert (retries["mode"], retries["total_max_attempts"]) == ("adaptive", 9)


@pytest.mark.parametrize(
    ("code", "passes"),
    [("ThrottlingException", True), ("SlowDown", True), ("503", True), ("ResourceInUse", False)],
)
def test_temporary_failures_are_recognized(code: str, passes: bool) -> None:
    assert is_transient(AWSError("x", code, "")) is passes
