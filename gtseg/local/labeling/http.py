"""The worker HTTP API: get work, the image and the task's input, submit, decline, give back. And the owner's: workers.

    GET    /_portal/api/jobs                    jobs that are open to this worker
    POST   /_portal/api/jobs/{job}/tasks        lease the next task; 204 if there is none now
    GET    /_portal/api/tasks/{id}              the task again        .../image  its picture      .../page  its page
    POST   /_portal/api/tasks/{id}/answer       {"answer": {<element name>: {...}}}
    POST   /_portal/api/tasks/{id}/decline      {"reason": "..."}     .../release

    POST   /_portal/api/workers                 {"name", "team"} -> {"worker_id", "token"}     (owner token)
    GET    /_portal/api/workers
    PATCH  /_portal/api/workers/{id}            {"state": "active" | "paused"}
    DELETE /_portal/api/workers/{id}

A worker proves who they are by `Authorization: Bearer TOKEN` or by a signed cookie; errors are {"error", "message"}.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import logging
from collections.abc import Callable
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from gtseg.local.embedded import Embedded
from gtseg.local.errors import ServiceError
from gtseg.local.labeling import tasks, workers
from gtseg.local.labeling.answers import MAX_ANSWER_BYTES
from gtseg.local.labeling.intake import read_line
from gtseg.local.labeling.records import Job, iso, read_clock
from gtseg.local.labeling.tasks import Task
from gtseg.local.labeling.teams import allowed_sources
from gtseg.local.labeling.templates import presign, render
from gtseg.local.labeling.workers import Worker
from gtseg.local.storage.objects import split_uri

__all__ = ["COOKIE", "Api", "authenticate", "routes"]

COOKIE = "gtseg_worker"
SMALL_BODY = 64 << 10
logger = logging.getLogger(__name__)
Answer = Callable[["Call"], Any]
PICTURES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}


def routes(embedded: Embedded) -> list[BaseRoute]:
    """Everything below /_portal: this API, and the portal's pages if they are there."""
    api = Api(embedded)
    own: list[BaseRoute] = [
        api.route("/jobs", "GET", api.list_jobs),
        api.route("/jobs/{job}/tasks", "POST", api.lease),
        api.route("/tasks/{task}", "GET", api.show),
        api.route("/tasks/{task}/image", "GET", api.show_image),
        api.route("/tasks/{task}/page", "GET", api.show_page),
        api.route("/tasks/{task}/answer", "POST", api.answer, limit=MAX_ANSWER_BYTES),
        api.route("/tasks/{task}/decline", "POST", api.decline),
        api.route("/tasks/{task}/release", "POST", api.release),
        api.route("/workers", "POST", api.add_worker, owner=True),
        api.route("/workers", "GET", api.list_workers, owner=True),
        api.route("/workers/{worker}", "PATCH", api.change_worker, owner=True),
        api.route("/workers/{worker}", "DELETE", api.remove_worker, owner=True),
    ]
    return [*own, *portal_routes(embedded)]


def portal_routes(embedded: Embedded) -> list[BaseRoute]:
    try:
        portal = import_module("gtseg.local.labeling.portal")
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("gtseg.local.labeling.portal"):
            raise
        return []
    find = getattr(portal, "routes", None)
    return list(find(embedded)) if callable(find) else []


class Call:
    """One request with what its handler needs: who asks, the JSON body."""

    def __init__(self, request: Request, body: bytes, worker: Worker | None) -> None:
        self.request, self._body, self._worker = request, body, worker

    @property
    def worker(self) -> Worker:
        if self._worker is None:
            raise ServiceError(
                "Unauthorized", "A worker's token is needed: Authorization: Bearer TOKEN.", 401
            )
        return self._worker

    def path(self, name: str) -> str:
        return str(self.request.path_params[name])

    def json(self) -> dict[str, Any]:
        try:
            document = json.loads(self._body or b"{}")
        except (ValueError, RecursionError):
            raise ServiceError("InvalidRequest", "The body is not valid JSON.") from None
        if not isinstance(document, dict):
            raise ServiceError("InvalidRequest", "The body must be a JSON object.")
        return document

    def text(self, name: str, default: str | None = None) -> str:
        value = self.json().get(name, default)
        if not isinstance(value, str):
            raise ServiceError("InvalidRequest", f"{name} must be a string; got {value!r}."[:200])
        return value


