"""Access control: for programs on this computer and the sandbox's own page, not for websites in a browser."""

from __future__ import annotations

import re

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from heap_sandbox.mock.answers import Json

_HOST = re.compile(
    r"(127\.0\.0\.1|localhost|\[::1\]|host\.docker\.internal|host\.containers\.internal)(:\d*)?", re.IGNORECASE
)


class Gate:
    """The application, for clients that are allowed.

    A browser lets any website send requests to 127.0.0.1, and read the responses if the website's own name resolves to
    it (DNS rebinding). But a website cannot change the Host and Origin headers.
    """

    def __init__(self, application: ASGIApp) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it with an error message."""
        await (_refusal(scope) or self._application)(scope, receive, send)


def _refusal(scope: Scope) -> Json | None:
    headers = Headers(scope=scope)
    host, origin = headers.get("host", "").lower(), headers.get("origin")
    if not _HOST.fullmatch(host):
        sentence = f"The sandbox accepts only requests addressed to this computer, such as localhost, not to {host!r}."
        return Json({"error": sentence}, 421)
    changes = scope["path"].startswith("/sandbox/") and scope["method"] not in ("GET", "HEAD")
    if changes and origin is not None and origin.lower() not in (f"http://{host}", f"https://{host}"):
        return Json({"error": f"From a browser, only the sandbox's own page may change it, not {origin!r}."}, 403)
    return None
