"""watch: follow the run's labeling job to its end."""

from __future__ import annotations

from gtseg.aws.groundtruth import JobState
from gtseg.core.plurals import counted
from gtseg.errors import JobFailed, StageError, reason_given
from gtseg.pipeline.run import Context, LabelingJobSection, Run
from gtseg.pipeline.run.budget import Meter
from gtseg.pipeline.run.pending_jobs import follow, how_to_resume

MAX_WAIT_SECONDS = 31 * 86400.0
"""Seconds; AWS itself fails a labeling job after 30 days."""


def watch(run: Run, context: Context, *, patience: float = MAX_WAIT_SECONDS) -> Run:
    """Return the run with its job's final status, counters and output manifest, whether or not objects failed.

    Raises StageError before `label`, JobFailed for a job that Failed or was Stopped (the run is saved first),
    WaitTimeout after `patience` seconds, Interrupted on Ctrl-C; the job continues in the last two cases.
    """
    if run.labeling_job is None:
        raise StageError(f"Run {run.name!r} has no labeling job to watch. Start one: `gtseg label`.")
    job, context = run.labeling_job, context.of("watch")
    profile = context.settings.labeling.profile
    through = f" --profile {profile}" if profile else ""
    stop = f" (stop it: `aws sagemaker stop-labeling-job --labeling-job-name {job.name}{through}`)"
    resume = how_to_resume(job.name, context, command="gtseg watch", service="labeling", otherwise=stop)

    has_hinted = False
    meter = Meter(run, context, but=job.name)

    def read_state() -> JobState:
        nonlocal has_hinted
        state = context.labeling.describe_job(job.name)
        _report_progress(state, context)
        meter.watch(state)
        if not context.clients.is_aws("labeling") and not (
            has_hinted or state.is_over or state.counters.get("TotalLabeled")
        ):
            context.note("create a link for each worker: `gtseg local worker add NAME`")
        has_hinted = True
        return state

    state = follow(
        read_state,
        context,
        until=lambda s: s.is_over,
        patience=patience,
        resume=resume,
        stopped="Stopped watching.",
    )
    run = run.update(labeling_job=_seen(job, state))
    if state.status != "Completed":
        context.save(run)
        raise JobFailed(meter.because(_why(state, follows=bool(job.follows))))
    _report_end(state, context)
    return run


def _seen(job: LabelingJobSection, state: JobState) -> LabelingJobSection:
    """Return the section with AWS's latest values; the label attribute is AWS's, never derived from the name."""
    return job.model_copy(
        update={
            "status": state.status,
            "counters": dict(state.counters),
            "output_manifest": state.output_manifest,
            "label_attribute": state.label_attribute or job.label_attribute,
        }
    )


def _facts(state: JobState) -> dict[str, object]:
    return {
        "job": state.name,
        "status": state.status,
        "labeled": state.counters.get("TotalLabeled", 0),
        "failed": state.counters.get("FailedNonRetryableError", 0),
        "remaining": state.counters.get("Unlabeled", 0),
    }


def _by_machine(state: JobState, words: str) -> str:
    """Format `words` with the number of automatic labels; '' if there are none."""
    count = state.counters.get("MachineLabeled", 0)
    return words.format(f"{count:,}") if count else ""


def _report_progress(state: JobState, context: Context) -> None:
    facts = _facts(state)
    by_machine = _by_machine(state, " ({} by a model)")
    words = (
        f"{state.name} {state.status}: {facts['labeled']:,} labeled{by_machine}, {facts['failed']:,} failed, "
        f"{facts['remaining']:,} remaining"
    )
    done = state.total - state.counters.get("Unlabeled", 0)
    context.progress(words, done, state.total, fields=facts)


def _report_end(state: JobState, context: Context) -> None:
    facts = _facts(state)
    labeled = counted(state.counters.get("TotalLabeled", 0), "image")
    by_machine = _by_machine(state, ", {} of them by a model")
    words = f"{state.name} is complete: {labeled} labeled{by_machine}"
    if facts["failed"]:
        words = (
            f"{state.name} is complete with labeling errors: {labeled} labeled, {facts['failed']:,} failed. "
            "`gtseg dataset` lists the reasons, `gtseg label --continue` sends these images to the workers again"
        )
    context.finish(words, facts)


def _why(state: JobState, *, follows: bool) -> str:
    facts = _facts(state)
    if state.status == "Stopped":
        return (
            f"{state.name} was stopped: {facts['labeled']:,} of {state.total:,} images are labeled. Use them with "
            f"`gtseg dataset --job {state.name}`, label the rest with `gtseg label --continue`"
            + ("." if follows else ", or start again with `gtseg label`.")
        )
    again = "gtseg label --continue" if follows else "gtseg label"
    return f"{state.name} failed: {reason_given(state.reason)}. Fix this and start a new attempt with `{again}`."
