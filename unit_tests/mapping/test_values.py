"""A value becomes the text or number that Heap accepts, or its row is rejected."""

from __future__ import annotations

from typing import Any

import pytest

from destination_heap_analytics.errors import Reason, RowRejectedError
from destination_heap_analytics.mapping.values import as_text, name_text, scalar, user_id_text
from destination_heap_analytics.protocol.numbers import InexactNumberError, written_float

BIG = 2**53 - 1


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("", ""),
        ("text", "text"),
        (True, True),
        (0, 0),
        (BIG, BIG),
        (-BIG, -BIG),
        (BIG + 1, "9007199254740992"),
        (-BIG - 1, "-9007199254740992"),
        (10**20, "100000000000000000000"),
        (1.5, 1.5),
        (1e20, 1e20),
    ],
)
def test_scalars_are_unchanged_and_large_integers_become_text(value: Any, sent: Any) -> None:
    """An integer beyond 2^53 - 1 would lose digits as a JSON number."""
    made = scalar(value, "c", exact=True)
    assert made == sent
    assert type(made) is type(sent)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (float("nan"), Reason.NOT_FINITE),
        (float("inf"), Reason.NOT_FINITE),
        (written_float("1e400"), Reason.EXPONENT),
        ("\ud800", Reason.NOT_UNICODE),
        (object(), Reason.NOT_JSON),
    ],
)
def test_a_value_that_json_cannot_represent_rejects_the_row(value: Any, reason: Reason) -> None:
    """With the column and the reason, but not the value."""
    with pytest.raises(RowRejectedError) as rejected:
        scalar(value, "c", exact=True)
    assert (rejected.value.reason, rejected.value.column) == (reason, "c")


@pytest.mark.parametrize("value", [1e20, -1e19])
def test_a_float_that_may_be_an_integer_requests_the_exact_reading(value: float) -> None:
    """The fast reader gives floats for integers beyond 64 bits."""
    with pytest.raises(InexactNumberError):
        scalar(value, "c", exact=False)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("alice", "alice"),
        (" alice ", " alice "),
        (0, "0"),
        (12, "12"),
        (10**20, "100000000000000000000"),
        (written_float("12.0"), "12"),
        (written_float("-12.00"), "-12"),
        (written_float("12.50"), "12.5"),
        (written_float("1e3"), "1000"),
        (written_float("7E+3"), "7000"),
        (written_float("7.0E3"), "7000"),
        (written_float("1.2345678E7"), "12345678"),
        (written_float("1e-7"), "0.0000001"),
        (written_float("-0.0"), "0"),
        (written_float("9007199254740993.0"), "9007199254740993"),
        (1e22, "10000000000000000000000"),
        (12.5, "12.5"),
        (12.0, "12"),
    ],
)
def test_a_number_as_a_name_is_a_plain_decimal(value: Any, text: str) -> None:
    """However it is written, it is the same user."""
    assert name_text(value, "c", exact=True) == text


def test_a_float_as_a_name_requests_the_exact_reading() -> None:
    """Only the exact reading keeps how it was written."""
    with pytest.raises(InexactNumberError):
        name_text(12.0, "c", exact=False)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (True, Reason.NOT_TEXT_OR_NUMBER),
        ({}, Reason.NOT_TEXT_OR_NUMBER),
        ([1], Reason.NOT_TEXT_OR_NUMBER),
        (float("inf"), Reason.NOT_FINITE),
        ("\udcff", Reason.NOT_UNICODE),
    ],
)
def test_an_invalid_name_rejects_the_row(value: Any, reason: Reason) -> None:
    """Above all a boolean, which is not an identity."""
    with pytest.raises(RowRejectedError) as rejected:
        name_text(value, "c", exact=True)
    assert rejected.value.reason is reason


def test_inside_a_joined_list_values_are_text() -> None:
    """Booleans as in JSON."""
    assert [as_text(value) for value in (True, False, 1, 1.5, "x")] == ["true", "false", "1", "1.5", "x"]


@pytest.mark.parametrize(
    ("value", "sent"),
    [(0, "0"), ("0", "0"), ("123", "123"), (BIG, str(BIG)), (str(BIG), str(BIG)), (written_float("1.2E1"), "12")],
)
def test_a_user_id_is_sent_as_decimal_digits(value: Any, sent: str) -> None:
    """However the source writes the number."""
    assert user_id_text(value, "id", exact=True) == sent


@pytest.mark.parametrize(
    "value", [BIG + 1, -1, "-1", "+1", "007", "1.5", 1.5, " 1", "1 ", "", "one", "\u0661", True, [1], {"a": 1}]
)
def test_an_invalid_user_id_rejects_the_row(value: Any) -> None:
    """A wrong user cannot be corrected later, so there is no guessing."""
    with pytest.raises(RowRejectedError) as rejected:
        user_id_text(value, "id", exact=True)
    assert (rejected.value.reason, rejected.value.column) == (Reason.NOT_A_USER_ID, "id")
