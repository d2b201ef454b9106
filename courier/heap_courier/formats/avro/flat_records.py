"""Decodes flat records with polars, in a fraction of the time. A probe row shows whether the result is correct."""

from __future__ import annotations

import io
import json
import signal
import threading
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, NamedTuple

import fastavro
import polars as pl
import pyarrow as pa

from heap_courier.formats.avro.container import MAGIC, SYNC_BYTES, Block, written_number
from heap_courier.formats.avro.schema import Records

_PROBE: Final[Mapping[str, Any]] = {
    "boolean": True,
    "long": 0x5D3A_71E4_2B5A_17C3,
    "float": 13125000.0,
    "double": 130517578125.5,
    "bytes": bytes(range(200, 213)),
    "string": "no row's value",
}
"""Values of the probe, a row after the last one: polars reads them correctly only if it read all rows before it so."""


@cache
def keep_ctrl_c() -> None:
    """Restores Python's SIGINT handler: polars installs its own at its first use, which does not wake waiting threads.

    Call it before reading a file, in the same thread; only the first call does anything.
    """
    handler = signal.getsignal(signal.SIGINT)
    pl.DataFrame({"": [0]}).write_avro(io.BytesIO())
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, handler)


class Fast(NamedTuple):
    """What polars needs besides the rows.

    Attributes:
        header: a file header with the schema for polars.
        probe: the encoded probe row.
        probed: the values of the probe row.
    """

    header: bytes
    probe: bytes
    probed: Mapping[str, Any]


def fast_reading(records: Records) -> Fast | None:
    """How polars can decode these records; None if they are not flat. Its columns are named by position."""
    plain = {f"{position}": column.type.plain for position, column in enumerate(records.columns)}
    fields = [{"name": name, "type": kind} for name, kind in plain.items() if kind != "null"]  # nulls take no bytes
    if not fields or None in plain.values():
        return None
    row = {"type": "record", "name": "row", "fields": fields}
    probed = {
        field["name"]: _PROBE[next(kind for kind in _branches(field["type"]) if kind != "null")] for field in fields
    }
    probe = io.BytesIO()
    fastavro.schemaless_writer(probe, row, probed)
    text = json.dumps(row).encode()
    entry = written_number(len(b"avro.schema")) + b"avro.schema" + written_number(len(text)) + text
    return Fast(MAGIC + written_number(1) + entry + written_number(0) + bytes(SYNC_BYTES), probe.getvalue(), probed)


def _branches(kind: str | list[str]) -> list[str]:
    return kind if isinstance(kind, list) else [kind]


def decode_fast(fast: Fast, records: Records, blocks: list[Block], plain: list[Any]) -> pa.RecordBatch | None:
    """The rows, decoded by polars; None if it fails, or reads the probe incorrectly."""
    rows = sum(block.rows for block in blocks)
    size = sum(map(len, plain))
    if rows > size:  # a row has at least one byte, and polars allocates memory for all rows that the file declares
        return None
    data = b"".join(
        [
            fast.header,
            written_number(rows + 1),
            written_number(size + len(fast.probe)),
            *plain,
            fast.probe,
            bytes(SYNC_BYTES),
        ]
    )
    try:
        table = pl.read_avro(io.BytesIO(data)).to_arrow(compat_level=pl.CompatLevel.oldest())
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return None
    if len(table) != rows + 1 or table.slice(rows).to_pylist() != [fast.probed]:
        return None
    columns = {name: table.column(name).slice(0, rows).combine_chunks() for name in fast.probed}
    return pa.RecordBatch.from_arrays(
        [
            columns[f"{position}"].cast(column.type.raw).cast(column.type.arrow)
            if f"{position}" in columns
            else pa.nulls(rows)
            for position, column in enumerate(records.columns)
        ],
        names=[column.name for column in records.columns],
    )
