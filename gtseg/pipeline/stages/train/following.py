"""A training job, followed to its end: its log lines, its epochs, the best of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict

from gtseg.aws.clients import Clients
from gtseg.aws.logs import LogTail
from gtseg.aws.training import Training, TrainingState
from gtseg.aws.waiting import poll
from gtseg.core.training.log import Epoch, Reading
from gtseg.errors import Interrupted
from gtseg.pipeline.run import EpochRecord, TrainingJobSection
from gtseg.pipeline.run.budget import Meter
from gtseg.pipeline.run.events import Event, Notify
from gtseg.pipeline.run.resuming import how_to_resume

LAST_LINES_SECONDS = 20.0
"""CloudWatch shows a job's last lines some seconds after the job has ended."""


class Follower:
    """Reads a job's log as it comes; tells every line, and every epoch once it is complete."""

    def __init__(self, clients: Clients, job: str, *, notify: Notify, epochs: int | None) -> None:
        self.tail, self.notify, self.total = LogTail(clients, job), notify, epochs
        self.reading = Reading()
        self.told: set[int] = set()

    def read(self) -> int:
        """How many new lines there were."""
        lines = [line for text in self.tail.read() for line in text.splitlines()]
        for line in lines:
            self.notify(Event("train", "log", line))
        self.reading = self.reading.read(lines)
        for epoch in self.reading.epochs:
            if epoch.is_complete and epoch.number not in self.told:
                self.told.add(epoch.number)
                self.notify(self._row(epoch))
        return len(lines)

    def _row(self, epoch: Epoch) -> Event:
        best = self.reading.best
        facts = asdict(epoch) | {"best": best is not None and best.number == epoch.number}
        return Event(
            "train", "epoch", epoch_words(epoch), done=epoch.number + 1, total=self.total, fields=facts
        )


def epoch_words(epoch: Epoch) -> str:
    """One epoch as a sentence of numbers."""
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
    clients: Clients,
    *,
    notify: Notify,
    patience: float,
    meter: Meter | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[TrainingState, TrainingJobSection]:
    """The job's last state and the section with all that is known of it, whether it completed or not.

    Raises WaitTimeout after `patience` seconds of waiting, Interrupted on Ctrl-C: the job is left as it is.
    """
    training = Training(clients, sleep=sleep)
    planned = section.hyperparameters.get("epochs", "10")
    follower = Follower(
        clients, section.name, notify=notify, epochs=int(planned) if planned.isdigit() else None
    )
    stop = f" (stop it: `aws sagemaker stop-training-job --training-job-name {section.name}`)"
    resume = how_to_resume(section.name, clients, command="gtseg train", otherwise=stop)
    seen: list[str] = []

    def look() -> TrainingState:
        state = training.describe_job(section.name)
        if state.secondary not in seen[-1:]:
            seen.append(state.secondary)
            notify(Event("train", "progress", f"{section.name} {state.status}: {state.secondary}"))
        follower.read()
        if meter:
            meter.train(state)
        return state

    try:
        state = poll(look, until=lambda s: s.is_over, patience=patience, resume=resume, sleep=sleep)
        _read_last_lines(follower, sleep=sleep, state=state)
    except KeyboardInterrupt:
        raise Interrupted(f"Stopped following. {resume}") from None
    return state, _seen(section, state, follower.reading)


def _read_last_lines(follower: Follower, *, sleep: Callable[[float], None], state: TrainingState) -> None:
    """Wait until a completed job's log says that all epochs are there, or for a while."""
    waited = 0.0
    while state.status == "Completed" and follower.reading.progress != 100 and waited < LAST_LINES_SECONDS:
        if not follower.read() and follower.reading.epochs:
            break
        sleep(1.0)
        waited += 1.0
    follower.read()


def _seen(section: TrainingJobSection, state: TrainingState, reading: Reading) -> TrainingJobSection:
    epochs = tuple(EpochRecord(**asdict(epoch)) for epoch in reading.epochs)
    best = reading.best
    return section.model_copy(
        update={
            "status": state.status,
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
