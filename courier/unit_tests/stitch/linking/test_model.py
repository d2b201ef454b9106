"""The conditions of the model's levels."""

from __future__ import annotations

from random import Random

import duckdb
import pytest

from heap_courier.stitch.linking import model

WORDS = ("AL", "LA", "JO", "ANN", "BRIN", "BIRN", "SMITH", "19500203", "5551234567", "A@B.CO", "ANN.LEE@MAIL.TEST")
EDITS = 3


def edited(chance: Random, word: str) -> str:
    """The word with a random letter removed, doubled, replaced or swapped with the next one."""
    place = chance.randrange(len(word))
    before, letter, after = word[:place], word[place], word[place + 1 :]
    letters = ("", letter * 2, "7", after[:1] + letter)
    kind = chance.randrange(len(letters))
    return before + letters[kind] + (after[1:] if kind == len(letters) - 1 else after)


@pytest.mark.parametrize(
    ("condition", "most"),
    [(model._ONE_TYPO, 1), (model._TYPO_IN_EMAIL, 1), (model._TWO_TYPOS, 2), (model._TYPOS_AT_MOST % (3, 3), 3)],
    ids=["one", "e-mail", "two", "three"],
)
def test_the_conditions_before_a_distance_do_not_change_its_result(condition: str, most: int) -> None:
    chance = Random(4)
    pairs = []
    for word in WORDS:
        for _ in range(300):
            other = word
            for _ in range(chance.randrange(EDITS + 1)):
                other = edited(chance, other) or "X"
            if len(word) >= 5 <= len(other) or condition is not model._TYPO_IN_EMAIL:  # (an address has five)
                pairs += [(word, other), (other, word)]
    values = ", ".join(f"('{first}', '{second}')" for first, second in pairs)
    found = condition.format(l="l", r="r")

    wrong = duckdb.sql(
        f"SELECT l, r FROM (VALUES {values}) AS p (l, r) WHERE ({found}) <> (damerau_levenshtein(l, r) <= {most})"
    ).fetchall()

    assert wrong == []
