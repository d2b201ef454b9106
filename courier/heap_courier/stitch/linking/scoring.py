"""Scores pairs of records with splink: https://moj-analytical-services.github.io/splink.

twin      rid, representative: records that are equal once normalised; only representatives are compared
scored    first, second (rids), weight (bits, including the prior), score (0 to 5), apart
opposed   first, second: records that contradict each other although a chain of scores connects them
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from heap_courier.errors import SetupError
from heap_courier.stitch.linking.clusters import LARGEST, Apart, Clusters
from heap_courier.stitch.linking.model import BLOCKS, LARGEST_BLOCK, contradiction
from heap_courier.stitch.linking.spark_scores import read_scores
from heap_courier.stitch.records.loading import COMPARED
from heap_courier.stitch.scratch import Scratch

THRESHOLDS: Final = {5: 25.0, 4: 15.0, 3: 5.0, 2: 1.0, 1: -5.0}
"""The minimum weight of each score, in bits; lower weights score 0. Records with a score of 3 or more are linked."""

KEPT: Final = 2
"""The lowest score that is stored, for review."""

MARGIN: Final = 3.0
"""The bits by which a record must match one of two contradicting records better than the other."""


def score(scratch: Scratch, model: Mapping[str, Any], scores: Path | None = None) -> None:
    """Creates the tables of this module from those of `records.loading`.

    Args:
        scratch: the scratch database.
        model: the splink model.
        scores: the scores that Spark computed from an export of the same records; None computes them here.

    Raises:
        SetupError: the scores do not belong to these records.
    """
    prepare(scratch)
    predicted = read_scores(scratch, model, scores) if scores else _predict(scratch, model)
    cases = " ".join(f"WHEN weight >= {least} THEN {grade}" for grade, least in THRESHOLDS.items())
    scratch.execute(
        f"""
        CREATE TABLE scored AS SELECT first, second, weight, CAST(grade AS DOUBLE) AS score,
            CAST(NULL AS VARCHAR) AS apart
        FROM (SELECT *, CASE {cases} ELSE 0 END AS grade FROM (
            SELECT LEAST(rid_l, rid_r) AS first, GREATEST(rid_l, rid_r) AS second, match_weight AS weight
            FROM {predicted}
        )) WHERE grade >= {KEPT}
        """
    )
    scratch.execute(f"DROP TABLE {predicted}")
    _score_twins(scratch)
    _oppose(scratch, contradiction(model))


def prepare(scratch: Scratch) -> None:
    """Creates `twin` and `comparable` (rid, the fields, their blocking keys)."""
    _find_twins(scratch)
    _block(scratch)


def _find_twins(scratch: Scratch) -> None:
    columns = ", ".join(COMPARED)
    scratch.execute(
        f"""
        CREATE TABLE twin AS
        WITH separated AS (
            SELECT rid, string_agg(tag || '=' || value, '|' ORDER BY tag) AS sk FROM key WHERE starts_with(tag, 'sk-')
            GROUP BY rid
        )
        SELECT rid, representative FROM (
            SELECT rid, min(rid) OVER (PARTITION BY {columns}, sk) AS representative
            FROM clean LEFT JOIN separated USING (rid)
        ) WHERE rid <> representative
        """
    )


def _block(scratch: Scratch) -> None:
    """Creates `comparable`: representatives and one more record of each group of twins, with their blocking keys."""
    null = " ".join(
        f", CASE WHEN t.rid IS NULL AND ({key}) IS NOT NULL THEN hash({key}) END AS block_{number}"
        for number, key in enumerate(BLOCKS, 1)
    )
    scratch.execute(
        f"""
        CREATE TABLE blocked AS
        SELECT c.*, t.representative AS block_0{null}
        FROM clean AS c
        LEFT JOIN (SELECT min(rid) AS rid, representative FROM twin GROUP BY representative) AS t ON t.rid = c.rid
        WHERE t.rid IS NOT NULL OR c.rid NOT IN (SELECT rid FROM twin)
        """
    )
    scratch.execute("UPDATE blocked SET block_0 = rid WHERE rid IN (SELECT representative FROM twin)")
    kept = ", ".join(
        f"CASE WHEN block_{number} IN (SELECT block_{number} FROM blocked GROUP BY 1 "
        f"HAVING count(*) BETWEEN 2 AND {LARGEST_BLOCK}) THEN block_{number} END AS block_{number}"
        for number in range(1, len(BLOCKS) + 1)
    )
    scratch.execute(f"CREATE TABLE comparable AS SELECT * REPLACE ({kept}) FROM blocked")
    scratch.execute("DROP TABLE blocked")


def _predict(scratch: Scratch, model: Mapping[str, Any]) -> str:
    """Scores all pairs; returns the name of splink's table with `rid_l`, `rid_r` and `match_weight`."""
    from splink import DuckDBAPI, Linker  # noqa: PLC0415  (takes half a second, and only runs need it)
    from splink.internals.exceptions import SplinkException  # noqa: PLC0415

    logging.getLogger("splink").setLevel(logging.ERROR)
    api = DuckDBAPI(connection=scratch.connection)
    try:
        linker = Linker(api.register("comparable"), dict(model), log_level=None, validate_settings=False)
        predicted = linker.inference.predict(threshold_match_weight=THRESHOLDS[KEPT])
    except SplinkException as error:
        raise SetupError(f"Scoring failed in DuckDB ({type(error.__cause__).__name__}).") from error
    return str(predicted.physical_name)


