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
from destination_heap_analytics.properties import Properties
from destination_heap_analytics.protocol import Record
from destination_heap_analytics.rows import Row
from destination_heap_analytics.transformer import Payload

ROW = Row(7, Record("users", None, {}, is_exact=True, line=None), Leg())
PAYLOAD = Payload({"identity": "a", "properties": {}}, Properties())


class Stub:
    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict
        self.sent: list[Mapping[str, Any]] = []

    def post(self, endpoint: Endpoint, element: Mapping[str, Any]) -> Verdict:
        assert endpoint is Api.TRACK.endpoint
        self.sent.append(element)
        return self.verdict


def settled(verdict: Verdict) -> list[tuple[int, Reason | None]]:
    ends: list[tuple[int, Reason | None]] = []

    def settle(row: Row, rejection: RowRejectedError | None) -> None:
        ends.append((row.number, rejection.reason if rejection else None))

    client = Stub(verdict)
    Delivery(client, Api.TRACK.endpoint, "https://heapanalytics.com", settle).take(ROW, PAYLOAD)
    assert client.sent == [PAYLOAD.element]
    return ends


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
    assert settled(verdict) == [(7, reason)]


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
        settled(Verdict(verdict.kind, verdict.status, verdict.trouble, words="a@example.com is bad"))
    assert "example.com is bad" not in str(stopped.value)
