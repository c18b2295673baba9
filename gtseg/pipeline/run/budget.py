"""[budget] while work goes on: what the run costs is held against it, and what can be stopped is stopped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal

from gtseg.aws.clients import Clients
from gtseg.aws.groundtruth import GroundTruth, JobState
from gtseg.aws.training import Training, TrainingState, TuningState
from gtseg.core.cost import Row, total
from gtseg.errors import AWSError
from gtseg.pipeline.run import Run
from gtseg.pipeline.run.cost import labeled_rows, spent_rows, trained_rows, tuned_rows
from gtseg.pipeline.run.events import Event, Notify
from gtseg.settings import Settings

__all__ = ["Meter"]

WARN_AT = Decimal("0.8")


class Meter:
    """What one job costs while it is followed, beside what the rest of the run has cost. Says so once at 80 % and at 100 %.

    Without [budget] max_usd, and on the embedded AWS, where nothing costs, it does nothing and asks for nothing.
    """

    def __init__(
        self, stage: str, run: Run, settings: Settings, clients: Clients, *, notify: Notify, but: str = ""
    ) -> None:
        self.stage, self.run, self.settings, self.clients, self.notify = stage, run, settings, clients, notify
        self.limit = None if clients.is_local else settings.budget.max_usd
        self.others = (
            Decimal(0) if self.limit is None else total(spent_rows(run, settings, clients, but=but))[0]
        )
        self.told: Decimal | None = None
        self.stopped = ""
        """Why the job was stopped; '' while it was not."""

    def watch(self, state: JobState) -> None:
        """A labeling job, by what it has labeled so far."""
        if self.limit is None or state.is_over:
            return
        rows = labeled_rows(state.counters.get("TotalLabeled", 0), self.run, self.settings)
        self._hold(rows, state.name, lambda: GroundTruth(self.clients).stop_job(state.name))

    def train(self, state: TrainingState) -> None:
        """A training job, by the seconds that it has trained."""
        if self.limit is None or state.is_over:
            return
        rows = trained_rows(state, self.clients, _now())
        self._hold(rows, state.name, lambda: Training(self.clients).stop_job(state.name))

    def tune(self, state: TuningState) -> None:
        """A tuning job, by the seconds of all its training jobs."""
        if self.limit is None or state.is_over:
            return
        jobs = Training(self.clients).list_tuned_jobs(state.name)
        rows = tuned_rows(jobs, self.settings.train.instance_type, self.clients, _now())
        self._hold(rows, state.name, lambda: Training(self.clients).stop_tuning(state.name))

    def because(self, why: str) -> str:
        """What a stopped job's error says: the budget first, where that was the cause."""
        return f"{self.stopped[:1].upper()}{self.stopped[1:]}. {why}" if self.stopped else why

    def is_reached(self, rows: Sequence[Row] = ()) -> bool:
        """Whether the run has cost all that it may, and is to be stopped then; told when it is near."""
        if self.limit is None:
            return False
        cost = self.others + total(rows)[0]
        words = f"the run has cost about {_usd(cost)} USD of [budget] max_usd = {self.limit}"
        if cost >= self.limit:
            stops = self.settings.budget.on_exceed == "stop"
            self._tell(Decimal(1), words + ("" if stops else ': it goes on, for on_exceed is not "stop"'))
            return stops
        if cost >= WARN_AT * self.limit:
            self._tell(WARN_AT, words)
        return False

    def _hold(self, rows: Sequence[Row], name: str, stop: Callable[[], None]) -> None:
        if self.stopped or not self.is_reached(rows):
            return
        try:
            stop()
        except AWSError as error:  # it ended by itself between the look and the call
            self.notify(Event(self.stage, "warning", f"{name} could not be stopped: {error.message}"))
            return
        cost = self.others + total(rows)[0]
        self.stopped = f"the run has cost about {_usd(cost)} USD, and [budget] max_usd is {self.limit}"
        self.notify(Event(self.stage, "warning", f"{name} is being stopped: {self.stopped}"))

    def _tell(self, mark: Decimal, words: str) -> None:
        if self.told is None or self.told < mark:
            self.told = mark
            self.notify(Event(self.stage, "warning", words))


def _now() -> datetime:
    return datetime.now(UTC)


def _usd(value: Decimal) -> str:
    return f"{value:,.2f}" if value >= 1 else f"{value:.4f}"
