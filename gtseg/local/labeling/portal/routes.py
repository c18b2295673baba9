"""Routes of the portal: pages and calls for workers in a browser and for the owner.

The calls that every worker client uses, simulated workers included (jobs, tasks, answers), are in `labeling/http.py`.
Every route is behind the gate (gate.py).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute

from gtseg.local.embedded import Embedded
from gtseg.local.errors import ServiceError
from gtseg.local.labeling import questions, workers
from gtseg.local.labeling.assist.assistant import list_suggested
from gtseg.local.labeling.colors import save_colors
from gtseg.local.labeling.http import worker_routes
from gtseg.local.labeling.portal import agreement, gallery, overview
from gtseg.local.labeling.portal.gate import SIGN_IN, Call, Gate
from gtseg.local.labeling.portal.outlines import OutlineClient
from gtseg.local.labeling.portal.pages import page_routes
from gtseg.local.labeling.portal.storage import describe_storage, storage_routes
from gtseg.local.labeling.portal.upright import orient_mask, orient_point, read_orientation
from gtseg.local.labeling.portal.worker_pages import read_png, worker_page_routes
from gtseg.local.labeling.records import Job, find_job
from gtseg.local.labeling.revisions import find_revision, read_content, return_object
from gtseg.local.labeling.tasks import Task, find_task
from gtseg.local.labeling.workers import describe_worker

API = "/_portal/api"
IMAGE_HEADERS = {"Cache-Control": "private, max-age=3600"}


def portal_routes(embedded: Embedded) -> list[BaseRoute]:
    """Return all routes below /_portal."""
    embedded.store.create(agreement.DDL)
    embedded.store.create(gallery.DDL)
    gate = Gate(embedded)
    return [
        *worker_routes(gate),
        *session_routes(gate),
        *worker_page_routes(gate),
        *outline_routes(gate),
        *owner_routes(gate),
        *review_routes(gate),
        *people_routes(gate),
        *storage_routes(gate),
        *page_routes(gate),
    ]


def session_routes(gate: Gate) -> list[BaseRoute]:
    """Return the routes that start and end a browser session."""

    def sign_in(call: Call) -> Response:
        """Exchange a worker's or the owner's token for a session cookie."""
        token = call.json().get("token")
        if not isinstance(token, str) or not token:
            raise ServiceError("InvalidRequest", 'Send {"token": "..."}.')
        worker = gate.sign_in(token.strip(), call.address)
        response = JSONResponse({"to": "/_portal/owner" if worker is None else "/_portal/"})
        gate.sessions.set_cookie(response, call.request, worker)
        return response

    def sign_out(call: Call) -> Response:
        """End the session on the server and delete its cookies."""
        gate.sessions.end(call.request)
        response = JSONResponse({"to": SIGN_IN})
        gate.sessions.delete_cookies(response)
        return response

    return [
        gate.route("POST", f"{API}/session", sign_in, audience="public"),
        gate.route("DELETE", f"{API}/session", sign_out, audience="public"),
    ]


def outline_routes(gate: Gate) -> list[BaseRoute]:
    """Return the routes of the drawing aids: auto-segment, scissors, pace."""
    store, options = gate.store, gate.embedded.options
    client = OutlineClient(gate.embedded.objects, options.outline_model or ())

    async def find_open(call: Call) -> Task:
        """Return the task, leased or with an answer under revision. Raises ServiceError Gone 410 in any other state."""
        task = await run_in_threadpool(find_task, store, call.path("task"), call.worker)
        if task.state != "leased" and await run_in_threadpool(find_revision, store, task) is None:
            raise ServiceError("Gone", f"The task is {task.state}, no longer open.", 410)
        return task

    async def outline(call: Call) -> dict[str, Any]:
        task, request = await find_open(call), call.json()
        if request.get("suggested") is None:
            return await client.outline(task, request)
        _, objects = await run_in_threadpool(list_suggested, store, task)
        return await client.outline(task, request, suggested=objects)

    async def scissors(call: Call) -> dict[str, Any]:
        """Return a path between two points that follows the edges of the image.

        Request: {"from": [x, y], "to": [x, y]}
        Result:  {"path": [[x, y], ...]}
        """
        return await client.scissors(await find_open(call), call.json())

    async def prepare(call: Call) -> dict[str, Any]:
        """Load the network and the image when the task's page opens, before the first click."""
        return await client.prepare(await run_in_threadpool(find_task, store, call.path("task"), call.worker))

    async def examine(call: Call) -> dict[str, Any]:
        """Return the kind and the speed of the outline models, for `gtseg doctor`."""
        return await client.examine()

    def show_pace(call: Call) -> dict[str, Any]:
        return {"pace": overview.median_pace(store, call.worker.id)}

    return [
        gate.route("POST", f"{API}/tasks/{{task}}/autosegment", outline, audience="worker"),
        gate.route("GET", f"{API}/tasks/{{task}}/autosegment", prepare, audience="worker"),
        gate.route("POST", f"{API}/tasks/{{task}}/scissors", scissors, audience="worker"),
        gate.route("GET", f"{API}/owner/outlines", examine, audience="owner"),
        gate.route("GET", f"{API}/pace", show_pace, audience="worker"),
    ]


