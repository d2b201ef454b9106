"""All that a run waits for comes to one place: input bounded in bytes, and events that wake it at once."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator

import pytest

from destination_heap_analytics.inbox import Inbox
from destination_heap_analytics.intake import read_messages

LONG = 60.0


def drained(inbox: Inbox[int]) -> list[int]:
    items: list[int] = []
    while not inbox.has_ended:
        inbox.wait(LONG, for_input=True)
        items += inbox.input() or []
    return items


def test_input_comes_in_order_and_ends() -> None:
    """All of it."""
    inbox: Inbox[int] = Inbox()
    inbox.read(read_messages(range(1000)))
    assert drained(inbox) == list(range(1000))
    assert inbox.input() is None


def test_an_event_wakes_a_run_that_waits_for_input() -> None:
    """Without an end of the silence."""
    inbox: Inbox[int] = Inbox()
    threading.Timer(0.01, inbox.post, ["answer"]).start()
    inbox.wait(LONG, for_input=True)
    assert (inbox.event(), inbox.event(), inbox.input()) == ("answer", None, None)


def test_events_come_in_order() -> None:
    """From whatever thread."""
    inbox: Inbox[int] = Inbox()
    for number in range(3):
        inbox.post(number)
    assert [inbox.event() for _ in range(4)] == [0, 1, 2, None]


@pytest.mark.parametrize("seconds", [0.01, 0.0, -1.0])
def test_a_wait_ends_in_time(seconds: float) -> None:
    """Also where nothing comes."""
    inbox: Inbox[int] = Inbox()
    inbox.wait(seconds, for_input=True)
    assert inbox.event() is None


def test_a_run_without_room_is_not_woken_by_input() -> None:
    """It would only look again and again."""
    inbox: Inbox[int] = Inbox()
    inbox.read(read_messages([1]))
    inbox.wait(LONG, for_input=True)
    inbox.wait(0.01, for_input=False)
    assert inbox.input() == [1]


def test_what_the_reading_raises_is_raised_after_what_came_before() -> None:
    """No row before it is lost."""

    def source() -> Iterator[int]:
        yield 1
        raise OSError("gone")

    inbox: Inbox[int] = Inbox()
    inbox.read(read_messages(source()))
    inbox.wait(LONG, for_input=True)
    assert inbox.input() == [1]
    inbox.wait(LONG, for_input=True)
    with pytest.raises(OSError, match="gone"):
        inbox.input()


def test_input_is_bounded_in_bytes() -> None:
    """When it is full the source is read no further until somebody takes from it."""
    read: list[int] = []
    third = threading.Event()

    def source() -> Generator[tuple[list[int], int], None, None]:
        for number in range(10):
            read.append(number)
            if number == 2:
                third.set()
            yield [number], 100

    inbox: Inbox[int] = Inbox(limit=200)
    inbox.read(source())
    assert third.wait(LONG)
    assert read == [0, 1, 2]  # two wait in the inbox, and one in the hand of the reader
    assert drained(inbox) == list(range(10))


def test_a_closed_inbox_ends_its_reader() -> None:
    """As soon as its read returns."""
    ended = threading.Event()

    def source() -> Generator[tuple[list[int], int], None, None]:
        try:
            while True:
                yield [0], 100
        finally:
            ended.set()

    inbox: Inbox[int] = Inbox(limit=200)
    inbox.read(source())
    inbox.close()
    assert ended.wait(LONG)
