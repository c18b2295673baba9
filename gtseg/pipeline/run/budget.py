"""[budget] while work goes on: what the run costs is held against it, and what can be stopped is stopped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal

from gtseg.aws.groundtruth import JobState
from gtseg.aws.training import TrainingState, TuningState
from gtseg.aws.transform import TransformState
from gtseg.core.cost import BILLED_BY, Row, total
from gtseg.errors import AWSError
from gtseg.pipeline.run import Context, Run
from gtseg.pipeline.run.cost import (
    billed_rows,
    count_labeled,
    labeled_rows,
    spent_rows,
    trained_rows,
    transformed_row,
    tuned_rows,
)

__all__ = ["Meter"]

WARN_AT = Decimal("0.8")


class Meter:
    """What one job costs while it is followed, beside what the rest of the run has cost. Says so once at 80 % and at 100 %.

    Without [budget] max_usd it does nothing and asks for nothing; what is not done by AWS's own services costs nothing.
    """

    def __init__(self, run: Run, context: Context, *, but: str = "") -> None:
        self.run, self.context = run, context
        self.limit = context.settings.budget.max_usd if _is_anything_billed(context) else None
        self.others = Decimal(0)
        if self.limit is not None:
            self.others = total(billed_rows(spent_rows(run, context, but=but), context))[0]
        self.told: Decimal | None = None
        self.stopped = ""
        """Why the job was stopped; '' while it was not."""

    def watch(self, state: JobState) -> None:
        """A labeling job, by what it has labeled so far."""
        if self.limit is None or state.is_over or not self.context.is_billed("label"):
            return
        labeled, by_people = count_labeled(state.counters)
        rows = labeled_rows(labeled, self.run, self.context.settings, by_people=by_people)
        self._hold(rows, state.name, lambda: self.context.labeling.stop_job(state.name))

    def train(self, state: TrainingState) -> None:
        """A training job, by the seconds that it has trained."""
        if self.limit is None or state.is_over or not self.context.is_billed("train"):
            return
        rows = trained_rows(state, self.context, _now())
        self._hold(rows, state.name, lambda: self.context.training.stop_job(state.name))

    def tune(self, state: TuningState) -> None:
        """A tuning job, by the seconds of all its training jobs."""
        if self.limit is None or state.is_over or not self.context.is_billed("tune"):
            return
        jobs = self.context.training.list_tuned_jobs(state.name)
        rows = tuned_rows(jobs, self.context, _now())
        self._hold(rows, state.name, lambda: self.context.training.stop_tuning(state.name))

    def transform(self, state: TransformState) -> None:
        """A transform job, by the hours of its machines."""
        if self.limit is None or state.is_over or not self.context.is_billed("batch"):
            return
        row = transformed_row(state, self.context.clients, _now())
        self._hold([row] if row else [], state.name, lambda: self.context.transforms.stop_job(state.name))

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
            stops = self.context.settings.budget.on_exceed == "stop"
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
            self.context.warn(f"{name} could not be stopped: {error.message}")
            return
        cost = self.others + total(rows)[0]
        self.stopped = f"the run has cost about {_usd(cost)} USD, and [budget] max_usd is {self.limit}"
        self.context.warn(f"{name} is being stopped: {self.stopped}")

    def _tell(self, mark: Decimal, words: str) -> None:
        if self.told is None or self.told < mark:
            self.told = mark
            self.context.warn(words)


def _is_anything_billed(context: Context) -> bool:
    return any(context.is_billed(stage) for stage in BILLED_BY)


def _now() -> datetime:
    return datetime.now(UTC)


def _usd(value: Decimal) -> str:
    return f"{value:,.2f}" if value >= 1 else f"{value:.4f}"