def orientations(gate: Gate) -> Callable[[str, int], int]:
    """Return a cached function from (job, line) to the EXIF orientation of the object's image, 1 to 8."""

    @lru_cache(maxsize=10_000)
    def orientation(name: str, line: int) -> int:
        stream, _ = gallery.source_image(gate.store, gate.embedded.objects, name, line)
        return read_orientation(b"".join(stream.blocks()))

    return orientation


def owner_routes(gate: Gate) -> list[BaseRoute]:
    """Return the routes of the owner's job list and job pages."""
    store, objects = gate.store, gate.embedded.objects

    def list_jobs(call: Call) -> dict[str, Any]:
        return {"jobs": overview.list_jobs(store), "storage": describe_storage(store, objects)}

    def describe_job(call: Call) -> dict[str, Any]:
        return overview.describe_job(store, objects, call.path("job"))

    def list_objects(call: Call) -> dict[str, Any]:
        wanted = gallery.parse_filter(call.request.query_params)
        return gallery.describe_objects(store, objects, call.path("job"), wanted)

    def show_picture(call: Call) -> Response:
        name, line, what = (call.request.path_params[key] for key in ("job", "line", "what"))
        if what == "image":
            stream, kind = gallery.source_image(store, objects, name, line)
            length = {"Content-Length": str(stream.info.size)}
            return StreamingResponse(stream.blocks(), media_type=kind, headers=IMAGE_HEADERS | length)
        if what == "mask":
            body = gallery.consolidated_mask(store, objects, name, line)
        elif what == "prior":
            body = gallery.prior_mask(store, objects, name, line)
        else:
            content = read_content(store, objects, find_job(store, name), line, worker=what)
            body = read_png(content, line)
        return Response(orient_mask(body, orientation(name, line)), media_type="image/png", headers=IMAGE_HEADERS)

    orientation = orientations(gate)

    def choose_colors(call: Call) -> dict[str, Any]:
        """Set the class colors of later tasks from {"colors": {"cat": "#d55e00"}}; null restores the job's tags."""
        if "colors" not in (document := call.json()):
            raise ServiceError("InvalidRequest", 'Send {"colors": {"cat": "#d55e00"}}, or null.')
        return {"colors": save_colors(store, find_job(store, call.path("job")), document["colors"])}

    def download_workers(call: Call) -> Response:
        name = call.path("job")
        headers = {"Content-Disposition": f'attachment; filename="{find_job(store, name).title}-people.csv"'}
        return Response(overview.format_workers_csv(store, objects, name), media_type="text/csv", headers=headers)

    root = f"{API}/owner/jobs"
    return [
        gate.route("GET", root, list_jobs, audience="owner"),
        gate.route("GET", f"{root}/{{job}}", describe_job, audience="owner"),
        gate.route("POST", f"{root}/{{job}}/colors", choose_colors, audience="owner"),
        gate.route("GET", f"{root}/{{job}}/people.csv", download_workers, audience="owner"),
        gate.route("GET", f"{root}/{{job}}/objects", list_objects, audience="owner"),
        gate.route("GET", f"{root}/{{job}}/objects/{{line:int}}/{{what}}", show_picture, audience="owner"),
    ]


