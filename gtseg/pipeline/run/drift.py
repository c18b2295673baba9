"""Detection of resources that were deleted or changed outside gtseg (console, other users, budget actions).

A check that AWS denies or cannot answer changes nothing: the stage itself reports the error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from gtseg.aws.failures import is_transient
from gtseg.errors import AWSError, StageError
from gtseg.pipeline.run.attempts import failed_attempt
from gtseg.pipeline.run.context import Context
from gtseg.pipeline.run.sections import Run

T = TypeVar("T")
OVER = frozenset({"Completed", "Failed", "Stopped"})


def renew(run: Run, context: Context, *, is_done: Callable[[Run, str], bool]) -> Run:
    """Return the run without results that no longer exist, so that their stages are run again.

    Checks only what unfinished stages need. Raises StageError, naming the command, if gtseg cannot restore a result
    itself.
    """
    run = check_endpoint(run, context)
    if not is_done(run, "deploy") and context.settings.deploy.model_data is None:
        run = _check_model(run, context)
    if not is_done(run, "train") or not is_done(run, "evaluate"):
        run = _check_channels(run, context)
    if not is_done(run, "watch"):
        run = _check_labeling_job(run, context)
    return run.update(looked=context.run_file(run).clock())


def check_endpoint(run: Run, context: Context) -> Run:
    """Return the run with its endpoint's current state: deleted, changed, or another status."""
    section = run.endpoint
    if section is None or section.deleted or section.status is None:
        return run
    is_seen, there = _try(lambda: context.hosting.look("endpoint", section.name), context, section.name)
    if not is_seen:
        return run
    if there is None or there.status == "Deleting":
        _report(f"endpoint {section.name} was deleted outside gtseg", context)
        gone = {"deleted": context.run_file(run).clock(), "status": "Deleted"}
        return run.update(endpoint=section.model_copy(update=gone))
    status = there.status
    if section.config and there.parts and there.parts[0] != section.config:
        _report(
            f"endpoint {section.name} now serves {there.parts[0]} instead of {section.config}: changed outside gtseg",
            context,
        )
        status = "Changed"
    elif status != section.status:
        _report(f"endpoint {section.name} is now {status}", context)
    if status == section.status:
        return run
    return run.update(endpoint=section.model_copy(update={"status": status}))


def _check_model(run: Run, context: Context) -> Run:
    section = run.training_job
    if section is None or not section.has_result or section.model_artifact is None:
        return run
    uri = section.model_artifact
    is_seen, is_there = _try(lambda: context.s3.exists(uri), context, uri)
    if not is_seen or is_there:
        return run
    _report(f"the model of {section.name} no longer exists ({uri}): it must be trained again", context)
    stage, name = ("tune", section.tuning_job) if section.tuning_job else ("train", section.name)
    return failed_attempt(run, stage, name, "its model was deleted").update(training_job=None)


def _check_channels(run: Run, context: Context) -> Run:
    data = run.dataset
    if data is None:
        return run
    folder = f"{data.channels}train/"
    is_seen, first = _try(lambda: next(iter(context.s3.list_objects(folder)), None), context, folder)
    if not is_seen or first is not None:
        return run
    if run.labeling_job is None or not run.labeling_job.output_manifest:
        raise StageError(
            f"The dataset of run {run.name!r} no longer exists: nothing is below {folder}. Make it again: "
            f"`gtseg dataset --manifest {data.source or 'MANIFEST'}`."
        )
    _report(f"the dataset no longer exists: nothing is below {folder}", context)
    return run.update(dataset=None)


def _check_labeling_job(run: Run, context: Context) -> Run:
    job = run.labeling_job
    if job is None or job.status in OVER or job.workforce == "import":
        return run
    is_seen, there = _try(lambda: context.labeling.find_job(job.name), context, job.name)
    if not is_seen or there is not None:
        return run
    _report(f"labeling job {job.name} no longer exists", context)
    stage = next((one.stage for one in run.attempts if one.name == job.name), "label")
    return failed_attempt(run, stage, job.name, "it no longer exists").update(labeling_job=None)


def _try(call: Callable[[], T], context: Context, what: str) -> tuple[bool, T | None]:
    """Return (whether the call succeeded, its result)."""
    try:
        return True, call()
    except AWSError as error:
        if error.exit_code == 3:
            return True, None
        if error.exit_code != 4 and not is_transient(error):
            raise
        context.warn(f"{what} cannot be inspected ({error.code}): assumed unchanged")
        return False, None


def _report(words: str, context: Context) -> None:
    context.note(words)
