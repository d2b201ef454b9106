"""Heap's User Deletion API: a client whose requests complete once Heap has deleted the users.

    token       POST /api/public/v0/auth_token, with the app ID and its API key: a token that is valid for five minutes
    submit      POST /api/public/v0/user_deletion, with the token: the ID of a deletion request
    poll        GET /api/public/v0/deletion_status/<ID>, until the status is `complete`

To the delivery this is one request: ACCEPTED means that the users are deleted, so no state is returned before that. If
submitting fails, the verdict is as for any other request. Polling tolerates outages of up to ten minutes; after that,
or if Heap does not know the deletion request, it is submitted again, which is harmless.

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
"""Age at which a token is renewed, in seconds; Heap accepts it for 300."""

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0
"""Seconds between two polls of the status of a deletion request; each pause is 50% longer than the one before."""

UNAVAILABLE_SECONDS: Final = 600.0
"""How long the status may be unavailable before the request is submitted again."""

UNKNOWN_SECONDS: Final = 60.0
"""How long Heap may not know a deletion request that it has just accepted."""

_GROWTH: Final = 1.5


class DeletionClient:
    """Submits deletion requests and polls each until it completes; used by several threads at the same time."""

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
            app_id: the environment ID of Main Production.
            api_key: a secret, sent only to Heap.
            clock: monotonic seconds.
            wait: waits for that many seconds, and returns whether the client was closed in the meantime.
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
        """Submit a deletion request and wait until it is complete; for `TOKEN_PATH`, only verify the credentials."""
        if path == TOKEN_PATH:
            return self._renew(self._token)
        verdict = self._authorized("POST", path, body)
        if verdict.kind is not Kind.ACCEPTED:
            return verdict
        response = _object(verdict)
        number = response.get("deletion_request_id")
        if (words := _error(response)) is not None:  # other APIs respond with 400 in this case
            return Verdict(Kind.REFUSED, HTTPStatus.BAD_REQUEST, words=words)
        if not isinstance(number, str | int) or isinstance(number, bool) or number == "":
            return Verdict(Kind.NOT_HEAP, verdict.status, "no `deletion_request_id`")
        return self._followed(str(number))

    def cut_overdue(self) -> None:
        """Abort requests that take too long. Waiting between polls does not count."""
        self._heap.cut_overdue()

    def close(self) -> None:
        """Stop polling, and abort requests in flight."""
        self._closed.set()
        self._heap.close()

    def _followed(self, number: str) -> Verdict:
        path = DELETION_STATUS_PATH + quote(number, safe="")
        pause = FIRST_PAUSE
        asked = 0.0
        responded_at = self._clock()
        while not self._wait(max(pause, asked)):
            pause = min(LONGEST_PAUSE, pause * _GROWTH)
            verdict = self._authorized("GET", path)
            now = self._clock()
            asked = 0.0
            match verdict.kind:
                case Kind.ACCEPTED:
                    status = _object(verdict).get("status")
                    if status == "complete":
                        return Verdict(Kind.ACCEPTED, verdict.status)
                    if status != "pending":
                        return Verdict(Kind.NOT_HEAP, verdict.status, "an undocumented deletion status")
                    responded_at = now
                case Kind.RETRYABLE:
                    asked = verdict.retry_after or 0.0
                    if now - responded_at + asked >= UNAVAILABLE_SECONDS:
                        return verdict
                case Kind.LOCKED_OUT | Kind.NOT_HEAP:
                    return verdict
                case _:
                    if now - responded_at >= UNKNOWN_SECONDS:
                        return Verdict(
                            Kind.RETRYABLE, verdict.status, "a deletion request that was accepted is now unknown"
                        )
        return Verdict(Kind.RETRYABLE, trouble="the sync is stopping")

    def _authorized(self, method: str, path: str, body: bytes = b"") -> Verdict:
        """Send a request with a token. If Heap refuses the token, renew it once."""
        for _ in range(2):
            token = self._token
            if self._clock() >= self._token_until and (verdict := self._renew(token)).kind is not Kind.ACCEPTED:
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
        """Get a new token, unless another thread has already replaced the known one."""
        with self._lock:
            if self._token != known:
                return Verdict(Kind.ACCEPTED)
            asked_at = self._clock()
            verdict = self._heap.exchange("POST", TOKEN_PATH, self._credentials)
            if verdict.kind in {Kind.REFUSED, Kind.NO_ACCESS} and verdict.status != HTTPStatus.NOT_FOUND:
                return Verdict(Kind.LOCKED_OUT, verdict.status, _words(verdict))
            if verdict.kind is not Kind.ACCEPTED:
                return verdict
            response = _object(verdict)
            token = response.get("access_token")
            if isinstance(token, str) and token.isascii() and token.isprintable() and token.strip():
                self._token, self._token_until = token, asked_at + TOKEN_SECONDS
                return Verdict(Kind.ACCEPTED, verdict.status)
            if (words := _error(response)) is not None:
                return Verdict(Kind.LOCKED_OUT, verdict.status, words)
            return Verdict(Kind.NOT_HEAP, verdict.status, "no `access_token`")


def _object(verdict: Verdict) -> dict[str, Any]:
    """The JSON object in a response; empty if the response is anything else."""
    try:
        document = orjson.loads(verdict.content)
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}


def _error(response: dict[str, Any]) -> str | None:
    """Heap's error message, if a response has `err` or `error`, usually with a `message`; None otherwise."""
    for name in ("err", "error"):
        if response.get(name) not in (None, "", False):
            error = response[name]
            message = error.get("message", error) if isinstance(error, dict) else response.get("message", error)
            return printable_words(message.encode() if isinstance(message, str) else orjson.dumps(message))
    return None


def _words(verdict: Verdict) -> str:
    """The error message of a refused request for a token. It cannot echo a row: the request contains none."""
    try:
        document = orjson.loads(verdict.words)
    except orjson.JSONDecodeError:
        return verdict.words
    return (_error(document) if isinstance(document, dict) else None) or ""
