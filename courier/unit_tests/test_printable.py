"""Control characters in names from outside are escaped."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heap_courier.errors import CourierError, MissingFeedsError, SchemaError
from heap_courier.printable import printable, printable_json

ACTIVE = st.sampled_from("\x00\n\r\t\x1b\x7f\x85\x9b\u2028\u2029\u202e\u2066\u200f\ud800")
TEXTS = st.lists(st.one_of(st.text(), ACTIVE)).map("".join)


def is_inert(text: str) -> bool:
    return not any(
        unicodedata.category(character) in ("Cc", "Zl", "Zp", "Cs")
        or unicodedata.bidirectional(character) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
        for character in text
    )


@given(TEXTS)
def test_no_character_controls_the_terminal(text: str) -> None:
    shown = printable(text)
    assert is_inert(shown)
    assert printable(shown) == shown
    shown.encode()


@given(st.text(alphabet=st.characters(categories=("L", "N", "P", "S", "Zs"))))
def test_other_characters_are_unchanged(text: str) -> None:
    assert printable(text) == text


@given(st.text())
def test_json_stays_equivalent(text: str) -> None:
    line = printable_json(json.dumps({text: text}, ensure_ascii=False))
    assert is_inert(line)
    assert json.loads(line) == {text: text}


@pytest.mark.parametrize("error", [CourierError, SchemaError])
def test_an_error_is_one_line_regardless_of_the_names_in_it(error: type[CourierError]) -> None:
    assert str(error("The column `a\n\x1b[2Jb\u202e` is missing.")) == "The column `a\\n\\x1b[2Jb\\u202e` is missing."


def test_the_documented_words_keep_their_lines() -> None:
    assert str(MissingFeedsError(["df-x\n"], "The files are kept.")).split("\n") == [
        "Error running load-operations task",
        'Cannot find required feeds: "df-x\\n"',
        "The files are kept.",
    ]
