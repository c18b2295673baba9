"""gtseg local profile: sections of an AWS profile, as read by AWS clients."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtseg.local.errors import ServiceError
from gtseg.local.profiles import Profile, _replaced, check_name, write

OURS = Profile("labels", "http://127.0.0.1:4566", "eu-west-1", "OURS", "s")
CONFIG = (
    "# mine\n[default]\nregion = us-east-1\n\n[profile labels]\nregion = old\n# of the next\n[profile z]\nregion = z\n"
)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {
        "AWS_CONFIG_FILE": str(tmp_path / "aws" / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "aws" / "credentials"),
    }


def test_clients_with_the_profile_use_this_server_only(
    shared_aws: Any, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [
        sys.executable,
        "-m",
        "gtseg.local.cli",
        "profile",
        "labels",
        "--data",
        str(shared_aws.folder),
    ]
    for words, said in (
        ([], "[profile labels]"),
        (["--write"], "written"),
        (["--write"], "is up to date"),
    ):
        done = subprocess.run([*command, *words], capture_output=True, text=True, env=os.environ | environ)
        assert (done.returncode, said in done.stdout) == (0, True), done.stderr
        assert Path(environ["AWS_CONFIG_FILE"]).exists() is bool(words)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    client = boto3.Session(profile_name="labels").client("sagemaker")
    assert client.meta.endpoint_url == shared_aws.url
    assert client.meta.region_name == shared_aws.region
    assert client.list_workteams()["Workteams"]


def test_a_new_file_is_private_and_links_are_kept(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "aws").mkdir()
    (tmp_path / "elsewhere").write_text("[other]\naws_access_key_id = x\n")
    (tmp_path / "elsewhere").chmod(0o640)
    (tmp_path / "aws" / "credentials").symlink_to(tmp_path / "elsewhere")
    write(OURS, environ)
    assert stat.S_IMODE((tmp_path / "aws" / "config").stat().st_mode) == 0o600
    assert (tmp_path / "aws" / "credentials").is_symlink()
    assert stat.S_IMODE((tmp_path / "elsewhere").stat().st_mode) == 0o640
    assert (tmp_path / "elsewhere").read_text().startswith("[other]\naws_access_key_id = x\n\n[labels]\n")


def test_gtsegs_own_profile_is_replaced_and_the_rest_is_kept(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "aws").mkdir()
    (tmp_path / "aws" / "config").write_text(CONFIG)
    (tmp_path / "aws" / "credentials").write_text("[labels]\naws_access_key_id = OURS\naws_secret_access_key = old\n")
    assert len(write(OURS, environ)) == 2
    assert (tmp_path / "aws" / "config").read_text() == CONFIG.replace(
        "region = old\n", "region = eu-west-1\nendpoint_url = http://127.0.0.1:4566\n"
    )
    assert write(OURS, environ) == []


def test_another_programs_profile_of_that_name_is_not_changed(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "aws").mkdir()
    (tmp_path / "aws" / "config").write_text(CONFIG)
    with pytest.raises(ServiceError, match=r"aws/config has a profile labels with other keys"):
        write(OURS, environ)
    assert (tmp_path / "aws" / "config").read_text() == CONFIG
    assert not (tmp_path / "aws" / "credentials").exists()


@pytest.mark.parametrize("name", ["default", "", "two words", "a]b", "x" * 65, "a\nb"])
def test_an_invalid_profile_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="profile"):
        check_name(name)


@given(
    st.lists(
        st.sampled_from(["[profile labels]", "[profile b]", "[labels]", "region = x", "# c", "", "  s3 =", "   a = b"])
    )
)
def test_replacing_a_profile_is_idempotent_and_botocore_reads_it(lines: list[str]) -> None:
    text = "\n".join(lines)
    once = _replaced(text, "profile labels", OURS.config)
    assert _replaced(once, "profile labels", OURS.config) == once
    others = [line for line in once.splitlines() if line.startswith("[") and line != "[profile labels]"]
    assert others == [line for line in lines if line.startswith("[") and line != "[profile labels]"]


def test_botocore_reads_written_profiles(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    write(OURS, environ)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    profile = botocore.session.Session(profile="labels").get_scoped_config()
    assert profile == {
        "region": "eu-west-1",
        "endpoint_url": "http://127.0.0.1:4566",
        "aws_access_key_id": "OURS",
        "aws_secret_access_key": "s",
    }
