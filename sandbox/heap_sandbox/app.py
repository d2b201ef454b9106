"""Heap's endpoints: each request is checked against rules, faults and rate limits, then stored, logged and answered."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime
from http import HTTPStatus
from itertools import count

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from heap_sandbox.mock import answers, deletions, rules
from heap_sandbox.mock.answers import Answer
from heap_sandbox.mock.faults import Applied
from heap_sandbox.mock.heap import Heap
from heap_sandbox.mock.store import Entry
from heap_sandbox.mock.values import Refused
from heap_sandbox.page import control, live
from heap_sandbox.page.gate import Gate

_UNKNOWN = rules.Outline()
_NO_FAULT = Applied()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of a request by the documented rules: what to store or to delete, or a status and a reason."""

    outline: rules.Outline = _UNKNOWN
    batch: rules.Batch | deletions.Erasure | None = None
    status: int = 200
    reason: str | None = None
    wait: float | None = None


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request whose body was read; `body` is None when it is larger than allowed."""

    request: Request
    received: datetime
    started: float
    connection: int
    body: bytes | None
    size: int
    sha256: str


class Intake:
    """The application behind every endpoint except the sandbox's own."""

    def __init__(self, heap: Heap) -> None:
        self._heap = heap
        self._connections = count(heap.store.last_connection() + 1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read, check and answer one request."""
        try:
            arrival = await self._arrival(Request(scope, receive))
        except ClientDisconnect:
            return  # an incomplete request: no client is waiting for a response
        answer = await self._answer(arrival)
        await answer(scope, receive, send)

    async def _arrival(self, request: Request) -> Arrival:
        received, started = self._heap.now(), self._heap.timer()
        connection = answers.connection_of(request.scope)
        connection.number = connection.number or next(self._connections)
        maximum = self._heap.limits.settings.body_bytes
        digest = hashlib.sha256()
        body = bytearray()
        size = 0
        async for chunk in request.stream():
            digest.update(chunk)
            size += len(chunk)
            if size <= maximum:
                body += chunk
        kept = bytes(body) if size <= maximum else None
        return Arrival(request, received, started, connection.number, kept, size, digest.hexdigest())

    async def _answer(self, arrival: Arrival) -> Answer:
        path, body = arrival.request.scope["path"], arrival.body
        if deletions.address(path):
            return await self._deletion(arrival, path)
        api = rules.APIS.get(path)
        if api is None:
            self._log(arrival, Verdict(reason="no such endpoint"), _NO_FAULT, 404)
            return answers.Json({"error": f"Heap has no endpoint {path}."}, 404)
        if arrival.request.method != "POST":
            return self._judged(arrival, api, Verdict(status=405, reason=f"{arrival.request.method} is not allowed"))
        if body is None:
            return self._judged(arrival, api, Verdict(status=413, reason="the body is larger than allowed"))
        return await self._handled(arrival, api, body)

    async def _handled(self, arrival: Arrival, api: rules.Api, body: bytes) -> Answer:
        verdict = judge(api, arrival.request.headers, body, self._heap.app_ids)
        applied = self._heap.faults.apply(api.path, body)
        if applied.fault and not applied.fault.stores:
            verdict = Verdict(verdict.outline)
        elif isinstance(verdict.batch, rules.Batch):
            verdict = self._within_rates(verdict, verdict.batch)
        if applied.seconds and await self._heap.stopped_within(applied.seconds):
            return answers.Reset()
        if applied.fault is None:
            return self._judged(arrival, api, verdict, applied)
        answer = answers.simulated(applied.fault, self._heap.stopping)
        self._log(arrival, verdict, applied, answer.status_code)
        return answer

    async def _deletion(self, arrival: Arrival, path: str) -> Answer:
        """A request to the deletion API."""
        address = deletions.address(path) or ""
        applied = self._heap.faults.apply(address, arrival.body or b"")
        if applied.seconds and await self._heap.stopped_within(applied.seconds):
            return answers.Reset()
        if applied.fault and not applied.fault.stores:
            reply = deletions.Reply(200, {}, _UNKNOWN)
        else:
            reply = self._deletion_reply(arrival, address, path)
        answer: Answer = answers.Json(reply.content, reply.status)
        if applied.fault:
            answer = answers.simulated(applied.fault, self._heap.stopping)
        verdict = Verdict(reply.outline, reply.erasure, reply.status, reply.reason)
        self._log(arrival, verdict, applied, answer.status_code)
        return answer

    def _deletion_reply(self, arrival: Arrival, address: str, path: str) -> deletions.Reply:
        heap, settings = self._heap, self._heap.limits.settings
        authorization = arrival.request.headers.get("authorization", "")
        if arrival.request.method != deletions.METHODS[address]:
            return deletions.refusal(405, f"{arrival.request.method} is not allowed", _UNKNOWN)
        if arrival.body is None:
            return deletions.refusal(413, "the body is larger than allowed", _UNKNOWN)
        if address == deletions.TOKEN:
            return heap.deletions.token(authorization, heap.app_ids, settings.token_seconds)
        if address == deletions.SUBMIT:
            return heap.deletions.submit(authorization, arrival.body)
        number = path.removeprefix(f"{deletions.STATUS}/")
        since = heap.store.deletion(number)
        return heap.deletions.status(authorization, number, since, arrival.received, settings.deletion_seconds)

    def _within_rates(self, verdict: Verdict, batch: rules.Batch) -> Verdict:
        excess = self._heap.limits.admit(batch)
        if excess is None:
            return verdict
        reason = f"more than {excess.rate.count} {excess.rate.what} in {excess.rate.seconds:g} s"
        return replace(verdict, batch=None, status=429, reason=reason, wait=excess.seconds)

    def _judged(self, arrival: Arrival, api: rules.Api, verdict: Verdict, applied: Applied = _NO_FAULT) -> Answer:
        """Log the request and return the response that Heap would send."""
        self._log(arrival, verdict, applied, verdict.status)
        if verdict.reason is None:
            return answers.accepted(api)
        headers = {}
        if verdict.wait is not None and self._heap.limits.settings.retry_after:
            headers = answers.retry_after(verdict.wait)
        if verdict.status == HTTPStatus.METHOD_NOT_ALLOWED:
            headers = {"Allow": "POST"}
        return answers.refused(api, verdict.status, verdict.reason, headers)

    def _log(self, arrival: Arrival, verdict: Verdict, applied: Applied, status: int | None) -> None:
        request = arrival.request
        entry = Entry(
            received=arrival.received,
            path=request.scope["path"],
            app_id=verdict.outline.app_id,
            form=verdict.outline.form,
            elements=verdict.outline.elements,
            bytes=arrival.size,
            sha256=arrival.sha256,
            status=status,
            fault=applied.kind,
            reason=verdict.reason,
            connection=arrival.connection,
            client_port=request.client.port if request.client else None,
            content_type=request.headers.get("content-type"),
        )
        self._heap.store.record(entry, verdict.batch, lambda: 1000 * (self._heap.timer() - arrival.started))


def judge(api: rules.Api, headers: Headers, body: bytes, app_ids: AbstractSet[str]) -> Verdict:
    """The outcome by the documented rules alone, without faults and rate limits."""
    outline = _UNKNOWN
    if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        return Verdict(outline, status=415, reason="Content-Encoding: compressed bodies are not accepted")
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        return Verdict(outline, status=415, reason="Content-Type: must be application/json")
    try:
        document = rules.parse(body)
        outline = rules.outline(api, document)
        return Verdict(outline, rules.read(api, document, app_ids))
    except Refused as refused:
        return Verdict(outline, status=400, reason=str(refused))


def application(heap: Heap) -> ASGIApp:
    """The whole sandbox, behind its gate: its own endpoints, and Heap's for everything else."""
    addresses = Starlette(
        routes=[
            Route("/", live.home),
            Route("/sandbox", control.welcome),
            Route("/favicon.ico", control.no_icon),  # a browser asks for it; it is not a request to Heap
            Mount("/sandbox", routes=[*live.routes(heap), *control.routes(heap)]),
            Mount("/", app=Intake(heap)),
        ],
        exception_handlers={  # typed for any exception
            HTTPException: control.explain,  # type: ignore[dict-item]
            sqlite3.Error: control.database_failed,  # type: ignore[dict-item]
        },
    )
    return Gate(addresses)
