"""File patterns: which keys they match, on which day, and how invalid ones are reported."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from heap_courier.errors import SetupError
from heap_courier.files.file_pattern import parse_pattern

DAY = date(2020, 4, 10)
CUSTOMERS = "'files/'yyyy'/'MM'/'dd'/customers-*.csv'"


@pytest.mark.parametrize(
    ("pattern", "key"),
    [
        (CUSTOMERS, "files/2020/04/10/customers-.csv"),
        (CUSTOMERS, "files/2020/04/10/customers-1.csv"),
        (CUSTOMERS, "files/2020/04/10/customers-hello-world.csv"),
        (
            "'responsys/outbound_files/*_STATE_'yyyyMMdd'_*.txt.gpg'",
            "responsys/outbound_files/a_STATE_20200410_b.txt.gpg",
        ),
        ("'path/to/users'-YYYY-MM-dd'.avro'", "path/to/users-2020-04-10.avro"),
        ("yyyy-MM-dd'/'*'.cbor'", "2020-04-10/any.cbor"),
        ("'NRF_Calendar.csv'", "NRF_Calendar.csv"),
        ("'users-'yyyy-MM-dd'.avro'", "users-2020-04-10.avro"),
        ("'o''clock-'yyyyMMdd", "o'clock-20200410"),
        ("''yyyy''MM''dd", "'2020'04'10"),
        ("yyyyMMdd''''", "20200410''"),
        ("'sync_*/users/*.avro'", "sync_852/users/part-00000-a-c000.avro"),
        ("yyyy/MM/dd'/all-'yyyyMMdd", "2020/04/10/all-20200410"),
        ("'monthly-'yyyy-MM'.csv'", "monthly-2020-04.csv"),
        ("'a.b+(c)*'", "a.b+(c)\n"),
    ],
)
def test_a_key_that_matches(pattern: str, key: str) -> None:
    assert parse_pattern(pattern).matches(key, DAY)
    assert parse_pattern(pattern).matches_any(key)


@pytest.mark.parametrize(
    ("pattern", "key"),
    [
        (CUSTOMERS, "files/2020/04/10/customers-.csv.0"),
        (CUSTOMERS, "files/2020/04/10/customers-0.json"),
        (CUSTOMERS, "files/2020/04/10/customers-0/1/file.csv"),
        (CUSTOMERS, "files/2020/04/10/customers.csv"),
        ("'users-'yyyy-MM-dd'.avro'", "users-2020-04/10.avro"),
        ("'users-'yyyy-MM-dd'.avro'", "old/users-2020-04-10.avro"),
        ("'users-'yyyy-MM-dd'.avro'", "users-2020-04-10.avro/part"),
        ("'users-'yyyy-MM-dd'.avro'", "Users-2020-04-10.avro"),
        ("'users-'yyyy-MM-dd'.avro'", "users-2020-04-10-avro"),
        ("'users-'yyyy-MM-dd'.avro'", "users-２０２０-04-10.avro"),
        ("'a.csv'", "a.csv\n"),
    ],
)
def test_a_key_that_does_not_match(pattern: str, key: str) -> None:
    assert not parse_pattern(pattern).matches(key, DAY)
    assert not parse_pattern(pattern).matches_any(key)


def test_a_day_selects_its_own_keys() -> None:
    pattern = parse_pattern("'users-'yyyy-MM-dd'.avro'")
    assert pattern.dated
    assert not pattern.matches("users-2020-04-11.avro", DAY)
    assert pattern.matches_any("users-2020-04-11.avro")


def test_without_a_date_the_keys_are_the_same_on_every_day() -> None:
    pattern = parse_pattern("'NRF_Calendar.csv'")
    assert not pattern.dated
    assert pattern.matches("NRF_Calendar.csv", date(1999, 1, 1))
    assert pattern.day_of("NRF_Calendar.csv") is None


@pytest.mark.parametrize(
    ("pattern", "of_the_day", "of_any_day"),
    [
        (CUSTOMERS, "files/2020/04/10/customers-", "files/"),
        ("'a-*-'yyyy-MM-dd", "a-", "a-"),
        ("yyyyMMdd'.csv'", "20200410.csv", ""),
        ("'it''s'", "it's", "it's"),
    ],
)
def test_a_prefix_is_what_all_keys_begin_with(pattern: str, of_the_day: str, of_any_day: str) -> None:
    assert parse_pattern(pattern).prefix(DAY) == of_the_day
    assert parse_pattern(pattern).prefix(None) == of_any_day


@pytest.mark.parametrize(
    ("pattern", "key", "day"),
    [
        (CUSTOMERS, "files/2020/04/10/customers-1.csv", DAY),
        ("'monthly-'yyyy-MM", "monthly-2020-04", date(2020, 4, 1)),
        ("'yearly-'yyyy", "yearly-2020", date(2020, 1, 1)),
        ("'a*'yyyyMMdd'*'", "a1-202004109", DAY),
        ("'a'yyyyMMdd'*'", "a202004102021", DAY),
    ],
)
def test_the_day_of_a_key(pattern: str, key: str, day: date) -> None:
    """If `*` leaves a choice, the digits that can be a date are chosen."""
    assert parse_pattern(pattern).day_of(key) == day


@pytest.mark.parametrize("digits", ["2020-13-01", "2020-00-10", "2021-02-29", "0000-01-01", "9999-99-99"])
def test_digits_that_are_not_a_date_are_reported(digits: str) -> None:
    """With the key and the pattern, so that the file is not silently skipped."""
    pattern = parse_pattern("'users-'yyyy-MM-dd'.avro'")
    assert pattern.matches_any(f"users-{digits}.avro")
    with pytest.raises(SetupError) as failed:
        pattern.day_of(f"users-{digits}.avro")
    assert str(failed.value) == (
        f"The key `users-{digits}.avro` matches the pattern 'users-'yyyy-MM-dd'.avro', but `{digits}` is not a date: "
        "rename or remove the file, make the pattern narrower, or load by day."
    )


def in_quotes(text: str) -> str:
    """A text as a pattern has it. One of only quotes gets no more, which Joda-Time would read as further quotes."""
    doubled = text.replace("'", "''")
    return f"'{doubled}'" if text.strip("'") else doubled


@given(st.dates(), st.text(), st.text(st.characters(exclude_characters="/")), st.text())
@example(DAY, "'", "", "''")
def test_a_key_made_from_a_pattern_matches_it(day: date, before: str, middle: str, after: str) -> None:
    """Whatever the quoted text is."""
    assume("*" not in before + after)
    pattern = parse_pattern(f"{in_quotes(before)}yyyyMMdd*'/'yyyy-MM-dd{in_quotes(after)}")
    key = f"{before}{day.year:04}{day:%m%d}{middle}/{day.isoformat()}{after}"
    assert pattern.matches(key, day)
    assert pattern.day_of(key) == day
    assert key.startswith(pattern.prefix(day))
    assert pattern.prefix(day).startswith(pattern.prefix(None))


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("", "is empty"),
        ("'users", "an unclosed quote"),
        ("ARCHIVED/FILENAME_'MM-dd-yyyy'.zip", "has `ARCHIVED` outside quotes"),
        (
            "path/users.avro",
            "has `path` outside quotes, but only yyyy, MM and dd are allowed there: put text in single quotes",
        ),
        ("yyyy-mm-dd", "has `mm` outside quotes, but only yyyy, MM and dd are allowed there (did you mean `MM`?)"),
        ("yyyyMMDD", "(did you mean `dd`?)"),
        ("yy-MM-dd", "(did you mean `yyyy`?)"),
        ("yyyy-MM-ddHH", "has `ddHH` outside quotes"),
        ("'a'MM-dd", "a date without yyyy"),
        ("yyyydd", "a date without MM"),
    ],
)
def test_an_invalid_pattern_is_reported(pattern: str, words: str) -> None:
    with pytest.raises(SetupError) as failed:
        parse_pattern(pattern)
    assert words in str(failed.value)


@pytest.mark.parametrize(
    ("pattern", "ending"), [("'A-'yyyy'.ZIP'", ".zip"), ("'a*'", ""), ("'a'yyyy", ""), ("'a*.tar'.gz", None)]
)
def test_the_ending_is_what_all_keys_end_with(pattern: str, ending: str | None) -> None:
    if ending is None:
        with pytest.raises(SetupError, match="`gz` outside quotes"):
            parse_pattern(pattern)
    else:
        assert parse_pattern(pattern).ending == ending
