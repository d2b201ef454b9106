"""The sandbox's own endpoints: stored data, faults, limits and reset."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from heap_sandbox.mock.answers import Json
from heap_sandbox.mock.faults import define
from heap_sandbox.mock.heap import Heap
from heap_sandbox.mock.store import HIGHEST_ID, PAGE_MAXIMUM

PAGE_DEFAULT = 1000
"""Rows of a page if no limit is given."""
BODY_MAXIMUM = 1_000_000
"""The most bytes of a request body to these endpoints."""

_FILTERS = {
    "events": "identity",
    "users": "identity",
    "accounts": "account_id",
    "identities": "identity",
    "deletions": None,
    "requests": None,
}
_WELCOME = """A local mock of Heap's API. No data leaves this computer. Open this address in a browser for a live view.

Send to
  POST /api/track                     one event, or a list "events"
  POST /api/add_user_properties       one user, or a list "users"
  POST /api/add_account_properties    one account, or a list "accounts"
  POST /api/v1/identify               one user_id and its identity
  POST /api/public/v0/auth_token      HTTP Basic, app ID and API key: a token
  POST /api/public/v0/user_deletion   Bearer, the token: a list "users" to delete
  GET  /api/public/v0/deletion_status/ID

View stored data
  GET  /sandbox/events                ?after=ID&limit=N&identity=WHO
  GET  /sandbox/users                 ?after=ID&limit=N&identity=WHO
  GET  /sandbox/accounts              ?after=ID&limit=N&account_id=WHICH
  GET  /sandbox/identities            ?after=ID&limit=N&identity=WHO    each with the reason if Heap would ignore it
  GET  /sandbox/deletions             ?after=ID&limit=N
  GET  /sandbox/requests              ?after=ID&limit=N    each with its status and, if rejected, the reason
  GET  /sandbox/events/ID             one row; users, identities, requests and so on likewise
  GET  /sandbox/newest/events         ?q=WORDS&before=CURSOR&since=CURSOR&limit=N    users, accounts, failed likewise
  GET  /sandbox/live                  counters and rates as server-sent events
  GET  /sandbox/stats

Simulate faults
  GET, POST, DELETE /sandbox/faults   {"kind": "status", "status": 503, "times": 2}
  DELETE /sandbox/faults/ID           removes one
  GET, POST /sandbox/limits           {"enabled": true, "scale": 60}
  POST /sandbox/reset                 deletes all stored data and faults
"""


async def welcome(_request: Request) -> Response:
    """The list of endpoints."""
    return PlainTextResponse(_WELCOME)


async def no_icon(_request: Request) -> Response:
    """Answer a browser's request for an icon, so that it is not logged as a request to Heap."""
    return Response(status_code=204)


async def explain(_request: Request, error: HTTPException) -> Response:
    """An unknown endpoint or method, or a body that is too large, explained as JSON."""
    return Json({"error": f"{error.detail}. GET /sandbox lists the endpoints."}, error.status_code, error.headers)


async def database_failed(_request: Request, error: sqlite3.Error) -> Response:
    """The database failed, for example because the disk is full or no file can be opened."""
    return Json({"error": f"The sandbox's database failed: {error}. Free disk space or file descriptors."}, 503)


def routes(heap: Heap) -> list[Route]:
    """Everything below /sandbox."""
    control = Control(heap)
    return [
        *(Route(f"/{table}", control.pages(table, column)) for table, column in _FILTERS.items()),
        *(Route(f"/{table}/{{number}}", control.row(table)) for table in _FILTERS),
        Route("/stats", control.stats),
        Route("/faults", control.faults),
        Route("/faults", control.add_faults, methods=["POST"]),
        Route("/faults", control.clear_faults, methods=["DELETE"]),
        Route("/faults/{number}", control.end_fault, methods=["DELETE"]),
        Route("/limits", control.limits),
        Route("/limits", control.change_limits, methods=["POST"]),
        Route("/reset", control.reset, methods=["POST"]),
    ]


