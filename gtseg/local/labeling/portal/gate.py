"""Access control of the portal: the only way to register a handler below /_portal.

Every request passes these checks in this order:

1. Source: the workforce allows the client's address (UpdateWorkforce, SourceIpConfig).
2. Identity: a bearer token or session cookie of the route's audience: a worker, the owner, or the public.
3. CSRF: a changing request authenticated by a cookie has a header that cross-origin pages cannot send, and no foreign
   Origin.
4. Body: read only after the other checks, up to the route's size limit and time limit.

A handler is a function of a `Call`. It runs in a thread unless it is a coroutine function, and returns a Response or a
JSON value, or raises ServiceError.
"""

from __future__ import annotations

import hmac
import inspect
import ipaddress
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from gtseg.local.embedded import Embedded
from gtseg.local.errors import ServiceError
from gtseg.local.front.bodies import Bodies, drain, mark_authenticated, read_limited
from gtseg.local.labeling.portal.attempts import Attempts
from gtseg.local.labeling.portal.sessions import Sessions
from gtseg.local.labeling.teams import allowed_sources
from gtseg.local.labeling.workers import Worker, find_by_token

Audience = Literal["worker", "owner", "public"]
Handler = Callable[["Call"], Any]

GUARD_HEADER = "x-gtseg-portal"
"""HTML forms cannot set it; cross-origin pages need a CORS preflight, which is never granted."""
SIGN_IN = "/_portal/signin"
SIGN_IN_TRIES, BEARER_TRIES, WINDOW = 10, 60, 60.0
"""Wrong tokens allowed per address within WINDOW seconds."""
BODY_BYTES = 64 << 10
PUBLIC_BODY_BYTES, PUBLIC_BODY_SECONDS = 4 << 10, 10.0
"""Body limits of public routes: size in bytes, base time limit in seconds."""
MIN_BYTES_PER_SECOND = 16 << 10
"""Lowest accepted average upload rate."""
COPIES = 4
"""Memory used while an answer is parsed, as a multiple of its size: body, document, base64, PNG."""
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}


@dataclass(frozen=True)
class Call:
    """A request that has passed the gate. `found` is None unless a worker authenticated."""

    request: Request
    body: bytes = b""
    found: Worker | None = None

    @property
    def worker(self) -> Worker:
        assert self.found is not None, "the route's audience is not workers"
        return self.found

    @property
    def address(self) -> str:
        return self.request.client.host if self.request.client else ""

    def path(self, name: str) -> str:
        return str(self.request.path_params[name])

    def json(self) -> dict[str, Any]:
        """Return the body, a JSON object. Raises ServiceError InvalidRequest."""
        try:
            document = msgspec.json.decode(self.body or b"{}")
        except (ValueError, RecursionError):
            raise ServiceError("InvalidRequest", "The body is not valid JSON.") from None
        if not isinstance(document, dict):
            raise ServiceError("InvalidRequest", "The body must be a JSON object.")
        return document

    def text(self, name: str, default: str | None = None) -> str:
        """Return a string member of the body. Raises ServiceError InvalidRequest."""
        value = self.json().get(name, default)
        if not isinstance(value, str):
            raise ServiceError("InvalidRequest", f"{name} must be a string; got {value!r}."[:200])
        return value


