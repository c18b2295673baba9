"""Browser sessions: a signed cookie with a session id, and a table of sessions that makes them revocable.

The signature (itsdangerous) rejects forged cookies without a database query. The table ends a session on the server: at
sign-out, when a worker is removed or gets a new token, and after SESSION_SECONDS. Only a digest of the session id is
stored. Cookie names contain a hash of the data folder's access key, because browsers share cookies between the ports of
a host.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from itsdangerous import BadSignature, URLSafeSerializer
from starlette.requests import Request
from starlette.responses import Response

from gtseg.local.labeling.workers import Worker, find_active
from gtseg.local.storage.store import Store

SESSION_SECONDS = 12 * 3600
PATH = "/_portal"


@dataclass(frozen=True)
class Session:
    """An authenticated session of a worker, or of the owner (`worker` is None)."""

    worker: Worker | None

    @property
    def is_owner(self) -> bool:
        return self.worker is None


class Sessions:
    """The sessions of one data folder."""

    def __init__(self, store: Store, *, read_clock: Callable[[], float] = time.time) -> None:
        self.store, self.read_clock = store, read_clock
        server = hashlib.sha256(store.credentials.access_key.encode()).hexdigest()[:8]
        self.worker_cookie, self.owner_cookie = f"gtseg_worker_{server}", f"gtseg_owner_{server}"
        self.signer = URLSafeSerializer(store.credentials.owner_token, salt="gtseg portal session")

    def start(self, worker: Worker | None) -> str:
        """Start a session of a worker, or of the owner (None); return the cookie's value. Deletes expired sessions."""
        key, now = secrets.token_urlsafe(24), self.read_clock()
        with self.store.write() as connection:
            connection.execute("DELETE FROM labeling_sessions WHERE expires <= ?", (now,))
            connection.execute(
                "INSERT INTO labeling_sessions VALUES (?, ?, ?)",
                (digest(key), worker.id if worker else "", now + SESSION_SECONDS),
            )
        return str(self.signer.dumps(key))

    def find(self, request: Request, *, owner: bool) -> Session | None:
        """Return the session of the request's owner cookie or worker cookie, if it is valid and not expired."""
        key = self._read_key(request.cookies.get(self.owner_cookie if owner else self.worker_cookie, ""))
        if key is None:
            return None
        row = (
            self.store.read()
            .execute(
                "SELECT worker FROM labeling_sessions WHERE id = ? AND expires > ?",
                (digest(key), self.read_clock()),
            )
            .fetchone()
        )
        if row is None or owner != (row["worker"] == ""):
            return None
        if owner:
            return Session(None)
        worker = find_active(self.store, row["worker"])
        return Session(worker) if worker is not None else None

    def end(self, request: Request) -> None:
        """End every session whose cookie the request carries."""
        keys = [self._read_key(request.cookies.get(n, "")) for n in (self.worker_cookie, self.owner_cookie)]
        with self.store.write() as connection:
            for key in keys:
                if key is not None:
                    connection.execute("DELETE FROM labeling_sessions WHERE id = ?", (digest(key),))

    def set_cookie(self, response: Response, request: Request, worker: Worker | None) -> None:
        """Start a session and set its cookie on the response."""
        response.set_cookie(
            self.worker_cookie if worker else self.owner_cookie,
            self.start(worker),
            max_age=SESSION_SECONDS,
            path=PATH,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )

    def delete_cookies(self, response: Response) -> None:
        for name in (self.worker_cookie, self.owner_cookie):
            response.delete_cookie(name, path=PATH)

    def _read_key(self, cookie: str) -> str | None:
        try:
            key = self.signer.loads(cookie)
        except BadSignature:
            return None
        return key if isinstance(key, str) else None


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
