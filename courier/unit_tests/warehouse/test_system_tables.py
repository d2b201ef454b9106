"""The courier's own tables."""

from __future__ import annotations

import threading
from pathlib import Path

from heap_courier.warehouse.duckdb_engine import DuckDBWarehouse
from heap_courier.warehouse.postgresql_engine import PostgreSQLWarehouse
from heap_courier.warehouse.system_tables import make_tables


def test_existing_tables_keep_their_rows(tmp_path: Path) -> None:
    warehouse = DuckDBWarehouse(tmp_path / "heap.duckdb", wait=lambda _seconds: None)
    make_tables(warehouse, {"notes": "n bigint"})
    warehouse.execute("INSERT INTO heap_courier.notes VALUES (1)")

    make_tables(warehouse, {"notes": "n bigint", "more": "n bigint"})

    assert warehouse.query("SELECT n FROM heap_courier.notes") == [(1,)]
    assert warehouse.query("SELECT n FROM heap_courier.more") == []
    warehouse.close()


def test_several_connections_can_create_them_at_the_same_time(postgresql: str) -> None:
    connections = [PostgreSQLWarehouse(postgresql) for _ in range(4)]
    together = threading.Barrier(len(connections))
    made: list[int] = []

    def make(warehouse: PostgreSQLWarehouse) -> None:
        for number in range(5):
            together.wait()
            make_tables(warehouse, {f"notes_{number}": "n bigint"})
            made.append(number)

    threads = [threading.Thread(target=make, args=(connection,)) for connection in connections]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(made) == sorted([*range(5)] * len(connections))
    for connection in connections:
        connection.close()


def test_a_schema_that_someone_else_created_is_enough(postgresql: str) -> None:
    """A user of the schema may not have the privilege to create one."""
    owner = PostgreSQLWarehouse(postgresql)
    for statement in (
        "DROP ROLE IF EXISTS clerk",
        "CREATE ROLE clerk LOGIN",
        "CREATE SCHEMA heap_courier",
        "GRANT ALL ON SCHEMA heap_courier TO clerk",
    ):
        owner.execute(statement)
    clerk = PostgreSQLWarehouse(postgresql.replace("user=heap", "user=clerk"))

    make_tables(clerk, {"notes": "n bigint"})

    assert clerk.query("SELECT n FROM heap_courier.notes") == []
    clerk.close()
    owner.execute("DROP OWNED BY clerk")
    owner.execute("DROP ROLE clerk")
    owner.close()
