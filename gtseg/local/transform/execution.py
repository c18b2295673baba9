"""Execution of a transform job: its own containers process each input object to `<path>.out`.

InstanceCount containers share the objects: the next object goes to a free container. The list of objects is read while
it is processed, so that memory does not grow with it.

A killed job is resumed: outputs are written atomically, and those that this job has written are not repeated. A failed
input does not end the job; the other inputs are processed, and the job ends as Failed, as on AWS.
"""

from __future__ import annotations

import json
import logging
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import datetime
from itertools import chain, islice
from queue import SimpleQueue
from typing import Any

from gtseg.local.embedded import Embedded
from gtseg.local.errors import ServiceError
from gtseg.local.hosting.artifact import ArtifactError, unpack_artifact
from gtseg.local.hosting.container import Container, ContainerTimeout, ContainerUnreachable, Response
from gtseg.local.hosting.models import model_source
from gtseg.local.hosting.supervisor import await_ready
from gtseg.local.jobs.channels import DownloadError, Source, list_places
from gtseg.local.jobs.container_images import is_segmentation_image
from gtseg.local.jobs.reasons import failure_reason
from gtseg.local.jobs.records import now
from gtseg.local.logs import LogEvents
from gtseg.local.storage.objects import split_uri
from gtseg.local.storage.outages import Interrupted
from gtseg.local.transform.work import TransformRecord, TransformRecords

LOG_GROUP = "/aws/sagemaker/TransformJobs"
PATIENCE_SECONDS = 600.0
PAYLOAD_MB = 6
UNLIMITED_BYTES = 1 << 30
"""Maximum size of an input if MaxPayloadInMB is 0."""
logger = logging.getLogger(__name__)
Place = tuple[str, str, str]
"""(bucket, key, path relative to the input prefix)."""
Task = Callable[[Place, Container], None]


class Shutdown(Exception):
    """The server stops; the job keeps its stage."""


class Stopped(Exception):
    """StopTransformJob was called."""


class JobFailure(Exception):
    """The job fails; the text is the FailureReason."""


