"""Calls of the worker's browser pages beyond the worker API: drafts, active time, submitted answers, questions.

POST /_portal/api/tasks/{id}/presence   {"tab", "active", "opens" | "take" | "leaving"}
                                        -> {"elsewhere", "version", "saved_at", "state"}
GET  /_portal/api/tasks/{id}/draft      the draft; its version is in the header Draft-Version
PUT  /_portal/api/tasks/{id}/draft?tab=&base=   a draft made from version `base` -> {"version"}
GET  /_portal/api/jobs/{job}/submitted  the worker's answers
POST /_portal/api/tasks/{id}/revise     reopen an answer; .../keep restores it
GET  /_portal/api/tasks/{id}/submission the mask of the submitted answer
GET  /_portal/api/jobs/{job}/questions  the worker's questions
POST /_portal/api/tasks/{id}/questions  {"question", "x", "y"}
"""

from __future__ import annotations

import base64
from dataclasses import asdict
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from gtseg.local.errors import ServiceError
from gtseg.local.labeling import drafts, questions, revisions
from gtseg.local.labeling.drafts import MAX_DRAFT_BYTES
from gtseg.local.labeling.portal.gate import Call, Gate
from gtseg.local.labeling.portal.upright import orient_mask, read_orientation
from gtseg.local.labeling.records import Job, find_job, iso
from gtseg.local.labeling.tasks import Task, find_task
from gtseg.local.labeling.workers import may_label
from gtseg.local.storage.objects import split_uri

API = "/_portal/api"
MAX_PLACE = 1e9
"""Limit on point coordinates, in pixels."""
NO_STORE = {"Cache-Control": "no-store"}


def worker_page_routes(gate: Gate) -> list[BaseRoute]:
    """Return the routes of this module."""
    return [*draft_routes(gate), *submitted_routes(gate), *question_routes(gate)]


def draft_routes(gate: Gate) -> list[BaseRoute]:
    """Return the routes of drafts and of the presence reports that count active time."""
    store, save_limit = gate.store, drafts.SaveLimit()

    def report_presence(call: Call) -> dict[str, Any]:
        document, task = call.json(), find_task(store, call.path("task"), call.worker)
        tab, active = call.text("tab"), drafts.read_seconds(document)
        if document.get("leaving") is True:
            drafts.close_tab(store, task, tab=tab, active=active)
            return {"elsewhere": False}
        found = drafts.report_presence(
            store,
            task,
            tab=tab,
            active=active,
            opens=document.get("opens") is True,
            take=document.get("take") is True,
        )
        saved = iso(found.saved) if found.saved else None
        return {"elsewhere": found.is_elsewhere, "version": found.version, "saved_at": saved, "state": task.state}

    def read_draft(call: Call) -> Response:
        version, content = drafts.read_draft(store, find_task(store, call.path("task"), call.worker))
        headers = NO_STORE | {"Draft-Version": str(version)}
        return Response(content, media_type="application/octet-stream", headers=headers)

    def save_draft(call: Call) -> dict[str, Any]:
        words = call.request.query_params
        base = words.get("base", "")
        if not (base.isascii() and base.isdecimal() and len(base) < 12):
            raise ServiceError("InvalidRequest", f"base={base[:40]!r} is not a draft version. Use an integer from 0.")
        task = find_task(store, call.path("task"), call.worker)
        save_limit.consume(call.worker.id)
        return {"version": drafts.save_draft(store, task, tab=words.get("tab", ""), base=int(base), content=call.body)}

    root = f"{API}/tasks/{{task}}"
    return [
        gate.route("POST", f"{root}/presence", report_presence, audience="worker"),
        gate.route("GET", f"{root}/draft", read_draft, audience="worker"),
        gate.route("PUT", f"{root}/draft", save_draft, audience="worker", limit=MAX_DRAFT_BYTES),
    ]


