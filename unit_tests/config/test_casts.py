"""Casts parse text exactly as a number or a boolean, or not at all."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_heap_analytics.config.casts import boolean_of, number_of


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("12", 12),
        (" -0.50 ", -0.5),
        ("+7", 7),
        ("007", 7),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e3", 1000.0),
        ("9007199254740991", 2**53 - 1),
        ("9007199254740992", 2.0**53),
        ("9007199254740993", None),
        ("1e400", None),
        ("1e-400", None),
        ("1" * 500, None),
        *[
            (text, None)
            for text in ("", " ", "1,5", "1,000", "1_000", "$5", "5%", "0x1F", "NaN", "inf", "-", ".", "1e", "１")
        ],
    ],
)
def test_a_number_is_plain_decimal_text(text: str, number: float | None) -> None:
    """Without thousands separators or currency symbols, whose meaning depends on the country."""
    assert number_of(text) == number
    assert type(number_of(text)) is type(number)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**12), max_value=10**12))
def test_a_number_is_the_nearest_double(number: Decimal) -> None:
    """The same as Python's own parser gives."""
    assert number_of(str(number)) == float(number)


@given(st.integers())
def test_an_integer_is_exact_or_refused(number: int) -> None:
    """A rounded ID would be a different one."""
    assert number_of(str(number)) in {None, number}
    if abs(number) < 2**53:
        assert number_of(str(number)) == number


@given(st.text())
def test_a_cast_accepts_any_text_without_an_error(text: str) -> None:
    """The result is None unless the text is a number or a boolean."""
    assert number_of(text) is None or float(text) == number_of(text)
    assert boolean_of(text) in {None, True, False}


@pytest.mark.parametrize(
    ("texts", "boolean"),
    [
        (("true", " TRUE", "t", "Yes", "y", "on", "1"), True),
        (("false", "F", "no", "n", "off ", "0"), False),
        (("", "2", "ja", "truee", "null"), None),
    ],
)
def test_a_boolean_is_one_of_few_words(texts: tuple[str, ...], boolean: bool | None) -> None:
    """The words that PostgreSQL accepts, in any letter case."""
    assert {boolean_of(text) for text in texts} == {boolean}
