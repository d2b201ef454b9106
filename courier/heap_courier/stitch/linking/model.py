"""The scoring model: which fields are compared, at which levels, and the weight of each level.

A model is a settings file of splink (https://moj-analytical-services.github.io/splink), `model.json`. Each level has
the probability that two records of the same customer are at it (m), and that two records of different customers are
(u). Its weight is log2(m / u). The shipped model is designed for up to a few million people.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from heap_courier.errors import SetupError

SHIPPED: Final = Path(__file__).with_name("model.json")
FILE: Final = Path("stitch") / "model.json"
"""The path of a project's own model in its folder."""

BLOCKS: Final = (
    "left(given_name, 3) || '|' || left(surname, 1) || '|' || birthdate",
    "left(given_name, 3) || '|' || left(surname, 3) || '|' || postal",
    "left(given_name, 3) || '|' || address",
    "left(given_name, 3) || '|' || phone",
    "left(given_name, 3) || '|' || left(surname, 3) || '|' || split_part(email, '@', 1)",
    "left(given_name, 3) || '|' || company",
    "email",
    "phone",
    "left(surname, 3) || '|' || birthdate",
    "postal || '|' || birthdate",
    "city || '|' || birthdate",
    "postal || '|' || address",
    "LEAST(given_name, surname) || '|' || GREATEST(given_name, surname) || '|' || postal",
    "LEAST(given_name, surname) || '|' || GREATEST(given_name, surname) || '|' || city",
    "LEAST(given_name, surname) || '|' || GREATEST(given_name, surname) || '|' || birthdate",
)
"""Only records that share one of these keys are compared: the documented blocking keys, and seven more for typos at the
beginning of names and in postal codes, and for given names swapped with surnames. Foreign keys need no comparison."""

LARGEST_BLOCK: Final = 100
"""The most records that may share a value of a blocking key; more common values are skipped."""

PRIOR: Final = 2**-20
"""The prior probability that two records belong to the same customer."""


MISSING: Final = "missing"
"""The prefix of the labels of levels for pairs in which a record lacks the field."""


class Level(NamedTuple):
    """A level of a comparison: a condition on columns with the suffixes `_l` and `_r`. The first true one applies."""

    label: str
    condition: str
    m: float
    u: float
    fixed: bool = False  # whether training keeps its weight


class Comparison(NamedTuple):
    """The comparison of a field, or of several fields that belong together."""

    name: str
    levels: tuple[Level, ...]


def _both(name: str, condition: str) -> str:
    return condition.format(l=f"{name}_l", r=f"{name}_r")


def _missing(*names: str) -> str:
    return " OR ".join(f"{name}_l IS NULL OR {name}_r IS NULL" for name in names)


_EQUAL: Final = "{l} = {r}"
_SIMILAR: Final = "jaro_winkler_similarity({l}, {r}) >= %s"
# The conditions before a distance are true for all texts within it, and take a tenth of its time.
_ONE_TYPO: Final = (
    "(abs(length({l}) - length({r})) <= 1 AND (left({l}, 1) = left({r}, 1) OR right({l}, 1) = right({r}, 1) OR "
    "LEAST(length({l}), length({r})) < 4) AND damerau_levenshtein({l}, {r}) <= 1)"
)
_TYPOS_AT_MOST: Final = "(abs(length({l}) - length({r})) <= %s AND damerau_levenshtein({l}, {r}) <= %s)"
_TWO_TYPOS: Final = _TYPOS_AT_MOST % (2, 2)
_TYPOS: Final = f"(LEAST(length({{l}}), length({{r}})) >= 6 AND {_TWO_TYPOS})"
_TYPO_IN_EMAIL: Final = (
    "abs(length({l}) - length({r})) <= 1 AND (left({l}, 4) = left({r}, 4) OR "
    "right({l}, LEAST(length({l}), length({r})) - 5) = right({r}, LEAST(length({l}), length({r})) - 5)) AND "
    "damerau_levenshtein({l}, {r}) <= 1"
)
_ALMOST: Final = f"{_SIMILAR % 0.92} OR {_ONE_TYPO}"
_SIMILAR_GIVEN: Final = f"NOT (contains({{l}}, ' ') AND contains({{r}}, ' ')) AND ({_SIMILAR % 0.80} OR {_TYPOS})"
"""`MARY ANN` and `MARY BETH` are sisters, although most of their letters are the same."""

_INITIAL: Final = "(length({l}) = 1 OR length({r}) = 1) AND left({l}, 1) = left({r}, 1)"
_NICKNAME: Final = (
    "(list_contains(formal_names_l, given_name_r) OR list_contains(formal_names_r, given_name_l) OR "
    "starts_with(given_name_l, given_name_r || ' ') OR starts_with(given_name_r, given_name_l || ' '))"
)
_SWAPPED: Final = (
    "left(given_name_l, 1) = left(surname_r, 1) AND left(surname_l, 1) = left(given_name_r, 1) AND "
    "jaro_winkler_similarity(given_name_l, surname_r) >= 0.92 AND "
    "jaro_winkler_similarity(surname_l, given_name_r) >= 0.92"
)
_DAY_AND_MONTH_SWAPPED: Final = (
    "left({l}, 4) = left({r}, 4) AND substr({l}, 5, 2) = substr({r}, 7, 2) AND substr({l}, 7, 2) = substr({r}, 5, 2)"
)
_PERSONAL: Final = (
    f"COALESCE(email_l = email_r, false) OR COALESCE({_ONE_TYPO.format(l='birthdate_l', r='birthdate_r')}, false)"
)
_SAME_UNIT: Final = "COALESCE(address2_l = address2_r, true)"

