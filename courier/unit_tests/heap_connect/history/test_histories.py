"""The history of random dumps in random order is compared to a simple model, on both engines."""

from __future__ import annotations

import tempfile
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, cast

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from courier.integration_tests.failpoints import BreaksOff, BrokenOffError
from courier.integration_tests.heap_bucket import BUCKET, Dump, Row, TableDump, manifest_key, nullable, objects
from courier.unit_tests.couriers.memory_bucket import WRITTEN, MemoryBucket
from heap_courier.files.bucket import Bucket
from heap_courier.files.entities import HeapConnectEntity
from heap_courier.heap_connect.pull import pull
from heap_courier.project.model import Courier, DefaultCredential
from heap_courier.warehouse.base import Warehouse
from heap_courier.warehouse.duckdb_engine import DuckDBWarehouse
from heap_courier.warehouse.postgresql_engine import PostgreSQLWarehouse

COURIER = Courier("daily", DefaultCredential(), BUCKET, "", None, None, Path("entities.json"), None)
TYPES = {"user_id": "long", "last_modified": "long", "a": "string", "b": "long"}
FIRST = WRITTEN.replace(tzinfo=None)


class Arrival(NamedTuple):
    """Dumps that arrive before a run, each with the hour in which its manifest was written."""

    dumps: tuple[tuple[Dump, int], ...]
    is_kept: bool  # whether the run keeps the history
    broken_off_at: int | None = None  # the point at which the run is interrupted before it is repeated


@st.composite
def dumps(draw: st.DrawFn, number: int) -> tuple[Dump, int]:
    optional = draw(st.sets(st.sampled_from(["last_modified", "a", "b"])))
    types = {name: kind for name, kind in TYPES.items() if name == "user_id" or name in optional}
    values: dict[str, st.SearchStrategy[Any]] = {
        "user_id": st.sampled_from([None, 1, 1, 2, 2, 3]),
        "last_modified": st.sampled_from([None, 0, 1_000, 2_000]),
        "a": st.sampled_from([None, "", "x"]),
        "b": st.sampled_from([None, 7]),
    }
    rows = draw(st.lists(st.fixed_dictionaries({name: values[name] for name in types}), max_size=4))
    table = TableDump("users", nullable(**types), tuple(rows), draw(st.integers(0, 2)) == 0, 1 if rows else 0)
    return Dump(number, (table,)), draw(st.integers(0, 5)) + number


@st.composite
def arrivals(draw: st.DrawFn) -> list[Arrival]:
    left = [draw(dumps(number)) for number in draw(st.permutations([8, 9, 10, 11]))]
    found = []
    while left:
        size = draw(st.integers(1, 3))
        is_kept = not found or draw(st.integers(0, 3)) > 0
        found.append(Arrival(tuple(left[:size]), is_kept, draw(st.none() | st.integers(0, 120))))
        left = left[size:]
    return [*found, Arrival((), is_kept=True)]


