"""Order of the stages: label -> watch -> dataset -> ...

A stage is one entry here; only this module imports the stages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from gtseg.core.plurals import counted
from gtseg.errors import SettingsError, StageError
from gtseg.pipeline.run import Context, Run
from gtseg.pipeline.run.drift import renew
from gtseg.pipeline.run.freshness import staleness
from gtseg.settings import Settings

PROBLEMS = 5
"""Exit code of a stage that finished with objects rejected or failed."""


def _nothing(run: Run) -> int:
    return 0


@dataclass(frozen=True)
class Stage:
    """Stage. `has_result`: it has run once; `summary`: its result in a few words."""

    name: str
    function: Callable[[Run, Context], Run]
    has_result: Callable[[Run], bool]
    summary: Callable[[Run], str]
    problems: Callable[[Run], int] = _nothing
    """Number of images or objects left out: exit code 5 if any."""
    spends: bool = False
    """Whether it creates what AWS bills and supports a dry run."""


# Each stage is imported when it runs: `gtseg status` needs none of them.


def _label(run: Run, context: Context) -> Run:
    from gtseg.pipeline.stages.label import label

    return label(run, context)


def _watch(run: Run, context: Context) -> Run:
    from gtseg.pipeline.stages.watch import watch

    return watch(run, context)


def _dataset(run: Run, context: Context) -> Run:
    from gtseg.pipeline.stages.dataset import dataset

    return dataset(run, context)


def _train(run: Run, context: Context) -> Run:
    from gtseg.pipeline.stages.train import train

    return train(run, context)


def _deploy(run: Run, context: Context) -> Run:
    from gtseg.pipeline.stages.deploy import deploy

    return deploy(run, context)


def _evaluate(run: Run, context: Context) -> Run:
    from gtseg.pipeline.stages.evaluate import evaluate

    return evaluate(run, context)


def _report(run: Run, context: Context) -> Run:
    from gtseg.pipeline.stages.report import report

    return report(run, context)


@dataclass(frozen=True)
class Standing:
    """Whether a stage is done; `reason` is set if it has an outdated result."""

    is_done: bool
    reason: str = ""
    cause: Literal["", "data", "settings", "earlier"] = ""
    """Kind of change: its sources, the settings, or an earlier stage that must run first."""


def standings(run: Run, settings: Settings) -> dict[str, Standing]:
    """Return the standing of each stage. A stage is done only if its result was made from what the run has now.

    Makes no AWS calls: see gtseg.pipeline.run.freshness.
    """
    found: dict[str, Standing] = {}
    first = ""
    for stage in STAGES:
        standing = Standing(False)
        if stage.has_result(run):
            stale = staleness(run, settings, stage.name)
            if stale:
                standing = Standing(False, stale.reason, stale.cause)
            elif first:
                standing = Standing(False, f"{first} comes first", "earlier")
            else:
                standing = Standing(True)
        found[stage.name] = standing
        first = first or ("" if standing.is_done else stage.name)
    return found


def next_step(run: Run, settings: Settings) -> str | None:
    """Return the next command: the first open stage, `predict` for a foreign model's endpoint; None if all is done."""
    is_foreign = run.labeling_job is None and run.dataset is None and run.training_job is None
    if is_foreign and run.endpoint and not run.endpoint.deleted and run.endpoint.status == "InService":
        return "predict"
    return next((name for name, one in standings(run, settings).items() if not one.is_done), None)


def unevaluable(run: Run, settings: Settings, stages: Sequence[Stage]) -> str:
    """Return why these stages could train no model that can be scored, and what to do; '' if they can or may."""
    is_asked = any(stage.name == "evaluate" for stage in stages)
    if not is_asked or not settings.evaluate.required or run.dataset is None or run.dataset.counts.get("test"):
        return ""
    total = sum(run.dataset.counts.get(part, 0) for part in ("train", "validation", "test"))
    return (
        f"none of the {total:,} images of the dataset is a test image, so that nothing can be evaluated: label more, "
        "or give test a share in [dataset] split; to train and deploy anyway, use --set evaluate.required=false or "
        "--until deploy"
    )


def _has_other_labels(run: Run) -> bool:
    """Return whether the dataset is from another job or manifest, so that no labeling job is needed."""
    return run.labeling_job is None and run.dataset is not None


def _has_job(run: Run) -> bool:
    """Return whether there is a job; a failed or stopped one does not count, since label starts the next attempt."""
    job = run.labeling_job
    return job.status not in {"Failed", "Stopped"} if job else _has_other_labels(run)


def _has_labels(run: Run) -> bool:
    return run.labeling_job.status == "Completed" if run.labeling_job else _has_other_labels(run)


def _label_summary(run: Run) -> str:
    job = run.labeling_job
    if run.dataset and _has_other_labels(run):
        return f"other source: {run.dataset.source}"
    return f"{job.name}: {counted(job.objects, 'image')}, {job.workforce} workforce" if job else ""


def _watch_summary(run: Run) -> str:
    job = run.labeling_job
    if not job or not job.status:
        return ""
    return f"{job.status}: {job.counters.get('TotalLabeled', 0):,} labeled, {_failed(run):,} failed"


def _failed(run: Run) -> int:
    return run.labeling_job.counters.get("FailedNonRetryableError", 0) if run.labeling_job else 0