COMPARISONS: Final = (
    Comparison(
        "given_name",
        (
            Level("missing", f"({_missing('given_name')}) AND ({_PERSONAL})", 0, 0),
            Level("missing, with nothing else that is personal", _missing("given_name"), 0.0002, 0.8, fixed=True),
            Level("equal", _both("given_name", _EQUAL), 0.80, 0.005),
            Level("swapped with the surname", _SWAPPED, 0.02, 0.000005),
            Level("initial", _both("given_name", _INITIAL), 0.02, 0.01),
            Level("almost equal", _both("given_name", _ALMOST), 0.10, 0.003),
            Level("nickname", _NICKNAME, 0.04, 0.002),
            Level("similar", _both("given_name", _SIMILAR_GIVEN), 0.02, 0.04),
            Level("different", "ELSE", 1e-13, 0.97, fixed=True),
        ),
    ),
    Comparison(
        "surname",
        (
            Level("missing", _missing("surname"), 0, 0),
            Level("equal", _both("surname", _EQUAL), 0.82, 0.002),
            Level("swapped with the given name", _SWAPPED, 0.02, 0.02),
            Level("almost equal", _both("surname", _ALMOST), 0.10, 0.002),
            Level("similar", _both("surname", f"{_SIMILAR % 0.80} OR {_TYPOS}"), 0.04, 0.01),
            Level("different", "ELSE", 0.02, 0.97),
        ),
    ),
    Comparison(
        "birthdate",
        (
            Level("missing", _missing("birthdate"), 0, 0),
            Level("equal", _both("birthdate", _EQUAL), 0.90, 0.00004),
            Level("typing error", _both("birthdate", f"{_ONE_TYPO} OR {_DAY_AND_MONTH_SWAPPED}"), 0.08, 0.0016),
            Level("two digits differ", _both("birthdate", _TWO_TYPOS), 0.0000006, 0.02, fixed=True),
            Level("different", "ELSE", 1e-13, 0.98, fixed=True),
        ),
    ),
    Comparison(
        "generational_suffix",
        (
            Level("missing", _missing("generational_suffix"), 0, 0),
            Level("equal", _both("generational_suffix", _EQUAL), 0.99, 0.5),
            Level("different", "ELSE", 1e-13, 0.5, fixed=True),
        ),
    ),
    Comparison(
        "email",
        (
            Level("missing", _missing("email"), 0, 0),
            Level("equal", _both("email", _EQUAL), 0.70, 0.00002),
            Level(
                "same name at another provider",
                "left(email_l, 6) = left(email_r, 6) AND length(split_part(email_l, '@', 1)) > 5 AND "
                "split_part(email_l, '@', 1) = split_part(email_r, '@', 1)",
                0.05,
                0.0002,
            ),
            Level("typing error", _both("email", _TYPO_IN_EMAIL), 0.05, 0.0001),
            Level("different", "ELSE", 0.016, 0.9997),
        ),
    ),
    Comparison(
        "phone",
        (
            Level("missing", _missing("phone"), 0, 0),
            Level("equal", _both("phone", _EQUAL), 0.70, 0.0001),
            Level("typing error", _both("phone", _ONE_TYPO), 0.05, 0.0005),
            Level("different", "ELSE", 0.25, 0.999),
        ),
    ),
    Comparison(
        "home",
        (
            Level(
                "missing",
                f"({_missing('address')}) AND ({_missing('postal')}) AND ({_missing('city')})",
                0,
                0,
            ),
            Level("same address", f"{_both('address', _EQUAL)} AND {_SAME_UNIT}", 0.60, 0.00005),
            Level(
                "almost the same address",
                f"({_both('postal', _EQUAL)} OR {_both('city', _EQUAL)}) AND "
                f"({_both('address', f'{_SIMILAR % 0.92} OR {_TWO_TYPOS}')})",
                0.15,
                0.00005,
            ),
            Level(
                "almost the same address, postal code and city",
                f"({_both('postal', _ONE_TYPO)} OR {_both('city', _SIMILAR % 0.92)}) AND "
                f"({_both('address', f'{_SIMILAR % 0.88} OR {_TYPOS_AT_MOST % (3, 3)}')})",
                0.05,
                0.00005,
            ),
            Level("same postal code", _both("postal", _EQUAL), 0.10, 0.002),
            Level("same city", _both("city", _EQUAL), 0.05, 0.01),
            Level("different", "ELSE", 0.13, 0.99),
        ),
    ),
    Comparison(
        "company",
        (
            Level("missing", _missing("company"), 0, 0),
            Level("equal", _both("company", _EQUAL), 0.60, 0.01),
            Level("different", "ELSE", 0.40, 0.99),
        ),
    ),
    Comparison(
        "gender",
        (
            Level("missing", _missing("gender"), 0, 0),
            Level("equal", _both("gender", _EQUAL), 0.98, 0.5),
            Level("different", "ELSE", 0.02, 0.5),
        ),
    ),
)


