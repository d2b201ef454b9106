"""What becomes of columns, privileges and views when dumps change a table's columns, on both engines."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from courier.integration_tests.heap_bucket import Dump, TableDump, manifest_key, nullable
from courier.integration_tests.heap_place import PEOPLE, Place, events, failure, loaded, moves, people

WIDE = {**PEOPLE, **nullable(plan="string")}


def users(row: dict[str, Any], types: Any = WIDE, *, full: bool = False, columns: Any = None) -> TableDump:
    return TableDump("users", types, (row,), full=full, columns=columns)


class TestColumns:
    @pytest.mark.parametrize("seed", range(4))
    def test_columns_may_come_in_any_order(self, place: Place, seed: int) -> None:
        chance = Random(seed)
        for number in range(1, 6):
            types = list({**WIDE, **nullable(**{f"c{number % 3}": "string"})}.items())
            chance.shuffle(types)
            place.write(Dump(number, (users({"user_id": number, "email": "a"}, dict(types)), events((number, 1)))))
            loaded(*place.pull())

        assert [row[0] for row in place.rows("users:resolved", "user_id")] == [1, 2, 3, 4, 5]

    def test_a_late_dump_after_a_new_column_lands(self, place: Place) -> None:
        place.write(Dump(1, (people((1, "a")),)), Dump(3, (users({"user_id": 3, "email": "c", "plan": "pro"}),)))
        loaded(*place.pull())
        place.write(Dump(2, (people((2, "b")),)))
        loaded(*place.pull())

        assert place.rows("users:resolved", "user_id, email, plan") == [(1, "a", None), (2, "b", None), (3, "c", "pro")]

    @pytest.mark.parametrize("columns", [(), None])
    def test_a_manifest_without_columns_drops_none(self, place: Place, columns: Any) -> None:
        place.write(Dump(1, (people((1, "a")),)), Dump(2, (people((2, "b")),)))
        content = place.objects[manifest_key(2)].replace(
            b'"columns": [\n    "user_id",\n    "email"\n   ]', _json(columns)
        )
        assert content.count(b'"email"') == 0
        place.objects[manifest_key(2)] = content

        loaded(*place.pull())

        assert place.rows("users", "user_id, email") == [(1, "a"), (2, "b")]

    @pytest.mark.parametrize("full", [False, True])
    def test_a_list_that_forgets_the_key_keeps_it(self, place: Place, full: bool) -> None:
        place.write(Dump(1, (people((1, "a"), (2, "b")),)))
        place.pull()
        place.write(Dump(2, (users({"user_id": 2, "email": "B"}, PEOPLE, full=full, columns=("email",)),)))
        place.pull()

        assert place.rows("users", "user_id, email") == [(2, "B")] if full else [(1, "a"), (2, "B")]

    def test_a_full_dump_delivered_again_with_other_files_replaces_its_rows(self, place: Place) -> None:
        place.write(Dump(1, (people((9, "old")),)), Dump(2, (people((1, "a"), (2, "b"), full=True),)))
        place.pull()
        for key in place.keys("sync_2"):
            del place.objects[key]
        place.write(Dump(2, (people((2, "B"), (3, "C"), full=True, files=2),)))
        (first, _) = place.keys("sync_2/users")
        other = first.replace("users/", "users/again-")
        place.objects[other] = place.objects[first]
        manifest = place.objects[manifest_key(2)].replace(first.encode(), other.encode())
        place.objects[manifest_key(2)] = manifest

        loaded(*place.pull())

        assert place.rows("users", "user_id, email") == [(2, "B"), (3, "C")]
        assert place.pull() == []

    def test_such_a_dump_keeps_newer_rows(self, place: Place) -> None:
        place.write(Dump(1, (people((1, "a"), (2, "b"), full=True),)), Dump(2, (people((3, "c")),)))
        place.pull()
        (old,) = place.keys("sync_1/users")
        place.write(Dump(1, (people((2, "B"), full=True),)))
        other = old.replace("users/", "users/again-")
        place.objects[other] = place.objects[old]
        manifest = place.objects[manifest_key(1)].replace(old.encode(), other.encode())
        place.objects[manifest_key(1)] = manifest

        loaded(*place.pull())

        assert place.rows("users", "user_id, email") == [(2, "B"), (3, "c")]
        assert place.pull() == []


class TestIds:
    @pytest.mark.parametrize("first", ["long", "double"])
    def test_ids_beyond_2_53_that_meet_a_float_stay_apart(self, place: Place, first: str) -> None:
        ids = {"long": (2**53 + 1, 2**53, 5, -(2**53) - 1), "double": (7.0, 1e15, 1e17)}
        for number, kind in enumerate(sorted(ids, reverse=first == "long"), 1):
            rows = tuple({"user_id": user, "email": "x"} for user in ids[kind])
            place.write(Dump(number, (TableDump("users", nullable(user_id=kind, email="string"), rows),)))
            loaded(*place.pull())

        texts = {
            "9007199254740993",
            "9007199254740992",
            "5",
            "-9007199254740993",
            "7",
            "1000000000000000",
            "1" + "0" * 17,
        }
        assert {row[0] for row in place.rows("users", "user_id")} == texts

    def test_so_they_do_in_one_dump_and_in_any_column(self, place: Place) -> None:
        types = nullable(user_id="long", order="long")
        rows = ({"user_id": 1, "order": 2**53 + 1}, {"user_id": 2, "order": 2**53})
        place.write(Dump(1, (TableDump("users", types, rows, files=2),)))
        place.write(
            Dump(2, (TableDump("users", nullable(user_id="long", order="double"), ({"user_id": 3, "order": 1.5},)),))
        )
        loaded(*place.pull())

        assert place.rows("users", '"order"', "user_id") == [("9007199254740993",), ("9007199254740992",), ("1.5",)]


@pytest.fixture
def shared(place: Place) -> Place:
    """A table that analysts use: granted and commented, with views of theirs on ours and on the table itself."""
    if place.warehouse.longest_name is None:
        pytest.skip("DuckDB knows no privileges, and its views follow their tables")
    place.write(Dump(1, (users({"user_id": 1, "email": "a", "plan": "pro"}), events((7, 1)), moves((1, 2, 5)))))
    loaded(*place.pull())
    for sql in (
        "DO $$ BEGIN CREATE ROLE analyst; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
        'GRANT SELECT ON "Heap:users" TO analyst',
        'GRANT SELECT ON "Heap:users:resolved" TO analyst WITH GRANT OPTION',
        'GRANT SELECT (user_id) ON "Heap:sign_up:resolved" TO PUBLIC',
        "COMMENT ON VIEW \"Heap:users:resolved\" IS 'one row a person'",
        'GRANT SELECT ON "Heap:all_events:union" TO analyst',
        "CREATE SCHEMA reports",
        'CREATE VIEW reports.people AS SELECT user_id, plan FROM "Heap:users:resolved"',
        "CREATE VIEW reports.paying WITH (security_barrier = true) AS SELECT * FROM reports.people WHERE plan <> ''",
        'CREATE MATERIALIZED VIEW reports.raw AS SELECT user_id, count(*) FROM "Heap:users" GROUP BY 1',
        "CREATE UNIQUE INDEX ON reports.raw (user_id)",
        "GRANT SELECT ON reports.paying TO analyst",
        "COMMENT ON COLUMN reports.paying.plan IS 'since 2026'",
    ):
        place.warehouse.execute(sql)
    return place


RIGHTS = """
    SELECT c.relname, CAST(c.relacl AS text), obj_description(c.oid, 'pg_class'), CAST(c.reloptions AS text),
        (SELECT string_agg(a.attname || CAST(a.attacl AS text), ' ') FROM pg_attribute AS a WHERE a.attrelid = c.oid),
        (SELECT string_agg(col_description(c.oid, n), ' ') FROM generate_series(1, 9) AS n),
        (SELECT string_agg(indexdef, ' ') FROM pg_indexes WHERE schemaname = 'reports' AND tablename = c.relname)
    FROM pg_class AS c JOIN pg_namespace AS s ON s.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'v', 'm') AND s.nspname IN ('public', 'reports') ORDER BY 1
