"""One creating call, made once: however often and wherever it is killed, and whoever else runs it at the same time.

The attempt is saved before its call, its result right after. ResourceInUse means: look at what has the name, and adopt it
only when its tag carries this request's fingerprint. A failed or stopped resource is never adopted: the next attempt has
the next name, and is saved before its own call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from gtseg.aws.calls import HiddenTags
from gtseg.errors import AWSError, StageError
from gtseg.pipeline.run.file import RunFile
from gtseg.pipeline.run.fingerprint import FINGERPRINT_TAG, fingerprint
from gtseg.pipeline.run.sections import Attempt, Run

IN_USE_CODES = frozenset({"ResourceInUse", "ResourceInUseException"})
STAND_IN = "stand-in"
"""The name in the request that is fingerprinted: a new attempt is the same request under another name."""
CLOCKS_APART = timedelta(minutes=5)
"""By how much this machine's clock and AWS's may differ."""
PATIENCE = 25
"""Names tried before giving up: each was taken by a stranger, or by a failed attempt of this run."""


@dataclass(frozen=True)
class Found:
    """What has a name now. `fingerprint` is its gtseg:fingerprint tag, None where it has none.

    `is_hidden`: the caller may not see its tags. It is taken for the attempt's own if it was made after that was recorded.
    """

    arn: str
    status: str
    fingerprint: str | None
    reason: str = ""
    is_hidden: bool = False
    created: datetime | None = None

    def is_of(self, attempt: Attempt) -> bool:
        """Whether this attempt made it."""
        if not self.is_hidden:
            return self.fingerprint == attempt.fingerprint
        return self.created is not None and self.created >= attempt.recorded - CLOCKS_APART

    @property
    def is_dead(self) -> bool:
        """Whether nothing more comes of it. `Over` is a resource's own word for a job whose result has been taken."""
        return self.status in {"Failed", "Stopped", "Stopping", "Over"}


