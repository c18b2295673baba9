"""Cost of a run: the maximum before a stage, the cost so far, and what is billed by the hour."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from gtseg.aws.calls import TERMINAL
from gtseg.aws.clients import Clients
from gtseg.aws.pricing import instance_hours
from gtseg.aws.training import TrainingState, TunedJob
from gtseg.aws.transform import TransformState
from gtseg.core.cost import (
    Price,
    Row,
    automated_row,
    hosting_row,
    labeling_rows,
    storage_row,
    table_price,
    total,
    training_row,
    transform_row,
)
from gtseg.core.labeling.automated import INSTANCE
from gtseg.errors import AWSError, GtsegError
from gtseg.pipeline.run import Context, Run
from gtseg.settings import Settings

OTHER_STAGES = frozenset({"train", "tune", "model", "config", "endpoint", "batch-model", "transform"})
"""Words in the names of attempts that are not labeling jobs."""


@dataclass(frozen=True)
class Bill:
    """Rows of what was spent, and of what is billed by the hour until it is deleted."""

    spent: tuple[Row, ...]
    running: tuple[Row, ...]
    max_usd: Decimal | None


def now() -> datetime:
    return datetime.now(UTC)


def planned_rows(stage: str, context: Context, *, objects: int | None = None) -> list[Row]:
    """Return rows of the maximum cost of `stage`: every object labeled, every second of the limit used."""
    settings, clients = context.settings, context.clients
    train, deploy = settings.train, settings.deploy
    if stage == "label":
        price = settings.labeling.price_per_task
        rows = labeling_rows(
            _capped(objects or 0, settings),
            settings.labeling.workers_per_object,
            price=None if price is None else Decimal(str(price)),
            what="workers, at most: labels made by a model are not paid" if settings.labeling.automated else "workers",
        )
        if settings.labeling.automated:
            rows.append(automated_row(INSTANCE, instance_price(INSTANCE, clients, "train")))
        return rows
    if stage == "train":
        return [
            training_row(train.instance_type, train.max_runtime, instance_price(train.instance_type, clients, "train"))
        ]
    if stage == "tune":
        seconds = train.max_runtime * settings.tune.max_jobs
        what = f"{settings.tune.max_jobs} training jobs on {train.instance_type}"
        return [
            training_row(
                train.instance_type,
                seconds,
                instance_price(train.instance_type, clients, "train"),
                stage="tune",
                what=what,
            )
        ]
    if stage == "deploy":
        price_an_hour = instance_price(deploy.instance_type, clients, "deploy")
        return [hosting_row(deploy.instance_type, deploy.instance_count, price_an_hour, seconds=deploy.time_to_live)]
    if stage == "batch":
        return [_planned_transform(objects or 0, context)]
    return []


START_SECONDS = 300.0
"""Seconds of a transform instance before its first result, which are billed too."""


def _planned_transform(images: int, context: Context) -> Row:
    """Return an estimate, not a limit.

    AWS has no time limit for transform jobs; [budget] and `stalled_after` stop a followed job.
    """
    settings = context.settings
    batch = settings.batch
    kind = batch.instance_type or settings.deploy.instance_type
    seconds = images * batch.seconds_per_image + START_SECONDS * batch.instances
    price = instance_price(kind, context.clients, "batch")
    return transform_row(kind, batch.instances, price, seconds=seconds, images=images)


def transformed_row(state: TransformState, clients: Clients, at: datetime) -> Row | None:
    """Return the row of a transform job's instance hours so far; None before it starts."""
    if state.started is None:
        return None
    seconds = ((state.ended or at) - state.started).total_seconds() * state.instance_count
    price = instance_price(state.instance_type, clients, "batch")
    return transform_row(state.instance_type, state.instance_count, price, seconds=max(0.0, seconds))


