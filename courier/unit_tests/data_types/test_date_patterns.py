"""Text parsed by Joda-Time patterns."""

from __future__ import annotations

from datetime import datetime

import pytest

from heap_courier.data_types import date_patterns


@pytest.mark.parametrize(
    ("pattern", "text", "instant"),
    [
        ("yyyy-MM-dd", "2022-10-04", "2022-10-04T00:00:00"),
        ("yyyyMMdd", "20221004", "2022-10-04T00:00:00"),
        ("YYYY/M/d", "2022/1/4", "2022-01-04T00:00:00"),
        ("dd/MM/yy", "04/10/69", "1969-10-04T00:00:00"),
        ("dd/MM/yy", "04/10/68", "2068-10-04T00:00:00"),
        ("E, d MMM yyyy HH:mm:ss Z", "Tue, 4 Oct 2022 22:39:53 -0500", "2022-10-05T03:39:53"),
        ("yyyy-MM-dd'T'HH:mm:ss.SSSZZ", "2022-10-04T22:39:53.627+02:00", "2022-10-04T20:39:53.627000"),
        ("yyyy-MM-dd'T'HH:mm:ssZ", "2022-10-04T22:39:53Z", "2022-10-04T22:39:53"),
        ("MMMM d, yyyy h:mm a", "october 4, 2022 12:05 am", "2022-10-04T00:05:00"),
        ("MMMM d, yyyy h:mm a", "October 4, 2022 12:05 PM", "2022-10-04T12:05:00"),
        ("yyyy 'o''clock' HH", "2022 o'clock 07", "2022-01-01T07:00:00"),
        ("yyyy''MM", "2022'07", "2022-07-01T00:00:00"),
    ],
)
def test_text_in_the_pattern_becomes_a_time_in_utc(pattern: str, text: str, instant: str) -> None:
    assert date_patterns.reader(pattern)(text) == datetime.fromisoformat(instant)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("yyyy-MM-dd", "2022-10-4"),
        ("yyyy-MM-dd", "2022-02-30"),
        ("yyyy-MM-dd", "2022-10-04 "),
        ("yyyy-MM-dd", "22-10-04"),
        ("yyyy.MM.dd", "2022-10-04"),
        ("yyyy HH", "2022 24"),
    ],
)
def test_any_other_text_is_refused(pattern: str, text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  (no message: the caller knows what the text should be)
        date_patterns.reader(pattern)(text)


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("yyyy-MM-dd z", "name of a time zone"),
        ("yyyy-MM-dd ZZZ", "name of a time zone"),
        ("yyyy-MM-ddTHH", "letter `T`"),
        ("HH:mm", "has no year"),
        ("yyyy 'at", "unclosed quote"),
        ("yyyy-dd-dd", "contains the same part of the date twice"),
        ("", "has no year"),
    ],
)
def test_an_invalid_pattern_is_refused(pattern: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        date_patterns.reader(pattern)
