"""Supervision of endpoints: one thread per endpoint keeps its containers as its record specifies."""

from __future__ import annotations

import contextlib
import errno
import logging
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gtseg.local.hosting.artifact import ArtifactError, find_artifact, unpack_artifact
from gtseg.local.hosting.container import Container
from gtseg.local.hosting.endpoints import LOG_GROUP, Endpoints, move
from gtseg.local.hosting.work import Deployment, EndpointRecord, Variant
from gtseg.local.jobs.container_images import is_segmentation_image
from gtseg.local.jobs.reasons import failure_reason
from gtseg.local.jobs.records import now
from gtseg.local.logs import LogEvents
from gtseg.local.loop import Loop, Threads
from gtseg.local.storage.outages import Interrupted

POLL_SECONDS = 0.1
BRING_BACK_TRIES = 3
TRIES = 3
"""Consecutive errors after which an endpoint fails."""
CALM_SECONDS = 60.0
"""Time without an error after which the error count restarts."""
PASSING = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EIO,
    errno.ENOMEM,
    errno.EMFILE,
    errno.ENFILE,
    errno.EAGAIN,
)
FAILURE_PAUSE = 3.0
"""Seconds before an endpoint is supervised again after an error."""
LONGEST_PAUSE = 30.0
"""Longest pause between restarts of a container that keeps crashing, in seconds."""
logger = logging.getLogger(__name__)


class DeploymentError(Exception):
    """The deployment failed; the text is the endpoint's FailureReason."""


class Abandoned(Exception):
    """The endpoint was deleted, or the server stopped, while containers were starting."""


class Supervisor:
    """Component of the hosting service: starts a thread for every endpoint."""

    def __init__(self, endpoints: Endpoints) -> None:
        self.endpoints = endpoints
        self._loop = Loop("hosting", self._start_threads, seconds=POLL_SECONDS)
        self._threads = Threads("endpoint")

    def start(self) -> None:
        self._loop.start()

    def stop(self) -> None:
        self._loop.stop()
        self._threads.join()

    def _start_threads(self) -> None:
        running = self._threads.running()
        for record in self.endpoints.records.list_by_status("Creating", "Updating", "InService", "Deleting"):
            if record.name not in running:
                supervisor = EndpointSupervisor(self.endpoints, record.name, self._loop.stopping)
                self._threads.start(record.name, supervisor.run)


