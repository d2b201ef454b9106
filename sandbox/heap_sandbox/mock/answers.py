"""What a client gets: Heap's documented response, a simulated fault's response, or none."""

from __future__ import annotations

import asyncio
import math
from typing import Any, Protocol

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from heap_sandbox.mock.connection import Connection
from heap_sandbox.mock.faults import Fault
from heap_sandbox.mock.rules import ACCOUNTS, Api


class Answer(Protocol):
    """Anything that ends a request; the status is None if the client gets no response."""

    @property
    def status_code(self) -> int | None:
        """The status that the client sees."""
        ...

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer."""
        ...


class Json(Response):
    """Any value as JSON."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The value as bytes."""
        return orjson.dumps(content)


def accepted(api: Api) -> Response:
    """Success: `{}`, or `OK` for accounts; both with the content type of JSON (add-account-properties)."""
    return Response(b"OK" if api is ACCOUNTS else b"{}", media_type="application/json")


def refused(api: Api, status: int, reason: str, headers: dict[str, str] | None = None) -> Response:
    """Refusal: `{}` without a reason, or a plain-text message for accounts (add-account-properties).

    Heap documents this for 400 only; the sandbox does the same for other statuses.
    """
    if api is ACCOUNTS:
        return Response(reason, status, headers, media_type="text/plain")
    return Response(b"{}", status, headers, media_type="application/json")


def retry_after(seconds: float) -> dict[str, str]:
    """The Retry-After header, in whole seconds, rounded up."""
    return {"Retry-After": str(max(1, math.ceil(seconds)))}


class Reset:
    """No response: the connection is reset."""

    status_code = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # nothing is sent
        """Reset the connection and wait until it is closed; without a response, uvicorn would report an error."""
        connection_of(scope).reset()
        await _gone(receive)


class Hang:
    """No response: the connection stays open for a while and is then closed."""

    status_code = None

    def __init__(self, seconds: float, stopping: asyncio.Event) -> None:
        self._seconds = seconds
        self._stopping = stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # nothing is sent
        """Wait for the time to pass, for the client to leave or for the sandbox to stop."""
        ends = {asyncio.create_task(_gone(receive)), asyncio.create_task(_set(self._stopping))}
        _, waiting = await asyncio.wait(ends, timeout=self._seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        connection_of(scope).close()
        await _gone(receive)


def simulated(fault: Fault, stopping: asyncio.Event) -> Answer:
    """What the client gets because of a fault."""
    if fault.kind == "hang":
        return Hang(fault.seconds, stopping)
    if fault.kind == "status":
        # No Content-Type if there is no content: a bare 204 as other servers send it.
        media_type = fault.content_type if fault.body else None
        # A browser that is sent here gives the body an opaque origin and no scripts: it is not a page of the sandbox.
        headers = dict(fault.headers) | ({"Content-Security-Policy": "sandbox"} if fault.body else {})
        return Response(fault.body, fault.status, headers, media_type=media_type)
    return Reset()


def connection_of(scope: Scope) -> Connection:
    """The connection that a request arrived on."""
    connection: Connection = scope["state"]["connection"]
    return connection


async def _gone(receive: Receive) -> None:
    await receive()  # the body was read to its end, so this is the disconnect


async def _set(event: asyncio.Event) -> None:
    await event.wait()
