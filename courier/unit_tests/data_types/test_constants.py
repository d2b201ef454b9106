"""Scalars created without pandas equal those that pyarrow creates."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest

from heap_courier.data_types.constants import constant, null


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("", pa.string(), ""),
        ("é😀", pa.string(), "é😀"),
        (f"{2**63 - 1}", pa.int64(), 2**63 - 1),
        (f"{-(2**63)}", pa.int64(), -(2**63)),
        ("1970-01-01", pa.timestamp("us"), datetime(1970, 1, 1)),  # noqa: DTZ001  (without a zone, like the columns)
    ],
)
def test_a_constant_has_the_value_of_its_text(text: str, kind: pa.DataType, value: Any) -> None:
    assert constant(text, kind).equals(pa.scalar(value, kind))


@pytest.mark.parametrize("kind", [pa.string(), pa.int64(), pa.timestamp("us"), pa.date32(), pa.bool_()])
def test_a_null_has_the_requested_type(kind: pa.DataType) -> None:
    assert null(kind).equals(pa.scalar(None, kind))