class Described(Protocol):
    """What the services' doors say of a job, model or endpoint."""

    @property
    def arn(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def tags(self) -> Mapping[str, str]: ...
    @property
    def created(self) -> datetime | None: ...


def found(state: Described | None) -> Found | None:
    """A looked-up resource as `Resource.find` answers."""
    if state is None:
        return None
    mark, is_hidden = state.tags.get(FINGERPRINT_TAG), isinstance(state.tags, HiddenTags)
    return Found(state.arn, state.status, mark, state.reason, is_hidden=is_hidden, created=state.created)


class Resource(Protocol):
    """What costs money and is made exactly once: a labeling job, a training job, a model, an endpoint."""

    @property
    def stage(self) -> str:
        """Word of its name, <run>-<stage>-<number>; its attempts are kept in run.json under it."""
        ...

    @property
    def what(self) -> str:
        """Its kind as people call it."""
        ...

    @property
    def name_limit(self) -> int:
        """Characters of a name (API)."""
        return 63

    @property
    def way_out(self) -> str:
        """What to do where the run has a live one made from something else."""
        return "Put the settings back, stop that job, or start a new run with --run."

    def gives_way(self, found: Found) -> bool:
        """Whether a live one that was made from something else makes room for a new one; else it is an error."""
        return False

    def request(self, name: str, tags: Mapping[str, str]) -> dict[str, Any]:
        """The creating call's body, its tags added: a pure function of plain values."""
        ...

    def find(self, name: str) -> Found | None:
        """What has this name now."""
        ...

    def create(self, name: str, request: Mapping[str, Any]) -> str:
        """The creating call; its ARN."""
        ...

    def keep(self, run: Run, name: str, arn: str) -> Run:
        """The run with this resource in its section; the same run if it holds it already."""
        ...

    @property
    def fingerprint(self) -> str:
        """What it is made from: a resource that carries another one is not adopted."""
        return fingerprint(self.request(STAND_IN, {}))

    @property
    def origin(self) -> Mapping[str, str]:
        """Tags that say where it comes from; no part of the fingerprint."""
        return {}

    @property
    def signature(self) -> dict[str, str]:
        """The tags by which it is found again, and those of its origin."""
        return {FINGERPRINT_TAG: self.fingerprint, **self.origin}

    def shown(self, name: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a dry run shows."""
        return request

    def prepare(self, run: Run) -> None:
        """Ask for consent and make what it needs, each of which may be done again without harm."""
        return

    def name(self, run: Run, number: int) -> str:
        """<run>-<stage>-<number>, the run's name shortened where AWS's limit asks for it."""
        tail = f"-{self.stage}-{number}"
        return run.name[: self.name_limit - len(tail)].rstrip("-") + tail


def create_once(run_file: RunFile, run: Run, resource: Resource) -> tuple[Run, Attempt, str]:
    """The run (saved), the attempt that stands, and the ARN of the one resource that it made or adopted.

    Raises StageError when this run already has a live resource made from other settings, AWSError when AWS refuses.
    """
    for _ in range(PATIENCE):
        run, attempt = _next_attempt(run_file, run, resource)
        arn, attempt = _create_or_adopt(resource, attempt)
        run = run_file.save(run.with_attempt(attempt))
        if arn:
            return run, attempt, arn
    raise StageError(
        f"{PATIENCE} names for {resource.stage} were taken, the last {attempt.name!r}. Use another --run name."
    )


def standing(run: Run, resource: Resource) -> Found | None:
    """The live resource that this run made from these very settings, if there is one; asks AWS, changes nothing.

    Raises StageError when the run has a live one made from other settings, SettingsError for a request that AWS would
    refuse: to be asked before anything is prepared.
    """
    fingerprint = resource.fingerprint
    earlier = run.attempts_of(resource.stage)
    last = earlier[-1] if earlier else None
    if last is None or last.outcome in {"failed", "taken"}:
        return None
    found = resource.find(last.name)
    if found is None or not found.is_of(last) or found.is_dead:
        return None
    if last.fingerprint != fingerprint:
        if resource.gives_way(found):
            return None
        raise _made_otherwise(run, resource, last, found)
    return found


def failed_attempt(run: Run, stage: str, name: str | None, detail: str) -> Run:
    """The run with its attempt of this name marked as failed, so that the next one is made."""
    for attempt in run.attempts_of(stage):
        if attempt.name == name:
            run = run.with_attempt(attempt.model_copy(update={"outcome": "failed", "detail": detail}))
    return run


def next_name(run: Run, resource: Resource) -> str:
    """The name that the next creating call would use, as far as run.json can say."""
    earlier = run.attempts_of(resource.stage)
    if earlier and earlier[-1].outcome == "recorded" and earlier[-1].fingerprint == resource.fingerprint:
        return earlier[-1].name
    return resource.name(run, (earlier[-1].number if earlier else 0) + 1)


def _next_attempt(run_file: RunFile, run: Run, resource: Resource) -> tuple[Run, Attempt]:
    """The attempt to make or finish now, saved in run.json."""
    earlier = run.attempts_of(resource.stage)
    last = earlier[-1] if earlier else None
    if last and last.outcome in {"recorded", "created", "adopted"}:
        found = resource.find(last.name)
        mine = found is not None and found.is_of(last)
        if found and mine and found.is_dead:
            run = run.with_attempt(
                last.model_copy(update={"outcome": "failed", "detail": f"{found.status}: {found.reason}"[:1024]})
            )
        elif last.fingerprint == resource.fingerprint and (last.outcome == "recorded" or mine):
            return run, last
        elif found and mine and not resource.gives_way(found):
            raise _made_otherwise(run, resource, last, found)
    number = (last.number if last else 0) + 1
    attempt = Attempt(
        stage=resource.stage,
        number=number,
        name=resource.name(run, number),
        fingerprint=resource.fingerprint,
        recorded=run_file.clock(),
    )
    return run_file.save(run.with_attempt(attempt)), attempt


def _made_otherwise(run: Run, resource: Resource, last: Attempt, found: Found) -> StageError:
    return StageError(
        f"Run {run.name!r} already has {last.name} ({found.status}), made from other settings or other data. "
        f"{resource.way_out}"
    )


def _create_or_adopt(resource: Resource, attempt: Attempt) -> tuple[str, Attempt]:
    """(ARN, attempt with its outcome); no ARN where the name cannot be this run's."""
    found = resource.find(attempt.name)
    if found is None:
        request = resource.request(attempt.name, resource.signature)
        try:
            return resource.create(attempt.name, request), attempt.model_copy(update={"outcome": "created"})
        except AWSError as error:
            if error.code not in IN_USE_CODES:
                raise
        found = resource.find(attempt.name)
    if found and found.is_of(attempt) and not found.is_dead:
        outcome = "created" if attempt.outcome == "created" else "adopted"
        return found.arn, attempt.model_copy(update={"outcome": outcome})
    return "", attempt.model_copy(update=_given_up(attempt, found))


def _given_up(attempt: Attempt, found: Found | None) -> dict[str, str]:
    if found is None:
        return {"outcome": "taken", "detail": "the name was in use, then gone"}
    if found.is_of(attempt):
        return {"outcome": "failed", "detail": f"{found.status}: {found.reason}"[:1024]}
    return {"outcome": "taken", "detail": f"{found.arn} was not made by this run"}
