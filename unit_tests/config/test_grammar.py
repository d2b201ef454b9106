"""The grammar of a column: what each form means, and where an error points."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_heap_analytics.config.casts import Cast
from destination_heap_analytics.config.column_list import ColumnList, Constant, ListedProperty
from destination_heap_analytics.config.grammar import (
    GrammarError,
    extras_of,
    parse_column,
    parse_column_list,
    parse_event,
)

names = st.text(min_size=1, max_size=12).filter(str.strip) | st.sampled_from(
    [
        "a as b",
        "as",
        "x as",
        "as y",
        "a::number",
        "::",
        "*",
        "* except (a)",
        "* except a",
        "except (a)",
        "'web'",
        '"',
        "it's",
        "a,b",
        ")",
        "items[].sku",
    ]
)
casts = st.none() | st.sampled_from(Cast)
columns = st.builds(ListedProperty, names, names, casts) | st.builds(
    lambda name: ListedProperty(name, name), names.filter(lambda n: n != "*")
)
constants = st.builds(
    lambda text, name, cast: ListedProperty(Constant(text), name, cast), names, names, st.none() | st.just(Cast.JSON)
)
lists = st.builds(
    lambda items, star, excepted: ColumnList(
        tuple(items), star or not items, tuple(excepted) if star or not items else ()
    ),
    st.lists(columns | constants, max_size=4, unique_by=lambda item: item.name),
    st.booleans(),
    st.lists(names.filter(lambda name: not _looks_like_item(name)), max_size=3, unique=True),
)


def _looks_like_item(name: str) -> bool:
    return "::" in name or " as " in name


@given(lists)
def test_a_list_reads_back_from_its_own_text(columns: ColumnList) -> None:
    """For any names: those that would be misread without quotes are quoted."""
    assert parse_column_list(str(columns)) == columns


pieces = st.sampled_from(
    [
        "*",
        " except ",
        "(",
        ")",
        ",",
        " as ",
        "::",
        "number",
        "text",
        "'",
        '"',
        "a",
        "b",
        " ",
        "[]",
        ".",
        "''",
        '""',
        "\n",
    ]
)


@given(st.lists(pieces, max_size=12).map("".join) | st.text())
def test_any_text_is_a_list_or_an_error_that_shows_where(text: str) -> None:
    """No text crashes the parser, and what it accepts reads back."""
    parsed, error = attempt(parse_column_list, text)
    assert parsed is None or parse_column_list(str(parsed)) == parsed
    assert error is None or "character" in error or "is empty" in error
    for parse in (parse_column, parse_event):
        assert None in attempt(parse, text)


def attempt(parse: Callable[[str], Any], text: str) -> tuple[Any, str | None]:
    """What a text is parsed to, or the error."""
    try:
        return parse(text), None
    except GrammarError as wrong:
        return None, str(wrong)


@pytest.mark.parametrize(
    ("text", "item"),
    [
        ("amount as Order Amount", ListedProperty("amount", "Order Amount")),
        ("amount AS Order Amount", ListedProperty("amount", "Order Amount")),
        ('"Revenue, USD" as revenue', ListedProperty("Revenue, USD", "revenue")),
        ('amount as "Revenue, USD"', ListedProperty("amount", "Revenue, USD")),
        ("'web' as channel", ListedProperty(Constant("web"), "channel")),
        ("'it''s, yes' as note", ListedProperty(Constant("it's, yes"), "note")),
        ("'5'::number as tier", ListedProperty(Constant("5"), "tier", Cast.NUMBER)),
        ("ltv::number", ListedProperty("ltv", "ltv", Cast.NUMBER)),
        ("active :: Boolean", ListedProperty("active", "active", Cast.BOOLEAN)),
        ("zip::text as Zip Code", ListedProperty("zip", "Zip Code", Cast.TEXT)),
        ('"a::b"::json as "x as y"', ListedProperty("a::b", "x as y", Cast.JSON)),
        ("items[].sku", ListedProperty("items[].sku", "items[].sku")),
        ("items[]::json as items", ListedProperty("items[]", "items", Cast.JSON)),
        ("identities.user_id as id_", ListedProperty("identities.user_id", "id_")),
        ("price (USD)", ListedProperty("price (USD)", "price (USD)")),
        ("Order::Total", ListedProperty("Order::Total", "Order::Total")),
        ("'tis", ListedProperty("'tis", "'tis")),
        ("o'brien", ListedProperty("o'brien", "o'brien")),
        ("x as", ListedProperty("x as", "x as")),
        ("as y", ListedProperty("as y", "as y")),
        ("*foo", ListedProperty("*foo", "*foo")),
        ("* except", ListedProperty("* except", "* except")),
        ('"say ""hi"""', ListedProperty('say "hi"', 'say "hi"')),
    ],
)
def test_an_item_is_a_column_or_a_constant_with_a_cast_and_a_name(text: str, item: ListedProperty) -> None:
    """Also between others, with spaces around."""
    assert parse_column_list(f" first,  {text} , last").items == (
        ListedProperty("first", "first"),
        item,
        ListedProperty("last", "last"),
    )


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("*", ColumnList(selects_all=True)),
        ('"*"', ColumnList(selects_all=True)),
        ("*, amount as Order Amount", ColumnList((ListedProperty("amount", "Order Amount"),), selects_all=True)),
        ("* except (password, address.geo)", ColumnList(selects_all=True, excepted=("password", "address.geo"))),
        ('*EXCEPT("a)b",c),d', ColumnList((ListedProperty("d", "d"),), selects_all=True, excepted=("a)b", "c"))),
    ],
)
def test_a_star_selects_all_columns_except_those_left_out(text: str, columns: ColumnList) -> None:
    """Columns can be renamed, cast and added in the same list."""
    assert parse_column_list(text) == columns


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a, 'web'", "has a constant without a name at character 4 (`'web'`): add a property name"),
        ("'web' channel", "has a constant whose quotes do not match at character 1 (`'web' channel`)"),
        ("'web as channel", "has a constant whose quotes do not match at character 1"),
        ("a,\n 'x' as y, '' as z", "has an empty constant at character 15"),
        ("'a'::number as b", "has a constant that is not a number at character 1"),
        (
            "a::nubmer",
            "has an unknown cast, `nubmer` at character 2 (`::nubmer`): use one of number, text, boolean, json",
        ),
        ("a::varchar(20)", "(did you mean `text`?)"),
        ("a::timestamp", "leave it out: Heap accepts ISO 8601 dates as text"),
        ('"a"::foo', "has an unknown cast at character 4"),
        ("a::", "has :: without a cast at character 2"),
        ("a as 'b'", "has a property name in single quotes at character 6 (`'b'`)"),
        ("a as b as c", "has `as` twice at character 6"),
        ("a as b::number", "has a cast after the name at character 6"),
        ('a as ""', "has an empty property name at character 1"),
        ("::number", "has no column before the cast or the name at character 1"),
        ("a as b, c as b", "gives two properties the name `b` at character 9 (`c as b`)"),
        ("a, a::number", "gives two properties the name `a` at character 4"),
        ("*, * except (a)", "has * more than once at character 4"),
        ("* except (a", "has an `except (` that is not closed at character 2"),
        ("* except ()", "has an empty `except` at character 2"),
        ("* except (a as b)", "has a cast or a name inside `except` at character 11"),
        ("* except (a) b", "has unexpected text at character 14 (`b`): put a comma between columns"),
        ("* except a", "has an exclusion in an unsupported form at character 1 (`* except a`)"),
        ("b, *EXCEPT a, c", "has an exclusion in an unsupported form at character 4"),
        ("* exclude (a, b)", "as in * except (password, ssn)"),
        ("*, except (a, b)", "has an exclusion in an unsupported form at character 4 (`except (a, b)`)"),
        ("*::text", "gives * a cast or a name at character 1"),
        ("* as b", "gives * a cast or a name at character 1"),
        (f"a as {'x' * 1024}", "has a name longer than the 1,023 characters Heap accepts at character 1"),
        ('a,"b', 'has a double quote at character 3 (`"b`) that is not closed'),
    ],
)
def test_an_error_says_what_where_and_what_to_do(text: str, error: str) -> None:
    """The place is a character of the setting, with what is there."""
    with pytest.raises(GrammarError) as wrong:
        parse_column_list(text)
    assert error in str(wrong.value)


