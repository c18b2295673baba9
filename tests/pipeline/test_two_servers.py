"""Labeling on one server and everything else on another gives the same results as one server, byte for byte.

Server A stands in for AWS. Server B labels and uses A's buckets (--s3) through a recording proxy. Server C does
everything, for comparison.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import boto3
import pytest
from botocore.exceptions import ClientError
from fault_proxy import FaultProxy
from iam_calls import is_allowed, needs_of
from local_aws import LocalAWS
from moto.server import ThreadedMotoServer
from PIL import Image

from gtseg.cli import main
from gtseg.core.images.scenes import draw_scene

pytestmark = pytest.mark.timeout(900)  # the first test waits for every stage on both sides, beside whatever else runs
BUCKET, RUN = "two-sides", "both"
SETTINGS = f"""
[project]
name = "{RUN}"
bucket = "{BUCKET}"
create_bucket = true
[images]
source = "images"
[labeling]
labels = ["turtle", "boat"]
workers_per_object = 2
[train.hyperparameters]
epochs = 1
mini_batch_size = 2
crop_size = 48
base_size = 64
"""
PREDICTED = "images/03.png"
RESULTS = ("channels/", "objects.jsonl")
"""Objects of a run that hold no time and no id."""


class Printing(Protocol):
    """Records the output of commands by their arguments."""

    printed: dict[str, str]


@dataclass
class Sides:
    """Servers, project folder, B's requests to S3, and the output of the commands."""

    folder: Path
    here: LocalAWS
    labels: LocalAWS
    alone: LocalAWS
    proxy: FaultProxy
    printed: dict[str, str]

    def results(self, server: LocalAWS) -> dict[str, bytes]:
        """Return the run's results by key, the model as the contents of its archive."""
        s3 = server.client("s3")
        found: dict[str, bytes] = {}
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{RUN}/"):
            for item in page.get("Contents", []):
                key = item["Key"].removeprefix(f"{RUN}/")
                if key.startswith(RESULTS) or key.endswith("model.tar.gz"):
                    found[key] = s3.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read()
        model = next(key for key in found if key.endswith("model.tar.gz"))
        with tarfile.open(fileobj=io.BytesIO(found.pop(model))) as archive:
            found |= {f"model/{m.name}": archive.extractfile(m).read() for m in archive if m.isfile()}  # type: ignore[union-attr]
        return found

    def run(self, server: LocalAWS) -> dict[str, Any]:
        body = server.client("s3").get_object(Bucket=BUCKET, Key=f"{RUN}/run.json")["Body"].read()
        return dict(json.loads(body))


def draw(folder: Path) -> Path:
    """Draw eight scenes of the demo at a quarter of their size, and the masks of the simulated workers."""
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    for number in range(8):
        scene = draw_scene(number)
        size = (scene.mask.shape[1] // 4, scene.mask.shape[0] // 4)
        Image.fromarray(scene.pixels).resize(size).save(folder / "images" / f"{number:02}.png")
        mask = Image.fromarray(scene.mask).resize(size, Image.Resampling.NEAREST)
        mask.save(folder / "masks" / f"{number:02}.png")
    (folder / "gtseg.toml").write_text(SETTINGS)
    return folder


def write_profiles(folder: Path, here: LocalAWS, labels: LocalAWS, store: str) -> None:
    """Write profiles: `company` for A under an AWS host name, `store` for A's S3 without the proxy, `labels` for B."""
    keys = f"region = {here.region}\naws_access_key_id = {here.access_key}\naws_secret_access_key = {here.secret_key}\n"
    (folder / "config").write_text(
        f"[profile company]\n{keys}endpoint_url = http://api.gtseg.amazonaws.com\nservices = company\n"
        f"[services company]\ns3 =\n  endpoint_url = {here.url}\n[profile store]\n{keys}endpoint_url = {store}\n"
    )
    command = [sys.executable, "-m", "gtseg.local.cli", "profile", "labels", "--write", "--data"]
    subprocess.run([*command, str(labels.folder)], check=True, capture_output=True)


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sides]:
    folder = draw(tmp_path_factory.mktemp("sides") / "project")
    crowd = {"crowd_masks": str(folder / "masks"), "crowd_error": 0, "crowd_workers": 2}
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("AWS_CONFIG_FILE", str(folder.parent / "config"))
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder.parent / "credentials"))
        for name in [name for name in os.environ if name.startswith(("AWS_", "GTSEG_")) and not name.endswith("_FILE")]:
            patch.delenv(name)
        here = LocalAWS(folder.parent / "here", region="eu-west-1")
        stack.callback(here.stop)
        proxy = stack.enter_context(FaultProxy(here.url))
        (folder.parent / "config").write_text(
            f"[profile store]\nregion = eu-west-1\naws_access_key_id = {here.access_key}\n"
            f"aws_secret_access_key = {here.secret_key}\n"
        )
        labels = LocalAWS(
            folder.parent / "labels",
            options=crowd | {"s3": proxy.url, "s3_profile": "store", "only": "labeling"},
        )
        stack.callback(labels.stop)
        alone = LocalAWS(folder.parent / "alone", region="eu-west-1", options=crowd)
        stack.callback(alone.stop)
        write_profiles(folder.parent, here, labels, proxy.url)
        patch.chdir(folder)
        made = Sides(folder, here, labels, alone, proxy, {})
        run_all_stages(made, patch)
        yield made


