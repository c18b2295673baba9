"""HTML pages and static files of the portal, with a Content-Security-Policy that allows same-origin resources only."""

from __future__ import annotations

import hashlib
import html
from mimetypes import guess_type
from pathlib import Path

from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute

from gtseg.local.errors import ServiceError
from gtseg.local.labeling.portal.gate import SIGN_IN, Call, Gate, Handler

FOLDER = Path(__file__).with_name("static")
POLICY = "; ".join(
    [
        "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data: blob:",
        "connect-src 'self'", "form-action 'none'", "base-uri 'none'", "frame-ancestors 'none'",
    ]
)  # fmt: skip
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
KINDS = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"}


def show(page: str, /, **words: str) -> HTMLResponse:
    """Return a page with each {{word}} replaced by its HTML-escaped value."""
    text = (FOLDER / page).read_text(encoding="utf-8")
    for word, value in words.items():
        text = text.replace("{{" + word + "}}", html.escape(value, quote=True))
    return HTMLResponse(text, headers=HEADERS)


def missing_page(path: str) -> HTMLResponse:
    """Return the page shown to browsers for an unknown path, status 404."""
    page = show("missing.html", address=path[:200])
    page.status_code = 404
    return page


def page_routes(gate: Gate) -> list[BaseRoute]:
    """Return the routes of the pages and of the static files."""
    shipped = {str(path.relative_to(FOLDER)): path for path in FOLDER.rglob("*") if path.is_file()}

    def worker_page(name: str) -> Handler:
        def answer(call: Call) -> Response:
            worker = call.worker
            return show(name, worker=worker.id, name=worker.name, team=worker.team)

        return answer

    def owner_page(name: str) -> Handler:
        return lambda call: show(name)

    def static(call: Call) -> Response:
        """Return a script or style sheet; browsers revalidate it (ETag, no-cache), so that upgrades take effect."""
        path = shipped.get(call.path("path"))
        if path is None:
            raise ServiceError("NotFound", f"There is no file {call.path('path')[:200]!r}.", 404)
        content = path.read_bytes()
        headers = {
            "ETag": f'"{hashlib.sha256(content).hexdigest()[:32]}"',
            "Cache-Control": "no-cache",
        }
        if headers["ETag"] in call.request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        kind = KINDS.get(path.suffix) or guess_type(path.name)[0] or "application/octet-stream"
        return Response(content, media_type=kind, headers=headers)

    return [
        gate.route("GET", "/_portal", lambda call: RedirectResponse("/_portal/", 303), audience="public"),
        gate.route("GET", "/_portal/", worker_page("home.html"), audience="worker", page=True),
        gate.route("GET", SIGN_IN, lambda call: show("signin.html"), audience="public"),
        gate.route("GET", "/_portal/work/{job}", worker_page("task.html"), audience="worker", page=True),
        gate.route("GET", "/_portal/submitted/{job}", worker_page("submitted.html"), audience="worker", page=True),
        gate.route("GET", "/_portal/owner", owner_page("owner.html"), audience="owner", page=True),
        gate.route("GET", "/_portal/owner/jobs/{job}", owner_page("owner_job.html"), audience="owner", page=True),
        gate.route("GET", "/_portal/static/{path:path}", static, audience="public"),
    ]
