"""verify: workers verify existing masks; the result lists the images whose masks must be made again."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from gtseg.aws.groundtruth import JobState
from gtseg.core.labeling.chained_jobs import Verdict, machine_lines, read_verdicts, verify_lines, write_lines
from gtseg.core.labeling.task_template import review_template
from gtseg.core.scores.intervals import share_interval
from gtseg.errors import JobFailed, ManifestError, StageError, reason_given
from gtseg.pipeline.commands.review.chained_job import ChainedJob, start
from gtseg.pipeline.commands.review.earlier_labels import Earlier, find_earlier
from gtseg.pipeline.run import OWN_LABELS, Context, LabelSource, Run, VerificationSection
from gtseg.pipeline.run.pending_jobs import follow, how_to_resume
from gtseg.pipeline.stages.label.workteams import choose_workteam
from gtseg.settings.templates import read_template

VERIFICATION: Final = "VerificationSemanticSegmentation"
GOOD, BAD = "good", "bad"
MAX_WAIT_SECONDS = 31 * 86400.0
SHOWN = 10
"""Number of images listed on the terminal; redo.jsonl has all."""


def verify(
    run: Run,
    context: Context,
    *,
    source: LabelSource = OWN_LABELS,
    wait: bool = False,
    machine: int = 0,
) -> Run:
    """Return the run with its verification: started now, running, or finished with its verdicts read and redo.jsonl
    written.

    The same masks are verified once, however often this is called; with `wait` it returns when the job is over.
    `machine`: a random sample of N masks made by a model, instead of all masks; its result estimates the others. Raises
    StageError if there are no masks yet, JobFailed if the verification job failed or was stopped.
    """
    context = context.of("verify")
    earlier = find_earlier(run, context, source)
    word = run.verification
    if machine:
        machine, earlier = _sample(earlier, machine, context)
    is_other = word is None or word.source != earlier.manifest or word.machine != machine
    if is_other or (word and word.status in {"Failed", "Stopped"}):
        run = start(_job(run, context, earlier, machine=machine))
    return run if context.dry_run else _follow(run, context, wait=wait)


def _sample(earlier: Earlier, size: int, context: Context) -> tuple[int, Earlier]:
    """Return the number of a model's labels to verify, and these labels: the same ones for the same manifest."""
    made = sorted(machine_lines(earlier.lines, earlier.label), key=lambda line: line.image)
    if not made:
        raise ManifestError(
            f"{earlier.manifest} has no label made by a model (human-annotated: no): nothing to verify with --machine"
        )
    chosen = random.Random(earlier.mark).sample(made, min(size, len(made)))
    context.note(f"{len(chosen):,} of the {len(made):,} labels made by a model, selected at random")
    return len(chosen), replace(earlier, lines=tuple(chosen))


@dataclass(frozen=True)
class VerificationJob(ChainedJob):
    """Job that becomes the run's verification; its labels are unchanged. `machine`: size of the sample."""

    machine: int = 0

    def section_of(self, run: Run) -> VerificationSection | None:
        return run.verification

    def record(self, run: Run, name: str, arn: str) -> Run:
        section = VerificationSection(
            name=name,
            arn=arn,
            label_attribute=name,
            source=self.earlier.manifest,
            objects=self.objects,
            machine=self.machine,
        )
        return run.update(verification=section)


def _job(run: Run, context: Context, earlier: Earlier, *, machine: int) -> VerificationJob:
    if not earlier.labels:
        raise ManifestError(f"{earlier.manifest} has no mask under {earlier.label!r}: nothing to verify")
    if left := len(earlier.lines) - earlier.labeled:
        words = f"{left:,} objects without a mask are left out: they would fail, and might be billed"
        context.note(words)
    wanted = context.settings.labeling
    title = f"Is the mask right? {wanted.title}"
    template = review_template(
        read_template("verify.liquid"),
        attribute=earlier.label,
        header=title,
        instructions=wanted.instructions or wanted.description,
    )
    return VerificationJob(
        run=run,
        context=context,
        labels=(GOOD, BAD),
        template=template,
        team=choose_workteam(context),
        earlier=earlier,
        kind=VERIFICATION,
        word=f"verify-{machine}" if machine else "verify",
        machine=machine,
        heading=title,
        attribute_of=lambda name: name,
        build=lambda attribute: verify_lines(earlier.lines, earlier.label),
    )


