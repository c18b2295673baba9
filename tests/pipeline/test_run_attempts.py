"""create_once: exactly one resource despite kills and concurrent processes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gtseg.errors import AWSError, GtsegError, StageError
from gtseg.pipeline.run import Attempt, Found, Resource, Run, create_once, next_name

START = datetime(2026, 11, 20, tzinfo=UTC)


@dataclass(frozen=True)
class Job(Resource):
    """Resource whose calls are functions of the test."""

    mark: str
    make: Callable[[str], str]
    look_up: Callable[[str], Found | None]
    limit: int = 63

    stage, what = "label", "labeling job"

    @property
    def fingerprint(self) -> str:
        return self.mark

    @property
    def name_limit(self) -> int:
        return self.limit

    def request(self, name: str, tags: Mapping[str, str]) -> dict[str, Any]:
        return {"Name": name, **tags}

    def create(self, name: str, request: Mapping[str, Any]) -> str:
        return self.make(name)

    def find(self, name: str) -> Found | None:
        return self.look_up(name)

    def record(self, run: Run, name: str, arn: str) -> Run:
        return run


class Killed(BaseException):
    """Simulates kill -9."""


@dataclass
class Cloud:
    """Stand-in for run.json with conditional writes and for AWS's resources; `steps` counts down to a kill."""

    stored: Run | None = None
    version: int = 0
    resources: dict[str, Found] = field(default_factory=dict)
    created: list[str] = field(default_factory=list)
    ticks: itertools.count[int] = field(default_factory=itertools.count)
    steps: int = 10**9

    def step(self) -> None:
        self.steps -= 1
        if self.steps < 0:
            raise Killed

    # what create_once uses of RunFile

    def clock(self) -> datetime:
        return START + timedelta(seconds=next(self.ticks))

    def load(self) -> Run:
        if self.stored is None:
            return Run(name="cats", root="s3://b/cats/", account="1" * 12, region="us-east-1", created=START)
        return self.stored.update(etag=str(self.version))

    def save(self, run: Run) -> Run:
        self.step()
        if run.etag != (str(self.version) if self.stored else None):
            raise GtsegError("Another gtseg process has advanced the run")
        self.stored, self.version = run, self.version + 1
        self.step()
        return run.update(etag=str(self.version))

    # what a stage's Resource uses of AWS

    def creation(self, mark: str = "m1") -> Job:
        return Job(mark, lambda name: self.create(name, mark), self.resources.get)

    def create(self, name: str, mark: str) -> str:
        self.step()
        if name in self.resources:
            raise AWSError("CreateLabelingJob", "ResourceInUse", name)
        self.resources[name] = Found(f"arn:{name}", "InProgress", mark)
        self.created.append(name)
        self.step()
        return f"arn:{name}"

    def go(self, mark: str = "m1", run: Run | None = None) -> str:
        return create_once(self, run or self.load(), self.creation(mark))[2]  # type: ignore[arg-type]

    def set_status(self, name: str, status: str) -> None:
        self.resources[name] = replace(self.resources[name], status=status, reason="because")


def test_an_attempt_is_saved_before_the_call_and_its_result_after_it() -> None:
    cloud = Cloud()
    seen: list[str] = []
    creation = replace(cloud.creation(), make=lambda name: seen.append(cloud.load().attempts[0].outcome) or "arn")  # type: ignore[func-returns-value]
    run, attempt, arn = create_once(cloud, cloud.load(), creation)  # type: ignore[arg-type]
    assert seen == ["recorded"]
    assert (attempt.name, attempt.outcome, arn) == ("cats-label-1", "created", "arn")
    assert cloud.load().attempts == run.attempts == (attempt,)


@given(kills=st.lists(st.integers(0, 6), max_size=6))
@settings(deadline=None)
def test_any_number_of_kills_anywhere_leads_to_one_resource(kills: list[int]) -> None:
    cloud = Cloud()
    for steps in kills:
        cloud.steps = steps
        try:
            cloud.go()
        except Killed:
            continue
    cloud.steps = 10**9
    assert cloud.go() == "arn:cats-label-1"
    assert cloud.created == ["cats-label-1"]


def test_a_live_job_is_not_created_again() -> None:
    cloud = Cloud()
    assert cloud.go() == cloud.go()
    assert cloud.created == ["cats-label-1"]


