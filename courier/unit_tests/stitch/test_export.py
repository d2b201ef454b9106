"""Exports for Spark."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from random import Random
from shutil import which

import pyarrow.parquet as pq
import pytest
import sqlglot
from sqlglot import expressions

from benchmarks.stitch.population import population
from courier.unit_tests.stitch.project_of_people import People
from heap_courier.errors import SetupError
from heap_courier.stitch.run import exported, stitch

KNOWN_TO_SPLINK = {"jaro_winkler", "damerau_levenshtein"}  # functions in its jar, in addition to Spark's own


def test_an_export_has_records_and_conditions_that_spark_can_read(people: People) -> None:
    person = {"given-name": "Ann", "surname": "Lee", "email": "ann@acme.co", "fk-a": "k1"}
    people.feed("CRM", [{"pk": "1", **person}, {"pk": "2", **person, "email": "ann2@acme.co"}])

    model_file, inputs, records, script = exported(people.context(), people.folder / "spark")

    model = json.loads(model_file.read_text())
    assert "jaro_winkler_similarity" not in model_file.read_text()
    columns = set(pq.read_schema(records).names)
    for comparison in model["comparisons"]:
        for level in comparison["comparison_levels"]:
            if level["sql_condition"] != "ELSE":
                parsed = sqlglot.parse_one(level["sql_condition"], dialect="spark")
                assert {each.name[:-2] for each in parsed.find_all(expressions.Column)} <= columns
                unknown = {each.name.lower() for each in parsed.find_all(expressions.Anonymous)}
                assert unknown <= KNOWN_TO_SPLINK
    for rule in model["blocking_rules_to_generate_predictions"]:
        parsed = sqlglot.parse_one(rule["blocking_rule"], dialect="spark")
        assert {each.name for each in parsed.find_all(expressions.Column)} <= columns
    assert pq.read_table(records, columns=["pk"]).column("pk").to_pylist() == ["1", "2"]
    assert '"CRM:People"' in inputs.read_text()
    ast.parse(script.read_text())


@pytest.mark.thorough
@pytest.mark.skipif(which("java") is None, reason="Spark needs Java")
def test_a_run_with_the_scores_of_spark_has_the_same_result(people: People) -> None:
    pytest.importorskip("pyspark", reason="not among the packages of the tests, since it takes 400 MB")
    people.feed("CRM", [{"pk": each.pk, **each.values} for each in population(Random(5), 600)])
    people.stitch()
    expected = people.everything()
    *_, script = exported(people.context(), people.folder / "spark")

    subprocess.run([sys.executable, script.name], cwd=script.parent, check=True, capture_output=True)
    scores = script.parent / "scored.parquet"
    stitch(people.context(), scores)

    assert people.everything() == expected
    assert pq.read_table(scores, columns=["rid_l"]).num_rows > 200


def test_an_export_overwrites_nothing(people: People) -> None:
    people.feed("CRM", [{"pk": "1", "fk-a": "k1"}])
    (people.folder / "spark").mkdir()
    (people.folder / "spark" / "model.json").write_text("mine")

    with pytest.raises(SetupError, match=r"already exists: choose another folder\. Nothing was written"):
        exported(people.context(), people.folder / "spark")

    assert [path.name for path in (people.folder / "spark").iterdir()] == ["model.json"]