def submitted_routes(gate: Gate) -> list[BaseRoute]:
    """Return the routes of submitted answers and their revision."""
    store, objects = gate.store, gate.embedded.objects

    def list_submitted(call: Call) -> dict[str, Any]:
        job = find_own_job(gate, call)
        rows = revisions.list_submitted(store, job, call.worker)
        return {
            "job": job.title,
            "kind": "verification" if job.is_verification else "mask",
            "answers": [asdict(row) for row in rows],
        }

    def show_submission(call: Call) -> Response:
        task = find_task(store, call.path("task"), call.worker)
        png = read_png(read_submission(task), task.line)
        # transformed to the orientation in which browsers display the image
        if call.request.query_params.get("upright"):
            png = orient_mask(png, read_orientation(objects.get(*split_uri(task.uri))))
        return Response(png, media_type="image/png", headers=NO_STORE)

    def read_submission(task: Task) -> dict[str, Any]:
        return revisions.read_content(store, objects, task.job, task.line, worker=task.worker)

    def show_verdict(call: Call) -> dict[str, Any]:
        """Return the member of a submitted answer that has a label, such as a verdict with a comment; else {}."""
        task = find_task(store, call.path("task"), call.worker)
        found = [item for item in read_submission(task).values() if isinstance(item, dict) and "label" in item]
        return found[0] if found else {}

    def revise(call: Call) -> dict[str, Any]:
        task = revisions.revise_task(store, call.path("task"), call.worker)
        return {"state": task.state, "job": task.job.title}

    def cancel_revision(call: Call) -> dict[str, Any]:
        revisions.cancel_revision(store, call.path("task"), call.worker)
        return {"state": "answered"}

    return [
        gate.route("GET", f"{API}/jobs/{{job}}/submitted", list_submitted, audience="worker"),
        gate.route("GET", f"{API}/tasks/{{task}}/submission", show_submission, audience="worker"),
        gate.route("GET", f"{API}/tasks/{{task}}/verdict", show_verdict, audience="worker"),
        gate.route("POST", f"{API}/tasks/{{task}}/revise", revise, audience="worker"),
        gate.route("POST", f"{API}/tasks/{{task}}/keep", cancel_revision, audience="worker"),
    ]


def read_png(content: dict[str, Any], line: int) -> bytes:
    """Return the PNG mask of an answer. Raises ServiceError NotFound for an answer without one."""
    found = [item for item in content.values() if isinstance(item, dict) and "labeledImage" in item]
    if not found:
        raise ServiceError("NotFound", f"The answer for object {line} has no mask.", 404)
    return base64.b64decode(found[0]["labeledImage"]["pngImageData"])


def question_routes(gate: Gate) -> list[BaseRoute]:
    """Return the routes of the worker's questions."""
    store = gate.store

    def list_questions(call: Call) -> dict[str, Any]:
        """Return the worker's questions of a job, and mark their answers as read."""
        job = find_own_job(gate, call)
        found = questions.list_questions(store, job, worker=call.worker.id)
        if any(question["unread"] for question in found):
            questions.mark_seen(store, job, call.worker.id)
        return {"questions": found}

    def ask_question(call: Call) -> Response:
        task = find_task(store, call.path("task"), call.worker)
        if task.state != "leased" and revisions.find_revision(store, task) is None:
            raise ServiceError("Gone", f"The task is {task.state}, no longer open.", 410)
        key = questions.ask_question(store, task, text=call.text("question"), place=read_place(call.json()))
        return JSONResponse({"id": key}, 201)

    return [
        gate.route("GET", f"{API}/jobs/{{job}}/questions", list_questions, audience="worker"),
        gate.route("POST", f"{API}/tasks/{{task}}/questions", ask_question, audience="worker"),
    ]


def read_place(document: dict[str, Any]) -> tuple[float, float] | None:
    """Return the question's point (x, y) in pixels; None if it has none. Raises ServiceError InvalidRequest."""
    place = document.get("x"), document.get("y")
    if place == (None, None):
        return None
    if not all(
        isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < MAX_PLACE for value in place
    ):
        raise ServiceError("InvalidRequest", "x and y must be numbers, in pixels.")
    return float(place[0]), float(place[1])  # type: ignore[arg-type]


def find_own_job(gate: Gate, call: Call) -> Job:
    """Return the job of the path. Raises ServiceError NotFound for a job of another team."""
    job = find_job(gate.store, call.path("job"))
    if not may_label(call.worker, job):
        raise ServiceError("NotFound", f"There is no labeling job {job.title!r} of this worker's team.", 404)
    return job
