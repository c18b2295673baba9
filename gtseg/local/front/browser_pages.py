"""People who came by a browser to an address where there is nothing for them: they get a page instead of S3's XML.

AWS clients never ask for text/html, and a presigned link is left as it is.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import Message, Scope, Send

from gtseg.local.labeling.portal.pages import missing_page

__all__ = ["WELCOME", "RefusalPages", "is_browser_navigation"]

WELCOME = "/_portal/"
"""Where `/` leads a browser: the jobs of whoever has signed in, else the page to sign in."""


def is_browser_navigation(scope: Scope, headers: Mapping[str, str]) -> bool:
    """Whether a person opened this address in a browser: no AWS client, no script of a page, no signed link."""
    return (
        scope["method"] in ("GET", "HEAD")
        and "text/html" in headers.get("accept", "")
        and headers.get("sec-fetch-mode", "navigate") == "navigate"
        and "authorization" not in headers
        and b"signature=" not in scope["query_string"].lower()
    )


class RefusalPages:
    """`send` of a visit: a refusal (401, 403, 404) becomes the page that says where to go."""

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