class Control:
    """The sandbox's own endpoints."""

    def __init__(self, heap: Heap) -> None:
        self._heap = heap

    def pages(self, table: str, column: str | None) -> Callable[[Request], Awaitable[Response]]:
        """The endpoint that shows a table page by page, optionally only the rows with a value in a column."""

        async def page(request: Request) -> Response:
            asked = request.query_params
            try:
                after = whole(asked.get("after", "0"), "after", 0)
                limit = whole(asked.get("limit", str(PAGE_DEFAULT)), "limit", 1)
            except ValueError as error:
                return wrong(error)
            only = (column, asked[column]) if column and column in asked else None
            found = self._heap.store.page(table, after, min(limit, PAGE_MAXIMUM), only)
            return Json({"total": found.total, "rows": found.rows, "next": found.next})

        return page

    def row(self, table: str) -> Callable[[Request], Awaitable[Response]]:
        """The endpoint that shows one complete row for a reader: indented, with each number as it was sent."""

        async def row(request: Request) -> Response:
            number = request.path_params["number"]
            found = self._heap.store.row(table, int(number)) if _is_id(number) else None
            if found is None:
                return _unknown(f"There is no row {number} in {table}.")
            text = json.dumps(orjson.loads(orjson.dumps(found)), indent=2, ensure_ascii=False)
            return Response(text, media_type=Json.media_type)

        return row

    async def stats(self, _request: Request) -> Response:
        """Counts of everything that arrived."""
        return Json(self._heap.store.stats())

    async def faults(self, _request: Request) -> Response:
        """The faults and how many requests each has affected."""
        rows = self._heap.faults.rows()
        return Json({"total": len(rows), "rows": rows, "next": None})

    async def add_faults(self, request: Request) -> Response:
        """Add one fault or a list of faults: all, or none if one is invalid."""
        try:
            given = await _json(request)
            self._heap.faults.add([define(one) for one in (given if isinstance(given, list) else [given])])
        except ValueError as error:
            return wrong(error)
        return await self.faults(request)

    async def clear_faults(self, request: Request) -> Response:
        """Remove all faults."""
        self._heap.faults.clear()
        return await self.faults(request)

    async def end_fault(self, request: Request) -> Response:
        """Remove one fault."""
        number = request.path_params["number"]
        if not (_is_id(number) and self._heap.faults.remove(int(number))):
            return _unknown(f"There is no fault {number}.")
        return await self.faults(request)

    async def limits(self, _request: Request) -> Response:
        """The settings and the documented rates."""
        return Json(self._heap.limits.settings.row())

    async def change_limits(self, request: Request) -> Response:
        """Change some settings."""
        try:
            self._heap.limits.settings = self._heap.limits.settings.changed(await _json(request))
        except ValueError as error:
            return wrong(error)
        return await self.limits(request)

    async def reset(self, _request: Request) -> Response:
        """Delete stored data, faults and rate limit windows; keep the settings."""
        self._heap.store.clear()
        self._heap.faults.clear()
        self._heap.limits.clear()
        self._heap.deletions.clear()
        return Json({})


async def _json(request: Request) -> Any:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_MAXIMUM:
            raise HTTPException(413, f"The body is larger than {BODY_MAXIMUM:,} bytes")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"The body is not JSON: {error}.") from error


def whole(text: str, name: str, minimum: int) -> int:
    """A parameter as an integer that fits into SQLite; ValueError with a sentence if it is not."""
    if not _is_id(text) or int(text) < minimum:
        raise ValueError(f"{name} must be an integer from {minimum} to {HIGHEST_ID}.")
    return int(text)


def _is_id(text: str) -> bool:
    """Whether a text can be an id. Its length is checked first, because Python limits what `int` converts."""
    return text.isascii() and text.isdigit() and len(text) <= len(str(HIGHEST_ID)) and int(text) <= HIGHEST_ID


def _unknown(sentence: str) -> Response:
    return Json({"error": sentence}, 404)


def wrong(error: ValueError) -> Response:
    """The response to an invalid parameter or body."""
    return Json({"error": str(error)}, 422)
