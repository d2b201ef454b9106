"""Random histories against a simple oracle: late dumps, resyncs, columns that change, migrations, broken-off runs."""

from __future__ import annotations

import tempfile
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from courier.integration_tests.failpoints import BreaksOff, BrokenOffError
from courier.integration_tests.heap_bucket import BUCKET, Dump, Row, TableDump, nullable, objects
from courier.integration_tests.heap_place import duckdb
from courier.unit_tests.couriers.memory_bucket import MemoryBucket
from heap_courier.files.bucket import Bucket
from heap_courier.files.entities import HeapConnectEntity
from heap_courier.heap_connect.pull import pull
from heap_courier.project.model import Courier, DefaultCredential
from heap_courier.warehouse.base import Warehouse, quoted

KEYS = {"users": "user_id", "user_migrations": "from_user_id", "sign_up": "event_id", "notes": None}
NEWEST = {"users": "last_modified", "user_migrations": "time", "sign_up": None, "notes": None}
FIXED = {
    "users": {"user_id": "long", "last_modified": "long"},
    "user_migrations": {"from_user_id": "long", "to_user_id": "long", "time": "long"},
    "sign_up": {"event_id": "long", "user_id": "long"},
    "notes": {},
}
IDS = {"user_id", "event_id", "from_user_id", "to_user_id"}
INSTANTS = {"time", "last_modified"}
VALUES = {"long": st.integers(0, 9), "double": st.sampled_from([0.5, 1.5]), "string": st.sampled_from(["", "x", "7"])}


@st.composite
def table_dumps(draw: st.DrawFn, name: str) -> TableDump:
    types = dict(FIXED[name])
    for column in draw(st.sets(st.sampled_from("ab"), min_size=0 if types else 1)):
        types[column] = draw(st.sampled_from(sorted(VALUES)))
    values = {
        column: st.none() | (st.sampled_from([0, 1_000, 2_000]) if column in INSTANTS else VALUES[kind])
        for column, kind in types.items()
    }
    values |= {column: st.integers(1, 5) for column in types if column in IDS}
    rows = draw(st.lists(st.fixed_dictionaries(values), max_size=3))
    files = draw(st.integers(1 if rows else 0, 3))
    return TableDump(name, nullable(**types), tuple(rows), draw(st.integers(0, 2)) == 0, files)


@st.composite
def rounds(draw: st.DrawFn) -> list[tuple[list[Dump], int | None]]:
    """Dumps as they arrive before each run, and the point at which the run breaks off before it is run again."""
    numbers = draw(st.permutations([8, 9, 10, 11, 100]))
    left = [
        Dump(
            number, tuple(draw(table_dumps(name)) for name in draw(st.sets(st.sampled_from(sorted(KEYS)), min_size=2)))
        )
        for number in sorted(numbers[: draw(st.integers(2, 5))], key=numbers.index)
    ]
    found = []
    while left:
        size = draw(st.integers(1, min(2, len(left))))
        found.append((left[:size], draw(st.none() | st.integers(0, 90))))
        left = left[size:]
    return found


COURIER = Courier("daily", DefaultCredential(), BUCKET, "", None, None, Path("entities.json"), None)


@dataclass
class Oracle:
    """A table as it must be: rows as Heap wrote them, each with its dump; types by name."""

    name: str
    dumps: dict[int, TableDump] = field(default_factory=dict)
    loaded: set[int] = field(default_factory=set)
    rows: list[Row] = field(default_factory=list)
    types: dict[str, str] = field(default_factory=dict)

    def run(self) -> None:
        floor = max((number for number, dump in self.dumps.items() if dump.full), default=0)
        newest = max(self.loaded, default=0)
        for number in sorted(self.dumps.keys() - self.loaded):
            if number >= floor:
                self._land(number, self.dumps[number], late=number < newest)

    def _land(self, number: int, dump: TableDump, *, late: bool) -> None:
        self.loaded.add(number)
        fresh = not self.rows or (dump.full and not late)
        brought = {name: kind[1] for name, kind in dump.types.items()} if dump.files else {}
        known = {} if fresh else self.types
        names = self.types if late else dump.types
        types = {}
        for name in names:
            kinds = {kind for kind in (known.get(name), brought.get(name)) if kind}
            if kinds or fresh:
                default = self.types.get(name) or ("long" if name in IDS | INSTANTS else "string")
                types[name] = (
                    kinds.pop()
                    if len(kinds) == 1
                    else "double"
                    if kinds == {"long", "double"}
                    else "string"
                    if kinds
                    else default
                )
        if dump.full:
            self.rows = [row for row in self.rows if row["_dump_id"] > number]
        self.types = types
        parts = [row for part in range(dump.files) for row in dump.rows[part :: dump.files]]
        self._merge([{**row, "_dump_id": number} for row in parts])
        self.rows = [
            {name: _as(types[name], row.get(name)) for name in types} | {"_dump_id": row["_dump_id"]}
            for row in self.rows
        ]

    def _merge(self, rows: list[Row]) -> None:
        key, newest = KEYS[self.name], NEWEST[self.name]
        if key is None or key not in self.types:
            self.rows += rows
            return
        winners: dict[Any, Row] = {}
        for row in sorted(rows, key=lambda row: (row.get(newest or "") or 0) if newest in self.types else 0):
            winners[row[key]] = row
        stored = {row[key]: row for row in self.rows}
        stored |= {k: row for k, row in winners.items() if k not in stored or row["_dump_id"] >= stored[k]["_dump_id"]}
        self.rows = list(stored.values())


