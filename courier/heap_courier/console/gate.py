"""Who may use the console: this computer's user, or anyone with the token; never a website that a browser shows."""

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
_OPEN: Final = (SIGN_IN, "/static/")  # without a token
_HEADERS: Final = {
    # Nothing from elsewhere and nothing inline, and no other site may frame the console.
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
        token: that a browser signs in with, or a program sends as a bearer token; None: none is asked for.
        hosts: names, in lower case, that the console is reached by besides those of this computer.
        secure: whether browsers reach it by https, so that the cookie travels by https alone.
        sessions: of browsers that have signed in.
    """

    token: str | None = None
    hosts: frozenset[str] = frozenset()
    secure: bool = False
    sessions: set[str] = field(default_factory=set)

    def sign_in(self, token: str) -> str | None:
        """A new session for a holder of the token; None for a wrong one."""
        if self.token is None or not hmac.compare_digest(token.encode(), self.token.encode()):
            return None
        session = secrets.token_urlsafe(32)
        self.sessions.add(session)
        return session

    def admits(self, headers: Headers) -> bool:
        """Whether a request comes from a session, or has the token itself."""
        if self.token is None:
            return True
        if cookie_parser(headers.get("cookie", "")).get(COOKIE) in self.sessions:
            return True
        kind, _, given = headers.get("authorization", "").partition(" ")
        return kind.lower() == "bearer" and hmac.compare_digest(given.encode(), self.token.encode())


class Gate:
    """The application, for those who may use it.

    A browser lets any website send requests to 127.0.0.1, and also read the answers if the website's own name leads
    there; but a website can change neither the Host nor the Origin of what it sends.
    """

    def __init__(self, application: ASGIApp, access: Access) -> None:
        self._application = application
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or refuse it with a sentence."""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        if scope["type"] == "http" and scope["path"] == HEALTH:  # requested by supervisors, under any name
            await PlainTextResponse("The console is running.")(scope, receive, guarded)
        elif scope["type"] == "http":
            await (self._refusal(scope) or self._application)(scope, receive, guarded)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host, origin = headers.get("host", "").lower(), headers.get("origin")
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if name not in _LOOPBACK | self._access.hosts:
            return PlainTextResponse(
                "The console does not answer to this host name. Open it at http://127.0.0.1, or start it with "
                "`--allow-host` and the name that it is reached by.",
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
    """Where to go after signing in: a page of the console, regardless of the query."""
    wanted = parse_qs(query).get("next", ["/"])[0]
    parts = urlsplit(wanted)
    plain = not parts.scheme and not parts.netloc and wanted.startswith("/") and not wanted.startswith(("//", "/\\"))
    return wanted if plain else "/"
