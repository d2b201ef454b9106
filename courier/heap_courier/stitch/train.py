"""Trains a model for a project: estimates the weights of all levels on its records, without labels."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from heap_courier.errors import SetupError
from heap_courier.stitch.linking.model import FILE, MISSING, settings, weight
from heap_courier.stitch.linking.relatives import refuse_relatives
from heap_courier.stitch.scratch import Scratch

LEAST: Final = 1000
"""The number of records that training needs."""

UP: Final = 2.0
DOWN: Final = 4.0
"""The most bits that a trained weight can be above or below the shipped one. The estimate assumes that fields are
independent, and so overrates fields that members of a household share."""

RELATED: Final = ("given_name", "birthdate")
"""Fields in which relatives in one household differ: twins in the first, a parent and child with the same name in the
second."""

_WEAKEST: Final = -6.0
"""The most bits that a field of `RELATED` subtracts if no relatives are expected."""

_PAIRS: Final = 1_000_000
_TOGETHER: Final = ("l.given_name = r.given_name AND l.surname = r.surname", "l.birthdate = r.birthdate")


def train(scratch: Scratch, *, relatives: bool = True) -> dict[str, Any]:
    """Trains a model on the loaded records.

    Args:
        scratch: the scratch database, with the tables of `records.loading`.
        relatives: whether two customers can be twins, or a parent and child with the same name. If so, records that
            differ in given name or birthdate never match, as in the shipped model.

    Raises:
        SetupError: there are too few records, they have too little in common, or there are relatives among them
            although none are expected.
    """
    from splink import DuckDBAPI, Linker  # noqa: PLC0415  (as in `scoring`)
    from splink.internals.exceptions import EMTrainingException, SplinkException  # noqa: PLC0415

    ((count,),) = scratch.query("SELECT count(*) FROM clean")
    if count < LEAST:
        raise SetupError(f"Training needs at least {LEAST:,} records, but there are {count:,}: use the shipped model.")
    if not relatives:
        refuse_relatives(scratch, "Train without `--no-relatives`; no model was written.")
    logging.getLogger("splink").setLevel(logging.CRITICAL)
    shipped = settings()
    begun = shipped if relatives else among_strangers(shipped, int(count))
    linker = Linker(
        DuckDBAPI(connection=scratch.connection).register("clean"),
        _estimated(begun),
        log_level=None,
        validate_settings=False,
    )
    try:
        linker.training.estimate_u_using_random_sampling(max_pairs=_PAIRS, seed=1)
        for rule in _TOGETHER:
            linker.training.estimate_parameters_using_expectation_maximisation(rule)
    except (EMTrainingException, SplinkException) as error:
        raise SetupError(
            "Training failed, because too few records have names and birthdates in common: use the shipped model."
        ) from error
    return bounded(begun, linker.misc.save_model_to_json())


def _estimated(begun: Mapping[str, Any]) -> dict[str, Any]:
    """The model for the estimate, in which a missing field has no weight."""
    comparisons = []
    for each in begun["comparisons"]:
        missing = [level for level in each["comparison_levels"] if level["label_for_charts"].startswith(MISSING)]
        others = [level for level in each["comparison_levels"] if level not in missing]
        nothing = {**missing[0], "sql_condition": missing[-1]["sql_condition"]}
        comparisons.append({**each, "comparison_levels": [nothing, *others]})
    return {**begun, "comparisons": comparisons}


def among_strangers(shipped: Mapping[str, Any], records: int) -> dict[str, Any]:
    """The initial model for training if no two customers are relatives.

    No field of `RELATED` rules out a match, and the prior assumes that each record has one other record of the same
    customer.
    """
    comparisons = []
    for each in shipped["comparisons"]:
        levels = each["comparison_levels"]
        if each["output_column_name"] in RELATED:
            levels = [_loosened(level) if level.get("fix_m_probability") else level for level in levels]
        comparisons.append({**each, "comparison_levels": levels})
    prior = max(1 / records, shipped["probability_two_random_records_match"])
    return {**shipped, "comparisons": comparisons, "probability_two_random_records_match": prior}


def _loosened(level: Mapping[str, Any]) -> dict[str, Any]:
    free = {name: value for name, value in level.items() if not name.startswith("fix_")}
    return {**free, "m_probability": level["u_probability"] * 2**_WEAKEST}


def bounded(begun: Mapping[str, Any], trained: Mapping[str, Any]) -> dict[str, Any]:
    """The initial model with trained weights, limited to the range that can be trusted."""
    found = {
        (each["output_column_name"], level["label_for_charts"]): level
        for each in trained["comparisons"]
        for level in each["comparison_levels"]
    }
    comparisons = []
    for each in begun["comparisons"]:
        levels = []
        for level in each["comparison_levels"]:
            estimate = found.get((each["output_column_name"], level["label_for_charts"]), {})
            levels.append(
                level if "m_probability" not in level or level.get("fix_m_probability") else _one(level, estimate)
            )
        comparisons.append({**each, "comparison_levels": levels})
    return {**begun, "comparisons": comparisons}


def _one(level: Mapping[str, Any], estimate: Mapping[str, Any]) -> dict[str, Any]:
    m, u = estimate.get("m_probability"), estimate.get("u_probability")
    before = weight(level)
    if not (isinstance(m, float) and isinstance(u, float) and m > 0 and u > 0):
        return dict(level)
    lowest, highest = before - DOWN, before + UP
    bits = min(max(math.log2(m / u), lowest), highest)
    return {**level, "m_probability": m, "u_probability": m / 2**bits}


def write_model(folder: Path, model: Mapping[str, Any]) -> Path:
    """Writes the model of a project, replacing an earlier one."""
    path = folder / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    made = path.with_suffix(".new")
    made.write_text(json.dumps(model, indent=1) + "\n", encoding="utf-8")
    os.replace(made, path)  # noqa: PTH105  (atomic on every system)
    return path
