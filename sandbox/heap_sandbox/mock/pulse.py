"""How much arrived, in total and in each second of the last minutes; counted on demand from the request log."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from heap_sandbox.mock.store import Store

SECONDS = 300
"""How far back the rates go, counted from the newest request."""

CHUNK = 5_000
"""Requests that are counted at a time; takes a few milliseconds."""

_SERIES = ("events", "users", "accounts", "failed")


@dataclass(slots=True)
class _Count:
    """The counts up to a request."""

    epoch: str
    request: int = 0
    totals: Counter[str] = field(default_factory=Counter)
    rates: dict[int, list[int]] = field(default_factory=dict)


class Pulse:
    """Counters and rates. Each call reads what was logged since the last one, so requests never wait for it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._count = _Count(store.epoch)

    def advance(self) -> bool:
        """Count the next chunk of the log; return whether it was full, so that more may follow."""
        if self._store.epoch != self._count.epoch:
            self._count = _Count(self._store.epoch)
        count = self._count
        end = count.request + CHUNK
        for tally in self._store.tallies(count.request, CHUNK):
            count.request = max(count.request, tally["request"])
            second = int(datetime.fromisoformat(tally["second"]).timestamp())
            before = count.rates.get(second, [0] * len(_SERIES))
            count.rates[second] = [old + tally[name] for old, name in zip(before, _SERIES, strict=True)]
            count.totals.update({name: tally[name] for name in (*_SERIES, "duplicates")})
        oldest = max(count.rates, default=0) - SECONDS
        count.rates = {second: rates for second, rates in count.rates.items() if second > oldest}
        return count.request == end

    def row(self) -> dict[str, Any]:
        """All counters as totals, so that a client needs only the newest message.

        `counts` are rows. `changes` grow with each change of a list. `rates` are lists of a second since 1970 and what
        happened in it: events, users and accounts stored, and requests that failed.
        """
        count, totals = self._count, self._count.totals
        rows = self._store.counts()
        return {
            "epoch": count.epoch,
            "counts": rows | {name: totals[name] for name in ("failed", "duplicates")},
            "changes": {
                "events": rows["events"],
                "users": rows["users"] + totals["users"],  # an event makes a user, a write changes one
                "accounts": totals["accounts"],
                "identities": rows["identities"],
                "deletions": rows["deletions"],
                "failed": totals["failed"],
            },
            "rates": [[second, *rates] for second, rates in sorted(count.rates.items())],
        }
