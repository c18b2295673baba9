"""Creating calls that take effect exactly once, although the process may be killed or run twice at the same time.

The attempt is saved before its call and its result right after. On ResourceInUse the existing resource is inspected and
adopted only if its tag carries this request's fingerprint. A failed or stopped resource is never adopted: the next
attempt has the next name and is saved before its own call.
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
"""Placeholder for the name in the fingerprinted request, so that attempts differ in their name only."""
CLOCKS_APART = timedelta(minutes=5)
"""Tolerated difference between this machine's clock and AWS's."""
MAX_NAMES = 25
"""Number of names tried: each was taken by another owner or by a failed attempt of this run."""


@dataclass(frozen=True)
class Found:
    """Resource that has a name now. `fingerprint` is its gtseg:fingerprint tag, None without the tag.

    `is_hidden`: the caller may not read its tags; it counts as the attempt's own if it was created after the attempt
    was recorded.
    """

    arn: str
    status: str
    fingerprint: str | None
    reason: str = ""
    is_hidden: bool = False
    created: datetime | None = None

    def is_of(self, attempt: Attempt) -> bool:
        """Return whether this attempt created it."""
        if not self.is_hidden:
            return self.fingerprint == attempt.fingerprint
        return self.created is not None and self.created >= attempt.recorded - CLOCKS_APART

    @property
    def is_dead(self) -> bool:
        """Return whether it will produce no further result.

        `Over` is a kind's own state for a job whose result was collected.
        """
        return self.status in {"Failed", "Stopped", "Stopping", "Over"}


class Described(Protocol):
    """Description of a job, model or endpoint as AWS returns it."""

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
    """Convert a description to the return value of `Resource.find`."""
    if state is None:
        return None
    mark, is_hidden = state.tags.get(FINGERPRINT_TAG), isinstance(state.tags, HiddenTags)
    return Found(state.arn, state.status, mark, state.reason, is_hidden=is_hidden, created=state.created)


class Resource(Protocol):
    """Resource that costs money and is created exactly once: labeling job, training job, model, endpoint."""

    @property
    def stage(self) -> str:
        """Part of its name, <run>-<stage>-<number>, and key of its attempts in run.json."""
        ...

    @property
    def what(self) -> str:
        """Its kind, for messages."""
        ...

    @property
    def name_limit(self) -> int:
        """Maximum length of a name (API)."""
        return 63

    @property
    def remedy(self) -> str:
        """What to do if the run already has a live one with other inputs."""
        return "Restore the settings, stop that job, or start a new run with --run."

    def is_replaceable(self, found: Found) -> bool:
        """Return whether a live one with other inputs is replaced by a new one; if not, it is an error."""
        return False

    def request(self, name: str, tags: Mapping[str, str]) -> dict[str, Any]:
        """Return the body of the creating call, with its tags."""
        ...

    def find(self, name: str) -> Found | None:
        """Return the resource that has this name now."""
        ...

    def create(self, name: str, request: Mapping[str, Any]) -> str:
        """Call the creating operation and return the ARN."""
        ...

    def record(self, run: Run, name: str, arn: str) -> Run:
        """Return the run with this resource in its section; the same run if it is already there."""
        ...

    @property
    def fingerprint(self) -> str:
        """Return the fingerprint of its inputs; a resource with another fingerprint is not adopted."""
        return fingerprint(self.request(STAND_IN, {}))

    @property
    def origin(self) -> Mapping[str, str]:
        """Return tags for its provenance; they are not part of the fingerprint."""
        return {}

    @property
    def signature(self) -> dict[str, str]:
        """Return the tags by which it is found again, and those of its provenance."""
        return {FINGERPRINT_TAG: self.fingerprint, **self.origin}

    def shown(self, name: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what a dry run shows."""
        return request

    def prepare(self, run: Run) -> None:
        """Ask for consent and create its prerequisites; both can be repeated safely."""
        return

    def name(self, run: Run, number: int) -> str:
        """Return <run>-<stage>-<number>; the run's name is shortened to AWS's limit."""
        tail = f"-{self.stage}-{number}"
        return run.name[: self.name_limit - len(tail)].rstrip("-") + tail


def create_once(run_file: RunFile, run: Run, resource: Resource) -> tuple[Run, Attempt, str]:
    """Return the saved run, the current attempt, and the ARN of the resource that it created or adopted.

    Raises StageError if this run already has a live resource with other settings, AWSError if AWS refuses.
    """
    for _ in range(MAX_NAMES):
        run, attempt = _next_attempt(run_file, run, resource)
        arn, attempt = _create_or_adopt(resource, attempt)
        run = run_file.save(run.with_attempt(attempt))
        if arn:
            return run, attempt, arn
    raise StageError(
        f"{MAX_NAMES} names for {resource.stage} were taken, the last one {attempt.name!r}. Use another --run name."
    )


def standing(run: Run, resource: Resource) -> Found | None:
    """Return the live resource that this run created from these settings, or None; changes nothing.

    Raises StageError if the run has a live one with other settings, SettingsError for a request that AWS would refuse.
    Call it before preparing anything.
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
        if resource.is_replaceable(found):
            return None
        raise _settings_differ(run, resource, last, found)
    return found


def failed_attempt(run: Run, stage: str, name: str | None, detail: str) -> Run:
    """Return the run with its attempt of this name marked as failed, so that a next one is made."""
    for attempt in run.attempts_of(stage):
        if attempt.name == name:
            run = run.with_attempt(attempt.model_copy(update={"outcome": "failed", "detail": detail}))
    return run


def next_name(run: Run, resource: Resource) -> str:
    """Return the name of the next creating call according to run.json."""
    earlier = run.attempts_of(resource.stage)
    if earlier and earlier[-1].outcome == "recorded" and earlier[-1].fingerprint == resource.fingerprint:
        return earlier[-1].name
    return resource.name(run, (earlier[-1].number if earlier else 0) + 1)


def _next_attempt(run_file: RunFile, run: Run, resource: Resource) -> tuple[Run, Attempt]:
    """Return the attempt to make or finish now, saved in run.json."""
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
        elif found and mine and not resource.is_replaceable(found):
            raise _settings_differ(run, resource, last, found)
    number = (last.number if last else 0) + 1
    attempt = Attempt(
        stage=resource.stage,
        number=number,
        name=resource.name(run, number),
        fingerprint=resource.fingerprint,
        recorded=run_file.clock(),
    )
    return run_file.save(run.with_attempt(attempt)), attempt


def _settings_differ(run: Run, resource: Resource, last: Attempt, found: Found) -> StageError:
    return StageError(
        f"Run {run.name!r} already has {last.name} ({found.status}) with other settings or data. {resource.remedy}"
    )


def _create_or_adopt(resource: Resource, attempt: Attempt) -> tuple[str, Attempt]:
    """Return (ARN, attempt with its outcome); the ARN is empty if the name belongs to another owner."""
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
        return {"outcome": "taken", "detail": "the name was in use, then released"}
    if found.is_of(attempt):
        return {"outcome": "failed", "detail": f"{found.status}: {found.reason}"[:1024]}
    return {"outcome": "taken", "detail": f"{found.arn} was not created by this run"}
