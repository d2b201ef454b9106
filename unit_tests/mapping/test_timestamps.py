"""Timestamps as sources write them become ISO 8601 with an offset."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_heap_analytics.errors import Reason, RowRejectedError
from destination_heap_analytics.mapping.timestamps import heap_timestamp, heap_timestamps


@pytest.mark.parametrize(
    "text",
    [
        "2022-10-21T04:09:54.622Z",
        "2017-03-10T22:21:56+00:00",
        "2022-10-21T04:09:54-0530",
        "2022-10-21T04:09:54.123456789Z",
        "2024-02-29T23:59:59.9Z",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "2022-10-21T24:00:00Z",
    ],
)
def test_iso_8601_is_unchanged(text: str) -> None:
    """To the last digit of its fraction."""
    assert heap_timestamp(text, "c") == text


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("2022-10-21 04:09:54Z", "2022-10-21T04:09:54Z"),
        ("2022-10-21t04:09:54Z", "2022-10-21T04:09:54Z"),
        ("2022-10-21 04:09:54.1+00", "2022-10-21T04:09:54.1+00:00"),
        ("2022-10-21 04:09:54-08", "2022-10-21T04:09:54-08:00"),
        ("2022-10-21 04:09:54 UTC", "2022-10-21T04:09:54Z"),
        ("2022-10-21 04:09:54.123456 +0200", "2022-10-21T04:09:54.123456+0200"),
        (" 2022-10-21T04:09:54Z ", "2022-10-21T04:09:54Z"),
        ("2022-10-21T04:09: 4+23:8", "2022-10-21T04:09:04+23:08"),
    ],
)
def test_what_databases_write_is_corrected(value: str, sent: str) -> None:
    """A space instead of the T or before the offset, an offset in hours, and `UTC` as a word."""
    assert heap_timestamp(value, "c") == sent


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("2022-10-21T04:09:54", "2022-10-21T04:09:54Z"),
        ("2022-10-21 04:09:54.622", "2022-10-21T04:09:54.622Z"),
        ("20221021T040954", "20221021T040954Z"),
        ("2022-10-21", "2022-10-21T00:00:00+00:00"),
        ("2022-W42-5", "2022-10-21T00:00:00+00:00"),
        ("2022-W42-5T04:09:54", "2022-10-21T04:09:54+00:00"),
    ],
)
def test_a_time_without_an_offset_means_utc(value: str, sent: str) -> None:
    """A date means midnight."""
    assert heap_timestamp(value, "c") == sent


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (1666325394, "2022-10-21T04:09:54+00:00"),
        ("1666325394", "2022-10-21T04:09:54+00:00"),
        (" 1666325394 ", "2022-10-21T04:09:54+00:00"),
        (1666325394.622, "2022-10-21T04:09:54.622000+00:00"),
        ("1666325394.622", "2022-10-21T04:09:54.622000+00:00"),
        (1666325394622, "2022-10-21T04:09:54.622000+00:00"),
        (1666325394622001, "2022-10-21T04:09:54.622001+00:00"),
        ("1.666325394e9", "2022-10-21T04:09:54+00:00"),
        (1666325394622001007, "2022-10-21T04:09:54.622001+00:00"),
        (631152000, "1990-01-01T00:00:00+00:00"),
        (4102444799, "2099-12-31T23:59:59+00:00"),
        (631152000000, "1990-01-01T00:00:00+00:00"),
        ("20220518", "2022-05-18T00:00:00+00:00"),
        (20220518, "2022-05-18T00:00:00+00:00"),
        (20220518.0, "2022-05-18T00:00:00+00:00"),
        (202205181530, "2022-05-18T15:30:00+00:00"),
        ("20220518153012", "2022-05-18T15:30:12+00:00"),
        ("19000101", "1900-01-01T00:00:00+00:00"),
        ("21001231", "2100-12-31T00:00:00+00:00"),
    ],
)
def test_a_number_is_an_epoch_or_a_compact_date(value: Any, sent: str) -> None:
    """An epoch between 1990 and 2100, in any unit; otherwise digits that are a date."""
    assert heap_timestamp(value, "c") == sent


@pytest.mark.parametrize(
    "value",
    [
        "yesterday",
        0,
        -1,
        "2022",
        2022,
        43831,
        "43831.5",
        631151999,
        "18991231",
        "21010101",
        20220532,
        "202205182530",
        "-20220518",
        "1e400",
        "9" * 65,
        " " * 100_000 + "x",
        "2022-10-21" + " " * 100_000 + "04:09:54",
        "infinity",
        "2022-13-01",
        "2022-13-01T00:00:00Z",
        "2022-02-29T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "2022-10-21T24:00:01Z",
        "2022-10-21T04:60:00Z",
        "2022-10-21T04:09:54+24:00",
        "2022-10-21T04:09:54+01:60",
        "2022-10-21T04:09:5４Z",
        "9999-12-31T24:00:00Z",
        "2022-10-21T04:09:61Z",
        "21.10.2022",
        True,
        {},
        [],
        10**17,
        10**400,
        -99999999999,
        float("nan"),
        float("inf"),
        "1e999",
        "\ud800",
        "２０２２-10-21",
    ],
)
def test_anything_else_rejects_the_row(value: Any) -> None:
    """The reason has the column, but not the value."""
    with pytest.raises(RowRejectedError) as rejected:
        heap_timestamp(value, "seen_at")
    assert (rejected.value.reason, rejected.value.column) == (Reason.NOT_A_TIME, "seen_at")


@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_text_is_distinguished_from_a_wrong_one(value: str) -> None:
    """Null means now; a text means something else."""
    with pytest.raises(RowRejectedError) as rejected:
        heap_timestamp(value, "seen_at")
    assert rejected.value.reason is Reason.EMPTY


@given(
    st.lists(
        st.sampled_from(
            [
                *("2022-10-21T04:09:54Z", "2022-10-21T04:09:55Z", "2022-10-21T04:09:54.622Z", "2022-10-21T04:09:54"),
                *("2022-10-21T04:09:54+02:00", "2022-02-30T04:09:54Z", "2022-10-21T24:00:00Z", "2022-10-21T04:09:60Z"),
                *(
                    "2022-10-21T04:09:54Z\n",
                    "2022-10-21T04:09:54Z\n2022-10-21T04:09:54Z",
                    "٢٠٢٢-10-21T04:09:54Z",
                    "",
                    "1666325394",
                ),
            ]
        ),
        min_size=1,
        max_size=3,
    )
)
def test_times_are_read_together_as_they_are_one_by_one(texts: list[str]) -> None:
    """Or rejected for the same reason."""

    def outcome(read: Callable[[], list[str]]) -> object:
        try:
            return read()
        except RowRejectedError as rejection:
            return str(rejection)

    assert outcome(lambda: heap_timestamps(texts, "c")) == outcome(
        lambda: [heap_timestamp(text, "c") for text in texts]
    )
