"""Who may connect: the programs of this computer and the sandbox's own page, not a website in a browser on it."""

from __future__ import annotations

import re

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from heap_sandbox.mock.answers import Json

_HOST = re.compile(
    r"(127\.0\.0\.1|localhost|\[::1\]|host\.docker\.internal|host\.containers\.internal)(:\d*)?", re.IGNORECASE
)


class Gate:
    """The application, for allowed clients.

    A browser lets any website send to 127.0.0.1, and lets it read the answers too where its own name leads there; it
    can change neither the Host nor the Origin of what it sends.
    """

    def __init__(self, application: ASGIApp) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or refuse it with a sentence."""
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
