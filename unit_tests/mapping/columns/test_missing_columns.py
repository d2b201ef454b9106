"""A misspelled column is distinguished from a row without a value."""

from __future__ import annotations

from typing import Any

import pytest

from destination_heap_analytics.errors import ConfigError
from destination_heap_analytics.mapping.columns.column import Column
from destination_heap_analytics.mapping.columns.missing_columns import (
    PATIENCE_SECONDS,
    PROOF_ROWS,
    AbsenceWatch,
    ColumnNames,
    unseen_warning,
)
from destination_heap_analytics.protocol.checkpoints import Checkpoint, PendingRecord
from destination_heap_analytics.protocol.messages import Record

WITHOUT = {"email": "a@example.com", "o": {"kind": 1}}
WITH = {**WITHOUT, "at": 1}


def row(number: int, data: dict[str, Any]) -> PendingRecord:
    return PendingRecord(number, Record("users", None, data, is_exact=True, line=None), Checkpoint())


class Watch(AbsenceWatch):
    """A watch of some columns, on a clock that the test sets."""

    def __init__(self, *columns: Column, schema: dict[str, Any] | None = None) -> None:
        self.now = 0.0
        self.names = ColumnNames(schema or {})
        super().__init__({f"{column.name}_column": column for column in columns}, self.names, lambda: self.now)

    def numbers(self, first: int, data: dict[str, Any], count: int = 1) -> list[int]:
        admitted = []
        for number in range(first, first + count):
            self.names.learn(data)
            admitted += [row.number for row in self.admit(row(number, data))]
        return admitted


def test_rows_wait_until_one_has_the_column() -> None:
    """Then all continue, in the order read, and later rows may lack it without waiting."""
    watch = Watch(Column("at"))
    assert watch.numbers(1, WITHOUT, 5) == []
    assert watch.numbers(6, WITH) == [1, 2, 3, 4, 5, 6]
    assert watch.numbers(7, WITHOUT) == [7]
    watch.end()


@pytest.mark.parametrize("data", [{"at": None}, {"at": {"x": 1}}])
def test_null_is_not_absent(data: dict[str, Any]) -> None:
    """A column without values is not misspelled."""
    assert Watch(Column("at")).numbers(1, data) == [1]


def test_below_a_null_parent_a_column_is_not_absent() -> None:
    """The rows prove nothing, so they are released."""
    assert Watch(Column("o.at")).numbers(1, {"o": None}) == [1]


def test_rows_wait_for_all_columns() -> None:
    """They may be in different rows."""
    watch = Watch(Column("at"), Column("event"))
    assert watch.numbers(1, WITH) == []
    assert watch.numbers(2, {"event": "e"}) == [1, 2]


@pytest.mark.parametrize("column", [Column("at", declared=True), Column("at", ("at",), declared=True)])
def test_a_column_that_the_catalog_declares_is_not_waited_for(column: Column) -> None:
    """Sources omit empty values."""
    assert Watch(column).numbers(1, WITHOUT, 2000) == list(range(1, 2001))


DECLARED = {
    "properties": {"updatedAt": {}, "Who Is It": {"properties": {"userId": {}}}, "email": {}, "größe": {}, "名": {}}
}


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("updatedAt", {"updatedat": 1}, "has `updatedat` instead"),
        ("updatedAt", {"UPDATEDAT": 1}, "Use `UPDATEDAT`"),
        ("größe", {"gr__e": 1}, "Use `gr__e`"),
        ("Who Is It.userId", {"who_is_it": {"userId": 1}}, "Use `who_is_it.userId`"),
    ],
)
def test_a_column_that_a_cache_has_renamed_is_reported_at_once(name: str, data: dict[str, Any], told: str) -> None:
    """The catalog still has the old name, so every row would lack the column, and events would get the wrong time."""
    watch = Watch(Column(name).declared_by(DECLARED), schema=DECLARED)
    assert watch.numbers(1, {"email": "a"}) == [1]
    with pytest.raises(ConfigError, match="as the catalog does, but row 2 ") as renamed:
        watch.numbers(2, data)
    assert told in str(renamed.value)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("updatedAt", {"updatedAt": None, "updatedat": 1}),
        ("updatedAt", {"updated": 1, "at": 2}),
        ("email", {"Email": 1}),
        ("名", {"__": 1}),
        ("Who Is It.userId", {"Who Is It": {"userid": 1}}),
    ],
)
def test_a_row_without_the_column_does_not_count_as_renamed(name: str, data: dict[str, Any]) -> None:
    """If it also has the column, or has nothing similar, or only another column of the catalog."""
    schema = {"properties": {**DECLARED["properties"], "Email": {}}}
    assert Watch(Column(name).declared_by(schema), schema=schema).numbers(1, data) == [1]


def test_once_a_row_had_the_column_another_name_proves_nothing() -> None:
    """A cache renames a column in all rows or in none."""
    watch = Watch(Column("updatedAt").declared_by(DECLARED), schema=DECLARED)
    assert watch.numbers(1, {"updatedAt": 1}) == [1]
    assert watch.numbers(2, {"updatedat": 1}) == [2]


def test_after_enough_rows_renamed_columns_are_no_longer_looked_for() -> None:
    """A sync and a preview check the same limited number of rows."""
    watch = Watch(Column("updatedAt").declared_by(DECLARED), schema=DECLARED)
    assert len(watch.numbers(1, {"email": "a"}, PROOF_ROWS)) == PROOF_ROWS
    assert watch.numbers(PROOF_ROWS + 1, {"updatedat": 1}) == [PROOF_ROWS + 1]