class EndpointSupervisor:
    """Supervision of one endpoint from its creation to its deletion."""

    def __init__(self, endpoints: Endpoints, name: str, stopping: threading.Event) -> None:
        self.endpoints, self.name, self.stopping = endpoints, name, stopping
        self.folder = endpoints.embedded.store.folder.resolve() / "endpoints" / name
        self.logs = LogEvents(endpoints.embedded.store)
        self.containers: dict[str, Container] = {}
        self._offsets: dict[str, int] = {}
        self._pauses: dict[str, float] = {}
        self._restart_at: dict[str, float] = {}
        self._failures, self._failed_at = 0, 0.0
        self._crashes = 0
        """Failed starts since the restart of the server."""

    def run(self) -> None:
        """Supervise the endpoint until it is deleted or failed.

        After an error supervision restarts, up to TRIES times.
        """
        while not self.stopping.is_set():
            try:
                while not self.stopping.is_set() and self._advance():
                    self.stopping.wait(POLL_SECONDS)
                return
            except Exception as error:
                logger.exception("endpoint %s: supervision failed and is restarted", self.name)
                with contextlib.suppress(sqlite3.Error):  # counted the next time
                    self._count(error)
            finally:
                self._unpublish()
                self._stop_all(self.containers)
                self.containers = {}
            self.stopping.wait(FAILURE_PAUSE)

    def _count(self, error: Exception) -> None:
        """Set the endpoint's final status after TRIES errors, each within CALM_SECONDS of the one before.

        A full disk or a locked database is not the endpoint's fault: supervision continues when that is over.
        """
        if isinstance(error, sqlite3.OperationalError) or getattr(error, "errno", None) in PASSING:
            return
        moment = time.monotonic()
        is_another = moment - self._failed_at > CALM_SECONDS
        self._failures, self._failed_at = 1 if is_another else self._failures + 1, moment
        record = self.endpoints.records.find(self.name)
        if self._failures < TRIES or record is None:
            return
        self._failures = 0
        is_kept = record.status == "Updating" and record.work.deployed is not None
        words = f"{type(error).__name__}: {str(error)[:300]}"
        reason = f"The containers failed {TRIES} times in a row. Last error: {words}"
        self._settle("InService" if is_kept else "Failed", reason)

    def _advance(self) -> bool:
        """Act once on the record's status. Returns False when supervision ends."""
        record = self.endpoints.records.find(self.name)
        if record is None or record.status == "Failed":
            return False
        if record.status == "Deleting":
            self._delete()
            return False
        if record.status == "Creating":
            self._create(record)
        elif not self.containers:
            self._redeploy(record)
        elif record.status == "Updating":
            self._update(record)
        self._watch_containers(record)
        return True

    # --- deployments ---

    def _create(self, record: EndpointRecord) -> None:
        try:
            self.containers = self._deploy(record.work.target, record.work.generation)
        except DeploymentError as error:
            self._settle("Failed", str(error))
            return
        except Abandoned:
            return
        self._publish()
        self._settle("InService")

    def _redeploy(self, record: EndpointRecord) -> None:
        """Deploy again after a restart of the server, from the extracted artifacts."""
        work = record.work
        try:
            if work.deployed is None:
                self.containers = self._deploy(work.target, work.generation)
            else:
                self.containers = self._deploy(work.deployed, work.deployed_generation)
        except DeploymentError as error:
            self._crashes += 1
            logger.warning("endpoint %s could not be restored: %s", self.name, error)
            if self._crashes >= BRING_BACK_TRIES:
                self._settle("Failed", str(error))
            return
        except Abandoned:
            return
        self._crashes = 0
        self._publish()

    def _update(self, record: EndpointRecord) -> None:
        """Start new containers beside the old ones.

        Replace the old ones if the new ones become ready, else keep them.
        """
        before = record.work.deployed_generation
        try:
            containers = self._deploy(record.work.target, record.work.generation)
        except DeploymentError as error:
            self._remove(record.work.generation)
            self._settle("InService", str(error))
            return
        except Abandoned:
            return
        old, self.containers = self.containers, containers
        self._unpublish(keeping=set(containers))
        self._publish()
        self._settle("InService")
        self._stop_all(old)
        self._remove(before)

    def _deploy(self, target: Deployment, generation: int) -> dict[str, Container]:
        """Start containers of every variant and wait until they are ready.

        Raises DeploymentError or Abandoned after stopping them.
        """
        containers: dict[str, Container] = {}
        try:
            for variant in target.variants:
                containers[variant.name] = self._start_variant(variant, generation)
            for variant in target.variants:
                self._await(containers[variant.name], variant)
        except BaseException as error:
            self._read_logs(containers, final=True)
            self._stop_all(containers)
            if isinstance(error, OSError):  # no space left, no such file
                raise DeploymentError(f"The container could not be started: {error}") from error
            raise
        return containers

    def _start_variant(self, variant: Variant, generation: int) -> Container:
        folder = self.folder / str(generation) / variant.name
        embedded = self.endpoints.embedded
        try:
            # Files extracted by an earlier server may be incomplete or damaged; the artifact itself is checked when
            # read. An endpoint whose artifact has been deleted keeps using the extracted files, as on AWS.
            if find_artifact(embedded.background_objects, variant.data or ""):
                shutil.rmtree(folder / "ml" / "model", ignore_errors=True)
            unpack_artifact(
                embedded.background_objects,
                variant.data or "",
                folder / "ml" / "model",
                image=variant.image,
                runnable=is_segmentation_image(variant.image, embedded.store.region),
            )
        except ArtifactError as error:
            raise DeploymentError(str(error)) from None
        except Interrupted:
            raise Abandoned from None
        container = Container(folder, variant.environment)
        self._offsets[variant.name] = 0
        container.start()
        return container

    def _await(self, container: Container, variant: Variant) -> None:
        if not await_ready(container, variant.patience, self._check_wanted):
            raise DeploymentError(
                f"The primary container for production variant {variant.name} did not pass the ping health check."
                f" Please check CloudWatch logs for this endpoint. {container.last_lines()}".strip()
            )

    def _check_wanted(self) -> None:
        record = self.endpoints.records.find(self.name)
        if self.stopping.is_set() or record is None or record.status == "Deleting":
            raise Abandoned

    def _settle(self, status: str, reason: str | None = None) -> None:
        """Record the result of a deployment, unless the endpoint is being deleted."""
        with self.endpoints.records.change(self.name) as record:
            if record is None or record.status == "Deleting":
                return
            move(record, status)
            if reason is not None:
                record.answer["FailureReason"] = failure_reason(reason, self.endpoints.embedded.store.folder)
            if status == "InService" and reason is None:
                work = record.work
                work.deployed, work.deployed_generation = work.target, work.generation
                record.answer["EndpointConfigName"] = work.target.config
                record.answer["ProductionVariants"] = [_describe_variant(item) for item in work.target.variants]

    # --- monitoring ---

    def _watch_containers(self, record: EndpointRecord) -> None:
        """Forward logs and restart crashed containers, after increasing pauses."""
        self._read_logs(self.containers)
        for name, container in self.containers.items():
            key = (self.name, name)
            if not container.alive():
                self._unpublish(only=name)
                self._restart(name, container)
            elif key not in self.endpoints.containers and container.ready():
                self.endpoints.containers[key] = container

    def _restart(self, name: str, container: Container) -> None:
        moment = time.monotonic()
        if name not in self._restart_at:
            pause = self._pauses.get(name, 0.0)
            self._restart_at[name] = moment + pause
            self._pauses[name] = min(LONGEST_PAUSE, max(1.0, pause * 2))
        if moment >= self._restart_at[name]:
            del self._restart_at[name]
            self._read_logs({name: container}, final=True)
            logger.warning("endpoint %s: the container of %s ended and is restarted", self.name, name)
            self._offsets[name] = 0
            container.start()

    def _publish(self) -> None:
        for name, container in self.containers.items():
            self.endpoints.containers[self.name, name] = container

    def _unpublish(self, *, only: str | None = None, keeping: set[str] | None = None) -> None:
        for endpoint, variant in list(self.endpoints.containers):
            if endpoint == self.name and only in (None, variant) and variant not in (keeping or ()):
                self.endpoints.containers.pop((endpoint, variant), None)

    def _read_logs(self, containers: dict[str, Container], *, final: bool = False) -> None:
        for name, container in containers.items():
            lines, self._offsets[name] = container.read_output(self._offsets.get(name, 0), final=final)
            if lines:
                self.logs.write(f"{LOG_GROUP}/{self.name}", f"{name}/i-{container.port:017x}", lines)

    # --- deletion ---

    def _delete(self) -> None:
        self._unpublish()
        self._read_logs(self.containers, final=True)
        self._stop_all(self.containers)
        self.containers = {}
        shutil.rmtree(self.folder, ignore_errors=True)
        self.endpoints.hosted.remove(self.name)

    def _remove(self, generation: int) -> None:
        shutil.rmtree(Path(self.folder) / str(generation), ignore_errors=True)

    def _stop_all(self, containers: dict[str, Container]) -> None:
        for container in containers.values():
            container.stop()


def await_ready(container: Container, patience: float, check: Callable[[], None]) -> bool:
    """Wait for a container's health check; return False if it ended or `patience` seconds passed. `check` may raise."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        check()
        if not container.alive():
            return False
        if container.ready():
            return True
        time.sleep(0.05)
    return False


def _describe_variant(variant: Variant) -> dict[str, Any]:
    image = {"SpecifiedImage": variant.image, "ResolvedImage": variant.image, "ResolutionTime": now()}
    return {
        "VariantName": variant.name,
        "DeployedImages": [image],
        "CurrentWeight": variant.weight,
        "DesiredWeight": variant.weight,
        "CurrentInstanceCount": 1,
        "DesiredInstanceCount": 1,
    }
