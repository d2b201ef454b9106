"""Heap Connect from a bucket into domain tables: the cases that readers get wrong, and histories of any kind."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest

from courier.integration_tests.failpoints import BreaksOff, BrokenOffError
from courier.integration_tests.heap_bucket import (
    Dump,
    TableDump,
    avro,
    big,
    manifest_key,
    nullable,
    story,
)
from courier.integration_tests.heap_place import (
    EVENTS,
    PEOPLE,
    Place,
    PlaceAtS3,
    at,
    duckdb,
    events,
    failure,
    loaded,
    moves,
    people,
)
from heap_courier.errors import LaterError, MissingFilesError
from heap_courier.files.entities import FileEntity, HeapConnectEntity
from heap_courier.heap_connect.bookmarks import Bookmarks
from heap_courier.heap_connect.manifests import Bookmark
from heap_courier.heap_connect.pull import newest_files, pull
from heap_courier.heap_connect.step_result import StepResult
from heap_courier.warehouse.base import Warehouse


class TestDumps:
    def test_tables_land_dump_after_dump_with_the_dump_of_each_row(self, place: Place) -> None:
        place.write(Dump(1, (people((1, "a"), (2, "b")), events((7, 1)))), Dump(2, (people((2, "B"), (3, "c")),)))

        runs = place.pull()

        assert loaded(*runs) == [(1, "Heap:users"), (1, "Heap:sign_up"), (2, "Heap:users")]
        assert place.rows("users", "user_id, email, _dump_id") == [(1, "a", 1), (2, "B", 2), (3, "c", 2)]
        assert place.rows("sign_up", "event_id, user_id, _dump_id") == [(7, 1, 1)]
        assert [(run.run.files, run.run.rows, run.run.merged, run.run.stored) for run in runs] == [
            (1, 2, 2, 2),
            (1, 1, 1, 1),
            (1, 2, 2, 3),
        ]

    def test_a_second_run_changes_nothing_and_fetches_nothing(self, place: Place) -> None:
        place.write(Dump(1, (people((1, "a")), events((7, 1), files=2))))
        place.pull()
        before = place.everything()
        for key in place.keys(".avro"):
            del place.objects[key]

        assert place.pull() == []
        assert place.everything() == before

    def test_files_without_a_manifest_are_ignored(self, place: Place) -> None:
        place.write(Dump(1, (people((1, "a")),)), Dump(2, (people((2, "b")),)))
        del place.objects[manifest_key(2)]

        place.pull()

        assert place.rows("users", "user_id") == [(1,)]

    def test_dumps_and_files_are_ordered_by_number(self, place: Place) -> None:
        place.write(Dump(10, (people((1, "of dump 10")),)), Dump(9, (people((1, "of dump 9")),)))
        same = TableDump("users", PEOPLE, tuple({"user_id": 2, "email": f"of file {n}"} for n in range(11)), files=11)
        place.write(Dump(11, (same,)))

        assert [run.dump_id for run in place.pull()] == [9, 10, 11]
        assert place.rows("users", "user_id, email") == [(1, "of dump 10"), (2, "of file 10")]

    def test_of_two_rows_of_a_dump_the_later_modified_wins(self, place: Place) -> None:
        types = {**PEOPLE, **nullable(last_modified="long")}
        rows = tuple(
            {"user_id": 1, "email": email, "last_modified": at} for email, at in (("new", 2000), ("old", 1000))
        )
        place.write(Dump(1, (TableDump("users", types, rows),)))

        place.pull()

        assert place.rows("users", "email") == [("new",)]

    def test_the_prefix_of_a_courier_is_that_of_the_addresses_too(self, warehouse: Warehouse, tmp_path: Path) -> None:
        place = Place(warehouse, tmp_path, prefix="exports/heap/")
        place.write(Dump(1, (people((1, "a")),)))

        place.pull()

        assert place.rows("users", "user_id") == [(1,)]

    def test_tables_are_chosen_by_name(self, place: Place) -> None:
        place.write(Dump(1, (people((1, "a")), events((7, 1)), events((8, 1), table="sign_out"))))

        assert loaded(*place.pull(HeapConnectEntity(tables=("sign_*", "users"), exclude=("*_out",)))) == [
            (1, "Heap:users"),
            (1, "Heap:sign_up"),
        ]

    def test_a_table_that_was_dropped_by_hand_is_landed_again(self, place: Place) -> None:
        place.write(Dump(1, (people((1, "a")),)), Dump(2, (people((2, "b")),)))
        place.pull()
        place.warehouse.execute('DROP VIEW "Heap:users:resolved"')
        place.warehouse.execute('DROP TABLE "Heap:users"')

        assert len(place.pull()) == 2
        assert place.pull() == []
        assert place.rows("users", "user_id") == [(1,), (2,)]

    def test_a_bucket_without_manifests_has_its_files_missing(self, place: Place) -> None:
        with pytest.raises(MissingFilesError, match="There is no manifest"):
            place.pull()

    def test_samples_are_the_newest_file_of_each_table(self, place: Place) -> None:
        place.write(Dump(9, (people((1, "a")), events((7, 1)))), Dump(10, (people((2, "b")), events(files=0))))

        found = newest_files(place.source, HeapConnectEntity(exclude=("accounts",)))

        assert {hit.entity.tag: hit.object.key for hit in found.hits if isinstance(hit.entity, FileEntity)} == {
            "users": place.keys("sync_10/users")[0],
            "sign_up": place.keys("sync_9/sign_up")[0],
        }


class TestFullResyncs:
    def test_one_replaces_what_the_table_held(self, place: Place) -> None:
        place.write(Dump(1, (people((1, "a"), (2, "b")),)))
        place.pull()
        place.write(Dump(2, (people((2, "B"), full=True),)), Dump(3, (people((3, "c")),)))
        place.pull()

        assert place.rows("users", "user_id, email") == [(2, "B"), (3, "c")]

    def test_one_to_an_empty_table_leaves_no_row_and_the_columns(self, place: Place) -> None:
        place.write(Dump(1, (people((1, "a")),)))
        place.pull()
        place.write(Dump(2, (people(full=True, files=0),)))
        place.pull()

        assert place.rows("users") == []
        assert set(place.columns("users")) == {"user_id", "email", "_dump_id"}

    def test_what_is_below_the_newest_one_is_not_even_fetched(self, place: Place) -> None:
        place.write(Dump(1, (people((1, "a")),)), Dump(2, (people((2, "b"), full=True),)))
        (key,) = place.keys("sync_1/users")
        del place.objects[key]

        assert loaded(*place.pull()) == [(2, "Heap:users")]

    def test_one_may_narrow_a_columns_type(self, place: Place) -> None:
        place.write(
            Dump(1, (TableDump("users", nullable(user_id="long", age="string"), ({"user_id": 1, "age": "x"},)),))
        )
        place.pull()
        place.write(
            Dump(2, (TableDump("users", nullable(user_id="long", age="long"), ({"user_id": 1, "age": 7},), full=True),))
        )
        place.pull()

        assert place.rows("users", "age") == [(7,)]

    def test_a_table_that_is_empty_at_first_takes_its_types_from_the_first_file(self, place: Place) -> None:
        place.write(Dump(1, (people(full=True, files=0), moves())))
        place.pull()
        place.write(Dump(2, (people((1, "a")), moves((1, 2, 5_000)))))
        place.pull()

        assert place.rows("users", "user_id") == [(1,)]
        assert place.rows("users:resolved", "user_id, email") == [(2, "a")]


class TestLateManifests:
    def test_older_rows_beat_no_newer_ones(self, place: Place) -> None:
        place.write(Dump(1, (people((1, "a")),)), Dump(3, (people((1, "newest")),)))
        place.pull()
        place.write(Dump(2, (people((1, "late"), (2, "late")),)))
        place.pull()

        assert place.rows("users", "user_id, email, _dump_id") == [(1, "newest", 3), (2, "late", 2)]

    def test_a_late_full_resync_takes_what_is_older_and_leaves_what_is_newer(self, place: Place) -> None:
        place.write(Dump(1, (people((1, "a"), (2, "b")),)), Dump(3, (people((3, "c")),)))
        place.pull()
        place.write(Dump(2, (people((2, "B"), (4, "d"), full=True),)))
        (run,) = place.pull()

        assert place.rows("users", "user_id, email") == [(2, "B"), (3, "c"), (4, "d")]
        assert run.run.stored == 3

    def test_a_late_full_resync_that_changes_a_type_does_so_too(self, place: Place) -> None:
        place.write(Dump(1, (people((1, "a")),)), Dump(3, (people((3, "c")),)))
        place.pull()
        texts = nullable(user_id="string", email="string", plan="string")
        place.write(Dump(2, (TableDump("users", texts, ({"user_id": "u4", "email": "d"},), full=True),)))
        place.pull()

        assert place.rows("users", "user_id, email") == [("3", "c"), ("u4", "d")]

    def test_one_changes_no_columns(self, place: Place) -> None:
        place.write(Dump(1, (people((1, "a")),)), Dump(3, (people((3, "c")),)))
        place.pull()
        types = nullable(user_id="long", plan="string")
        place.write(Dump(2, (TableDump("users", types, ({"user_id": 2, "plan": "pro"},)),)))
        place.pull()

        assert place.rows("users", "user_id, email") == [(1, "a"), (2, None), (3, "c")]
        assert set(place.columns("users")) == {"user_id", "email", "_dump_id"}

    def test_one_that_a_newer_full_resync_makes_obsolete_is_not_landed(self, place: Place) -> None:
        place.write(Dump(3, (people((3, "c"), full=True),)))
        place.pull()
        del place.objects[manifest_key(3)]
        place.write(Dump(2, (people((2, "b")),)))

        assert place.pull() == []

    def test_a_dump_delivered_again_with_a_file_more_lands_that_one(self, place: Place) -> None:
        place.write(Dump(1, (people((1, "a"), full=True),)))
        place.pull()
        place.write(Dump(1, (people((1, "a"), (2, "b"), full=True, files=2),)))
        place.pull()

        assert place.rows("users", "user_id") == [(1,), (2,)]
        assert place.pull() == []


class TestColumns:
    def test_types_are_those_of_the_file(self, place: Place) -> None:
        types = {
            **nullable(event_id="long", small="int", price="double", ratio="float", vip="boolean", raw="bytes"),
            "name": "string",
            "kind": {"type": "enum", "name": "kind", "symbols": ["a", "b"]},
            "day": {"type": "int", "logicalType": "date"},
            "bought": ["null", {"type": "long", "logicalType": "timestamp-millis"}],
            "sum": {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2},
            "tags": {"type": "array", "items": "string"},
        }
        row = {
            "event_id": 2**53 + 1,
            "small": -1,
            "price": 1.5,
            "ratio": 0.5,
            "vip": True,
            "raw": b"text",
            "name": "é" * 5000,
            "kind": "b",
            "day": date(2026, 3, 1),
            "bought": 1_772_366_400_123,
            "sum": Decimal("12.30"),
            "tags": ["x", "ü"],
        }
        place.write(Dump(1, (TableDump("shop", types, (row,)),)))

        place.pull()
        place.pull()

        (stored,) = place.rows("shop", ", ".join(types))
        assert stored[:5] == (2**53 + 1, -1, 1.5, 0.5, True)
        assert stored[6:10] == ("é" * 5000, "b", date(2026, 3, 1), at(12, 0, 0, 123000))
        assert Decimal(stored[10]) == Decimal("12.30")  # (ADBC gives PostgreSQL's decimals as text)
        assert stored[11] == '["x","ü"]'

    def test_a_column_appears_and_was_null_before(self, place: Place) -> None:
        place.write(Dump(1, (people((1, "a")),)))
        place.pull()
        types = {**PEOPLE, **nullable(plan="string")}
        place.write(Dump(2, (TableDump("users", types, ({"user_id": 2, "plan": "pro"},)),)))
        place.pull()

        assert place.rows("users", "user_id, plan") == [(1, None), (2, "pro")]
        assert "plan" in place.columns("users:resolved")

    def test_a_column_that_is_dropped_and_back_is_null_until_it_is_filled_again(self, place: Place) -> None:
        place.write(Dump(1, (people((1, "a"), (2, "b")),)))
        place.write(Dump(2, (TableDump("users", nullable(user_id="long"), ({"user_id": 3},)),)))
        place.pull()
        assert set(place.columns("users")) == {"user_id", "_dump_id"}
        assert set(place.columns("users:resolved")) == {"user_id", "_dump_id"}

        place.write(Dump(3, (people((2, "B")),)))
        place.pull()

        assert place.rows("users", "user_id, email") == [(1, None), (2, "B"), (3, None)]

    def test_columns_change_if_a_dump_has_no_file(self, place: Place) -> None:
        place.write(Dump(1, (people((1, "a")),)))
        place.write(Dump(2, (TableDump("users", nullable(user_id="long", plan="string"), files=0),)))
        place.pull()

        assert set(place.columns("users")) == {"user_id", "_dump_id"}

        place.write(Dump(3, (TableDump("users", nullable(user_id="long", plan="long"), ({"user_id": 2, "plan": 3},)),)))
        place.pull()

        assert place.rows("users", "user_id, plan") == [(1, None), (2, 3)]

    @pytest.mark.parametrize(
        ("before", "after", "values"),
        [
            (("long", 1), ("double", 1.5), [1.0, 1.5]),
            (("double", 1.5), ("long", 2), [1.5, 2.0]),
            (("long", 1), ("string", "x"), ["1", "x"]),
            (("boolean", True), ("string", "x"), ["true", "x"]),
        ],
    )
    def test_a_type_that_changes_is_widened(self, place: Place, before: Any, after: Any, values: list[Any]) -> None:
        for number, (kind, value) in enumerate((before, after), 1):
            types = nullable(user_id="long", score=kind)
            place.write(Dump(number, (TableDump("users", types, ({"user_id": number, "score": value},)),)))
            place.pull()

        assert [row[1] for row in place.rows("users", "user_id, score")] == values
        assert len(place.rows("users:resolved")) == 2

    def test_files_of_a_dump_need_not_have_equal_columns(self, place: Place) -> None:
        place.write(Dump(1, (people((1, "a"), (2, "b"), files=2),)))
        first, _ = place.keys("sync_1/users")
        content = avro(nullable(user_id="string", plan="string"), [{"user_id": "u1", "plan": "pro"}])
        place.objects[first] = content
        manifest = place.objects[manifest_key(1)].replace(b'"email"', b'"email", "plan"')
        place.objects[manifest_key(1)] = manifest

        place.pull()

        assert place.rows("users", "user_id, email, plan") == [("2", "b", None), ("u1", None, "pro")]

    def test_a_table_without_its_key_only_grows(self, place: Place) -> None:
        types = nullable(name="string")
        place.write(
            Dump(1, (TableDump("odd", types, ({"name": "a"},)),)), Dump(2, (TableDump("odd", types, ({"name": "a"},)),))
        )
        place.pull()
        place.pull()

        assert place.rows("odd", "name, _dump_id") == [("a", 1), ("a", 2)]

    def test_names_that_differ_in_case_alone_are_refused(self, place: Place) -> None:
        place.write(Dump(1, (TableDump("users", nullable(user_id="long", Plan="string", plan="string")),)))

        assert "differ only in case: rename `Plan` or `plan` in Heap" in failure(place.pull())


class TestInstants:
    @pytest.mark.parametrize(
        ("kind", "value", "instant"),
        [
            ("long", 1_772_366_400, at(12)),
            ("long", 1_772_366_400_250, at(12, 0, 0, 250000)),
            ("long", 1_772_366_400_250_001, at(12, 0, 0, 250001)),
            ("long", 0, None),
            ("string", "1772366400250", at(12, 0, 0, 250000)),
            ("string", "2026-03-01 12:00:00.25", at(12, 0, 0, 250000)),
            ("string", "2026-03-01T14:00:00+02:00", at(12)),
            ("string", "0", None),
            ("string", "", None),
            ("double", 1772366400.0, at(12)),
        ],
    )
    def test_one_is_found_by_type_and_magnitude_and_its_original_is_kept_beside_it(
        self, place: Place, kind: str, value: Any, instant: datetime | None
    ) -> None:
        types = {**EVENTS, **nullable(time=kind)}
        place.write(Dump(1, (TableDump("sign_up", types, ({"event_id": 1, "time": value},)),)))

        (run,) = place.pull()

        assert place.rows("sign_up", "time, time_raw") == [(instant, value)]
        assert run.unreadable == {}

    @pytest.mark.parametrize("own", ["time_raw", "joindate_raw", "last_modified_raw", "_dump_id"])
    def test_a_heap_column_with_the_name_of_one_of_the_couriers_is_reported(self, place: Place, own: str) -> None:
        """Its values are not left out without a word, and never replace those of the courier."""
        types = {**EVENTS, **nullable(time="string", **{own: "string"})}
        row = {"event_id": 1, "time": "2026-03-01T12:00:00Z", own: "mine"}
        place.write(Dump(1, (TableDump("sign_up", types, (row,)), people((1, "a")))))

        noticed = {run.run.domain_table: run.notice for run in place.pull()}

        assert noticed == {
            "Heap:users": None,
            "Heap:sign_up": "Columns of the dump were not loaded into the table `Heap:sign_up`, because the courier "
            f"uses their names for columns of its own: `{own}`. To load them, rename them in Heap.",
        }
        assert place.rows("sign_up", "time, time_raw, _dump_id") == [(at(12), "2026-03-01T12:00:00Z", 1)]

    def test_one_that_the_file_has_as_an_instant_is_kept_once(self, place: Place) -> None:
        time = {"type": "long", "logicalType": "timestamp-micros"}
        types = {**EVENTS, **nullable(time=time)}
        place.write(Dump(1, (TableDump("sign_up", types, ({"event_id": 1, "time": 1_772_366_400_250_001},)),)))

        place.pull()

        assert place.rows("sign_up", "time") == [(at(12, 0, 0, 250001),)]
        assert "time_raw" not in place.columns("sign_up")

    def test_one_that_cannot_be_read_is_null_counted_and_kept_unchanged(self, place: Place) -> None:
        types = {**EVENTS, **nullable(time="string")}
        rows = ({"event_id": 1, "time": "2026-03-01"}, {"event_id": 2, "time": "yesterday"})
        place.write(Dump(1, (TableDump("sign_up", types, rows),)))

        (run,) = place.pull()

        assert place.rows("sign_up", "event_id, time, time_raw")[1] == (2, None, "yesterday")
        assert run.unreadable == {"time": 1}
        (example,) = run.examples
        assert (example.row.row, example.row.column) == (2, "time")
        assert "yesterday" not in repr(run)

    def test_one_that_changes_its_type_keeps_all_that_came(self, place: Place) -> None:
        for number, (kind, value) in enumerate((("long", 1_772_366_400), ("string", "2026-03-01 12:00:00")), 1):
            types = {**EVENTS, **nullable(time=kind)}
            place.write(Dump(number, (TableDump("sign_up", types, ({"event_id": number, "time": value},)),)))
            place.pull()

        assert place.rows("sign_up", "time, time_raw") == [
            (at(12), "1772366400"),
            (at(12), "2026-03-01 12:00:00"),
        ]


class TestIdentity:
    def test_users_and_events_follow_the_migrations_at_once(self, place: Place) -> None:
        place.write(Dump(1, (people((1, "a"), (2, "b")), events((7, 1)), moves())))
        place.pull()
        assert place.rows("sign_up:resolved", "event_id, user_id, raw_user_id") == [(7, 1, 1)]

        place.write(Dump(2, (moves((1, 2, 5_000)),)))
        place.pull()

        assert place.rows("sign_up:resolved", "event_id, user_id, raw_user_id") == [(7, 2, 1)]
        assert place.rows("users:resolved", "user_id, email") == [(2, "b")]

    def test_the_last_mapping_by_time_counts_to_the_end_of_its_chain(self, place: Place) -> None:
        table = moves((1, 9, 1_000), (1, 2, 2_000), (2, 3, 0), (3, 4, 1_500))
        place.write(Dump(1, (events((7, 1)), replace(table, rows=(table.rows[1], table.rows[0], *table.rows[2:])))))
        place.pull()

        assert place.rows("sign_up:resolved", "event_id, user_id") == [(7, 4)]
        assert place.rows("user_migrations", "time", "from_user_id")[1] == (None,)

    def test_ids_that_become_text_still_find_each_other(self, place: Place) -> None:
        place.write(Dump(1, (people((1, "a")), events((7, 1)), moves((1, 2, 1_000)))))
        place.pull()
        texts = nullable(from_user_id="string", to_user_id="string", time="string")
        row = {"from_user_id": "1", "to_user_id": "3", "time": "2026-03-01"}
        place.write(Dump(2, (TableDump("user_migrations", texts, (row,), full=True),)))
        place.pull()

        assert place.rows("sign_up:resolved", "user_id, raw_user_id") == [("3", 1)]
        assert place.rows("users:resolved", "user_id") == [("3",)]

    def test_there_are_views_without_migrations_too(self, place: Place) -> None:
        place.write(Dump(1, (people((1, "a")), events((7, 1)))))
        place.pull()

        assert place.rows("users:resolved", "user_id, email") == [(1, "a")]
        assert place.rows("sign_up:resolved", "event_id, user_id") == [(7, 1)]


class TestAllEvents:
    UNION = "event_table_name, event_id, user_id"

    def test_it_follows_event_tables_that_come_change_and_go(self, place: Place) -> None:
        place.write(Dump(1, (people((1, "a")),)))
        place.pull()
        assert place.columns("all_events:union") == []

        place.write(Dump(2, (events((7, 1)), events((7, 1), table="pageviews"), moves((1, 2, 5)))))
        place.pull()
        assert place.rows("all_events:union", self.UNION) == [("pageviews", 7, 2), ("sign_up", 7, 2)]

        texts = TableDump(
            "sign_up", nullable(event_id="string", user_id="string"), ({"event_id": "8", "user_id": "1"},)
        )
        place.write(Dump(3, (texts, events((9, 3), table="all_events"))))
        loaded(*place.pull())
        found = [("all_events", "9", "3"), ("pageviews", "7", "2"), ("sign_up", "7", "2"), ("sign_up", "8", "2")]
        assert place.rows("all_events:union", self.UNION, "1, 2") == found

        place.warehouse.execute('DROP TABLE "Heap:sign_up" CASCADE')
        for key in (*place.keys("sync_2/sign_up"), *place.keys("sync_3/sign_up")):
            del place.objects[key]
        place.pull()
        assert place.rows("all_events:union", self.UNION) == [("all_events", 9, 3), ("pageviews", 7, 2)]

    def test_it_is_made_by_a_run_that_finds_nothing_new(self, place: Place) -> None:
        """As after an update of the courier, or after someone has dropped it."""
        place.write(Dump(1, (events((7, 1)),)))
        place.pull()
        place.warehouse.execute('DROP VIEW "Heap:all_events:union"')

        assert place.pull() == []

        assert place.rows("all_events:union", self.UNION) == [("sign_up", 7, 1)]

    def test_a_table_that_has_its_name_is_kept_and_named(self, place: Place) -> None:
        place.warehouse.execute('CREATE TABLE "Heap:all_events:union" (a bigint)')
        place.write(Dump(1, (people((1, "a")), events((7, 1)))))

        messages = {run.run.domain_table: run.run.message for run in place.pull()}

        assert messages.pop("Heap:users") is None
        assert messages.keys() == {"Heap:all_events:union", "Heap:sign_up"}
        assert all("Heap:all_events:union" in (message or "") for message in messages.values())
        assert place.rows("users", "user_id") == [(1,)]
        assert place.rows("all_events:union") == []


class TestFailures:
    def test_a_listed_file_that_is_absent_stops_its_table_alone_until_it_is_there(self, place: Place) -> None:
        place.write(Dump(1, (people((1, "a")), events((7, 1)))), Dump(2, (people((2, "b")), events((8, 1)))))
        (key,) = place.keys("sync_1/users")
        content = place.objects[key]
        del place.objects[key]

        runs = place.pull()

        assert key in failure(runs)
        assert "Later dumps of the table wait for it: 2." in failure(runs)
        assert place.columns("users") == []
        assert place.rows("sign_up", "event_id") == [(7,), (8,)]

        place.objects[key] = content
        assert loaded(*place.pull()) == [(1, "Heap:users"), (2, "Heap:users")]
        assert place.rows("users", "user_id") == [(1,), (2,)]

    def test_a_truncated_file_lands_nothing_of_its_step_and_once_when_fixed(self, place: Place) -> None:
        types = nullable(name="string")
        rows = tuple({"name": f"row {number}"} for number in range(10))
        place.write(Dump(1, (TableDump("odd", types, rows, files=2),)))
        _, key = place.keys("sync_1/odd")
        content = place.objects[key]
        place.objects[key] = content[:-20]

        assert key in failure(place.pull())
        assert place.columns("odd") == []

        place.objects[key] = content
        place.pull()
        assert len(place.rows("odd", "name")) == 10

    def test_a_failed_resync_leaves_the_table_unchanged(self, place: Place) -> None:
        place.write(Dump(1, (people((1, "a")),)))
        place.pull()
        before = place.everything()
        place.write(Dump(2, (people((2, "b"), full=True),)))
        (key,) = place.keys("sync_2/users")
        place.objects[key] = b"Obj\x01 and no more"

        assert failure(place.pull())
        assert place.everything() == before

    def test_an_invalid_manifest_is_reported_and_the_others_land(self, place: Place) -> None:
        place.write(Dump(1, (people((1, "a")),)))
        place.objects[manifest_key(2)] = b'{"dump_id": 2, "tab'

        runs = place.pull()

        assert "manifests/sync_2.json is not valid JSON" in failure(runs)
        assert place.rows("users", "user_id") == [(1,)]

    def test_each_invalid_manifest_is_reported_by_its_name(self, place: Place) -> None:
        for number in (1, 2):
            place.objects[manifest_key(number)] = b"["

        runs = [step.run for step in place.pull()]

        assert [run.domain_table for run in runs] == ["manifests/sync_1.json", "manifests/sync_2.json"]
        assert all(run.message and run.domain_table in run.message for run in runs)

    def test_a_table_of_another_making_is_left_alone(self, place: Place) -> None:
        place.warehouse.execute('CREATE TABLE "Heap:users" (user_id bigint)')
        place.write(Dump(1, (people((1, "a")),)))

        assert "was not created from dumps of Heap Connect" in failure(place.pull())

    def test_a_table_of_another_courier_is_left_alone(self, place: Place) -> None:
        place.write(Dump(1, (people((1, "a")),)))
        place.pull()
        place.name = "another"

        assert "is loaded by the courier `daily`" in failure(place.pull())

    def test_a_name_that_the_warehouse_would_cut_is_refused(self, place: Place) -> None:
        fits, long = "e" * 50, "e" * 59
        place.write(Dump(1, (events((7, 1), table=fits), events((7, 1), table=long))))

        runs = {run.run.domain_table: run for run in place.pull()}

        if place.warehouse.longest_name is None:
            assert loaded(*runs.values()) == [(1, f"Heap:{fits}"), (1, f"Heap:{long}")]
        else:
            assert "longer than the 63 bytes" in (runs[f"Heap:{long}"].run.message or "")
            assert runs[f"Heap:{fits}"].run.message is None
            assert "has no view with resolved users" in (runs[f"Heap:{fits}"].notice or "")

    def test_rows_and_bookmarks_are_kept_together_or_not_at_all(self, place: Place) -> None:
        place.write(Dump(1, (people((1, "a")), events((7, 1)))))

        def fail_on_events(run: StepResult) -> None:
            if run.run.domain_table == "Heap:sign_up":
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            place.pull(note=fail_on_events)
        assert place.columns("sign_up") == []
        assert loaded(*place.pull()) == [(1, "Heap:sign_up")]


def test_what_a_step_asks_the_warehouse_does_not_grow_with_what_has_landed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bookmarks are read when a run begins; its steps ask the same, however many there are."""

    def asked(old: int) -> list[tuple[str, int]]:
        with closing(duckdb(tmp_path / f"{old}")) as warehouse:
            place = Place(warehouse, tmp_path)
            place.write(Dump(10_000, (people((1, "a")), events((7, 1)))))
            loaded(*place.pull())
            bookmarks = Bookmarks(warehouse, "daily", "Heap")
            with warehouse.transaction():
                bookmarks.add(Bookmark(dump, "users", file, full=False) for dump in range(old) for file in ("", "f"))
                bookmarks.finish((dump, frozenset()) for dump in range(old))
            place.write(*(Dump(10_000 + n, (people((n, "b")), events((n, 1)))) for n in range(1, 4)))
            calls: list[tuple[str, int]] = []
            query = warehouse.query

            def counted(sql: str, *values: Any) -> list[tuple[Any, ...]]:
                rows = query(sql, *values)
                calls.append((sql, len(rows)))
                return rows

            monkeypatch.setattr(warehouse, "query", counted)
            assert len(place.pull()) == 6
            return calls

    (tmp_path / "5").mkdir()
    (tmp_path / "500").mkdir()
    few, many = asked(5), asked(500)

    assert [sql for sql, _ in few] == [sql for sql, _ in many]
    grown = [sql for (sql, before), (_, after) in zip(few, many, strict=True) if after != before]
    assert len(grown) <= 3  # of six steps
    assert all("landed_files WHERE source = $1 AND courier = $2" in sql for sql in grown)
    assert sum("landed_files" in sql for sql, _ in few) <= 4  # when the run begins: none of the steps


