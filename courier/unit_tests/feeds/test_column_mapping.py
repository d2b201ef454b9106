"""Rows of a file are cast to the fields of a feed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest

from heap_courier.data_types.field_types import DATETIME, INTEGER, STRING, FieldType
from heap_courier.errors import RejectedRow, SchemaError
from heap_courier.feeds.column_mapping import Conformed, map_columns
from heap_courier.feeds.model import Field

NAME = "users.csv"


def field(name: str, field_type: FieldType = STRING, **more: Any) -> Field:
    return Field(name, field_type, more.pop("source", name), **more)


def conform(rows: list[dict[str, Any]] | pa.RecordBatch, *fields: Field, key: tuple[str, ...] = ()) -> Conformed:
    batch = rows if isinstance(rows, pa.RecordBatch) else pa.RecordBatch.from_pylist(rows)
    return map_columns(batch.schema, fields, key=key, name=NAME).conform(batch, 1)


def test_a_batch_has_exactly_the_fields_of_the_feed_in_their_order() -> None:
    found = conform(
        [{"b": "5", "A": 1, "c": "not asked for"}],
        field("a", STRING),
        field("b", INTEGER),
        field("missing", DATETIME),
    )
    assert found.batch.to_pylist() == [{"a": "1", "b": 5, "missing": None}]
    assert found.batch.schema == pa.schema([("a", pa.string()), ("b", pa.int64()), ("missing", pa.timestamp("us"))])


def test_columns_without_a_field_are_listed() -> None:
    incoming = pa.schema([("id", pa.int64()), ("more", pa.int64()), ("traits", pa.struct([("email", pa.string())]))])
    found = map_columns(incoming, [field("id"), field("email", source="traits.email")], key=("id",), name=NAME)
    assert found.ignored == ("more",)


def test_a_name_matches_in_any_case_and_exactly_if_there_are_several() -> None:
    batch = pa.RecordBatch.from_arrays([pa.array([1]), pa.array([2])], names=["ID", "id"])
    assert conform(batch, field("id", INTEGER)).batch.to_pylist() == [{"id": 2}]
    with pytest.raises(SchemaError, match=r"`users\.csv` has 2 columns named `Id`"):
        conform(batch, field("id", INTEGER, source="Id"))


def test_a_field_of_a_record_is_found_by_a_dot_even_if_the_record_is_null() -> None:
    rows = [{"a": {"b": {"c": 1}}}, {"a": None}, {"a": {"b": None}}]
    assert conform(rows, field("c", INTEGER, source="A.b.c")).batch.to_pylist() == [{"c": 1}, {"c": None}, {"c": None}]


def test_a_name_with_a_dot_is_the_column_itself_if_there_is_one() -> None:
    assert conform([{"a.b": 1, "a": {"b": 2}}], field("x", INTEGER, source="a.b")).batch.to_pylist() == [{"x": 1}]


def test_a_row_is_rejected_once_with_its_number_and_the_first_offending_column() -> None:
    rows = [
        {"id": "1", "n": "x", "t": "y"},
        {"id": "2", "n": "5", "t": None},
        {"id": None, "n": "6", "t": "2022-10-04"},
    ]
    found = conform(rows, field("n", INTEGER), field("t", DATETIME), field("id"), key=("id",))
    assert found.batch.to_pylist() == [{"n": 5, "t": None, "id": "2"}]
    assert found.rejected == (
        RejectedRow(1, "n", "is not a 64-bit integer"),
        RejectedRow(3, "id", "is empty, and a primary key must not be"),
    )


def test_a_required_field_must_not_be_empty() -> None:
    found = conform([{"n": " "}, {"n": "1"}], field("n", INTEGER, required=True))
    assert found.rejected == (RejectedRow(1, "n", "is empty, and the feed requires a value"),)


def test_rows_that_the_reader_rejected_count_for_row_numbers() -> None:
    batch = pa.RecordBatch.from_pylist([{"n": "1"}, {"n": "x"}, {"n": "y"}])
    missing = RejectedRow(12, None, "has 3 columns instead of 1")
    found = map_columns(batch.schema, [field("n", INTEGER)], key=(), name=NAME).conform(batch, 11, [missing])
    assert found.batch.to_pylist() == [{"n": 1}]
    assert [row.row for row in found.rejected] == [12, 13, 14]


def test_a_file_without_a_required_column_is_not_loaded() -> None:
    sentence = (
        r"`users\.csv` has no column `user_id`, which is a primary key in the feed \(did you mean `userid`\?\); fix"
    )
    with pytest.raises(SchemaError, match=sentence):
        conform([{"userid": 1}], field("user_id"), key=("user_id",))
    with pytest.raises(SchemaError, match="which is required in the feed; fix"):
        conform([{"x": 1}], field("user_id", required=True))


def test_a_file_with_a_column_that_cannot_be_cast_to_its_fields_type_is_not_loaded() -> None:
    sentence = (
        r"`users\.csv`: column `seen` is of type bool, which cannot be cast to Datetime, the type of field `at`; "
        r"make the field a String\."
    )
    with pytest.raises(SchemaError, match=sentence):
        conform([{"seen": True}], field("at", DATETIME, source="seen"))


def test_later_rows_may_have_other_columns() -> None:
    first = pa.RecordBatch.from_pylist([{"id": 1, "at": 1664923193}])
    later = pa.RecordBatch.from_pylist([{"id": "x2"}, {"id": None}])
    rules = map_columns(first.schema, [field("id"), field("at", DATETIME, required=True)], key=("id",), name=NAME)
    assert rules.conform(first, 1).batch.to_pylist() == [{"id": "1", "at": datetime(2022, 10, 4, 22, 39, 53)}]  # noqa: DTZ001
    assert [row.column for row in rules.conform(later, 2).rejected] == ["at", "id"]


def test_a_valid_row_passes_unchanged() -> None:
    batch = pa.RecordBatch.from_arrays([pa.array([1, 2]), pa.array(["a", ""])], names=["id", "text"])
    found = conform(batch, field("id", INTEGER), field("text"), key=("id",))
    assert found.rejected == ()
    assert found.batch.equals(batch)
    assert found.batch.column("text").buffers()[2].address == batch.column("text").buffers()[2].address  # not copied


def test_one_of_several_columns_with_the_same_name_is_chosen_by_its_number() -> None:
    batch = pa.RecordBatch.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["x", "x"])
    fields = (Field("first", STRING, "x#1"), Field("second", STRING, "x#2"), Field("third", STRING, "x#3"))

    rows = map_columns(batch.schema, fields, key=(), name="f").conform(batch, 1).batch.to_pylist()

    assert rows == [{"first": "a", "second": "b", "third": None}]
    with pytest.raises(SchemaError, match="write `x#1` as the source for the first, `x#2` for the second"):
        map_columns(batch.schema, [Field("x", STRING, "x")], key=(), name="f")
