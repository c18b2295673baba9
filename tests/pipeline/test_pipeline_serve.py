"""serve: the next stage of each run, and a real service on a real server."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from polling import wait_for
from trained import Trained

from gtseg.aws.clients import Clients
from gtseg.pipeline.commands.serve import Service
from gtseg.pipeline.commands.serve.decisions import decide
from gtseg.pipeline.run import DatasetSection, LabelingJobSection, Run, TrainingJobSection, provenance
from gtseg.settings import Settings

EMPTY = Run(name="r", root="s3://b/r/", account="1", region="us-east-1", created=datetime(2026, 1, 1, tzinfo=UTC))
JOB = LabelingJobSection(name="r-label-1", arn="a", label_attribute="x-ref", workforce="private", objects=3)
LABELING = EMPTY.update(labeling_job=JOB)
LABELED = EMPTY.update(labeling_job=JOB.model_copy(update={"status": "Completed"}))
DATASET = LABELED.update(
    dataset=DatasetSection(channels="c", classes=("BACKGROUND", "x"), counts={"test": 1}, fingerprint="f")
)
TRAINING = DATASET.update(
    training_job=TrainingJobSection(name="r-train-1", arn="a", image_uri="i", instance_type="t", hyperparameters={})
)

CASES = [
    (EMPTY, {}, "report", "label", False), (LABELING, {"r-label-1": "InProgress"}, "report", "watch", False),
    (LABELING, {}, "report", "watch", False),
    (LABELING, {"r-label-1": "Completed"}, "report", "watch", True),
    (LABELING, {"r-label-1": "Failed"}, "report", "watch", True),
    (LABELED, {}, "report", "dataset", True), (LABELED, {}, "watch", "dataset", False),
    (DATASET, {}, "report", "train", True), (DATASET, {}, "dataset", "train", False),
    (TRAINING, {"r-train-1": "InProgress"}, "report", "train", False),
    (TRAINING, {"r-train-1": "Completed"}, "report", "train", True),
]  # fmt: skip


def serving(until: str) -> Settings:
    return Settings(project={"name": "r"}, serve={"until": until})


@pytest.mark.parametrize(("run", "jobs", "until", "stage", "go"), CASES)
def test_the_next_stage_of_a_run_is_chosen_from_its_state(
    run: Run, jobs: dict[str, str], until: str, stage: str, go: bool
) -> None:
    decision = decide(run, jobs, settings=serving(until))
    assert (decision.stage, decision.go) == (stage, go)
    assert go or decision.waits_for


def test_a_decision_of_a_person_is_named_with_its_command() -> None:
    assert "gtseg train" in decide(DATASET, {}, settings=serving("dataset")).waits_for
    assert "gtseg label" in decide(EMPTY, {}, settings=serving("report")).waits_for


def test_a_first_labeling_job_is_created_if_the_settings_allow_it() -> None:
    settings = Settings(project={"name": "r"}, serve={"begin": True})
    decision = decide(EMPTY, {}, settings=settings)
    assert (decision.stage, decision.go) == ("label", True)
    assert "begin = true" in decide(EMPTY, {}, settings=serving("dataset")).waits_for


def test_a_run_without_test_images_is_trained_only_if_configured() -> None:
    data = DATASET.dataset.model_copy(update={"counts": {"train": 4, "validation": 1, "test": 0}})  # type: ignore[union-attr]
    untested = DATASET.update(dataset=data)
    refused = decide(untested, {}, settings=serving("report"))
    assert not refused.go
    assert "none of the 5 images" in refused.waits_for
    settings = Settings(project={"name": "r"}, serve={"until": "report"}, evaluate={"required": False})
    assert decide(untested, {}, settings=settings).go
    assert decide(untested, {}, settings=serving("deploy")).go


def test_changed_settings_wait_for_a_person_and_new_labels_do_not() -> None:
    settings = serving("dataset")
    origin = provenance(settings, "dataset", run_labels="r-label-1")
    data = DATASET.dataset.model_copy(update={"made_from": origin})  # type: ignore[union-attr]
    made = DATASET.update(dataset=data)
    assert decide(made, {}, settings=settings).stage == "train"
    other = settings.model_copy(update={"dataset": settings.dataset.model_copy(update={"seed": 7})})
    refused = decide(made, {}, settings=other)
    assert (refused.stage, refused.go) == ("dataset", False)
    assert "[dataset] seed is 7, it was 0" in refused.waits_for
    adjusted = JOB.model_copy(update={"name": "r-adjust-1", "status": "Completed"})
    assert decide(made.update(labeling_job=adjusted), {}, settings=settings).go


@pytest.fixture
def project(training_aws: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trained:
    for name, value in training_aws.environment.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    made = Trained(tmp_path, Clients(), f"s{uuid.uuid4().hex[:8]}")
    made.tables["serve"] = 'until = "train"\ninterval = "1s"\nport = 0'
    _ = made.settings
    made.give_dataset()
    return made


def lines(log: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


def test_the_service_trains_a_ready_run_and_stops_at_the_configured_stage(project: Trained, training_aws: Any) -> None:
    """The service labels nothing, trains once, then waits, as /healthz shows; SIGTERM ends it with exit code 0."""
    run = project.run.update(labeling_job=JOB.model_copy(update={"status": "Completed"}))
    project.run_file.save(run)
    process = subprocess.Popen(
        [sys.executable, "-m", "gtseg", "serve"],
        cwd=project.folder,
        env=training_aws.environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said = []
    try:
        for line in process.stderr:
            said.append(json.loads(line))
            if said[-1]["event"] == "waiting" and "gtseg deploy" in said[-1]["message"]:
                break

        def read_health() -> Any:
            """Return the service's health once it reflects the log."""
            with urllib.request.urlopen(said[0]["health"], timeout=10) as answer:
                health = json.load(answer)
            return health["runs"].get(project.name, {}).get("stage") == "deploy" and health

        health = wait_for(read_health)
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
    assert health["status"] == "ok"
    assert health["runs"][project.name]["stage"] == "deploy"
    assert project.run.training_job is not None
    assert project.run.training_job.status == "Completed"
    made = [
        c for c in training_aws.calls() if c["operation"] == "CreateTrainingJob" and c["name"].startswith(project.name)
    ]
    assert len(made) == 1
    assert {"started", "begin", "end", "waiting"} <= {line["event"] for line in said}


