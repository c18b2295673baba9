"""[budget] during work: commands stop running jobs and report it."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from labeling_project import Project
from reviewing_worker import Worker, paint, square
from trained import Trained

from gtseg.aws.clients import Clients
from gtseg.aws.groundtruth import GroundTruth, JobState
from gtseg.aws.s3 import S3
from gtseg.aws.waiting import poll
from gtseg.core.cost import total
from gtseg.errors import GtsegError
from gtseg.pipeline.run import Attempt, EndpointSection
from gtseg.pipeline.run.budget import Meter
from gtseg.pipeline.run.cost import spent_rows

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def billed(server: Any) -> dict[str, str]:
    """Return an environment with the server under a host name of AWS, where work is billed."""
    return server.billed_environment() | {"OMP_NUM_THREADS": "1"}


def gtseg(project: Any, server: Any, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    more = [word for key, value in settings.items() for word in ("--set", f"budget.{key}={value}")]
    command = [sys.executable, "-m", "gtseg", *words, *more]
    return subprocess.run(command, cwd=project.folder, env=billed(server), capture_output=True, text=True, timeout=200)


def stops(server: Any, project: Any) -> list[str]:
    calls = [c for c in server.calls() if c["operation"].startswith("Stop") and c["status"] == 200]
    return [c["operation"] for c in calls if c["name"].startswith(project.name)]


# ---- labeling


@pytest.fixture
def labeled(project: Project, shared_aws: Any) -> Project:
    """Return a project whose labeling job has labeled two of four images: 0.16 USD."""
    for number in range(4):
        project.image(f"{number}.jpg", color=number)
    project.label()
    assert project.run.labeling_job
    name = project.run.labeling_job.name
    Worker(shared_aws).work(name, lambda task: paint(square(), ["cat"]), count=2)
    truth = GroundTruth(project.clients)
    poll(
        lambda: truth.describe_job(name),
        until=lambda s: s.counters["TotalLabeled"] == 2,
        patience=60,
        resume="",
    )
    return project


def test_watch_stops_a_labeling_job_at_the_budget(labeled: Project, shared_aws: Any) -> None:
    done = gtseg(labeled, shared_aws, "watch", max_usd="0.1")
    assert done.returncode == 1
    assert "the run has cost about 0.1600 USD of [budget] max_usd = 0.1" in done.stderr
    assert "[budget] max_usd is 0.1. " in done.stderr.splitlines()[-1]
    assert "2 of 4 images are labeled" in done.stderr.splitlines()[-1]
    assert stops(shared_aws, labeled) == ["StopLabelingJob"]
    assert labeled.run.labeling_job.status == "Stopped"  # type: ignore[union-attr]


@pytest.mark.parametrize("on_exceed", ["warn", "refuse"])
def test_a_budget_that_only_warns_lets_the_job_finish(labeled: Project, shared_aws: Any, on_exceed: str) -> None:
    command = [sys.executable, "-m", "gtseg", "watch", "--set", "budget.max_usd=0.1"]
    command += ["--set", f"budget.on_exceed={on_exceed}"]
    process = subprocess.Popen(command, cwd=labeled.folder, env=billed(shared_aws), stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if "warning" in line:
            Worker(shared_aws).work(labeled.run.labeling_job.name, lambda task: paint(square(), ["cat"]))  # type: ignore[union-attr]
            break
    said += process.stderr.readlines()
    assert process.wait(60) == 0, said
    assert sum("work continues" in line for line in said) == 1
    assert stops(shared_aws, labeled) == []


def test_the_budget_stops_nothing_on_the_embedded_aws(labeled: Project, shared_aws: Any) -> None:
    labeled.set("budget", max_usd=0.1)
    meter = Meter(labeled.run, labeled.context())
    assert meter.limit is None
    assert not meter.is_reached()


def state_of(labeled: int) -> JobState:
    counters = {"TotalLabeled": labeled}
    return JobState("j", "a", "InProgress", "j-ref", counters, "s3://b/", "", NOON, NOON)


def test_there_is_one_warning_at_80_percent_of_the_budget(project: Project) -> None:
    project.set("budget", max_usd=1)
    project.clients.__dict__["is_aws"] = lambda service: True
    project.events.clear()
    meter = Meter(project.run, project.context())
    meter.watch(state_of(9))
    assert project.events == []
    meter.watch(state_of(10))
    meter.watch(state_of(11))
    assert project.messages("warning") == "the run has cost about 0.8000 USD of [budget] max_usd = 1"
    assert not meter.stopped


def test_a_job_that_ends_before_it_can_be_stopped_is_no_error(project: Project) -> None:
    project.set("budget", max_usd=1)
    project.clients.__dict__["is_aws"] = lambda service: True
    meter = Meter(project.run, project.context())
    meter.watch(state_of(13))
    assert "j could not be stopped" in project.messages("warning")
    assert meter.because("why") == "why"


def test_the_budget_includes_earlier_jobs_of_the_run(labeled: Project) -> None:
    first = labeled.run.labeling_job
    assert first
    run = labeled.run.update(labeling_job=first.model_copy(update={"name": "second", "status": None}))
    assert total(spent_rows(run, labeled.context()))[0] == Decimal("0.16")
    assert total(spent_rows(run, labeled.context(), but=first.name))[0] == 0


# ---- training, tuning, endpoints


@pytest.fixture
def training_aws(start_local_aws: Any) -> Any:
    """Server whose training jobs run until they are stopped."""
    return start_local_aws(options={"train_seconds": 600})


@pytest.fixture
def trainable(training_aws: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Trained:
    for name, value in training_aws.environment.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    made = Trained(tmp_path, Clients(), f"b{os.urandom(4).hex()}")
    made.tables = {
        "train.hyperparameters": "epochs = 500\nmini_batch_size = 2\ncrop_size = 48\nbase_size = 48",
        "tune": "max_jobs = 3\nlearning_rate = [0.001, 0.01]",
        "serve": "port = 0",
    }
    _ = made.settings
    made.give_dataset()
    return made


def test_train_stops_a_job_at_the_budget_and_tune_refuses_to_exceed_it(trainable: Trained, training_aws: Any) -> None:
    assert gtseg(trainable, training_aws, "train", "--no-follow", "--yes").returncode == 0
    done = gtseg(trainable, training_aws, "train", max_usd="0.00001")
    assert done.returncode in {1, 5}, "5 where it had a model already: that is kept"
    assert f"stopping {trainable.name}-train-1: the run has cost about" in done.stderr
    assert "The run has cost about" in done.stderr.splitlines()[-1]
    assert f"{trainable.name}-train-1" in done.stderr.splitlines()[-1]
    done = gtseg(trainable, training_aws, "tune", "--yes", max_usd="1")
    assert done.returncode == 1, "three jobs of a day each are not begun"
    assert "more than 1 USD" in done.stderr
    assert stops(training_aws, trainable) == ["StopTrainingJob"]


def test_tune_stops_a_tuning_job_at_the_budget(trainable: Trained, training_aws: Any) -> None:
    env = billed(training_aws)
    process = subprocess.Popen(
        [sys.executable, "-m", "gtseg", "tune", "--yes"],
        cwd=trainable.folder,
        env=env,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    next(line for line in process.stderr if "InProgress" in line)
    process.kill()
    process.wait()
    done = gtseg(trainable, training_aws, "tune", max_usd="0.00001")
    assert done.returncode == 1
    assert f"stopping {trainable.name}-tune-1" in done.stderr
    assert stops(training_aws, trainable) == ["StopHyperParameterTuningJob"]


def test_serve_deletes_the_endpoint_of_a_run_at_the_budget(trainable: Trained, training_aws: Any) -> None:
    run, sagemaker = trainable.run, trainable.clients.sagemaker
    role = "arn:aws:iam::123456789012:role/gtseg"
    S3(trainable.clients).write(f"{run.root}model.tar.gz", b"no model")
    tags = [{"Key": "gtseg:run", "Value": run.name}, {"Key": "gtseg:root", "Value": run.root}]
    name = {stage: f"{run.name}-{stage}-1" for stage in ("model", "config", "endpoint")}
    image = "685385470294.dkr.ecr.eu-west-1.amazonaws.com/semantic-segmentation:1"
    sagemaker.create_model(
        ModelName=name["model"],
        ExecutionRoleArn=role,
        Tags=tags,
        PrimaryContainer={"Image": image, "ModelDataUrl": f"{run.root}model.tar.gz"},
    )
    variant = {
        "VariantName": "all",
        "ModelName": name["model"],
        "InitialInstanceCount": 1,
        "InstanceType": "ml.c5.xlarge",
    }
    sagemaker.create_endpoint_config(EndpointConfigName=name["config"], ProductionVariants=[variant], Tags=tags)
    sagemaker.create_endpoint(EndpointName=name["endpoint"], EndpointConfigName=name["config"], Tags=tags)
    for stage in name:
        run = run.with_attempt(Attempt(stage=stage, number=1, name=name[stage], fingerprint="f", recorded=NOON))
    section = EndpointSection(
        name=name["endpoint"],
        arn="a",
        config=name["config"],
        model=name["model"],
        model_data="m",
        image_uri=image,
        instance_type="ml.c5.xlarge",
        since=datetime.now(UTC) - timedelta(hours=10),
        status="InService",
    )
    trainable.run_file.save(run.update(endpoint=section, project=run.name))
    status = gtseg(trainable, training_aws, "status", max_usd="4")
    assert "Budget: about 2.04 of 4 USD (51%)" in status.stderr
    gtseg(trainable, training_aws, "serve", "--once", max_usd="4")
    assert trainable.run.endpoint.deleted is None, "half of the budget"  # type: ignore[union-attr]
    done = gtseg(trainable, training_aws, "serve", "--once", max_usd="2")
    assert "the run has cost about 2.04 USD of [budget] max_usd = 2" in done.stderr
    assert trainable.run.endpoint.deleted is not None  # type: ignore[union-attr]
    with pytest.raises(sagemaker.exceptions.ClientError, match="Could not find"):
        sagemaker.describe_endpoint_config(EndpointConfigName=name["config"])


def test_serve_starts_nothing_that_would_exceed_the_budget(trainable: Trained, training_aws: Any) -> None:
    from gtseg.pipeline.commands.serve import Service

    trainable.tables["budget"] = "max_usd = 1"
    trainable.clients.__dict__["is_aws"] = lambda service: True
    service = Service(trainable.settings, clients=lambda: trainable.clients)
    with pytest.raises(GtsegError, match="more than 1 USD"):
        service._stage(trainable.run, "train")
