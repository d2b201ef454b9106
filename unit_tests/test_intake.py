"""Input is read ahead by a thread of its own, bounded in bytes, and a silent source holds nobody up."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Iterator

import pytest

from destination_heap_analytics.intake import Intake, read_lines, read_messages

SOON = 0.001
LONG = 60.0


def lines(content: bytes) -> list[bytes]:
    reading, writing = os.pipe()
    writer = threading.Thread(target=lambda: (os.write(writing, content), os.close(writing)))
    writer.start()
    try:
        return [line for batch, _ in read_lines(reading) for line in batch]
    finally:
        writer.join()
        os.close(reading)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", []),
        (b"a\nb\n", [b"a", b"b"]),
        (b"a\nb", [b"a", b"b"]),
        (b"a\n\nb\r\n", [b"a", b"", b"b\r"]),
        (b"\n", [b""]),
        ("é\u2028x\ny".encode(), ["é\u2028x".encode(), b"y"]),
    ],
)
def test_lines_end_at_line_feeds_alone(content: bytes, expected: list[bytes]) -> None:
    """The last one may lack its end."""
    assert lines(content) == expected


def test_blank_lines_weigh_too() -> None:
    """Else they would fill the memory behind a queue that counts none of them."""
    reading, writing = os.pipe()
    os.write(writing, b"\n" * 1000)
    os.close(writing)
    (batch,) = read_lines(reading)
    os.close(reading)
    assert len(batch[0]) == 1000
    assert batch[1] >= 1000 * 33


def test_a_line_may_be_longer_than_many_blocks() -> None:
    """It arrives whole."""
    long = b"x" * 3_000_000
    assert lines(long + b"\n" + b"y") == [long, b"y"]


def test_items_come_in_order() -> None:
    """And then the input ends."""
    assert list(Intake(read_messages(range(1000))).items(LONG)) == list(range(1000))


def test_silence_is_reported_while_it_lasts() -> None:
    """So that the run can look at the clock."""
    go_on = threading.Event()

    def source() -> Iterator[str]:
        yield "first"
        go_on.wait(LONG)
        yield "second"

    items = Intake(read_messages(source())).items(SOON)
    heard = [next(items)]
    while heard[-1] is not None:
        heard.append(next(items))
    go_on.set()
    assert [item for item in [*heard, *items] if item is not None] == ["first", "second"]


def test_what_the_reading_raises_is_raised_after_what_came_before() -> None:
    """No row before it is lost."""

    def source() -> Iterator[str]:
        yield "first"
        raise OSError("gone")

    items = Intake(read_messages(source())).items(LONG)
    assert next(items) == "first"
    with pytest.raises(OSError, match="gone"):
        next(items)


def test_the_queue_is_bounded_in_bytes() -> None:
    """When it is full the source is read no further until somebody takes from it."""
    read: list[int] = []
    third = threading.Event()

    def source() -> Generator[tuple[list[int], int], None, None]:
        for number in range(10):
            read.append(number)
            if number == 2:
                third.set()
            yield [number], 100

    intake = Intake(source(), limit=200)
    assert third.wait(LONG)
    assert read == [0, 1, 2]  # two wait in the queue, and one in the hand of the reader
    assert list(intake.items(LONG)) == list(range(10))


def test_a_closed_intake_ends_its_reader() -> None:
    """As soon as its read returns."""
    ended = threading.Event()

    def source() -> Generator[tuple[list[int], int], None, None]:
        try:
            while True:
                yield [0], 100
        finally:
            ended.set()

    intake = Intake(source(), limit=200)
    intake.close()
    assert ended.wait(LONG)