def _capped(objects: int, settings: Settings) -> int:
    """Return the number of objects after which StoppingConditions end a labeling job."""
    labeling = settings.labeling
    if labeling.max_labeled_percent is not None:
        objects = -(-objects * labeling.max_labeled_percent // 100)
    return min(objects, labeling.max_labeled_objects or objects)


def instance_price(instance_type: str, clients: Clients, use: str) -> Price:
    """Return USD per hour from AWS's price list if it is accessible, else from the dated table."""
    return table_price(instance_type, clients.region, asked=instance_hours(clients, [instance_type], use=use))


def past_rows(run: Run, context: Context, *, clock: Callable[[], datetime] = now) -> Bill:
    """Return rows of what was used so far, including failed attempts and running work, at today's prices."""
    _, standing = _hosting(run, context.clients, clock())
    spent = spent_rows(run, context, clock=clock)
    running = (*standing, *_storage(run, context))
    return Bill(tuple(spent), running, context.settings.budget.max_usd)


def billed_rows(rows: Sequence[Row], context: Context) -> list[Row]:
    """Return the rows of AWS's own services; others are not billed."""
    billed = {stage for stage in {row.stage for row in rows} if context.is_billed(stage)}
    return [row for row in rows if row.stage in billed]


def spent_rows(run: Run, context: Context, *, clock: Callable[[], datetime] = now, but: str = "") -> list[Row]:
    """Return a row for each kind of work except the job `but`; uses run.json for jobs that AWS has deleted."""
    at = clock()
    counts = [_labeled(run, name, context) for name in _labeling_jobs(run) if name != but]
    labeled, by_people = (sum(count[i] for count in counts) for i in (0, 1))
    rows = labeled_rows(labeled, run, context.settings, by_people=by_people)
    rows += _training(run, context, at, but=but)
    for name in dict.fromkeys(attempt.name for attempt in run.attempts_of("tune")):
        if name != but and (jobs := _tuned(name, context)):
            rows += tuned_rows(jobs, context, at)
    for name in dict.fromkeys(attempt.name for attempt in run.attempts_of("transform")):
        state = context.transforms.find_job(name) if name != but else None
        row = transformed_row(state, context.clients, at) if state else None
        rows += [row] if row else []
    return rows + _hosting(run, context.clients, at)[0]


def count_labeled(counters: Mapping[str, int]) -> tuple[int, int]:
    """Return (objects labeled, those labeled by people) of LabelCounters; only the latter are paid to workers."""
    labeled = int(counters.get("TotalLabeled", 0))
    return labeled, labeled - int(counters.get("MachineLabeled", 0))


def labeled_rows(labeled: int, run: Run, settings: Settings, *, by_people: int) -> list[Row]:
    """Return the rows of labeling; Ground Truth bills labeled objects, workers are paid for those that they labeled."""
    if not labeled:
        return []
    job = run.labeling_job
    price = settings.labeling.price_per_task if job and job.workforce == "public" else None
    workers = settings.labeling.workers_per_object
    return labeling_rows(labeled, workers, price=None if price is None else Decimal(str(price)), by_people=by_people)


def _labeling_jobs(run: Run) -> list[str]:
    """Return every labeling, adjustment and verification job that the run ever attempted."""
    own = [a.name for a in run.attempts if a.stage not in OTHER_STAGES]
    if run.labeling_job and run.labeling_job.workforce != "import":
        own.append(run.labeling_job.name)
    return list(dict.fromkeys(own))


def _labeled(run: Run, name: str, context: Context) -> tuple[int, int]:
    section = run.labeling_job
    known: Mapping[str, int] = section.counters if section and section.name == name else {}
    if not (section and section.name == name and section.status in TERMINAL):
        state = context.labeling.find_job(name)
        known = state.counters if state else known
    return count_labeled(known)


def _training(run: Run, context: Context, at: datetime, *, but: str) -> list[Row]:
    rows, section = [], run.training_job
    names = [attempt.name for attempt in run.attempts_of("train")]
    if section and not section.tuning_job:
        names.append(section.name)
    for name in dict.fromkeys(names):
        if name == but:
            continue
        if section and section.name == name and section.billable_seconds is not None:
            rows.append(_trained(section.instance_type, section.billable_seconds, context.clients))
        elif state := context.training.find_job(name):
            rows += trained_rows(state, context, at)
    return rows


def trained_rows(state: TrainingState, context: Context, at: datetime) -> list[Row]:
    """Return the row of a training job's billable seconds, or of its training seconds so far."""
    seconds: float | None = state.billable
    if seconds is None and state.started:
        seconds = ((state.ended or at) - state.started).total_seconds()
    return [_trained(state.instance_type, seconds, context.clients)] if seconds else []


def tuned_rows(jobs: Sequence[TunedJob], context: Context, at: datetime) -> list[Row]:
    """Return the row of all training jobs of a tuning job together."""
    seconds = sum(((job.ended or at) - job.started).total_seconds() for job in jobs if job.started)
    instance_type = context.settings.train.instance_type
    what = f"{len(jobs)} training jobs on {instance_type}"
    price = instance_price(instance_type, context.clients, "train")
    return [training_row(instance_type, seconds, price, stage="tune", what=what)] if seconds else []


def _tuned(name: str, context: Context) -> list[TunedJob]:
    """Return the training jobs of a tuning job; none if AWS does not know it."""
    training = context.training
    return training.list_tuned_jobs(name) if training.find_tuning(name) else []


def _trained(instance_type: str, seconds: float, clients: Clients) -> Row:
    return training_row(instance_type, seconds, instance_price(instance_type, clients, "train"))


def _hosting(run: Run, clients: Clients, at: datetime) -> tuple[list[Row], list[Row]]:
    endpoint = run.endpoint
    if endpoint is None or endpoint.since is None:
        return [], []
    price = instance_price(endpoint.instance_type, clients, "deploy")
    until = endpoint.deleted or at
    seconds = max(0.0, (until - endpoint.since).total_seconds())
    used = [hosting_row(endpoint.instance_type, endpoint.instance_count, price, seconds=seconds)]
    goes_on = [hosting_row(endpoint.instance_type, endpoint.instance_count, price, seconds=None)]
    return used, [] if endpoint.deleted else goes_on


def _storage(run: Run, context: Context) -> list[Row]:
    try:
        size = sum(item.size for item in context.s3.list_objects(run.root))
    except AWSError:
        return []
    return [storage_row(size)] if size else []


def check_budget(stage: str, run: Run, context: Context, *, objects: int | None = None) -> tuple[list[Row], str | None]:
    """Return (the stage's rows, a warning or None). Raises GtsegError if [budget] forbids the stage."""
    rows, budget = planned_rows(stage, context, objects=objects), context.settings.budget
    limit = budget.max_usd
    if limit is None or not context.is_billed(stage):
        return rows, None
    spent = total(billed_rows(spent_rows(run, context), context))[0]
    planned, unknown = total(rows)
    words = _over(stage, spent, planned, limit)
    if words is None and (unknown or any(row.recurring for row in rows)):
        words = f"{stage} has no known maximum cost (no price, or no end): set its limits or [deploy] time_to_live"
    if words and budget.on_exceed != "warn":
        raise GtsegError(f'{words}. This exceeds [budget] max_usd = {limit}; raise it, or set on_exceed = "warn".')
    return rows, words


def _over(stage: str, spent: Decimal, planned: Decimal, limit: Decimal) -> str | None:
    if spent + planned <= limit:
        return None
    return f"{stage} may cost {planned:.2f} USD and the run has cost {spent:.2f} USD: more than {limit} USD"
