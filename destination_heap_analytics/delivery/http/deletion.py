"""Heap's User Deletion API: a client whose requests are answered when Heap has deleted the users.

    token       POST /api/public/v0/auth_token, with the app ID and its API key: a token that holds for five minutes
    submit      POST /api/public/v0/user_deletion, with the token: the ID of a deletion request
    follow      GET /api/public/v0/deletion_status/<ID>, until it is `complete`

The delivery sees one request: TAKEN means that the users are deleted, so no state passes them before. What submitting
was answered is a verdict like any other. While a request is followed, Heap may be unavailable for ten minutes; then, or
if Heap does not know the request, it is submitted again: to delete twice does no harm.

Source: https://developers.heap.io/reference/user-deletion; the five minutes are on
https://help.heap.io/data-privacy/data-deletion/user-deletion-with-postman. How long a deletion takes is not documented.
"""

from __future__ import annotations

import threading
import time
from base64 import b64encode
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import orjson

from destination_heap_analytics.delivery.http.client import HeapClient, Kind, Verdict, printable_words
from destination_heap_analytics.heap_api import DELETION_STATUS_PATH, TOKEN_PATH

TOKEN_SECONDS: Final = 240.0
"""A token is renewed at this age in seconds; Heap accepts it for 300."""

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0
"""Seconds between two polls of the status of a deletion request; each pause is 50% longer than the one before."""

UNAVAILABLE_SECONDS: Final = 600.0
"""How long the status may be unavailable before the request is submitted again."""

UNKNOWN_SECONDS: Final = 60.0
"""How long a request that Heap has just accepted may be unknown to it."""

_GROWTH: Final = 1.5


class DeletionClient:
    """Submits deletion requests and follows each to its end; used by several threads at once."""

    def __init__(
        self,
        heap: HeapClient,
        app_id: str,
        api_key: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        """Prepare a client; nothing is sent yet.

        Args:
            heap: sends the requests.
            app_id: of Main Production.
            api_key: a secret; it is sent to Heap alone.
            clock: seconds, monotonic.
            wait: waits so many seconds; whether the client was closed meanwhile.
        """
        self._heap = heap
        self._credentials = {"Authorization": f"Basic {b64encode(f'{app_id}:{api_key}'.encode()).decode()}"}
        self._clock = clock
        self._closed = threading.Event()
        self._wait = wait or self._closed.wait
        self._token = ""
        self._token_until = float("-inf")
        self._lock = threading.Lock()

    def post(self, path: str, body: bytes) -> Verdict:
        """Submit a deletion request and wait until it is complete; to the path of tokens, prove the credentials."""
        if path == TOKEN_PATH:
            return self._renew(self._token)
        verdict = self._authorized("POST", path, body)
        if verdict.kind is not Kind.TAKEN:
            return verdict
        answer = _object(verdict)
        number = answer.get("deletion_request_id")
        if (words := _error(answer)) is not None:  # as Heap refuses elsewhere
            return Verdict(Kind.REFUSED, HTTPStatus.BAD_REQUEST, words=words)
        if not isinstance(number, str | int) or isinstance(number, bool) or number == "":
            return Verdict(Kind.NOT_HEAP, verdict.status, "no `deletion_request_id`")
        return self._followed(str(number))

    def cut_overdue(self) -> None:
        """Abort requests that take too long; waiting for Heap to delete is not a request."""
        self._heap.cut_overdue()

    def close(self) -> None:
        """Stop following requests, and abort what is in flight."""
        self._closed.set()
        self._heap.close()

    def _followed(self, number: str) -> Verdict:
        path = DELETION_STATUS_PATH + quote(number, safe="")
        pause = FIRST_PAUSE
        asked = 0.0
        answered_at = self._clock()
        while not self._wait(max(pause, asked)):
            pause = min(LONGEST_PAUSE, pause * _GROWTH)
            verdict = self._authorized("GET", path)
            now = self._clock()
            asked = 0.0
            match verdict.kind:
                case Kind.TAKEN:
                    status = _object(verdict).get("status")
                    if status == "complete":
                        return Verdict(Kind.TAKEN, verdict.status)
                    if status != "pending":
                        return Verdict(Kind.NOT_HEAP, verdict.status, "a deletion status that is not documented")
                    answered_at = now
                case Kind.LATER:
                    asked = verdict.retry_after or 0.0
                    if now - answered_at + asked >= UNAVAILABLE_SECONDS:
                        return verdict
                case Kind.LOCKED_OUT | Kind.NOT_HEAP:
                    return verdict
                case _:
                    if now - answered_at >= UNKNOWN_SECONDS:
                        return Verdict(
                            Kind.LATER, verdict.status, "it does not know a deletion request that it accepted"
                        )
        return Verdict(Kind.LATER, trouble="the sync is stopping")

    def _authorized(self, method: str, path: str, body: bytes = b"") -> Verdict:
        """A request with a token; a token that is refused is renewed once."""
        for _ in range(2):
            token = self._token
            if self._clock() >= self._token_until and (verdict := self._renew(token)).kind is not Kind.TAKEN:
                return verdict
            token = self._token
            verdict = self._heap.exchange(method, path, {"Authorization": f"Bearer {token}"}, body)
            if verdict.status != HTTPStatus.UNAUTHORIZED:
                return verdict
            with self._lock:
                if self._token == token:
                    self._token_until = float("-inf")
        return Verdict(Kind.LOCKED_OUT, verdict.status, _words(verdict))

    def _renew(self, known: str) -> Verdict:
        """Get a token, unless another thread has replaced the known one meanwhile."""
        with self._lock:
            if self._token != known:
                return Verdict(Kind.TAKEN)
            asked_at = self._clock()
            verdict = self._heap.exchange("POST", TOKEN_PATH, self._credentials)
            if verdict.kind in {Kind.REFUSED, Kind.NO_ACCESS} and verdict.status != HTTPStatus.NOT_FOUND:
                return Verdict(Kind.LOCKED_OUT, verdict.status, _words(verdict))
            if verdict.kind is not Kind.TAKEN:
                return verdict
            answer = _object(verdict)
            token = answer.get("access_token")
            if isinstance(token, str) and token.isascii() and token.isprintable() and token.strip():
                self._token, self._token_until = token, asked_at + TOKEN_SECONDS
                return Verdict(Kind.TAKEN, verdict.status)
            if (words := _error(answer)) is not None:
                return Verdict(Kind.LOCKED_OUT, verdict.status, words)
            return Verdict(Kind.NOT_HEAP, verdict.status, "no `access_token`")


def _object(verdict: Verdict) -> dict[str, Any]:
    """The JSON object of a response; an empty one for anything else."""
    try:
        document = orjson.loads(verdict.content)
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}


def _error(answer: dict[str, Any]) -> str | None:
    """Heap's own words in an answer that reports an error, as `err` or `error`, mostly with a `message`."""
    for name in ("err", "error"):
        if answer.get(name) not in (None, "", False):
            error = answer[name]
            message = error.get("message", error) if isinstance(error, dict) else answer.get("message", error)
            return printable_words(message.encode() if isinstance(message, str) else orjson.dumps(message))
    return None


def _words(verdict: Verdict) -> str:
    """The response to a refused request for a token; the request contains nothing of a row."""
    try:
        document = orjson.loads(verdict.words)
    except orjson.JSONDecodeError:
        return verdict.words
    return (_error(document) if isinstance(document, dict) else None) or ""