def test_the_story_ends_as_announced(s3: str, warehouse: Warehouse, tmp_path: Path) -> None:
    """Four nights, and a run after each, from an S3."""
    place = PlaceAtS3(warehouse, tmp_path, "exports/heap/", address=s3)
    dumps = story(Random(7))
    for dump in dumps:
        place.write(dump)
        place.pull()

    assert ("person-0", "team") in place.rows("users:resolved", "identity, plan")
    assert len(place.rows("users:resolved")) == 19  # of 20 ids at first, two of which were devices of one person
    assert place.rows("trial_started") == []
    assert {"handle", "plan", "coupon"} & set(place.columns("users")) == {"handle", "plan"}
    assert "coupon" in place.columns("sign_up")


def test_the_story_at_once_late_or_interrupted_ends_the_same(tmp_path: Path) -> None:
    """Each run is interrupted at another statement, one further than the run before, until one comes to its end."""
    with closing(duckdb(tmp_path / "whole")) as warehouse:
        whole = Place(warehouse, tmp_path / "whole")
        whole.write(*story(Random(7)))
        whole.pull()
        expected = whole.everything()
    with closing(duckdb(tmp_path / "broken")) as warehouse:
        broken = Place(warehouse, tmp_path / "broken")
        broken.write(*story(Random(7)))
        for statement in count(1):
            broken.warehouse = cast("Warehouse", BreaksOff(warehouse, statement))
            try:
                broken.pull()
                break
            except BrokenOffError:
                pass
        broken.warehouse = warehouse

        assert statement > 20
        assert broken.everything() == expected
        assert broken.pull() == []


