"""[budget] during work: compare the run's cost to the limit and stop what can be stopped."""

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

WARN_AT = Decimal("0.8")


class Meter:
    """Cost of a followed job together with the rest of the run; warns once at 80 % and once at 100 %.

    Does nothing without [budget] max_usd; work outside AWS's own services costs nothing.
    """

    def __init__(self, run: Run, context: Context, *, but: str = "") -> None:
        self.run, self.context = run, context
        self.limit = context.settings.budget.max_usd if _is_anything_billed(context) else None
        self.others = Decimal(0)
        if self.limit is not None:
            self.others = total(billed_rows(spent_rows(run, context, but=but), context))[0]
        self.warned_at: Decimal | None = None
        self.stopped = ""
        """Reason why the job was stopped; '' if it was not."""

    def watch(self, state: JobState) -> None:
        """Check a labeling job by its number of labeled objects."""
        if self.limit is None or state.is_over or not self.context.is_billed("label"):
            return
        labeled, by_people = count_labeled(state.counters)
        rows = labeled_rows(labeled, self.run, self.context.settings, by_people=by_people)
        self._hold(rows, state.name, lambda: self.context.labeling.stop_job(state.name))

    def train(self, state: TrainingState) -> None:
        """Check a training job by its training seconds."""
        if self.limit is None or state.is_over or not self.context.is_billed("train"):
            return
        rows = trained_rows(state, self.context, _now())
        self._hold(rows, state.name, lambda: self.context.training.stop_job(state.name))

    def tune(self, state: TuningState) -> None:
        """Check a tuning job by the seconds of all its training jobs."""
        if self.limit is None or state.is_over or not self.context.is_billed("tune"):
            return
        jobs = self.context.training.list_tuned_jobs(state.name)
        rows = tuned_rows(jobs, self.context, _now())
        self._hold(rows, state.name, lambda: self.context.training.stop_tuning(state.name))

    def transform(self, state: TransformState) -> None:
        """Check a transform job by its instance hours."""
        if self.limit is None or state.is_over or not self.context.is_billed("batch"):
            return
        row = transformed_row(state, self.context.clients, _now())
        self._hold([row] if row else [], state.name, lambda: self.context.transforms.stop_job(state.name))

    def because(self, why: str) -> str:
        """Return the error message of a stopped job; the budget comes first if it was the cause."""
        return f"{self.stopped[:1].upper()}{self.stopped[1:]}. {why}" if self.stopped else why

    def is_reached(self, rows: Sequence[Row] = ()) -> bool:
        """Return whether the run has reached the limit and must be stopped; warn when the limit is near."""
        if self.limit is None:
            return False
        cost = self.others + total(rows)[0]
        words = f"the run has cost about {_usd(cost)} USD of [budget] max_usd = {self.limit}"
        if cost >= self.limit:
            stops = self.context.settings.budget.on_exceed == "stop"
            self._report(Decimal(1), words + ("" if stops else ': work continues because on_exceed is not "stop"'))
            return stops
        if cost >= WARN_AT * self.limit:
            self._report(WARN_AT, words)
        return False

    def _hold(self, rows: Sequence[Row], name: str, stop: Callable[[], None]) -> None:
        if self.stopped or not self.is_reached(rows):
            return
        try:
            stop()
        except AWSError as error:  # it ended between the poll and the call
            self.context.warn(f"{name} could not be stopped: {error.message}")
            return
        cost = self.others + total(rows)[0]
        self.stopped = f"the run has cost about {_usd(cost)} USD, and [budget] max_usd is {self.limit}"
        self.context.warn(f"stopping {name}: {self.stopped}")

    def _report(self, mark: Decimal, words: str) -> None:
        if self.warned_at is None or self.warned_at < mark:
            self.warned_at = mark
            self.context.warn(words)


def _is_anything_billed(context: Context) -> bool:
    return any(context.is_billed(stage) for stage in BILLED_BY)


def _now() -> datetime:
    return datetime.now(UTC)


def _usd(value: Decimal) -> str:
    return f"{value:,.2f}" if value >= 1 else f"{value:.4f}"
