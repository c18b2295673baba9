"""cleanup: delete resources that cost money in AWS's required order, and list what remains. Data only on request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from gtseg.aws.calls import HiddenTags
from gtseg.aws.hosting import SETTLED, Kind, Resource
from gtseg.aws.s3 import split_uri
from gtseg.aws.waiting import poll
from gtseg.core.plurals import counted
from gtseg.errors import AWSError, GtsegError
from gtseg.pipeline.run import EXPIRES_TAG, ROOT_TAG, RUN_TAG, Attempt, Context, Run, RunFile
from gtseg.pipeline.run.cost import OTHER_STAGES

ORDER: tuple[Kind, ...] = ("endpoint", "endpoint-config", "model")
STAGES_OF: dict[Kind, tuple[str, ...]] = {
    "endpoint": ("endpoint",),
    "endpoint-config": ("config",),
    "model": ("model", "batch-model"),
}
"""Stages of the attempts that created the resources."""
SETTLE_SECONDS = 30 * 60.0
RUNNING = frozenset({"InProgress", "Stopping", "Initializing"})


@dataclass
class Swept:
    """Result of one cleanup: names by kind, and descriptions of what remains and costs money."""

    deleted: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    data: int = 0
    """Number of objects deleted in S3."""
    costs: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Sweep:
    """What to delete. By default this run's endpoint, endpoint config and model."""

    everything: bool = False
    """Also stop the run's running jobs."""
    orphans: bool = False
    """Instead: resources of this project that no run uses."""
    expired: bool = False
    """Instead: every endpoint of this project whose time to live has passed."""
    data: bool = False
    """Also all objects of this run in S3, including run.json."""


def cleanup(run: Run, context: Context) -> Run:
    """Return the run with its endpoint, endpoint config and model deleted."""
    return sweep(run, context)[0]


def sweep(run: Run, context: Context, wanted: Sweep = Sweep()) -> tuple[Run, Swept]:
    """Return the run with its endpoint marked as deleted, and what was done."""
    sweeper = Sweeper(run, context.of("cleanup"))
    if wanted.expired:
        run = sweeper.sweep_expired(run)
    elif wanted.orphans:
        sweeper.sweep_orphans()
    else:
        run = sweeper.sweep_run(run)
        if wanted.everything:
            sweeper.stop_jobs(run)
    if wanted.data:
        run = sweeper.delete_data(run)
    sweeper.report_costs(run, data_deleted=wanted.data)
    return run, sweeper.swept


