"""Drops views that block a schema change, and recreates them with their privileges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from heap_courier.errors import SchemaError, SetupError
from heap_courier.warehouse.base import View, Warehouse, quoted

STITCHED: Final = ":stitched"
"""The suffix of the views that Stitch creates in each run."""


class DroppedViews:
    """The views that a transaction drops to change what they depend on, and recreates before it commits."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse
        self._views: list[View] = []  # in an order in which they can be created

    def drop(self, relation: str, *, itself: bool = False) -> None:
        """Drops all views that depend on a table or a view, and the view `itself` if requested.

        Raises:
            SchemaError: one of them could not be recreated.
        """
        views = self._warehouse.dependents(relation, itself=itself)
        for view in reversed(views):
            self._warehouse.execute(f"DROP {view.kind} {view.name}")
        self._views = [*views, *self._views]  # (no new one depends on an earlier one, or it would be dropped already)

    def create(self, ours: Mapping[str, str]) -> None:
        """Creates our views, given as queries by name, then all dropped views.

        An existing view is replaced in place if possible, which keeps its privileges and the views that depend on it.

        Raises:
            SchemaError: a user's view does not fit the changed table.
        """
        for name, query in ours.items():
            if self._taken(name) is None and self._warehouse.columns(name):
                if self._warehouse.has_view(name, query):
                    continue
                if self._warehouse.can_replace(name, query):
                    self._warehouse.execute(f"CREATE OR REPLACE VIEW {quoted(name)} AS {query}")
                    continue
                self.drop(name, itself=True)
            dropped = self._taken(name)
            self._warehouse.execute(f"CREATE VIEW {quoted(name)} AS {query}")
            if dropped:
                self._views.remove(dropped)
                for statement in dropped.restore:
                    self._warehouse.execute(statement)
        for view in self._views:
            if view.relation and view.relation.endswith(STITCHED):
                self._create_if_it_fits(view)
            else:
                self._create(view)
        self._views = []

    def _create_if_it_fits(self, view: View) -> None:
        """Creates a view, or leaves it out if it reads a dropped column: Stitch recreates it, so the load continues.

        PostgreSQL itself rolls the block back, because ADBC accepts no statement after an error. On DuckDB, views are
        never dropped.
        """
        body = " ".join(f"EXECUTE $statement${statement}$statement$;" for statement in (view.create, *view.restore))
        self._warehouse.execute(
            f"DO $block$ BEGIN {body} EXCEPTION WHEN syntax_error_or_access_rule_violation THEN NULL; END $block$"
        )

    def _create(self, view: View) -> None:
        try:
            for statement in (view.create, *view.restore):
                self._warehouse.execute(statement)
        except (SetupError, SchemaError) as error:
            raise SchemaError(
                f"The view {view.name} depends on columns that change, and cannot be recreated ({error}) Drop or "
                "change the view, then run the courier again."
            ) from error

    def _taken(self, name: str) -> View | None:
        return next((view for view in self._views if view.relation == name), None)
