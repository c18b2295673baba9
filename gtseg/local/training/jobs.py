"""Training jobs: create, find, stop, delete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gtseg.local.embedded import Embedded
from gtseg.local.errors import ServiceError
from gtseg.local.jobs.records import Records
from gtseg.local.jobs.requests import invalid, name_taken
from gtseg.local.jobs.tags import forget, store_new
from gtseg.local.training.requests import begin_answer, check_request, enter
from gtseg.local.training.work import TrainingRecord, TrainingWork

ENDED = ("Completed", "Failed", "Stopped")


class TrainingJobs:
    """The training jobs, used by the API, the queue and the tuning jobs; all state is in the store."""

    def __init__(self, embedded: Embedded) -> None:
        self.embedded = embedded
        self.records = Records(embedded.store, "training-job", TrainingWork)

    def create(self, request: Mapping[str, Any], *, parent: str = "", parent_arn: str = "") -> str:
        """Check and queue a job; return its ARN. Raises ValidationException or ResourceInUse."""
        check_request(self.embedded, request)
        name = request["TrainingJobName"]
        arn = self.records.arn(name)
        answer = begin_answer(request, arn)
        if parent_arn:
            answer["TuningJobArn"] = parent_arn
        record = TrainingRecord(name, "InProgress", answer, TrainingWork(), parent)
        enter(record, "Starting", "Starting the training job")
        return store_new(self.records, record, tags=request.get("Tags"), taken=name_taken(arn))

    def find(self, name: str) -> TrainingRecord:
        record = self.records.find(name)
        if record is None:
            raise invalid("Requested resource not found.")
        return record

    def stop(self, name: str) -> None:
        """Request a running job to stop; its execution carries that out."""
        with self.records.change(name) as record:
            if record is None:
                raise invalid("Requested resource not found.")
            if record.status != "InProgress":
                raise invalid(f"The request was rejected because the training job is in status {record.status}.")
            record.work.stop = "requested"
            enter(record, "Stopping", "Stopping the training job", status="Stopping")

    def delete(self, name: str) -> None:
        record = self.find(name)
        if record.status not in ENDED:
            raise ServiceError("ResourceInUse", f"The training job {name} is in status {record.status}.")
        forget(self.records, name)
