"""The worker HTTP API: lease tasks, read image and input, submit, decline, release; and the owner's API for workers.

    GET    /_portal/api/jobs                    jobs that are open to this worker
    POST   /_portal/api/jobs/{job}/tasks        lease the next task; 204 if there is none now
    GET    /_portal/api/tasks/{id}              the task
                                                .../image       its image
                                                .../page        its rendered template
                                                .../annotation  the mask of an earlier job to verify or adjust
                                                .../suggestion  objects proposed by a model; 404 if there is none
    POST   /_portal/api/tasks/{id}/answer       {"answer": {<element name>: {...}}}; pages add "active" (active
                                                seconds) and "revisable" (editable until consolidation)
    POST   /_portal/api/tasks/{id}/decline      {"reason": "..."}
    POST   /_portal/api/tasks/{id}/release      {"reason": "..."}
    POST   /_portal/api/tasks/{id}/again        a new lease of the image, after the first expired

    POST   /_portal/api/workers                 {"name", "team"} -> {"worker_id", "token"}     (owner token)
    GET    /_portal/api/workers
    PATCH  /_portal/api/workers/{id}            {"state": "active" | "paused"}
    DELETE /_portal/api/workers/{id}

Workers authenticate with `Authorization: Bearer TOKEN` or a session cookie; errors are {"error", "message"}. Every
route is behind the portal's gate (portal/gate.py).
"""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute

from gtseg.local.clock import read_clock
from gtseg.local.embedded import Embedded
from gtseg.local.errors import ServiceError
from gtseg.local.labeling import drafts, leases, questions, revisions, submissions, tasks, workers
from gtseg.local.labeling.answers import MAX_ANSWER_BYTES
from gtseg.local.labeling.assist.assistant import list_suggested, offer_suggestion
from gtseg.local.labeling.assist.records import find_suggestion
from gtseg.local.labeling.colors import find_colors
from gtseg.local.labeling.earlier_annotations import find_priors
from gtseg.local.labeling.gold import is_gold
from gtseg.local.labeling.input_objects import read_line
from gtseg.local.labeling.links import worker_links
from gtseg.local.labeling.portal.gate import Call, Gate
from gtseg.local.labeling.records import Job, iso
from gtseg.local.labeling.rendering import shared_renderer
from gtseg.local.labeling.tasks import Task
from gtseg.local.labeling.workers import Worker
from gtseg.local.storage.objects import split_uri

ROOT = "/_portal/api"
# The portal parses this page and shows its elements in its own page; opened directly it runs no scripts.
PAGE_POLICY = "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'"
PICTURES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}


def worker_routes(gate: Gate) -> list[BaseRoute]:
    """Return the routes of the worker API and of the owner's API for workers."""
    api = Api(gate.embedded)
    return [
        gate.route("GET", f"{ROOT}/jobs", api.list_jobs, audience="worker"),
        gate.route("POST", f"{ROOT}/jobs/{{job}}/tasks", api.lease, audience="worker"),
        gate.route("GET", f"{ROOT}/tasks/{{task}}", api.show, audience="worker"),
        gate.route("GET", f"{ROOT}/tasks/{{task}}/image", api.show_image, audience="worker"),
        gate.route("GET", f"{ROOT}/tasks/{{task}}/annotation", api.show_annotation, audience="worker"),
        gate.route("GET", f"{ROOT}/tasks/{{task}}/suggestion", api.show_suggestion, audience="worker"),
        gate.route("GET", f"{ROOT}/tasks/{{task}}/page", api.show_page, audience="worker"),
        gate.route("POST", f"{ROOT}/tasks/{{task}}/answer", api.answer, audience="worker", limit=MAX_ANSWER_BYTES),
        gate.route("POST", f"{ROOT}/tasks/{{task}}/again", api.lease_again, audience="worker"),
        gate.route("POST", f"{ROOT}/tasks/{{task}}/decline", api.decline, audience="worker"),
        gate.route("POST", f"{ROOT}/tasks/{{task}}/release", api.release, audience="worker"),
        gate.route("POST", f"{ROOT}/workers", api.add_worker, audience="owner"),
        gate.route("GET", f"{ROOT}/workers", api.list_workers, audience="owner"),
        gate.route("PATCH", f"{ROOT}/workers/{{worker}}", api.change_worker, audience="owner"),
        gate.route("DELETE", f"{ROOT}/workers/{{worker}}", api.remove_worker, audience="owner"),
    ]


