"""The first commands as processes against a real server: exit codes, stdout and stderr."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gtseg.cli.consent import ask
from gtseg.cli.options import LabelSpendingOptions, Session
from gtseg.errors import SettingsError


class Folder:
    """A project of one small image, and gtseg as a process in it."""

    def __init__(self, path: Path, server: Any) -> None:
        self.path, self.server = path, server
        self.name = f"run-{uuid.uuid4().hex[:8]}"
        (path / "images").mkdir()
        Image.new("RGB", (32, 24), 1).save(path / "images" / "a.jpg")
        (path / "gtseg.toml").write_text(
            f'[project]\nname = "{self.name}"\n[images]\nsource = "images"\n[labeling]\nlabels = ["cat"]\n'
        )

    def gtseg(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        settings = {"capture_output": True, "stdin": subprocess.DEVNULL} | options
        environ = self.server.environment | {"OMP_NUM_THREADS": "1"}
        return subprocess.run(
            [sys.executable, "-m", "gtseg", *arguments],
            cwd=self.path,
            env=environ,
            text=True,
            timeout=120,
            **settings,
        )


@pytest.fixture
def folder(tmp_path: Path, shared_aws: Any) -> Folder:
    return Folder(tmp_path, shared_aws)


def test_status_of_a_new_run_names_label_as_the_next_stage(folder: Folder) -> None:
    done = folder.gtseg("status", "--json")
    facts = json.loads(done.stdout)
    assert (done.returncode, facts["exists"], facts["next"]) == (0, False, "label")
    assert not any(stage["done"] for stage in facts["stages"].values())


def test_label_prints_its_job_and_jobs_and_status_list_it(folder: Folder) -> None:
    job = json.loads(folder.gtseg("label", "--json").stdout)
    assert job["name"] == f"{folder.name}-label-1"
    listed = json.loads(folder.gtseg("jobs", "--json").stdout)
    assert [(j["name"], j["unlabeled"]) for j in listed] == [(job["name"], 1)]
    table = folder.gtseg("jobs").stdout.splitlines()
    assert table[0].split()[:2] == ["NAME", "STATUS"]
    assert table[1].split()[0] == job["name"]
    facts = json.loads(folder.gtseg("status", "--json").stdout)
    assert (facts["next"], facts["run"]["labeling_job"]["arn"]) == ("watch", job["arn"])
    assert f"done  label     {job['name']}" in folder.gtseg("status").stdout


def test_images_that_cannot_be_labeled_are_exit_code_5_and_the_others_are_labeled(folder: Folder) -> None:
    (folder.path / "images" / "broken.jpg").write_bytes(b"nothing")
    done = folder.gtseg("label")
    assert done.returncode == 5
    assert "broken.jpg is not an image" in done.stderr
    assert done.stdout == ""


def test_a_second_run_of_a_project_has_its_own_prefix(folder: Folder) -> None:
    folder.gtseg("label")
    job = json.loads(folder.gtseg("label", "--run", f"{folder.name}-b", "--json").stdout)
    assert job["name"] == f"{folder.name}-b-label-1"


def test_a_stopped_job_ends_watch_with_exit_code_1_and_run_starts_another_attempt(folder: Folder) -> None:
    name = json.loads(folder.gtseg("label", "--json").stdout)["name"]
    folder.server.client("sagemaker").stop_labeling_job(LabelingJobName=name)
    done = folder.gtseg("watch", "--json")
    assert done.returncode == 1
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert events[-1]["status"] == "Stopped"
    assert f"gtseg: {name} was stopped" in done.stderr
    assert json.loads(folder.gtseg("status", "--json").stdout)["next"] == "label"
    assert folder.gtseg("run", "--until", "label").returncode == 0
    assert json.loads(folder.gtseg("jobs", "--json").stdout)[0]["name"] == f"{folder.name}-label-2"


def test_a_missing_run_is_an_error_that_lists_the_existing_ones(folder: Folder) -> None:
    done = folder.gtseg("status", "--run", "typo", "--json")
    assert (done.returncode, done.stdout) == (3, "")
    assert "There is no run 'typo'" in done.stderr
    folder.gtseg("label", "--run", f"{folder.name}-b")
    done = folder.gtseg("status", "--run", f"{folder.name}-c")
    assert done.returncode == 3
    assert f"Did you mean {folder.name}-b?" in done.stderr
    assert f"{folder.name}-b" in done.stderr.partition("There are: ")[2]


def test_status_of_all_runs_has_one_line_per_run(folder: Folder) -> None:
    apart = ("--set", f"project.prefix={folder.name}/")
    assert "There is no run below s3://" in folder.gtseg("status", "--all", *apart).stderr
    folder.gtseg("label", *apart)
    folder.gtseg("label", "--run", "second", *apart)
    lines = folder.gtseg("status", "--all", *apart).stdout.splitlines()
    assert [line.split() for line in lines] == [
        [folder.name, "next:", "watch"],
        ["second", "next:", "watch"],
    ]
    listed = json.loads(folder.gtseg("status", "--all", "--json", *apart).stdout)
    assert [run["name"] for run in listed] == [folder.name, "second"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["watch"], 3, "Start one: `gtseg label`"),
        (["run", "--until", "lable"], 2, "unknown stage; must be one of label, watch, dataset"),
        (["status", "--run", "a b"], 2, "--run a b"),
        (["dataset", "--job", "x", "--manifest", "s3://pets/x"], 2, "exclude each other"),
        (["label", "--set", "labeling"], 2, "TABLE.KEY=VALUE"),
        (["label", "--settings", "none.toml"], 2, "gtseg init"),
        (["label", "--set", "project.region=eu-north-1"], 2, "Ground Truth is not available in region 'eu-north-1'"),
        (["label", "--set", "project.bucket=not-made-yet", "--dry-run"], 0, "would create labeling job"),
        (["label", "--set", "images.source=s3://no-such-bucket-anywhere/x/"], 3, "NoSuchBucket"),
    ],
)
def test_each_error_is_one_message_with_its_exit_code(
    folder: Folder, arguments: list[str], code: int, words: str
) -> None:
    done = folder.gtseg(*arguments)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_dry_run_writes_json_to_stdout_and_messages_to_stderr(folder: Folder) -> None:
    done = folder.gtseg("run", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["request"]["HumanTaskConfig"]["NumberOfHumanWorkersPerDataObject"] == 1
    assert "nothing was changed" in done.stderr
    assert json.loads(folder.gtseg("status", "--json").stdout)["exists"] is False


def test_jobs_of_the_whole_account_need_no_settings(folder: Folder) -> None:
    name = json.loads(folder.gtseg("label", "--json").stdout)["name"]
    (folder.path / "gtseg.toml").unlink()
    assert name in [job["name"] for job in json.loads(folder.gtseg("jobs", "--all", "--json").stdout)]


def test_watch_draws_a_bar_on_a_terminal_and_ctrl_c_ends_it_with_130(folder: Folder) -> None:
    folder.gtseg("label")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "gtseg", "watch"],
        cwd=folder.path,
        env=folder.server.environment | {"TERM": "xterm", "COLUMNS": "120"},
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    seen = b""
    while b"1 remaining" not in seen or b"0/1" not in seen:
        seen += os.read(ours, 4096)
    process.send_signal(2)
    assert process.wait(30) == 130
    try:
        while chunk := os.read(ours, 4096):
            seen += chunk
    except OSError:  # the terminal is closed on the other side
        pass
    assert b"return to it with `gtseg watch`" in b" ".join(seen.split())


class Aws:
    """Clients that count as AWS's for prices."""

    def is_aws(self, service: str) -> bool:
        return True


