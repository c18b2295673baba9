"""The command line: lazy imports, one message per error, names of the commands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {
    "anyio", "boto3", "botocore", "cv2", "flask", "httptools", "jinja2", "liquid", "moto", "msgspec", "numpy", "PIL",
    "pydantic",
    "pydantic_core", "rasterio", "requests", "rich", "sagemaker", "shapely", "sqlite3", "starlette", "tenacity",
    "torch",
    "urllib3", "uvicorn",
}  # fmt: skip
FIXED = {"init", "label", "watch", "dataset", "status", "jobs", "run", "local"}


def gtseg(*arguments: str, cwd: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "GTSEG_"))}
    kept |= {
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    command = [sys.executable, "-m", "gtseg", *arguments]
    return subprocess.run(
        command,
        cwd=cwd,
        env=kept | environ,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
    )


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["label", "--help"], ["run", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom gtseg.cli import main\n"
        f"try: main({arguments!r})\nexcept SystemExit: pass\n"
        "print('\\n'.join(sorted({m.partition('.')[0] for m in sys.modules})))"
    )
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run([sys.executable, "-c", code], env=plain, capture_output=True, text=True, check=True)
    typers_own = set() if arguments[0].startswith("-") else {"pydantic", "pydantic_core"}
    assert set(done.stdout.split()) & (HEAVY - typers_own) == set()


def test_every_documented_command_is_listed_and_has_its_own_help() -> None:
    from gtseg.cli import COMMANDS

    text = gtseg("--help").stdout
    assert set(COMMANDS) >= FIXED
    for name in COMMANDS:
        assert f"  {name} " in text


@pytest.mark.parametrize("name", sorted(FIXED - {"local"}))
def test_every_help_starts_with_its_summary_and_lists_the_shared_options(name: str) -> None:
    done = gtseg(name, "--help")
    assert done.returncode == 0, done.stderr
    assert "--json" in done.stdout
    shared = {
        "init": set(),
        "label": {"--yes", "--dry-run"},
        "run": {"--yes", "--dry-run"},
        "dataset": {"--yes", "--dry-run"},
    }
    wanted = shared.get(name, set()) | (set() if name == "init" else {"--settings", "--run"})
    assert {option for option in wanted if option not in done.stdout} == set()


def test_a_mistyped_command_is_a_usage_error_with_a_suggestion() -> None:
    done = gtseg("lable")
    assert done.returncode == 2
    assert "Did you mean 'label'?" in done.stderr


@pytest.mark.parametrize("name", ["label", "watch", "dataset", "status", "jobs", "run"])
def test_without_gtseg_toml_every_command_names_gtseg_init(name: str, tmp_path: Path) -> None:
    done = gtseg(name, cwd=tmp_path)
    assert done.returncode == 2
    assert "gtseg init" in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_credentials_are_one_message_with_exit_code_4(tmp_path: Path) -> None:
    gtseg("init", cwd=tmp_path)
    done = gtseg("status", cwd=tmp_path, AWS_REGION="us-east-1")
    assert done.returncode == 4
    assert "gtseg local exec" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_an_unreachable_endpoint_is_named(tmp_path: Path) -> None:
    gtseg("init", cwd=tmp_path)
    keys = {
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "y",
        "AWS_MAX_ATTEMPTS": "1",
    }
    done = gtseg("status", cwd=tmp_path, AWS_ENDPOINT_URL="http://127.0.0.1:9", **keys)
    assert done.returncode == 1
    assert "AWS_ENDPOINT_URL" in done.stderr


def test_an_invalid_option_value_is_one_message(tmp_path: Path) -> None:
    gtseg("init", cwd=tmp_path)
    done = gtseg("status", "--set", "labeling.workers_per_object=12", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--set labeling.workers_per_object" in done.stderr


@pytest.mark.parametrize("arguments", [["label", "--next", "0"], ["verify", "--machine", "0"]])
def test_a_number_of_zero_is_refused_and_not_treated_as_an_absent_option(arguments: list[str], tmp_path: Path) -> None:
    done = gtseg(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert f"Invalid value for '{arguments[1]}'" in done.stderr
