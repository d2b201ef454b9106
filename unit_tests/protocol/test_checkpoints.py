"""A state is returned when every row read before it is settled, in the order received, with counts that add up."""

from __future__ import annotations

import json
import random

import pytest

from destination_heap_analytics.protocol.checkpoints import MAX_BYTES, Checkpoint, Checkpoints
from destination_heap_analytics.protocol.messages import EchoedState, State, parse_line


def checkpoints() -> Checkpoints:
    return Checkpoints(lambda name, _: name == "users")


def state(number: int, stream: str | None = "users") -> State:
    kind = {"type": "STREAM", "stream": {"stream_descriptor": {"name": stream}}} if stream else {"type": "GLOBAL"}
    message = parse_line(json.dumps({"type": "STATE", "state": kind, "id": number}).encode(), 1)
    assert isinstance(message, State)
    return message


def due(run: Checkpoints) -> list[tuple[int, int, int]]:
    """The ID and counts (delivered, rejected) of each state that is returned now."""
    back = []
    for message in run.due():
        assert isinstance(message, EchoedState)
        line = json.loads(message.line)
        stats = line["state"]["destinationStats"]
        back.append((line["id"], int(stats["recordCount"]), int(stats["rejectedRecordCount"])))
    return back


def test_a_state_before_any_row_is_returned_immediately() -> None:
    """It covers no rows."""
    run = checkpoints()
    run.state_read(state(1))
    assert due(run) == [(1, 0, 0)]
    assert due(run) == []


def test_a_state_waits_for_every_row_read_before_it() -> None:
    """And not for those read after."""
    run = checkpoints()
    first, second = run.row_read(), run.row_read()
    run.state_read(state(1))
    run.row_read()
    first.settle(delivered=True)
    assert due(run) == []
    second.settle(delivered=False)
    assert due(run) == [(1, 1, 1)]


def test_states_keep_their_order() -> None:
    """A later state whose rows are settled waits for the earlier one."""
    run = checkpoints()
    first = run.row_read()
    run.state_read(state(1))
    run.row_read().settle(delivered=True)
    run.state_read(state(2))
    run.state_read(state(3))
    assert due(run) == []
    first.settle(delivered=True)
    assert due(run) == [(1, 1, 0), (2, 1, 0), (3, 0, 0)]


def test_no_state_covers_rows_after_the_last_one() -> None:
    """They are still delivered; the platform adds its own state if one is needed."""
    run = checkpoints()
    run.row_read().settle(delivered=True)
    assert due(run) == []


@pytest.mark.parametrize(("stream", "first"), [("users", (1, 1, 0)), (None, (1, 1, 0)), ("orders", (1, 0, 0))])
def test_a_state_of_another_stream_covers_no_row_of_this_one(stream: str | None, first: tuple[int, int, int]) -> None:
    """The counts are added to the next state that does; GLOBAL and LEGACY states cover all streams."""
    run = checkpoints()
    run.row_read().settle(delivered=True)
    run.state_read(state(1, stream))
    run.row_read().settle(delivered=False)
    run.state_read(state(2))
    assert due(run) == [first, (2, 1 - first[1], 1)]


@pytest.mark.parametrize("seed", range(20))
def test_counts_add_up_in_any_order_of_completion(seed: int) -> None:
    """And no state is returned before its last row is settled."""
    rng = random.Random(seed)
    run, open_rows, back, total = checkpoints(), list[tuple[int, Checkpoint]](), list[tuple[int, int, int]](), 0
    for number in range(1, 30):
        for _ in range(rng.randrange(5)):
            open_rows.append((number, run.row_read()))
            total += 1
        run.state_read(state(number))
        while open_rows and rng.random() < 0.7:
            open_rows.pop(rng.randrange(len(open_rows)))[1].settle(delivered=rng.random() < 0.8)
        back += due(run)
        assert not open_rows or (back[-1][0] if back else 0) < min(checkpoint for checkpoint, _ in open_rows)
    for _, checkpoint in open_rows:
        checkpoint.settle(delivered=True)
    back += due(run)
    assert [number for number, _, _ in back] == list(range(1, 30))
    assert sum(delivered + rejected for _, delivered, rejected in back) == total


def test_waiting_states_are_bounded_in_bytes() -> None:
    """Rows that are retried for minutes hold up all later states."""
    run = checkpoints()
    checkpoint = run.row_read()
    large = parse_line(b'{"type":"STATE","state":{"data":"%s"}}' % (b"x" * (MAX_BYTES // 2)), 1)
    assert isinstance(large, State)
    run.state_read(large)
    assert run.has_room
    run.state_read(large)
    assert not run.has_room
    checkpoint.settle(delivered=True)
    assert len(list(run.due())) == 2
    assert run.has_room
