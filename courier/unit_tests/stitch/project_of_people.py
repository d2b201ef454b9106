"""A project whose warehouse contains records of people, as loaded by feeds and Heap Connect."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from heap_courier.data_types.field_types import STRING
from heap_courier.feeds.model import Feed, Field
from heap_courier.feeds.writer import write_feed
from heap_courier.progress import NoBar
from heap_courier.project.model import Project, WarehouseSettings
from heap_courier.stitch.labels import Label, store_labels
from heap_courier.stitch.run import StitchContext, StitchResult, stitch
from heap_courier.warehouse.base import Warehouse, domain_tables, quoted

Row = Mapping[str, str | None]
NOW = datetime(2026, 3, 1, tzinfo=timezone.utc)


@dataclass
class People:
    """A project folder and its warehouse.

    A row maps semantic tags to values; `pk` is its primary key.
    """

    warehouse: Warehouse
    folder: Path
    feeds: int = field(default=0)
    priority: tuple[str, ...] = ()
    memory: str | None = None

    def feed(self, name: str, rows: Sequence[Row], *, stitch: bool = True) -> None:
        """A feed `<name>:People` with a text field for each tag, and its table."""
        tags = list(dict.fromkeys(tag for row in rows for tag in row if tag != "pk"))
        fields = (Field("pk", STRING, "pk"), *(Field(tag.replace("-", "_"), STRING, tag, tag) for tag in tags))
        self.feeds += 1
        made = Feed(f"df-people{self.feeds:02d}", name, "People", fields, ("pk",), stitch=stitch)
        write_feed(made, self.folder / "feeds" / f"{name}.yaml")
        given = ([row.get(tag) for tag in ("pk", *tags)] for row in rows)
        self.table(made.domain_table, [each.name for each in fields], given)

    def table(self, name: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], kind: str = "text") -> None:
        """Creates a table of text columns, or replaces the rows of an existing one."""
        text = ", ".join(f"{quoted(column)} {kind}" for column in columns)
        with self.warehouse.transaction():
            if not self.warehouse.columns(name):
                self.warehouse.execute(f"CREATE TABLE {quoted(name)} ({text})")
            self.warehouse.execute(f"DELETE FROM {quoted(name)}")
            if values := ", ".join(f"({', '.join(map(_literal, row))})" for row in rows):
                self.warehouse.execute(f"INSERT INTO {quoted(name)} VALUES {values}")

    def stitch(self) -> StitchResult:
        return stitch(self.context())

    def context(self) -> StitchContext:
        settings = WarehouseSettings("duckdb")
        project = Project(
            self.folder,
            settings,
            {},
            self.folder / "feeds",
            {},
            stitch_priority=self.priority,
            stitch_memory=self.memory,
        )
        return StitchContext(project, lambda: nullcontext(self.warehouse), lambda: NOW, NoBar())

    def label(self, *rows: tuple[str, str, str, str, str]) -> None:
        """Stores labels, each given as `label partition datasource semantic value`."""
        store_labels(self.warehouse, [Label(str(number), *row) for number, row in enumerate(rows)])

    def customers(self) -> set[frozenset[str]]:
        """The records of each customer, as `<source> <pk>`."""
        groups: dict[str, set[str]] = {}
        for record, customer in self.ids().items():
            groups.setdefault(customer, set()).add(record)
        return {frozenset(group) for group in groups.values()}

    def ids(self) -> dict[str, str]:
        """The customer of each record."""
        rows = self.rows("Stitch:Identity_Graph", "datasource", "pk", "customer_id")
        return {f"{table.partition(':')[0]} {pk}": customer for table, pk, customer in rows}

    def rows(self, table: str, *columns: str) -> list[tuple[Any, ...]]:
        chosen = ", ".join(map(quoted, columns)) or "*"
        return sorted(self.warehouse.query(f"SELECT {chosen} FROM {quoted(table)}"), key=repr)

    def everything(self) -> dict[str, list[tuple[Any, ...]]]:
        """All rows of all tables of Stitch and of all `:stitched` views."""
        return {
            name: self.rows(name)
            for name in domain_tables(self.warehouse)
            if name.startswith("Stitch:") or name.endswith(":stitched")
        }


def _literal(value: object) -> str:
    return "NULL" if value is None else "'" + str(value).replace("'", "''") + "'"


def groups(*texts: str) -> set[frozenset[str]]:
    """Shorthand for the expected customers of a test: `groups("CRM 1, Shop a", "CRM 2")`."""
    return {frozenset(text.split(", ")) for text in texts}
