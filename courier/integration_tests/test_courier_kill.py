"""A run is killed with -9 at any moment and run again: the tables equal, row by row, those of a run left in peace.

After each kill every domain table is as it was before or after one of its loads, never between. A moment is a fraction
of the time that an undisturbed run took here, or of the bytes that it wrote into the warehouse's log: so kills fall all
over a run, and often within the milliseconds in which a table changes. No time is asserted.

The default run kills a run on DuckDB; test_failpoints.py breaks loads off at every point, in process, on both engines.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

import pytest

from courier.integration_tests import heap_bucket
from courier.integration_tests.command import User, until
from fork_server import Fork
from heap_courier.data_types.field_types import FLOAT, INTEGER, STRING
from heap_courier.feeds.model import Feed, Field
from heap_courier.files.bucket import Bucket
from heap_courier.files.entities import HeapConnectEntity
from heap_courier.heap_connect.pull import pull
from heap_courier.project.model import Courier, KeyCredential
from heap_courier.warehouse.base import Warehouse, domain_tables, quoted

TRIES: Final = 20  # for each kill that has to interrupt a load

THOROUGH: Final = pytest.mark.thorough
SEEDS: Final = (1, *(pytest.param(seed, marks=THOROUGH) for seed in (2, 3)))


class Contents(NamedTuple):
    """What a table holds, by its fingerprint: reading all rows after each kill would take most of a test's time."""

    columns: tuple[str, ...] = ()
    fingerprint: str = ""


EMPTY: Final = Contents()

Tables = dict[str, Contents]


def contents(warehouse: Warehouse, table: str) -> Contents:
    """What a table or view holds, without the instant of loading."""
    columns = sorted(column for column in warehouse.columns(table) if column != "_updated")
    ((rows, fingerprint),) = warehouse.query(f"SELECT count(*), {warehouse.fingerprint(columns)} FROM {quoted(table)}")
    return Contents(tuple(columns), fingerprint) if rows else EMPTY


def tables(user: User) -> Tables:
    """What all domain tables and views hold."""
    with user.warehouse() as warehouse:
        return {name: contents(warehouse, name) for name in domain_tables(warehouse)}


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> int:
    """How many kills have to interrupt a load, in each test."""
    return 12 if request.config.getoption("thorough") else 1


@pytest.fixture(params=["duckdb", pytest.param("postgresql", marks=THOROUGH)])
def user(request: pytest.FixtureRequest, s3: str, tmp_path: Path) -> Iterator[User]:
    dsn = request.getfixturevalue("postgresql") if request.param == "postgresql" else None
    user = User(tmp_path / "project", s3, dsn)
    user.begins()
    yield user
    user.leaves()


