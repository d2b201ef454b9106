"""Listed columns are found in the first row that has them, at no cost until then."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_heap_analytics.mapping.columns.column import ABSENT, Column
from destination_heap_analytics.mapping.columns.property_columns import PropertyColumns
from destination_heap_analytics.names import as_setting, nearest, normal

ROW = {
    "email": "a",
    "identities": {"provider": "auth0", "ids": [{"id": 1}]},
    "traits": '{"plan": {"name": "pro"}}',
    "gone": None,
}
LISTED = [
    f"{prefix}{number}" for prefix in ("identities.x", "identities_y", "traits.z", "email_w") for number in range(250)
]


def values(columns: PropertyColumns, data: dict[str, Any]) -> dict[str, Any]:
    columns.learn(data)
    return {name: value for name, value in columns.values(data, exact=True) if value is not ABSENT}


def test_columns_below_an_existing_key_are_not_looked_up_in_each_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a thousand, none is looked up in a row that has none."""
    columns = PropertyColumns(Column(name, may_guess=True) for name in LISTED)
    asked: list[str] = []
    found_in = Column.found_in
    monkeypatch.setattr(Column, "found_in", lambda column, data: (asked.append(column.name), found_in(column, data))[1])
    for _ in range(3):
        assert values(columns, ROW) == {}
    assert asked == []
    assert values(columns, {**ROW, "identities": {"x7": 1, "y8": 2}}) == {"identities.x7": 1, "identities_y8": 2}
    assert set(asked) == {"identities.x7", "identities_y8"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("email", "a"),
        ("identities.provider", "auth0"),
        ("identities_provider", "auth0"),
        ("identities.ids.0.id", 1),
        ("identities_ids_0_id", 1),
        ("traits.plan.name", "pro"),
        ("gone.further", None),
    ],
)
def test_a_column_is_found_in_the_row_that_has_it(name: str, value: Any) -> None:
    """Even after rows without it."""
    columns = PropertyColumns([Column(name, may_guess=True)])
    assert values(columns, {"other": 1}) == {}
    assert values(columns, ROW) == {name: value}
    assert columns.unseen == []


keys = st.text("ab\ufeff é\u0301", min_size=1, max_size=3).filter(normal)


@given(st.lists(keys, min_size=1, max_size=3), st.sampled_from("._"))
def test_the_index_finds_what_the_column_itself_finds(path: list[str], separator: str) -> None:
    """For any keys: the index only saves time."""
    data: Any = 1
    for key in reversed(path):
        data = {key: data}
    column = Column(separator.join(map(normal, path)), may_guess=True)
    found = column.found_in(data).read(data)
    assert values(PropertyColumns([column]), data) == ({} if found is ABSENT else {column.name: found})


@pytest.mark.parametrize(
    ("key", "typed"),
    [
        ("AMPED\u00a0Domain", "AMPED Domain"),
        ("AMPED\u202fDomain\u00a0", "AMPED Domain"),
        ("\ufeffEmail", "Email"),
        ("e\u200bmail", "email"),
        ("Cafe\u0301", "Caf\u00e9"),
        ("a\tb\x00", "a b"),
    ],
)
def test_characters_that_cannot_be_typed_are_ignored(key: str, typed: str) -> None:
    """The suggested name can be typed, and leads to the column."""
    assert as_setting(key) == typed
    assert values(PropertyColumns([Column(typed)]), {key: 5}) == {typed: 5}


def test_long_names_are_not_compared_by_similarity(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cost is quadratic in the length; a name that differs only in case is still found."""
    compared: list[int] = []

    def compare(word: str, names: list[str], **_: Any) -> list[str]:
        compared.extend(map(len, (word, *names)))
        return []

    monkeypatch.setattr("destination_heap_analytics.names.get_close_matches", compare)
    assert nearest("x" * 100_000, ["X" * 100_000]) == "X" * 100_000
    assert nearest("x" * 100_000, ["y" * 100_000]) is None
    assert nearest("x", ["y" * 100_000, "z"]) is None
    assert max(compared) <= 200
