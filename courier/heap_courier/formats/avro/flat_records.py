"""Flat records, decoded by polars, in a fraction of the time. A probe shows whether it decoded them correctly."""

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
"""What no row has: a row of this, put after the last one, is read back right only if all before it was."""


@cache
def keep_ctrl_c() -> None:
    """Restore Python's SIGINT handler: polars installs one at its first use, which wakes no waiting thread.

    To be called before a file is read, in the thread that does so; later calls cost nothing.
    """
    handler = signal.getsignal(signal.SIGINT)
    pl.DataFrame({"": [0]}).write_avro(io.BytesIO())
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, handler)


class Fast(NamedTuple):
    """What polars is given beside the rows: a header with its schema, and one row more."""

    header: bytes
    probe: bytes
    probed: Mapping[str, Any]


def fast_reading(records: Records) -> Fast | None:
    """How polars decodes these records: columns by position, so that no name of the file can interfere."""
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
    """The rows by polars; None if it reports an error, or reads the probe as something else."""
    rows = sum(block.rows for block in blocks)
    size = sum(map(len, plain))
    if rows > size:  # each row takes at least a byte, and polars allocates as many as declared
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
