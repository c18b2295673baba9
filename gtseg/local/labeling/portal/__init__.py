"""The worker portal: pages for people who label, pages for the owner of a job, and the calls that only they need.

What every worker needs, simulated ones too (jobs, tasks, answers), is the worker API in `labeling/http.py`."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from gtseg.local.embedded import Embedded
from gtseg.local.errors import ServiceError
from gtseg.local.labeling import workers
from gtseg.local.labeling.portal import agreement, overview
from gtseg.local.labeling.portal.outlines import Outliner
from gtseg.local.labeling.portal.pages import page_routes
from gtseg.local.labeling.portal.sessions import (
    OWNER_COOKIE,
    WORKER_COOKIE,
    Doorkeeper,
    check_guard,
    set_cookie,
)
from gtseg.local.labeling.records import find_job
from gtseg.local.labeling.tasks import find_task
from gtseg.local.labeling.workers import describe_worker

__all__ = ["routes"]

MOST_BODY = 64 * 1024
API = "/_portal/api"
IMAGE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "private, max-age=3600",
    "Content-Security-Policy": "default-src 'none'; sandbox",
}


def routes(embedded: Embedded) -> list[BaseRoute]:
    """Everything below /_portal but the worker API."""
    embedded.store.create(agreement.DDL)
    door = Doorkeeper(embedded.store)
    return [
        *session_routes(door),
        *outline_routes(embedded, door),
        *owner_routes(embedded, door),
        *people_routes(embedded, door),
        *page_routes(door),
    ]


def guarded(handler: Callable[..., Response]) -> Callable[..., Response]:
    """ServiceError -> its status and a JSON message."""

    def answer(request: Request) -> Response:
        try:
            return handler(request)
        except ServiceError as error:
            return JSONResponse({"error": error.code, "message": error.message}, status_code=error.status)

    return answer


def reading(handler: Callable[[Request, Any], Response]) -> Any:
    """The same for a handler that takes the request's JSON; it runs in the thread pool."""
    from starlette.concurrency import run_in_threadpool

    async def answer(request: Request) -> Response:
        body = await request.body()

        def work(request: Request) -> Response:
            if len(body) > MOST_BODY:
                raise ServiceError("InvalidRequest", "The request is too large.", 413)
            try:
                value = json.loads(body or b"{}")
            except ValueError:
                raise ServiceError("InvalidRequest", "The body is not JSON.") from None
            return handler(request, value)

        return await run_in_threadpool(guarded(work), request)

    return answer


def session_routes(door: Doorkeeper) -> list[BaseRoute]:
    def enter(request: Request, body: Any) -> Response:
        check_guard(request)
        token = body.get("token") if isinstance(body, dict) else None
        if not isinstance(token, str) or not token:
            raise ServiceError("InvalidRequest", 'Send {"token": "..."}.')
        name, cookie = door.sign_in(token.strip(), request.client.host if request.client else "")
        response = JSONResponse({"to": "/_portal/owner" if name == OWNER_COOKIE else "/_portal/"})
        set_cookie(response, request, name, cookie)
        return response

    def leave(request: Request) -> Response:
        check_guard(request)
        response = JSONResponse({"to": "/_portal/signin"})
        for name in (WORKER_COOKIE, OWNER_COOKIE):
            response.delete_cookie(name, path="/_portal")
        return response

    return [
        Route(f"{API}/session", reading(enter), methods=["POST"]),
        Route(f"{API}/session", guarded(leave), methods=["DELETE"]),
    ]


def outline_routes(embedded: Embedded, door: Doorkeeper) -> list[BaseRoute]:
    outliner = Outliner(embedded.objects)

    def outline(request: Request, body: Any) -> Response:
        worker = door.require_worker(request)
        task = find_task(embedded.store, request.path_params["task"], worker)
        if task.state != "leased":
            raise ServiceError("Gone", f"The task is {task.state}.", 410)
        return JSONResponse(outliner.outline(task, body))

    def warm(request: Request) -> Response:
        """Asked for when a task's page opens: weights and image are ready before the fourth point is set."""
        worker = door.require_worker(request)
        outliner.prepare(find_task(embedded.store, request.path_params["task"], worker))
        return Response(status_code=204)

    def pace(request: Request) -> Response:
        return JSONResponse({"pace": overview.own_pace(embedded.store, door.require_worker(request).id)})

    return [
        Route(f"{API}/tasks/{{task}}/autosegment", reading(outline), methods=["POST"]),
        Route(f"{API}/tasks/{{task}}/autosegment", guarded(warm)),
        Route(f"{API}/pace", guarded(pace)),
    ]


