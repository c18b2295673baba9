"""verify: people judge masks that are there; what comes out names the images whose masks are to be made again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from gtseg.aws.clients import Clients
from gtseg.aws.groundtruth import GroundTruth, JobState
from gtseg.aws.s3 import S3
from gtseg.aws.waiting import poll
from gtseg.core.labeling.chaining import Verdict, read_verdicts, verify_lines, write_lines
from gtseg.core.labeling.task_template import review_template
from gtseg.errors import Interrupted, JobFailed, ManifestError, StageError, reason_given
from gtseg.pipeline.commands.review.chained import ChainedJob, start
from gtseg.pipeline.commands.review.earlier import Earlier, find_earlier
from gtseg.pipeline.run import Run, VerificationSection
from gtseg.pipeline.run.events import Consent, Event, Notify
from gtseg.pipeline.run.resuming import how_to_resume
from gtseg.pipeline.stages.label.workteams import choose_workteam
from gtseg.settings import Settings
from gtseg.settings.templates import read_template

VERIFICATION: Final = "VerificationSemanticSegmentation"
GOOD, BAD = "good", "bad"
PATIENCE = 31 * 86400.0
SHOWN = 10
"""Images that are named on the terminal; redo.jsonl has them all."""


def verify(
    run: Run,
    settings: Settings,
    clients: Clients,
    *,
    notify: Notify,
    consent: Consent | None = None,
    job: str | None = None,
    manifest: str | None = None,
    label_attribute: str | None = None,
    wait: bool = False,
    dry_run: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> Run:
    """The run with its verification: started now, under way, or over with its verdicts read and redo.jsonl written.

    The same masks are judged once, however often this is called; with `wait` it returns when the job is over. Raises StageError
    where there are no masks yet, JobFailed where the verification job failed or was stopped.
    """
    earlier = find_earlier(run, clients, job=job, manifest=manifest, label_attribute=label_attribute)
    word = run.verification
    if word is None or word.source != earlier.manifest or word.status in {"Failed", "Stopped"}:
        started = _start(
            run,
            settings,
            clients,
            earlier=earlier,
            notify=notify,
            consent=consent or Consent(),
            dry_run=dry_run,
        )
        if started is None:
            return run
        run = started
    return run if dry_run else _follow(run, clients, notify=notify, wait=wait, sleep=sleep)


def _start(
    run: Run,
    settings: Settings,
    clients: Clients,
    *,
    earlier: Earlier,
    notify: Notify,
    consent: Consent,
    dry_run: bool,
) -> Run | None:
    if not earlier.labels:
        raise ManifestError(f"{earlier.manifest} holds no mask under {earlier.label!r}: nothing to verify")
    if left := len(earlier.lines) - earlier.labeled:
        words = f"{left:,} objects without a mask stay out: each would fail, and might be billed"
        notify(Event("verify", "note", words))
    wanted = settings.labeling
    title = f"Is the mask right? {wanted.title}"
    job = ChainedJob(
        run=run,
        settings=settings,
        earlier=earlier,
        task=VERIFICATION,
        word="verify",
        title=title,
        labels=(GOOD, BAD),
        template=review_template(
            read_template("verify.liquid"),
            attribute=earlier.label,
            header=title,
            instructions=wanted.instructions or wanted.description,
        ),
        role=settings.project.role_arn or f"arn:aws:iam::{clients.account}:role/gtseg",
        team=choose_workteam(settings, clients),
        attribute=lambda name: name,
        build=lambda attribute: verify_lines(earlier.lines, earlier.label),
    )
    if (started := start(job, clients, notify=notify, consent=consent, dry_run=dry_run)) is None:
        return None
    run, name, arn = started
    section = VerificationSection(
        name=name, arn=arn, label_attribute=name, source=earlier.manifest, objects=job.objects
    )
    return run.update(verification=section)


def _follow(run: Run, clients: Clients, *, notify: Notify, wait: bool, sleep: Callable[[float], None]) -> Run:
    word = run.verification
    if word is None:
        raise StageError(f"Run {run.name!r} has no verification")
    state = _look(word.name, clients, notify=notify, wait=wait, sleep=sleep)
    run = run.update(verification=word.model_copy(update={"status": state.status}))
    if not state.is_over:
        words = f"{word.name} {state.status}: the same command says what came out; --wait waits for it"
        notify(Event("verify", "note", words))
        return run
    if state.status != "Completed":
        raise JobFailed(f"{word.name} {state.status.lower()}: {reason_given(state.reason)}")
    return _conclude(run, state, clients, notify=notify)


def _look(
    name: str, clients: Clients, *, notify: Notify, wait: bool, sleep: Callable[[float], None]
) -> JobState:
    truth = GroundTruth(clients, sleep=sleep)

    def look() -> JobState:
        state = truth.describe_job(name)
        done = state.total - state.counters.get("Unlabeled", 0)
        notify(Event("verify", "progress", f"{name} {state.status}", done=done, total=state.total))
        return state

    if not wait:
        return look()
    resume = how_to_resume(name, clients, command="gtseg verify")
    try:
        return poll(look, until=lambda s: s.is_over, patience=PATIENCE, resume=resume, sleep=sleep)
    except KeyboardInterrupt:
        raise Interrupted(f"Stopped waiting. {resume}") from None


def _conclude(run: Run, state: JobState, clients: Clients, *, notify: Notify) -> Run:
    """redo.jsonl beside the job, and the counts. What failed has no verdict: it is told, and is not to be redone."""
    word = run.verification
    assert word is not None
    output = (
        state.output_manifest or f"{state.output.rstrip('/')}/{word.name}/manifests/output/output.manifest"
    )
    verdicts = read_verdicts(S3(clients).read(output)[0], word.label_attribute)
    bad = [verdict for verdict in verdicts if verdict.name == BAD]
    redo = f"{run.root}labeling/{word.name}/redo.jsonl"
    S3(clients).write(redo, write_lines([_redo_line(verdict) for verdict in bad]))
    good = sum(verdict.name == GOOD for verdict in verdicts)
    update = {"output_manifest": output, "good": good, "bad": len(bad), "redo": redo}
    _tell(word.name, verdicts, bad, good=good, redo=redo, notify=notify)
    return run.update(verification=word.model_copy(update=update))


def _redo_line(verdict: Verdict) -> dict[str, object]:
    return {
        "source-ref": verdict.image,
        "confidence": verdict.confidence,
        "comments": list(verdict.comments),
    }


def _tell(
    name: str, verdicts: Sequence[Verdict], bad: Sequence[Verdict], *, good: int, redo: str, notify: Notify
) -> None:
    for verdict in [v for v in verdicts if v.reason][:SHOWN]:
        notify(Event("verify", "warning", f"{verdict.image} has no verdict: {verdict.reason}"))
    shown = "".join(f"\n    {v.image} {'; '.join(v.comments)}".rstrip() for v in bad[:SHOWN])
    more = f"\n    and {len(bad) - SHOWN:,} more in {redo}" if len(bad) > SHOWN else ""
    advice = "\n`gtseg adjust --bad` has them corrected, `gtseg label --continue` made anew" if bad else ""
    words = f"{name}: {good:,} masks are good, {len(bad):,} bad{shown}{more}{advice}"
    fields = {"good": good, "bad": [v.image for v in bad], "redo": redo}
    notify(Event("verify", "finished", words, fields=fields))