"""
CHANGES = {
    "new column": users({"user_id": 2, "email": "b", "plan": "x", "age": 3}, {**WIDE, **nullable(age="long")}),
    "other order": users({"user_id": 2, "email": "b", "plan": "x"}, dict(reversed(WIDE.items()))),
    "dropped column": users({"user_id": 2, "plan": "x"}, nullable(user_id="long", plan="string")),
    "wider type": users({"user_id": "u2", "email": "b"}, {**WIDE, **nullable(user_id="string")}),
    "resync": users({"user_id": 2, "email": "b", "plan": "x"}, full=True),
    "resync with another type": users(
        {"user_id": 2, "email": 4, "plan": "x"}, {**WIDE, **nullable(email="long")}, full=True
    ),
    "ids as text": TableDump(
        "user_migrations",
        nullable(from_user_id="string", to_user_id="string", time="long"),
        ({"from_user_id": "1", "to_user_id": "2", "time": 5},),
        full=True,
    ),
}


class TestPrivilegesAndViews:
    @pytest.mark.parametrize("change", CHANGES)
    def test_they_survive_each_change_of_a_table(self, shared: Place, change: str) -> None:
        before = shared.warehouse.query(RIGHTS)
        assert len(before) == 10
        shared.write(Dump(2, (CHANGES[change], events((8, 1)))))

        loaded(*shared.pull())

        assert shared.warehouse.query(RIGHTS) == before
        assert shared.warehouse.query("SELECT count(*) FROM reports.people")[0][0] in {1, 2}
        assert shared.pull() == []

    def test_a_view_that_needs_what_goes_is_named_and_its_table_alone_waits(self, shared: Place) -> None:
        before = shared.everything()["Heap:users"]
        shared.write(Dump(2, (users({"user_id": 2}, nullable(user_id="long")), events((8, 1)))))

        runs = shared.pull()

        assert "The view reports.people depends on columns that change" in failure(runs)
        assert "Drop or change the view, then run the courier again." in failure(runs)
        assert shared.everything()["Heap:users"] == before
        assert shared.rows("sign_up", "event_id") == [(7,), (8,)]

        shared.warehouse.execute("DROP VIEW reports.people CASCADE")
        loaded(*shared.pull())
        assert shared.columns("users") == ["user_id", "_dump_id"]

    def test_a_view_whose_owner_role_ours_is_not_a_member_of_is_named(self, shared: Place) -> None:
        for sql in (
            "DO $$ BEGIN CREATE ROLE loader LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
            "DROP MATERIALIZED VIEW reports.raw",
            "ALTER VIEW reports.people OWNER TO analyst",
            'GRANT SELECT ON "Heap:users:resolved" TO analyst',
        ):
            shared.warehouse.execute(sql)
        names = shared.warehouse.query(
            "SELECT relname FROM pg_class WHERE relname LIKE 'Heap:%' AND relkind IN ('r', 'v')"
        )
        for (name,) in names:
            shared.warehouse.execute(f'ALTER TABLE "{name}" OWNER TO loader')
        for sql in (
            "GRANT ALL ON ALL TABLES IN SCHEMA heap_courier TO loader",
            "GRANT ALL ON SCHEMA heap_courier, public TO loader",
        ):
            shared.warehouse.execute(sql)
        shared.write(Dump(2, (users({"user_id": 2}, nullable(user_id="long")), events((8, 1)))))
        shared.warehouse.execute("SET SESSION AUTHORIZATION loader")

        runs = shared.pull()

        assert "belongs to `analyst`: let `analyst` drop it" in failure(runs)
        assert shared.rows("sign_up", "event_id") == [(7,), (8,)]

    def test_a_function_that_depends_on_a_dropped_column_is_reported(self, shared: Place) -> None:
        shared.warehouse.execute(
            "CREATE FUNCTION reports.n() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(email) FROM "
            '"Heap:users"; END'
        )
        shared.write(Dump(2, (CHANGES["dropped column"], events((8, 1)))))

        runs = shared.pull()

        assert "Drop the dependent object, then run the courier again" in failure(runs)
        assert "function reports.n() depends on column email" in failure(runs)


class TestTablesOutOfSight:
    def test_one_that_may_not_be_read_for_a_run_keeps_its_bookmarks(self, shared: Place) -> None:
        rows = ({"name": "a"}, {"name": "a"})
        shared.write(Dump(2, (TableDump("odd", nullable(name="string"), rows),)))
        loaded(*shared.pull())
        shared.warehouse.execute(
            "DO $$ BEGIN CREATE ROLE loader LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
        )
        shared.warehouse.execute("GRANT ALL ON ALL TABLES IN SCHEMA heap_courier TO loader")
        shared.warehouse.execute("GRANT ALL ON SCHEMA heap_courier, public TO loader")
        shared.warehouse.execute("SET SESSION AUTHORIZATION loader")
        shared.pull()
        shared.warehouse.execute("SET SESSION AUTHORIZATION heap")

        assert shared.pull() == []
        assert len(shared.rows("odd", "name")) == 2

    def test_one_in_a_schema_that_the_search_path_leaves_out_keeps_its_bookmarks(self, shared: Place) -> None:
        rows = ({"name": "a"}, {"name": "a"})
        shared.write(Dump(2, (TableDump("odd", nullable(name="string"), rows),)))
        loaded(*shared.pull())
        shared.write(Dump(3, (TableDump("odd", nullable(name="string"), rows),)))
        shared.warehouse.execute("SET search_path = reports")

        assert "is in the schema `public`" in failure(shared.pull())

        shared.warehouse.execute("SET search_path = public")
        loaded(*shared.pull())
        assert len(shared.rows("odd", "name")) == 4


def _json(columns: Any) -> bytes:
    return b'"columns": []' if columns == () else b'"columns": null'
