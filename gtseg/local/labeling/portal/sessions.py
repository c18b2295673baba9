"""Who is at the browser: personal links exchanged for cookies, the owner's pages, and the rate at which secrets may be guessed.

A personal link carries the token behind `#`: a browser never sends that part, so it is in no log and no Referer; the page hands it over once,
in a request's body, and removes it from the address."""

from __future__ import annotations

import hashlib
import hmac
import threading
import time
from collections import deque
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from gtseg.local.errors import ServiceError
from gtseg.local.labeling.workers import COOKIE_SECONDS, Worker, find_by_cookie, find_by_token, make_cookie
from gtseg.local.storage.store import Store

__all__ = ["GUARD_HEADER", "OWNER_COOKIE", "WORKER_COOKIE", "Doorkeeper"]

WORKER_COOKIE, OWNER_COOKIE = "gtseg_worker", "gtseg_owner"
GUARD_HEADER = (
    "x-gtseg-portal"  # no form and no foreign page can send it without a preflight, which nobody grants
)
TRIES, WINDOW = 10, 60.0  # wrong tokens from one address in so many seconds


class Doorkeeper:
    """Tokens in, cookies out; who a request is from."""

    def __init__(self, store: Store, *, read_clock: Callable[[], float] = time.time) -> None:
        self.store, self.read_clock = store, read_clock
        self.failures: dict[str, deque[float]] = {}
        self.lock = threading.Lock()

    # ---- signing in ----

    def sign_in(self, token: str, address: str) -> tuple[str, str]:
        """A worker's or the owner's token -> (cookie name, cookie). Raises ServiceError Forbidden 403, TooManyRequests 429."""
        self.check_rate(address)
        if hmac.compare_digest(token.encode(), self.store.credentials.owner_token.encode()):
            return OWNER_COOKIE, self.make_owner_cookie()
        worker = find_by_token(self.store, token)
        if worker is None:
            with self.lock:
                self.failures.setdefault(address, deque()).append(self.read_clock())
            raise ServiceError(
                "Forbidden", "This link is not valid any more. Ask whoever gave it to you for a new one.", 403
            )
        return WORKER_COOKIE, make_cookie(self.store, worker)

    def check_rate(self, address: str) -> None:
        with self.lock:
            now = self.read_clock()
            for known in [a for a, times in self.failures.items() if not times or times[-1] < now - WINDOW]:
                del self.failures[known]
            recent = [t for t in self.failures.get(address, ()) if t > now - WINDOW]
        if len(recent) >= TRIES:
            raise ServiceError(
                "TooManyRequests", f"Too many wrong links. Try again in {WINDOW:.0f} seconds.", 429
            )

    def make_owner_cookie(self) -> str:
        expiry = str(int(self.read_clock()) + COOKIE_SECONDS)
        return f"{expiry}.{self.sign_owner(expiry)}"

    def sign_owner(self, expiry: str) -> str:
        return hmac.new(
            self.store.credentials.owner_token.encode(), f"owner.{expiry}".encode(), hashlib.sha256
        ).hexdigest()

    # ---- who it is ----

    def find_worker(self, request: Request) -> Worker | None:
        bearer = read_bearer(request)
        if bearer:
            return find_by_token(self.store, bearer)
        return find_by_cookie(self.store, request.cookies.get(WORKER_COOKIE, ""))

    def is_owner(self, request: Request) -> bool:
        bearer = read_bearer(request)
        if bearer:
            return hmac.compare_digest(bearer.encode(), self.store.credentials.owner_token.encode())
        expiry, _, signature = request.cookies.get(OWNER_COOKIE, "").partition(".")
        if not expiry.isdecimal() or int(expiry) < self.read_clock():
            return False
        return hmac.compare_digest(self.sign_owner(expiry).encode(), signature.encode())

    def require_worker(self, request: Request) -> Worker:
        """Raises ServiceError Unauthorized 401, Forbidden 403 for a changing request that a foreign page may have sent."""
        check_guard(request)
        worker = self.find_worker(request)
        if worker is None:
            raise ServiceError("Unauthorized", "Sign in with your personal link.", 401)
        return worker

    def require_owner(self, request: Request) -> None:
        check_guard(request)
        if not self.is_owner(request):
            raise ServiceError("Unauthorized", "This needs the owner's token.", 401)


def read_bearer(request: Request) -> str:
    kind, _, value = request.headers.get("authorization", "").partition(" ")
    return value.strip() if kind.lower() == "bearer" else ""


def check_guard(request: Request) -> None:
    """A changing request that rests on a cookie must carry the portal's own header."""
    if request.method in ("GET", "HEAD") or read_bearer(request) or GUARD_HEADER in request.headers:
        return
    raise ServiceError("Forbidden", f"The header {GUARD_HEADER} is missing.", 403)


def set_cookie(response: Response, request: Request, name: str, value: str) -> None:
    response.set_cookie(
        name,
        value,
        max_age=COOKIE_SECONDS,
        path="/_portal",
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
