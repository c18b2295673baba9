"""How a training job ended, what it left, and what to do then."""

from __future__ import annotations

from gtseg.aws.training import TrainingState
from gtseg.errors import AWSError, reason_given
from gtseg.pipeline.run import Context, TrainingJobSection
from gtseg.settings.table import duration_text

__all__ = ["cut_short", "leaves_model", "why_without_model"]

LIMITS = {"MaxRuntimeExceeded": "max_runtime", "MaxWaitTimeExceeded": "max_wait"}
"""The setting behind a SecondaryStatus."""


def leaves_model(state: TrainingState, context: Context) -> bool:
    """Whether a job has ended with a model that is there: AWS names its place for one that was stopped too early, too."""
    if not state.has_result or state.model_artifact is None:
        return state.status == "Completed"
    try:
        return state.status == "Completed" or context.s3.exists(state.model_artifact)
    except AWSError as error:
        if error.exit_code != 4:
            raise
        context.warn(f"whether {state.model_artifact} is there cannot be seen ({error.code}): taken for there")
        return True


def cut_short(section: TrainingJobSection) -> str:
    """What to say of a job that has a model, of fewer epochs than were asked for."""
    best = (
        f": best validation mIoU {section.best.miou:.4f} in epoch {section.best.number}"
        if section.best and section.best.miou is not None
        else ""
    )
    limit = LIMITS.get(section.secondary)
    more = f"raise [train] {limit}" if limit else "train"
    return (
        f"{section.name} {section.ending}{best}. AWS has kept its model: go on with `gtseg deploy`. For more epochs "
        f"{more} in a run of its own (--run)"
    )


def why_without_model(state: TrainingState, context: Context) -> str:
    """Why there is none, with the secondary status, and the cure."""
    again = "then `gtseg train` starts a new attempt."
    if state.status != "Stopped":
        said = f"{state.secondary}: " if state.secondary not in ("", state.status) else ""
        return f"{state.name} failed: {said}{reason_given(state.reason)}. Cure that, {again}"
    wanted = context.settings.train
    if state.secondary == "MaxWaitTimeExceeded":
        waited = duration_text(wanted.max_wait or 2 * wanted.max_runtime)
        return (
            f"{state.name} ended without a model (MaxWaitTimeExceeded): no spare capacity in [train] max_wait = {waited}. "
            f"Raise max_wait, or set spot = false for a machine of its own, {again}"
        )
    if state.secondary == "MaxRuntimeExceeded":
        ran = duration_text(wanted.max_runtime)
        return (
            f"{state.name} ended without a model (MaxRuntimeExceeded): not one epoch in [train] max_runtime = {ran}. "
            f"Raise max_runtime or take a faster instance_type, {again}"
        )
    return f"{state.name} was stopped before it had a model ({state.secondary or 'Stopped'}). `gtseg train` starts a new attempt."
