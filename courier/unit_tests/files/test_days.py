"""A range of days."""

from __future__ import annotations

from datetime import date

from heap_courier.files.days import Days

LEAP = Days(date(2028, 2, 28), date(2028, 3, 1))


def test_the_first_day_counts_and_the_last_does_not() -> None:
    assert list(LEAP) == [date(2028, 2, 28), date(2028, 2, 29)]
    assert [day in LEAP for day in (date(2028, 2, 27), *LEAP, date(2028, 3, 1))] == [False, True, True, False]


def test_a_range_of_one_day_contains_only_that_day() -> None:
    assert list(Days.of(date(2026, 12, 31))) == [date(2026, 12, 31)]


def test_a_range_that_ends_where_it_begins_or_before_is_empty() -> None:
    for end in (date(2026, 11, 1), date(2026, 10, 1)):
        empty = Days(date(2026, 11, 1), end)
        assert list(empty) == []
        assert date(2026, 10, 15) not in empty
