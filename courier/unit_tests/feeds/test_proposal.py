"""Feeds proposed from samples."""

from __future__ import annotations

from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from heap_courier.errors import SetupError
from heap_courier.feeds import rules
from heap_courier.feeds.model import Feed
from heap_courier.feeds.proposal import propose


def proposed(rows: list[dict[str, Any]] | pa.RecordBatch, name: str = "Users") -> Feed:
    batch = rows if isinstance(rows, pa.RecordBatch) else pa.RecordBatch.from_pylist(rows)
    feed = propose(batch.schema, [batch], source="Heap", name=name, feed_id="df-5Jagkabc").feed
    rules.check(feed)
    return feed


def type_of(values: list[Any], column: str = "x") -> str:
    return str(proposed([{"id": number, column: value} for number, value in enumerate(values)]).fields[1].type)


def test_users_of_heap_are_proposed_as_a_person_would() -> None:
    feed = proposed(
        [
            {
                "user_id": 7,
                "identity": "ada@example.com",
                "email": "ada@example.com",
                "joindate": "1664923193627",
                "last_modified": "1664923193627",
                "First Name": "Ada",
            },
            {
                "user_id": 8,
                "identity": None,
                "email": None,
                "joindate": "1664923193628",
                "last_modified": "1664923193629",
                "First Name": None,
            },
        ]
    )
    assert feed.domain_table == "Heap:Users"
    assert feed.primary_key == ("user_id",)
    assert feed.last_updated == "last_modified"
    assert feed.stitch
    assert [(field.name, str(field.type), field.source, field.tag) for field in feed.fields] == [
        ("user_id", "Integer", "user_id", "pk"),
        ("identity", "String", "identity", None),
        ("email", "String", "email", "email"),
        ("joindate", "Datetime", "joindate", "create-dt"),
        ("last_modified", "Datetime", "last_modified", "update-dt"),
        ("First_Name", "String", "First Name", "given-name"),
    ]


def test_events_have_keys_and_no_tags_of_profiles() -> None:
    rows = [
        {"user_id": 7, "event_id": 1, "time": "2022-10-04 22:39:53", "city": "Jena", "title": "Home", "session_id": 1},
        {"user_id": 7, "event_id": 2, "time": "2022-10-04 22:39:54", "city": "Jena", "title": "Home", "session_id": 2},
    ]
    feed = proposed(rows, "Pageviews")
    assert feed.primary_key == ("event_id",)
    assert feed.last_updated == "time"
    assert not feed.stitch
    assert {field.name: field.tag for field in feed.fields if field.tag} == {"user_id": "fk-user", "event_id": "pk"}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["2022-10-04", None, ""], "Date"),
        (["2022-10-04", "soon"], "String"),
        (["2022-10-04", "2022-02-30"], "String"),
        (["2022-10-04T22:39:53Z", "2022-10-04 22:39"], "Datetime"),
        (["12", "-5"], "Integer"),
        (["12", "007"], "String"),
        (["12", "5.25"], "Float"),
        (["true", "FALSE"], "Boolean"),
        (["", None], "String"),
        ([None, None], "String"),
        ([True], "Boolean"),
        ([1664923193], "Integer"),
        ([1.5], "Float"),
        ([Decimal("1.50")], "Decimal(3, 2)"),
        ([date(2022, 10, 4)], "Date"),
        ([datetime(2022, 10, 4, tzinfo=timezone.utc)], "Datetime"),
        ([["a"]], "String"),
        ([b"a"], "String"),
    ],
)
def test_a_type_is_what_all_values_are(values: list[Any], expected: str) -> None:
    assert type_of(values) == expected


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        ("created_at", [1664923193, 0], "Datetime"),
        ("createdAt", ["1664923193627"], "Datetime"),
        ("time", [5], "Integer"),
        ("time", [1664923193, 1664923193627], "Integer"),
        ("amount", [1664923193], "Integer"),
        ("zip", ["12345"], "String"),
        ("order_id", ["12345"], "Integer"),
        ("paid", ["12345"], "Integer"),
    ],
)
def test_a_name_distinguishes_times_and_text_from_numbers(column: str, values: list[Any], expected: str) -> None:
    assert type_of(values, column) == expected


def test_an_illegal_reserved_or_duplicate_name_is_changed() -> None:
    columns = ["User Id", "user_id", "e-mail", "E-MAIL", "_pk", "日本", "x" * 70, "x" * 71]
    batch = pa.RecordBatch.from_arrays([pa.array([1])] * len(columns), names=columns)
    names = [field.name for field in proposed(batch).fields]
    assert names == ["User_Id", "user_id_2", "e_mail", "E_MAIL_2", "_pk_2", "field", "x" * 63, "x" * 58 + "_2"]


def test_fields_of_records_become_separate_fields() -> None:
    feed = proposed([{"id": 1, "traits": {"email": "a@b.c", "home": {"city": "Jena"}}}])
    assert [(field.name, field.source, field.tag) for field in feed.fields][1:] == [
        ("traits_email", "traits.email", "email"),
        ("traits_home_city", "traits.home.city", "city"),
    ]


