"""A run of Stitch that is interrupted anywhere and run again leaves what an undisturbed one leaves."""

from __future__ import annotations

import os
import signal
import time
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

import pytest

from courier.integration_tests.command import SECONDS, until
from courier.integration_tests.failpoints import BreaksOff, BrokenOffError
from courier.unit_tests.forked import forked
from courier.unit_tests.stitch.project_of_people import NOW, People, groups
from fork_server import Fork
from heap_courier.feeds.reader import read_feeds
from heap_courier.stitch.labels import load_labels
from heap_courier.stitch.linking.link import link
from heap_courier.stitch.linking.model import read_model
from heap_courier.stitch.linking.scoring import score
from heap_courier.stitch.records.inputs import migrations
from heap_courier.stitch.records.loading import load
from heap_courier.stitch.run import taking_part
from heap_courier.stitch.scratch import scratch
from heap_courier.stitch.tables.changes import find_changes
from heap_courier.stitch.tables.definitions import outputs
from heap_courier.stitch.tables.landing import Prepared, land, read_state
from heap_courier.stitch.tables.views import views
from heap_courier.warehouse.base import Warehouse
from heap_courier.warehouse.duckdb_engine import DuckDBWarehouse
from heap_courier.warehouse.postgresql_engine import PostgreSQLWarehouse

BOB = {"given-name": "Robert", "surname": "Smith", "birthdate": "1950-02-03", "address": "12 Elm St", "postal": "02139"}
FIRST = [
    {"pk": "1", **BOB, "fk-a": "k1"},
    {"pk": "2", **BOB, "fk-a": "k1"},
    {"pk": "3", **BOB, "given-name": "Mary", "fk-a": "k2"},
]
SECOND = [
    {**FIRST[0]},
    {**FIRST[1], "given-name": "Otto", "fk-a": "k3"},
    {**FIRST[2], "fk-a": "k1"},
    {"pk": "4", **BOB},
]
RESULT = groups("CRM 1, CRM 3, CRM 4", "CRM 2")


def begun(warehouse: Warehouse, folder: Path) -> People:
    """A project that was stitched once, and has other records since."""
    people = People(warehouse, folder)
    people.feed("CRM", FIRST)
    people.feed("Orders", [{"pk": "9", "fk-a": "k1"}], stitch=False)
    people.stitch()
    people.feed("CRM", SECOND)
    return people


@pytest.mark.parametrize("step", [5, pytest.param(1, marks=pytest.mark.thorough)])
def test_a_run_interrupted_anywhere_leaves_all_or_nothing(warehouse: Warehouse, tmp_path: Path, step: int) -> None:
    """At every fifth statement, or at each: nothing before its commit, and the whole result after it.

    Up to its last transaction a run writes nothing but empty tables of its state. The records are linked once.
    """
    people = begun(warehouse, tmp_path)
    before = people.everything()
    feeds = read_feeds(tmp_path / "feeds")
    with scratch(tmp_path / "scratch", "512MB") as opened:
        chosen = taking_part(warehouse, feeds)
        load(opened, warehouse, chosen, migrations(warehouse))
        state = read_state(warehouse, opened)
        load_labels(warehouse, opened)
        score(opened, read_model(tmp_path))
        link(opened)
        find_changes(opened)
        prepared = [Prepared(opened, number, output) for number, output in enumerate(outputs(()))]
        for points in range(0, 400, step):
            answers: Warehouse = BreaksOff(warehouse, points)  # type: ignore[assignment]
            wanted = partial(views, answers, feeds, chosen)
            with suppress(BrokenOffError):
                land(answers, opened, state, prepared, views=wanted, now=NOW)
            if (after := people.everything()) != before:
                break
    assert points > 40

    people.stitch()

    assert people.everything() == after
    assert people.customers() == RESULT


PROJECT: Final = {
    "duckdb": "warehouse: {engine: duckdb, file: heap.duckdb}\n",
    "postgresql": "warehouse: {engine: postgresql, dsn-env: HEAP_WAREHOUSE}\n",
}


@pytest.mark.parametrize("engine", ["duckdb", pytest.param("postgresql", marks=pytest.mark.thorough)])
def test_a_process_that_is_killed_leaves_all_or_nothing(
    engine: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """With -9, at a moment between the beginning of linking and the end."""
    dsn = request.getfixturevalue("postgresql") if engine == "postgresql" else ""
    chance = Random(16)
    scratch = tmp_path / ".heap-courier" / "stitch" / "scratch.duckdb"

    def opened() -> Warehouse:
        return PostgreSQLWarehouse(dsn) if dsn else DuckDBWarehouse(tmp_path / "heap.duckdb", wait=time.sleep)

    def has_begun(process: Fork) -> bool:
        return scratch.exists() or process.poll() is not None

    def start() -> Fork:
        return forked(["stitch", "run"], folder=tmp_path, environment={**os.environ, "HEAP_WAREHOUSE": dsn})

    (tmp_path / "heap-courier.yaml").write_text(PROJECT[engine])
    with closing(opened()) as warehouse:
        before = begun(warehouse, tmp_path).everything()
    for _ in range(12 if request.config.getoption("thorough") else 1):
        process = start()
        until(partial(has_begun, process), pause=chance.uniform(0.001, 0.3))
        process.kill()
        process.communicate()
        if process.returncode != -signal.SIGKILL:
            break
        with closing(opened()) as warehouse:
            assert People(warehouse, tmp_path).everything() == before

    process = start()
    out, err = process.communicate(timeout=SECONDS)

    assert (process.returncode, err) == (0, ""), out
    assert not scratch.exists()
    with closing(opened()) as warehouse:
        people = People(warehouse, tmp_path)
        after = people.everything()
        assert after != before
        assert people.customers() == RESULT
