"""The types of a feed's fields."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heap_courier.data_types.field_types import (
    BOOLEAN,
    DATE,
    DATETIME,
    FLOAT,
    INTEGER,
    STRING,
    FieldType,
    Kind,
    parse_type,
)

DECIMALS = st.builds(
    lambda precision, scale: FieldType(Kind.DECIMAL, precision, min(scale, precision, 37)),
    st.integers(1, 38),
    st.integers(0, 37),
)


@given(st.sampled_from([BOOLEAN, DATE, DATETIME, FLOAT, INTEGER, STRING]) | DECIMALS)
def test_a_type_parses_back_from_its_text(field_type: FieldType) -> None:
    assert parse_type(str(field_type)) == field_type


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("integer", INTEGER),
        (" DateTime ", DATETIME),
        ("Decimal", FieldType(Kind.DECIMAL, 38, 0)),
        ("Decimal(5)", FieldType(Kind.DECIMAL, 5, 0)),
        ("decimal(38,37)", FieldType(Kind.DECIMAL, 38, 37)),
        ("Decimal ( 10 , 2 )", FieldType(Kind.DECIMAL, 10, 2)),
    ],
)
def test_case_and_spaces_do_not_matter(text: str, meant: FieldType) -> None:
    assert parse_type(text) == meant


@pytest.mark.parametrize(
    "text", ["Decimal(0)", "Decimal(39, 0)", "Decimal(100, 2)", "Decimal(5, 6)", "Decimal(38, 38)"]
)
def test_a_decimal_has_its_limits(text: str) -> None:
    with pytest.raises(ValueError, match=r"^a Decimal has 1 to 38 digits, of which 0 to 37 are after"):
        parse_type(text)


@pytest.mark.parametrize("text", ["Text", "", "Integer(5)", "Decimal(5,)", "Decimal(-1)", "Decimal()"])
def test_an_unknown_type_is_reported_with_the_known_ones(text: str) -> None:
    with pytest.raises(ValueError, match="the types are") as refused:
        parse_type(text)
    assert str(refused.value) == (
        f"there is no type `{text}`; the types are Boolean, Date, Datetime, Decimal, Float, Integer, String"
    )


@pytest.mark.parametrize(
    ("field_type", "arrow"),
    [
        (BOOLEAN, pa.bool_()),
        (DATE, pa.date32()),
        (DATETIME, pa.timestamp("us")),
        (FieldType(Kind.DECIMAL, 10, 2), pa.decimal128(10, 2)),
        (FLOAT, pa.float64()),
        (INTEGER, pa.int64()),
        (STRING, pa.string()),
    ],
)
def test_each_type_has_an_arrow_type(field_type: FieldType, arrow: pa.DataType) -> None:
    assert field_type.arrow == arrow
