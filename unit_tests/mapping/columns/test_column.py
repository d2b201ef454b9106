"""A column is read as a literal key, a dotted path or the path with underscores; the way is fixed once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_heap_analytics.mapping.columns.column import (
    ABSENT,
    Column,
    column_names,
    is_airbytes,
    is_deletion,
    is_plain,
    look_up,
    schema_names,
)

USER = {"email": "a@example.com", "identities": {"user_id": "u1", "provider": "auth0"}, "visits": [{"date": "d0"}]}

keys = st.text(st.characters(blacklist_characters="._", blacklist_categories=("Cs",)), min_size=1).filter(
    lambda key: not key.isdigit()
)
paths = st.lists(keys, min_size=1, max_size=5)


def nested(path: list[str], value: Any) -> dict[str, Any]:
    for key in reversed(path):
        value = {key: value}
    return value  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("email", ("email",)),
        ("identities.user_id", ("identities", "user_id")),
        ("identities_provider", ("identities", "provider")),
        ("identities_user_id", ("identities", "user_id")),
        ("identities", ("identities",)),
        ("visits.0.date", ("visits", "0", "date")),
        ("visits_0_date", ("visits", "0", "date")),
        ("phone", None),
        ("visits.1.date", None),
        ("visits.00.date", None),
        ("visits.-1.date", None),
        ("email.x", None),
    ],
)
def test_the_first_record_that_has_a_column_fixes_its_way(name: str, path: tuple[str, ...] | None) -> None:
    """Literal, dotted and underscored names lead to their keys; an absent column leads nowhere."""
    assert Column(name, may_guess=True).found_in(USER).path == path


def test_the_literal_key_comes_before_the_path() -> None:
    """A record that has both `a.b` and `b` inside `a` is read by its key."""
    column = Column("a.b").found_in({"a": {"b": "path"}, "a.b": "literal"})
    assert column.read({"a": {"b": "path"}, "a.b": "literal"}) == "literal"


def test_the_dotted_path_comes_before_the_underscored_one() -> None:
    """A name with a dot and an underscore is split at its dots first."""
    data = {"a": {"b_c": "dotted", "b": {"c": "underscored"}}}
    assert Column("a.b_c", may_guess=True).found_in(data).read(data) == "dotted"


def test_a_longer_key_comes_before_a_shorter_one_in_the_underscored_way() -> None:
    """Of two ways to split a name, the one closer to the literal key is used."""
    data = {"a": {"b_c": "short"}, "a_b": {"c": "long"}}
    assert Column("a_b_c", may_guess=True).found_in(data).path == ("a_b", "c")


def test_once_fixed_the_way_never_changes() -> None:
    """A later record that has the column in another way lacks it: a wrong identity cannot be undone."""
    column = Column("identities.user_id").found_in(USER)
    assert column.found_in({"identities.user_id": "other"}) is column
    assert column.read({"identities.user_id": "other"}) is ABSENT


def test_null_is_a_value_and_absence_is_not() -> None:
    """A column that is present with null is null, not absent."""
    column = Column("email").found_in(USER)
    assert column.read({"email": None}) is None
    assert column.read({}) is ABSENT


def test_below_a_null_parent_a_path_is_null() -> None:
    """Everything inside a null object is null, which fixes no way."""
    column = Column("identities.user_id").found_in({"identities": None})
    assert column.path is None
    assert column.read({"identities": None}) is None
    assert column.read({"identities": {}}) is ABSENT


@pytest.mark.parametrize(
    ("name", "path", "declared"),
    [
        ("email", ("email",), True),
        ("identities.user_id", ("identities", "user_id"), True),
        ("identities_user_id", ("identities", "user_id"), True),
        ("identities.phone", None, False),
        ("meta.any.thing", ("meta", "any", "thing"), True),
        ("meta_any", None, True),
        ("visits.0.date", ("visits", "0", "date"), True),
        ("tags.0", ("tags", "0"), True),
        ("email.x", None, False),
        ("contact.phone", ("contact", "phone"), True),
        ("phone", None, False),
        ("anything.below", None, False),
    ],
)
def test_the_catalogs_schema_fixes_the_way_it_declares(name: str, path: tuple[str, ...] | None, declared: bool) -> None:
    """As far as the schema has properties; an open object declares everything below it, but not how to split names."""
    schema = {
        "properties": {
            "email": {"type": ["null", "string"]},
            "identities": {"type": ["null", "object"], "properties": {"user_id": {"type": "string"}}},
            "meta": {"type": "object"},
            "visits": {"type": "array", "items": {"type": "object", "properties": {"date": {}}}},
            "tags": {"type": "array"},
            "contact": {"oneOf": [{"type": "null"}, {"type": "object", "properties": {"phone": {}}}]},
            "anything": True,
        }
    }
    column = Column(name).declared_by(schema)
    assert (column.path, column.declared) == (path, declared)


@pytest.mark.parametrize(
    ("name", "path", "declared"),
    [
        ("o.email", ("o", "email"), True),
        ("email", ("email",), True),
        ("phone", ("phone",), True),
        ("emial", None, False),
        ("o.emial", None, False),
    ],
)
def test_branches_that_only_constrain_declare_nothing(name: str, path: tuple[str, ...] | None, declared: bool) -> None:
    """Their siblings are declared, and so are columns of only one branch."""
    schema = {
        "properties": {
            "email": {},
            "o": {"properties": {"email": {}}, "oneOf": [{"required": ["email"]}, {}, True]},
        },
        "anyOf": [{"required": ["email"]}, {"properties": {"phone": {}}}],
    }
    column = Column(name).declared_by(schema)
    assert (column.path, column.declared) == (path, declared)


@pytest.mark.parametrize(
    "odd", [5, None, "text", [], True, {"type": 5}, {"anyOf": 5}, {"properties": []}, {"items": 5}]
)
def test_an_odd_schema_is_harmless(odd: Any) -> None:
    """Its valid parts are used."""
    assert Column("a").declared_by({"properties": {"a": odd}}).path == ("a",)
    Column("a.b_c").declared_by({"properties": {"a": odd}, "anyOf": odd})
    list(schema_names({"properties": {"a": odd}}))


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("email", True),
        ("bob@example.com", True),
        ("contacts.e-mail", True),
        ("visits.0.date", True),
        ("größe.länge", True),
        ("contacts.bob@example.com", False),
        ("contacts.+49 89 123", False),
        ("orders.123456789", False),
    ],
)
def test_a_key_inside_an_object_may_be_content(name: str, plain: bool) -> None:
    """Only keys that look like column names are shown; top-level columns always are."""
    assert is_plain(name) is plain


@pytest.mark.parametrize("schema", [{}, {"type": "object"}, {"properties": None}])
def test_a_schema_without_columns_declares_none(schema: dict[str, Any]) -> None:
    """A source that declares nothing must not hide a misspelled name."""
    assert not Column("emial").declared_by(schema).declared


@given(paths, st.integers())
def test_every_path_is_found_by_its_dotted_name(path: list[str], value: int) -> None:
    """For any keys, the dotted name leads to the value."""
    data = nested(path, value)
    assert Column(".".join(path)).found_in(data).read(data) == value


@given(paths, st.integers())
def test_every_path_is_found_by_its_underscored_name(path: list[str], value: int) -> None:
    """For any keys, the name with underscores leads to the value."""
    data = nested(path, value)
    assert Column("_".join(path), may_guess=True).found_in(data).read(data) == value


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_looking_up_never_fails(data: Any) -> None:
    """For any JSON value and any path."""
    for path in (("a",), ("0", "a"), ("", "")):
        look_up(data, path)
    Column("a.b_c").found_in(data if isinstance(data, dict) else {"a": data})


def test_columns_that_airbyte_adds_are_recognised() -> None:
    """By their prefixes."""
    names = [
        "_airbyte_raw_id",
        "_AIRBYTE_RAW_ID",
        "_Ab_Cdc_Lsn",
        "_AB_CDC_LSN",
        "_about",
        "id",
        "_abc",
        "airbyte_id",
        "",
    ]
    assert [name for name in names if is_airbytes(name)] == names[:4]


@pytest.mark.parametrize(
    ("data", "deleted"),
    [
        ({"id": 1}, False),
        ({"id": 1, "_ab_cdc_deleted_at": None}, False),
        ({"id": 1, "_ab_cdc_deleted_at": ""}, False),
        ({"id": 1, "_ab_cdc_deleted_at": "2024-06-20T08:00:00Z"}, True),
        ({"_AB_CDC_DELETED_AT": "2024-06-20 08:00:00"}, True),
        ({"_Ab_cdc_Deleted_At": 1718870400}, True),
        ({"ab_cdc_deleted_at": "x"}, False),
    ],
)
def test_a_row_with_a_time_of_deletion_is_a_deletion(data: dict[str, Any], deleted: bool) -> None:
    """In any letter case of the column's name."""
    assert is_deletion(data) is deleted


def test_names_of_columns_come_breadth_first() -> None:
    """From a record and from a schema, with dotted paths into objects."""
    assert list(column_names({"a": {"b": {"c": 1}}, "d": 2}.items())) == ["a", "d", "a.b", "a.b.c"]
    schema = {"properties": {"a": {"properties": {"b": {}}}, "d": True}}
    assert list(schema_names(schema)) == ["a", "d", "a.b"]