class Api:
    """The handlers: plain functions of a Call, run in threads."""

    def __init__(self, embedded: Embedded) -> None:
        self.embedded, self.store = embedded, embedded.store

    def route(
        self, path: str, method: str, answer: Answer, *, owner: bool = False, limit: int = SMALL_BODY
    ) -> Route:
        async def endpoint(request: Request) -> Response:
            try:
                body = await read_body(request, limit)
                return await run_in_threadpool(self._answer, request, body, answer, owner=owner)
            except ServiceError as error:
                return JSONResponse({"error": error.code, "message": error.message}, error.status)

        return Route(f"/_portal/api{path}", endpoint, methods=[method])

    def _answer(self, request: Request, body: bytes, answer: Answer, *, owner: bool) -> Response:
        check_source(self.embedded, request)
        if owner:
            check_owner(self.embedded, request)
        call = Call(request, body, None if owner else authenticate(self.embedded, request))
        result = answer(call)
        return result if isinstance(result, Response) else JSONResponse(result)

    # ---------------------------------------------------------------- workers at work

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
        }

    def lease(self, call: Call) -> Any:
        task = tasks.lease_task(self.store, call.path("job"), call.worker)
        return Response(status_code=204) if task is None else self._describe(task)

    def show(self, call: Call) -> dict[str, Any]:
        return self._describe(self._find(call))

    def show_image(self, call: Call) -> Response:
        task = self._find(call)
        bucket, key = split_uri(task.uri)
        suffix = key[key.rfind(".") :].lower() if "." in key else ""
        kind = PICTURES.get(suffix, "application/octet-stream")
        headers = {"Cache-Control": "private, max-age=600", "X-Content-Type-Options": "nosniff"}
        stream = self.embedded.objects.open(bucket, key)
        headers |= {"Content-Length": str(stream.info.size), "ETag": f'"{stream.info.etag}"'}
        return StreamingResponse(stream.blocks(), media_type=kind, headers=headers)

    def show_page(self, call: Call) -> Response:
        """The template as the worker's browser gets it; links lead to the host that the browser asked."""
        task, base = self._find(call), str(call.request.base_url)
        content = render(
            task.job.template, self._input(task), grant=lambda uri: presign(self.store, base, uri)
        )
        return HTMLResponse(content)

    def answer(self, call: Call) -> dict[str, Any]:
        document = call.json()
        if "answer" not in document:
            raise ServiceError("InvalidRequest", 'The body must be {"answer": {<element name>: {...}}}.')
        tasks.answer_task(self.store, call.path("task"), call.worker, answer=document["answer"])
        return {"state": "answered"}

    def decline(self, call: Call) -> dict[str, Any]:
        tasks.decline_task(self.store, call.path("task"), call.worker, reason=call.text("reason", ""))
        return {"state": "declined"}

    def release(self, call: Call) -> dict[str, Any]:
        tasks.release_task(self.store, call.path("task"), call.worker)
        return {"state": "released"}

    def _find(self, call: Call) -> Task:
        return tasks.find_task(self.store, call.path("task"), call.worker)

    def _input(self, task: Task) -> dict[str, Any]:
        """What the built-in pre-annotation function gives as `taskInput`."""
        line = json.loads(read_line(task.job, self.store, task.start, task.length))
        return {"taskObject": task.uri, "labels": list(task.job.labels), "manifestLine": line}

    def _describe(self, task: Task) -> dict[str, Any]:
        return {
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
            "accepted_at": iso(task.accepted),
            "expires_at": iso(task.expires),
            "time_limit_seconds": task.job.time_limit,
            "now": iso(read_clock()),  # a browser's clock may be hours off
        }

    # ---------------------------------------------------------------- the owner

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
        return workers.describe_worker(
            workers.set_worker_state(self.store, call.path("worker"), call.text("state"))
        )

    def remove_worker(self, call: Call) -> Response:
        tasks.release_all(self.store, call.path("worker"))
        workers.remove_worker(self.store, call.path("worker"))
        return Response(status_code=204)


def describe_kind(job: Job) -> str:
    return "adjustment" if job.is_adjustment else "verification" if job.is_verification else "labeling"


# ---------------------------------------------------------------- who may


def authenticate(embedded: Embedded, request: Request) -> Worker | None:
    """The worker whose token or cookie this is. A cookie counts only for requests from this server's own pages."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if token:
        return workers.find_by_token(embedded.store, token.strip()) if scheme.lower() == "bearer" else None
    cookie = request.cookies.get(COOKIE)
    if cookie is None or (request.method not in ("GET", "HEAD") and not is_same_origin(request)):
        return None
    return workers.find_by_cookie(embedded.store, cookie)


def is_same_origin(request: Request) -> bool:
    """Browsers name the page that a POST comes from: no other site may use a worker's cookie."""
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


def check_owner(embedded: Embedded, request: Request) -> None:
    _, _, token = request.headers.get("authorization", "").partition(" ")
    if not hmac.compare_digest(token.strip().encode(), embedded.store.credentials.owner_token.encode()):
        raise ServiceError("Unauthorized", "The owner token is needed: Authorization: Bearer TOKEN.", 401)


def check_source(embedded: Embedded, request: Request) -> None:
    """The workforce's allowed source addresses (UpdateWorkforce)."""
    ranges = allowed_sources(embedded.store)
    if not ranges or request.client is None:
        return
    address = ipaddress.ip_address(request.client.host)
    if not any(address in ipaddress.ip_network(text) for text in ranges):
        raise ServiceError("Forbidden", f"Workers may not come from {address} (SourceIpConfig).", 403)


async def read_body(request: Request, limit: int) -> bytes:
    """The body, refused before it grows past `limit` bytes."""
    parts, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise ServiceError("TooLarge", f"The request has more than {limit} bytes.", 413)
        parts.append(chunk)
    return b"".join(parts)