class Gate:
    """Access control of one server's portal: sessions, rate limits, body limits."""

    def __init__(self, embedded: Embedded, *, read_clock: Callable[[], float] = time.time) -> None:
        self.embedded, self.store = embedded, embedded.store
        self.bodies = Bodies(self.store.folder)
        self.sessions = Sessions(self.store, read_clock=read_clock)
        self.sign_ins = Attempts(SIGN_IN_TRIES, WINDOW, read_clock=read_clock)
        self.bearers = Attempts(BEARER_TRIES, WINDOW, read_clock=read_clock)

    def route(
        self,
        method: str,
        path: str,
        handler: Handler,
        *,
        audience: Audience,
        limit: int = BODY_BYTES,
        page: bool = False,
    ) -> Route:
        """Return a route whose handler is behind the gate.

        With `page`, unauthenticated clients are redirected to sign in.
        """
        return Route(path, self.endpoint(handler, audience=audience, limit=limit, page=page), methods=[method])

    def endpoint(
        self, handler: Handler, *, audience: Audience, limit: int = BODY_BYTES, page: bool = False
    ) -> Endpoint:
        """Return `handler` behind the gate, for the given audience, with a body of at most `limit` bytes.

        Routes for the public accept at most PUBLIC_BODY_BYTES.
        """
        if audience == "public":
            return Endpoint(self, handler, audience, min(limit, PUBLIC_BODY_BYTES), page, PUBLIC_BODY_SECONDS)
        return Endpoint(self, handler, audience, limit, page, PUBLIC_BODY_SECONDS + limit / MIN_BYTES_PER_SECOND)

    def admit(self, request: Request, audience: Audience) -> Worker | None:
        """Check source, identity and CSRF; return the authenticated worker, if any.

        Raises ServiceError 401, 403, 429.
        """
        self.check_source(request)
        worker = self.check_identity(request, audience)
        check_guard(request)
        return worker

    def check_source(self, request: Request) -> None:
        """Check that the workforce allows the client's address. Raises ServiceError Forbidden 403."""
        ranges = allowed_sources(self.store)
        if not ranges or request.client is None:
            return
        address = ipaddress.ip_address(request.client.host)
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if not any(address in ipaddress.ip_network(text) for text in ranges):
            raise ServiceError(
                "Forbidden", f"The workforce does not allow the address {address} (SourceIpConfig).", 403
            )

    def check_identity(self, request: Request, audience: Audience) -> Worker | None:
        """Return the worker of a worker's request.

        Raises ServiceError Unauthorized 401 for any other audience's credentials.
        """
        if audience == "public":
            return None
        if audience == "owner":
            if not self.is_owner(request):
                raise ServiceError(
                    "Unauthorized",
                    "This requires the owner's token (Authorization: Bearer TOKEN) or the owner's link.",
                    401,
                )
            return None
        worker = self.find_worker(request)
        if worker is None:
            raise ServiceError(
                "Unauthorized",
                "Sign in with your personal link, or send your token: Authorization: Bearer TOKEN.",
                401,
            )
        return worker

    def find_worker(self, request: Request) -> Worker | None:
        if has_credentials(request):
            return self._check_bearer(request)[1]
        session = self.sessions.find(request, owner=False)
        return session.worker if session is not None else None

    def is_owner(self, request: Request) -> bool:
        if has_credentials(request):
            return self._check_bearer(request)[0]
        return self.sessions.find(request, owner=True) is not None

    def _check_bearer(self, request: Request) -> tuple[bool, Worker | None]:
        """Return (whether the token is the owner's, the worker with this token).

        Wrong tokens are counted per address and answered 429 beyond the limit. A valid token always passes, so that
        other clients at the same address cannot lock a worker out.
        """
        token = read_bearer(request)
        if token and self.is_owner_token(token):
            return True, None
        worker = find_by_token(self.store, token) if token else None
        if worker is None:
            address = request.client.host if request.client else ""
            self.bearers.check(address)
            self.bearers.count(address)
        return False, worker

    def is_owner_token(self, token: str) -> bool:
        return hmac.compare_digest(to_bytes(token), to_bytes(self.store.credentials.owner_token))

    def sign_in(self, token: str, address: str) -> Worker | None:
        """Return the worker with this token; None for the owner's token.

        Raises ServiceError Forbidden 403, TooManyRequests 429.
        """
        self.sign_ins.check(address)
        if self.is_owner_token(token):
            return None
        worker = find_by_token(self.store, token)
        if worker is None:
            self.sign_ins.count(address)
            raise ServiceError(
                "Forbidden", "This link is no longer valid. Ask the owner of the labeling job for a new one.", 403
            )
        return worker


