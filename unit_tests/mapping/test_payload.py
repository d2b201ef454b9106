"""Rows in columns are the same rows."""

from __future__ import annotations

import os
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_heap_analytics.mapping.payload import Payload, Payloads, serialised
from destination_heap_analytics.protocol.checkpoints import Checkpoint

STATM = Path("/proc/self/statm")


def resident() -> int:
    """The resident memory of this process, in bytes."""
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def rows(count: int) -> list[Payload]:
    """That many rows, the odd ones with their source lines."""
    return [
        Payload(number, Checkpoint(), b"line" * number if number % 2 else None, f"k{number}", b"{}" * number, "t")
        for number in range(1, count + 1)
    ]


def parts(row: Payload) -> tuple[object, ...]:
    return (row.number, row.checkpoint, row.source, row.key, row.body, row.token)


@given(st.integers(0, 5), st.slices(6), st.integers(0, 6), st.booleans())
def test_columns_give_back_their_rows(count: int, part: slice, number: int, are_sent: bool) -> None:
    """One by one, some of them, those up to a number, and their bytes, even if their bodies are part of a request."""
    given_rows = rows(count)
    columns = Payloads.of(given_rows)
    if are_sent:
        columns.point_into(b"[" + b",".join(columns.bodies) + b"]", 1)
    assert Payloads.of(columns) is columns
    assert [parts(row) for row in columns] == [parts(row) for row in given_rows]
    assert [parts(columns[at]) for at in range(len(columns))] == [parts(row) for row in given_rows]
    assert [parts(row) for row in columns[part]] == [parts(row) for row in given_rows[part]]
    assert columns.up_to(number).numbers == [row.number for row in given_rows if row.number <= number]
    assert columns.kept == sum(row.kept for row in given_rows)


def test_rows_are_added_at_the_end() -> None:
    """Existing rows stay, and the added ones are not changed."""
    first, more = Payloads.of(rows(2)), Payloads.of(rows(3))
    first.extend(more)
    first.append(rows(1)[0])
    assert first.numbers == [1, 2, 1, 2, 3, 1]
    assert more.numbers == [1, 2, 3]


@pytest.mark.skipif(not STATM.exists(), reason="needs Linux's /proc")
def test_a_body_takes_no_more_memory_than_its_text() -> None:
    """A batch of 1,000 short rows must not keep 1,000 of orjson's buffers, 4 kB each."""
    element = {"identity": "a", "properties": {"plan": "x" * 300}}
    before = resident()
    bodies = serialised(element for _ in range(10_000))
    assert resident() - before < 10_000 * 1000
    assert bodies[-1] == orjson.dumps(element)
