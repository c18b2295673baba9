"""The portal's access control: one test per rule, each over every route."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from gtseg.local.clock import read_clock
from gtseg.local.embedded import Embedded
from gtseg.local.errors import ServiceError
from gtseg.local.labeling import workers
from gtseg.local.labeling.portal.gate import (
    BEARER_TRIES,
    GUARD_HEADER,
    PUBLIC_BODY_BYTES,
    SIGN_IN,
    SIGN_IN_TRIES,
    WINDOW,
    Endpoint,
    Gate,
)
from gtseg.local.labeling.portal.routes import portal_routes
from gtseg.local.labeling.portal.sessions import SESSION_SECONDS
from gtseg.local.labeling.records import DDL
from gtseg.local.labeling.teams import make_first_team, update_workforce
from gtseg.local.storage.folder import FolderObjects
from gtseg.local.storage.store import Store


class Portal:
    """The portal without a server; calls its ASGI application directly."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder)
        self.embedded = Embedded(self.store, FolderObjects(folder))
        self.store.create(DDL)
        make_first_team(self.embedded)
        self.routes = [route for route in portal_routes(self.embedded) if isinstance(route, Route)]
        self.app = Starlette(routes=self.routes)
        self.worker, self.token = workers.add_worker(self.store, "Ada", "gtseg")
        self.sessions = Gate(self.embedded).sessions

    def cookie(self, audience: str) -> dict[str, str]:
        """A signed-in browser's header."""
        name = self.sessions.owner_cookie if audience == "owner" else self.sessions.worker_cookie
        return {"cookie": f"{name}={self.sessions.start(None if audience == 'owner' else self.worker)}"}

    def ask(
        self,
        route: Route,
        headers: dict[str, str] | None = None,
        *,
        body: Any = b"{}",
        client: str = "127.0.0.1",
    ) -> tuple[int, dict[str, str], int]:
        """(status, headers, number of reads of the body). `body`: bytes, or a function that returns ASGI messages."""
        (method,) = set(route.methods or ()) - {"HEAD"}
        path = re.sub(r"\{(\w+)(:\w+)?\}", lambda found: "0" if found[2] == ":int" else "x", route.path)
        given = {"host": "127.0.0.1:1", **(headers or {})}
        if isinstance(body, bytes) and method != "GET":
            given.setdefault("content-length", str(len(body)))
        scope = {
            "type": "http", "http_version": "1.1", "method": method, "path": path, "raw_path": path.encode(),
            "root_path": "", "query_string": b"", "scheme": "http", "client": (client, 5), "server": ("127.0.0.1", 1),
            "headers": [(k.lower().encode(), v.encode("latin-1")) for k, v in given.items()],
        }  # fmt: skip
        sent: list[Any] = []
        asked = [0]

        async def receive() -> Any:
            asked[0] += 1
            if callable(body):
                return await body()
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        with ThreadPoolExecutor(1) as pool:  # a test with a browser leaves a running loop in this thread
            pool.submit(asyncio.run, self.app(scope, receive, send)).result()
        found = {k.decode(): v.decode() for k, v in sent[0]["headers"]}
        return sent[0]["status"], found, asked[0]


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Portal:
    return Portal(tmp_path_factory.mktemp("gate") / "aws")


def endpoint_of(route: Route) -> Endpoint:
    assert isinstance(route.endpoint, Endpoint), route.path
    return route.endpoint


def changing(route: Route) -> bool:
    return not (route.methods or set()) & {"GET"}


def other(audience: str) -> str:
    return "owner" if audience == "worker" else "worker"


async def send_for_ever() -> Any:
    return {"type": "http.request", "body": b" " * (1 << 20), "more_body": True}


GUARD = {GUARD_HEADER: "1"}


def test_every_route_is_registered_at_the_gate(portal: Portal) -> None:
    assert len(portal.routes) == len(portal_routes(portal.embedded)) >= 29
    assert {endpoint_of(route).audience for route in portal.routes} == {"worker", "owner", "public"}


def test_rule_1_every_route_refuses_addresses_that_the_workforce_does_not_allow(portal: Portal) -> None:
    update_workforce(portal.store, {"WorkforceName": "default", "SourceIpConfig": {"Cidrs": ["127.0.0.0/8"]}})
    try:
        for route in portal.routes:
            headers = portal.cookie(endpoint_of(route).audience) | GUARD
            status, _, read = portal.ask(route, headers, client="10.1.1.1")
            assert (status, read) == (403, 1 if changing(route) else 0), route.path
            status, _, _ = portal.ask(route, headers, client="::ffff:127.0.0.1")
            assert status != 403, route.path
    finally:
        update_workforce(portal.store, {"WorkforceName": "default", "SourceIpConfig": {"Cidrs": []}})