def _score_twins(scratch: Scratch) -> None:
    """Gives all twins of a record the score of the one that was compared."""
    scratch.execute(
        "INSERT INTO scored SELECT t.representative, t.rid, s.weight, s.score, NULL FROM twin AS t JOIN "
        "(SELECT min(rid) AS rid, representative FROM twin GROUP BY representative) AS n USING (representative) "
        "JOIN scored AS s ON s.first = n.representative AND s.second = n.rid WHERE t.rid <> n.rid"
    )


def _oppose(scratch: Scratch, condition: str) -> None:
    """Finds contradictions in groups connected by scores, and records that match both sides of one equally well."""
    _stage_groups(scratch)
    too_large = f"SELECT part FROM part GROUP BY part HAVING count(*) > {LARGEST}"
    for least in (4, 5, 6):
        if not scratch.query(f"{too_large} LIMIT 1"):
            break
        scratch.execute(
            f"UPDATE scored SET apart = '{Apart.TOO_LARGE.value}' WHERE score < {least} AND score >= 3 AND first IN "
            f"(SELECT rid FROM part WHERE part IN ({too_large}))"
        )
        _stage_groups(scratch)
    scratch.execute(
        f"CREATE TABLE opposed AS SELECT a.rid AS first, b.rid AS second FROM part AS a JOIN part AS b "
        f"ON b.part = a.part AND b.rid > a.rid JOIN clean AS l ON l.rid = a.rid JOIN clean AS r ON r.rid = b.rid "
        f"WHERE {condition}"
    )
    scratch.execute(
        "CREATE TABLE edge AS SELECT first AS a, second AS b, weight FROM scored WHERE score >= 3 AND apart "
        "IS NULL UNION ALL SELECT second, first, weight FROM scored WHERE score >= 3 AND apart IS NULL"
    )
    scratch.execute(
        f"CREATE TABLE torn AS SELECT x.a AS middle, x.b AS one, y.b AS other FROM opposed AS o JOIN edge AS x "
        f"ON x.b = o.first JOIN edge AS y ON y.b = o.second AND y.a = x.a WHERE abs(x.weight - y.weight) < {MARGIN}"
    )
    scratch.execute(
        f"UPDATE scored SET apart = '{Apart.AMBIGUOUS.value}' WHERE (first, second) IN (SELECT (LEAST(middle, side), "
        "GREATEST(middle, side)) FROM (SELECT middle, one AS side FROM torn UNION ALL SELECT middle, other FROM torn))"
    )


def _stage_groups(scratch: Scratch) -> None:
    """Creates `part` (rid, part): groups of representatives that scores connect."""
    scratch.execute("DROP TABLE IF EXISTS part")
    count = int(scratch.query("SELECT count(*) FROM clean")[0][0])
    clusters = Clusters(count)
    kept = (
        "SELECT first, second FROM scored WHERE score >= 3 AND apart IS NULL AND second NOT IN (SELECT rid FROM twin)"
    )
    touched: set[int] = set()
    for batch in scratch.batches(kept):
        for first, second in zip(batch.column(0).to_pylist(), batch.column(1).to_pylist(), strict=True):
            clusters.join_labelled((first, second))
            touched |= {first, second}
    rids = sorted(touched)
    columns = [pa.array(rids, pa.int64()), pa.array(map(clusters.find, rids), pa.int64())]
    schema = pa.schema([("rid", pa.int64()), ("part", pa.int64())])
    with scratch.transaction():
        scratch.stage("part", schema, iter([pa.record_batch(columns, schema=schema)]))
