"""Labels: a person's decisions about which records are one customer. They override all other evidence.

The file format is that of https://docs.amperity.com/operator/stitch_labels.html: lines with the same `label_id` and
`partition_id` are one customer, and different partitions of a label are different customers. A line selects records by
a semantic: `pk`, a key such as `fk-customer`, or a profile field such as `email`.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from itertools import chain, groupby
from pathlib import Path
from typing import Final

import pyarrow as pa

from heap_courier.documents.wording import did_you_mean, listed
from heap_courier.errors import SetupError
from heap_courier.stitch.linking.clusters import Clusters
from heap_courier.stitch.records.inputs import Pair
from heap_courier.stitch.records.semantics import COLUMNS, column, is_key
from heap_courier.stitch.scratch import Scratch
from heap_courier.stitch.tables.landing import LABELS, make_state
from heap_courier.warehouse.base import Warehouse

HEADER: Final = ("row_id", "label_id", "partition_id", "datasource", "semantic", "value")
_SCHEMA: Final = pa.schema([(name, pa.string()) for name in HEADER])


@dataclass(frozen=True, slots=True)
class Label:
    """A line of a label file."""

    row_id: str
    label_id: str
    partition_id: str
    datasource: str
    semantic: str
    value: str


def read_labels(path: Path) -> tuple[Label, ...]:
    """Reads a label file.

    Raises:
        SetupError: the file is invalid. The message has the line number, but no content.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file, strict=True))
    except UnicodeDecodeError:
        raise SetupError(f"`{path}` is not valid UTF-8: export it as UTF-8.") from None
    except csv.Error as error:
        raise SetupError(f"`{path}` is not a CSV file: {error}.") from None
    if not rows or tuple(name.strip().lower() for name in rows[0]) != HEADER:
        raise SetupError(f"`{path}`: the first line must be `{','.join(HEADER)}`.")
    labels = {number: _label(path, number, row) for number, row in enumerate(rows[1:], 2) if row}
    if not labels:
        raise SetupError(f"`{path}` has no labels: add a line for each record below the header.")
    _refuse_contradictions(path, labels)
    return tuple(labels.values())


def store_labels(warehouse: Warehouse, labels: Iterable[Label]) -> tuple[int, int]:
    """Stores labels; returns the number of new lines and of all lines.

    A label replaces all stored lines with its `label_id`.
    """
    given = list(dict.fromkeys(map(astuple, labels)))
    make_state(warehouse)
    table = f"heap_courier.{LABELS}"
    with warehouse.transaction():
        warehouse.lock(table)
        before = {tuple(row) for row in warehouse.query(f"SELECT {', '.join(HEADER)} FROM {table}")}
        for label_id in dict.fromkeys(row[1] for row in given):
            warehouse.execute(f"DELETE FROM {table} WHERE label_id = $1", (label_id,))
        for row in given:
            warehouse.execute(f"INSERT INTO {table} VALUES ($1, $2, $3, $4, $5, $6)", row)
        ((count,),) = warehouse.query(f"SELECT count(*) FROM {table}")
    return len(set(given) - before), int(count)


def stored_labels(warehouse: Warehouse) -> dict[str, tuple[Label, ...]]:
    """The stored lines of each label by `label_id`; empty before the first run or label."""
    if not warehouse.query("SELECT 1 FROM information_schema.tables WHERE table_name = $1", (LABELS,)):
        return {}
    rows = [
        Label(*row)
        for row in warehouse.query(f"SELECT {', '.join(HEADER)} FROM heap_courier.{LABELS} ORDER BY 2, 3, 4, 6, 1")
    ]
    return {
        label_id: tuple(each for each in rows if each.label_id == label_id)
        for label_id in dict.fromkeys(each.label_id for each in rows)
    }


def remove_label(warehouse: Warehouse, label_id: str) -> None:
    """Removes all lines of a label; the next run links records without it."""
    make_state(warehouse)
    warehouse.execute(f"DELETE FROM heap_courier.{LABELS} WHERE label_id = $1", (label_id,))


def label_of(label_id: str, *partitions: Iterable[Pair]) -> tuple[Label, ...]:
    """The lines of a label: the records of each partition are one customer, and different partitions are different."""
    return tuple(
        Label(f"{label_id}-{number}-{row}", label_id, str(number), datasource, "pk", pk)
        for number, records in enumerate(partitions, 1)
        for row, (datasource, pk) in enumerate(records, 1)
    )


