"""The live page: its files, the lists that it shows, and the stream of counters and rates."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from heap_sandbox.mock.answers import Json
from heap_sandbox.mock.heap import Heap
from heap_sandbox.mock.views import VIEWS
from heap_sandbox.page import control

LIST_DEFAULT, LIST_MAXIMUM = 100, 1000
"""Rows of a list by default, and at most."""

_PAUSE = 0.25  # seconds between two updates
_TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".svg": "image/svg+xml"}
_FILES = {path.name: path.read_bytes() for path in (Path(__file__).parent / "files").iterdir() if path.suffix in _TYPES}
_HEADERS = {
    # Nothing from elsewhere, nothing inline, and (trusted types) no way to turn text into HTML.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
    "Vary": "Accept",
}


async def home(request: Request) -> Response:
    """The page for a browser, the list of endpoints for a program."""
    if "text/html" in request.headers.get("accept", ""):
        return _file("index.html")
    return await control.welcome(request)


async def file(request: Request) -> Response:
    """A file of the page."""
    name = request.path_params["name"]
    return _file(name) if name in _FILES else Response(status_code=404)


def routes(heap: Heap) -> list[Route]:
    """The endpoints of the page."""
    live = Live(heap)
    return [
        Route("/page/{name}", file),
        Route("/live", live.stream),
        Route("/newest/{name}", live.newest),
    ]


class Live:
    """What the page shows."""

    def __init__(self, heap: Heap) -> None:
        self._heap = heap

    async def newest(self, request: Request) -> Response:
        """Some rows of a view, newest first; other requests are served between the chunks of a long search."""
        name, asked = request.path_params["name"], request.query_params
        if name not in VIEWS:
            return Json({"error": f"There is no list {name!r}; the lists are {', '.join(VIEWS)}."}, 404)
        try:
            since = control.whole(asked.get("since", "0"), "since", 0)
            before = control.whole(asked["before"], "before", 0) if "before" in asked else None
            limit = min(control.whole(asked.get("limit", str(LIST_DEFAULT)), "limit", 1), LIST_MAXIMUM)
        except ValueError as error:
            return control.wrong(error)
        epoch = self._heap.store.epoch
        first = found = self._heap.store.newest(name, asked.get("q", ""), before, since, limit + 1)
        rows = found.rows
        while found.next is not None and len(rows) <= limit:
            await asyncio.sleep(0)
            if self._heap.stopping.is_set() or await request.is_disconnected():
                return Json({"error": "The search was cancelled because the client disconnected."}, 503)
            found = self._heap.store.newest(name, asked.get("q", ""), found.next, since, limit + 1 - len(rows))
            rows += found.rows
        after = rows[limit - 1]["cursor"] if len(rows) > limit else None
        return Json({"epoch": epoch, "newest": first.newest, "rows": rows[:limit], "next": after})

    async def stream(self, request: Request) -> Response:
        """Server-sent events: all counters, rates and active faults, whenever they change.

        Each message is complete, and its id is its digest. A client that reconnects with the id of the newest message
        has missed nothing and gets the next change; any other client gets the newest message immediately.
        """
        messages = self._messages(request.headers.get("last-event-id"))
        return StreamingResponse(messages, media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    async def _messages(self, known: str | None) -> AsyncIterator[bytes]:
        yield b"retry: 1000\n\n"
        while True:
            while self._heap.pulse.advance():  # noqa: ASYNC110  # it has work to do, not an event to wait for
                await asyncio.sleep(0)  # serve others first
            faults = [fault for fault in self._heap.faults.rows() if not fault["spent"]]
            enabled = self._heap.limits.settings.enabled
            data = orjson.dumps(self._heap.pulse.row() | {"faults": faults, "rate_limits": enabled})
            digest = hashlib.sha256(data).hexdigest()[:16]
            if digest != known:
                known = digest
                yield b"id: %b\ndata: %b\n\n" % (digest.encode(), data)
            if await self._heap.stopped_within(_PAUSE):
                return


def _file(name: str) -> Response:
    return Response(_FILES[name], media_type=_TYPES[Path(name).suffix], headers=_HEADERS)
