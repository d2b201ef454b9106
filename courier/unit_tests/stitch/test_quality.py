"""Customers compared with the true matches, and independence of irrelevant changes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from random import Random
from typing import Any

import pytest

from benchmarks.stitch.bench import febrl_quality, febrl_trained, linked, population_quality, stage
from benchmarks.stitch.population import TAGS, population
from heap_courier.errors import SetupError
from heap_courier.stitch.linking.model import SHIPPED, read_model, settings
from heap_courier.stitch.scratch import scratch
from heap_courier.stitch.train import UP, bounded, train, write_model

THOROUGH = pytest.mark.thorough


def test_the_shipped_model_is_the_one_that_the_code_describes() -> None:
    assert json.loads(SHIPPED.read_text()) == json.loads(json.dumps(settings()))


@pytest.mark.parametrize(
    ("number", "least"),
    [
        pytest.param(1, 0.985, marks=THOROUGH),
        pytest.param(2, 0.985, marks=THOROUGH),
        (3, 0.98),
        pytest.param(4, 0.985, marks=THOROUGH),
    ],
)
def test_febrl_with_its_key(number: int, least: float, tmp_path: Path) -> None:
    """Splink's published figure for febrl3 is 0.965."""
    found = febrl_quality(number, key=True, folder=tmp_path, model=read_model(tmp_path))

    assert found.precision >= 0.999
    assert found.f1 >= least


@pytest.mark.parametrize(
    ("number", "least"),
    [(1, 0.88), *(pytest.param(n, f1, marks=THOROUGH) for n, f1 in ((2, 0.85), (3, 0.83), (4, 0.89)))],
)
def test_febrl_by_profile_alone(number: int, least: float, tmp_path: Path) -> None:
    """Many of its pairs have a completely different given name or birthdate, and stay apart."""
    found = febrl_quality(number, key=False, folder=tmp_path, model=read_model(tmp_path))

    assert found.precision >= 0.999
    assert found.f1 >= least


@pytest.mark.parametrize("records", [4_000, pytest.param(100_000, marks=THOROUGH)])
def test_households(records: int, tmp_path: Path) -> None:
    found = population_quality(records, folder=tmp_path, model=read_model(tmp_path))

    assert found.precision >= 0.99
    assert found.recall >= 0.90


def clusters(rows: list[tuple[str, dict[str, str | None]]], folder: Path) -> set[frozenset[str]]:
    """The customers that a run finds in records, each given as a key and its values."""
    columns = {"pk": [pk for pk, _ in rows], **{tag: [values[tag] for _, values in rows] for tag in TAGS}}
    with scratch(folder, "512MB") as opened:
        stage(opened, {"all": columns})
        found = linked(opened, settings())
    parts: dict[int, set[str]] = {}
    for (_, pk), cluster in found.items():
        parts.setdefault(cluster, set()).add(pk)
    return {frozenset(part) for part in parts.values()}


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=THOROUGH) for seed in range(2, 12))])
def test_neither_the_order_of_rows_nor_records_of_others_change_a_customer(seed: int, tmp_path: Path) -> None:
    chance = Random(seed)
    rows = [(f"{each.source} {each.pk}", each.values) for each in population(chance, 1200)]
    before = clusters(rows, tmp_path)
    chance.shuffle(rows)
    assert clusters(rows, tmp_path) == before

    added = [
        (
            f"{each.source} new {each.pk}",
            {**each.values, "postal": "99999", "phone": None, "email": None, "city": "Far"},
        )
        for each in population(Random(seed + 1000), 300)
    ]
    together = clusters([*rows, *added], tmp_path)
    ours = {frozenset(pk for pk in part if " new " not in pk) for part in together} - {frozenset()}
    assert ours == before


def test_a_trained_model_is_as_precise(tmp_path: Path) -> None:
    rows = [(f"{each.source} {each.pk}", each.values) for each in population(Random(3), 3000)]
    columns = {"pk": [pk for pk, _ in rows], **{tag: [values[tag] for _, values in rows] for tag in TAGS}}
    with scratch(tmp_path, "512MB") as opened:
        stage(opened, {"all": columns})
        model = train(opened)
        with pytest.raises(SetupError, match=r"Some customers are relatives .* Train without `--no-relatives`"):
            train(opened, relatives=False)
    write_model(tmp_path, model)

    found = population_quality(4000, folder=tmp_path, model=read_model(tmp_path))

    assert model != settings()
    assert found.precision >= 0.99
    assert found.recall >= 0.85


@pytest.mark.parametrize(
    ("number", "key", "least"),
    [
        (1, False, 0.965),
        *(pytest.param(number, False, 0.965, marks=THOROUGH) for number in (2, 3, 4)),
        *(pytest.param(number, True, 0.99, marks=THOROUGH) for number in (1, 2, 3, 4)),
    ],
)
def test_among_people_without_relatives_a_trained_model_finds_nearly_all_pairs(
    number: int, key: bool, least: float, tmp_path: Path
) -> None:
    """Splink's published figure for febrl3 is 0.965."""
    found = febrl_trained(number, key=key, relatives=False, folder=tmp_path)

    assert found.precision >= 0.99
    assert found.f1 >= least


def test_trained_weights_stay_near_the_shipped_ones_and_contradictions_stay() -> None:
    wild = json.loads(json.dumps(settings()))
    for comparison in wild["comparisons"]:
        for level in comparison["comparison_levels"]:
            if "m_probability" in level:
                level |= {"m_probability": 0.9, "u_probability": 1e-9}

    found = bounded(settings(), wild)

    for old, new in zip(levels(settings()), levels(found), strict=True):
        fixed = old.get("fix_m_probability")
        assert weight(new) == pytest.approx(weight(old) + (0 if fixed else UP))


def levels(model: dict[str, Any]) -> list[dict[str, Any]]:
    return [level for each in model["comparisons"] for level in each["comparison_levels"] if "m_probability" in level]


def weight(level: dict[str, Any]) -> float:
    return math.log2(level["m_probability"] / level["u_probability"])