def test_rule_2_every_route_authenticates_its_audience(portal: Portal) -> None:
    for number, route in enumerate(portal.routes):
        endpoint, client = endpoint_of(route), f"10.0.{number}.1"  # wrong tokens are counted per address
        if endpoint.audience == "public":
            continue
        refused = 303 if endpoint.page else 401
        for headers in ({}, GUARD, {"authorization": "Bearer wrong"}, {"authorization": "Basic eDp5"}):
            assert portal.ask(route, headers, client=client)[0] == refused, (route.path, headers)
        assert portal.ask(route, portal.cookie(other(endpoint.audience)) | GUARD)[0] == refused, route.path
        wrong = portal.token if endpoint.audience == "owner" else portal.store.credentials.owner_token
        assert portal.ask(route, {"authorization": f"Bearer {wrong}"})[0] == refused, route.path
        assert portal.ask(route, portal.cookie(endpoint.audience) | GUARD)[0] not in (303, 401, 403), route.path


def test_rule_3_every_changing_route_refuses_cross_origin_requests(portal: Portal) -> None:
    for route in filter(changing, portal.routes):
        cookie = portal.cookie(endpoint_of(route).audience)
        assert portal.ask(route, cookie)[0] == 403, route.path
        assert portal.ask(route, cookie | GUARD | {"origin": "http://evil.example"})[0] == 403, route.path
        assert portal.ask(route, cookie | GUARD | {"origin": "null"})[0] == 403, route.path
        own = cookie | GUARD | {"origin": "http://127.0.0.1:1"}
        assert portal.ask(route, own)[0] not in (401, 403), route.path


def test_rule_4_every_body_is_read_last_and_only_up_to_its_limit(portal: Portal) -> None:
    for route in filter(changing, portal.routes):
        endpoint = endpoint_of(route)
        long = {"content-length": str(endpoint.limit + 1)}
        cookie = portal.cookie(endpoint.audience) | GUARD
        status, headers, _ = portal.ask(route, cookie | long | {"expect": "100-continue"})
        assert (status, headers["connection"]) == (413, "close"), route.path
        status, _, read = portal.ask(route, cookie | {"transfer-encoding": "chunked"}, body=send_for_ever)
        assert (status, read < 200) == (413, True), route.path
        if endpoint.audience == "public":
            assert endpoint.limit <= PUBLIC_BODY_BYTES
        else:
            status, headers, read = portal.ask(route, GUARD | long | {"content-length": str(700 << 20)})
            assert (status, read, headers["connection"]) == (401, 0, "close"), route.path


def test_rule_4_every_body_has_a_time_limit(portal: Portal) -> None:
    for route in filter(changing, portal.routes):
        endpoint = endpoint_of(route)
        quick = Endpoint(endpoint.gate, endpoint.handler, endpoint.audience, endpoint.limit, endpoint.page, 0.0)
        headers = portal.cookie(endpoint.audience) | GUARD
        silent = Portal.__new__(Portal)
        silent.app = Starlette(routes=[Route(route.path, quick, methods=list(route.methods or ()))])
        assert silent.ask(route, headers | {"content-length": "5"}, body=asyncio.Event().wait)[0] == 408
        assert 0 < endpoint.seconds < 3600


def test_every_response_has_nosniff_and_a_content_security_policy(portal: Portal) -> None:
    for route in portal.routes:
        for headers in ({}, portal.cookie(endpoint_of(route).audience) | GUARD):
            _, found, _ = portal.ask(route, headers)
            assert found["x-content-type-options"] == "nosniff", route.path
            policy = found["content-security-policy"]
            assert "sandbox" in policy or "default-src 'none'; script-src 'self'" in policy, route.path


# ---- tokens and sessions: time is an argument


@pytest.fixture
def clock() -> list[float]:
    return [2_000_000_000.0]


@pytest.fixture
def gate(tmp_path: Path, clock: list[float]) -> Gate:
    store = Store(tmp_path / "aws")
    store.create(DDL)
    store.create("INSERT INTO labeling_teams VALUES ('gtseg', 'gtseg', '', '{}', 0, 0)")
    return Gate(Embedded(store, FolderObjects(store.folder)), read_clock=lambda: clock[0])


