"""How far a labeling job is, and how much more its stopping conditions allow."""

from __future__ import annotations

from dataclasses import dataclass

from gtseg.local.labeling.automated.records import count_machine
from gtseg.local.labeling.records import Job
from gtseg.local.storage.store import Store

__all__ = ["Room", "count_left", "count_room", "count_states", "is_satisfied"]

STATES = ("waiting", "queued", "open", "answered", "consolidating", "labeled", "failed", "skipped")
ENDED = ("labeled", "failed", "skipped")


def count_states(store: Store, name: str) -> dict[str, int]:
    """How many of a job's objects are in each state."""
    query = "SELECT state, count(*) AS objects FROM labeling_objects WHERE job = ? GROUP BY state"
    counted = {row["state"]: row["objects"] for row in store.read().execute(query, (name,))}
    return {state: counted.get(state, 0) for state in STATES}


def count_left(states: dict[str, int]) -> int:
    """Objects that are neither labeled nor failed nor left alone."""
    return sum(states.values()) - sum(states[state] for state in ENDED)


@dataclass(frozen=True)
class Room:
    """How many more `objects` may be labeled in all, and how many more by `people`, before a stopping condition is met."""

    objects: int
    people: int


def count_room(store: Store, job: Job) -> Room:
    states = count_states(store, job.name)
    conditions, total = job.request.get("StoppingConditions") or {}, sum(states.values())
    percentage = int(conditions.get("MaxPercentageOfInputDatasetLabeled", 100))
    by_people = states["labeled"] - count_machine(store, job.name)
    return Room(
        max(0, max(1, total * percentage // 100) - states["labeled"]),
        max(0, int(conditions.get("MaxHumanLabeledObjectCount", total)) - by_people),
    )


def is_satisfied(store: Store, job: Job) -> bool:
    """Whether a stopping condition is met while objects are left."""
    if not job.request.get("StoppingConditions"):
        return False
    room = count_room(store, job)
    return count_left(count_states(store, job.name)) > 0 and min(room.objects, room.people) == 0
