"""Input is read in blocks of whole lines."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from destination_heap_analytics.process.stdin import bytes_left, read_lines, read_messages


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
def test_only_line_feeds_end_lines(content: bytes, expected: list[bytes]) -> None:
    """The last one may lack its end."""
    assert lines(content) == expected


def test_blank_lines_count_towards_the_size() -> None:
    """Otherwise a queue could fill the memory with them."""
    reading, writing = os.pipe()
    os.write(writing, b"\n" * 1000)
    os.close(writing)
    (batch,) = read_lines(reading)
    os.close(reading)
    assert len(batch[0]) == 1000
    assert batch[1] >= 1000 * 33


def test_a_line_may_be_longer_than_many_blocks() -> None:
    """It arrives as one line."""
    long = b"x" * 3_000_000
    assert lines(long + b"\n" + b"y") == [long, b"y"]


def test_messages_passed_in_process_arrive_one_at_a_time() -> None:
    """The next one may take long to arrive."""
    assert [batch for batch, _ in read_messages(range(3))] == [[0], [1], [2]]
    assert all(size > 0 for _, size in read_messages(range(3)))


def test_a_pipe_that_another_process_made_non_blocking_is_read_to_its_end() -> None:
    """However slowly it is filled."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    blocks = read_lines(reading)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.extend(line for lines, _ in blocks for line in lines))
    reader.start()
    for part in (b"a", b"\nb\n", b"c"):
        os.write(writing, part)
    os.close(writing)
    reader.join(60)
    os.close(reading)
    assert received == [b"a", b"b", b"c"]


def test_an_empty_non_blocking_pipe_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not treated as broken."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    polled = []

    class Poll:
        def register(self, *_: object) -> None:
            polled.append("register")

        def poll(self) -> None:
            os.write(writing, b"late\n")
            os.close(writing)

    monkeypatch.setattr("destination_heap_analytics.process.stdin.select.poll", Poll)
    assert [lines for lines, _ in read_lines(reading)] == [[b"late"]]
    assert polled == ["register"]
    os.close(reading)


def test_the_remaining_size_of_a_file_is_known_and_that_of_a_pipe_is_not(tmp_path: Path) -> None:
    """What has been read does not count."""
    path = tmp_path / "rows"
    path.write_bytes(b"12345")
    with path.open("rb", buffering=0) as file:
        file.read(2)
        assert bytes_left(file.fileno()) == 3
        path.write_bytes(b"")
        assert bytes_left(file.fileno()) == 0
    reader, writer = os.pipe()
    try:
        assert bytes_left(reader) is None
    finally:
        os.close(reader)
        os.close(writer)
