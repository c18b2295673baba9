"""S3 endpoint: authentication, operation lookup, execution, response. Raw ASGI for minimal overhead per request."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import sqlite3
from collections.abc import Callable
from typing import Any

from gtseg.local.errors import ServiceError
from gtseg.local.front.bodies import drain, mark_authenticated
from gtseg.local.front.faults import Faults
from gtseg.local.front.hosts import Hosts
from gtseg.local.front.signature import UNSIGNED_PAYLOAD, parse_signed, verify
from gtseg.local.s3.access import check_anonymous
from gtseg.local.s3.cors import allow_origin
from gtseg.local.s3.metadata import check_owners, refuse_unsupported
from gtseg.local.s3.operations import SIGNED_IN_FORM, Operation, find_operation
from gtseg.local.s3.presigned_v2 import is_presigned_v2, verify_v2
from gtseg.local.s3.request import Answer, FileSlice, Receive, Request, Scope, Send, parse_request
from gtseg.local.s3.request_body import read_document
from gtseg.local.s3.service import S3
from gtseg.local.s3.xml import render_error

BLOCK_BYTES = 1 << 18
SECURITY_HEADERS = ((b"x-content-type-options", b"nosniff"), (b"content-security-policy", b"sandbox"))
"""Keep browsers from running a stored file as a page of this origin, which the portal shares."""
logger = logging.getLogger(__name__)


class S3App:
    """ASGI application of the S3 protocol.

    `record(operation, bucket, status, code)` is called for every authorized operation on a bucket. An unsigned request
    must be addressed to one of `hosts`.
    """

    def __init__(
        self,
        s3: S3,
        faults: Faults,
        record: Callable[[str, str, int, str], None],
        *,
        hosts: Hosts | None = None,
    ) -> None:
        self.s3, self._faults, self._record, self._hosts = s3, faults, record, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send, headers: dict[str, str]) -> None:
        request, operation, code = None, None, ""
        try:
            request = parse_request(scope, receive, headers)
            operation = find_operation(request)
            if self._faults.is_enabled:
                send = await self._inject_fault(operation, request, scope, send)
            await self.authorize(request, operation)
            if request.signed is None and self._hosts is not None:
                self._hosts.check(headers.get("host", ""), (scope.get("server") or ("",))[0])
            request.is_admitted = True
            if request.signed is not None:
                mark_authenticated(scope)
            answer = await self.run(operation, request)
        except Exception as error:
            failure = error if isinstance(error, ServiceError) else translate(error)
            code = failure.code
            answer = render_failure(failure, scope, request)
            is_read = request is not None and request.is_read
            if code == "RequestTimeout" or not (is_read or await drain(receive, headers)):
                answer.headers["connection"] = "close"
        if request is not None:
            answer.headers["x-amz-request-id"] = request.id
            if "origin" in headers and request.bucket and request.method != "OPTIONS":
                answer.headers.update(await self.call(allow_origin, request))
            if operation is not None and not request.key and request.is_admitted:
                self._record(operation.name, request.bucket, answer.status, code)
        scope["gtseg.is_on_disk"] = answer.is_on_disk
        await self.send_answer(answer, send)

    async def _inject_fault(self, operation: Operation, request: Request, scope: Scope, send: Send) -> Send:
        resource = f"{request.bucket}/{request.key}"
        fault = self._faults.choose(f"s3:{operation.name}", request.headers, resource=resource)
        if fault is None:
            return send
        await self._faults.apply(fault, service="s3")
        request.receive = self._faults.damage_request(fault, request.headers, request.receive)
        return self._faults.damage_response(fault, scope, send)

    async def authorize(self, request: Request, operation: Operation) -> None:
        """Verify the signature, or the anonymous access. Raises ServiceError.

        A browser's CORS preflight has no credentials, even for a presigned URL; it is always allowed.
        """
        if operation.name == "PreflightRequest":
            return
        if is_presigned_v2(request):
            request.signed = verify_v2(self.s3, request)
            return
        request.signed = parse_signed(request.headers, request.query)
        if request.signed is None:
            if operation.name not in SIGNED_IN_FORM:
                await self.call(check_anonymous, request, operation.name)
            return
        presigned = request.signed.expires is not None
        request.signing_key = verify(
            request.signed,
            method=request.method,
            raw_path=request.raw_path,
            query=request.pairs,
            headers=request.headers,
            payload_hash=UNSIGNED_PAYLOAD if presigned else request.headers.get("x-amz-content-sha256", ""),
            find_secret=self.s3.find_secret,
            now=self.s3.read_clock(),
        )

    async def run(self, operation: Operation, request: Request) -> Answer:
        refuse_unsupported(request.headers)
        check_owners(request.headers, self.s3.account)
        if operation.place == "inline":
            inline: Answer = operation.handler(self.s3, request)
            return inline
        if operation.takes_document:
            request.body = await read_document(request, checks_whole=operation.name != "CompleteMultipartUpload")
        if operation.place == "stream":
            streamed: Answer = await operation.handler(self.s3, request)
            return streamed
        answer: Answer = await self.call(operation.handler, request)
        return answer

    async def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run a blocking function in a worker thread."""
        return await asyncio.get_running_loop().run_in_executor(self.s3.pool, function, self.s3, *arguments)

    async def send_answer(self, answer: Answer, send: Send) -> None:
        headers = answer.headers
        if "content-length" not in headers and answer.status not in (204, 304):
            headers["content-length"] = str(len(answer.body))
        raw = [
            (name.encode("latin-1", "replace"), value.encode("utf-8", "surrogateescape"))
            for name, value in headers.items()
        ]
        raw += SECURITY_HEADERS
        try:
            await send({"type": "http.response.start", "status": answer.status, "headers": raw})
            if answer.file is None:
                await send({"type": "http.response.body", "body": answer.body})
            else:
                await self.send_file(answer.file, send)
        finally:
            if answer.file is not None:
                os.close(answer.file.descriptor)

    async def send_file(self, file: FileSlice, send: Send) -> None:
        loop = asyncio.get_running_loop()
        position, end = file.start, file.start + file.length
        while position < end:
            size = min(BLOCK_BYTES, end - position)
            block = await loop.run_in_executor(self.s3.pool, os.pread, file.descriptor, size, position)
            if not block:
                raise OSError(errno.EIO, "an object's file is shorter than the object's recorded size")
            position += len(block)
            await send({"type": "http.response.body", "body": block, "more_body": position < end})


def render_failure(failure: ServiceError, scope: Scope, request: Request | None) -> Answer:
    headers = {"content-type": "application/xml", **failure.headers}
    if scope["method"] == "HEAD":
        return Answer(failure.status, headers)
    if failure.body is not None:
        return Answer(failure.status, headers, failure.body)
    resource, identity = (request.resource, request.id) if request is not None else ("/", "")
    return Answer(failure.status, headers, render_error(failure, resource=resource, request_id=identity))


def translate(error: Exception) -> ServiceError:
    """Convert an exception to an S3 error: a full disk to InsufficientStorage, anything else,
    logged, to InternalError.
    """
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    if full or (isinstance(error, sqlite3.OperationalError) and "full" in str(error)):
        return ServiceError(
            "InsufficientStorage",
            "The disk that holds the data folder is full, or its file system does not allow a file of this size.",
            507,
        )
    if isinstance(error, ValueError) and "integer string conversion" in str(error):  # int() of thousands of digits
        return ServiceError("InvalidArgument", "A number in the request has too many digits.", 400)
    logger.error("S3 request failed", exc_info=error)
    return ServiceError("InternalError", "We encountered an internal error. Please try again.", 500)
