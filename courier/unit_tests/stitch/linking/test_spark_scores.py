"""Scores that Spark computed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.stitch.bench import stage
from courier.unit_tests.stitch.project_of_people import People, groups
from heap_courier.errors import SetupError
from heap_courier.stitch.linking.model import settings
from heap_courier.stitch.linking.scoring import prepare
from heap_courier.stitch.linking.spark_scores import export_id, read_scores
from heap_courier.stitch.run import exported, stitch
from heap_courier.stitch.scratch import Scratch, scratch

Rows = list[dict[str, Any]]


def records(*names: str) -> dict[str, list[str | None]]:
    return {"pk": [*map(str, range(len(names)))], "given-name": list(names)}


@pytest.fixture
def loaded(tmp_path: Path) -> Iterator[Scratch]:
    """Three exported records."""
    with scratch(tmp_path / "scratch", "512MB") as opened:
        stage(opened, {"CRM": records("Ann", "Bea", "Cy")})
        prepare(opened)
        yield opened


def written(folder: Path, rows: Rows, *, finished: bool = True) -> Path:
    """A folder of scores as Spark writes it."""
    path = folder / "scored.parquet"
    path.mkdir()
    for number, row in enumerate(rows):  # (one file per row, because Spark writes several files)
        pq.write_table(pa.Table.from_pylist([row]), path / f"part-{number}.parquet")
    if finished:
        (path / "_SUCCESS").touch()
    return path


def scores(identity: str) -> Rows:
    pairs = [(1, 2, 7.5), (3, 1, -2.0)]
    return [
        {"rid_l": left, "rid_r": right, "match_weight": weight, "export_id": identity, "pairs": len(pairs)}
        for left, right, weight in pairs
    ]


def test_the_scores_of_an_export_are_read(loaded: Scratch, tmp_path: Path) -> None:
    identity = export_id(loaded, settings())

    table = read_scores(loaded, settings(), written(tmp_path, scores(identity)))

    assert loaded.query(f"SELECT * FROM {table} ORDER BY 1") == [(1, 2, 7.5), (3, 1, -2.0)]


def with_row(number: int, **changed: object) -> Callable[[Rows], Rows]:
    return lambda rows: [{**row, **changed} if place == number else row for place, row in enumerate(rows)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda _rows: [], r"has no file `_SUCCESS`, which Spark writes last: wait until Spark has finished"),
        (lambda rows: [{"rid_l": row["rid_l"]} for row in rows], "lacks `rid_r`, `match_weight`, `export_id`, `pairs`"),
        (lambda rows: rows[:1], r"has 1 of the 2 scores that Spark computed: copy the whole folder"),
        (with_row(1, export_id="a 3 4"), r"has scores of 2 exports: keep only the files of one"),
        (with_row(1, rid_l=9), r"1 of its scores are for records that were not exported\. Export again"),
        (with_row(1, rid_l=1), r"1 of its scores are not for two different records"),
        (with_row(1, rid_l=2), r"2 of its scores are for a pair that has more than one score"),
        (with_row(1, match_weight=float("nan")), r"1 of its scores are missing or infinite"),
    ],
)  # fmt: skip
def test_invalid_scores_are_refused(
    change: Callable[[Rows], Rows], message: str, loaded: Scratch, tmp_path: Path
) -> None:
    path = written(tmp_path, change(scores(export_id(loaded, settings()))))

    with pytest.raises(SetupError, match=message):
        read_scores(loaded, settings(), path)


def test_scores_of_another_model_are_refused(loaded: Scratch, tmp_path: Path) -> None:
    other = {**settings(), "probability_two_random_records_match": 0.1}
    path = written(tmp_path, scores(export_id(loaded, other)))

    with pytest.raises(SetupError, match="were computed with another model than the current one"):
        read_scores(loaded, settings(), path)


@pytest.mark.parametrize("names", [("Ann", "Bea", "Cyd"), ("Ann", "Bea"), ("Ann", "Bea", "Cy", "Di")])
def test_scores_of_other_records_are_refused(names: tuple[str, ...], loaded: Scratch, tmp_path: Path) -> None:
    with scratch(tmp_path / "other", "512MB") as opened:
        stage(opened, {"CRM": records(*names)})
        prepare(opened)
        path = written(tmp_path, scores(export_id(opened, settings())))

    with pytest.raises(SetupError, match=rf"The records have changed since the export .* \(3 now, {len(names)} then\)"):
        read_scores(loaded, settings(), path)


def test_a_file_in_another_format_is_refused(loaded: Scratch, tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text("rid_l,rid_r\n1,2\n")

    with pytest.raises(SetupError, match=r"scores.csv` cannot be read as Parquet: "):
        read_scores(loaded, settings(), path)


def test_a_run_uses_the_scores_of_spark(people: People) -> None:
    """They link two records with the same name, which its own scores would keep apart."""
    name = {"given-name": "Ann", "surname": "Lee"}
    people.feed("CRM", [{"pk": "1", **name}, {"pk": "2", **name, "city": "Bonn"}])
    *_, script = exported(people.context(), people.folder / "spark")
    (identity,) = re.findall(r'lit\("(.+?)"\)', script.read_text())
    row = {"rid_l": 1, "rid_r": 2, "match_weight": 20.0, "export_id": identity, "pairs": 1}

    stitch(people.context(), written(people.folder, [row]))

    assert people.customers() == groups("CRM 1, CRM 2")
    assert people.rows("Stitch:Unified_Scores", "score", "match_type") == [(4.0, "scoring")]
