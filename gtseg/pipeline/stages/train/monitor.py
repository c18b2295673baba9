"""Follow a training job to its end: log lines, epochs, and the best epoch."""

from __future__ import annotations

from dataclasses import asdict

from gtseg.aws.logs import LogTail
from gtseg.aws.training import TrainingState
from gtseg.core.training.log import Epoch, Reading
from gtseg.errors import reason_given
from gtseg.pipeline.run import Context, EpochRecord, TrainingJobSection
from gtseg.pipeline.run.budget import Meter
from gtseg.pipeline.run.events import Event
from gtseg.pipeline.run.pending_jobs import follow, how_to_resume

LAST_LINES_SECONDS = 20.0
"""Seconds after a job's end until CloudWatch has its last lines."""


class Follower:
    """Reader of a job's log that sends an event for every line and every complete epoch."""

    def __init__(self, context: Context, job: str, *, epochs: int | None) -> None:
        self.tail, self.context, self.total = LogTail(context.clients, job), context, epochs
        self.notify, self.has_warned = context.notify, False
        self.reading = Reading()
        self.reported: set[int] = set()

    def read(self) -> int:
        """Read new lines and return their number."""
        lines = [line for text in self.tail.read() for line in text.splitlines()]
        self._warn_of_refusal()
        for line in lines:
            self.notify(Event("train", "log", line))
        self.reading = self.reading.read(lines)
        for epoch in self.reading.epochs:
            if epoch.is_complete and epoch.number not in self.reported:
                self.reported.add(epoch.number)
                self.notify(self._row(epoch))
        return len(lines)

    def _warn_of_refusal(self) -> None:
        """Warn once about a log that cannot be read; the job is followed anyway."""
        refusal = self.tail.refusal
        if refusal is not None and not self.has_warned:
            self.has_warned = True
            self.context.warn(
                f"the job's log cannot be read ({refusal.code}: {reason_given(refusal.message)}): following the job "
                "by its status; its "
                f"epochs' scores stay unknown. {refusal.hint}".rstrip()
            )

    def _row(self, epoch: Epoch) -> Event:
        best = self.reading.best
        facts = asdict(epoch) | {"best": best is not None and best.number == epoch.number}
        return Event("train", "epoch", format_epoch(epoch), done=epoch.number + 1, total=self.total, fields=facts)


def format_epoch(epoch: Epoch) -> str:
    """Format one epoch's numbers as a sentence."""
    parts = [f"epoch {epoch.number}"]
    for name, value, form in (
        ("train loss", epoch.train_loss, ".4f"),
        ("validation mIoU", epoch.miou, ".4f"),
        ("pixel accuracy", epoch.pixel_accuracy, ".4f"),
    ):
        parts.append(f"{name} {value:{form}}" if value is not None else f"{name} ?")
    if epoch.train_throughput:
        parts.append(f"{epoch.train_throughput:.1f} images/s")
    return ", ".join(parts)


def follow_training(
    section: TrainingJobSection,
    context: Context,
    *,
    patience: float,
    meter: Meter | None = None,
) -> tuple[TrainingState, TrainingJobSection]:
    """Return the job's final state and the section with everything known about it, whether it completed or not.

    Raises WaitTimeout after `patience` seconds, Interrupted on Ctrl-C; the job continues in both cases.
    """
    planned = section.hyperparameters.get("epochs", "10")
    follower = Follower(context, section.name, epochs=int(planned) if planned.isdigit() else None)
    stop = f" (stop it: `aws sagemaker stop-training-job --training-job-name {section.name}`)"
    resume = how_to_resume(section.name, context, command="gtseg train", otherwise=stop)
    seen: list[str] = []

    def read_state() -> TrainingState:
        state = context.training.describe_job(section.name)
        if state.secondary not in seen[-1:]:
            seen.append(state.secondary)
            context.progress(f"{section.name} {state.status}: {state.secondary}")
        follower.read()
        if meter:
            meter.train(state)
        return state

    def is_over(state: TrainingState) -> bool:
        if state.is_over:
            _read_last_lines(follower, state, context)
        return state.is_over

    state = follow(read_state, context, until=is_over, patience=patience, resume=resume, stopped="Stopped following.")
    section = _seen(section, state, follower.reading)
    if state.status == "Stopped" and not section.epochs and follower.tail.refusal is None:
        section = section.model_copy(update={"model_artifact": None})  # such a model has learned nothing
    return state, section


def _read_last_lines(follower: Follower, state: TrainingState, context: Context) -> None:
    """Wait until a completed job's log has all epochs, with a time limit."""
    waited = 0.0
    while (
        state.has_result
        and follower.tail.refusal is None
        and follower.reading.progress != 100
        and waited < LAST_LINES_SECONDS
    ):
        if not follower.read() and follower.reading.epochs:
            break
        context.sleep(1.0)
        waited += 1.0
    follower.read()


def _seen(section: TrainingJobSection, state: TrainingState, reading: Reading) -> TrainingJobSection:
    epochs = tuple(EpochRecord(**asdict(epoch)) for epoch in reading.epochs)
    best = reading.best
    return section.model_copy(
        update={
            "status": state.status,
            "secondary": state.secondary,
            "reason": state.reason,
            "model_artifact": state.model_artifact,
            "created": state.created,
            "started": state.started,
            "ended": state.ended,
            "billable_seconds": state.billable,
            "epochs": epochs or section.epochs,
            "best": EpochRecord(**asdict(best)) if best else section.best,
        }
    )