class Execution:
    """Execution of one job in its own thread. `shutdown` is set when the server stops."""

    def __init__(self, embedded: Embedded, records: TransformRecords, name: str, *, shutdown: threading.Event) -> None:
        self.embedded, self.records, self.name, self.shutdown = embedded, records, name, shutdown
        self.folder = embedded.store.folder.resolve() / "transform" / name
        self.logs = LogEvents(embedded.store)
        self.containers: list[Container] = []
        self._failed = threading.Event()
        self._offsets: dict[int, int] = {}

    def run(self) -> None:
        try:
            self._transform()
            if self._failed.is_set():
                raise JobFailure("ClientError: See job logs for more information")
            self._finish("Completed")
        except (Shutdown, Interrupted):
            pass
        except Stopped:
            self._finish("Stopped")
        except (JobFailure, DownloadError, ArtifactError) as error:
            self._finish("Failed", str(error))
        except Exception:
            logger.exception("transform job %s failed", self.name)
            self._finish("Failed", "InternalServerError: We encountered an internal error. Please try again.")
        finally:
            self._stop_containers()

    def _stop_containers(self) -> None:
        for container in self.containers:
            container.stop()

    def _transform(self) -> None:
        record = self._begin()
        self._check()
        source = record.answer["TransformInput"]["DataSource"]["S3DataSource"]
        bucket, key = split_uri(source["S3Uri"])
        origin = Source(source["S3Uri"], bucket, key, self.embedded.store.region, record.work.role)
        listed = list_places(self.embedded.background_objects, origin, source["S3DataType"])
        places = chain(list(islice(listed, 1)), listed)  # missing input fails the job before a container is started
        self._start_containers(record)
        task = self._make_task(record)
        free: SimpleQueue[Container] = SimpleQueue()
        workers = self._count_workers(record) * len(self.containers)
        for number in range(workers):
            free.put(self.containers[number % len(self.containers)])
        pending: set[Future[None]] = set()
        with ThreadPoolExecutor(workers, thread_name_prefix=self.name) as pool:
            for place in places:
                if len(pending) >= 2 * workers:
                    done, pending = wait(pending, return_when=FIRST_COMPLETED)
                    for future in done:
                        future.result()  # raises Shutdown or Stopped, which end the other tasks too
                pending.add(pool.submit(self._process, task, place, free))
            for future in pending:
                future.result()
        self._read_logs(final=True)

    def _begin(self) -> TransformRecord:
        with self.records.change(self.name) as record:
            assert record is not None
            record.work.stage = "running"
            record.answer.setdefault("TransformStartTime", now())
        return record

    def _check(self) -> None:
        if self.shutdown.is_set():
            raise Shutdown
        record = self.records.find(self.name)
        if record is not None and record.status == "Stopping":
            raise Stopped

    def _start_containers(self, record: TransformRecord) -> None:
        given = record.work.container
        environment = {**given.get("Environment", {}), **record.answer.get("Environment", {})}
        count = int(record.answer["TransformResources"]["InstanceCount"])
        folders = [self.folder / str(number) for number in range(count)]
        self.containers = [Container(folder, environment) for folder in folders]
        for container in self.containers:
            unpack_artifact(
                self.embedded.background_objects,
                model_source(given) or "",
                container.folder / "ml" / "model",
                image=given["Image"],
                runnable=is_segmentation_image(given["Image"], self.embedded.store.region),
            )
            container.start()
        for container in self.containers:
            if not await_ready(container, PATIENCE_SECONDS, self._check):
                self._read_logs(final=True)
                raise JobFailure(
                    "AlgorithmError: The container did not pass the ping health check. " + container.last_lines()
                )

    def _count_workers(self, record: TransformRecord) -> int:
        """Return MaxConcurrentTransforms; if it is 0 or absent, the container's value."""
        wished = record.answer.get("MaxConcurrentTransforms", 0)
        if wished:
            return int(wished)
        answer = self.containers[0].request("GET", "/execution-parameters", timeout=10)
        return int(json.loads(answer.body).get("MaxConcurrentTransforms", 1)) if answer.status == 200 else 1

    def _process(self, task: Task, place: Place, free: SimpleQueue[Container]) -> None:
        """Process one object in a free container."""
        self._check()
        container = free.get()
        try:
            task(place, container)
        finally:
            free.put(container)
        self._read_logs()

    def _make_task(self, record: TransformRecord) -> Task:
        """Return the function that processes one input object; errors of an input are written to the data log."""
        answer, objects = record.answer, self.embedded.background_objects
        started: datetime = answer["TransformStartTime"]
        bucket, prefix = split_uri(answer["TransformOutput"]["S3OutputPath"])
        prefix = prefix.rstrip("/") + "/" if prefix else ""
        limit = answer.get("MaxPayloadInMB", PAYLOAD_MB) * 2**20

        def transform(place: Place, container: Container) -> None:
            target = f"{prefix}{place[2]}.out"
            try:
                done = objects.head(bucket, target)
                if done is not None and done.modified >= started:
                    return
                body = objects.get(place[0], place[1], limit=limit or UNLIMITED_BYTES)
                response = self._ask(answer, body, container)
                kind, kms_key = response.headers.get("content-type"), answer["TransformOutput"].get("KmsKeyId", "")
                objects.put(bucket, target, response.body, content_type=kind, kms_key=kms_key)
            except (JobFailure, ServiceError) as error:
                self._failed.set()
                text = error.message if isinstance(error, ServiceError) else str(error)
                if isinstance(error, ServiceError) and error.code == "EntityTooLarge":
                    text += f" MaxPayloadInMB is {answer.get('MaxPayloadInMB', PAYLOAD_MB)}."
                stream = f"{self._stream(container)}/data-log"
                self.logs.write(LOG_GROUP, stream, [f"{place[0]}/{place[1]}: ClientError: {text}"])

        return transform

    def _ask(self, answer: dict[str, Any], body: bytes, container: Container) -> Response:
        """Return the container's response, after the retries of server errors that ModelClientConfig allows."""
        client = answer.get("ModelClientConfig", {})
        headers = {
            "Content-Type": answer["TransformInput"].get("ContentType"),
            "Accept": answer["TransformOutput"].get("Accept"),
        }
        given = {name: value for name, value in headers.items() if value}
        timeout = client.get("InvocationsTimeoutInSeconds", 600)
        fault = ""
        for _ in range(1 + client.get("InvocationsMaxRetries", 3)):
            self._check()
            try:
                response = container.request("POST", "/invocations", given, body=body, timeout=timeout)
            except ContainerTimeout:
                fault = "Unable to get response from algorithm: it timed out"
                continue
            except ContainerUnreachable:
                fault = "Unable to get response from algorithm"
                continue
            if response.status < 400:
                return response
            fault = f"{response.status}: {response.body[:1000].decode(errors='replace')}"
            if response.status < 500:
                break
        raise JobFailure(fault)

    def _stream(self, container: Container) -> str:
        return f"{self.name}/i-{container.port:017x}"

    def _read_logs(self, *, final: bool = False) -> None:
        with self.embedded.store.write():
            for container in self.containers:
                lines, offset = container.read_output(self._offsets.get(container.port, 0), final=final)
                self._offsets[container.port] = offset
                if lines:
                    self.logs.write(LOG_GROUP, self._stream(container), lines)

    def _finish(self, status: str, reason: str | None = None) -> None:
        with self.records.change(self.name) as record:
            assert record is not None
            record.status = record.answer["TransformJobStatus"] = status
            record.work.stage = "ended"
            record.answer["TransformEndTime"] = now()
            if reason is not None:
                record.answer["FailureReason"] = failure_reason(reason, self.embedded.store.folder)
        self._stop_containers()
        shutil.rmtree(self.folder, ignore_errors=True)
