"""ASGI application of the embedded AWS: routes requests to services, authenticates and records them.

    /_gtseg/health, identity, faults   this module
    /metrics                           metrics.py
    /_portal/...                       the labeling portal and the worker API
    sagemaker + X-Amz-Target           the JSON services (also logs)
    /endpoints/NAME/invocations        hosting.invoke(embedded, name, headers, body) -> (status, headers, body)
    s3, presigned, anonymous           S3
    anything else                      moto

The service is that of the credential scope; every service except S3 is authenticated here.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from urllib.parse import unquote

from starlette.applications import Starlette

from gtseg.local import identity
from gtseg.local.embedded import Embedded
from gtseg.local.errors import ServiceError
from gtseg.local.front import moto_services
from gtseg.local.front.bodies import Bodies, TimeLimitedReceive, drain, mark_authenticated
from gtseg.local.front.browser_pages import WELCOME, RefusalPages, is_browser_navigation
from gtseg.local.front.calls import CallLog, find_name, find_operation
from gtseg.local.front.external_s3 import ExternalS3App
from gtseg.local.front.fault_file import Fault
from gtseg.local.front.faults import Faults
from gtseg.local.front.health import describe_health
from gtseg.local.front.hosts import Hosts
from gtseg.local.front.metrics import Metrics, is_metrics
from gtseg.local.front.registry import register_services
from gtseg.local.front.signature import Signed, parse_query, parse_signed, verify
from gtseg.local.hosting import invoke
from gtseg.local.labeling.links import find_link_secret
from gtseg.local.labeling.portal.routes import portal_routes
from gtseg.local.s3.app import S3App
from gtseg.local.s3.request import Receive, Scope, Send, read_headers
from gtseg.local.s3.request_body import BodyReceiver
from gtseg.local.s3.service import S3
from gtseg.local.s3.xml import escape
from gtseg.local.storage.folder import FolderObjects
from gtseg.local.training.cloudwatch import TrainingMetrics

THREADS = 32
OWN_PATHS = ("/_gtseg/", "/_portal/")  # bucket names cannot start with an underscore
BODY_MAXIMUM = 32 << 20
TOO_LARGE = "RequestEntityTooLargeException"
Reply = tuple[int, dict[str, str], bytes]
SECURITY_HEADERS = ((b"x-content-type-options", b"nosniff"), (b"content-security-policy", b"sandbox"))


class Front:
    """The ASGI application; `stored` is None if the objects are in an external S3 service."""

    def __init__(self, embedded: Embedded, stored: FolderObjects | None) -> None:
        self.embedded = embedded
        self.find_owner_secret: Callable[[str], str | None] = lambda access_key: None
        """Return the secret of a further access key of the owner: that of an external S3 service;
        None for other keys.
        """
        self.pool = ThreadPoolExecutor(THREADS, thread_name_prefix="request")
        self.services, self.components = register_services(embedded)
        self.training_metrics = TrainingMetrics(embedded)
        self.faults = Faults(embedded.options.faults)
        self.calls = CallLog(embedded.store.folder / "calls.jsonl")
        self.hosts = Hosts(embedded.options.names)
        self.s3: Callable[[Scope, Receive, Send, dict[str, str]], Awaitable[None]]
        if stored is None:
            self.s3 = ExternalS3App(embedded, self.find_secret, self.hosts)
        else:
            self.s3 = S3App(self._make_s3(stored), self.faults, self._record_bucket_call, hosts=self.hosts)
        self.portal = self._make_portal()
        self.metrics = Metrics(embedded)
        self.bodies = Bodies(embedded.store.folder, self.pool)
        self._signed_by: dict[str, str] = {embedded.store.credentials.access_key: embedded.store.credentials.secret_key}

    def _make_s3(self, objects: FolderObjects) -> S3:
        return S3(
            objects=objects,
            account=self.embedded.store.account,
            region=self.embedded.store.region,
            pool=self.pool,
            intake=BodyReceiver(objects.files, self.pool),
            find_secret=self.find_secret,
            read_clock=lambda: datetime.now(UTC),
        )

    def _record_bucket_call(self, operation: str, bucket: str, status: int, code: str) -> None:
        if operation not in ("DeleteObjects", "PostObject"):
            self.calls.record(service="s3", operation=operation, name=bucket, status=status, code=code)

    def _make_portal(self) -> Starlette:
        portal = Starlette(routes=portal_routes(self.embedded))
        portal.router.redirect_slashes = False
        return portal

    async def _describe_health(self) -> Reply:
        described = await asyncio.to_thread(describe_health, self.embedded)  # works while requests occupy the pool
        return 200, {"content-type": "application/json"}, json.dumps(described).encode()

    async def _describe_metrics(self, headers: dict[str, str]) -> Reply:
        try:
            return await asyncio.to_thread(self.metrics.answer, headers)
        except ServiceError as error:
            return (
                error.status,
                {"content-type": "application/json"},
                json.dumps({"message": error.message}).encode(),
            )

    def _prove_identity(self, query: bytes) -> Reply:
        challenge = identity.find_challenge(query)
        if challenge is None:
            return 400, {"content-type": "application/json"}, b'{"message":"A challenge is 64 hex digits."}'
        secret_key = self.embedded.store.credentials.secret_key
        proof = identity.make_proof(secret_key, challenge, self.embedded.url)
        return 200, {"content-type": "application/json"}, json.dumps({"proof": proof}).encode()

    def find_secret(self, access_key: str) -> str | None:
        """Return the secret of the owner's key or of a key that signs one worker's image links; None for any other."""
        return (
            self._signed_by.get(access_key)
            or find_link_secret(self.embedded.store, access_key)
            or self.find_owner_secret(access_key)
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"{scope['type']} connections are not supported")
        if scope["path"] == "/_gtseg/health":
            await _send(send, await self._describe_health())
            return
        if scope["path"] == identity.PATH:
            await _send(send, self._prove_identity(scope["query_string"]))
            return
        headers = read_headers(scope)
        if is_metrics(scope["path"], headers, has_s3=isinstance(self.s3, S3App)):
            await _send(send, await self._describe_metrics(headers))
            return
        receive = TimeLimitedReceive(receive, self.embedded.options.idle_seconds)
        is_own = scope["path"].startswith(OWN_PATHS) or scope["path"] == "/_portal"
        service = "" if is_own else _find_service(headers, scope["query_string"])
        if not service:  # signed requests are bound to the host by their signature; S3 checks unsigned ones itself
            try:
                self.hosts.check(headers.get("host", ""), (scope.get("server") or ("",))[0])
            except ServiceError as error:
                await _send(send, _render_misdirected(error), close=not await drain(receive, headers))
                return
        if is_browser_navigation(scope, headers):
            if scope["path"] == "/":
                await _send(send, (303, {"location": WELCOME, "cache-control": "no-store"}, b""))
                return
            send = RefusalPages(scope, send)
        if is_own:
            await self._answer_own(scope, receive, send)
        elif service in ("", "s3"):
            await self.s3(scope, receive, send, headers)
        else:
            await self._answer_service(service, scope, receive, send, headers=headers)

    async def _answer_own(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/_gtseg/faults":
            described = json.dumps(self.faults.describe()).encode()
            await _send(send, (200, {"content-type": "application/json"}, described))
        else:
            begun = time.monotonic()
            await self.portal(scope, receive, send)
            self.metrics.observe(scope["path"], time.monotonic() - begun)

    async def _answer_service(
        self, service: str, scope: Scope, receive: Receive, send: Send, *, headers: dict[str, str]
    ) -> None:
        close = False
        try:
            signed = self._parse_signed(scope, headers)
            client_address = scope["client"][0] if scope.get("client") else ""
            spool = self.bodies.spool(
                receive, headers, limit=BODY_MAXIMUM, client_address=client_address, too_large=TOO_LARGE
            )
            async with spool as spooled:
                self._authenticate(scope, headers, signed, spooled.sha256)
                spooled.release()
                mark_authenticated(scope)
                async with self.bodies.authenticated.hold(spooled.size):
                    body = spooled.read()
                    fault = self._choose_fault(service, scope, headers, body)
                    if fault is not None:
                        await self.faults.apply(fault, service=service)
                        body, send = (
                            self.faults.damage_body(fault, body),
                            self.faults.damage_response(fault, scope, send),
                        )
                        self._authenticate(scope, headers, signed, hashlib.sha256(body).hexdigest())
                    status, fields, content = await asyncio.get_running_loop().run_in_executor(
                        self.pool, self._call, service, scope, headers, body
                    )
                    reply = status, fields, self.faults.rewrite(fault, status, content)
        except ServiceError as error:
            reply = render_error(error, headers)
            close = error.code == "RequestTimeout" or not await drain(receive, headers)
        await _send(send, reply, close=close)

    def _choose_fault(self, service: str, scope: Scope, headers: dict[str, str], body: bytes) -> Fault | None:
        if not self.faults.is_enabled:
            return None
        if service == "sagemaker" and scope["path"].startswith("/endpoints/"):
            operation, resource = "InvokeEndpoint", unquote(scope["path"].split("/")[2])
        else:
            operation = find_operation(headers, body)
            resource = find_name(operation, headers, body)
        return self.faults.choose(f"{service}:{operation}", headers, resource=resource)

    def _call(self, service: str, scope: Scope, headers: dict[str, str], body: bytes) -> Reply:
        """Dispatch a request to a service other than S3, and record it."""
        only = self.embedded.options.only
        if only and (service not in self.services or scope["path"].startswith("/endpoints/")):
            raise ServiceError(
                "UnknownOperationException",
                f"This server serves {only} only (gtseg local up --only {only}); it has no service {service} "
                f"for {scope['path']}.",
            )
        if service == "sagemaker" and scope["path"].startswith("/endpoints/"):
            return self._invoke(scope["path"], headers, body)
        reply = self._dispatch(service, scope, headers, body)
        operation = find_operation(headers, body)
        code = "" if reply[0] < 400 else _read_code(reply)
        name = find_name(operation, headers, body)
        self.calls.record(service=service, operation=operation, name=name, status=reply[0], code=code)
        return reply

    def _dispatch(self, service: str, scope: Scope, headers: dict[str, str], body: bytes) -> Reply:
        json_service = self.services.get(service)
        if json_service is not None:
            return json_service.answer(headers.get("x-amz-target", ""), body)
        if service == "monitoring":
            self._put_training_metrics(headers)
        query = scope["query_string"].decode("latin-1")
        return moto_services.answer(scope["method"], scope["path"], query, headers, body=body)

    def _put_training_metrics(self, headers: dict[str, str]) -> None:
        """Send moto's CloudWatch the training metrics recorded since the last call."""
        kept = {name: value for name, value in headers.items() if name in ("authorization", "host", "x-amz-date")}
        kept["content-type"] = "application/x-www-form-urlencoded; charset=utf-8"
        for form in self.training_metrics.take_new():
            status, _, answer = moto_services.answer("POST", "/", "", kept, body=form)
            if status != 200:
                raise RuntimeError(f"CloudWatch rejected the training metrics: {status} {answer[:300]!r}")

    def _parse_signed(self, scope: Scope, headers: dict[str, str]) -> Signed:
        """Parse the signature before the body is read. Raises ServiceError if its access key is unknown."""
        signed = parse_signed(headers, dict(parse_query(scope["query_string"])))
        if signed is None:
            raise ServiceError("MissingAuthenticationTokenException", "Missing Authentication Token", 403)
        if self.find_secret(signed.access_key) is None:
            self._authenticate(scope, headers, signed, "")
        return signed

    def _authenticate(self, scope: Scope, headers: dict[str, str], signed: Signed, payload_hash: str) -> None:
        """Verify the signature of a request. Raises ServiceError with the code of the request's protocol."""
        try:
            verify(
                signed,
                method=scope["method"],
                raw_path=scope["raw_path"],
                query=parse_query(scope["query_string"]),
                headers=headers,
                payload_hash=payload_hash,
                find_secret=self.find_secret,
                now=datetime.now(UTC),
            )
        except ServiceError as error:
            raise _rename(error, headers) from None

    def _invoke(self, path: str, headers: dict[str, str], body: bytes) -> Reply:
        name, _, action = path.removeprefix("/endpoints/").partition("/")
        if action != "invocations":
            raise ServiceError("UnknownOperationException", f"The embedded AWS does not implement {path}.")
        return invoke(self.embedded, unquote(name), headers, body)

    def close(self) -> None:
        self.pool.shutdown(wait=False, cancel_futures=True)
        self.calls.close()