def _dataset_summary(run: Run) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in run.dataset.counts.items()) if run.dataset else ""


def _left_out(run: Run) -> int:
    counts = run.dataset.counts if run.dataset else {}
    return sum(counts.get(name, 0) for name in ("rejected", "failed"))


def _is_trained(run: Run) -> bool:
    return bool(run.training_job and run.training_job.has_result)


def _epochs_missed(run: Run) -> int:
    return int(bool(run.training_job and run.training_job.is_cut_short))


def _train_summary(run: Run) -> str:
    job = run.training_job
    if job is None:
        return ""
    best = f", best validation mIoU {job.best.miou:.4f}" if job.best and job.best.miou is not None else ""
    ending = f", {job.ending}" if job.ending else ""
    return f"{job.name} {job.status or 'started'}{ending}{best}"


def _is_deployed(run: Run) -> bool:
    """Return whether an endpoint is in service, or was deleted after its evaluation, when it is no longer needed."""
    section = run.endpoint
    if section is None or section.status is None:
        return False
    return _is_scored(run) if section.deleted else section.status == "InService"


def _deploy_summary(run: Run) -> str:
    if run.endpoint is None:
        return ""
    state = (
        f"deleted {run.endpoint.deleted:%Y-%m-%d %H:%M}" if run.endpoint.deleted else run.endpoint.status or "coming up"
    )
    return f"{run.endpoint.name} on {run.endpoint.instance_type}: {state}"


def _is_scored(run: Run) -> bool:
    """Return whether the run's endpoint, or its deleted one, was scored on the current dataset."""
    scored, data, endpoint = run.evaluation, run.dataset, run.endpoint
    if scored is None or data is None or endpoint is None:
        return False
    if scored.in_batch:
        return False
    return scored.dataset == data.fingerprint and scored.endpoint == endpoint.name


def _rejected(run: Run) -> int:
    return run.labeling_job.rejected if run.labeling_job else 0


def _missing(run: Run) -> int:
    return len(run.evaluation.missing) if run.evaluation else 0


def _evaluate_summary(run: Run) -> str:
    if run.evaluation is None or run.evaluation.miou is None:
        return ""
    missing = f", {_missing(run)} missing" if _missing(run) else ""
    return f"mIoU {run.evaluation.miou:.4f} on {run.evaluation.images} {run.evaluation.split} images{missing}"


STAGES: tuple[Stage, ...] = (
    Stage("label", _label, _has_job, _label_summary, _rejected, spends=True),
    Stage("watch", _watch, _has_labels, _watch_summary, _failed),
    Stage("dataset", _dataset, lambda run: run.dataset is not None, _dataset_summary, _left_out),
    Stage("train", _train, _is_trained, _train_summary, _epochs_missed, spends=True),
    Stage("deploy", _deploy, _is_deployed, _deploy_summary, spends=True),
    Stage("evaluate", _evaluate, lambda run: run.evaluation is not None, _evaluate_summary, _missing),
    Stage("report", _report, lambda run: run.report is not None, lambda run: run.report.html if run.report else ""),
)  # fmt: skip


def until_stage(name: str | None) -> tuple[Stage, ...]:
    """Return the stages up to and including `name`, all for None. Raises SettingsError for an unknown name."""
    names = [stage.name for stage in STAGES]
    if name is None:
        return STAGES
    if name not in names:
        raise SettingsError(f"--until {name}: unknown stage; must be one of {', '.join(names)}")
    return STAGES[: names.index(name) + 1]


def exit_code(run: Run, name: str) -> int:
    """Return 0, or 5 if the stage finished with something left out."""
    stage = next(stage for stage in STAGES if stage.name == name)
    return PROBLEMS if stage.problems(run) else 0


def refresh(run: Run, context: Context) -> Run:
    """Return the run without what was deleted or changed outside gtseg; see gtseg.pipeline.run.drift. Saves nothing."""

    def is_done(run: Run, name: str) -> bool:
        return standings(run, context.settings)[name].is_done

    return run if run.etag is None else renew(run, context.of("run"), is_done=is_done)


def run_stages(run: Run, context: Context, stages: tuple[Stage, ...] = STAGES) -> Run:
    """Run every stage that is not done for the current state of the run, and save the run after each.

    A dry run shows the first stage and names the others. Raises StageError before a training or an endpoint that could
    not be scored.
    """
    if not context.dry_run:
        seen = refresh(run, context)
        run = run if seen.update(looked=run.looked) == run else context.save(seen)
    before = standings(run, context.settings)
    undone = [stage for stage in stages if not before[stage.name].is_done]
    for stage in stages:
        standing = standings(run, context.settings)[stage.name]
        if standing.is_done:
            context.of(stage.name).note(f"done already: {stage.summary(run)}")
        elif context.dry_run and (stage is not undone[0] or not stage.spends):
            context.of(stage.name).note("would come next")
        else:
            if stage.name in ("train", "deploy") and (words := unevaluable(run, context.settings, stages)):
                raise StageError(f"{stage.name} was not started: {words}")
            if standing.reason:
                context.of(stage.name).note(f"repeated: {standing.reason}")
            run = stage.function(run, context)
            run = run if context.dry_run else context.save(run)
    return run