def consent(**options: Any) -> Any:
    session = Session(None, Aws(), None, None)  # type: ignore[arg-type]
    return ask(session, LabelSpendingOptions(**options))


def test_without_a_terminal_spending_requires_the_option_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    with open(os.devnull) as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        with pytest.raises(SettingsError, match=r"1\.84 USD\? .*--yes"):
            consent(yes=False).spend("Start for 1.84 USD?")
        assert consent(yes=True).spend("Start for 1.84 USD?")


@pytest.mark.parametrize(
    ("typed", "agreed"), [("y\n", True), ("YES\n", True), ("\n", False), ("n\n", False), ("", False)]
)
def test_on_a_terminal_spending_requires_a_typed_yes(typed: str, agreed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    terminal = io.StringIO(typed)
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stdin", terminal)
    assert consent(yes=False).spend("Start?") is agreed


def test_yes_accepts_the_price_but_does_not_create_an_unnamed_bucket() -> None:
    assert not consent(yes=True).create_bucket
    assert consent(yes=False, create_bucket=True).create_bucket


def test_a_missing_extra_is_named_with_its_install_command(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['moto'] = None; sys.modules['starlette'] = None\nfrom gtseg.cli import main\n"
        "main(['local', 'up'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "pip install 'gtseg[local]'" in done.stderr
    assert "Traceback" not in done.stderr
