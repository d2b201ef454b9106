"""A browser without a network: sends requests to the console in this process, and follows redirects."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlencode

from starlette.types import ASGIApp

from heap_courier.console.app import application
from heap_courier.console.gate import Access
from heap_courier.console.jobs import Jobs
from heap_courier.console.visit import Console

NOW = datetime(2026, 3, 4, 8, 30, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    html: str

    @property
    def text(self) -> str:
        """The visible text with single spaces; names in backticks, as the command prints them."""
        plain = re.sub(r"<[^>]*>", " ", re.sub("</?code>", "`", self.html))
        return " ".join(unescape(plain).split())

    def value(self, name: str) -> str:
        """The value of a form field."""
        found = re.search(rf'name="{re.escape(name)}"[^>]*value="([^"]*)"', self.html)
        assert found, f"no field {name}"
        return unescape(found[1])


@dataclass
class Visitor:
    """Requests pages and sends forms."""

    app: ASGIApp
    console: Console
    headers: dict[str, str] = field(default_factory=lambda: {"host": "127.0.0.1:8480", "accept": "text/html"})

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, b"", headers)

    def post(self, path: str, fields: Mapping[str, str] | None = None, **headers: str) -> Answer:
        """Sends a form and follows a redirect."""
        answer = self.ask("POST", path, urlencode(fields or {}).encode(), headers)
        return self.get(answer.headers["location"]) if answer.status == 303 else answer

    def ask(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        return asyncio.run(self._ask(method, path, body, headers or {}))

    async def _ask(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        address, _, query = path.partition("?")
        sent: list[dict[str, Any]] = []
        given = self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        if body:
            given.setdefault("content-type", "application/x-www-form-urlencoded")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(address),
            "raw_path": address.encode(),
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in given.items()],
            "server": ("127.0.0.1", 8480),
            "client": ("127.0.0.1", 50000),
            "root_path": "",
        }
        messages = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive() -> Any:
            for message in messages:
                return message
            await asyncio.Event().wait()  # the browser stays
            return None

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        start = sent[0]
        told = {name.decode().lower(): value.decode() for name, value in start["headers"]}
        content = b"".join(message.get("body", b"") for message in sent[1:])
        return Answer(start["status"], told, content.decode())


def visitor(folder: Path, access: Access | None = None, environment: Mapping[str, str] | None = None) -> Visitor:
    console = Console(folder, environment or {}, lambda: NOW, Jobs())
    return Visitor(application(console, access or Access()), console)
