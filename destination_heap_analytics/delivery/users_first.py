"""Sends each row twice: first its user's properties, then its event. The row is settled with its event.

If Heap refuses the user properties, the row is rejected and its event is not sent. Events wait here until their
delivery has room, so that both deliveries stay within their limits; rows of one user keep their order in both.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from destination_heap_analytics.delivery.delivery import Delivery, Send, Settled
from destination_heap_analytics.delivery.http.client import Verdict
from destination_heap_analytics.delivery.job import Job
from destination_heap_analytics.delivery.refusals import Probe
from destination_heap_analytics.delivery.waiting import Wait
from destination_heap_analytics.errors import RowRejectedError
from destination_heap_analytics.mapping.payload import Payload

_MOST_WAITING: Final = 10_000
"""The most events that may be waiting; beyond, no more rows are read."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A request, and the delivery that it belongs to."""

    delivery: Delivery
    request: Job | Probe


class UsersFirst:
    """The rows of one run, from the mapping until they are settled. Has the interface of `Delivery`."""

    def __init__(
        self,
        users: Callable[[Send, Settled], Delivery],
        events: Callable[[Send, Settled], Delivery],
        *,
        send: Callable[[Sent, str, bytes, int], None],
        settled: Settled,
    ) -> None:
        """Start without rows.

        Args:
            users: creates the delivery of the users' properties, given the functions that post and settle.
            events: the same for the events.
            send: posts a request.
            settled: called with rows that are delivered or rejected.
        """
        self._post = send
        self._settled = settled
        self._users = users(lambda *request: self._send(self._users, *request), self._users_settled)
        self._events = events(lambda *request: self._send(self._events, *request), settled)
        self._waiting: dict[int, Payload] = {}
        self._ready: deque[Payload] = deque()
        self._last: int | None = None

    def take(self, item: Payload, now: float) -> bool:
        """Accept a row; returns whether there is room for another."""
        self._waiting[item.number] = item
        self._users.take(Payload(item.number, item.checkpoint, None, item.key, item.user_body, None), now)
        return self.has_room

    def take_all(self, items: Sequence[Payload], now: float) -> bool:
        """Accept several rows in order; returns whether there is room for another."""
        for item in items:
            self.take(item, now)
        return self.has_room

    @property
    def has_room(self) -> bool:
        """Whether more rows can be accepted."""
        return self._users.has_room and self._events.has_room and len(self._waiting) + len(self._ready) < _MOST_WAITING

    @property
    def room(self) -> int:
        """How many rows can be accepted in one call; at least one (check `has_room` first)."""
        return self._users.room

    @property
    def in_flight(self) -> int:
        """The number of requests that have no response yet."""
        return self._users.in_flight + self._events.in_flight

    @property
    def is_idle(self) -> bool:
        """Whether every row is delivered or rejected."""
        return self._users.is_idle and not self._ready and self._events.is_idle

    def flush(self) -> None:
        """Send the remaining rows without waiting for full batches: no more rows will come."""
        self._users.flush()
        self._events.flush()

    def drop_after(self, number: int) -> None:
        """Drop the rows read after this one that have not been sent; no more will come."""
        self._last = number if self._last is None else min(self._last, number)
        self._ready = deque(item for item in self._ready if item.number <= number)
        self._users.drop_after(number)
        self._events.drop_after(number)

    def dispatch(self, now: float) -> None:
        """Send everything that may be sent now."""
        self._users.dispatch(now)
        while True:
            while self._ready and self._events.has_room:
                self._events.take(self._ready.popleft(), now)
            self._events.dispatch(now)
            if not self._ready or not self._events.has_room:
                return

    def wake_at(self, now: float) -> float:
        """When something can next be sent if no response arrives before; infinity if nothing can."""
        return min(self._users.wake_at(now), self._events.wake_at(now))

    def wait(self, now: float) -> Wait | None:
        """What keeps rows from being sent; call it after `dispatch`. None if there are no rows to send."""
        return self._events.wait(now) or self._users.wait(now)

    def handle_response(self, sent: Sent, verdict: Verdict, now: float) -> None:
        """A request got a response, or none in time.

        Raises:
            ConfigError: the server is not Heap, or Heap does not accept this app.
            TransientError: Heap or the network has been unavailable for too long.
        """
        sent.delivery.handle_response(sent.request, verdict, now)

    def wound_down(self, sent: Sent, verdict: Verdict) -> None:
        """Handle a response while the run is stopping: accepted events count, all other rows stay unsettled."""
        sent.delivery.wound_down(sent.request, verdict)

    def _send(self, delivery: Delivery, request: Job | Probe, path: str, body: bytes, _: int) -> None:
        self._post(Sent(delivery, request), path, body, self.in_flight)

    def _users_settled(self, items: Sequence[Payload], rejection: RowRejectedError | None) -> None:
        events = [self._waiting.pop(item.number) for item in items]
        if rejection:
            self._settled(events, rejection)
        else:
            self._ready.extend(event for event in events if self._last is None or event.number <= self._last)
