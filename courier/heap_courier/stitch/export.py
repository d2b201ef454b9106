"""Exports the files to score records on Spark: the model, the SQL of the inputs, the records, and a script.

Spark scores the pairs of records, and `stitch run --scores` builds customers from these scores.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from heap_courier.errors import SetupError
from heap_courier.stitch.linking.spark_scores import export_id
from heap_courier.stitch.scratch import Scratch

MODEL: Final = "model.json"
INPUTS: Final = "inputs.sql"
RECORDS: Final = "records.parquet"
SCRIPT: Final = "score_on_spark.py"

_FUNCTIONS: Final = {  # names in Spark, and of the functions that splink registers there
    "jaro_winkler_similarity": "jaro_winkler",
    "list_contains": "array_contains",
    "starts_with": "startswith",
}
_SCRIPT: Final = '''\
"""Scores the pairs of records.parquet on Spark, into scored.parquet: spark-submit score_on_spark.py"""

from pyspark.sql import SparkSession, functions
from splink import Linker, SparkAPI
from splink.backends.spark import similarity_jar_location

spark = SparkSession.builder.config("spark.jars", similarity_jar_location()).getOrCreate()
api = SparkAPI(spark_session=spark, break_lineage_method="persist")
records = api.register(spark.read.parquet("records.parquet"))
linker = Linker(records, "model.json")
pairs = linker.inference.predict(threshold_match_weight=1).as_spark_dataframe()
scores = pairs.select("rid_l", "rid_r", "match_weight").persist()
scores = scores.withColumn("export_id", functions.lit("{export_id}")).withColumn("pairs", functions.lit(scores.count()))
scores.write.parquet("scored.parquet")
'''


def export(scratch: Scratch, model: Mapping[str, Any], inputs: Mapping[str, str], folder: Path) -> list[Path]:
    """Writes all files of an export into a folder; returns their paths.

    Args:
        scratch: the scratch database, with the tables of `linking.scoring.prepare`.
        model: the splink model for DuckDB.
        inputs: the query of each input, in the warehouse's SQL.
        folder: the folder; created if it does not exist.

    Raises:
        SetupError: the folder contains files of an earlier export.
    """
    paths = [folder / name for name in (MODEL, INPUTS, RECORDS, SCRIPT)]
    if there := [path for path in paths if path.exists()]:
        raise SetupError(f"`{there[0]}` already exists: choose another folder. Nothing was written.")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MODEL).write_text(json.dumps(for_spark(model), indent=1) + "\n", encoding="utf-8")
    (folder / INPUTS).write_text(_statements(inputs), encoding="utf-8")
    script = _SCRIPT.replace("{export_id}", export_id(scratch, model))
    (folder / SCRIPT).write_text(script, encoding="utf-8")
    target = str(folder / RECORDS).replace("'", "''")
    scratch.execute(
        "COPY (SELECT r.datasource, r.pk, c.* FROM comparable AS c JOIN record AS r USING (rid) ORDER BY rid) "
        f"TO '{target}' (FORMAT parquet)"
    )
    return paths


def for_spark(model: Mapping[str, Any]) -> dict[str, Any]:
    """The model with the names of functions in Spark."""
    comparisons = [
        {
            **each,
            "comparison_levels": [
                {**level, "sql_condition": _for_spark(level["sql_condition"])} for level in each["comparison_levels"]
            ],
        }
        for each in model["comparisons"]
    ]
    rules = [
        {**rule, "blocking_rule": rule["blocking_rule"].replace('"', "`")}
        for rule in model["blocking_rules_to_generate_predictions"]
    ]
    return {**model, "comparisons": comparisons, "blocking_rules_to_generate_predictions": rules}


def _for_spark(condition: str) -> str:
    return re.sub(r"\b\w+(?=\()", lambda name: _FUNCTIONS.get(name[0], name[0]), condition)


def _statements(inputs: Mapping[str, str]) -> str:
    parts: Sequence[str] = [f"-- {table}\n{query};\n" for table, query in inputs.items()]
    return "\n".join(parts)