@dataclass
class Run:
    """One command, to be killed at any moment, over and over.

    Attributes:
        user: who types it.
        words: what is typed.
        begin: puts the warehouse into the state before the first run.
        states: everything that a domain table may ever hold.
    """

    user: User
    words: tuple[str, ...]
    begin: Callable[[], None]
    states: dict[str, list[Contents]]
    amid: int = 0  # kills that left a run without an end, with something landed or not
    between: int = 0  # of them those after something had landed
    _length: float = 0.0  # of an undisturbed run, in seconds
    _bytes: int = 0  # that it logs

    @property
    def lock(self) -> Path:
        return self.user.folder / ".heap-courier" / self.words[1] / "lock"

    def undisturbed(self) -> Tables:
        """What the tables hold after an undisturbed run."""
        self.begin()
        process = self._start()
        begun = time.monotonic()
        with self._log() as written:
            before = written()
            while process.poll() is None:
                self._bytes = max(self._bytes, written() - before)
                time.sleep(0.002)
        self._length = time.monotonic() - begun
        out, err = process.communicate()
        assert (process.returncode, err) == (0, ""), out
        return tables(self.user)

    def killed_until_done(self, chance: Random, kills: int) -> Tables:
        """Starts over, is killed this many times unless it finishes before, runs to the end; what the tables hold."""
        self.begin()
        for _ in range(kills):
            process = self._start()
            self._pass_time(process, chance)
            process.kill()
            out, err = process.communicate()
            assert process.returncode in {0, -signal.SIGKILL}, out + err
            if process.returncode == 0:
                break
            self._look()
        ended = self.user.types(*self.words)
        assert ended.code == 0, ended.err
        assert self._unended() == 0
        return tables(self.user)

    def _start(self) -> Fork:
        """A process that has begun with the run itself, its modules imported."""
        self.lock.unlink(missing_ok=True)
        process = self.user.start(*self.words)
        until(lambda: self.lock.exists() or process.poll() is not None)
        return process

    def _pass_time(self, process: Fork, chance: Random) -> None:
        if chance.random() < 0.4:
            time.sleep(chance.uniform(0, self._length))
            return
        with self._log() as written:
            enough = written() + chance.uniform(0, self._bytes)
            until(lambda: written() >= enough or process.poll() is not None, pause=0.0005)

    @contextmanager
    def _log(self) -> Iterator[Callable[[], int]]:
        """How many bytes the warehouse has logged so far: what is only staged is not among them."""
        if self.user.dsn is None:
            log = self.user.folder / "heap.duckdb.wal"
            yield lambda: size_of(log)
            return
        with self.user.warehouse() as warehouse:
            yield lambda: int(
                warehouse.query("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint")[0][0]
            )

    def _look(self) -> None:
        """Holds what a kill left against what may be."""
        found = tables(self.user)
        for name, rows in found.items():
            if name in self.states:
                assert rows in self.states[name], f"{name} has landed in part"
        if self._unended():
            self.amid += 1
            self.between += any(rows != self.states[name][0] for name, rows in found.items() if name in self.states)

    def _unended(self) -> int:
        with self.user.warehouse() as warehouse:
            if not warehouse.query("SELECT 1 FROM information_schema.tables WHERE table_name = 'run_tables'"):
                return 0
            (row,) = warehouse.query("SELECT count(*) FROM heap_courier.runs WHERE outcome = 'running'")
        return int(row[0])


def size_of(log: Path) -> int:
    """Its bytes; DuckDB removes it whenever it has taken it over."""
    try:
        return log.stat().st_size
    except FileNotFoundError:
        return 0


def wiped(user: User) -> None:
    """As if nothing had ever been loaded."""
    if user.dsn is None:
        for path in user.folder.glob("heap.duckdb*"):
            path.unlink()
        return
    with user.warehouse() as warehouse:
        for statement in (
            "DROP SCHEMA public CASCADE",
            "CREATE SCHEMA public",
            "DROP SCHEMA IF EXISTS heap_courier CASCADE",
        ):
            warehouse.execute(statement)


def killed_often(run: Run, chance: Random, kills: int) -> None:
    """Kill runs until enough of the kills have interrupted a load."""
    whole = run.undisturbed()
    for _ in range(TRIES * kills):
        assert run.killed_until_done(chance, kills=3) == whole
        if run.amid >= kills and run.between:
            return
    pytest.fail(f"{run.amid} kills interrupted a run, {run.between} of them after a table had landed")


def nightly(user: User, nights: list[list[heap_bucket.Object]]) -> dict[str, list[Contents]]:
    """What each table holds before and after each dump, when they come one by one."""
    credential = KeyCredential("test", "KEY", "SECRET")
    courier = Courier("Heap-Connect", credential, user.bucket, "", user.s3, "us-east-1", Path("entities.json"), None)
    bucket = Bucket(courier, {"KEY": "k", "SECRET": "s"})
    states: dict[str, list[Contents]] = {}
    for night in nights:
        heap_bucket.put(user.client, user.bucket, night)
        with user.warehouse() as warehouse:
            entity = HeapConnectEntity(source="Heap")
            for step in pull(warehouse, bucket, entity, user.folder / "alone", workers=2):
                name = step.run.domain_table
                states.setdefault(name, [EMPTY]).append(contents(warehouse, name))
    return states