@dataclass
class Model:
    """The expected history: for each user the observations by dump; None: the user no longer exists."""

    dumps: dict[int, tuple[TableDump, int]] = field(default_factory=dict)
    loaded: set[int] = field(default_factory=set)
    columns: set[str] = field(default_factory=set)
    plain: dict[int, tuple[int, Row]] = field(default_factory=dict)
    seen: dict[int, dict[int, Row | None]] = field(default_factory=dict)
    is_behind: bool = False

    def run(self, *, is_kept: bool) -> None:
        full = [number for number, (table, _) in self.dumps.items() if table.full]
        floor = max((number for number in full if number in self.loaded), default=None)
        if is_kept and self.is_behind:
            self._catch_up(floor)
            self.is_behind = False
        if not is_kept:
            floor = max(full, default=None)
        for number in sorted(self.dumps.keys() - self.loaded):
            if floor is None or number >= floor:
                self._land(number, self.dumps[number][0], is_kept=is_kept)

    def _land(self, number: int, table: TableDump, *, is_kept: bool) -> None:
        late = number < max(self.loaded, default=0)
        self.columns = self.columns if late else set(table.types)
        self.loaded.add(number)
        winners: dict[int, Row] = {}
        for row in sorted(table.rows, key=lambda row: self._value(row, "last_modified") or 0):
            if row["user_id"] is not None:
                winners[row["user_id"]] = {name: self._value(row, name) for name in TYPES}
        if table.full:
            self.plain = {user: stored for user, stored in self.plain.items() if stored[0] > number}
        self.plain |= {
            user: (number, row) for user, row in winners.items() if self.plain.get(user, (0, row))[0] <= number
        }
        if not is_kept:
            self.is_behind = True
        for user in winners.keys() | self.seen.keys() if is_kept else ():
            before = self._state(user, number)
            if user in winners and not (table.full and before == winners[user]):
                self.seen.setdefault(user, {})[number] = winners[user]
            elif table.full and user not in winners and before:
                self.seen[user][number] = None

    def _catch_up(self, floor: int | None) -> None:
        for user, (number, row) in self.plain.items():
            self.seen.setdefault(user, {})[number] = {name: self._value(row, name) for name in TYPES}
        for user in self.seen.keys() - self.plain.keys() if floor is not None else ():
            self.seen[user] = {number: row for number, row in self.seen[user].items() if number < (floor or 0)}
            if self._state(user, floor or 0):
                self.seen[user][floor or 0] = None

    def _state(self, user: int, before: int) -> Row | None:
        numbers = [number for number in self.seen.get(user, ()) if number < before]
        return self.seen[user][max(numbers)] if numbers else None

    def _value(self, row: Row, name: str) -> Any:
        return row.get(name) if name in self.columns else None

    def history(self) -> list[tuple[Any, ...]]:
        found = []
        for observations in self.seen.values():
            versions: list[tuple[int, int, Row | None]] = []
            for number in sorted(observations):
                start = min(self.dumps[later][1] for later in observations if later >= number)
                if not versions or versions[-1][2] != observations[number]:
                    versions.append((number, start, observations[number]))
            ends = [start for _, start, _ in versions[1:]]
            for (number, start, row), end in zip(versions, [*ends, None], strict=True):
                if row is not None:
                    found.append((number, hour(start), None if end is None else hour(end), *row.values()))
        return sorted(found, key=repr)


def hour(number: int) -> datetime:
    return FIRST + timedelta(hours=number)


def stored(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    there = warehouse.columns("Heap:users:history")
    names = [name if name in there else "NULL" for name in ("user_id", "last_modified_raw", "a", "b")]
    sql = f'SELECT _dump_id, _valid_from, _valid_to, {", ".join(names)}, _is_current FROM "Heap:users:history"'
    rows = warehouse.query(sql)
    assert all(row[-1] is (row[2] is None) for row in rows)
    return sorted((tuple(row[:-1]) for row in rows), key=repr)


def check(warehouse: Warehouse, folder: Path, story: list[Arrival]) -> None:
    model = Model()
    shelf = MemoryBucket(COURIER, {})
    for arrival in story:
        for dump, written in arrival.dumps:
            shelf.objects.update(objects(dump, Random(dump.dump_id)))
            shelf.written[manifest_key(dump.dump_id)] = WRITTEN + timedelta(hours=written)
            model.dumps[dump.dump_id] = (dump.tables[0], written)
        entity = HeapConnectEntity(history=("users",) if arrival.is_kept else ())
        if arrival.broken_off_at is not None:
            broken = cast("Warehouse", BreaksOff(warehouse, arrival.broken_off_at))
            with suppress(BrokenOffError):
                list(pull(broken, cast("Bucket", shelf), entity, folder / "fetched", workers=1))
        for _ in range(2):  # the second run changes nothing
            steps = pull(warehouse, cast("Bucket", shelf), entity, folder / "fetched", workers=1)
            assert [step.run.message for step in steps if step.run.message] == []
            model.run(is_kept=arrival.is_kept)
            if arrival.is_kept and "user_id" in warehouse.columns("Heap:users:versions"):
                assert stored(warehouse) == model.history()
        current = warehouse.query('SELECT user_id, _dump_id FROM "Heap:users" WHERE user_id IS NOT NULL')
        assert dict(current) == {user: dump for user, (dump, _) in model.plain.items()}


@settings(max_examples=8)
@given(story=arrivals())
def test_the_history_does_not_depend_on_the_order_in_which_dumps_arrive(story: list[Arrival]) -> None:
    with (
        tempfile.TemporaryDirectory() as name,
        closing(DuckDBWarehouse(Path(name, "heap.duckdb"), wait=lambda _seconds: None)) as warehouse,
    ):
        check(warehouse, Path(name), story)


@settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=arrivals())
def test_the_history_is_the_same_on_postgresql(postgresql: str, tmp_path: Path, story: list[Arrival]) -> None:
    with closing(PostgreSQLWarehouse(postgresql)) as warehouse:
        warehouse.execute("DROP SCHEMA IF EXISTS public, heap_courier CASCADE")
        warehouse.execute("CREATE SCHEMA public")
        check(warehouse, tmp_path, story)
