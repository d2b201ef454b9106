"""A delimited file is split only between its records."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heap_courier.formats.csv_records import Dialect, LongRecordError, UnclosedQuoteError, pieces

COMMA = Dialect(b",")

values = st.text(st.sampled_from('ab ,"\r\n;\\'), max_size=8)
rows = st.lists(st.lists(values, min_size=2, max_size=3), min_size=1, max_size=8)


def parsed(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline=""), strict=True))


@given(rows, st.sampled_from(["\n", "\r\n"]), st.integers(1, 40), st.booleans())
def test_pieces_have_the_records_that_pythons_csv_reader_finds(
    table: list[list[str]], line_end: str, size: int, ends: bool
) -> None:
    """However small the pieces are, and with any line end inside quotes."""
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator=line_end, quoting=csv.QUOTE_ALL).writerows(table)
    text = stream.getvalue() if ends else stream.getvalue().removesuffix(line_end)
    cut = [piece.decode() for piece in pieces(io.BytesIO(text.encode()), COMMA, size)]
    assert [row for piece in cut for row in parsed(piece)] == table
    assert "".join(cut).removesuffix("\n") == text.removesuffix("\n")


@given(st.text(st.sampled_from('ab,"\n'), max_size=40), st.integers(1, 10))
def test_the_size_of_the_pieces_makes_no_difference(text: str, size: int) -> None:
    """Whatever the quotes, the result has the same bytes, or the same error."""

    def whole(size: int) -> bytes | None:
        try:
            return b"".join(pieces(io.BytesIO(text.encode()), COMMA, size))
        except UnclosedQuoteError:
            return None

    assert whole(size) == whole(1000)


@pytest.mark.parametrize(
    "text",
    [
        '1,fine\n2,"i am an unclosed comment\n3,x\n4,y\n5,z\n',
        'a,"',
        '"',
        'a,"b""',
        'a\n"b\n',
    ],
)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_quote_that_is_never_closed_is_an_error(text: str, size: int) -> None:
    """Its value would contain the rest of the file."""
    with pytest.raises(UnclosedQuoteError):
        list(pieces(io.BytesIO(text.encode()), COMMA, size))


@pytest.mark.parametrize("text", ['5" screen,1\n', 'a,b"c"d\n', '"a"x"y,1\n', 'a,"b"" c"\n'])
def test_a_quote_inside_a_value_is_a_character(text: str) -> None:
    """Only a quote at the beginning of a value opens a quoted value."""
    assert b"".join(pieces(io.BytesIO(text.encode()), COMMA, 4)) == text.encode()


def test_without_a_quote_character_every_line_is_a_record() -> None:
    """As in tab-separated exports without quotes."""
    text = b'1\t"open\n2\tx\n'
    assert list(pieces(io.BytesIO(text), Dialect(b"\t", b""), 9)) == [b'1\t"open\n', b"2\tx\n"]


def test_an_escaped_quote_does_not_close_a_value() -> None:
    """Nor does an escaped line end end a record."""
    escaped = Dialect(b",", b'"', b"\\")
    text = b'"a\\"b\nc",1\nx\\\ny,2\n'
    assert b"".join(pieces(io.BytesIO(text), escaped, 5)) == text


def test_an_endless_record_is_an_error_before_it_fills_the_memory() -> None:
    """No row has more than a million bytes."""
    with pytest.raises(LongRecordError):
        list(pieces(io.BytesIO(b"x" * 3_000_000), COMMA))