def test_a_thousand_rows_without_it_show_that_the_name_is_wrong() -> None:
    """The setting, the nearest name and the columns seen are reported; keys inside objects are not listed."""
    watch = Watch(Column("emial"))
    assert watch.numbers(1, WITHOUT, PROOF_ROWS - 1) == []
    with pytest.raises(ConfigError) as misspelled:
        watch.numbers(PROOF_ROWS, WITHOUT)
    assert str(misspelled.value) == (
        "`api.emial_column` refers to the column `emial`, which is absent from the first 1,000 rows and from the "
        "catalog. Did you mean `email`? No rows were sent. Columns seen: `email`, `o`."
    )


def test_fewer_rows_do_too_if_they_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are held in memory."""
    monkeypatch.setattr("destination_heap_analytics.mapping.columns.missing_columns.PROOF_BYTES", 3000)
    watch = Watch(Column("at"))
    for number in (1, 2):
        assert (
            watch.admit(
                PendingRecord(number, Record("users", None, WITHOUT, is_exact=True, line=b"x" * 1000), Checkpoint())
            )
            == []
        )
    with pytest.raises(ConfigError, match="absent from the first 3 rows"):
        watch.admit(PendingRecord(3, Record("users", None, WITHOUT, is_exact=True, line=b"x" * 1000), Checkpoint()))


@pytest.mark.parametrize(("count", "rows"), [(1, "the only row"), (3, "all 3 rows")])
def test_the_end_of_a_shorter_input_does_too(count: int, rows: str) -> None:
    """Of one or more rows."""
    watch = Watch(Column("o.kid"))
    watch.numbers(1, WITHOUT, count)
    with pytest.raises(ConfigError, match=f"absent from {rows} and") as misspelled:
        watch.end()
    assert "Did you mean `o.kind`?" in str(misspelled.value)


def test_an_input_without_rows_proves_nothing() -> None:
    """It is a successful sync without rows."""
    Watch(Column("at")).end()


def test_rows_wait_for_a_minute_at_most() -> None:
    """After that, they are treated like any others, and a missing column no longer stops the run."""
    watch = Watch(Column("at"))
    watch.now = 1000.0
    watch.numbers(1, WITHOUT)
    watch.now += PATIENCE_SECONDS - 1
    assert watch.tick() == []
    watch.now += 1
    assert [row.number for row in watch.tick()] == [1]
    assert watch.tick() == []
    assert watch.numbers(2, WITHOUT, 2000) == list(range(2, 2002))
    watch.end()


def test_a_key_that_may_be_content_is_not_suggested() -> None:
    """However similar it is."""
    names = ColumnNames({})
    names.learn({"contacts": {"email@bob.example": 1}, "user.email": 2})
    assert names.nearest("contacts.email") == "contacts"
    assert names.nearest("user.emai") == "user.email"
    assert names.listed() == "`contacts`, `user.email`"


@pytest.mark.parametrize("schema", [{"properties": 5}, {"properties": "x"}, {"properties": {"a": 5}}])
def test_an_odd_schema_is_harmless(schema: dict[str, Any]) -> None:
    """Its valid parts are used."""
    assert ColumnNames(schema).listed() in {"none", "`a`"}


def test_a_name_is_not_suggested_for_itself() -> None:
    """The catalog may declare a column that no row has."""
    assert ColumnNames({"properties": {"nickname": {}}}).nearest("nickname") is None


def test_the_names_learnt_are_bounded() -> None:
    """A source may have any number of columns."""
    names = ColumnNames({"properties": {"email": {}}})
    for number in range(5000):
        names.learn({f"column {number}": 1})
    assert names.listed().startswith("`email`, `column 0`, ")
    assert names.listed().endswith(" and 981 more")
    assert ColumnNames({}).listed() == "none"


def test_listed_properties_that_no_row_had_are_reported_with_the_nearest_name() -> None:
    """A name that differs only in letter case is preferred."""
    names = ColumnNames({})
    names.learn({"o": {"kind": 1}, "PLAN_NAME": 1, "plan_names": 2})
    listed = {name: names.nearest(name) for name in ("o.knd", "x", "plan_name")}
    assert unseen_warning(listed) == (
        "`api.property_columns` lists columns that no row had: `o.knd` (did you mean `o.kind`?), `x`, `plan_name` "
        "(did you mean `PLAN_NAME`?)."
    )
    assert unseen_warning({}) is None


@pytest.mark.parametrize(
    ("setting", "name", "hint"),
    [
        ("identity", "email::text", "This setting accepts only a column, without `::text`."),
        ("timestamp", "at as time", "This setting accepts only a column, without `as time`."),
        ("event", "Order Placed", "is the name of the event itself, write it in single quotes: `'Order Placed'`."),
    ],
)
def test_an_unsupported_form_is_explained_if_there_is_no_such_column(setting: str, name: str, hint: str) -> None:
    """A column may have such a name, so rows are checked first."""
    names = ColumnNames({})
    watch = AbsenceWatch({f"{setting}_column": Column(name)}, names, lambda: 0.0)
    watch.admit(row(1, {name: "x"}))
    watch.end()
    watch = AbsenceWatch({f"{setting}_column": Column(name)}, names, lambda: 0.0)
    watch.admit(row(1, {"email": "a"}))
    with pytest.raises(ConfigError) as wrong:
        watch.end()
    assert hint in str(wrong.value)