def test_a_service_without_a_run_logs_once_what_it_waits_for(project: Trained) -> None:
    """A run of another project in the same bucket is ignored."""
    project.run_file.save(project.run.update(project="another"))
    log = io.StringIO()
    service = Service(project.settings, log=log)
    assert service.poll(pool=None) is service.poll(pool=None) is True  # type: ignore[arg-type]
    (said,) = lines(log)
    assert project.name in said["message"]
    assert "start one with `gtseg label`" in said["message"]


def test_an_error_is_logged_and_the_service_continues(project: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    log = io.StringIO()
    service = Service(project.settings, log=log)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    service.clients = Clients()
    assert service.poll(pool=None) is False  # type: ignore[arg-type]
    assert lines(log)[-1]["event"] == "trouble"
    assert service.health.describe()[1]["trouble"]


def test_sigterm_ends_a_waiting_call(project: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    """While AWS does not respond, the call is ended after some time, or at once by a second signal."""
    service = Service(project.settings, log=io.StringIO())
    monkeypatch.setattr("gtseg.pipeline.commands.serve.service.STOP_SECONDS", 0.05)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)}

    def hang(pool: object) -> bool:
        os.kill(os.getpid(), signal.SIGTERM)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            socket.create_connection(silent.getsockname()).recv(1)  # for ever
        return True

    monkeypatch.setattr(service, "poll", hang)
    try:
        with pytest.raises(KeyboardInterrupt):
            service.run()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert service.stop.is_set()


def test_a_failing_run_is_skipped_until_it_changes(project: Trained) -> None:
    log = io.StringIO()
    service = Service(project.settings, log=log)
    data = project.run.dataset
    assert data is not None
    broken = project.run.update(
        dataset=data.model_copy(update={"counts": {**data.counts, "train": 0}}),
        labeling_job=JOB.model_copy(update={"status": "Completed"}),
    )
    broken = project.run_file.save(broken)
    decision = decide(broken, {}, settings=project.settings)
    service.run_stage(broken, decision)
    assert lines(log)[-1]["event"] == "failed"
    assert service.advance(broken, {}, pool=None)["state"] == "blocked"  # type: ignore[arg-type]
    assert service.blocked[broken.root][0] == broken.etag
