"""The weight of each field in a comparison of two records, in bits."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import pyarrow as pa

from heap_courier.stitch.linking.model import weight
from heap_courier.stitch.records.inputs import Input, Pair
from heap_courier.stitch.records.loading import COMPARED, collate
from heap_courier.stitch.records.semantics import COLUMNS
from heap_courier.stitch.scratch import Scratch


class Weight(NamedTuple):
    """The level of two records in a field, and its weight in bits."""

    field: str
    level: str
    bits: float


_CLOSE: Final = 1e-6


def weigh(
    scratch: Scratch,
    model: Mapping[str, Any],
    records: Mapping[Pair, Sequence[str | None]],
    bad: Iterable[tuple[str, str]],
    pairs: Iterable[tuple[Pair, Pair]],
) -> dict[tuple[Pair, Pair], tuple[Weight, ...]]:
    """The weights of pairs of records, without fields that one of the records lacks.

    Args:
        scratch: an empty scratch database.
        model: the splink model.
        records: the original values of each record, in the order of `COLUMNS`.
        bad: bad values with their semantics; they have no weight.
        pairs: the pairs of records to compare.
    """
    tables = sorted({table for table, _ in records})
    tags = [name.replace("_", "-") for name in COLUMNS]
    schema = pa.schema([(name, pa.string()) for name in ("pk", *tags)])
    for number, table in enumerate(tables):
        rows = [(pk, *values) for (name, pk), values in sorted(records.items()) if name == table]
        columns = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
        with scratch.transaction():
            scratch.stage(f"input_{number}", schema, iter([pa.record_batch(columns, schema=schema)]))
    collate(scratch, [Input(table, ("pk",), {tag: (tag,) for tag in tags}) for table in tables])
    for semantic, value in bad:
        name = semantic.replace("-", "_")
        if name in COMPARED:
            scratch.execute(f"UPDATE clean SET {name} = NULL WHERE {name} = $1", (value,))
    numbers = {(table, pk): rid for rid, table, pk in scratch.query("SELECT rid, datasource, pk FROM record")}
    wanted = {tuple(sorted((numbers[one], numbers[other]))): (one, other) for one, other in pairs}
    return {wanted[rids]: weights for rids, weights in _predicted(scratch, model).items() if rids in wanted}


def _predicted(scratch: Scratch, model: Mapping[str, Any]) -> dict[tuple[Any, ...], tuple[Weight, ...]]:
    from splink import DuckDBAPI, Linker  # noqa: PLC0415  (as in `scoring`)

    logging.getLogger("splink").setLevel(logging.ERROR)
    settings = {
        **model,
        "retain_intermediate_calculation_columns": True,
        "blocking_rules_to_generate_predictions": [{"blocking_rule": "1 = 1"}],
    }
    compared = DuckDBAPI(connection=scratch.connection).register("clean")
    predicted = Linker(compared, settings, log_level=None, validate_settings=False).inference.predict()
    fields = [each["output_column_name"] for each in model["comparisons"]]
    columns = ", ".join(f"mw_{field}" for field in fields)
    rows = scratch.query(f"SELECT rid_l, rid_r, {columns} FROM {predicted.physical_name}")
    return {
        tuple(sorted((first, second))): tuple(
            Weight(field, _level(model, field, value), value)
            for field, value in zip(fields, bits, strict=True)
            if abs(value) > _CLOSE
        )
        for first, second, *bits in rows
    }


def _level(model: Mapping[str, Any], field: str, bits: float) -> str:
    """The label of the level that has this weight."""
    (levels,) = (each["comparison_levels"] for each in model["comparisons"] if each["output_column_name"] == field)
    for level in levels:
        if not level.get("is_null_level") and abs(weight(level) - bits) < _CLOSE:
            return str(level["label_for_charts"])
    return ""


def prior(model: Mapping[str, Any]) -> float:
    """The prior weight of two records, in bits."""
    chance = float(model["probability_two_random_records_match"])
    return math.log2(chance / (1 - chance))
