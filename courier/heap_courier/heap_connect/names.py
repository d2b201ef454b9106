"""Checks names of tables, columns and views against the limits of the warehouse."""

from __future__ import annotations

from collections.abc import Iterable

from heap_courier.errors import SchemaError
from heap_courier.warehouse.base import Warehouse


def fits(warehouse: Warehouse, name: str) -> bool:
    """Whether a name is short enough."""
    return warehouse.longest_name is None or len(name.encode()) <= warehouse.longest_name


def refuse_names(warehouse: Warehouse, names: Iterable[str]) -> None:
    """Refuses names that a table or a column cannot have.

    Raises:
        SchemaError: the first of them, and why.
    """
    for name in names:
        remedy = "rename it in Heap, or exclude the table"
        if not name or "\0" in name:
            raise SchemaError(f"A column has {'a NUL character in its name' if name else 'an empty name'}: {remedy}.")
        if name in warehouse.reserved_columns:
            raise SchemaError(f"The warehouse reserves the column name `{name}`: {remedy}.")
        if not fits(warehouse, name):
            raise SchemaError(
                f"The name `{name}` is longer than the {warehouse.longest_name} bytes that the warehouse "
                "allows: rename it in Heap, shorten `heap-connect/source`, or exclude the table."
            )


def no_view(warehouse: Warehouse, lacking: str) -> str:
    """A sentence for the user about a view that does not exist because its name would be too long."""
    return (
        f"{lacking}: the view's name would be longer than the {warehouse.longest_name} bytes that the warehouse allows."
    )
