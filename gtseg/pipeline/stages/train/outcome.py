"""Outcome of a training job: how it ended, its model, and what to do next."""

from __future__ import annotations

from gtseg.aws.training import TrainingState
from gtseg.errors import AWSError, reason_given
from gtseg.pipeline.run import Context, TrainingJobSection
from gtseg.settings.table import duration_text

LIMITS = {"MaxRuntimeExceeded": "max_runtime", "MaxWaitTimeExceeded": "max_wait"}
"""Setting that causes a SecondaryStatus."""


def leaves_model(state: TrainingState, context: Context) -> bool:
    """Return whether an ended job has a model; AWS gives a location even if the job was stopped before writing one."""
    if not state.has_result or state.model_artifact is None:
        return state.status == "Completed"
    try:
        return state.status == "Completed" or context.s3.exists(state.model_artifact)
    except AWSError as error:
        if error.exit_code != 4:
            raise
        context.warn(f"whether {state.model_artifact} exists cannot be checked ({error.code}): assuming that it does")
        return True


def cut_short(section: TrainingJobSection) -> str:
    """Return the message for a job whose model has fewer epochs than requested."""
    best = (
        f": best validation mIoU {section.best.miou:.4f} in epoch {section.best.number}"
        if section.best and section.best.miou is not None
        else ""
    )
    limit = LIMITS.get(section.secondary)
    more = f"raise [train] {limit}" if limit else "train"
    return (
        f"{section.name} {section.ending}{best}. AWS has kept its model: continue with `gtseg deploy`. For more "
        f"epochs {more} in a run of its own (--run)"
    )


def why_without_model(state: TrainingState, context: Context) -> str:
    """Return why there is no model, with the secondary status, and what to do."""
    again = "then start a new attempt with `gtseg train`."
    if state.status != "Stopped":
        secondary = f"{state.secondary}: " if state.secondary not in ("", state.status) else ""
        return f"{state.name} failed: {secondary}{reason_given(state.reason)}. Fix this, {again}"
    wanted = context.settings.train
    if state.secondary == "MaxWaitTimeExceeded":
        waited = duration_text(wanted.max_wait or 2 * wanted.max_runtime)
        return (
            f"{state.name} ended without a model (MaxWaitTimeExceeded): no spot capacity within [train] max_wait = "
            f"{waited}. Increase max_wait, or set spot = false, {again}"
        )
    if state.secondary == "MaxRuntimeExceeded":
        ran = duration_text(wanted.max_runtime)
        return (
            f"{state.name} ended without a model (MaxRuntimeExceeded): no epoch finished within [train] max_runtime = "
            f"{ran}. Increase max_runtime or use a faster instance_type, {again}"
        )
    return (
        f"{state.name} was stopped before it had a model ({state.secondary or 'Stopped'}). Start a new attempt with "
        "`gtseg train`."
    )
