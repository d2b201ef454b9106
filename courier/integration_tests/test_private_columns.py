"""Columns that a courier of Heap Connect hashes or leaves out, on both engines."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from typing import Any

import pytest

from courier.integration_tests.failpoints import BreaksOff, BrokenOffError
from courier.integration_tests.heap_bucket import Dump, TableDump, nullable
from courier.integration_tests.heap_place import ENVIRONMENT, Place, failure, loaded
from heap_courier.errors import SetupError
from heap_courier.files.entities import ColumnRule, HeapConnectEntity
from heap_courier.stitch.records.inputs import heap_users

TYPES = nullable(user_id="long", email="string", age="long", phone="string")
RULES = (ColumnRule("users", "email", "hash"), ColumnRule("use*", "AGE", "hash"), ColumnRule("*", "phone", "leave-out"))
OPEN = HeapConnectEntity()
PRIVATE = HeapConnectEntity(columns=RULES, hash_secret_env="SALT")  # noqa: S106  (the name of a variable)


def users(*rows: tuple[Any, ...], types: Any = TYPES, full: bool = False) -> TableDump:
    names = ("user_id", "email", "age", "phone")
    return TableDump("users", types, tuple(dict(zip(names, row, strict=True)) for row in rows), full)


def hashed(text: str, variable: str = "SALT") -> str:
    return hmac.new(ENVIRONMENT[variable].encode(), text.encode(), hashlib.sha256).hexdigest()


def leaks(place: Place) -> list[str]:
    """Values of private columns that are anywhere in the warehouse."""
    found = repr(place.everything())
    return [value for value in ("@", "555") if value in found]


ROWS = [(1, hashed("a@x"), hashed("7")), (2, None, None), (3, hashed("a@x"), hashed("7"))]


def test_values_are_hashed_or_left_out_from_the_first_dump_on(place: Place) -> None:
    place.write(Dump(1, (users((1, "a@x", 7, "555"), (2, None, None, None)),)))
    loaded(*place.pull(PRIVATE))
    place.write(Dump(2, (users((3, "a@x", 7, "555")),)))
    loaded(*place.pull(PRIVATE))

    assert place.rows("users", "user_id, email, age") == ROWS
    assert "phone" not in place.columns("users") + place.columns("users:resolved")
    assert place.rows("users:resolved", "user_id, email, age") == ROWS
    assert leaks(place) == []
    (heap,) = heap_users(place.warehouse)
    assert (heap.table, dict(heap.fields)) == ("Heap:users:resolved", {"fk-heap-user": ("user_id",)})


def test_rows_already_loaded_are_treated_by_the_next_run(place: Place) -> None:
    """Whether or not it finds anything new, and as the rows that come later are."""
    place.write(Dump(1, (users((1, "a@x", 7, "555"), (2, None, None, None)),)))
    loaded(*place.pull(OPEN))

    (run,) = place.pull(PRIVATE)
    assert (
        run.notice
        == "Stored columns of the table `Heap:users` changed by `heap-connect/columns`: `age`, `email` hashed; `phone` "
        "removed."
    )
    assert place.pull(PRIVATE) == []
    place.write(Dump(2, (users((3, "a@x", 7, "555")),)))
    loaded(*place.pull(PRIVATE))

    assert place.rows("users", "user_id, email, age") == ROWS
    assert place.rows("users:resolved", "user_id, email, age") == ROWS
    assert leaks(place) == []


@pytest.mark.parametrize("kind", ["double", "boolean"])
def test_stored_values_of_other_types_are_hashed_as_those_that_come_later(place: Place, kind: str) -> None:
    """A whole Float as an integer, since either may be what a column was before it was widened."""
    value, text = (7.0, "7") if kind == "double" else (True, "true")
    types = {**TYPES, **nullable(age=kind)}
    entity = HeapConnectEntity(columns=(ColumnRule("users", "age", "hash"),), hash_secret_env="SALT")  # noqa: S106
    place.write(Dump(1, (users((1, "a", value, "b"), types=types),)))
    loaded(*place.pull(OPEN))
    place.write(Dump(2, (users((2, "a", value, "b"), types=types),)))
    place.pull(entity)

    assert place.rows("users", "user_id, email, age, phone") == [
        (1, "a", hashed(text), "b"),
        (2, "a", hashed(text), "b"),
    ]


def test_an_interrupted_run_leaves_no_value_hashed_twice(place: Place) -> None:
    place.write(Dump(1, (users((1, "a@x", 7, "555"), (2, None, None, None)),)))
    loaded(*place.pull(OPEN))
    place.write(Dump(2, (users((3, "a@x", 7, "555")),)))

    warehouse, points = place.warehouse, 0
    while True:
        place.warehouse = BreaksOff(warehouse, points)  # type: ignore[assignment]
        try:
            place.pull(PRIVATE)
            break
        except BrokenOffError:
            points += 7
        finally:
            place.warehouse = warehouse

    assert points > 20
    assert place.rows("users", "user_id, email, age") == ROWS


@pytest.mark.parametrize(
    ("entity", "reason"),
    [
        (OPEN, "contain hashes, but `heap-connect/columns` no longer hashes them"),
        (replace(PRIVATE, hash_secret_env="OTHER"), "contains hashes made with another secret"),  # noqa: S106  (the name of a variable)
        (replace(PRIVATE, columns=(ColumnRule("users", "emial", "leave-out"), *RULES)), "did you mean `email`?"),
    ],
    ids=["rule removed", "other secret", "misspelled"],
)
def test_hashes_and_other_values_never_mix(place: Place, entity: HeapConnectEntity, reason: str) -> None:
    place.write(Dump(1, (users((1, "a@x", 7, "555")),)))
    loaded(*place.pull(PRIVATE))
    place.write(Dump(2, (users((3, "b@x", 8, "555")),)))

    messages = [run.run.message or "" for run in place.pull(entity)]

    assert messages
    assert all(reason in message for message in messages)
    assert place.rows("users", "user_id, email, age") == ROWS[:1]

    place.warehouse.execute('DROP TABLE "Heap:users" CASCADE')
    if "mean" not in reason:
        loaded(*place.pull(entity))
        assert [row[0] for row in place.rows("users", "user_id")] == [1, 3]


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        (ColumnRule("user", "email", "leave-out"), "there is no table `user` (did you mean `users`?)"),
        (
            ColumnRule("*", "emial", "leave-out"),
            "no table that matches `*` has a column `emial` (did you mean `email`?)",
        ),
    ],
)
def test_a_rule_that_matches_nothing_stops_the_run(place: Place, rule: ColumnRule, reason: str) -> None:
    place.write(Dump(1, (users((1, "a@x", 7, "555")),)))

    with pytest.raises(SetupError) as failed:
        place.pull(HeapConnectEntity(columns=(rule,)))

    assert reason in str(failed.value)
    assert place.columns("users") == []


def test_a_misspelled_column_keeps_its_table_from_being_loaded(place: Place) -> None:
    place.write(Dump(1, (users((1, "a@x", 7, "555")),)))

    message = failure(place.pull(HeapConnectEntity(columns=(ColumnRule("users", "phon", "leave-out"),))))

    assert "the table `users` has no column `phon` (did you mean `phone`?)" in message
    assert place.columns("users") == []


@pytest.mark.parametrize("variable", ["NONE", "SHORT"])
def test_without_a_secret_nothing_runs(place: Place, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setitem(ENVIRONMENT, "SHORT", "short")

    with pytest.raises(
        SetupError, match=f"`{variable}` must contain the secret for hashed columns, at least 16 characters"
    ):
        place.pull(replace(PRIVATE, hash_secret_env=variable))