class TestOthers:
    def test_a_plan_that_another_run_has_overtaken_is_given_up(self, place: Place, tmp_path: Path) -> None:
        place.write(Dump(4, (people((1, "a")), events((1, 1), full=True))))
        slow = pull(place.warehouse, place.source, HeapConnectEntity(), tmp_path / "slow", workers=1)
        assert next(slow).run.domain_table == "Heap:users"
        place.write(Dump(5, (events((2, 2)),)))
        place.pull()

        with pytest.raises(LaterError, match="Another run loaded dumps of the table `Heap:sign_up` in the meantime"):
            list(slow)
        assert place.rows("sign_up", "event_id") == [(1,), (2,)]

    def test_tables_whose_names_differ_in_case_alone_do_not_share_one(self, place: Place) -> None:
        place.write(Dump(1, (events((1, 1), table="SignUp"), events((2, 2), table="signup"), people((1, "a")))))

        assert "`signup` and `SignUp` differ only in case" in failure(place.pull())
        assert place.rows("SignUp", "event_id") == [(1,)]
        assert place.rows("users", "email") == [("a",)]


def test_a_large_file_is_read_in_parts(tmp_path: Path) -> None:
    with closing(duckdb(tmp_path)) as warehouse:
        place = Place(warehouse, tmp_path)
        place.objects.update(big(Random(1), files=2, rows=30_000))
        parts: list[int] = []

        (run,) = place.pull(advance=parts.append)

    assert sum(parts) == run.run.rows == run.run.stored == 60_000
    assert len(parts) > 4
    assert list((tmp_path / "fetched").iterdir()) == []
