"""The error tree of the courier."""

from __future__ import annotations

import re

import pytest

from heap_courier import errors
from heap_courier.errors import CourierError, MissingFeedsError, SetupError


def drawn() -> dict[str, str]:
    """Each class in the drawing, and its parent."""
    above: dict[int, str] = {}
    parents = {}
    for line in str(errors.__doc__).splitlines():
        if match := re.match(r"(?P<lines>[ │├└─]*)(?P<name>[A-Z]\w+Error)  +(?P<what>\S.*)", line):
            depth = len(match["lines"])
            parents[match["name"]] = above.get(depth - 4, "")
            above[depth] = match["name"]
    return parents


def classes(root: type[CourierError]) -> dict[str, str]:
    tree: dict[str, str] = {}
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            tree |= {child.__name__: root.__name__, **classes(child)}
    return tree


def test_the_tree_matches_its_drawing() -> None:
    assert drawn() == {"CourierError": "", **classes(CourierError)}


@pytest.mark.parametrize(
    ("error", "lines"),
    [
        (
            MissingFeedsError(["df-xxxxxx"]),
            ["Error running load-operations task", 'Cannot find required feeds: "df-xxxxxx"'],
        ),
        (
            MissingFeedsError(["df-a", "df-b"], "Add them."),
            ["Error running load-operations task", 'Cannot find required feeds: "df-a", "df-b"', "Add them."],
        ),
    ],
)
def test_missing_feeds_are_reported_in_the_documented_words(error: MissingFeedsError, lines: list[str]) -> None:
    assert str(error).splitlines() == lines
    assert isinstance(error, SetupError)
