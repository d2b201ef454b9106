"""Rejected rows are counted, and explained by reason and column."""

from __future__ import annotations

from destination_heap_analytics.errors import Reason, RowRejectedError
from destination_heap_analytics.rejected.summary import Rejects


def test_rows_are_grouped_by_reason_and_column_with_the_first_row_numbers() -> None:
    """The most frequent first."""
    rejects = Rejects()
    rejects.add(3, RowRejectedError(Reason.NULL, "email"))
    for row in range(10, 17):
        rejects.add(row, RowRejectedError(Reason.REFUSED, status=400))
    assert rejects.count == 8
    assert list(rejects.explanations()) == [
        (
            "7 rejected: the row was refused by Heap: a value breaks one of Heap's rules, status 400 "
            "(rows 10, 11, 12, 13, 14, ...)."
        ),
        "1 rejected: column `email` is null (row 3).",
    ]


def test_any_number_of_columns_does_not_fill_the_memory() -> None:
    """Beyond a limit they are counted together."""
    rejects = Rejects()
    for row in range(5000):
        rejects.add(row, RowRejectedError(Reason.NOT_FINITE, f"column {row}"))
    assert rejects.count == 5000
    assert len(list(rejects.explanations())) == 201
    assert next(rejects.explanations()).startswith("4,800 rejected: the row contains NaN")