def build(embedded: Embedded, stored: FolderObjects | None) -> Front:
    """Build the ASGI application; without `stored`, it does not serve S3."""
    return Front(embedded, stored)


# --- replies ---


def render_error(error: ServiceError, headers: dict[str, str]) -> Reply:
    """Render an error in the request's protocol: XML for the query protocol (STS, IAM), else JSON."""
    if error.body is not None:
        return error.status, error.headers, error.body
    if "x-www-form-urlencoded" in headers.get("content-type", ""):
        body = f"<ErrorResponse><Error><Type>Sender</Type><Code>{error.code}</Code>" + (
            f"<Message>{escape(error.message)}</Message></Error><RequestId>-</RequestId></ErrorResponse>"
        )
        return error.status, {"content-type": "text/xml", **error.headers}, body.encode()
    kind = {"content-type": "application/x-amz-json-1.1", "x-amzn-errortype": error.code, **error.headers}
    answer = {"__type": error.code, "message": error.message, **error.fields}
    return error.status, kind, json.dumps(answer).encode()


def _render_misdirected(error: ServiceError) -> Reply:
    """Render the rejection of a Host header as XML, which the portal's pages and S3 clients both show."""
    body = f"<Error><Code>{error.code}</Code><Message>{escape(error.message)}</Message></Error>"
    return error.status, {"content-type": "application/xml"}, body.encode()


