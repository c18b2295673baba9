"""One creating call, made once: however often and wherever it is killed, and whoever else runs it at the same time.

The attempt is saved before its call, its result right after. ResourceInUse means: look at what has the name, and adopt it
only when its tag carries this request's fingerprint. A failed or stopped resource is never adopted: the next attempt has
the next name, and is saved before its own call.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gtseg.errors import AWSError, StageError
from gtseg.pipeline.run.file import RunFile
from gtseg.pipeline.run.sections import Attempt, Run

IN_USE_CODES = frozenset({"ResourceInUse", "ResourceInUseException"})
PATIENCE = 25
"""Names tried before giving up: each was taken by a stranger, or by a failed attempt of this run."""


@dataclass(frozen=True)
class Found:
    """What has a name now. `fingerprint` is its gtseg:fingerprint tag, None where it has none."""

    arn: str
    status: str
    fingerprint: str | None
    reason: str = ""

    @property
    def is_dead(self) -> bool:
        return self.status in {"Failed", "Stopped", "Stopping"}


@dataclass(frozen=True)
class Creation:
    """All that one creating stage knows: `create` makes the call for a name and answers the ARN; `find` looks a name up."""

    stage: str
    fingerprint: str
    create: Callable[[str], str]
    find: Callable[[str], Found | None]
    max_name: int = 63
    way_out: str = "Put the settings back, stop that job, or start a new run with --run."
    """What to do where the run has a live one made from something else."""

    def name(self, run: Run, number: int) -> str:
        """<run>-<stage>-<number>, the run's name shortened where AWS's limit asks for it."""
        tail = f"-{self.stage}-{number}"
        return run.name[: self.max_name - len(tail)].rstrip("-") + tail


def create_once(run_file: RunFile, run: Run, creation: Creation) -> tuple[Run, Attempt, str]:
    """The run (saved), the attempt that stands, and the ARN of the one resource that it made or adopted.

    Raises StageError when this run already has a live resource made from other settings, AWSError when AWS refuses.
    """
    for _ in range(PATIENCE):
        run, attempt = _next_attempt(run_file, run, creation)
        arn, attempt = _create_or_adopt(creation, attempt)
        run = run_file.save(run.with_attempt(attempt))
        if arn:
            return run, attempt, arn
    raise StageError(
        f"{PATIENCE} names for {creation.stage} were taken, the last {attempt.name!r}. Use another --run name."
    )


def standing(run: Run, creation: Creation) -> Found | None:
    """The live resource that this run made from these very settings, if there is one; asks AWS, changes nothing.

    Raises StageError when the run has a live one made from other settings: to be asked before anything is prepared.
    """
    earlier = run.attempts_of(creation.stage)
    last = earlier[-1] if earlier else None
    if last is None or last.outcome in {"failed", "taken"}:
        return None
    found = creation.find(last.name)
    if found is None or found.fingerprint != last.fingerprint or found.is_dead:
        return None
    if last.fingerprint != creation.fingerprint:
        raise _made_otherwise(run, creation, last, found)
    return found


def next_name(run: Run, creation: Creation) -> str:
    """The name that the next creating call would use, as far as run.json can say."""
    earlier = run.attempts_of(creation.stage)
    if earlier and earlier[-1].outcome == "recorded" and earlier[-1].fingerprint == creation.fingerprint:
        return earlier[-1].name
    return creation.name(run, (earlier[-1].number if earlier else 0) + 1)


def _next_attempt(run_file: RunFile, run: Run, creation: Creation) -> tuple[Run, Attempt]:
    """The attempt to make or finish now, saved in run.json."""
    earlier = run.attempts_of(creation.stage)
    last = earlier[-1] if earlier else None
    if last and last.outcome in {"recorded", "created", "adopted"}:
        found = creation.find(last.name)
        mine = found is not None and found.fingerprint == last.fingerprint
        if found and mine and found.is_dead:
            run = run.with_attempt(
                last.model_copy(
                    update={"outcome": "failed", "detail": f"{found.status}: {found.reason}"[:1024]}
                )
            )
        elif found and mine and last.fingerprint != creation.fingerprint:
            raise _made_otherwise(run, creation, last, found)
        elif (last.fingerprint == creation.fingerprint and last.outcome == "recorded") or (found and mine):
            return run, last
    number = (last.number if last else 0) + 1
    attempt = Attempt(
        stage=creation.stage,
        number=number,
        name=creation.name(run, number),
        fingerprint=creation.fingerprint,
        recorded=run_file.clock(),
    )
    return run_file.save(run.with_attempt(attempt)), attempt


def _made_otherwise(run: Run, creation: Creation, last: Attempt, found: Found) -> StageError:
    return StageError(
        f"Run {run.name!r} already has {last.name} ({found.status}), made from other settings or other data. "
        f"{creation.way_out}"
    )


def _create_or_adopt(creation: Creation, attempt: Attempt) -> tuple[str, Attempt]:
    """(ARN, attempt with its outcome); no ARN where the name cannot be this run's."""
    found = creation.find(attempt.name)
    if found is None:
        try:
            return creation.create(attempt.name), attempt.model_copy(update={"outcome": "created"})
        except AWSError as error:
            if error.code not in IN_USE_CODES:
                raise
        found = creation.find(attempt.name)
    if found and found.fingerprint == attempt.fingerprint and not found.is_dead:
        outcome = "created" if attempt.outcome == "created" else "adopted"
        return found.arn, attempt.model_copy(update={"outcome": outcome})
    return "", attempt.model_copy(update=_given_up(attempt, found))


def _given_up(attempt: Attempt, found: Found | None) -> dict[str, str]:
    if found is None:
        return {"outcome": "taken", "detail": "the name was in use, then gone"}
    if found.fingerprint == attempt.fingerprint:
        return {"outcome": "failed", "detail": f"{found.status}: {found.reason}"[:1024]}
    return {"outcome": "taken", "detail": f"{found.arn} was not made by this run"}
