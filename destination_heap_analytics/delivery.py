"""Payloads -> Heap: one request after another, in the order read.

`take` may wait as long as Heap does, which slows the reading down; `settled` hears of each row once, when it is
delivered or rejected. Both are all that the rest of the run knows of how rows travel.
"""

from __future__ import annotations

from collections.abc import Callable

from destination_heap_analytics.client import Client, Kind, Verdict
from destination_heap_analytics.errors import ConfigError, Reason, RowRejectedError, SyncStoppedError, TransientError
from destination_heap_analytics.heap_api import Api, Endpoint
from destination_heap_analytics.preflight import PREFLIGHT_EVENT, explain
from destination_heap_analytics.rows import Row
from destination_heap_analytics.transformer import Payload

Settled = Callable[[Row, RowRejectedError | None], None]
"""Told of each row at its end: the rejection, or None for a row that Heap has taken."""


class Delivery:
    """Sends the payloads of one run."""

    def __init__(self, client: Client, endpoint: Endpoint, base_url: str, settled: Settled) -> None:
        self._client = client
        self._endpoint = endpoint
        self._base_url = base_url
        self._settled = settled
        self._reached = False

    def take(self, row: Row, payload: Payload) -> None:
        """Send one row's payload.

        Raises:
            ConfigError: what answers is not Heap, or Heap lets this app in nowhere.
            TransientError: Heap or the network does not serve now.
        """
        verdict = self._client.post(self._endpoint, payload.element)
        if verdict.kind is Kind.TAKEN:
            self._reached = True
            self._settled(row, None)
        elif reason := _reason(verdict):
            if not self._reached:
                self._doubt_the_set_up(row)
            self._settled(row, RowRejectedError(reason))
        else:
            raise self._stopped(row, verdict)

    def _doubt_the_set_up(self, row: Row) -> None:
        """The first answer refuses: ask with the event of `check` whether it is the row or the app ID.

        Otherwise a wrong app ID would reject every row behind a green sync.
        """
        verdict = self._client.post(Api.TRACK.endpoint, PREFLIGHT_EVENT)
        if verdict.kind is not Kind.TAKEN:
            raise self._stopped(row, verdict)
        self._reached = True

    def _stopped(self, row: Row, verdict: Verdict) -> SyncStoppedError:
        error = TransientError if verdict.kind is Kind.LATER else ConfigError
        return error(f"The sync stopped at row {row.number}. {explain(verdict, self._base_url, reached=self._reached)}")


def _reason(verdict: Verdict) -> Reason | None:
    if verdict.kind is Kind.TOO_LARGE:
        return Reason.REFUSED_413
    if verdict.kind is Kind.REFUSED:
        return Reason.REFUSED_422 if verdict.status == 422 else Reason.REFUSED_400  # noqa: PLR2004
    return None