JSON_NAMES = {
    "InvalidAccessKeyId": "UnrecognizedClientException",
    "SignatureDoesNotMatch": "InvalidSignatureException",
    "RequestTimeTooSkewed": "InvalidSignatureException",
    "AuthorizationHeaderMalformed": "IncompleteSignatureException",
}
QUERY_NAMES = {
    "InvalidAccessKeyId": "InvalidClientTokenId",
    "RequestTimeTooSkewed": "SignatureDoesNotMatch",
    "AuthorizationHeaderMalformed": "IncompleteSignature",
}


def _rename(error: ServiceError, headers: dict[str, str]) -> ServiceError:
    """Return an S3 authentication error under its name in the request's protocol."""
    is_query = "x-www-form-urlencoded" in headers.get("content-type", "")
    names = QUERY_NAMES if is_query else JSON_NAMES
    return ServiceError(names.get(error.code, error.code), error.message, 403)


def _read_code(reply: Reply) -> str:
    """Return the error code in an error response."""
    status, headers, body = reply
    lowered = {name.lower(): value for name, value in headers.items()}
    if "x-amzn-errortype" in lowered:
        return lowered["x-amzn-errortype"]
    if b"<Code>" in body:
        return body.partition(b"<Code>")[2].partition(b"</Code>")[0].decode("utf-8", "replace")
    with contextlib.suppress(ValueError, AttributeError):
        return str(json.loads(body).get("__type", status))
    return str(status)


def _find_service(headers: dict[str, str], query_string: bytes) -> str:
    """Return the service of the credential scope; '' for an anonymous request."""
    authorization = headers.get("authorization")
    if authorization is not None:
        scope = authorization.partition("Credential=")[2].partition(",")[0].split("/")
        return scope[-2] if len(scope) >= 5 else ""
    if b"X-Amz-Credential=" in query_string:
        scope = dict(parse_query(query_string)).get("X-Amz-Credential", "").split("/")
        return scope[-2] if len(scope) >= 5 else ""
    return ""


async def _send(send: Send, reply: Reply, *, close: bool = False) -> None:
    status, headers, body = reply
    raw = [
        (name.lower().encode("latin-1"), value.encode("utf-8"))
        for name, value in headers.items()
        if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server")
    ]
    raw += [(b"content-length", str(len(body)).encode()), *SECURITY_HEADERS]
    if close:
        raw.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