@pytest.mark.parametrize("status", ["Failed", "Stopped", "Stopping"])
def test_a_failed_or_stopped_job_is_never_adopted(status: str) -> None:
    cloud = Cloud()
    cloud.go()
    cloud.set_status("cats-label-1", status)
    assert cloud.go() == "arn:cats-label-2"
    first, second = cloud.load().attempts
    assert (first.outcome, first.detail, second.outcome) == ("failed", f"{status}: because", "created")


def test_a_job_that_failed_before_its_creation_was_recorded_is_not_adopted() -> None:
    cloud = Cloud()
    cloud.steps = 3
    with pytest.raises(Killed):
        cloud.go()
    assert cloud.load().attempts[0].outcome == "recorded"
    assert cloud.created == ["cats-label-1"]
    cloud.set_status("cats-label-1", "Failed")
    cloud.steps = 10**9
    assert cloud.go() == "arn:cats-label-2"


def test_a_job_of_another_owner_with_the_same_name_is_not_adopted() -> None:
    cloud = Cloud(
        resources={
            "cats-label-1": Found("arn:stranger", "InProgress", "other"),
            "cats-label-2": Found("x", "Completed", None),
        }
    )
    assert cloud.go() == "arn:cats-label-3"
    assert [a.outcome for a in cloud.load().attempts] == ["taken", "taken", "created"]


def test_a_live_job_with_other_settings_is_an_error() -> None:
    cloud = Cloud()
    cloud.go("m1")
    with pytest.raises(StageError, match=r"other settings.*--run"):
        cloud.go("m2")
    assert cloud.created == ["cats-label-1"]


def test_settings_changed_before_the_creation_start_the_next_attempt() -> None:
    cloud = Cloud(steps=2)
    with pytest.raises(Killed):
        cloud.go("m1")
    cloud.steps = 10**9
    assert cloud.go("m2") == "arn:cats-label-2"
    assert cloud.created == ["cats-label-2"]


def test_of_two_processes_at_once_one_saves_and_the_other_fails() -> None:
    cloud = Cloud()
    stale = cloud.load()
    cloud.go()
    with pytest.raises(GtsegError, match="Another gtseg process"):
        cloud.go(run=stale)
    assert cloud.created == ["cats-label-1"]


def test_a_resource_created_by_another_process_before_the_call_is_adopted() -> None:
    cloud = Cloud()

    def racing(name: str) -> str:
        cloud.create(name, "m1")
        return cloud.create(name, "m1")

    _, attempt, arn = create_once(cloud, cloud.load(), replace(cloud.creation(), make=racing))  # type: ignore[arg-type]
    assert (attempt.outcome, arn, cloud.created) == ("adopted", "arn:cats-label-1", ["cats-label-1"])


def test_an_attempt_refused_by_aws_is_retried_under_its_name() -> None:
    cloud = Cloud()

    def refuse(name: str) -> str:
        raise AWSError("CreateLabelingJob", "ValidationException", "no such role")

    with pytest.raises(AWSError, match="no such role"):
        create_once(cloud, cloud.load(), replace(cloud.creation(), make=refuse))  # type: ignore[arg-type]
    assert cloud.go() == "arn:cats-label-1"


def test_the_number_of_tried_names_is_limited() -> None:
    cloud = Cloud()
    taken: Callable[[str], Found] = lambda name: Found("x", "InProgress", None)  # noqa: E731
    with pytest.raises(StageError, match="Use another --run name"):
        create_once(cloud, cloud.load(), replace(cloud.creation(), look_up=taken))  # type: ignore[arg-type]


def test_a_long_run_name_is_shortened_to_awss_limit() -> None:
    run = Cloud().load().update(name="a" * 40)
    name = replace(Cloud().creation(), limit=32).name(run, 12)
    assert name == "a" * 23 + "-label-12"[:9]
    assert len(name) == 32


def test_a_dry_run_names_the_next_attempt() -> None:
    cloud = Cloud()
    assert next_name(cloud.load(), cloud.creation()) == "cats-label-1"
    cloud.go()
    cloud.set_status("cats-label-1", "Failed")
    assert next_name(cloud.load(), cloud.creation()) == "cats-label-2"


def test_attempts_keep_their_order_and_are_replaced() -> None:
    run = Cloud().load()
    one = Attempt(stage="label", number=1, name="a", fingerprint="m", recorded=START)
    run = run.with_attempt(one).with_attempt(one.model_copy(update={"outcome": "created"}))
    assert [a.outcome for a in run.attempts] == ["created"]
