"""Two concurrent runs of Stitch on one warehouse: the one that read older records writes nothing."""

from __future__ import annotations

from contextlib import ExitStack, closing
from datetime import datetime, timezone
from pathlib import Path

import pytest

from heap_courier.data_types.field_types import STRING
from heap_courier.errors import LaterError
from heap_courier.stitch.scratch import scratch
from heap_courier.stitch.tables.definitions import Output
from heap_courier.stitch.tables.landing import Prepared, land, make_state, read_state
from heap_courier.stitch.tables.views import Views
from heap_courier.warehouse.base import Warehouse
from heap_courier.warehouse.duckdb_engine import DuckDBWarehouse

NOW = datetime(2026, 3, 1, tzinfo=timezone.utc)
NO_CHANGE = "CREATE TABLE change (change text, customer_id text, other_customer_id text, records bigint)"


class Run:
    """A run that has read `value` of the only customer, who may be `new`."""

    def __init__(self, warehouse: Warehouse, folder: Path, value: str, stack: ExitStack, *, new: bool = False) -> None:
        self._warehouse = warehouse
        self._scratch = stack.enter_context(scratch(folder, "100MB"))
        self._state = read_state(warehouse, self._scratch)
        self._scratch.execute(NO_CHANGE)
        if new:
            self._scratch.execute("INSERT INTO change VALUES ('new', 'c1', NULL, 1)")
        output = Output("Stitch:Merged_Customers", (("email", STRING),), f"SELECT '{value}' AS email")
        self._prepared = Prepared(self._scratch, 0, output)

    def land(self) -> None:
        land(self._warehouse, self._scratch, self._state, [self._prepared], views=lambda: Views({}, ()), now=NOW)


@pytest.mark.parametrize("new", [False, True], ids=["a value of a customer", "a customer"])
def test_a_run_writes_nothing_if_another_one_has_finished_first(tmp_path: Path, *, new: bool) -> None:
    """Whether or not the other one added a customer. They belong to two projects, which can run at the same time."""
    with ExitStack() as stack:
        warehouse = stack.enter_context(closing(DuckDBWarehouse(tmp_path / "heap.duckdb", wait=lambda _seconds: None)))
        make_state(warehouse)
        Run(warehouse, tmp_path / "1", "first@a.example", stack, new=True).land()
        older = Run(warehouse, tmp_path / "2", "older@a.example", stack)
        Run(warehouse, tmp_path / "3", "newer@a.example", stack, new=new).land()

        with pytest.raises(LaterError, match="Another run of Stitch has finished in the meantime"):
            older.land()

        assert warehouse.query('SELECT email FROM "Stitch:Merged_Customers"') == [("newer@a.example",)]
