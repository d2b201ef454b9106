"""A payload ends as delivered or rejected, or the run ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from destination_heap_analytics.checkpoints import Leg
from destination_heap_analytics.client import Kind, Verdict
from destination_heap_analytics.delivery import Delivery
from destination_heap_analytics.errors import ConfigError, Reason, RowRejectedError, SyncStoppedError, TransientError
from destination_heap_analytics.heap_api import Api, Endpoint
from destination_heap_analytics.preflight import PREFLIGHT_EVENT
from destination_heap_analytics.properties import Properties
from destination_heap_analytics.protocol import Record
from destination_heap_analytics.rows import Row
from destination_heap_analytics.transformer import Payload

TAKEN = Verdict(Kind.TAKEN, 200)
ROW = Row(7, Record("users", None, {}, is_exact=True, line=None), Leg())
PAYLOAD = Payload({"identity": "a", "properties": {}}, Properties())


class Stub:
    """A client that answers rows with one verdict, and the event of `check` with another."""

    def __init__(self, verdict: Verdict, of_preflight: Verdict = TAKEN) -> None:
        self.verdict = verdict
        self.of_preflight = of_preflight
        self.sent: list[Mapping[str, Any]] = []

    def post(self, endpoint: Endpoint, element: Mapping[str, Any]) -> Verdict:
        assert endpoint is Api.TRACK.endpoint
        self.sent.append(element)
        return self.of_preflight if element is PREFLIGHT_EVENT else self.verdict


class Run:
    """A delivery, and how its rows ended."""

    def __init__(self, *, of_preflight: Verdict = TAKEN) -> None:
        self.ends: list[tuple[int, Reason | None]] = []
        self.client = Stub(TAKEN, of_preflight)
        self.delivery = Delivery(self.client, Api.TRACK.endpoint, "https://heapanalytics.com", self._settled)

    def _settled(self, row: Row, rejection: RowRejectedError | None) -> None:
        self.ends.append((row.number, rejection.reason if rejection else None))

    def take(self, verdict: Verdict) -> Run:
        self.client.verdict = verdict
        self.delivery.take(ROW, PAYLOAD)
        return self


@pytest.mark.parametrize(
    ("verdict", "reason"),
    [
        (Verdict(Kind.TAKEN, 200), None),
        (Verdict(Kind.REFUSED, 400), Reason.REFUSED_400),
        (Verdict(Kind.REFUSED, 422), Reason.REFUSED_422),
        (Verdict(Kind.TOO_LARGE, 413), Reason.REFUSED_413),
    ],
)
def test_a_row_is_delivered_or_rejected_once(verdict: Verdict, reason: Reason | None) -> None:
    """By Heap's answer."""
    run = Run().take(Verdict(Kind.TAKEN, 200)).take(verdict)
    assert run.ends == [(7, None), (7, reason)]
    assert run.client.sent == [PAYLOAD.element] * 2


@pytest.mark.parametrize(
    ("verdict", "error"),
    [
        (Verdict(Kind.NO_ACCESS, 401), ConfigError),
        (Verdict(Kind.NO_ACCESS, 404), ConfigError),
        (Verdict(Kind.NOT_HEAP, 302, "a redirect"), ConfigError),
        (Verdict(Kind.LATER, 503), TransientError),
        (Verdict(Kind.LATER, 405), TransientError),
        (Verdict(Kind.LATER, None, "the connection failed"), TransientError),
    ],
)
def test_anything_else_ends_the_run_with_the_row_unsettled(verdict: Verdict, error: type[SyncStoppedError]) -> None:
    """So that no state passes it; what Heap said stays out of the message, since it may echo the row."""
    with pytest.raises(error, match="stopped at row 7") as stopped:
        Run().take(Verdict(verdict.kind, verdict.status, verdict.trouble, words="a@example.com is bad"))
    assert "example.com is bad" not in str(stopped.value)


def test_where_the_first_answer_refuses_the_event_of_check_tells_the_row_from_the_set_up() -> None:
    """Taken, it is the row; it is asked once."""
    refused = Verdict(Kind.REFUSED, 400)
    run = Run().take(refused).take(refused)
    assert run.ends == [(7, Reason.REFUSED_400)] * 2
    assert run.client.sent == [PAYLOAD.element, PREFLIGHT_EVENT, PAYLOAD.element]


@pytest.mark.parametrize(
    ("of_preflight", "error"),
    [
        (Verdict(Kind.REFUSED, 400), ConfigError),
        (Verdict(Kind.NO_ACCESS, 401), ConfigError),
        (Verdict(Kind.NOT_HEAP, 302, "a redirect"), ConfigError),
        (Verdict(Kind.LATER, 503), TransientError),
    ],
)
def test_a_set_up_that_is_refused_ends_the_run_with_the_row_unsettled(
    of_preflight: Verdict, error: type[SyncStoppedError]
) -> None:
    """Otherwise a wrong app ID would reject every row behind a green sync."""
    run = Run(of_preflight=of_preflight)
    with pytest.raises(error, match="stopped at row 7"):
        run.take(Verdict(Kind.REFUSED, 400))
    assert run.ends == []
