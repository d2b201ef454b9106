"""Access control: this computer's user or anyone with the token may use the console, but no other website."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs, quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SIGN_IN: Final = "/sign-in"
HEALTH: Final = "/health"
COOKIE: Final = "heap-courier-console"
LEAST_TOKEN: Final = 20  # characters

_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})
_OPEN: Final = (SIGN_IN, "/static/")  # available without a token
_HEADERS: Final = {
    # No external or inline content, and no framing by other sites.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with `no-referrer`, browsers send `Origin: null` with the console's own forms
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",  # rows are personal data
}


@dataclass(frozen=True, slots=True)
class Access:
    """Who may use the console.

    Attributes:
        token: the token that browsers sign in with and programs send as a bearer token; None if none is required.
        hosts: allowed host names, in lower case, besides those of this computer.
        secure: whether browsers use HTTPS, so that the cookie is restricted to it.
        sessions: the sessions of browsers that have signed in.
    """

    token: str | None = None
    hosts: frozenset[str] = frozenset()
    secure: bool = False
    sessions: set[str] = field(default_factory=set)

    def sign_in(self, token: str) -> str | None:
        """Starts a session if the token is right; otherwise returns None."""
        if self.token is None or not hmac.compare_digest(token.encode(), self.token.encode()):
            return None
        session = secrets.token_urlsafe(32)
        self.sessions.add(session)
        return session

    def admits(self, headers: Headers) -> bool:
        """Whether a request belongs to a session or contains the token."""
        if self.token is None:
            return True
        if cookie_parser(headers.get("cookie", "")).get(COOKIE) in self.sessions:
            return True
        kind, _, given = headers.get("authorization", "").partition(" ")
        return kind.lower() == "bearer" and hmac.compare_digest(given.encode(), self.token.encode())


class Gate:
    """Passes allowed requests to the application.

    A browser lets any website send requests to 127.0.0.1, and also read the responses if the website's own name
    resolves to that address (DNS rebinding). But a website can change neither the Host nor the Origin header.
    """

    def __init__(self, application: ASGIApp, access: Access) -> None:
        self._application = application
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or refuses it with a message."""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        if scope["type"] == "http" and scope["path"] == HEALTH:  # requested by supervisors, under any host name
            await PlainTextResponse("The console is running.")(scope, receive, guarded)
        elif scope["type"] == "http":
            await (self._refusal(scope) or self._application)(scope, receive, guarded)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host, origin = headers.get("host", "").lower(), headers.get("origin")
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if name not in _LOOPBACK | self._access.hosts:
            return PlainTextResponse(
                "This host name is not allowed. Open the console at http://127.0.0.1, or start it with `--allow-host` "
                "and this host name.",
                421,
            )
        changes = scope["method"] not in ("GET", "HEAD")
        site = headers.get("sec-fetch-site", "same-origin")
        foreign = origin is not None and origin.lower() not in (f"http://{host}", f"https://{host}")
        if changes and (foreign or site not in ("same-origin", "none")):
            return PlainTextResponse("Only the console's own pages may change anything here.", 403)
        if site == "cross-site" and headers.get("sec-fetch-dest", "document") != "document":
            return PlainTextResponse("Other websites may link to the console, but not include parts of it.", 403)
        if scope["path"].startswith(_OPEN) or self._access.admits(headers):
            return None
        if changes or "text/html" not in headers.get("accept", ""):
            return PlainTextResponse("Sign in first, or send the token as `Authorization: Bearer`.", 401)
        return RedirectResponse(f"{SIGN_IN}?next={quote(scope['path'])}", 303)


def destination(query: str) -> str:
    """Where to go after signing in; always a page of the console."""
    wanted = parse_qs(query).get("next", ["/"])[0]
    parts = urlsplit(wanted)
    plain = not parts.scheme and not parts.netloc and wanted.startswith("/") and not wanted.startswith(("//", "/\\"))
    return wanted if plain else "/"