def refused(action: Callable[[], Any]) -> int:
    with pytest.raises(ServiceError) as caught:
        action()
    return caught.value.status


def browser(gate: Gate, cookie: str, *, owner: bool = False) -> Request:
    name = gate.sessions.owner_cookie if owner else gate.sessions.worker_cookie
    headers = [(b"cookie", f"{name}={cookie}; gtseg_worker=x".encode())]
    return Request({"type": "http", "method": "GET", "path": "/", "headers": headers, "query_string": b""})


def test_wrong_links_are_limited_per_address_and_time_window(gate: Gate, clock: list[float]) -> None:
    owner = gate.store.credentials.owner_token
    assert {refused(lambda: gate.sign_in("wrong", "10.0.0.1")) for _ in range(SIGN_IN_TRIES)} == {403}
    assert refused(lambda: gate.sign_in("wrong", "10.0.0.1")) == 429
    assert refused(lambda: gate.sign_in(owner, "10.0.0.1")) == 429
    assert refused(lambda: gate.sign_in("wrong", "10.0.0.2")) == 403
    for number in range(SIGN_IN_TRIES):
        refused(lambda number=number: gate.sign_in("wrong", f"2001:db8::{number}"))
    assert refused(lambda: gate.sign_in("wrong", "2001:db8::ffff")) == 429, "one network, one count"
    clock[0] += WINDOW + 1
    assert gate.sign_in(owner, "10.0.0.1") is None


def test_wrong_bearer_tokens_are_limited_and_valid_ones_always_pass(gate: Gate) -> None:
    _, token = workers.add_worker(gate.store, "Ada", "gtseg")

    def bearer(value: str) -> Request:
        headers = [(b"authorization", f"Bearer {value}".encode())]
        return Request({"type": "http", "method": "GET", "path": "/", "headers": headers, "client": ("10.0.0.1", 1)})

    for _ in range(BEARER_TRIES):
        assert refused(lambda: gate.admit(bearer("wrong"), "worker")) == 401
    assert refused(lambda: gate.admit(bearer("wrong"), "owner")) == 429
    assert gate.admit(bearer(token), "worker") is not None
    gate.admit(bearer(gate.store.credentials.owner_token), "owner")


def test_a_session_expires_after_half_a_day_and_forged_cookies_are_refused(gate: Gate, clock: list[float]) -> None:
    sessions = gate.sessions
    cookie = sessions.start(None)
    assert sessions.find(browser(gate, cookie, owner=True), owner=True) is not None
    assert sessions.find(browser(gate, cookie), owner=False) is None, "an owner's cookie makes no worker"
    for forged in (cookie[:3] + ("A" if cookie[3] != "A" else "B") + cookie[4:], "x" + cookie, "", "..", "ä"):
        assert sessions.find(browser(gate, forged, owner=True), owner=True) is None
    clock[0] += SESSION_SECONDS + 1
    assert sessions.find(browser(gate, cookie, owner=True), owner=True) is None


def test_sign_out_removal_and_a_new_token_end_sessions_on_the_server(gate: Gate) -> None:
    sessions = gate.sessions
    worker, _ = workers.add_worker(gate.store, "Ada", "gtseg")
    first, second = (browser(gate, sessions.start(worker)) for _ in range(2))
    sessions.end(first)
    assert sessions.find(first, owner=False) is None
    assert sessions.find(second, owner=False) is not None
    workers.add_worker(gate.store, "Ada", "gtseg", renew=True)
    assert sessions.find(second, owner=False) is None
    third = browser(gate, sessions.start(worker))
    workers.remove_worker(gate.store, worker.id)
    assert sessions.find(third, owner=False) is None
    assert gate.store.read().execute("SELECT count(*) FROM labeling_sessions").fetchone()[0] == 0


def test_two_servers_on_one_host_have_different_cookie_names(gate: Gate, tmp_path: Path) -> None:
    other = Gate(Embedded(Store(tmp_path / "other"), FolderObjects(tmp_path / "other")))
    assert other.sessions.worker_cookie != gate.sessions.worker_cookie
    assert other.sessions.owner_cookie != gate.sessions.owner_cookie
    assert other.sessions.find(browser(gate, gate.sessions.start(None), owner=True), owner=True) is None


def test_the_database_contains_no_cookie(gate: Gate) -> None:
    cookie = gate.sessions.start(None)
    (row,) = gate.store.read().execute("SELECT * FROM labeling_sessions").fetchall()
    assert row["id"] not in cookie
    assert row["expires"] > read_clock()
    assert SIGN_IN.startswith("/_portal")
