"""The portal's pages: HTML as it is shipped, behind a Content-Security-Policy that lets nothing foreign run or be reached."""

from __future__ import annotations

import html
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from gtseg.local.labeling.portal.sessions import Doorkeeper

__all__ = ["HEADERS", "page_routes"]

FOLDER = Path(__file__).with_name("static")
POLICY = "; ".join(
    [
        "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data: blob:", "connect-src 'self'",
        "form-action 'none'", "base-uri 'none'", "frame-ancestors 'none'",
    ]
)  # fmt: skip
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Shipped(StaticFiles):
    """Scripts and sheets; a browser asks again each time (ETag), so that an upgrade is seen at once."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


def show(page: str, /, **words: str) -> HTMLResponse:
    """A page with {{word}} replaced by its escaped value."""
    text = (FOLDER / page).read_text(encoding="utf-8")
    for word, value in words.items():
        text = text.replace("{{" + word + "}}", html.escape(value, quote=True))
    return HTMLResponse(text, headers=HEADERS)


def page_routes(door: Doorkeeper) -> list[BaseRoute]:
    def worker_page(name: str) -> Route | object:
        def answer(request: Request) -> Response:
            worker = door.find_worker(request)
            if worker is None:
                return RedirectResponse(
                    "/_portal/owner" if door.is_owner(request) else "/_portal/signin", 303, headers=HEADERS
                )
            return show(name, worker=worker.id, name=worker.name, team=worker.team)

        return answer

    def owner_page(name: str) -> object:
        def answer(request: Request) -> Response:
            return (
                show(name)
                if door.is_owner(request)
                else RedirectResponse("/_portal/signin", 303, headers=HEADERS)
            )

        return answer

    def sign_in(request: Request) -> Response:
        return show("signin.html")

    return [
        Route("/_portal", lambda request: RedirectResponse("/_portal/", 303)),
        Route("/_portal/", worker_page("home.html")),  # type: ignore[arg-type]
        Route("/_portal/signin", sign_in),
        Route("/_portal/work/{job}", worker_page("task.html")),  # type: ignore[arg-type]
        Route("/_portal/owner", owner_page("owner.html")),  # type: ignore[arg-type]
        Route("/_portal/owner/jobs/{job}", owner_page("owner_job.html")),  # type: ignore[arg-type]
        Mount("/_portal/static", Shipped(directory=FOLDER)),
    ]
