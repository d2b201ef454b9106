"""Loads records from the warehouse into the scratch: unchanged, normalised, and without bad values.

    record   rid, datasource, pk, and the original value of each semantic as text
    clean    rid, and the normalised values that are compared; NULL if bad or missing. `formal_names` lists the
             names that the given name is a nickname of; NULL if there are none
    key      rid, tag (`fk-...`, `sk-...`; `ck` with the datasource), value, via ('foreign key', 'migration' ...)
    bad      semantic, value, reason, records, given_names, surnames
    spoilt   rid of the records that had a bad value

`rid` numbers the records by datasource and primary key, so the order of rows does not matter.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import pyarrow as pa
from anyascii import anyascii
from nicknames import name_triplets

from heap_courier.errors import SetupError
from heap_courier.stitch.records import bad_values, normalising
from heap_courier.stitch.records.inputs import Input, select
from heap_courier.stitch.records.semantics import COLUMNS, HEAP_USER
from heap_courier.stitch.scratch import Scratch
from heap_courier.warehouse.base import Warehouse, quoted

COMPARED: Final = (
    "given_name", "surname", "generational_suffix", "birthdate", "email", "phone", "address", "address2", "city",
    "state", "postal", "company", "gender",
)  # fmt: skip
"""The compared columns of `clean`."""

_TRANSLITERATED: Final = (
    "full_name", "given_name", "surname", "address", "address2", "city", "state", "company", "phone", "postal",
    "birthdate",
)  # fmt: skip
_FULL_NAME: Final = (
    "CASE WHEN contains(full_name, ',') THEN split_part(full_name, ',', 2) || ' ' || split_part(full_name, ',', 1) "
    "ELSE full_name END"
)
_SHARED_KEY: Final = f"more than {bad_values.KEY_THRESHOLD} given names"


def load(
    scratch: Scratch,
    warehouse: Warehouse,
    inputs: Sequence[Input],
    migrations: Iterable[str] = (),
    advance: Callable[[int], None] = lambda _rows: None,
) -> int:
    """Loads all records; returns their number.

    Args:
        scratch: an empty scratch database.
        warehouse: the warehouse with the inputs; not needed afterwards.
        inputs: at least one input.
        migrations: Heap's views with `from_user_id` and `to_user_id`.
        advance: called with the number of rows of each batch.

    Raises:
        SetupError: an input does not match its feed, or has duplicate primary keys.
    """
    for number, each in enumerate(inputs):
        schema = pa.schema([(name, pa.string()) for name in ("pk", *each.fields)])
        batches = _read(warehouse, select(warehouse, each), schema, advance)
        _stage(scratch, f"input_{number}", schema, batches)
    schema = pa.schema([("origin", pa.string()), ("goal", pa.string())])
    query = " UNION ALL ".join(
        f"SELECT CAST(from_user_id AS text) AS origin, CAST(to_user_id AS text) AS goal FROM {quoted(view)}"
        for view in migrations
    )
    _stage(scratch, "migration", schema, _read(warehouse, query, schema, advance) if query else [])
    return collate(scratch, inputs)


def collate(scratch: Scratch, inputs: Sequence[Input]) -> int:
    """Creates the tables of this module from staged inputs (`input_0` ... and `migration`); returns their count."""
    execute = scratch.execute
    parts = []
    for number, each in enumerate(inputs):
        columns = [
            quoted(_tag(name)) if _tag(name) in each.fields else "CAST(NULL AS VARCHAR)" + f" AS {quoted(_tag(name))}"
            for name in COLUMNS
        ]
        parts.append(f"SELECT {_literal(each.table)} AS datasource, pk, {', '.join(columns)} FROM input_{number}")
    named = ", ".join(f"{quoted(_tag(name))} AS {quoted(name)}" for name in COLUMNS)
    execute(
        "CREATE TABLE record AS SELECT CAST(row_number() OVER (ORDER BY datasource, pk) AS BIGINT) AS rid, "
        f"datasource, pk, {named} FROM ({' UNION ALL '.join(parts)})"
    )
    _refuse_duplicate_keys(scratch)
    _keys(scratch, inputs)
    for number in range(len(inputs)):
        execute(f"DROP TABLE input_{number}")
    _normalise(scratch)
    _find_bad_values(scratch)
    _clean(scratch)
    return int(scratch.query("SELECT count(*) FROM record")[0][0])


def _tag(name: str) -> str:
    return name.replace("_", "-")


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _read(
    warehouse: Warehouse, query: str, schema: pa.Schema, advance: Callable[[int], None]
) -> Iterator[pa.RecordBatch]:
    for batch in warehouse.batches(query):
        advance(batch.num_rows)
        yield batch.cast(schema)


def _stage(scratch: Scratch, name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    with scratch.transaction():
        scratch.stage(name, schema, batches)


def _refuse_duplicate_keys(scratch: Scratch) -> None:
    duplicates = scratch.query(
        "SELECT datasource FROM (SELECT datasource, pk, lag(pk) OVER (PARTITION BY datasource ORDER BY pk) AS before "
        "FROM record) WHERE pk = before ORDER BY 1 LIMIT 1"
    )
    if duplicates:
        raise SetupError(
            f"The domain table `{duplicates[0][0]}` has rows with the same primary key: list all fields of the key in "
            "the feed's `primary-key`, and activate the feed with --truncate."
        )


def _keys(scratch: Scratch, inputs: Sequence[Input]) -> None:
    scratch.execute("CREATE TABLE key_given (rid BIGINT, tag VARCHAR, value VARCHAR, via VARCHAR)")
    for number, each in enumerate(inputs):
        for tag in each.keys:
            kind = {"ck": "customer key", "fk": "foreign key", "sk": "separation key"}[tag[:2]]
            name = f"ck:{each.table}" if tag == "ck" else tag
            value, via, join = f"i.{quoted(tag)}", _literal(kind), ""
            if tag == HEAP_USER:
                join = f" LEFT JOIN migration AS m ON m.origin = {value}"
                via = f"CASE WHEN m.goal IS NULL THEN {via} ELSE 'migration' END"
                value = f"COALESCE(m.goal, {value})"
            scratch.execute(
                f"INSERT INTO key_given SELECT r.rid, {_literal(name)}, {value}, {via} FROM input_{number} AS i "
                f"JOIN record AS r ON r.datasource = {_literal(each.table)} AND r.pk = i.pk{join} "
                f"WHERE i.{quoted(tag)} IS NOT NULL"
            )


def _normalise(scratch: Scratch) -> None:
    source = _transliterated(scratch)
    given, surname = "given_all", "surname_all"
    scratch.execute(
        f"""
        CREATE TABLE normal AS
        WITH names AS (
            SELECT *, {normalising.name("given_name")} AS {given}, {normalising.name("surname")} AS {surname},
                {normalising.name(_FULL_NAME)} AS full_all
            FROM {source}
        ), whole AS (
            SELECT *, {bad_values.is_placeholder("full_all")} AS placeholder,
                {normalising.without_title(normalising.without_suffix("full_all"))} AS full_bare
            FROM names
        )
        SELECT rid,
            COALESCE({given}, CASE WHEN {surname} IS NULL THEN
                CASE WHEN placeholder THEN full_all ELSE regexp_extract(full_bare, '^[^ ]+') END END) AS given_name,
            COALESCE({normalising.without_suffix(surname)},
                CASE WHEN {given} IS NULL AND NOT placeholder THEN
                NULLIF(regexp_extract(full_bare, ' ([^ ]+)$', 1), '') END) AS surname,
            COALESCE({normalising.name("generational_suffix")}, {normalising.suffix(surname)},
                {normalising.suffix("full_all")}) AS generational_suffix,
            {normalising.birthdate("birthdate")} AS birthdate,
            {normalising.email("email")} AS email,
            {normalising.phone("phone")} AS phone,
            {normalising.address("address")} AS address,
            {normalising.address("address2")} AS address2,
            {normalising.text("city")} AS city,
            {normalising.text("state")} AS state,
            {normalising.postal("postal")} AS postal,
            {normalising.text("company")} AS company,
            {normalising.gender("gender")} AS gender
        FROM whole
        """
    )


def _transliterated(scratch: Scratch) -> str:
    """A query for the records in ASCII; the table itself if they are ASCII already."""
    found = scratch.query(
        " UNION ".join(
            f"SELECT DISTINCT {name} FROM record WHERE NOT regexp_full_match({name}, '[\\x00-\\x7f]*')"
            for name in _TRANSLITERATED
        )
    )
    if not found:
        return "record"
    schema = pa.schema([("given", pa.string()), ("ascii", pa.string())])
    texts = [text for (text,) in found]
    batch = pa.record_batch([pa.array(texts), pa.array(map(anyascii, texts), pa.string())], schema=schema)
    _stage(scratch, "transliterated", schema, [batch])
    joins = " ".join(f"LEFT JOIN transliterated AS {name}_ ON {name}_.given = r.{name}" for name in _TRANSLITERATED)
    replaced = ", ".join(f"COALESCE({name}_.ascii, r.{name}) AS {name}" for name in _TRANSLITERATED)
    return f"(SELECT r.* REPLACE ({replaced}) FROM record AS r {joins})"


def _stage_nicknames(scratch: Scratch) -> None:
    """Creates `nickname` (nickname, formal_names)."""
    formal: defaultdict[str, set[str]] = defaultdict(set)
    for name, _, nickname in name_triplets():
        formal[nickname.upper()].add(name.upper())
    columns = [pa.array(formal, pa.string()), pa.array(map(sorted, formal.values()), pa.list_(pa.string()))]
    schema = pa.schema([("nickname", pa.string()), ("formal_names", pa.list_(pa.string()))])
    _stage(scratch, "nickname", schema, [pa.record_batch(columns, schema=schema)])


def _find_bad_values(scratch: Scratch) -> None:
    scratch.execute(
        "CREATE TABLE bad (semantic VARCHAR, value VARCHAR, reason VARCHAR, records BIGINT, given_names BIGINT, "
        "surnames BIGINT)"
    )
    for semantic in COMPARED:
        shared = " ".join(
            f"WHEN count(DISTINCT {each.names}) > {each.most} "
            f"THEN 'more than {each.most} {each.names.replace('_', ' ')}s'"
            for each in bad_values.THRESHOLDS
            if each.semantic == semantic
        )
        if semantic == "birthdate":
            shared = (
                f"WHEN count(DISTINCT given_name) > {bad_values.BIRTHDATE_NAMES} AND count(*) > "
                f"{bad_values.BIRTHDATE_SHARE} * sum(count(*)) OVER () THEN 'the default of a form'"
            )
        listed = f"WHEN {bad_values.is_bad(semantic)} THEN 'listed'"
        scratch.execute(
            f"INSERT INTO bad SELECT * FROM (SELECT '{semantic}', value, CASE {listed} {shared} END AS reason, "
            f"count(*), count(DISTINCT given_name), count(DISTINCT surname) FROM (SELECT {semantic} AS value, "
            f"given_name, surname FROM normal) WHERE value IS NOT NULL GROUP BY value) WHERE reason IS NOT NULL"
        )
    scratch.execute(
        f"INSERT INTO bad SELECT * FROM (SELECT tag, value, CASE WHEN {bad_values.is_bad_key('value')} "
        f"THEN 'listed' WHEN NOT starts_with(tag, 'sk-') AND "
        f"count(DISTINCT given_name) > {bad_values.KEY_THRESHOLD} THEN '{_SHARED_KEY}' END AS reason, count(*), "
        "count(DISTINCT given_name), count(DISTINCT surname) FROM key_given JOIN normal USING (rid) GROUP BY tag, value"
        ") WHERE reason IS NOT NULL"
    )


def _clean(scratch: Scratch) -> None:
    columns = ", ".join(
        f"CASE WHEN {name} IN (SELECT value FROM bad WHERE semantic = '{name}') THEN NULL ELSE {name} END AS {name}"
        for name in COMPARED
    )
    _stage_nicknames(scratch)
    scratch.execute(
        f"CREATE TABLE clean AS SELECT c.*, n.formal_names FROM (SELECT rid, {columns} FROM normal) AS c "
        "LEFT JOIN nickname AS n ON n.nickname = regexp_replace(c.given_name, ' [A-Z]$', '')"
    )
    scratch.execute("DROP TABLE nickname")
    scratch.execute(
        "CREATE TABLE key AS SELECT * FROM key_given AS k WHERE NOT EXISTS "
        "(SELECT 1 FROM bad AS b WHERE b.semantic = k.tag AND b.value = k.value)"
    )
    spoilt = " OR ".join(f"n.{name} IS NOT NULL AND c.{name} IS NULL" for name in COMPARED)
    scratch.execute(
        f"CREATE TABLE spoilt AS SELECT rid FROM normal AS n JOIN clean AS c USING (rid) WHERE {spoilt} "
        "UNION SELECT rid FROM key_given AS k JOIN bad AS b ON b.semantic = k.tag AND b.value = k.value"
    )
    scratch.execute("DROP TABLE normal")
    scratch.execute("DROP TABLE key_given")