def refuse_contradiction(stored: Mapping[str, Sequence[Label]], label: Sequence[Label]) -> None:
    """Checks that a new label does not contradict stored ones, as far as they select records by the same semantic.

    Raises:
        SetupError: it contradicts the label in the message.
    """
    lines = [*chain.from_iterable(stored.values()), *label]
    numbers: dict[tuple[str, str, str], int] = {}
    for each in lines:
        numbers.setdefault((each.datasource, each.semantic, each.value), len(numbers) + 1)
    together = Clusters(len(numbers))
    of_partition: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for each in lines:
        of_partition[each.label_id, each.partition_id].append(numbers[each.datasource, each.semantic, each.value])
    for records in of_partition.values():
        together.join_labelled(records)
    seen: dict[tuple[int, str], str] = {}
    for (label_id, partition_id), records in of_partition.items():
        if seen.setdefault((together.find(records[0]), label_id), partition_id) != partition_id:
            other = "an earlier decision" if label_id == label[0].label_id else f"the decision `{label_id}`"
            raise SetupError(
                f"This contradicts {other}: together, the decisions would make the same records both one customer and "
                "different customers. Remove the earlier decision first. Nothing was stored."
            )


def load_labels(warehouse: Warehouse, scratch: Scratch) -> tuple[str, ...]:
    """Creates the table `label` (rid, label_id, partition_id); returns warnings, in sentences."""
    rows = warehouse.query(f"SELECT {', '.join(HEADER)} FROM heap_courier.{LABELS}")
    columns = list(zip(*rows, strict=True)) or [()] * len(HEADER)
    batch = pa.record_batch([pa.array(each, pa.string()) for each in columns], schema=_SCHEMA)
    with scratch.transaction():
        scratch.stage("label_given", _SCHEMA, iter([batch]))
    profile = " ".join(f"WHEN '{name.replace('_', '-')}' THEN r.{name}" for name in COLUMNS)
    scratch.execute(
        f"""
        CREATE TABLE matched AS
        SELECT r.rid, g.label_id, g.partition_id, g.datasource, g.semantic, g.value
        FROM label_given AS g JOIN record AS r ON r.datasource = g.datasource
        WHERE CASE g.semantic WHEN 'pk' THEN r.pk = g.value ELSE upper(trim(CASE g.semantic {profile} END)) =
            upper(trim(g.value)) END
        UNION
        SELECT k.rid, g.label_id, g.partition_id, g.datasource, g.semantic, g.value
        FROM label_given AS g JOIN key AS k ON k.value = trim(g.value) AND split_part(k.tag, ':', 1) = g.semantic
        JOIN record AS r ON r.rid = k.rid AND r.datasource = g.datasource
        """
    )
    scratch.execute("CREATE TABLE label AS SELECT DISTINCT rid, label_id, partition_id FROM matched")
    _refuse_contradictory_labels(scratch)
    ((missing,),) = scratch.query(
        "SELECT count(*) FROM label_given ANTI JOIN matched USING (label_id, partition_id, datasource, semantic, value)"
    )
    scratch.execute("DROP TABLE matched")
    if missing:
        lines = "1 line of the labels matches" if missing == 1 else f"{missing:,} lines of the labels match"
        return (f"{lines} no record: check `datasource`, `semantic` and `value`, unless the record was deleted.",)
    return ()


def _refuse_contradictory_labels(scratch: Scratch) -> None:
    """Refuses labels that make two records both one customer and different customers, even indirectly."""
    rows = scratch.query("SELECT rid, label_id, partition_id FROM label ORDER BY label_id, partition_id, rid")
    together = Clusters(max((rid for rid, _, _ in rows), default=0))
    for _, group in groupby(rows, key=lambda row: row[1:]):
        together.join_labelled([rid for rid, _, _ in group])
    partitions: dict[tuple[int, str], str] = {}
    for rid, label_id, partition_id in rows:
        if partitions.setdefault((together.find(rid), label_id), partition_id) != partition_id:
            raise SetupError(
                f"Labels contradict each other: the partitions of the label `{label_id}` are different customers, but "
                "this or other labels make them one. Correct the file, then load it again with `heap-courier stitch "
                "label`."
            )


def _label(path: Path, number: int, row: Sequence[str]) -> Label:
    where = f"`{path}`, line {number}"
    if len(row) != len(HEADER):
        raise SetupError(f"{where} has {len(row)} values; it must have {len(HEADER)}: {listed(HEADER)}.")
    label = Label(*(value.strip() for value in row))
    if missing := [name for name, value in zip(HEADER, astuple(label), strict=True) if not value]:
        raise SetupError(f"{where}: {listed(missing)} is empty; each line needs all six values.")
    if not (label.semantic == "pk" or is_key(label.semantic) or column(label.semantic) in COLUMNS):
        known = ["pk", *(name.replace("_", "-") for name in COLUMNS)]
        raise SetupError(f"{where}: there is no semantic `{label.semantic}`{did_you_mean(label.semantic, known)}.")
    return label


def _refuse_contradictions(path: Path, labels: Mapping[int, Label]) -> None:
    """Refuses a record that is in two partitions of the same label."""
    partitions: defaultdict[tuple[str, str, str, str], dict[str, str]] = defaultdict(dict)
    for number, each in labels.items():
        record = (each.datasource, each.semantic, each.value, each.label_id)
        other = partitions[record].setdefault("partition", each.partition_id)
        if other != each.partition_id:
            raise SetupError(
                f"`{path}`, line {number}: the same record is also in another partition of the label; remove one of "
                "the two lines."
            )