def review_routes(gate: Gate) -> list[BaseRoute]:
    """Return the routes of the owner's verdicts, returned objects, and answers to questions."""
    store, objects = gate.store, gate.embedded.objects

    def save_review(call: Call) -> dict[str, Any]:
        name, line = call.path("job"), call.request.path_params["line"]
        gallery.save_review(store, name, line, verdict=call.text("verdict"), comment=call.text("comment", ""))
        return {"reviews": gallery.count_reviews(store, find_job(store, name))}

    def send_back(call: Call) -> dict[str, Any]:
        comment, worker = call.text("comment", "").strip(), call.text("worker", "") or None
        if not 1 <= len(comment) <= gallery.MAX_COMMENT:
            raise ServiceError(
                "InvalidRequest", f"comment must say what to change, in 1 to {gallery.MAX_COMMENT} characters."
            )
        name, line = call.path("job"), call.request.path_params["line"]
        count = return_object(store, objects, name, line, comment=comment, worker=worker)
        return {"returned": count}

    def download_redo(call: Call) -> Response:
        title = find_job(store, call.path("job")).title
        headers = {"Content-Disposition": f'attachment; filename="{title}-redo.jsonl"'}
        body = gallery.format_redo(store, title)
        return Response(body, media_type="application/jsonl", headers=headers)

    orientation = orientations(gate)

    def locate(job: Job, question: dict[str, Any]) -> dict[str, float]:
        """Return the displayed position of a question's point, as fractions of the image's width and height."""
        if question["x"] is None:
            return {}
        x, y = question["x"] / question["width"], question["y"] / question["height"]
        left, top = orient_point(x, y, orientation(job.name, question["line"]))
        return {"left": left, "top": top}

    def list_questions(call: Call) -> dict[str, Any]:
        job = find_job(store, call.path("job"))
        found = questions.list_questions(store, job)
        return {"questions": [question | locate(job, question) for question in found]}

    def answer_question(call: Call) -> dict[str, Any]:
        job = find_job(store, call.path("job"))
        questions.answer_question(store, job, call.path("question"), text=call.text("answer"))
        return {"questions": questions.count_questions(store, job)}

    root = f"{API}/owner/jobs/{{job}}"
    return [
        gate.route("POST", f"{root}/objects/{{line:int}}/review", save_review, audience="owner"),
        gate.route("POST", f"{root}/objects/{{line:int}}/return", send_back, audience="owner"),
        gate.route("GET", f"{root}/redo.jsonl", download_redo, audience="owner"),
        gate.route("GET", f"{root}/questions", list_questions, audience="owner"),
        gate.route("POST", f"{root}/questions/{{question}}", answer_question, audience="owner"),
    ]


def people_routes(gate: Gate) -> list[BaseRoute]:
    """Return the routes that manage workers, the counterpart of `gtseg local worker`."""
    store = gate.store

    def list_workers(call: Call) -> dict[str, Any]:
        teams = [row["title"] for row in store.read().execute("SELECT title FROM labeling_teams ORDER BY name")]
        return {
            "workers": [describe_worker(worker) for worker in workers.list_workers(store)],
            "teams": teams,
        }

    def add_worker(call: Call) -> Response:
        worker, token = workers.add_worker(store, call.text("name"), call.text("team"))
        return JSONResponse({"worker_id": worker.id, "token": token}, 201)

    def change_worker(call: Call) -> dict[str, Any]:
        return describe_worker(workers.set_worker_state(store, call.path("worker"), call.text("state")))

    return [
        gate.route("GET", f"{API}/owner/workers", list_workers, audience="owner"),
        gate.route("POST", f"{API}/owner/workers", add_worker, audience="owner"),
        gate.route("POST", f"{API}/owner/workers/{{worker}}", change_worker, audience="owner"),
    ]
