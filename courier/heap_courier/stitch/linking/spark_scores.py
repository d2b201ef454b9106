"""Reads the scores that Spark computed from an export, and refuses them unless they belong to the current records."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from heap_courier.documents.wording import listed
from heap_courier.errors import SetupError
from heap_courier.stitch.linking.model import BLOCKS, LARGEST_BLOCK
from heap_courier.stitch.records.loading import COMPARED
from heap_courier.stitch.scratch import Scratch

TABLE: Final = "spark_scores"
COLUMNS: Final = ("rid_l", "rid_r", "match_weight", "export_id", "pairs")
"""The columns that the script writes: two records, their weight, the export, and the total number of pairs."""

_FINISHED: Final = "_SUCCESS"  # an empty file that Spark writes last
_AGAIN: Final = "Export again with `heap-courier stitch export`, and score the new export."


def export_id(scratch: Scratch, model: Mapping[str, Any]) -> str:
    """Identifies a model and the records to compare (the table `comparable`), regardless of their order."""
    text = json.dumps([model, BLOCKS, LARGEST_BLOCK], sort_keys=True)
    row = ", ".join(("rid", "datasource", "pk", *COMPARED))
    ((count, records),) = scratch.query(
        "SELECT count(*), CAST(COALESCE(bit_xor(md5_number(CAST(c AS VARCHAR))), 0) AS VARCHAR) FROM "
        f"(SELECT {row} FROM comparable JOIN (SELECT rid, datasource, pk FROM record) USING (rid)) AS c"
    )
    return f"{hashlib.sha256(text.encode()).hexdigest()[:16]} {count} {records}"


def read_scores(scratch: Scratch, model: Mapping[str, Any], path: Path) -> str:
    """Reads the scores of all pairs into a table with `rid_l`, `rid_r` and `match_weight`; returns its name.

    Args:
        scratch: the scratch database, with the table `comparable`.
        model: the model of the run.
        path: a Parquet file, or the folder of Parquet files that Spark writes.

    Raises:
        SetupError: the file is unreadable or incomplete, or belongs to another model or other records.
    """
    files = _files(path)
    there = [name for name, *_ in _read(scratch, path, f"DESCRIBE SELECT * FROM {files}")]
    if missing := [name for name in COLUMNS if name not in there]:
        raise SetupError(
            f"`{path}` lacks {listed(missing)}: it was not written by the `score_on_spark.py` of an export. {_AGAIN}"
        )
    _check_export(scratch, model, path, files)
    _read(
        scratch,
        path,
        f"CREATE TABLE {TABLE} AS SELECT CAST(rid_l AS BIGINT) AS rid_l, CAST(rid_r AS BIGINT) AS rid_r, "
        f"CAST(match_weight AS DOUBLE) AS match_weight FROM {files}",
    )
    _check_pairs(scratch, path)
    return TABLE


def _files(path: Path) -> str:
    """SQL that reads a file, or all files of a folder."""
    if not path.is_dir():
        return f"read_parquet({_literal(path)})"
    names = sorted(path.glob("*.parquet"))
    if not (path / _FINISHED).exists() or not names:
        raise SetupError(
            f"`{path}` has no file `{_FINISHED}`, which Spark writes last: wait until Spark has finished, then copy "
            "the whole folder."
        )
    return f"read_parquet([{', '.join(map(_literal, names))}])"


def _read(scratch: Scratch, path: Path, sql: str) -> list[tuple[Any, ...]]:
    try:
        return scratch.query(sql)
    except SetupError as error:
        raise SetupError(
            f"`{path}` cannot be read as Parquet: {error.__cause__ or error}".partition("\n")[0]
        ) from error


def _check_export(scratch: Scratch, model: Mapping[str, Any], path: Path, files: str) -> None:
    """Refuses incomplete scores, and scores of another model or other records."""
    found = _read(scratch, path, f"SELECT export_id, pairs, count(*) FROM {files} GROUP BY ALL ORDER BY ALL")
    if not found:
        raise SetupError(f"`{path}` has no scores. {_AGAIN}")
    if len(found) > 1:
        raise SetupError(f"`{path}` has scores of {len(found)} exports: keep only the files of one export.")
    ((identity, pairs, rows),) = found
    wanted = export_id(scratch, model)
    theirs, ours = str(identity).split(" "), wanted.split(" ")
    if theirs[:1] != ours[:1]:
        raise SetupError(f"The scores in `{path}` were computed with another model than the current one. {_AGAIN}")
    if theirs != ours:
        counts = f"{int(ours[1]):,} now, {theirs[1]} then"
        raise SetupError(
            f"The records have changed since the export whose scores are in `{path}` ({counts}), so some scores are "
            f"missing or outdated. {_AGAIN} Do not run any courier until `stitch run` has finished."
        )
    if rows != pairs:
        raise SetupError(f"`{path}` has {rows:,} of the {pairs:,} scores that Spark computed: copy the whole folder.")


def _check_pairs(scratch: Scratch, path: Path) -> None:
    """Refuses pairs of unknown records, duplicate pairs, and scores that are not numbers."""
    known = "(SELECT rid FROM comparable)"
    twice = f"(SELECT (rid_l, rid_r) FROM {_ORDERED} GROUP BY ALL HAVING count(*) > 1)"
    for condition, what in (
        ("match_weight IS NULL OR NOT isfinite(match_weight)", "missing or infinite"),
        ("rid_l IS NULL OR rid_r IS NULL OR rid_l = rid_r", "not for two different records"),
        (f"rid_l NOT IN {known} OR rid_r NOT IN {known}", "for records that were not exported"),
        (
            f"(rid_l, rid_r) IN {twice}",
            "for a pair that has more than one score",
        ),
    ):
        ((wrong,),) = scratch.query(f"SELECT count(*) FROM {_ORDERED} WHERE {condition}")
        if wrong:
            raise SetupError(f"`{path}`: {wrong:,} of its scores are {what}. {_AGAIN}")


_ORDERED: Final = f"(SELECT LEAST(rid_l, rid_r) AS rid_l, GREATEST(rid_l, rid_r) AS rid_r, match_weight FROM {TABLE})"


def _literal(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