def _neither(name: str, condition: str) -> str:
    """Whether both records have a value, and the condition is false."""
    return f"NOT ({_missing(name)}) AND NOT ({_both(name, condition)})"


_ARE_SWAPPED: Final = f"COALESCE({_SWAPPED}, false)"
_YEARS_APART: Final = "abs(CAST(left(birthdate_l, 4) AS INTEGER) - CAST(left(birthdate_r, 4) AS INTEGER))"
_CONTRADICTIONS: Final = {
    "generational_suffix": _neither("generational_suffix", _EQUAL),
    "birthdate": (
        f"({_neither('birthdate', f'{_TWO_TYPOS} OR {_DAY_AND_MONTH_SWAPPED}')} OR "
        f"({_neither('birthdate', f'{_ONE_TYPO} OR {_DAY_AND_MONTH_SWAPPED}')} AND {_YEARS_APART} > 12))"
    ),
    "given_name": (
        f"{_neither('given_name', f'{_ALMOST} OR {_SIMILAR_GIVEN} OR {_INITIAL}')} AND NOT {_ARE_SWAPPED} AND "
        f"NOT COALESCE({_NICKNAME}, false)"
    ),
}
_CONTRADICTS: Final = -30.0
"""Bits. A field whose level `different` has a lower weight contradicts a match."""


def contradiction(model: Mapping[str, Any]) -> str:
    """The condition, on tables `l` and `r`, by which two records contradict each other.

    Scores never link such records, not even through a third one. The fields depend on the weights of the model: a model
    that expects no relatives has fewer of them.
    """
    return " OR ".join(f"({contradicts(field)})" for field in contradicting_fields(model)) or "false"


def contradicting_fields(model: Mapping[str, Any]) -> list[str]:
    """The fields in which two records of the same customer cannot be completely different."""
    return [
        each["output_column_name"]
        for each in model["comparisons"]
        if each["output_column_name"] in _CONTRADICTIONS and weight(each["comparison_levels"][-1]) < _CONTRADICTS
    ]


def contradicts(field: str) -> str:
    """The condition by which two records, `l` and `r`, are completely different in a field; false if one lacks it."""
    return of_tables(_CONTRADICTIONS[field])


def weight(level: Mapping[str, Any]) -> float:
    """The weight of a level, in bits."""
    return math.log2(level["m_probability"] / level["u_probability"])


def of_tables(condition: str) -> str:
    """A condition on splink's columns, rewritten for the tables `l` and `r`."""
    return re.sub(r"\b(\w+)_([lr])\b", r"\2.\1", condition)


def settings() -> dict[str, Any]:
    """The splink settings of the shipped model."""
    return {
        "link_type": "dedupe_only",
        "unique_id_column_name": "rid",
        "probability_two_random_records_match": PRIOR,
        "retain_matching_columns": False,
        "retain_intermediate_calculation_columns": False,
        "blocking_rules_to_generate_predictions": [
            {"blocking_rule": f'l."block_{number}" = r."block_{number}"'} for number in range(len(BLOCKS) + 1)
        ],
        "comparisons": [
            {"output_column_name": each.name, "comparison_levels": [_level(level) for level in each.levels]}
            for each in COMPARISONS
        ],
    }


def _level(level: Level) -> dict[str, Any]:
    described: dict[str, Any] = {"label_for_charts": level.label, "sql_condition": level.condition}
    if level.label == MISSING:
        return {**described, "is_null_level": True}
    described |= {"m_probability": level.m, "u_probability": level.u}
    if level.fixed:
        described |= {"fix_m_probability": True, "fix_u_probability": True}
    return described


def read_model(folder: Path) -> dict[str, Any]:
    """The project's own model, or the shipped one.

    Raises:
        SetupError: the file is not a model, or belongs to another version of this package.
    """
    path = folder / FILE
    if not path.exists():
        return dict(json.loads(SHIPPED.read_text(encoding="utf-8")))
    try:
        model = json.loads(path.read_text(encoding="utf-8"))
        conditions = [[level["sql_condition"] for level in each["comparison_levels"]] for each in model["comparisons"]]
    except (ValueError, KeyError, TypeError):
        raise SetupError(f"`{path}` is not a valid model: remove it to use the shipped model.") from None
    if conditions != [[level.condition for level in each.levels] for each in COMPARISONS]:
        raise SetupError(
            f"`{path}` is for another version of Stitch: train it again, or remove it to use the shipped model."
        )
    return dict(model)
