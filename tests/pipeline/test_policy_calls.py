"""The IAM policies of `gtseg init --policies` against every call of every command, recorded by a proxy."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fault_proxy import FaultProxy
from iam_calls import Need, actions_of, is_allowed, needs_of
from local_aws import LocalAWS
from PIL import Image
from polling import wait_for

from gtseg.cli import main

PROJECT, PHOTOS, TEAM = "Policy", "policy-photos", "gtseg"
SETTINGS = """
[project]
name = "Policy"
bucket = "policy-runs"
create_bucket = true
[images]
source = "s3://policy-photos/set/"
[labeling]
labels = ["box"]
[train]
max_runtime = "1h"
[train.hyperparameters]
epochs = 1
mini_batch_size = 2
crop_size = 48
base_size = 48
[tune]
max_jobs = 1
learning_rate = [0.001, 0.01]
[deploy]
time_to_live = "1h"
[serve]
port = 0
"""


@dataclass
class Recorded:
    """Policy of `gtseg init --policies`, and each needed permission with the first command that needs it."""

    policy: dict[str, Any]
    needs: dict[Need, str]


def draw(folder: Path) -> None:
    """Draw ten images, and the masks of the simulated workers."""
    (folder / "masks").mkdir()
    for number in range(10):
        photo, mask = Image.new("RGB", (48, 36), (40, 90, 20 * number)), Image.new("L", (48, 36), 0)
        for image, color in ((photo, (230, 140, 30)), (mask, 1)):
            image.paste(color, (4 + number, 6, 24 + number, 30))
        photo.save(folder / f"p{number}.jpg", quality=95)
        mask.save(folder / "masks" / f"p{number}.png")


def prepare(folder: Path, server: LocalAWS) -> None:
    """Upload the images to another bucket, and create the role that `gtseg doctor` checks."""
    iam, s3 = server.client("iam"), server.client("s3")
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "sagemaker.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    iam.create_role(RoleName="gtseg", AssumeRolePolicyDocument=document)
    s3.create_bucket(Bucket=PHOTOS)
    for photo in folder.glob("*.jpg"):
        s3.upload_file(str(photo), PHOTOS, f"set/{photo.name}")


class Shell:
    """Runs commands in this process; `seen` has their requests."""

    def __init__(self, proxy: FaultProxy, *, region: str, account: str) -> None:
        self.proxy, self.place, self.needs = proxy, {"region": region, "account": account}, {}
        self.read = 0

    def gtseg(self, *words: str, codes: tuple[int, ...] = (0,)) -> int:
        code: Any = 0
        try:
            main(words)
        except SystemExit as end:
            code = end.code or 0
        assert code in codes, f"gtseg {' '.join(words)}: exit code {code}"
        self.note(" ".join(words))
        return int(code)

    def note(self, who: str) -> None:
        requests, self.read = self.proxy.seen[self.read :], len(self.proxy.seen)
        for request in requests:
            for need in needs_of(request, **self.place):
                self.needs.setdefault(need, who)

    def begin(self, *words: str, job: str) -> subprocess.Popen[bytes]:
        """Start a command in another process and return when it follows the job that it created.

        From the first Describe until the job ends, it does not write run.json.
        """
        start = len(self.proxy.seen)
        process = subprocess.Popen([sys.executable, "-m", "gtseg", *words], stderr=subprocess.PIPE)

        def follows() -> bool:
            assert process.poll() is None, process.communicate()[1].decode()
            names = [request.name for request in self.proxy.seen[start:]]
            return f"Create{job}" in names and f"Describe{job}" in names[names.index(f"Create{job}") :]

        wait_for(follows, seconds=200)
        return process


def stop_transform(shell: Shell, server: LocalAWS, *run: str) -> None:
    """Stop a transform job while its instance starts."""
    listed = server.client("s3").list_objects_v2(Bucket="policy-runs")["Contents"]
    model = next(item["Key"] for item in listed if item["Key"].endswith("model.tar.gz"))
    words = ("predict", "--batch", "p3.jpg", "-o", "stopped", "--yes", "--model", f"s3://policy-runs/{model}")
    process = shell.begin(*words, *run, job="TransformJob")
    try:
        shell.gtseg("cleanup", "--all", *run)
        process.wait(120)
    finally:
        process.kill()


def run_all_commands(shell: Shell, server: LocalAWS) -> None:
    """Run every command that sends requests to AWS."""
    shell.gtseg("doctor", codes=(0, 1))
    shell.gtseg("cost")
    shell.gtseg("label", "--yes")
    shell.gtseg("watch")
    shell.gtseg("doctor", codes=(0, 1))
    shell.gtseg("jobs")
    shell.gtseg("agreement")
    shell.gtseg("dataset")
    shell.gtseg("export", "coco", "exported")
    shell.gtseg("train", "--yes")
    shell.gtseg("deploy", "--yes")
    shell.gtseg("predict", "p0.jpg", "s3://policy-photos/set/p1.jpg", "-o", "predicted")
    shell.gtseg("evaluate")
    shell.gtseg("predict", "--batch", "p2.jpg", "-o", "in-batch", "--yes")
    shell.gtseg("report")
    shell.gtseg("status")
    shell.gtseg("cost")
    shell.gtseg("serve", "--once")
    shell.gtseg("label", "--run", f"{PROJECT}-pre", "--prelabel", f"{PROJECT}-endpoint-1", "--yes")
    shell.gtseg("verify", "--yes")
    shell.gtseg("diff", PROJECT, f"{PROJECT}-pre")
    imported = ("--run", f"{PROJECT}-imported")
    shell.gtseg("import", "masks", "s3://policy-photos/set/", "masks", *imported, "--yes")
    shell.gtseg("dataset", *imported)
    stop_transform(shell, server, *imported)
    server.stop()  # with no crowd and slow training from here on: the jobs that are to be stopped are still there then
    server.options = {"train_seconds": 200}
    server.start(port=server.port)
    shell.gtseg("train", *imported, "--no-follow", "--yes", "--set", "train.hyperparameters.epochs=50")
    shell.gtseg("cleanup", "--all", *imported)
    tuning = shell.begin("tune", "--yes", job="HyperParameterTuningJob")
    try:
        shell.gtseg("cleanup", "--all")
        tuning.wait(240)
    finally:
        tuning.kill()
    shell.gtseg("adjust", "--yes")
    shell.gtseg("cleanup", "--all", "--data", "--yes")
    shell.gtseg("cleanup", "--orphans")
    shell.gtseg("cleanup", "--expired")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    folder = tmp_path_factory.mktemp("policy")
    draw(folder)
    (folder / "gtseg.toml").write_text(SETTINGS)
    options = {"train_seconds": 2, "crowd_masks": str(folder / "masks"), "crowd_error": 0}
    server = LocalAWS(folder / "aws", options=options)
    prepare(folder, server)
    try:
        with pytest.MonkeyPatch.context() as patch, FaultProxy(server.url) as proxy:
            # at a name of AWS's gtseg asks for prices, quotas, roles
            for name, value in server.billed_environment(via=proxy.url).items():
                patch.setenv(name, value)
            patch.delenv("AWS_PROFILE", raising=False)
            patch.chdir(folder)
            shell = Shell(proxy, region=server.region, account="123456789012")
            shell.gtseg("init", "--policies")
            policy = json.loads((folder / "policies" / "caller.json").read_bytes())
            run_all_commands(shell, server)
            yield Recorded(policy, shell.needs)
    finally:
        server.stop()


def test_every_call_that_gtseg_makes_is_allowed(recorded: Recorded) -> None:
    denied = {need: who for need, who in recorded.needs.items() if not is_allowed(recorded.policy, need)}
    assert not denied


def test_the_policy_allows_no_action_that_no_command_calls(recorded: Recorded) -> None:
    """Every action is called by a command above."""
    assert actions_of(recorded.policy) == {need.action for need in recorded.needs}


def test_no_statement_covers_resources_that_no_command_uses(recorded: Recorded) -> None:
    """Every resource of every statement is used by a call of one of its actions."""
    unused = [
        (statement["Action"], resource)
        for statement in recorded.policy["Statement"]
        for resource in statement["Resource"]
        if not any(is_allowed({"Statement": [statement | {"Resource": [resource]}]}, need) for need in recorded.needs)
    ]
    assert not unused


@pytest.mark.parametrize(
    ("need", "allowed"),
    [
        (Need("s3:GetObject", "arn:aws:s3:::b/k"), True),
        (Need("s3:getobject", "arn:aws:s3:::b/k/deep"), True),
        (Need("s3:PutObject", "arn:aws:s3:::b/k"), False),
        (Need("s3:GetObject", "arn:aws:s3:::bb/k"), False),
        (Need("s3:GetObject", "arn:aws:s3:::b/secret/k"), False),
        (Need("iam:PassRole", "r", (("iam:PassedToService", "sagemaker.amazonaws.com"),)), True),
        (Need("iam:PassRole", "r", (("iam:PassedToService", "ec2.amazonaws.com"),)), False),
        (Need("iam:PassRole", "r"), False),
    ],
)
def test_the_matcher_evaluates_a_policy_as_iam_does(need: Need, allowed: bool) -> None:
    condition = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    statements = [
        {"Effect": "Allow", "Action": ["s3:Get*"], "Resource": ["arn:aws:s3:::b/*"]},
        {"Effect": "Deny", "Action": ["s3:*"], "Resource": ["arn:aws:s3:::b/secret/?"]},
        {"Effect": "Allow", "Action": ["iam:PassRole"], "Resource": ["r"], "Condition": condition},
    ]
    assert is_allowed({"Statement": statements}, need) is allowed
