"""What somebody deleted or changed elsewhere (in the console, by a colleague, by a budget's action), found before it is needed.

A look that is denied, or that AWS cannot answer now, changes nothing: the stage itself will say so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from gtseg.aws.failures import is_transient
from gtseg.errors import AWSError, StageError
from gtseg.pipeline.run.attempts import failed_attempt
from gtseg.pipeline.run.context import Context
from gtseg.pipeline.run.sections import Run

__all__ = ["look_at_endpoint", "renew"]

T = TypeVar("T")
OVER = frozenset({"Completed", "Failed", "Stopped"})


def renew(run: Run, context: Context, *, is_done: Callable[[Run, str], bool]) -> Run:
    """The run without what is not there any more, so that the stages that made it are to be done again.

    Only what a stage that is not done yet needs is looked for. Raises StageError, naming the command, where gtseg cannot make
    it again by itself.
    """
    run = look_at_endpoint(run, context)
    if not is_done(run, "deploy") and context.settings.deploy.model_data is None:
        run = _look_at_model(run, context)
    if not is_done(run, "train") or not is_done(run, "evaluate"):
        run = _look_at_channels(run, context)
    if not is_done(run, "watch"):
        run = _look_at_labeling_job(run, context)
    return run.update(looked=context.run_file(run).clock())


def look_at_endpoint(run: Run, context: Context) -> Run:
    """The run with its endpoint as it is now: deleted elsewhere, changed, or in another state."""
    section = run.endpoint
    if section is None or section.deleted or section.status is None:
        return run
    is_seen, there = _try(lambda: context.hosting.look("endpoint", section.name), context, section.name)
    if not is_seen:
        return run
    if there is None or there.status == "Deleting":
        _tell(f"endpoint {section.name} was deleted elsewhere", context)
        gone = {"deleted": context.run_file(run).clock(), "status": "Deleted"}
        return run.update(endpoint=section.model_copy(update=gone))
    status = there.status
    if section.config and there.parts and there.parts[0] != section.config:
        _tell(
            f"endpoint {section.name} serves {there.parts[0]} now, not {section.config}: changed elsewhere",
            context,
        )
        status = "Changed"
    elif status != section.status:
        _tell(f"endpoint {section.name} is {status} now", context)
    if status == section.status:
        return run
    return run.update(endpoint=section.model_copy(update={"status": status}))


def _look_at_model(run: Run, context: Context) -> Run:
    section = run.training_job
    if section is None or not section.has_result or section.model_artifact is None:
        return run
    uri = section.model_artifact
    is_seen, is_there = _try(lambda: context.s3.exists(uri), context, uri)
    if not is_seen or is_there:
        return run
    _tell(f"the model of {section.name} is gone ({uri}): it has to be trained again", context)
    stage, name = ("tune", section.tuning_job) if section.tuning_job else ("train", section.name)
    return failed_attempt(run, stage, name, "its model was deleted").update(training_job=None)


def _look_at_channels(run: Run, context: Context) -> Run:
    data = run.dataset
    if data is None:
        return run
    folder = f"{data.channels}train/"
    is_seen, first = _try(lambda: next(iter(context.s3.list_objects(folder)), None), context, folder)
    if not is_seen or first is not None:
        return run
    if run.labeling_job is None or not run.labeling_job.output_manifest:
        raise StageError(
            f"The dataset of run {run.name!r} is gone: nothing is below {folder}. Make it again: "
            f"`gtseg dataset --manifest {data.source or 'MANIFEST'}`."
        )
    _tell(f"the dataset is gone: nothing is below {folder}", context)
    return run.update(dataset=None)


def _look_at_labeling_job(run: Run, context: Context) -> Run:
    job = run.labeling_job
    if job is None or job.status in OVER or job.workforce == "import":
        return run
    is_seen, there = _try(lambda: context.labeling.find_job(job.name), context, job.name)
    if not is_seen or there is not None:
        return run
    _tell(f"labeling job {job.name} is not there any more", context)
    stage = next((one.stage for one in run.attempts if one.name == job.name), "label")
    return failed_attempt(run, stage, job.name, "it is not there any more").update(labeling_job=None)


def _try(look: Callable[[], T], context: Context, what: str) -> tuple[bool, T | None]:
    """(whether it could be seen, what was seen)."""
    try:
        return True, look()
    except AWSError as error:
        if error.exit_code == 3:
            return True, None
        if error.exit_code != 4 and not is_transient(error):
            raise
        context.warn(f"{what} may not be looked at ({error.code}): taken as it was")
        return False, None


def _tell(words: str, context: Context) -> None:
    context.note(words)