def _follow(run: Run, context: Context, *, wait: bool) -> Run:
    word = run.verification
    if word is None:
        raise StageError(f"Run {run.name!r} has no verification")
    state = _poll(word.name, context, wait=wait)
    run = run.update(verification=word.model_copy(update={"status": state.status}))
    if not state.is_over:
        context.note(f"{word.name} {state.status}: run the same command again for the result; --wait waits for it")
        return run
    if state.status != "Completed":
        raise JobFailed(f"{word.name} {state.status.lower()}: {reason_given(state.reason)}")
    return _conclude(run, state, context)


def _poll(name: str, context: Context, *, wait: bool) -> JobState:
    def read_state() -> JobState:
        state = context.labeling.describe_job(name)
        done = state.total - state.counters.get("Unlabeled", 0)
        context.progress(f"{name} {state.status}", done, state.total)
        return state

    if not wait:
        return read_state()
    resume = how_to_resume(name, context, command="gtseg verify", service="labeling")
    return follow(read_state, context, until=lambda s: s.is_over, patience=MAX_WAIT_SECONDS, resume=resume)


def _conclude(run: Run, state: JobState, context: Context) -> Run:
    """Write redo.jsonl beside the job, and save the counts.

    Failed objects have no verdict: they are reported, not redone.
    """
    word = run.verification
    assert word is not None
    output = state.manifest
    verdicts = read_verdicts(context.s3.read(output)[0], word.label_attribute)
    bad = [verdict for verdict in verdicts if verdict.name == BAD]
    redo = f"{run.root}labeling/{word.name}/redo.jsonl"
    context.s3.write(redo, write_lines([_redo_line(verdict) for verdict in bad]))
    good = sum(verdict.name == GOOD for verdict in verdicts)
    share = share_interval(good, good + len(bad)) if word.machine and good + len(bad) else None
    update = {"output_manifest": output, "good": good, "bad": len(bad), "redo": redo, "share_good": share}
    if share:
        context.note(
            f"of the labels made by a model, {share[0]:.1%} are good: between {share[1]:.1%} and {share[2]:.1%} of "
            f"all of them (95 % interval, {good + len(bad):,} verified)"
        )
    _report(word.name, verdicts, bad, good=good, redo=redo, context=context)
    return run.update(verification=word.model_copy(update=update))


def _redo_line(verdict: Verdict) -> dict[str, object]:
    return {
        "source-ref": verdict.image,
        "confidence": verdict.confidence,
        "comments": list(verdict.comments),
    }


def _report(
    name: str, verdicts: Sequence[Verdict], bad: Sequence[Verdict], *, good: int, redo: str, context: Context
) -> None:
    for verdict in [v for v in verdicts if v.reason][:SHOWN]:
        context.warn(f"{verdict.image} has no verdict: {verdict.reason}")
    shown = "".join(f"\n    {v.image} {'; '.join(v.comments)}".rstrip() for v in bad[:SHOWN])
    more = f"\n    and {len(bad) - SHOWN:,} more in {redo}" if len(bad) > SHOWN else ""
    advice = (
        "\n`gtseg adjust --bad` lets workers correct them, `gtseg label --continue` has them labeled again"
        if bad
        else ""
    )
    words = f"{name}: {good:,} masks are good, {len(bad):,} bad{shown}{more}{advice}"
    fields = {"good": good, "bad": [v.image for v in bad], "redo": redo}
    context.finish(words, fields)