class Sweeper:
    def __init__(self, run: Run, context: Context) -> None:
        self.context, self.hosting, self.swept = context, context.hosting, Swept()
        self.run_file = context.run_file(run)
        self.project = run.root.rstrip("/").rsplit("/", 1)[0] + "/"
        """s3://bucket/prefix/: common prefix of all runs of the project."""

    def sweep_run(self, run: Run) -> Run:
        """Delete every hosting resource that this run ever attempted, whatever the outcome."""
        for kind in ORDER:
            names = {attempt.name for attempt in _attempts(run, kind)}
            for name in sorted(names):
                found = self.hosting.find(kind, name)
                if found and self._is_own(found, run):
                    self._delete(found)
        return self._mark_deleted(run)

    def _is_own(self, found: Resource, run: Run) -> bool:
        """Return whether the run owns a resource, by its tags or, if they cannot be read, by the attempt that created
        it."""
        if isinstance(found.tags, HiddenTags):
            made = (a for a in _attempts(run, found.kind) if a.name == found.name)
            return any(attempt.outcome in ("created", "adopted") for attempt in made)
        return found.tags.get(RUN_TAG) == run.name and found.tags.get(ROOT_TAG) == run.root

    def _mark_deleted(self, run: Run) -> Run:
        if run.endpoint is None or run.endpoint.deleted or self.context.dry_run:
            return run
        if not self._is_gone(run.endpoint.name):
            return run
        section = run.endpoint.model_copy(update={"deleted": self.run_file.clock(), "status": "Deleted"})
        return self.run_file.save(run.update(endpoint=section))

    def _is_gone(self, name: str) -> bool:
        found = self.hosting.find("endpoint", name)
        return found is None or found.status == "Deleting"

    def stop_jobs(self, run: Run) -> None:
        truth, training = self.context.labeling, self.context.training
        for attempt in (a for a in run.attempts if a.stage not in OTHER_STAGES):
            job = truth.find_job(attempt.name)
            if job and job.status in RUNNING:
                self._stop("labeling job", attempt.name, partial(truth.stop_job, attempt.name))
        for attempt in run.attempts_of("train"):
            state = training.find_job(attempt.name)
            if state and state.status in RUNNING:
                self._stop("training job", attempt.name, partial(training.stop_job, attempt.name))
        for attempt in run.attempts_of("transform"):
            transform = self.context.transforms.find_job(attempt.name)
            if transform and transform.status in RUNNING:
                self._stop("transform job", attempt.name, partial(self.context.transforms.stop_job, attempt.name))
        for attempt in run.attempts_of("tune"):
            tuning = training.find_tuning(attempt.name)
            if tuning and tuning.status in RUNNING:
                self._stop("tuning job", attempt.name, partial(training.stop_tuning, attempt.name))

    def _stop(self, kind: str, name: str, stop: Callable[[], None]) -> None:
        if not self.context.dry_run:
            try:
                stop()
            except AWSError as error:
                self.context.warn(f"{kind} {name} could not be stopped: {error.message}")
                return
        self.swept.stopped.append(f"{kind} {name}")
        self.context.note(f"{'would stop' if self.context.dry_run else 'stopped'} {kind} {name}")

    def sweep_expired(self, run: Run) -> Run:
        now = self.run_file.clock()
        for found in list(self._of_project("endpoint")):
            expires = found.tags.get(EXPIRES_TAG)
            if expires and datetime.fromisoformat(expires) <= now:
                self.context.note(f"{found.name} has exceeded its time to live ({expires})")
                self._delete_with_parts(found)
        return self._mark_deleted(run)

    def _delete_with_parts(self, endpoint: Resource) -> None:
        """Delete an endpoint, its config and its models.

        Config and models are looked up before the endpoint is deleted.
        """
        config = self.hosting.find(
            "endpoint-config", (self.hosting.describe("endpoint", endpoint.name).parts or ("",))[0]
        )
        models = [self.hosting.find("model", name) for name in (config.parts if config else ())]
        for found in (endpoint, config, *models):
            if found and found.tags.get(ROOT_TAG, "").startswith(self.project):
                self._delete(found)

    def sweep_orphans(self) -> None:
        runs: dict[str, Run | None] = {}
        for kind in ORDER:
            for found in list(self._of_project(kind)):
                root = found.tags[ROOT_TAG]
                if root not in runs:
                    runs[root] = self._load(root)
                if not _owns(runs[root], kind, found.name):
                    self._delete(found)

    def _load(self, root: str) -> Run | None:
        run = RunFile(self.context.clients, root).load()
        return run if run.etag else None

    def _of_project(self, kind: Kind) -> Iterator[Resource]:
        """Yield hosting resources with this project's tag. All are listed, because run names can be arbitrary."""
        for item in self.hosting.list_all(kind, contains="-"):
            found = self.hosting.find(kind, item.name)
            if found and found.tags.get(ROOT_TAG, "").startswith(self.project):
                yield found

    def _delete(self, found: Resource) -> None:
        words = f"{found.kind.replace('-', ' ')} {found.name}"
        if found.status == "Deleting":
            self._await_deletion(found)
            return
        if not self.context.dry_run and not self._remove(found):
            return
        self.swept.deleted.append(words)
        self.context.note(f"{'would delete' if self.context.dry_run else 'deleted'} {words}")

    def _remove(self, found: Resource) -> bool:
        """Delete a resource; False if another process deleted it first, or is deleting it now."""
        self._await_settled(found)
        try:
            return self.hosting.delete(found.kind, found.name)
        except AWSError:
            now = self.hosting.find(found.kind, found.name)
            if now is not None and now.status != "Deleting":
                raise
            return False

    def _await_settled(self, found: Resource) -> None:
        """Wait until the endpoint has settled: AWS refuses with 'Cannot update in-progress endpoint' before."""
        if found.kind != "endpoint" or found.status in SETTLED:
            return
        self.context.note(f"endpoint {found.name} is {found.status}: it is deleted as soon as this has finished")

        def read_state() -> str:
            now = self.hosting.find("endpoint", found.name)
            return now.status if now else "InService"

        resume = "To continue, run `gtseg cleanup`."
        poll(
            read_state,
            until=lambda status: status in SETTLED,
            patience=SETTLE_SECONDS,
            resume=resume,
            sleep=self.context.sleep,
        )

    def _await_deletion(self, found: Resource) -> None:
        """Wait for an endpoint that another process is deleting: until then it costs money and its name is taken."""
        self.context.note(f"endpoint {found.name} is already being deleted")
        if self.context.dry_run:
            return
        poll(
            lambda: self.hosting.look("endpoint", found.name),
            until=lambda there: there is None or there.status != "Deleting",
            patience=SETTLE_SECONDS,
            resume="To continue, run `gtseg cleanup`.",
            sleep=self.context.sleep,
        )

    def delete_data(self, run: Run) -> Run:
        """Delete everything below the run's root, run.json last, so that a second cleanup can finish an interrupted
        one."""
        bucket, _ = split_uri(run.root)
        s3 = self.context.s3
        keys = [f"s3://{bucket}/{item.key}" for item in s3.list_objects(run.root)]
        self.swept.data = len(keys)
        if not self.context.dry_run:
            s3.delete(uri for uri in keys if uri != self.run_file.uri)
            s3.delete([self.run_file.uri] if self.run_file.uri in keys else [])
            run = run.update(etag=None)
        words = "would delete" if self.context.dry_run else "deleted"
        self.context.note(f"{words} {len(keys):,} objects below {run.root}")
        return run

    def report_costs(self, run: Run, *, data_deleted: bool) -> None:
        """List what remains of this project; only what is at AWS's own endpoints is billed."""
        machines: list[str] = []
        data: list[str] = []
        for found in self._of_project("endpoint"):
            gone = f"endpoint {found.name}" in self.swept.deleted
            if not gone and found.status not in {"Deleting", "Failed"}:
                owner = found.tags.get(RUN_TAG, "?")
                machines.append(f"endpoint {found.name} of run {owner} ({found.status}), by the hour")
        machines += self._running_jobs(run)
        size, number = self._data_size(run)
        if number and not data_deleted:
            what = f"{counted(number, 'object')}, {size / 1e6:,.1f} MB in S3 below {run.root}"
            data.append(f"{what}, by the month")
        self.swept.costs += machines + data
        billed = list(machines) if self.context.is_billed("deploy") else []
        billed += data if self.context.is_billed("storage") else []
        free = [words.rpartition(", by ")[0] for words in self.swept.costs if words not in billed]
        sentence = f"remaining and billed on AWS: {'; '.join(billed) or 'nothing of this project'}"
        if free:
            sentence += f". Remaining and not billed: {'; '.join(free)}"
        self.context.finish(sentence, _facts(self.swept))

    def _running_jobs(self, run: Run) -> Iterator[str]:
        stopped = set(self.swept.stopped)
        for name, _, status in self.context.training.list_jobs(contains=run.name[:63]):
            if status in RUNNING and f"training job {name}" not in stopped:
                yield f"training job {name} ({status}), by the second"
        for attempt in run.attempts_of("transform")[-1:]:
            state = self.context.transforms.find_job(attempt.name)
            if state and state.status in RUNNING and f"transform job {state.name}" not in stopped:
                yield f"transform job {state.name} ({state.status}), by the second"

    def _data_size(self, run: Run) -> tuple[int, int]:
        try:
            sizes = [item.size for item in self.context.s3.list_objects(run.root)]
        except GtsegError:
            return 0, 0
        return sum(sizes), len(sizes)


def _attempts(run: Run, kind: Kind) -> list[Attempt]:
    return [attempt for stage in STAGES_OF[kind] for attempt in run.attempts_of(stage)]


def _owns(run: Run | None, kind: Kind, name: str) -> bool:
    """Return whether a run needs a resource for its live endpoint, or for one that it is about to create."""
    if run is None:
        return False
    live = run.endpoint
    if live and not live.deleted and name in (live.name, live.config, live.model):
        return True
    if kind == "model" and any(attempt.name == name for attempt in run.attempts_of("batch-model")[-1:]):
        return True
    last = run.attempts_of(STAGES_OF[kind][0])[-1:]
    started = not live or live.deleted is not None
    return started and any(attempt.name == name and attempt.outcome == "recorded" for attempt in last)


def _facts(swept: Swept) -> dict[str, object]:
    return {
        "deleted": swept.deleted,
        "stopped": swept.stopped,
        "data_objects": swept.data,
        "costs": swept.costs,
    }
