"""Training jobs that were stopped or hit a limit: their model is kept, or the error names limit and remedy."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from gtseg.aws.training import TrainingState
from gtseg.errors import AWSError
from gtseg.pipeline.run import Context, EpochRecord, TrainingJobSection
from gtseg.pipeline.stages.train.outcome import cut_short, leaves_model, why_without_model
from gtseg.settings import Settings

MODEL = "s3://b/training/j/output/model.tar.gz"


def state(status: str, secondary: str = "", model: str | None = MODEL) -> TrainingState:
    return TrainingState(
        "j", "arn", status, secondary or status, {}, "ml.p3.2xlarge", model_artifact=model, reason="r."
    )


def context(there: bool | AWSError = True, **train: Any) -> Context:
    """Return a context whose S3 has the model, lacks it, or denies access; warnings are in `heard`."""

    def exists(uri: str) -> bool:
        if isinstance(there, AWSError):
            raise there
        return there

    settings = Settings.model_validate({"project": {"name": "p"}, "train": train})
    heard: list[str] = []
    made = SimpleNamespace(settings=settings, s3=SimpleNamespace(exists=exists), warn=heard.append, heard=heard)
    return cast(Context, made)


@pytest.mark.parametrize(
    ("job", "there", "kept"),
    [
        (state("Completed"), False, True),
        (state("Stopped", "MaxRuntimeExceeded"), True, True),
        (state("Stopped", "MaxWaitTimeExceeded"), False, False),
        (state("Stopped", model=None), True, False),
        (state("Failed"), True, False),
        (state("InProgress", "Training"), True, False),
    ],
)
def test_an_existing_model_is_kept_and_one_that_is_only_named_is_not(
    job: TrainingState, there: bool, kept: bool
) -> None:
    assert leaves_model(job, context(there)) is kept


def test_a_model_that_may_not_be_read_is_kept_with_a_warning() -> None:
    asked = context(AWSError("HeadObject", "403", "no"))
    assert leaves_model(state("Stopped"), asked)
    assert MODEL in asked.heard[0]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (state("Stopped", "MaxWaitTimeExceeded"), ("max_wait = 2h", "spot = false", "MaxWaitTimeExceeded")),
        (state("Stopped", "MaxRuntimeExceeded"), ("max_runtime = 1h", "MaxRuntimeExceeded")),
        (state("Stopped"), ("(Stopped)", "Start a new attempt")),
        (state("Failed"), ("failed: r", "Fix this")),
    ],
)
def test_the_error_for_a_missing_model_names_limit_and_remedy(job: TrainingState, words: tuple[str, ...]) -> None:
    said = why_without_model(job, context(max_runtime="1h"))
    assert all(word in said for word in words)


def test_a_job_stopped_at_a_limit_is_a_result_that_names_the_limit() -> None:
    section = TrainingJobSection(
        name="j", arn="a", image_uri="i", instance_type="t", hyperparameters={}, status="Stopped",
        secondary="MaxRuntimeExceeded", model_artifact=MODEL, epochs=(EpochRecord(number=0), EpochRecord(number=1)),
        best=EpochRecord(number=1, miou=0.5),
    )  # fmt: skip
    assert section.has_result
    assert section.ending == "ended by [train] max_runtime after 2 epochs"
    assert "`gtseg deploy`" in cut_short(section)
    assert not section.model_copy(update={"model_artifact": None}).has_result
