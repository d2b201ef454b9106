"""What a search matches."""

from __future__ import annotations

import pytest

from heap_sandbox.mock.views import search


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("", "anything"),
        ("ada", "x ADA y"),
        ("placed order", "Order Placed"),
        ("STRASSE", "Straße"),
        ('say "hi"', r'{"text":"they say \"hi\""}'),
        (r"c:\temp", r'{"path":"C:\\Temp"}'),
        ('"plan":"pro"', '{"plan":"pro"}'),
        ("%", "100%"),
    ],
)
def test_a_text_that_contains_all_words_matches(words: str, text: str) -> None:
    """In any letter case and order, even if JSON escapes them."""
    assert search(words)(text)


@pytest.mark.parametrize(("words", "text"), [("ada bob", "ada"), ("%", "ada"), ("_", "ada"), (r"\"", "ada")])
def test_other_texts_do_not_match(words: str, text: str) -> None:
    """No character is a wildcard."""
    assert not search(words)(text)