@dataclass(frozen=True)
class Endpoint:
    """A handler behind the gate, as an ASGI application."""

    gate: Gate = field(repr=False)
    handler: Handler
    audience: Audience
    limit: int
    page: bool
    seconds: float

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await self.answer(request)
        except ServiceError as error:
            response = self.refuse(request, error)
            if error.status == 408 or not await drain(receive, request.headers):
                response.headers["Connection"] = "close"
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        await response(scope, receive, send)

    async def answer(self, request: Request) -> Response:
        if request.method in ("GET", "HEAD") and not inspect.iscoroutinefunction(self.handler):
            response = await run_in_threadpool(self.admit_and_run, request)
            if self.audience != "public" and response.status_code not in (303, 401, 403, 429):
                mark_authenticated(request.scope)
            return response
        worker = await run_in_threadpool(self.gate.admit, request, self.audience)
        if self.audience != "public":
            mark_authenticated(request.scope)
        if self.limit <= BODY_BYTES:
            body = await read_limited(request.receive, request.headers, limit=self.limit, seconds=self.seconds)
            if inspect.iscoroutinefunction(self.handler):
                return to_response(await self.handler(Call(request, body, worker)))
            return await run_in_threadpool(self.run, Call(request, body, worker))
        bodies = self.gate.bodies
        spool = bodies.spool(request.receive, request.headers, limit=self.limit, seconds=self.seconds)
        async with spool as spooled, bodies.authenticated.hold(COPIES * spooled.size):
            return await run_in_threadpool(lambda: self.run(Call(request, spooled.read(), worker)))

    def admit_and_run(self, request: Request) -> Response:
        return self.run(Call(request, b"", self.gate.admit(request, self.audience)))

    def run(self, call: Call) -> Response:
        """Return the handler's response, or that of the ServiceError it raised; the body has already been read."""
        try:
            check_numbers(call.request.path_params)
            result = self.handler(call)
        except ServiceError as error:
            return self.refuse(call.request, error)
        return to_response(result)

    def refuse(self, request: Request, error: ServiceError) -> Response:
        if self.page and error.status == 401:
            owner = self.audience == "worker" and self.gate.is_owner(request)
            to = "/_portal/owner" if owner else SIGN_IN
            return RedirectResponse(to, 303, headers={"Cache-Control": "no-store"})
        return JSONResponse({"error": error.code, "message": error.message}, error.status)


def check_numbers(parameters: dict[str, Any]) -> None:
    """Raise ServiceError NotFound if an integer in the path does not fit into 64 bits, the range of SQLite."""
    for name, value in parameters.items():
        if isinstance(value, int) and value >= 1 << 63:
            raise ServiceError("NotFound", f"There is no {name} {str(value)[:40]}.", 404)


def to_response(result: Any) -> Response:
    return result if isinstance(result, Response) else JSONResponse(result)


# --- headers of a request ---


def has_credentials(request: Request) -> bool:
    """Return whether the request has an Authorization header with a value; cookies are ignored then."""
    return bool(request.headers.get("authorization", "").partition(" ")[2].strip())


def read_bearer(request: Request) -> str:
    kind, _, value = request.headers.get("authorization", "").partition(" ")
    return value.strip() if kind.lower() == "bearer" else ""


def check_guard(request: Request) -> None:
    """Check a changing request authenticated by a cookie against CSRF: guard header and Origin.

    Raises ServiceError 403.
    """
    if request.method in ("GET", "HEAD") or read_bearer(request):
        return
    if GUARD_HEADER not in request.headers:
        raise ServiceError("Forbidden", f"The header {GUARD_HEADER} is missing.", 403)
    origin = request.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != request.headers.get("host"):
        raise ServiceError("Forbidden", f"A page of the origin {origin[:100]!r} may not send this request.", 403)


def to_bytes(token: str) -> bytes:
    return token.encode("utf-8", "surrogatepass")