@pytest.mark.thorough
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_dumps_of_heap_connect_land_once_however_often_the_run_is_killed(user: User, seed: int, kills: int) -> None:
    """Four nights, in which all happens that can happen, and a table that takes longer than all of them."""
    chance = Random(seed)
    user.edit("entities/heap-connect.json", '"Heap-Connect"', '"Heap"')
    nights = [list(heap_bucket.objects(dump, chance, bucket=user.bucket)) for dump in heap_bucket.story(chance)]
    large = heap_bucket.big(chance, files=3, rows=15_000, dump_id=13, table="checkout", bucket=user.bucket)
    states = nightly(user, [*nights, list(large)])

    run = Run(user, ("run", "Heap-Connect"), begin=lambda: wiped(user), states=states)
    killed_often(run, chance, kills)

    marks = user.query("SELECT heap_table, dump_id, file, count(*) FROM heap_courier.landed_files GROUP BY 1, 2, 3")
    assert [mark for mark in marks if mark[3] > 1] == []


USERS = heap_bucket.nullable(user_id="long", email="string", last_modified="long")
PEOPLE = Feed(
    "df-people01",
    "Heap",
    "Users",
    (Field("user_id", INTEGER, "user_id"), Field("email", STRING, "email"), Field("changed", INTEGER, "last_modified")),
    ("user_id",),
    last_updated="changed",
)
VIEWS = Feed(
    "df-views001",
    "Heap",
    "Views",
    (
        Field("event_id", INTEGER, "event_id"),
        Field("user_id", INTEGER, "user_id"),
        Field("path", STRING, "path"),
        Field("price", FLOAT, "price"),
    ),
    ("event_id",),
)
VIEWS_ENTITY = {
    "object/type": "file",
    "object/file-pattern": "'views-'yyyy-MM-dd'-'*'.avro'",
    "object/land-as": {"file/tag": "views", "file/content-type": "application/avro"},
}


@pytest.mark.parametrize("seed", SEEDS)
def test_dated_files_land_feed_by_feed_however_often_the_run_is_killed(user: User, seed: int, kills: int) -> None:
    """Users go into a table that holds newer rows already, views into one that is emptied first."""
    chance = Random(seed)
    for day in (1, 2, 3, 4):
        rows = [
            {"user_id": chance.randrange(8_000), "email": f"{number}@{day}", "last_modified": chance.randrange(1000)}
            for number in range(6_000)
        ]
        user.puts(f"path/to/users-2026-03-0{day}.avro", heap_bucket.avro(USERS, rows))
        parts = heap_bucket.big(chance, files=2, rows=4_000, dump_id=day, bucket=user.bucket)
        for part, (_, body) in enumerate([found for found in parts if found[0].endswith(".avro")]):
            user.puts(f"views-2026-03-0{day}-{part}.avro", body)
    entities = user.folder / "entities" / "heap.json"
    entities.write_text(json.dumps([*json.loads(entities.read_text()), VIEWS_ENTITY]))
    user.activates(PEOPLE)
    user.activates(VIEWS)
    user.loads(
        df_people01=[{"type": "load", "file": "users"}],
        df_views001=[{"type": "load", "file": "views"}, {"type": "truncate"}],
    )
    assert user.types("run", "Heap", "--day", "2026-03-04").code == 0
    before = tables(user)
    with user.warehouse() as warehouse:
        for name in before:
            warehouse.execute(f"CREATE TABLE {kept(name)} AS SELECT * FROM {quoted(name)}")

    def begin() -> None:
        with user.warehouse() as warehouse, warehouse.transaction():
            for name in before:
                warehouse.execute(f"DELETE FROM {quoted(name)}")
                warehouse.execute(f"INSERT INTO {quoted(name)} SELECT * FROM {kept(name)}")

    days = ("run", "Heap", "--from", "2026-03-01", "--to", "2026-03-04")
    run = Run(user, days, begin, {})
    after = run.undisturbed()
    assert before["Heap:Users"] != after["Heap:Users"]
    assert before["Heap:Views"] != after["Heap:Views"]
    run.states |= {name: [before[name], after[name]] for name in before}

    killed_often(run, chance, kills)


def kept(table: str) -> str:
    """The name of a copy of a domain table."""
    return table.lower().replace(":", "_")
