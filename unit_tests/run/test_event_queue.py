"""Everything that a run waits for is in one queue: input bounded in bytes, and events that wake it immediately."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator

import pytest

from destination_heap_analytics.process.stdin import read_messages
from destination_heap_analytics.run.event_queue import EventQueue

LONG = 60.0


def drained(events: EventQueue[int]) -> list[int]:
    items: list[int] = []
    while not events.has_ended:
        events.wait(LONG, for_input=True)
        items += events.input() or []
    return items


def test_input_arrives_in_order_and_ends() -> None:
    """All of it."""
    events: EventQueue[int] = EventQueue()
    events.read(read_messages(range(1000)))
    assert drained(events) == list(range(1000))
    assert events.input() is None


def test_an_event_wakes_a_run_that_waits_for_input() -> None:
    """Although no input has arrived."""
    events: EventQueue[int] = EventQueue()
    threading.Timer(0.01, events.post, ["answer"]).start()
    events.wait(LONG, for_input=True)
    assert (events.event(), events.event(), events.input()) == ("answer", None, None)


def test_events_arrive_in_order() -> None:
    """From any thread."""
    events: EventQueue[int] = EventQueue()
    for number in range(3):
        events.post(number)
    assert [events.event() for _ in range(4)] == [0, 1, 2, None]


@pytest.mark.parametrize("seconds", [0.01, 0.0, -1.0])
def test_a_wait_ends_in_time(seconds: float) -> None:
    """Even if nothing arrives."""
    events: EventQueue[int] = EventQueue()
    events.wait(seconds, for_input=True)
    assert events.event() is None


def test_a_run_without_room_is_not_woken_by_input() -> None:
    """It would only check repeatedly."""
    events: EventQueue[int] = EventQueue()
    events.read(read_messages([1]))
    events.wait(LONG, for_input=True)
    events.wait(0.01, for_input=False)
    assert events.input() == [1]


def test_an_error_of_reading_is_raised_after_the_input_before_it() -> None:
    """No row before it is lost."""

    def source() -> Iterator[int]:
        yield 1
        raise OSError("gone")

    events: EventQueue[int] = EventQueue()
    events.read(read_messages(source()))
    events.wait(LONG, for_input=True)
    assert events.input() == [1]
    events.wait(LONG, for_input=True)
    with pytest.raises(OSError, match="gone"):
        events.input()


def test_input_is_bounded_in_bytes() -> None:
    """When it is full, the source is not read until something is taken."""
    read: list[int] = []
    third = threading.Event()

    def source() -> Generator[tuple[list[int], int], None, None]:
        for number in range(10):
            read.append(number)
            if number == 2:
                third.set()
            yield [number], 100

    events: EventQueue[int] = EventQueue(limit=200)
    events.read(source())
    assert third.wait(LONG)
    assert read == [0, 1, 2]  # two are in the queue, and the reader has one
    assert drained(events) == list(range(10))


def test_closing_the_queue_ends_the_reading_thread() -> None:
    """As soon as its current read returns."""
    ended = threading.Event()

    def source() -> Generator[tuple[list[int], int], None, None]:
        try:
            while True:
                yield [0], 100
        finally:
            ended.set()

    events: EventQueue[int] = EventQueue(limit=200)
    events.read(source())
    events.close()
    assert ended.wait(LONG)