def test_a_reserved_property_name_is_refused_whatever_its_column() -> None:
    """Renaming a column can fix or cause this."""
    for text in ("Id", "a as ID", "'x' as id", "*, a as iD"):
        with pytest.raises(GrammarError, match="does not allow a user property of that name"):
            parse_column_list(text, reserved={"id"})
    assert parse_column_list("id as customer_id", reserved={"id"}).items == (ListedProperty("id", "customer_id"),)


def test_an_event_may_be_a_constant_and_a_column_may_not() -> None:
    """A constant identity would assign all rows to one user."""
    assert parse_event(" 'Order Placed' ") == Constant("Order Placed")
    assert parse_event("'Customer''s Order'") == Constant("Customer's Order")
    assert parse_event('"Event, name"') == parse_column('"Event, name"') == "Event, name"
    assert parse_column("a::b") == "a::b"
    with pytest.raises(GrammarError, match=r"is the constant `'a@example.com'`, the same for every row"):
        parse_column("'a@example.com'")
    with pytest.raises(GrammarError, match="is an empty event name"):
        parse_event("' '")
    with pytest.raises(GrammarError, match="longer than the 1,024 characters"):
        parse_event(f"'{'x' * 1025}'")
    with pytest.raises(GrammarError, match="has a single quote inside the constant"):
        parse_event("'Customer's Order'")


def test_syntax_that_only_lists_accept_is_recognised_in_a_name() -> None:
    """For a hint, if a single column is not found."""
    assert [extras_of(text) for text in ("id::text", "a as b", "plain", "a,b", "'x")] == [
        "::text",
        "as b",
        None,
        None,
        None,
    ]