@pytest.mark.parametrize(
    ("name", "rows", "key"),
    [
        ("User Migrations", [{"to_user_id": 1, "from_user_id": 2}], "from_user_id"),
        ("Orders", [{"id": 1, "order_id": 5}], "order_id"),
        ("Orders", [{"id": 1, "order_id": 5}, {"id": 2, "order_id": 5}], "id"),
        ("Orders", [{"n": 1, "code": "a"}, {"n": 1, "code": "b"}], "code"),
        ("Orders", [{"id": 1, "n": None}, {"id": 1, "n": None}], "id"),
        ("Orders", [{"x": 1.5}, {"x": 1.5}], "x"),
    ],
)
def test_the_key_is_the_likeliest_that_identifies_rows(name: str, rows: list[dict[str, Any]], key: str) -> None:
    assert proposed(rows, name).primary_key == (key,)


def test_a_time_that_is_sometimes_empty_is_not_the_last_updated_field() -> None:
    rows = [{"id": 1, "updated_at": "2022-10-04T00:00:00Z"}, {"id": 2, "updated_at": ""}]
    assert proposed(rows).last_updated is None
    assert proposed(rows[:1]).last_updated == "updated_at"


def test_a_sample_without_rows_still_has_a_feed() -> None:
    schema = pa.schema([("user_id", pa.int64()), ("last_modified", pa.string())])
    feed = propose(schema, [], source="Heap", name="Users", feed_id="df-1").feed
    assert feed.primary_key == ("user_id",)
    assert feed.last_updated is None


def test_uuids_are_proposed_as_texts() -> None:
    batch = pa.record_batch({"id": pa.array([bytes(16), bytes(range(16))], pa.uuid())})

    feed = propose(batch.schema, [batch], source="Heap", name="Users", feed_id="df-users001").feed

    assert [(field.name, str(field.type)) for field in feed.fields] == [("id", "String")]


def test_bytes_that_are_not_text_are_left_out_with_a_note() -> None:
    batch = pa.record_batch({"id": [1, 2], "name": [b"a", b"b"], "digest": [b"\xff\x00", b"\xfe"]})

    feed, notes = propose(batch.schema, [batch], source="Heap", name="Users", feed_id="df-1")

    assert [(field.name, str(field.type)) for field in feed.fields] == [("id", "Integer"), ("name", "String")]
    assert notes == ("Column `digest` is left out: it contains bytes that are not text.",)


def test_columns_with_the_same_name_are_numbered() -> None:
    batch = pa.RecordBatch.from_arrays([pa.array([1]), pa.array(["a"]), pa.array(["b"])], names=["id", "mail", "mail"])
    assert [(field.name, field.source) for field in proposed(batch).fields][1:] == [
        ("mail_1", "mail#1"),
        ("mail_2", "mail#2"),
    ]


def test_a_column_that_a_path_cannot_reach_is_left_out() -> None:
    batch = pa.RecordBatch.from_pylist([{"id": 1, "a": {"b": "inner"}, "a.b": "outer"}])

    feed, notes = propose(batch.schema, [batch], source="Heap", name="Users", feed_id="df-1")

    assert [field.source for field in feed.fields] == ["id", "a.b"]
    assert notes == ("Column `a.b` is left out: another column has the same path.",)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1234567890123456789", "1"], "Integer"),
        (["9223372036854775808", "1"], "String"),
        (["123456789012345678", "1.5"], "String"),
    ],
)
def test_whole_numbers_keep_their_digits(values: list[Any], expected: str) -> None:
    assert type_of(values) == expected


def test_unsigned_64_bit_numbers_are_decimals_if_needed() -> None:
    batch = pa.record_batch({"id": [1], "x": pa.array([2**64 - 1], pa.uint64())})
    assert str(proposed(batch).fields[1].type) == "Decimal(20, 0)"


def test_a_key_has_a_value_in_each_row() -> None:
    assert proposed([{"id": None, "n": 1}, {"id": 2, "n": 1}]).primary_key == ("n",)
    assert proposed([{"id": " ", "n": 1}, {"id": "2", "n": 1}]).primary_key == ("n",)
    with pytest.raises(SetupError, match="none can be the primary key"):
        proposed([{"id": None, "n": 1}, {"id": 2, "n": None}])


def test_rows_that_no_column_distinguishes_are_reported() -> None:
    batch = pa.record_batch({"id": [1, 1]})
    notes = propose(batch.schema, [batch], source="Heap", name="Users", feed_id="df-1").notes
    assert [note for note in notes if "same `id` replace each other" in note]


def test_a_sample_without_columns_is_refused() -> None:
    with pytest.raises(SetupError, match="no columns"):
        propose(pa.schema([]), [], source="Heap", name="Users", feed_id="df-1")
