"""Next step of a run, and whether it can start now: pure functions of the run and the states of all jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gtseg.aws.calls import TERMINAL
from gtseg.pipeline.run import Run
from gtseg.pipeline.stages.order import STAGES, Stage, standings, unevaluable
from gtseg.settings import Settings


@dataclass(frozen=True)
class Decision:
    """`go`: stage that can run now. Otherwise `waits_for` describes what it waits for."""

    stage: str
    go: bool
    waits_for: str = ""


def decide(run: Run, jobs: Mapping[str, str], *, settings: Settings, stages: Sequence[Stage] = STAGES) -> Decision:
    """Return the next step. `jobs`: status by name of the labeling and training jobs that runs wait for.

    A stage that must be repeated because settings changed waits for a person: all runs of the project are compared to
    the same settings, and many were made with others on purpose.
    """
    until = settings.serve.until
    found = standings(run, settings)
    for stage in stages:
        standing = found[stage.name]
        if standing.is_done:
            if stage.name == until:
                break
            continue
        if standing.cause == "settings":
            return Decision(stage.name, False, f"a person: {standing.reason}; repeat it with `gtseg run`")
        wanted = stages[: [one.name for one in stages].index(until) + 1] if until != "cleanup" else stages
        if stage.name in ("train", "deploy") and (words := unevaluable(run, settings, wanted)):
            return Decision(stage.name, False, f"a person: {words}")
        if stage.name == "label" and settings.serve.begin:
            return Decision(stage.name, True)
        return _of(stage.name, run, jobs)
    following = [stage.name for stage in stages if not found[stage.name].is_done]
    if until == "cleanup" and not following:
        live = run.endpoint is not None and run.endpoint.deleted is None
        return Decision("cleanup", live, "" if live else "nothing: all is done")
    words = f"a person: `gtseg {following[0]}` ([serve] until = {until!r})" if following else "nothing: all is done"
    return Decision(following[0] if following else "", False, words)


def _of(name: str, run: Run, jobs: Mapping[str, str]) -> Decision:
    if name == "label":
        return Decision(name, False, "a person: `gtseg label` (or [serve] begin = true)")
    waited = waits_for(run).get(name)
    if waited and jobs.get(waited, "InProgress") not in TERMINAL:
        return Decision(name, False, f"{waited} ({jobs.get(waited, 'not seen yet')})")
    return Decision(name, True)


def waits_for(run: Run) -> dict[str, str]:
    """Return stage -> job that it waits for, of the jobs that were started and have not been seen to end."""
    found = {}
    if run.labeling_job and run.labeling_job.status not in TERMINAL:
        found["watch"] = run.labeling_job.name
    if run.training_job and run.training_job.status not in TERMINAL:
        found["train"] = run.training_job.name
    return found
