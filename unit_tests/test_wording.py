"""Names from a source cannot control a terminal or a log."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_heap_analytics.wording import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ASCII, `quoted`", "plain ASCII, `quoted`"),
        ("Zoë 名前 🙂", "Zoë 名前 🙂"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x1b[2J", r"\u001b[2J"),
        ("\x7f\x9b2J\x85", r"\u007f\u009b2J\u0085"),
        ("\u202etxt\u2066\u200f", r"\u202etxt\u2066\u200f"),
        ("\u2028\u2029", r"\u2028\u2029"),
        ("\ufeffid\u00a0\u200b", r"\ufeffid\u00a0\u200b"),
        ("\ud800\udfff", r"\ud800\udfff"),
        ("\U000e0001", r"\udb40\udc01"),
    ],
)
def test_characters_that_a_terminal_would_interpret_are_escaped(text: str, shown: str) -> None:
    """As in JSON; letters of any script are unchanged."""
    assert printable(text) == shown


@given(st.text())
def test_any_text_becomes_one_printable_line(text: str) -> None:
    """Escaping it again changes nothing."""
    shown = printable(text)
    assert shown.isprintable()
    assert printable(shown) == shown


@given(st.text(st.characters(categories=["L", "N", "P", "S"])))
def test_letters_of_all_scripts_are_unchanged(text: str) -> None:
    """Users see the name as it is."""
    assert printable(text) == text
