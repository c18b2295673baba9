"""S3 requests to a server whose objects are in an external S3 service (`gtseg local up --s3`), which does not serve S3.

Only the presigned image links of task pages are served: this server signs them, and they end with the worker's access.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from gtseg.local.embedded import Embedded
from gtseg.local.errors import ServiceError
from gtseg.local.front.bodies import drain
from gtseg.local.front.hosts import Hosts
from gtseg.local.front.signature import UNSIGNED_PAYLOAD, parse_signed, verify
from gtseg.local.s3.request import Receive, Request, Scope, Send, parse_request
from gtseg.local.s3.xml import render_error
from gtseg.local.storage.objects import split_uri

HEADERS = {"x-content-type-options": "nosniff", "content-security-policy": "sandbox"}


class ExternalS3App:
    """ASGI application in place of the S3 protocol."""

    def __init__(self, embedded: Embedded, find_secret: Callable[[str], str | None], hosts: Hosts) -> None:
        self.embedded, self.find_secret, self.hosts = embedded, find_secret, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send, headers: dict[str, str]) -> None:
        request, is_read = None, True
        try:
            request = parse_request(scope, receive, headers)
            response = await self.answer(request, scope)
        except ServiceError as error:
            resource, identity = (request.resource, request.id) if request is not None else ("/", "")
            body = b"" if scope["method"] == "HEAD" else render_error(error, resource=resource, request_id=identity)
            response = Response(body, error.status, media_type="application/xml")
            is_read = await drain(receive, headers)
        response.headers.update(HEADERS if is_read else {**HEADERS, "connection": "close"})
        await response(scope, receive, send)

    async def answer(self, request: Request, scope: Scope) -> Response:
        """Serve the image of a presigned link. Raises ServiceError for every other request."""
        signed = parse_signed(request.headers, request.query)
        if request.method != "GET" or signed is None or signed.expires is None or not request.key:
            raise self.refuse()
        self.hosts.check(request.headers.get("host", ""), (scope.get("server") or ("",))[0])
        verify(
            signed,
            method=request.method,
            raw_path=request.raw_path,
            query=request.pairs,
            headers=request.headers,
            payload_hash=UNSIGNED_PAYLOAD,
            find_secret=self.find_secret,
            now=datetime.now(UTC),
        )
        bucket, key = split_uri(f"s3://{request.bucket}/{request.key}")  # the bucket may be an access point's ARN
        stream = await run_in_threadpool(self.embedded.objects.open, bucket, key)
        fields = {"content-length": str(stream.info.size), "etag": f'"{stream.info.etag}"'}
        return StreamingResponse(stream.blocks(), media_type=stream.info.content_type, headers=fields)

    def refuse(self) -> ServiceError:
        """Return the error that names the external S3 service."""
        endpoint = self.embedded.objects.state().endpoint
        return ServiceError(
            "NotImplemented",
            f"This server does not serve S3: its objects are at {endpoint} (gtseg local up --s3). Send S3 requests "
            "there, for example with AWS_ENDPOINT_URL_S3, and only the labeling service's requests here ([labeling] "
            "profile in gtseg.toml).",
            501,
        )
