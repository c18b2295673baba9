"""Progress of a labeling job: objects by state, and how many more its stopping conditions allow."""

from __future__ import annotations

from dataclasses import dataclass

from gtseg.local.labeling.automated.records import count_machine
from gtseg.local.labeling.records import Job
from gtseg.local.storage.store import Store

STATES = ("waiting", "queued", "open", "answered", "consolidating", "labeled", "failed", "skipped")
ENDED = ("labeled", "failed", "skipped")


def count_states(store: Store, name: str) -> dict[str, int]:
    """Return the number of a job's objects in each state."""
    query = "SELECT state, count(*) AS objects FROM labeling_objects WHERE job = ? GROUP BY state"
    counted = {row["state"]: row["objects"] for row in store.read().execute(query, (name,))}
    return {state: counted.get(state, 0) for state in STATES}


def count_left(states: dict[str, int]) -> int:
    """Return the number of objects that are neither labeled, failed nor skipped."""
    return sum(states.values()) - sum(states[state] for state in ENDED)


@dataclass(frozen=True)
class Remaining:
    """How many more `objects` may be labeled in total, and how many by `people`, until a stopping condition is met."""

    objects: int
    people: int


def count_remaining(store: Store, job: Job) -> Remaining:
    """Return what the job's stopping conditions still allow."""
    states = count_states(store, job.name)
    conditions, total = job.request.get("StoppingConditions") or {}, sum(states.values())
    percentage = int(conditions.get("MaxPercentageOfInputDatasetLabeled", 100))
    by_people = states["labeled"] - count_machine(store, job.name)
    return Remaining(
        max(0, max(1, total * percentage // 100) - states["labeled"]),
        max(0, int(conditions.get("MaxHumanLabeledObjectCount", total)) - by_people),
    )


def is_satisfied(store: Store, job: Job) -> bool:
    """Return whether a stopping condition is met while objects are left."""
    if not job.request.get("StoppingConditions"):
        return False
    remaining = count_remaining(store, job)
    return count_left(count_states(store, job.name)) > 0 and min(remaining.objects, remaining.people) == 0