def gtseg(made: Printing, *words: str, codes: tuple[int, ...] = (0,)) -> None:
    """Run a command in this process and record its output."""
    code: Any = 0
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            main(words)
        except SystemExit as end:
            code = end.code or 0
    made.printed[" ".join(words)] = said.getvalue()
    assert code in codes, f"gtseg {' '.join(words)}: exit code {code}\n{said.getvalue()}"


def run_all_stages(made: Sides, patch: pytest.MonkeyPatch) -> None:
    """Run all stages on one server, then on both; the environment, after dataset a profile, configures AWS."""
    stages = (
        ("label",),
        ("watch",),
        ("dataset",),
        ("train",),
        ("deploy",),
        ("evaluate",),
        ("predict", PREDICTED, "-o", "alone"),
    )
    for name, value in made.alone.environment.items():
        if name.startswith("AWS_") and not name.endswith("_FILE"):
            patch.setenv(name, value)
    for words in stages:
        gtseg(made, *words)
    for name, value in made.here.environment.items():
        if name.startswith("AWS_") and not name.endswith("_FILE"):
            patch.setenv(name, value)
    patch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", made.here.url)
    patch.setenv("GTSEG_LABELING__PROFILE", "labels")
    gtseg(made, "doctor")
    gtseg(made, "init", "--policies")
    gtseg(made, "label")
    watching = subprocess.Popen([sys.executable, "-m", "gtseg", "watch"], stdout=subprocess.DEVNULL)
    gtseg(made, "watch", codes=(0, 1))  # two clients; either may say that the other one was faster
    assert watching.wait(300) in (0, 1)
    for words in (("watch",), ("jobs",), ("agreement",), ("dataset",)):
        gtseg(made, *words)
    for name in [name for name in os.environ if name.startswith("AWS_") and not name.endswith("_FILE")]:
        patch.delenv(name)
    patch.setenv("AWS_PROFILE", "company")
    for name in ("HTTP_PROXY", "http_proxy"):
        patch.setenv(name, made.here.url)  # the way to api.gtseg.amazonaws.com
    for name in ("NO_PROXY", "no_proxy"):
        patch.setenv(name, "127.0.0.1")
    with open(os.devnull) as nothing:
        patch.setattr(sys, "stdin", nothing)
        gtseg(made, "train", codes=(2,))
    for words in (
        ("train", "--yes"),
        ("deploy", "--yes"),
        ("evaluate",),
        ("predict", PREDICTED, "-o", "both"),
        ("report",),
    ):
        gtseg(made, *words)
    gtseg(made, "status", "--refresh")
    gtseg(made, "cost")
    for words in (("verify", "--wait"), ("verify",), ("label", "--continue"), ("serve", "--once")):
        gtseg(made, *words)
    made.labels.stop()  # with no crowd from here on: what is to be stopped is still there then
    (
        made.labels.options.pop("crowd_masks"),
        made.labels.options.pop("crowd_error"),
        made.labels.options.pop("crowd_workers"),
    )
    made.labels.start(port=made.labels.port)
    gtseg(made, "label", "--prelabel", f"{RUN}-endpoint-1", "--run", f"{RUN}-pre")
    gtseg(made, "adjust")
    gtseg(made, "cleanup", "--all")


def without_times(lines: bytes) -> bytes:
    """Remove the times from the names of Ground Truth's masks."""
    return re.sub(rb"_\d{4}-\d\d-\d\dT[\d:.]+\.png", b".png", lines)


def test_results_on_two_servers_equal_those_on_one_byte_for_byte(sides: Sides) -> None:
    alone, both = sides.results(sides.alone), sides.results(sides.here)
    assert alone.keys() == both.keys()
    assert [key for key in alone if without_times(alone[key]) != without_times(both[key])] == []
    assert (sides.folder / "alone" / "03.png").read_bytes() == (sides.folder / "both" / "03.png").read_bytes()
    one, two = (sides.run(server)["evaluation"] for server in (sides.alone, sides.here))
    for name in ("miou", "pixel_accuracy", "classes", "confusion"):
        assert one[name] == two[name]


def test_each_server_gets_requests_of_its_services_only(sides: Sides) -> None:
    def created(server: LocalAWS) -> set[str]:
        return {call["operation"] for call in server.calls() if call["operation"].startswith("Create")}

    assert "CreateLabelingJob" in created(sides.labels)
    assert "CreateLabelingJob" not in created(sides.here)
    assert {"CreateTrainingJob", "CreateEndpoint"} <= created(sides.here)
    assert not created(sides.labels) & {"CreateTrainingJob", "CreateEndpoint", "CreateModel"}


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("doctor", "correct if both are addresses of the same service"),  # B asks through the proxy
        ("doctor", "by profile 'labels'"),
        ("jobs", f"{RUN}-label-1"),
        ("agreement", "2 workers; overlap between workers 1.000"),
        ("status --refresh", "everything is done"),
        ("label", "not billed here"),  # of the price: no AWS labels
        ("train", "This spends money and there is no terminal for the confirmation: use --yes"),
        ("cost", "Not AWS services, not included: labeling (http://127.0.0.1:"),
        ("cleanup --all", f"stopped labeling job {RUN}-"),
    ],
)
def test_commands_show_both_servers(sides: Sides, command: str, said: str) -> None:
    assert said in sides.printed[command]


