"""History mode: every version of the rows of Heap's tables, on both engines."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from courier.integration_tests.heap_bucket import Dump, TableDump, manifest_key, nullable
from courier.integration_tests.heap_place import Place, failure, loaded, people
from courier.unit_tests.couriers.memory_bucket import WRITTEN
from heap_courier.errors import SetupError
from heap_courier.files.entities import ColumnRule, HeapConnectEntity

KEPT = HeapConnectEntity(history=("users",))
PRIVATE = replace(KEPT, columns=(ColumnRule("users", "email", "hash"),), hash_secret_env="SALT")  # noqa: S106


def versions(place: Place, column: str = "email") -> list[tuple[Any, ...]]:
    """User, value, the dumps in which the version began and after which it ended, as days of November."""
    rows = place.rows("users:history", f'user_id, "{column}", _valid_from, _valid_to, _is_current', "1, 3, 4")
    assert all((end is None) == is_current for *_, end, is_current in rows)
    return [(user, value, start.day - 20, end and end.day - 20) for user, value, start, end, _ in rows]


def write(place: Place, *dumps: Dump) -> None:
    """Writes dumps, dump 1 a day after the first of WRITTEN and so on."""
    for dump in dumps:
        place.write(dump)
        place.written[manifest_key(dump.dump_id)] = WRITTEN.replace(day=WRITTEN.day + dump.dump_id)


def test_a_version_ends_when_the_row_changes_or_is_gone(place: Place) -> None:
    write(place, Dump(1, (people((1, "a@x"), (2, "b@x")),)))
    loaded(*place.pull(KEPT))
    write(
        place, Dump(2, (people((1, "c@x")),)), Dump(3, (people((1, "c@x")),)), Dump(4, (people((2, "b@x"), full=True),))
    )
    loaded(*place.pull(KEPT))

    assert versions(place) == [(1, "a@x", 1, 2), (1, "c@x", 2, 4), (2, "b@x", 1, None)]
    assert place.rows("users", "user_id, email") == [(2, "b@x")]
    as_of = "_valid_from <= TIMESTAMP '2026-11-23' AND (_valid_to > TIMESTAMP '2026-11-23' OR _valid_to IS NULL)"
    assert place.warehouse.query(f'SELECT user_id, email FROM "Heap:users:history" WHERE {as_of} ORDER BY 1') == [
        (1, "c@x"),
        (2, "b@x"),
    ]


def test_a_history_that_begins_later_has_what_is_stored(place: Place) -> None:
    write(place, Dump(1, (people((1, "a@x"), full=True),)), Dump(2, (people((2, "b@x")),)))
    loaded(*place.pull())

    (begun,) = place.pull(KEPT)

    assert begun.notice == "Added the current rows of the table `Heap:users` to its history."
    assert versions(place) == [(1, "a@x", 1, None), (2, "b@x", 2, None)]
    assert place.pull(KEPT) == []


def test_a_history_that_is_not_kept_any_more_is_mentioned(place: Place) -> None:
    write(place, Dump(1, (people((1, "a@x")),)))
    loaded(*place.pull(KEPT))
    write(place, Dump(2, (people((1, "b@x")),)))

    (step,) = place.pull()

    assert step.notice == (
        "The history `Heap:users:history` is no longer kept and lacks this dump: restore `heap-connect/history`, "
        "or drop the view and the table `Heap:users:versions`."
    )
    assert versions(place) == [(1, "a@x", 1, None)]


def test_a_first_load_has_the_versions_of_dumps_before_a_full_one(place: Place) -> None:
    """Although the table itself does not need them; if their files have expired, the rest loads."""
    write(
        place, Dump(1, (people((1, "a@x")),)), Dump(2, (people((1, "b@x")),)), Dump(3, (people((1, "c@x"), full=True),))
    )
    (expired,) = place.keys("sync_1/users")
    del place.objects[expired]

    assert failure(place.pull(KEPT)).endswith(" A newer full dump replaces it, but the history lacks its rows.")
    assert versions(place) == [(1, "b@x", 2, 3), (1, "c@x", 3, None)]
    assert place.pull(KEPT) == []


@pytest.mark.parametrize("full", [False, True])
def test_a_dump_that_comes_again_with_more_files_adds_their_rows(place: Place, *, full: bool) -> None:
    """A row that a full dump seemed to lack is not gone."""
    write(place, Dump(1, (people((1, "a@x"), (2, "b@x")),)), Dump(2, (people((1, "a@x"), full=full),)))
    loaded(*place.pull(KEPT))
    write(place, Dump(2, (people((1, "a@x"), (2, "c@x"), full=full, files=2),)))
    loaded(*place.pull(KEPT))

    assert versions(place) == [(1, "a@x", 1, None), (2, "b@x", 1, 2), (2, "c@x", 2, None)]


def test_values_are_the_same_whatever_type_the_column_has_had(place: Place) -> None:
    """A table that is replaced takes new types; its history keeps all values in one that holds them."""
    for number, (kind, value) in enumerate([("long", 7), ("double", 7.0), ("double", 0.5), ("string", "x")], 1):
        rows = ({"user_id": 1, "score": value}, {"user_id": 2, "score": 2**53 + 1 if kind == "long" else None})
        types = nullable(user_id="long", score=kind)
        write(place, Dump(number, (TableDump("users", types, rows, full=True),)))
        loaded(*place.pull(KEPT))

    assert [row for row in versions(place, "score") if row[0] == 1] == [
        (1, "7", 1, 3),
        (1, "0.5", 3, 4),
        (1, "x", 4, None),
    ]
    assert (2, str(2**53 + 1), 1, 2) in versions(place, "score")


def test_columns_that_come_or_go_are_null_where_they_are_not(place: Place) -> None:
    """A new column makes versions of those rows alone that have a value in it."""
    old, new = nullable(user_id="long"), nullable(user_id="long", email="string")
    rows = ({"user_id": 1}, {"user_id": 2})
    write(place, Dump(1, (TableDump("users", old, rows, full=True),)))
    write(place, Dump(2, (people((1, "a@x"), (2, None), full=True),)))  # type: ignore[arg-type]
    write(place, Dump(3, (TableDump("users", old, rows, full=True),)))
    loaded(*place.pull(KEPT))

    assert new.keys() <= set(place.columns("users:history"))
    assert versions(place) == [(1, None, 1, 2), (1, "a@x", 2, 3), (1, None, 3, None), (2, None, 1, None)]


def test_columns_that_become_private_are_so_in_the_history(place: Place) -> None:
    write(place, Dump(1, (people((1, "a@x")),)), Dump(2, (people((1, "b@x")),)))
    loaded(*place.pull(KEPT))
    assert len(place.pull(PRIVATE)) == 2  # the table, and its versions
    write(place, Dump(3, (people((1, "b@x")),)))
    loaded(*place.pull(PRIVATE))

    assert "@" not in repr(place.everything())
    assert [(start, end) for _, _, start, end in versions(place)] == [(1, 2), (2, None)]
    write(place, Dump(4, (people((1, "c@x")),)))
    assert "contain hashes" in failure(place.pull(KEPT))
    left_out = replace(KEPT, columns=(ColumnRule("users", "email", "leave-out"),))
    loaded(*place.pull(left_out))
    assert "email" not in place.columns("users:history")


def test_a_name_that_no_table_has_is_refused(place: Place) -> None:
    write(place, Dump(1, (people((1, "a@x")),)))

    with pytest.raises(SetupError) as refused:
        place.pull(HeapConnectEntity(history=("user",)))

    assert str(refused.value) == (
        "`heap-connect/history`: there is no table `user` (did you mean `users`?), or the entity excludes it."
    )


def test_a_table_that_cannot_have_a_history_says_so(place: Place) -> None:
    notes = TableDump("notes", nullable(text="string"), ({"text": "x"},))
    taken = TableDump("users", nullable(user_id="long", _valid_to="string"), ({"user_id": 1},))
    write(place, Dump(1, (notes, taken)))

    with_notes, refused = place.pull(HeapConnectEntity(history=("*",)))

    assert with_notes.notice == "The table `Heap:notes` has no history, because it has no key."
    assert "has a column `_valid_to`, but its history adds a column of that name" in (refused.run.message or "")
