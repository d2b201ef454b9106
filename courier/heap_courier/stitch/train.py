"""A model of a project's own: the weights of all levels, estimated on its records, without labels."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from heap_courier.errors import SetupError
from heap_courier.stitch.linking.model import FILE, settings
from heap_courier.stitch.scratch import Scratch

LEAST: Final = 1000
"""Records that training needs."""

UP: Final = 2.0
DOWN: Final = 4.0
"""Bits by which a trained weight can be above and below the shipped one. Fields that members of a household share look
independent to the estimate, which makes them too strong."""

_PAIRS: Final = 1_000_000
_TOGETHER: Final = ("l.given_name = r.given_name AND l.surname = r.surname", "l.birthdate = r.birthdate")


def train(scratch: Scratch) -> dict[str, Any]:
    """A model from the records that were loaded.

    Raises:
        SetupError: there are too few, or they have too little in common.
    """
    from splink import DuckDBAPI, Linker  # noqa: PLC0415  (as in `scoring`)
    from splink.internals.exceptions import EMTrainingException, SplinkException  # noqa: PLC0415

    ((count,),) = scratch.query("SELECT count(*) FROM clean")
    if count < LEAST:
        raise SetupError(f"Training needs {LEAST:,} records, and there are {count:,}: use the shipped model.")
    logging.getLogger("splink").setLevel(logging.CRITICAL)
    shipped = settings()
    linker = Linker(
        DuckDBAPI(connection=scratch.connection).register("clean"), shipped, log_level=None, validate_settings=False
    )
    try:
        linker.training.estimate_u_using_random_sampling(max_pairs=_PAIRS, seed=1)
        for rule in _TOGETHER:
            linker.training.estimate_parameters_using_expectation_maximisation(rule)
    except (EMTrainingException, SplinkException) as error:
        raise SetupError(
            "Training failed, because too few records have names and birthdates in common: use the shipped model."
        ) from error
    return bounded(shipped, linker.misc.save_model_to_json())


def bounded(shipped: Mapping[str, Any], trained: Mapping[str, Any]) -> dict[str, Any]:
    """The shipped model with trained weights, as far as these can be trusted."""
    found = {each["output_column_name"]: each["comparison_levels"] for each in trained["comparisons"]}
    comparisons = []
    for each in shipped["comparisons"]:
        levels = []
        for level, estimate in zip(each["comparison_levels"], found[each["output_column_name"]], strict=True):
            levels.append(
                level if "m_probability" not in level or level.get("fix_m_probability") else _one(level, estimate)
            )
        comparisons.append({**each, "comparison_levels": levels})
    return {**shipped, "comparisons": comparisons}


def _one(level: Mapping[str, Any], estimate: Mapping[str, Any]) -> dict[str, Any]:
    m, u = estimate.get("m_probability"), estimate.get("u_probability")
    before = math.log2(level["m_probability"] / level["u_probability"])
    if not (isinstance(m, float) and isinstance(u, float) and m > 0 and u > 0):
        return dict(level)
    bits = min(max(math.log2(m / u), before - DOWN), before + UP)
    return {**level, "m_probability": m, "u_probability": m / 2**bits}


def write_model(folder: Path, model: Mapping[str, Any]) -> Path:
    """Writes the model of a project, in place of an earlier one."""
    path = folder / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    made = path.with_suffix(".new")
    made.write_text(json.dumps(model, indent=1) + "\n", encoding="utf-8")
    os.replace(made, path)  # noqa: PTH105  (atomic on every system)
    return path
