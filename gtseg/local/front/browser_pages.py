"""HTML error pages for browser navigation to addresses without a page, in place of S3's XML.

AWS clients never accept text/html; presigned URLs keep S3's XML.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import Message, Scope, Send

from gtseg.local.labeling.portal.pages import missing_page

WELCOME = "/_portal/"
"""Redirect target of `/` for browsers: the user's jobs if signed in, else the sign-in page."""


def is_browser_navigation(scope: Scope, headers: Mapping[str, str]) -> bool:
    """Return whether a request is a browser's navigation: not an AWS client, a page's script or a presigned URL."""
    return (
        scope["method"] in ("GET", "HEAD")
        and "text/html" in headers.get("accept", "")
        and headers.get("sec-fetch-mode", "navigate") == "navigate"
        and "authorization" not in headers
        and b"signature=" not in scope["query_string"].lower()
    )


class RefusalPages:
    """ASGI `send` that replaces a 401, 403 or 404 response by an HTML page with a link to the portal."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope, self._send, self._is_replaced = scope, send, False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] in (401, 403, 404):
            kind = dict(message.get("headers", ())).get(b"content-type", b"")
            self._is_replaced = not kind.startswith(b"text/html")
            if self._is_replaced:
                await self._send_page()
        if not self._is_replaced:
            await self._send(message)

    async def _send_page(self) -> None:
        page = missing_page(self._scope["path"])
        body = b"" if self._scope["method"] == "HEAD" else bytes(page.body)
        await self._send({"type": "http.response.start", "status": page.status_code, "headers": page.raw_headers})
        await self._send({"type": "http.response.body", "body": body})
