"""A run of Stitch that is interrupted anywhere and run again leaves what an undisturbed one leaves."""

from __future__ import annotations

import os
import signal
import time
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

import pytest

from courier.integration_tests.command import SECONDS, until
from courier.integration_tests.failpoints import BreaksOff, BrokenOffError
from courier.unit_tests.forked import Forked
from courier.unit_tests.stitch.project_of_people import People, groups
from heap_courier.stitch.run import stitch
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


def begun(warehouse: Warehouse, folder: Path) -> People:
    """A project that was stitched once, and has other records since."""
    people = People(warehouse, folder)
    people.feed("CRM", FIRST)
    people.feed("Orders", [{"pk": "9", "fk-a": "k1"}], stitch=False)
    people.stitch()
    people.feed("CRM", SECOND)
    return people


def stitched(people: People, statements: int | None = None) -> bool:
    """Runs Stitch, or a part of it that stops after this many statements after the first ones; whether it finished."""
    opened = BreaksOff(people.warehouse, statements) if statements is not None else people.warehouse
    try:
        stitch(people.context()._replace(open_warehouse=lambda: nullcontext(opened)))  # type: ignore[arg-type, return-value]
    except BrokenOffError:
        return False
    return True


@pytest.mark.parametrize("step", [20, pytest.param(3, marks=pytest.mark.thorough)])
def test_a_run_interrupted_anywhere_leaves_all_or_nothing(warehouse: Warehouse, tmp_path: Path, step: int) -> None:
    """At every twentieth statement, or every third; the next run has the result of one that was never interrupted."""
    people = begun(warehouse, tmp_path)
    before = people.everything()
    broken = 0
    for statements in range(20, 400, step):
        if stitched(people, statements) or people.everything() != before:  # (it may break off behind its commit)
            break
        broken += 1
    assert broken >= 3

    after = people.everything()
    assert after != before
    assert stitched(people)
    assert people.everything() == after


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

    def has_begun(process: Forked) -> bool:
        return scratch.exists() or process.poll() is not None

    def start() -> Forked:
        return Forked(["stitch", "run"], folder=tmp_path, environment={**os.environ, "HEAP_WAREHOUSE": dsn})

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
        assert people.customers() == groups("CRM 1, CRM 3, CRM 4", "CRM 2")
