"""The labeling profile: its endpoint, region and keys do not depend on the settings for AWS."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gtseg.aws.clients import Clients
from gtseg.aws.labeling_server import read_health
from gtseg.errors import AWSError, SettingsError

KEYS = "aws_access_key_id = LABELS\naws_secret_access_key = s\n"
ENDPOINT = "endpoint_url = http://labels.lan:4566\n"
REGION = "region = eu-central-1\n"
Write = Callable[..., Clients]


@pytest.fixture
def write(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Write:
    """Write the two AWS files; clients label through profile `labels` and use the environment for everything else."""
    for name, value in {
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ENDPOINT_URL_SAGEMAKER": "http://127.0.0.1:8",
        "AWS_DEFAULT_REGION": "us-west-2",
        "AWS_REGION": "us-west-2",
        "AWS_ACCESS_KEY_ID": "OTHER",
        "AWS_SECRET_ACCESS_KEY": "o",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)

    def write(config: str = "", credentials: str = "", **options: Any) -> Clients:
        (tmp_path / "config").write_text(config)
        (tmp_path / "credentials").write_text(credentials)
        return Clients(labeling_profile="labels", **options)

    return write


def seen(client: Any) -> tuple[str, str, str]:
    """Endpoint, region and access key of a client."""
    return client.meta.endpoint_url, client.meta.region_name, client._request_signer._credentials.access_key


LABELS = ("http://labels.lan:4566", "eu-central-1", "LABELS")


def test_environment_variables_for_aws_do_not_change_the_labeling_profile(write: Write) -> None:
    clients = write(f"[profile labels]\n{ENDPOINT}{REGION}", f"[labels]\n{KEYS}")
    assert seen(clients.labeling) == LABELS
    assert seen(clients.sagemaker) == ("http://127.0.0.1:8", "us-west-2", "OTHER")
    assert (clients.labeling_region, clients.region) == ("eu-central-1", "us-west-2")
    assert not clients.is_aws("labeling")


def test_another_profile_does_not_change_the_labeling_profile(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_SAGEMAKER",
        "AWS_DEFAULT_REGION",
        "AWS_REGION",
        "AWS_ACCESS_KEY_ID",
    ):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_PROFILE", "company")
    company = "[profile company]\nregion = ap-south-1\naws_access_key_id = COMPANY\naws_secret_access_key = c\n"
    clients = write(f"{company}[profile labels]\n{ENDPOINT}{REGION}{KEYS}")
    assert seen(clients.labeling) == LABELS
    assert seen(clients.sagemaker) == (
        "https://api.sagemaker.ap-south-1.amazonaws.com",
        "ap-south-1",
        "COMPANY",
    )
    assert (clients.is_aws("labeling"), clients.is_aws("sagemaker")) == (False, True)


def test_a_services_section_overrides_the_profiles_endpoint(write: Write) -> None:
    services = (
        "[services mine]\nsagemaker =\n  endpoint_url = http://labels.lan:4566\ns3 =\n  endpoint_url = http://s3.lan\n"
    )
    other = "endpoint_url = http://wrong.lan\n"
    clients = write(f"{services}[profile labels]\nservices = mine\n{other}{REGION}{KEYS}")
    assert seen(clients.labeling) == LABELS


def test_dual_stack_and_fips_settings_for_aws_do_not_apply_to_the_labeling_server(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "true")
    monkeypatch.setenv("AWS_USE_DUALSTACK_ENDPOINT", "true")
    assert seen(write(f"[profile labels]\n{ENDPOINT}{REGION}{KEYS}").labeling) == LABELS


def test_the_profiles_ca_bundle_applies_to_the_labeling_server_only(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", "/nowhere/company.pem")
    clients = write(f"[profile labels]\nca_bundle = /nowhere/labels.crt\n{ENDPOINT}{REGION}{KEYS}")
    assert clients.labeling._endpoint.http_session._verify == "/nowhere/labels.crt"
    assert clients.sagemaker._endpoint.http_session._verify == "/nowhere/company.pem"


@pytest.mark.parametrize(
    ("config", "missing"),
    [
        ("", "there is no such profile"),
        (f"[profile labels]\n{REGION}{KEYS}", "it has no endpoint_url"),
        (f"[profile labels]\n{ENDPOINT}{KEYS}", "it has no region"),
        (f"[profile labels]\n{ENDPOINT}{REGION}", "it has no aws_access_key_id"),
        (f"[profile labels]\nservices = gone\n{REGION}{KEYS}", r"no section \[services gone\]"),
        (
            f"[services mine]\ns3 =\n  endpoint_url = http://x\n[profile labels]\nservices = mine\n{REGION}{KEYS}",
            "no endpoint_url",
        ),
        (f"[profile labels]\nendpoint_url = labels.lan:4566\n{REGION}{KEYS}", "must be an http:// or https:// address"),
        (
            f"[profile labels]\nendpoint_url = http://labels.lan:port\n{REGION}{KEYS}",
            "must be an http:// or https:// address",
        ),
        (f"[profile labels]\nendpoint_url = http://[::1\n{REGION}{KEYS}", "must be an http:// or https:// address"),
        (f"[profile labels]\nendpoint_url = http://key:secret@h\n{REGION}{KEYS}", "address without user"),
        (f"[profile labels]\nendpoint_url = http://h:99999\n{REGION}{KEYS}", "must be an http:// or https:// address"),
        (f"[profile labels]\nendpoint_url =\n  a = b\n{REGION}{KEYS}", "must be an http:// or https:// address"),
        (f"[profile labels]\n{ENDPOINT}region = ../x\n{KEYS}", "region = '../x' is not a region name"),
        (f"[profile labels]\n{ENDPOINT}{REGION}aws_access_key_id = LABELS\n", "Partial credentials"),
    ],
)
def test_a_setting_missing_in_the_labeling_profile_is_an_error_not_taken_from_elsewhere(
    write: Write, tmp_path: Path, config: str, missing: str
) -> None:
    clients = write(config)
    with pytest.raises(SettingsError, match=rf"profile = 'labels' \({tmp_path}/config.*{missing}") as caught:
        _ = clients.labeling
    assert caught.value.exit_code == 2
    assert clients.sagemaker.meta.endpoint_url == "http://127.0.0.1:8"


def test_keys_of_the_machines_role_are_never_sent_to_the_labeling_server(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/asked")
    with pytest.raises(SettingsError, match="aws_access_key_id"):
        _ = write(f"[profile labels]\n{ENDPOINT}{REGION}").labeling


def test_the_error_for_an_unreachable_labeling_server_names_its_profile(write: Write) -> None:
    from gtseg.aws.groundtruth import GroundTruth
    from gtseg.errors import AWSError

    dead = "endpoint_url = http://127.0.0.1:1\n"
    clients = write(f"[profile labels]\n{dead}{REGION}{KEYS}")
    with pytest.raises(AWSError, match=r"endpoint_url of profile .labels. in .*config"):
        list(GroundTruth(clients, sleep=lambda seconds: None).list_jobs())


def test_without_a_labeling_profile_labeling_uses_the_sagemaker_client(write: Write) -> None:
    write()
    clients = Clients()
    assert clients.labeling is clients.sagemaker
    assert clients.labeling_region == "us-west-2"


def test_the_error_for_a_labeling_server_that_does_not_answer_names_its_profile(write: Write) -> None:
    clients = write(f"[profile labels]\nendpoint_url = http://127.0.0.1:9\n{REGION}{KEYS}")
    with pytest.raises(AWSError, match="endpoint_url of profile 'labels'"):
        read_health(clients)