class Api:
    """Handlers of the worker API."""

    def __init__(self, embedded: Embedded) -> None:
        self.embedded, self.store = embedded, embedded.store

    # --- workers ---

    def list_jobs(self, call: Call) -> dict[str, Any]:
        found = tasks.list_jobs_for(self.store, call.worker)
        return {"worker": call.worker.name, "jobs": [self._describe_job(job, call.worker) for job in found]}

    def _describe_job(self, job: Any, worker: Worker) -> dict[str, Any]:
        return {
            "job": job.title,
            "kind": describe_kind(job),
            "title": job.human["TaskTitle"],
            "description": job.human["TaskDescription"],
            "keywords": job.human.get("TaskKeywords", []),
            "labels": list(job.labels),
            "time_limit_seconds": job.time_limit,
            "created": iso(job.created),
            **tasks.count_available(self.store, job, worker),
            **questions.count_own(self.store, job, worker.id),
            "returned": revisions.count_returned(self.store, job, worker.id),
        }

    def lease(self, call: Call) -> Any:
        task = leases.lease_task(self.store, call.path("job"), call.worker)
        if task is None:
            return Response(status_code=204)
        offer_suggestion(self.store, task)
        return self._describe(task)

    def lease_again(self, call: Call) -> dict[str, Any]:
        return self._describe(leases.lease_again(self.store, call.path("task"), call.worker))

    def show(self, call: Call) -> dict[str, Any]:
        return self._describe(self._find(call))

    def show_image(self, call: Call) -> Response:
        task = self._find(call)
        bucket, key = split_uri(task.uri)
        suffix = key[key.rfind(".") :].lower() if "." in key else ""
        kind = PICTURES.get(suffix, "application/octet-stream")
        headers = {"Cache-Control": "private, max-age=600"}
        stream = self.embedded.objects.open(bucket, key)
        if tasks.find_etag(self.store, task) not in (None, stream.info.etag):
            stream.body.close()
            submissions.fail_changed_image(self.store, task)
            raise ServiceError("Gone", "The image was replaced after it was given to workers. Take the next task.", 410)
        headers |= {"Content-Length": str(stream.info.size), "ETag": f'"{stream.info.etag}"'}
        return StreamingResponse(stream.blocks(), media_type=kind, headers=headers)

    def show_annotation(self, call: Call) -> Response:
        """Return the mask of the earlier job that this task verifies or adjusts, as PNG."""
        task = self._find(call)
        line = self._read_entry(task)
        names = find_priors(line, task.job.attribute)
        if not names:
            raise ServiceError("NotFound", "This task has no annotation from an earlier job.", 404)
        stream = self.embedded.objects.open(*split_uri(line[names[0]]))
        headers = {"Cache-Control": "private, max-age=600", "Content-Length": str(stream.info.size)}
        return StreamingResponse(stream.blocks(), media_type="image/png", headers=headers)

    def show_suggestion(self, call: Call) -> dict[str, Any]:
        """Return the objects that a model proposes for this task; see assist/objects.py."""
        model, objects = list_suggested(self.store, self._find(call))
        return {"model": model, "objects": objects}

    def show_page(self, call: Call) -> Response:
        """Return the rendered template.

        Image links use the host of the request and become invalid when the worker is removed.
        """
        task = self._find(call)
        links = worker_links(self.store, str(call.request.base_url), call.worker)
        content = shared_renderer().render(task.job.template, self._input(task), links)
        return HTMLResponse(content, headers={"Content-Security-Policy": PAGE_POLICY})

    def answer(self, call: Call) -> dict[str, Any]:
        document = call.json()
        if "answer" not in document:
            raise ServiceError("InvalidRequest", 'The body must be {"answer": {<element name>: {...}}}.')
        self._count_activity(call)
        submissions.answer_task(
            self.store,
            call.path("task"),
            call.worker,
            answer=document["answer"],
            is_revisable=document.get("revisable") is True,
        )
        return {"state": "answered"}

    def _count_activity(self, call: Call) -> None:
        """Add the page's active seconds to the task, if it is leased or under revision."""
        seconds = drafts.read_seconds(call.json())
        task = self._find(call)
        if seconds and (task.state == "leased" or revisions.find_revision(self.store, task) is not None):
            with self.store.write() as connection:
                drafts.add_activity(connection, task, seconds)

    def decline(self, call: Call) -> dict[str, Any]:
        submissions.decline_task(self.store, call.path("task"), call.worker, reason=call.text("reason", ""))
        return {"state": "declined"}

    def release(self, call: Call) -> dict[str, Any]:
        submissions.release_task(self.store, call.path("task"), call.worker, reason=call.text("reason", ""))
        return {"state": "released"}

    def _find(self, call: Call) -> Task:
        return tasks.find_task(self.store, call.path("task"), call.worker)

    def _input(self, task: Task) -> dict[str, Any]:
        """Return the `taskInput` of the built-in pre-annotation function."""
        return {
            "taskObject": task.uri,
            "labels": list(task.job.labels),
            "manifestLine": self._read_entry(task),
        }

    def _read_entry(self, task: Task) -> dict[str, Any]:
        """Return the task's manifest line as a JSON object."""
        if is_gold(task.job):
            return {"source-ref": task.uri}
        entry: dict[str, Any] = json.loads(read_line(task.job, self.store, task.start, task.length))
        return entry

    def _describe(self, task: Task) -> dict[str, Any]:
        revised_until = revisions.find_revision(self.store, task)
        suggestion = find_suggestion(self.store, task.id)
        return {
            "suggested_by": suggestion.model if suggestion else None,
            "task": task.id,
            "job": task.job.title,
            "object": str(task.line),
            "state": task.state,
            "kind": describe_kind(task.job),
            "image_url": f"/_portal/api/tasks/{task.id}/image",
            "page_url": f"/_portal/api/tasks/{task.id}/page",
            "width": task.width,
            "height": task.height,
            "input": self._input(task),
            "labels": list(task.job.labels),
            "colors": find_colors(self.store, task.job),
            "accepted_at": iso(task.accepted),
            "expires_at": iso(revised_until or task.expires),
            "revising": revised_until is not None,
            "returned": revisions.find_comment(self.store, task),
            "time_limit_seconds": task.job.time_limit,
            "now": iso(read_clock()),  # reference time for browsers whose clock is wrong
        }

    # --- owner ---

    def add_worker(self, call: Call) -> Response:
        document = call.json()
        worker, token = workers.add_worker(
            self.store,
            call.text("name"),
            call.text("team"),
            simulated=document.get("simulated") is True,
            renew=document.get("renew") is True,
        )
        return JSONResponse({"worker_id": worker.id, "token": token}, 201)

    def list_workers(self, call: Call) -> dict[str, Any]:
        return {"workers": [workers.describe_worker(worker) for worker in workers.list_workers(self.store)]}

    def change_worker(self, call: Call) -> dict[str, Any]:
        return workers.describe_worker(workers.set_worker_state(self.store, call.path("worker"), call.text("state")))

    def remove_worker(self, call: Call) -> Response:
        submissions.release_all(self.store, call.path("worker"))
        workers.remove_worker(self.store, call.path("worker"))
        return Response(status_code=204)


def describe_kind(job: Job) -> str:
    """Return the kind of a job's tasks: labeling, adjustment or verification."""
    return "adjustment" if job.is_adjustment else "verification" if job.is_verification else "labeling"
