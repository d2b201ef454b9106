"""Threads that post requests, so that many can be in flight; started on demand, then reused."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Generic, TypeVar

from destination_heap_analytics.delivery.http.client import Client, Verdict

Ticket = TypeVar("Ticket")


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Ticket]):
    """The outcome of a request.

    Attributes:
        ticket: what the request was sent with.
        verdict: the client's verdict, or the exception that it raised, which is a bug.
    """

    ticket: Ticket
    verdict: Verdict | BaseException


class Senders(Generic[Ticket]):
    """Posts requests concurrently."""

    def __init__(self, client: Client, report: Callable[[Outcome[Ticket]], None]) -> None:
        """Prepare; no thread is started yet.

        Args:
            client: posts one request; used by several threads at the same time.
            report: called with each outcome, in the thread that made the request.
        """
        self._client = client
        self._report = report
        self._requests: SimpleQueue[tuple[Ticket, str, bytes] | None] = SimpleQueue()
        self._threads = 0
        self._is_closed = False

    def send(self, ticket: Ticket, path: str, body: bytes, in_flight: int) -> None:
        """Post a request; `in_flight` includes it."""
        if self._threads < in_flight:
            self._threads += 1
            threading.Thread(target=self._serve, name=f"sender-{self._threads}", daemon=True).start()
        self._requests.put((ticket, path, body))

    def close(self) -> None:
        """Send nothing more, and abort requests in flight."""
        self._is_closed = True
        for _ in range(self._threads):
            self._requests.put(None)
        self._client.close()

    def _serve(self) -> None:
        while (request := self._requests.get()) is not None and not self._is_closed:
            self._post(*request)
            del request  # while the thread waits for the next request, it must not keep these rows alive

    def _post(self, ticket: Ticket, path: str, body: bytes) -> None:
        verdict: Verdict | BaseException
        try:
            verdict = self._client.post(path, body)
        except BaseException as defect:  # noqa: BLE001  # re-raised by the run
            verdict = defect
        self._report(Outcome(ticket, verdict))