def _as(kind: str, value: Any) -> Any:
    """A value in a column of a type that may have been widened; a whole float becomes text as `7`, not as `7.0`."""
    if value is None:
        return None
    if kind == "string" and isinstance(value, float) and value.is_integer():
        return str(int(value))
    return {"long": int, "double": float, "string": str}[kind](value)


def ends(migrations: list[Row]) -> dict[int, int]:
    """Where each id ends; a ring of ids ends at its least."""
    hops = {row["from_user_id"]: row["to_user_id"] for row in migrations}
    found = {}
    for origin in hops:
        way = [origin]
        while way[-1] in hops and way[-1] not in way[:-1]:
            way.append(hops[way[-1]])
        found[origin] = min(way[way.index(way[-1]) : -1] or way[-1:])
    return found


def stored(warehouse: Warehouse, table: str) -> list[Row]:
    """The rows of a table, instants unchanged."""
    columns = list(warehouse.columns(f"Heap:{table}"))
    rows = [dict(zip(columns, row, strict=True)) for row in warehouse.query(f"SELECT * FROM {quoted(f'Heap:{table}')}")]
    for row in rows:
        for name in INSTANTS & row.keys():
            raw = row.pop(f"{name}_raw", None)
            assert (row[name] is None) == (not raw)
            row[name] = raw
    return rows


def alike(rows: list[Row]) -> list[str]:
    return sorted(repr(sorted(row.items())) for row in rows)


def compare(warehouse: Warehouse, oracles: dict[str, Oracle]) -> None:
    for name, oracle in oracles.items():
        if oracle.loaded:
            assert alike(stored(warehouse, name)) == alike(oracle.rows), name
    if oracles["sign_up"].loaded:
        resolved = ends(oracles["user_migrations"].rows)
        assert sorted(warehouse.query('SELECT event_id, user_id FROM "Heap:sign_up:resolved"')) == sorted(
            (row["event_id"], resolved.get(row["user_id"], row["user_id"])) for row in oracles["sign_up"].rows
        )
        union = warehouse.query('SELECT event_table_name, event_id, user_id FROM "Heap:all_events:union"')
        assert sorted(union) == sorted(
            (name, row["event_id"], resolved.get(row["user_id"], row["user_id"]))
            for name, oracle in oracles.items()
            for row in oracle.rows
            if KEYS[name] == "event_id" and oracle.loaded
        )


@settings(max_examples=30)
@given(history=rounds())
def test_tables_are_what_the_history_says(history: list[tuple[list[Dump], int | None]]) -> None:
    oracles = {name: Oracle(name) for name in KEYS}
    shelf = MemoryBucket(COURIER, {})
    with tempfile.TemporaryDirectory() as name, closing(duckdb(Path(name))) as warehouse:

        def run(target: Warehouse) -> None:
            steps = pull(target, cast("Bucket", shelf), HeapConnectEntity(), Path(name, "fetched"), workers=2)
            assert [step.run.message for step in steps if step.run.message] == []

        for dumps, broken_off_at in history:
            for dump in dumps:
                shelf.objects.update(objects(dump, Random(dump.dump_id)))
                for table in dump.tables:
                    oracles[table.name].dumps[dump.dump_id] = table
            if broken_off_at is not None:
                with suppress(BrokenOffError):
                    run(cast("Warehouse", BreaksOff(warehouse, broken_off_at)))
            run(warehouse)
            for oracle in oracles.values():
                oracle.run()
            compare(warehouse, oracles)