def owner_routes(embedded: Embedded, door: Doorkeeper) -> list[BaseRoute]:
    store, objects = embedded.store, embedded.objects

    def jobs(request: Request) -> Response:
        door.require_owner(request)
        return JSONResponse({"jobs": overview.list_jobs(store)})

    def job(request: Request) -> Response:
        door.require_owner(request)
        return JSONResponse(overview.describe_job(store, objects, request.path_params["job"]))

    def gallery(request: Request) -> Response:
        door.require_owner(request)
        page = request.query_params.get("page", "0")
        if not page.isdecimal():
            raise ServiceError("InvalidRequest", f"page={page!r} is not a number.")
        state = request.query_params.get("show")
        return JSONResponse(
            overview.describe_objects(store, request.path_params["job"], page=int(page), state=state)
        )

    def picture(request: Request) -> Response:
        door.require_owner(request)
        name, line, what = (request.path_params[key] for key in ("job", "line", "what"))
        if what == "image":
            body, kind = overview.source_image(store, objects, name, line)
        elif what == "mask":
            body, kind = overview.consolidated_mask(store, objects, name, line), "image/png"
        else:
            body, kind = answer_png(name, line, what), "image/png"
        return Response(body, media_type=kind, headers=IMAGE_HEADERS)

    def people(request: Request) -> Response:
        door.require_owner(request)
        name = request.path_params["job"]
        headers = {"Content-Disposition": f'attachment; filename="{find_job(store, name).title}-people.csv"'}
        return Response(overview.write_people(store, objects, name), media_type="text/csv", headers=headers)

    def answer_png(name: str, line: int, worker: str) -> bytes:
        content = agreement.read_content(store, objects, find_job(store, name), line, worker=worker)
        found = [item for item in content.values() if isinstance(item, dict) and "labeledImage" in item]
        if not found:
            raise ServiceError("NotFound", f"The answer of {worker!r} for object {line} holds no mask.", 404)
        return base64.b64decode(found[0]["labeledImage"]["pngImageData"])

    return [
        Route(f"{API}/owner/jobs", guarded(jobs)),
        Route(f"{API}/owner/jobs/{{job}}", guarded(job)),
        Route(f"{API}/owner/jobs/{{job}}/people.csv", guarded(people)),
        Route(f"{API}/owner/jobs/{{job}}/objects", guarded(gallery)),
        Route(f"{API}/owner/jobs/{{job}}/objects/{{line:int}}/{{what}}", guarded(picture)),
    ]


def people_routes(embedded: Embedded, door: Doorkeeper) -> list[BaseRoute]:
    """Who may label, for the owner's browser: the same as `gtseg local worker` does."""
    store = embedded.store

    def listed(request: Request) -> Response:
        door.require_owner(request)
        teams = [
            row["title"] for row in store.read().execute("SELECT title FROM labeling_teams ORDER BY name")
        ]
        people = [describe_worker(worker) for worker in workers.list_workers(store)]
        return JSONResponse({"workers": people, "teams": teams})

    def add(request: Request, body: Any) -> Response:
        door.require_owner(request)
        name, team = (body.get(key) if isinstance(body, dict) else None for key in ("name", "team"))
        if not isinstance(name, str) or not isinstance(team, str):
            raise ServiceError("InvalidRequest", 'Send {"name": "...", "team": "..."}.')
        worker, token = workers.add_worker(store, name, team)
        return JSONResponse({"worker_id": worker.id, "token": token}, 201)

    def change(request: Request, body: Any) -> Response:
        door.require_owner(request)
        state = body.get("state") if isinstance(body, dict) else None
        if not isinstance(state, str):
            raise ServiceError("InvalidRequest", 'Send {"state": "active"} or {"state": "paused"}.')
        worker = workers.set_worker_state(store, request.path_params["worker"], state)
        return JSONResponse(describe_worker(worker))

    return [
        Route(f"{API}/owner/workers", guarded(listed)),
        Route(f"{API}/owner/workers", reading(add), methods=["POST"]),
        Route(f"{API}/owner/workers/{{worker}}", reading(change), methods=["POST"]),
    ]
