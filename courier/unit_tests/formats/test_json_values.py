"""Values of a JSON document, within limits."""

from __future__ import annotations

import io
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heap_courier.formats import json_values
from heap_courier.formats.json_values import InvalidJSONError, JSONValues

json_documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
)


def read(data: bytes | str, block: int = 1_000) -> list[Any]:
    return list(JSONValues(io.BytesIO(data.encode() if isinstance(data, str) else data), block))


@given(st.lists(json_documents, max_size=6), st.integers(1, 30), st.sampled_from([None, 1]), st.booleans())
def test_the_elements_of_an_array_are_unchanged(
    rows: list[Any], block: int, indent: int | None, ascii_only: bool
) -> None:
    """However few bytes are read at a time."""
    assert read(json.dumps(rows, indent=indent, ensure_ascii=ascii_only), block) == rows


@given(
    st.lists(json_documents.filter(lambda value: not isinstance(value, list)), min_size=1, max_size=6),
    st.integers(1, 30),
)
def test_consecutive_values_are_unchanged(rows: list[Any], block: int) -> None:
    """With white space between them."""
    assert read("\n".join(map(json.dumps, rows)), block) == rows


def test_consecutive_arrays_are_read_as_one() -> None:
    """Some writers append them."""
    assert read("\ufeff [1, 2]\n[]\n[3] ") == [1, 2, 3]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        ("[1", "is truncated"),
        ('[{"a": 1}', "is truncated"),
        ('{"a": ', "is not valid JSON or is truncated"),
        ("[1 2]", "is not valid JSON"),
        ('[1] {"a": 2}', "has content after its array"),
        ("[1],", "has content after its array"),
        ("[NaN]", "contains NaN, which is not JSON"),
        (b'["\xff"]', "is not valid UTF-8"),
        ("[" * 100_000, "nested more than 250 levels deep"),
        ('{"a":' * 100_000, "nested more than 250 levels deep"),
        ("[" * 252 + "]" * 252, "nested more than 250 levels deep"),
        ("[1e99999999999999999999]", "has a number whose exponent is out of range"),
    ],
)
@pytest.mark.parametrize("block", [1, 1000])
def test_an_invalid_document_is_an_error(data: bytes | str, reason: str, block: int) -> None:
    """Nothing is silently dropped."""
    with pytest.raises(InvalidJSONError, match=reason):
        read(data, max(block, len(data) // 100))


@pytest.mark.parametrize("number", ["1.5", "-1e5", "1.25E+3", "0.5e-7", "12345"])
def test_a_number_is_complete_wherever_a_block_ends(number: str) -> None:
    for block in range(1, len(number) + 3):
        assert read(f"[{number},{number}] ", block) == [json.loads(number, parse_float=Decimal)] * 2
        assert read(f"{number}\n{number}", block) == [json.loads(number, parse_float=Decimal)] * 2


@pytest.mark.parametrize("digits", [4_300, 4_301, 100_000])
def test_a_number_of_any_length_keeps_its_digits(digits: int) -> None:
    """A parser in C could crash the process."""
    (row,) = read('[{"a": ' + "7" * digits + "}]")
    assert str(Decimal(row["a"])) == "7" * digits


def test_an_endless_value_is_an_error_before_it_fills_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The size of a value is limited."""
    monkeypatch.setattr(json_values, "LARGEST_VALUE", 10_000)
    stream = io.BytesIO(b'["' + b"x" * 1_000_000)
    with pytest.raises(InvalidJSONError, match="has a value of more than 10,000 characters"):
        list(JSONValues(stream))
    assert list(JSONValues(io.BytesIO(b'["' + b"x" * 9_000 + b'"]'), 100)) == ["x" * 9_000]