def test_the_report_names_the_server_of_each_result(sides: Sides) -> None:
    page = (sides.folder / "report.html").read_text()
    assert "Labeled, stored with gtseg&#39;s embedded AWS; trained and served on AWS in eu-west-1" in page
    assert "on a labeling server, which bills nothing" in page


def test_the_labeling_servers_requests_are_within_its_policy(sides: Sides) -> None:
    """policies/labeling-server.json allows every request that B sent to A."""
    policy = json.loads((sides.folder / "policies" / "labeling-server.json").read_bytes())
    place = {"region": "eu-west-1", "account": "123456789012"}
    needs = {need for request in sides.proxy.seen if request.is_signed for need in needs_of(request, **place)}
    assert {need.action for need in needs} >= {"s3:GetObject", "s3:PutObject", "s3:ListBucket"}
    assert [need for need in needs if not is_allowed(policy, need)] == []


def test_boto3_and_the_aws_cli_reach_each_server_by_its_profile(sides: Sides) -> None:
    labels, company = (boto3.Session(profile_name=name) for name in ("labels", "company"))
    job = labels.client("sagemaker").describe_labeling_job(LabelingJobName=f"{RUN}-label-1")
    assert job["LabelingJobStatus"] == "Completed"
    assert company.client("sagemaker").list_labeling_jobs()["LabelingJobSummaryList"] == []
    with pytest.raises(ClientError, match="S3"):
        labels.client("s3").list_buckets()
    aws = ["aws", "--output", "text", "--profile"]
    listed = subprocess.run([*aws, "labels", "sagemaker", "list-labeling-jobs"], capture_output=True, text=True)
    assert f"{RUN}-label-1" in listed.stdout, listed.stderr
    stored = subprocess.run([*aws, "company", "s3", "ls", f"s3://{BUCKET}/{RUN}/"], capture_output=True, text=True)
    assert "run.json" in stored.stdout, stored.stderr


def test_two_clients_at_once_create_one_job(sides: Sides) -> None:
    """Two processes that share only the AWS profile."""
    command = [sys.executable, "-m", "gtseg", "label", "--run", f"{RUN}-twins"]
    clients = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(2)]
    said = [client.communicate(timeout=120)[0] for client in clients]
    assert all(
        client.returncode == 0 or "Another gtseg process has advanced" in words
        for client, words in zip(clients, said, strict=True)
    ), said
    jobs = boto3.Session(profile_name="labels").client("sagemaker").list_labeling_jobs(NameContains=f"{RUN}-twins")
    assert [job["LabelingJobName"] for job in jobs["LabelingJobSummaryList"]] == [f"{RUN}-twins-label-1"]
    gtseg(sides, "label", "--run", f"{RUN}-twins")
    assert "nothing to do" in sides.printed[f"label --run {RUN}-twins"]


def test_all_services_work_over_the_s3_of_moto(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/deployment.md, arrangement 4: one profile, also for the server. The S3 is moto's."""
    folder = draw(tmp_path / "project")
    keys = "region = us-east-1\naws_access_key_id = OWN\naws_secret_access_key = own\n"
    config = tmp_path / "config"
    for name in [name for name in os.environ if name.startswith(("AWS_", "GTSEG_")) or name.lower() == "http_proxy"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.chdir(folder)
    with ExitStack() as stack:
        store = ThreadedMotoServer(port=0, verbose=False)
        store.start()
        stack.callback(store.stop)
        s3 = "http://{}:{}".format(*store.get_host_and_port()).replace("0.0.0.0", "127.0.0.1")
        config.write_text(f"[profile own]\n{keys}")
        crowd = {"crowd_masks": str(folder / "masks"), "crowd_error": 0, "crowd_workers": 2}
        server = LocalAWS(tmp_path / "aws", options=crowd | {"s3": s3, "s3_profile": "own"})
        stack.callback(server.stop)
        config.write_text(
            f"[profile own]\n{keys}endpoint_url = {server.url}\nservices = own\n[services own]\ns3 =\n  "
            f"endpoint_url = {s3}\n"
        )
        monkeypatch.setenv("AWS_PROFILE", "own")
        made = SimpleNamespace(printed={})
        for word in ("doctor", "label", "watch", "agreement", "dataset"):
            gtseg(made, word)
        assert f"reads objects at {s3}" in made.printed["doctor"]
        assert "CORS" not in made.printed["label"]  # the server shows the images itself
        listed = boto3.Session().client("s3").list_objects_v2(Bucket=BUCKET, Prefix=f"{RUN}/channels/train/")
        assert listed["KeyCount"] == 5
