"""The number of rows is estimated from those that have been read."""

from __future__ import annotations

from pathlib import Path

import pytest

from destination_heap_analytics.process.volume import Volume, size_of


def test_the_rest_is_assumed_to_be_like_the_beginning() -> None:
    """For messages: each line is a row, and its end is one byte."""
    volume = Volume(80)
    assert volume.rows() is None
    lines = ([b"123"] * 2, [b"1234567", b"123"] * 2, [b"123"] * 9)
    blocks = volume.of_lines((block, 0) for block in lines)
    seen = [(next(blocks), volume.rows())[1] for _ in range(3)]
    assert seen == [2 * 80 / 8, 6 * 80 / 32, pytest.approx(15 * 80 / 68)]
    assert list(blocks) == []


def test_bytes_and_rows_can_be_counted_separately() -> None:
    """A file of rows is read as bytes, and becomes messages."""
    volume = Volume(100)
    assert list(volume.of_bytes(iter([b"x" * 40]))) == [b"x" * 40]
    assert list(volume.of_rows(block for block in [([b"a", b"b"], 9)])) == [([b"a", b"b"], 9)]
    assert volume.rows() == 5.0
    assert Volume(None).rows() is None


def test_an_input_that_grew_has_at_least_the_rows_read() -> None:
    """Such as a file that is still being written."""
    volume = Volume(2)
    assert len(list(volume.of_lines(block for block in [([b"123"] * 5, 0)]))) == 1
    assert volume.rows() == 5.0


def test_the_size_of_a_file_is_known_unless_it_is_compressed(tmp_path: Path) -> None:
    """That of a folder or a missing file is unknown too."""
    path = tmp_path / "rows.csv"
    path.write_bytes(b"12345")
    assert size_of(str(path), "-") == 5
    for other in ("rows.csv.gz", "none.csv", "."):
        assert size_of(str(tmp_path / other), "-") is None
