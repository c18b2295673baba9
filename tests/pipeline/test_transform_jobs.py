"""Transform jobs of a batch prediction: request, creation, progress and stopping; jobs are scripted, S3 is real."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import botocore.session
import pytest
from botocore.validate import validate_parameters
from hypothesis import given, settings
from hypothesis import strategies as st
from labeling_project import point_at
from scripted_transforms import ScriptedContext, ScriptedTransforms
from trained import Trained

from gtseg.aws.clients import Clients
from gtseg.aws.s3 import S3
from gtseg.core.hosting.requests import Hosting
from gtseg.errors import AWSError, GtsegError, Interrupted, JobFailed
from gtseg.pipeline.run import Attempt, Context, Run
from gtseg.pipeline.run.events import Consent
from gtseg.pipeline.run.transform_jobs import Batch, TransformJob, _Watch, begin_job, follow_earlier, follow_job

HOSTING = Hosting("arn:aws:iam::123456789012:role/gtseg", "image:1", "s3://bucket/model.tar.gz")
KEYS = {"in/b.jpg", "in/a.jpg", "in/ü.jpg"}


@pytest.fixture(scope="module")
def clients(shared_aws: Any) -> Iterator[Clients]:
    with pytest.MonkeyPatch.context() as patch:
        point_at(shared_aws, patch)
        yield Clients()


@dataclass
class Scene:
    """A run with an own bucket, a batch below it, and its scripted jobs."""

    project: Trained
    jobs: ScriptedTransforms
    batch: Batch

    @property
    def run(self) -> Run:
        return self.project.run

    @property
    def bucket(self) -> str:
        return self.batch.bucket

    def begin(self, keys: set[str] = KEYS, **options: Any) -> Run:
        context = replace(self.batch.context, **options)
        return begin_job(self.run, replace(self.batch, context=context), keys, bucket=self.bucket)

    def manifests(self) -> list[str]:
        s3 = S3(self.project.clients)
        return [f"s3://{self.bucket}/{item.key}" for item in s3.list_objects(f"{self.batch.root}manifests/")]


@pytest.fixture
def scene(clients: Clients, tmp_path: Path) -> Callable[..., Scene]:
    def make(*script: tuple[int, str], consent: Consent | None = None, **tables: str) -> Scene:
        project = Trained(tmp_path, clients, f"t{uuid.uuid4().hex[:8]}")
        project.tables |= tables
        S3(clients).ensure_bucket(f"bucket-{project.name}")
        jobs = ScriptedTransforms(S3(clients), list(script))
        context = ScriptedContext(
            project.settings,
            clients,
            project.events.append,
            consent or Consent(),
            lambda seconds: None,
            stage="predict",
            jobs=jobs,
        )
        run = project.run
        model = f"s3://bucket-{project.name}/model.tar.gz"
        S3(clients).write(model, b"model")
        return Scene(
            project, jobs, Batch(run, context, replace(HOSTING, model_data=model), "trained-1", f"{run.root}batch/m/")
        )

    return make


# ---- request and creation -------------------------------------------------------------------------------------------


def test_the_request_is_valid_for_sagemaker_and_carries_the_settings(scene: Any) -> None:
    one = scene(batch='instances = 3\ninstance_type = "ml.m5.large"', deploy='content_type = "image/png"')
    job = TransformJob(one.batch, one.batch.context, "s3://b/m.json", images=3, model="model-1")
    request = job.request("job-1", {"color": "red"})
    model = botocore.session.get_session().get_service_model("sagemaker")
    validate_parameters(request, model.operation_model("CreateTransformJob").input_shape)
    assert request["ModelName"] == "model-1"
    assert request["TransformInput"]["ContentType"] == "image/png"
    assert request["TransformOutput"]["S3OutputPath"] == one.batch.output
    assert request["TransformResources"] == {"InstanceType": "ml.m5.large", "InstanceCount": 3}
    assert {"Key": "color", "Value": "red"} in request["Tags"]


def test_the_instance_type_of_deploy_is_the_default(scene: Any) -> None:
    one = scene(deploy='instance_type = "ml.c5.2xlarge"')
    job = TransformJob(one.batch, one.batch.context, "s3://b/m.json", images=3)
    assert job.request("job-1", {})["TransformResources"]["InstanceType"] == "ml.c5.2xlarge"


def test_a_job_is_tagged_with_the_root_of_its_run_and_its_training_job(scene: Any) -> None:
    one = scene()
    origin = TransformJob(one.batch, one.batch.context, "s3://b/m.json", images=3).origin
    assert (origin["gtseg:root"], origin["gtseg:training-job"]) == (one.run.root, "trained-1")


def test_begin_job_writes_the_manifest_and_creates_model_and_job(scene: Any) -> None:
    one = scene((3, "InProgress"))
    run = one.begin()
    (manifest,) = one.manifests()
    body = json.loads(S3(one.project.clients).read(manifest)[0])
    assert body == [{"prefix": f"s3://{one.bucket}/"}, *sorted(KEYS)]
    assert [attempt.stage for attempt in run.attempts] == ["batch-model", "transform"]
    assert all(attempt.outcome == "created" for attempt in run.attempts)
    model = one.project.clients.sagemaker.describe_model(ModelName=run.attempts[0].name)
    assert model["PrimaryContainer"]["ModelDataUrl"] == one.batch.hosting.model_data
    assert list(one.jobs.jobs) == [f"{run.name}-transform-1"]
    assert "has 3 images for 1 x ml.c5.xlarge" in one.project.messages("note")


def test_begin_job_adopts_a_job_that_still_runs(scene: Any) -> None:
    one = scene((3, "InProgress"))
    one.begin()
    run = one.begin()
    assert [attempt.number for attempt in run.attempts_of("transform")] == [1]
    assert len(one.jobs.jobs) == 1


def test_begin_job_creates_another_job_after_a_completed_one(scene: Any) -> None:
    one = scene((1, "Completed"), (2, "Completed"))
    one.begin()
    run = one.begin()
    assert [attempt.name for attempt in run.attempts_of("transform")] == list(one.jobs.jobs)
    assert len(one.jobs.jobs) == 2
    assert run.attempts_of("transform")[0].detail == "Over: completed"


def test_begin_job_refuses_other_images_while_a_job_runs(scene: Any) -> None:
    one = scene((0, "InProgress"))
    one.begin()
    with pytest.raises(GtsegError, match=r"already has .*-transform-1 \(InProgress\).*stop-transform-job"):
        one.begin({"in/other.jpg"})


def test_a_dry_run_of_begin_job_writes_no_manifest_and_creates_nothing(scene: Any) -> None:
    one = scene()
    assert one.begin(dry_run=True) == one.run
    assert one.manifests() == []
    assert one.jobs.jobs == {}
    (plan,) = [event for event in one.project.events if event.kind == "plan"]
    assert plan.fields["ModelName"] == "stand-in-model"


@pytest.fixture(scope="module")
def manifest_of(clients: Clients, tmp_path_factory: pytest.TempPathFactory) -> Callable[[set[str]], str]:
    """The URI of the manifest that a dry run shows for a set of keys."""
    project = Trained(tmp_path_factory.mktemp("planned"), clients, "planned")
    context = Context(project.settings, clients, project.events.append, dry_run=True)
    batch = Batch(project.run, context, HOSTING, None, f"{project.run.root}batch/m/")

    def manifest(keys: set[str]) -> str:
        begin_job(project.run, batch, keys, bucket="photographs")
        return project.events[-1].fields["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"]

    return manifest


@given(first=st.sets(st.text("ab/", min_size=1), min_size=1), second=st.sets(st.text("ab/", min_size=1), min_size=1))
@settings(max_examples=50)
def test_the_name_of_the_manifest_depends_on_the_set_of_keys_only(
    manifest_of: Callable[[set[str]], str], first: set[str], second: set[str]
) -> None:
    assert (manifest_of(first) == manifest_of(second)) == (first == second)


# ---- jobs of an earlier command -------------------------------------------------------------------------------------


def recorded(run: Run, name: str) -> Run:
    attempt = Attempt(stage="transform", number=1, name=name, fingerprint="f", recorded=run.created, outcome="created")
    return run.with_attempt(attempt)


@pytest.mark.parametrize(
    ("status", "output", "tags", "follows"),
    [
        ("InProgress", "", {}, True),
        ("Stopping", "/", {}, True),
        ("Completed", "", {}, False),
        ("Failed", "", {}, False),
        ("InProgress", "-of-another-model", {}, False),
        ("InProgress", "", {"gtseg:run": "another-run"}, False),
    ],
)
def test_follow_earlier_waits_for_an_unfinished_job_of_this_run_and_output(
    scene: Any, status: str, output: str, tags: dict[str, str], follows: bool
) -> None:
    one = scene()
    one.jobs.jobs["earlier-1"] = {"status": status, "output": one.batch.output + output, "tags": tags}
    one.jobs.completes_when_described = True
    run = recorded(one.run, "earlier-1")
    assert follow_earlier(run, one.batch, 3) == run
    assert ("earlier-1 is still" in one.project.messages("note")) == follows
    assert one.jobs.jobs["earlier-1"]["status"] == ("Completed" if follows else status)


def test_follow_earlier_accepts_a_run_without_jobs_and_a_job_that_is_gone(scene: Any) -> None:
    one = scene()
    for run in (one.run, recorded(one.run, "deleted-1")):
        assert follow_earlier(run, one.batch, 3) == run
    assert one.project.events == []


# ---- progress and stopping ------------------------------------------------------------------------------------------


class Outputs:
    """Stand-in for S3 that lists `number` outputs."""

    def __init__(self) -> None:
        self.number = self.listings = 0

    def list_objects(self, uri: str) -> range:
        self.listings += 1
        return range(self.number)


def watch(*, stalled_after: float = 600, images: int = 10, agrees: bool = True) -> tuple[_Watch, Outputs, Any]:
    """A watch on a job in progress whose outputs, consent and events are those of the test."""
    outputs = Outputs()
    seen = SimpleNamespace(progress=[], warnings=[], questions=[], stopped=[])
    state = SimpleNamespace(status="InProgress", is_over=False)
    context = SimpleNamespace(
        s3=outputs,
        sleep=lambda seconds: None,
        settings=SimpleNamespace(
            batch=SimpleNamespace(stalled_after=stalled_after), budget=SimpleNamespace(max_usd=None)
        ),
        transforms=SimpleNamespace(describe_job=lambda name: state, stop_job=seen.stopped.append),
        is_billed=lambda stage: False,
        progress=lambda message, done, total: seen.progress.append((done, total)),
        warn=seen.warnings.append,
        consent=Consent(stop=lambda words: seen.questions.append(words) or agrees),
    )
    batch = SimpleNamespace(context=context, output="s3://b/output")
    return _Watch(None, batch, "job-1", images), outputs, seen  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.integers(1, 400), st.sampled_from([0, 0, 0, 1, 5])), max_size=30), st.integers(60, 1000))
def test_stopping_is_offered_once_when_the_time_without_outputs_reaches_the_limit(
    steps: list[tuple[int, int]], limit: int
) -> None:
    one, outputs, seen = watch(stalled_after=limit)
    one.read_state()
    idle = [0]
    for seconds, new in steps:
        outputs.number += new
        one.sleep(seconds)
        one.read_state()
        idle.append(0 if new else idle[-1] + seconds)
    assert len(seen.questions) == int(max(idle) >= limit)
    assert seen.stopped == ["job-1"] * len(seen.questions)


@given(before=st.integers(0, 50), new=st.lists(st.integers(0, 8), max_size=20), images=st.integers(1, 40))
def test_progress_counts_new_outputs_and_never_exceeds_the_number_of_images(
    before: int, new: list[int], images: int
) -> None:
    one, outputs, seen = watch(images=images)
    one.before = outputs.number = before
    for number in new:
        outputs.number += number
        one.sleep(1)
        one.read_state()
    assert seen.progress == [(min(done, images), images) for done in accumulate(new)]


def test_outputs_are_listed_less_often_when_there_are_many() -> None:
    one, outputs, _ = watch(images=10**6)
    outputs.number = 200_000
    one.read_state()
    listings = outputs.listings
    for _ in range(9):
        one.sleep(10)
        one.read_state()
    assert outputs.listings == listings
    one.sleep(10)
    one.read_state()
    assert outputs.listings == listings + 1


def test_a_job_that_ends_before_it_can_be_stopped_gives_a_warning(scene: Any) -> None:
    one, _, seen = watch(stalled_after=60)

    def fail(name: str) -> None:
        raise AWSError("StopTransformJob", "ValidationException", "the job is Completed")

    one.batch.context.transforms.stop_job = fail
    one.sleep(60)
    one.read_state()
    assert seen.warnings[-1] == "job-1 could not be stopped: the job is Completed"


def test_follow_job_returns_the_final_state(scene: Any) -> None:
    one = scene((3, "Failed"))
    run = one.begin()
    state = follow_job(run, one.batch, f"{run.name}-transform-1", images=3)
    assert (state.status, state.reason) == ("Failed", "a picture")


def test_follow_job_says_how_to_resume_when_it_is_interrupted(scene: Any) -> None:
    one = scene((0, "InProgress"))
    run = one.begin()
    one.jobs.polls = 3
    with pytest.raises(Interrupted, match=r"-transform-1.*gtseg predict --batch.*stop-transform-job"):
        follow_job(run, one.batch, f"{run.name}-transform-1", images=3)


def test_follow_job_fails_when_the_budget_stopped_the_job(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    one = scene((1, "InProgress"), budget='max_usd = 0.01\non_exceed = "stop"')
    run = one.begin()
    monkeypatch.setitem(one.project.clients.__dict__, "is_aws", lambda service: True)
    with pytest.raises(
        JobFailed, match=r"max_usd is 0.01.*-transform-1 was stopped. Its masks so far are kept in s3://"
    ):
        follow_job(run, one.batch, f"{run.name}-transform-1", images=3)
    assert one.jobs.stopped == [f"{run.name}-transform-1"]
