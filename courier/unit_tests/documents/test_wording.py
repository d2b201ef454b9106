"""The name that was meant."""

from __future__ import annotations

import pytest

from heap_courier.documents.wording import did_you_mean, named, nearest
from heap_courier.errors import SetupError

KNOWN = ["Emial", "EMAIL", "users"]


@pytest.mark.parametrize(("word", "meant"), [("email", "EMAIL"), ("emial", "Emial"), ("user", "users"), ("zzz", None)])
def test_a_name_that_differs_only_in_case_comes_first(word: str, meant: str | None) -> None:
    assert nearest(word, KNOWN) == meant
    assert did_you_mean(word, KNOWN) == (f" (did you mean `{meant}`?)" if meant else "")


def test_an_item_is_looked_up_by_name() -> None:
    assert named({"Heap": 1}, "Heap", "Here", "courier") == 1
    with pytest.raises(SetupError, match=r"there is no courier `HEAP`\. Did you mean `Heap`\?"):
        named({"Heap": 1}, "HEAP", "Here", "courier")


def test_a_guess_about_a_word_that_may_be_right_must_be_very_similar() -> None:
    assert nearest("phonics", ["phone"]) == "phone"
    assert nearest("phonics", ["phone"], sure=True) is None
    assert nearest("phnoe", ["phone"], sure=True) == "phone"
