"""cost: before a stage what it may cost at most, afterwards what the run has cost and what still costs by the hour."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from gtseg.aws.clients import Clients
from gtseg.aws.pricing import instance_hours
from gtseg.aws.s3 import S3
from gtseg.core.cost import (
    Price,
    Row,
    hosting_row,
    labeling_rows,
    storage_row,
    table_price,
    total,
    training_row,
)
from gtseg.errors import AWSError, GtsegError
from gtseg.pipeline.run import Run
from gtseg.settings import Settings

__all__ = ["Bill", "check_budget", "past_rows", "planned_rows"]


@dataclass(frozen=True)
class Bill:
    """Rows of what was spent, what may come, and what costs by the hour until it is deleted."""

    spent: tuple[Row, ...]
    planned: tuple[Row, ...]
    running: tuple[Row, ...]
    max_usd: Decimal | None

    @property
    def ceiling(self) -> Decimal:
        """USD spent and planned together, as far as prices are known."""
        return total(self.spent)[0] + total(self.planned)[0]


def now() -> datetime:
    return datetime.now(UTC)


def planned_rows(
    stage: str, settings: Settings, clients: Clients, *, objects: int | None = None
) -> list[Row]:
    """The most that starting `stage` can cost: every object labeled, every second of the limit used."""
    train, deploy = settings.train, settings.deploy
    if stage == "label":
        price = settings.labeling.price_per_task
        return labeling_rows(
            _capped(objects or 0, settings),
            settings.labeling.workers_per_object,
            price=None if price is None else Decimal(str(price)),
        )
    if stage == "train":
        return [
            training_row(
                train.instance_type, train.max_runtime, _price(train.instance_type, clients, "train")
            )
        ]
    if stage == "tune":
        seconds = train.max_runtime * settings.tune.max_jobs
        what = f"{settings.tune.max_jobs} training jobs on {train.instance_type}"
        return [
            training_row(
                train.instance_type,
                seconds,
                _price(train.instance_type, clients, "train"),
                stage="tune",
                what=what,
            )
        ]
    if stage == "deploy":
        price_an_hour = _price(deploy.instance_type, clients, "deploy")
        return [
            hosting_row(
                deploy.instance_type, deploy.instance_count, price_an_hour, seconds=deploy.time_to_live
            )
        ]
    return []


def _capped(objects: int, settings: Settings) -> int:
    """StoppingConditions end a labeling job before all objects are labeled."""
    labeling = settings.labeling
    if labeling.max_labeled_percent is not None:
        objects = -(-objects * labeling.max_labeled_percent // 100)
    return min(objects, labeling.max_labeled_objects or objects)


def _price(instance_type: str, clients: Clients, use: str) -> Price:
    return table_price(instance_type, clients.region, asked=instance_hours(clients, [instance_type], use=use))


def past_rows(run: Run, settings: Settings, clients: Clients, *, clock: Callable[[], datetime] = now) -> Bill:
    """What the run's sections say was used, at today's prices."""
    spent: list[Row] = []
    running: list[Row] = []
    job = run.labeling_job
    if job and job.workforce != "import":
        price = settings.labeling.price_per_task if job.workforce == "public" else None
        labeled = job.counters.get("TotalLabeled", 0)
        spent += labeling_rows(
            labeled,
            settings.labeling.workers_per_object,
            price=None if price is None else Decimal(str(price)),
        )
    spent += _training(run, clients)
    ended, standing = _hosting(run, clients, clock())
    spent += ended
    running += standing
    running += _storage(run, clients)
    return Bill(tuple(spent), (), tuple(running), settings.budget.max_usd)


def _training(run: Run, clients: Clients) -> list[Row]:
    job = run.training_job
    if job is None or job.billable_seconds is None:
        return []
    return [
        training_row(job.instance_type, job.billable_seconds, _price(job.instance_type, clients, "train"))
    ]


def _hosting(run: Run, clients: Clients, at: datetime) -> tuple[list[Row], list[Row]]:
    endpoint = run.endpoint
    if endpoint is None or endpoint.since is None:
        return [], []
    price = _price(endpoint.instance_type, clients, "deploy")
    until = endpoint.deleted or at
    seconds = max(0.0, (until - endpoint.since).total_seconds())
    used = [hosting_row(endpoint.instance_type, endpoint.instance_count, price, seconds=seconds)]
    goes_on = [hosting_row(endpoint.instance_type, endpoint.instance_count, price, seconds=None)]
    return used, [] if endpoint.deleted else goes_on


def _storage(run: Run, clients: Clients) -> list[Row]:
    try:
        size = sum(item.size for item in S3(clients).list_objects(run.root))
    except AWSError:
        return []
    return [storage_row(size)] if size else []


def check_budget(
    stage: str, run: Run, settings: Settings, clients: Clients, *, objects: int | None = None
) -> tuple[list[Row], str | None]:
    """(the stage's rows, a warning or None). Raises GtsegError where [budget] forbids the stage."""
    rows = planned_rows(stage, settings, clients, objects=objects)
    limit = settings.budget.max_usd
    if limit is None or clients.is_local:
        return rows, None
    spent = total(past_rows(run, settings, clients).spent)[0]
    planned, unknown = total(rows)
    words = _over(stage, spent, planned, limit)
    if words is None and (unknown or any(row.recurring for row in rows)):
        words = f"{stage} has no known limit to its cost (no price, or no end): set its limits or [deploy] time_to_live"
    if words and settings.budget.on_exceed == "refuse":
        raise GtsegError(
            f'{words}. [budget] max_usd = {limit} refuses it; raise it, or set on_exceed = "warn".'
        )
    return rows, words


def _over(stage: str, spent: Decimal, planned: Decimal, limit: Decimal) -> str | None:
    if spent + planned <= limit:
        return None
    return f"{stage} may cost {planned:.2f} USD and the run has cost {spent:.2f} USD: more than {limit} USD"
