"""How long a load will take with Heap's documented limits."""

from __future__ import annotations

from typing import Any

import pytest

from destination_heap_analytics.config.parse import parse_config
from destination_heap_analytics.run.estimate import Estimate

TRACK = {"api_type": "track", "property_columns": "*", "event_column": "e", "identity_column": "i"}
USERS = {"api_type": "add_user_properties", "property_columns": "*", "identity_column": "i"}
ACCOUNTS = {"api_type": "add_account_properties", "property_columns": "*", "account_id_column": "i"}
BULK = {"mode": "bulk"}


def estimate(api: dict[str, Any], delivery: dict[str, Any], counts: dict[str, int], most_keys: int = 1000) -> Estimate:
    made = Estimate(parse_config({"app_id": "11", "api": api, "delivery": delivery}).settings, most_keys=most_keys)
    for key, rows in counts.items():
        for _ in range(rows):
            made.add(key)
    return made


@pytest.mark.parametrize(
    ("api", "delivery", "counts", "seconds"),
    [
        (TRACK, BULK, {"a": 1}, 0),
        (TRACK, BULK, {"a": 1000}, 0),
        (TRACK, BULK, {"a": 1001}, 60),
        (TRACK, BULK, {"a": 5000, "b": 4000}, 240),
        (TRACK, {"mode": "bulk", "max_events_per_minute": 100}, {"a": 500, "b": 550}, 600),
        (TRACK, {"mode": "bulk", "max_events_per_minute": 100}, {"a": 50}, 0),
        (TRACK, {"mode": "bulk", "max_events_per_minute": 100}, {"a": 101}, 60),
        (TRACK, {"mode": "row"}, {"a": 31, "b": 30}, 30),
        (USERS, {"mode": "row"}, {"a": 301}, 300),
        (USERS, BULK, {"a": 5000}, 0),
        (ACCOUNTS, {"mode": "row"}, {"a": 5000}, 0),
    ],
)
def test_the_tightest_limit_decides(
    api: dict[str, Any], delivery: dict[str, Any], counts: dict[str, int], seconds: float
) -> None:
    """One window per identity, and half a minute's events per app, are sent in a burst."""
    assert estimate(api, delivery, counts).seconds == seconds


@pytest.mark.parametrize(
    ("api", "delivery", "counts", "sentence"),
    [
        (
            TRACK,
            {"mode": "bulk", "max_events_per_minute": 100},
            {"a": 1001, "b": 49},
            (
                "`write` will take at least 10 min because of Heap's limits (100 events per minute for the app, "
                "1,000 in 60 s "
                "per identity): 1,050 rows for 2 identities, at most 1,001 per identity."
            ),
        ),
        (
            TRACK,
            BULK,
            {"a": 1},
            "Heap's rate limits do not slow `write` down: 1 row for 1 identity, at most 1 per identity.",
        ),
        (
            {"api_type": "delete_users", "user_id_column": "i", "api_key": "k", "confirm": "delete"},
            BULK,
            {"1": 1, "2": 1},
            "Heap documents no rate limit for these requests: 2 rows for 2 users, at most 1 per user.",
        ),
        (
            ACCOUNTS,
            BULK,
            {"a": 3, "b": 1},
            "Heap documents no rate limit for these requests: 4 rows for 2 accounts, at most 3 per account.",
        ),
    ],
)
def test_it_reads_as_a_sentence(
    api: dict[str, Any], delivery: dict[str, Any], counts: dict[str, int], sentence: str
) -> None:
    """With the numbers that it is based on."""
    assert estimate(api, delivery, counts).sentence == sentence


def test_unbounded_identities_are_not_all_remembered() -> None:
    """The busiest is, and the message says that the number is not exact."""
    made = estimate(TRACK, BULK, {"busy": 500, **{str(number): 1 for number in range(1000)}}, most_keys=50)
    assert (made.keys, made.most_rows, made.rows) == (None, 500, 1500)
    assert "1,500 rows for more than 50 identities, at most 500 per identity" in made.sentence
