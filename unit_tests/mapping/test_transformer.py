"""A record becomes the payload that Heap documents, or is rejected with a reason."""

from __future__ import annotations

from typing import Any

import pytest

from destination_heap_analytics.config.parse import parse_config
from destination_heap_analytics.errors import Reason, RowRejectedError
from destination_heap_analytics.mapping.columns.column import Column
from destination_heap_analytics.mapping.properties import Properties
from destination_heap_analytics.mapping.transformer import Element, Selection, transform
from destination_heap_analytics.protocol.numbers import InexactNumberError, written_float

TRACK = {"api_type": "track", "property_columns": "plan", "event_column": "event", "identity_column": "email"}
TIMED = {**TRACK, "timestamp_column": "at"}
USERS = {"api_type": "add_user_properties", "property_columns": "*", "identity_column": "email"}
ACCOUNTS = {"api_type": "add_account_properties", "property_columns": "*", "account_id_column": "org"}
ROW = {"email": "a@example.com", "event": "Paid", "plan": "gold"}


def transformed(api: dict[str, Any], data: dict[str, Any], *, exact: bool = True) -> tuple[Element, Properties | None]:
    selection = Selection.from_settings(parse_config({"app_id": "11", "api": api}).settings.api, {})
    return transform(data, selection.found_in(data), exact=exact)


def payload(api: dict[str, Any], data: dict[str, Any], *, exact: bool = True) -> Element:
    return transformed(api, data, exact=exact)[0]


def rejection(api: dict[str, Any], data: dict[str, Any]) -> tuple[Reason, str | None]:
    with pytest.raises(RowRejectedError) as rejected:
        payload(api, data)
    return rejected.value.reason, rejected.value.column


def test_the_track_example_of_the_users_document() -> None:
    """Its columns are inside an object; `blocked` stays a boolean."""
    data = {
        "blocked": False,
        "created_at": "2022-10-21T04:09:54.622Z",
        "email": "evalyn_shields@hotmail.com",
        "email_verified": False,
        "family_name": "Brakus",
        "given_name": "Camden",
        "identities": {
            "user_id": "0a12757f-4b19-4e93-969e-c3a2e98fe82b",
            "connection": "Username-Password-Authentication",
            "provider": "auth0",
            "isSocial": False,
        },
        "name": "Jordan Yost",
        "nickname": "Elroy",
        "updated_at": "2022-10-21T04:09:54.622Z",
        "user_id": "auth0|0a12757f-4b19-4e93-969e-c3a2e98fe82b",
    }
    api = {
        "api_type": "track",
        "property_columns": "blocked,created_at,name",
        "event_column": "identities.connection",
        "identity_column": "email",
        "timestamp_column": "updated_at",
    }
    assert payload(api, data) == {
        "identity": "evalyn_shields@hotmail.com",
        "event": "Username-Password-Authentication",
        "timestamp": "2022-10-21T04:09:54.622Z",
        "properties": {"blocked": False, "created_at": "2022-10-21T04:09:54.622Z", "name": "Jordan Yost"},
    }


def test_the_user_properties_example_of_the_users_document() -> None:
    """Its column `identities_provider` is `provider` inside `identities`, and the property has the name as written."""
    data = {
        "blocked": False,
        "created_at": "2022-10-21T04:09:59.328Z",
        "email": "marielle.murazik8@hotmail.com",
        "identities": {
            "user_id": "26d8952b-2e1e-4b79-b2aa-e363f062701a",
            "connection": "Username-Password-Authentication",
            "provider": "auth0",
            "isSocial": False,
        },
        "nickname": "Noe",
        "user_id": "auth0|26d8952b-2e1e-4b79-b2aa-e363f062701a",
    }
    api = {
        "api_type": "add_user_properties",
        "property_columns": "identities_provider,created_at,nickname",
        "identity_column": "user_id",
    }
    assert payload(api, data) == {
        "identity": "auth0|26d8952b-2e1e-4b79-b2aa-e363f062701a",
        "properties": {
            "identities_provider": "auth0",
            "created_at": "2022-10-21T04:09:59.328Z",
            "nickname": "Noe",
        },
    }


def test_the_account_properties_example_of_the_users_document() -> None:
    """The account's ID is inside an object."""
    data = {
        "blocked": False,
        "email": "nedra14@hotmail.com",
        "email_verified": False,
        "family_name": "Tillman",
        "identities": {"user_id": "815ff3c3-84fa-4f63-b959-ac2d11efc63c", "provider": "auth0"},
        "user_id": "auth0|815ff3c3-84fa-4f63-b959-ac2d11efc63c",
    }
    api = {
        "api_type": "add_account_properties",
        "property_columns": "family_name,email_verified,blocked",
        "account_id_column": "identities.user_id",
    }
    assert payload(api, data) == {
        "account_id": "815ff3c3-84fa-4f63-b959-ac2d11efc63c",
        "properties": {"family_name": "Tillman", "email_verified": False, "blocked": False},
    }


def test_a_star_selects_all_columns_except_those_that_airbyte_adds() -> None:
    """The identity, event and timestamp columns included, objects flattened."""
    data = {"email": "a", "o": {"x": 1}, "none": None, "_airbyte_raw_id": "r", "_ab_cdc_lsn": 3}
    assert payload(USERS, data)["properties"] == {"email": "a", "o.x": 1}


@pytest.mark.parametrize("name", ["id", "ID", "Id", "iD"])
def test_under_a_star_a_column_that_heap_forbids_is_dropped(name: str) -> None:
    """In any letter case, for users; and this is reported."""
    element, made = transformed(USERS, {"email": "a", name: 7, "o": {"id": 8}})
    assert element["properties"] == {"email": "a", "o.id": 8}
    assert made is not None
    assert made.forbidden == [name]


def test_the_contents_of_an_object_named_id_are_sent() -> None:
    """Only the name itself is forbidden, not those below it."""
    made = payload(USERS, {"email": "a", "_id": {"$oid": 1}, "id": {"$oid": 2}})
    assert made["properties"] == {"email": "a", "_id.$oid": 1, "id.$oid": 2}


def test_an_account_may_have_a_property_named_id() -> None:
    """Heap forbids it only for users."""
    assert payload(ACCOUNTS, {"org": "o", "id": 7})["properties"] == {"org": "o", "id": 7}


@pytest.mark.parametrize("columns", ["*", "a,o", "o_a"])
def test_a_row_that_is_sent_unchanged_has_no_report(columns: str) -> None:
    """There is nothing to report."""
    assert transformed({**USERS, "property_columns": columns}, {"email": "a", "a": 1, "o": {"a": 2}})[1] is None


def test_an_airbyte_column_that_is_listed_is_sent() -> None:
    """The user selected it."""
    api = {**USERS, "property_columns": "_ab_source_file_url"}
    assert payload(api, {"email": "a", "_ab_source_file_url": "f"})["properties"] == {"_ab_source_file_url": "f"}


def test_a_listed_object_is_flattened_below_its_own_name() -> None:
    """The prefix is the name as the user wrote it."""
    api = {**USERS, "property_columns": "o_p,n"}
    assert payload(api, {"email": "a", "o": {"p": {"q": 1}}})["properties"] == {"o_p.q": 1}


def test_a_list_stays_one_for_track_and_is_joined_for_the_others() -> None:
    """Heap documents lists only for Track."""
    assert payload(TRACK, {**ROW, "plan": ["a", "b"]})["properties"] == {"plan": ["a", "b"]}
    assert payload(USERS, {"email": "a", "plan": ["a", "b"]})["properties"]["plan"] == "a||b"
    assert payload(ACCOUNTS, {"org": "a", "plan": ["a", "b"]})["properties"]["plan"] == "a||b"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, Reason.NULL),
        ("", Reason.EMPTY),
        ("  ", Reason.EMPTY),
        (True, Reason.NOT_TEXT_OR_NUMBER),
        ({"a": 1}, Reason.NOT_TEXT_OR_NUMBER),
        (["a"], Reason.NOT_TEXT_OR_NUMBER),
        ("x" * 256, Reason.TOO_LONG),
        ("😀" * 128, Reason.TOO_LONG),
        (float("nan"), Reason.NOT_FINITE),
        ("\ud800", Reason.NOT_UNICODE),
    ],
)
@pytest.mark.parametrize(("api", "column"), [(TRACK, "email"), (USERS, "email"), (ACCOUNTS, "org")])
def test_an_unusable_identity_or_account_rejects_the_row(
    api: dict[str, Any], column: str, value: Any, reason: Reason
) -> None:
    """Null, empty, too long, or neither text nor number."""
    assert rejection(api, {**ROW, column: value}) == (reason, column)


@pytest.mark.parametrize(
    ("value", "identity"),
    [(0, "0"), ("0", "0"), (12, "12"), (written_float("12.0"), "12"), (" a ", " a "), ("x" * 255, "x" * 255)],
)
def test_a_number_is_an_identity_and_zero_is_one(value: Any, identity: str) -> None:
    """Spaces are kept: identities are compared exactly."""
    assert payload(USERS, {"email": value})["identity"] == identity


@pytest.mark.parametrize(
    ("event", "reason"),
    [("", Reason.EMPTY), (None, Reason.NULL), (False, Reason.NOT_TEXT_OR_NUMBER), ("e" * 1025, Reason.TOO_LONG)],
)
def test_an_unusable_event_rejects_the_row(event: Any, reason: Reason) -> None:
    """Its name may have 1,024 characters."""
    assert rejection(TRACK, {**ROW, "event": event}) == (reason, "event")
    assert payload(TRACK, {**ROW, "event": "e" * 1024})["event"] == "e" * 1024


@pytest.mark.parametrize(("api", "column"), [(TRACK, "email"), (TRACK, "event"), (ACCOUNTS, "org")])
def test_a_row_without_a_required_column_is_rejected(api: dict[str, Any], column: str) -> None:
    """The reason distinguishes absent from null."""
    data = {name: value for name, value in {**ROW, "org": "o"}.items() if name != column}
    assert rejection(api, data) == (Reason.ABSENT, column)


@pytest.mark.parametrize("row", [ROW, {**ROW, "at": None}])
def test_without_a_time_an_event_happens_now(row: dict[str, Any]) -> None:
    """Absent and null alike: Heap sets the time."""
    assert "timestamp" not in payload(TIMED, row)


def test_an_invalid_time_rejects_the_row() -> None:
    """An event on a wrong day is worse than none."""
    assert rejection(TIMED, {**ROW, "at": "soon"}) == (Reason.NOT_A_TIME, "at")


def test_a_listed_column_that_a_row_lacks_is_left_out() -> None:
    """Properties are optional, row by row."""
    assert payload(TRACK, {"email": "a", "event": "e"})["properties"] == {}


def test_digits_that_matter_request_the_exact_reading() -> None:
    """Such as a float as identity."""
    with pytest.raises(InexactNumberError):
        payload(USERS, {"email": 12.0}, exact=False)


def test_the_way_of_a_column_is_fixed_by_the_catalog_first() -> None:
    """A record that has the column in another way does not change it."""
    schema = {"properties": {"o": {"properties": {"email": {}}}}}
    api = parse_config({"app_id": "1", "api": {**USERS, "identity_column": "o.email"}}).settings.api
    selection = Selection.from_settings(api, schema)
    assert transform({"o": {"email": "nested"}, "o.email": "literal"}, selection, exact=True)[0]["identity"] == "nested"
    assert not selection.is_open


IDENTIFY = {"api_type": "identify", "identity_column": "email", "user_id_column": "heap.id", "timestamp_column": "at"}


def test_identify_takes_an_identity_a_user_id_and_a_time() -> None:
    """No properties; without a time, Heap uses the current time."""
    row = {"email": "a@example.com", "heap": {"id": 12}, "at": 1666325394, "plan": "gold"}
    assert payload(IDENTIFY, row) == {
        "identity": "a@example.com",
        "user_id": "12",
        "timestamp": "2022-10-21T04:09:54+00:00",
    }
    assert payload(IDENTIFY, {**row, "at": None}) == {"identity": "a@example.com", "user_id": "12"}


@pytest.mark.parametrize(
    ("change", "reason", "column"),
    [
        ({"heap": {"id": None}}, Reason.NULL, "heap.id"),
        ({"heap": {"id": "12a"}}, Reason.NOT_A_USER_ID, "heap.id"),
        ({"email": " "}, Reason.EMPTY, "email"),
        ({"at": "soon"}, Reason.NOT_A_TIME, "at"),
    ],
)
def test_a_row_that_identifies_no_one_is_rejected(change: dict[str, Any], reason: Reason, column: str) -> None:
    """Each reason has its column."""
    row = {"email": "a@example.com", "heap": {"id": 12}, "at": 1666325394}
    assert rejection(IDENTIFY, {**row, **change}) == (reason, column)


BY_USER_ID = {"api_type": "track", "property_columns": "plan", "event_column": "event", "user_id_column": "heap.id"}


def test_an_event_can_belong_to_a_user_by_heaps_own_id() -> None:
    """Then it has no identity: Heap refuses both together."""
    row = {"heap": {"id": 5012.0}, "event": "Paid", "plan": "gold"}
    assert payload(BY_USER_ID, row) == {"user_id": "5012", "event": "Paid", "properties": {"plan": "gold"}}
    selection = Selection.from_settings(parse_config({"app_id": "11", "api": BY_USER_ID}).settings.api, {})
    assert list(selection.required) == ["user_id_column", "event_column"]


@pytest.mark.parametrize(
    ("user_id", "reason"),
    [
        (None, Reason.NULL),
        ("", Reason.NOT_A_USER_ID),
        ("a@example.com", Reason.NOT_A_USER_ID),
        ("007", Reason.NOT_A_USER_ID),
        (-1, Reason.NOT_A_USER_ID),
        (1.5, Reason.NOT_A_USER_ID),
        (True, Reason.NOT_A_USER_ID),
        (2**53, Reason.NOT_A_USER_ID),
    ],
)
def test_a_user_id_that_heap_would_refuse_rejects_its_row(user_id: Any, reason: Reason) -> None:
    """Above all an identity in its place."""
    assert rejection(BY_USER_ID, {"heap": {"id": user_id}, "event": "Paid"}) == (reason, "heap.id")


ORDER = {
    "email": "a@example.com",
    "event": "Paid",
    "amount": "12.50",
    "address": {"city": "Rome", "geo": {"lat": 1}},
    "items": [{"sku": "s1", "qty": "2"}, {"sku": "s2", "qty": 1}, {"qty": None}],
    "_ab_source_file_url": "orders.csv",
}


@pytest.mark.parametrize(
    ("columns", "properties"),
    [
        ("amount as Order Amount", {"Order Amount": "12.50"}),
        ("amount::number as Order Amount, amount", {"Order Amount": 12.5, "amount": "12.50"}),
        ("'web' as channel, '5'::number as tier", {"channel": "web", "tier": 5}),
        ("items[].sku", {"items[].sku": ["s1", "s2"]}),
        ("items[].qty::number as quantities", {"quantities": [2, 1]}),
        ("items[]::json as items", {"items": '[{"sku":"s1","qty":"2"},{"sku":"s2","qty":1},{"qty":null}]'}),
        ("items[].price, amount", {"amount": "12.50"}),
        ("address as a", {"a.city": "Rome", "a.geo.lat": 1}),
        ("address::json", {"address": '{"city":"Rome","geo":{"lat":1}}'}),
        ("address_geo_lat as lat", {"lat": 1}),
        (
            "* except (items, address.geo), amount::number as total, items[].sku as skus, _ab_source_file_url",
            {
                "total": 12.5,
                "skus": ["s1", "s2"],
                "_ab_source_file_url": "orders.csv",
                "email": "a@example.com",
                "event": "Paid",
                "address.city": "Rome",
            },
        ),
        (
            "*, items[].sku as skus, email as address.city, address as address",
            {
                "skus": ["s1", "s2"],
                "address.city": "a@example.com",
                "event": "Paid",
                "amount": "12.50",
                "items.0.qty": "2",
                "items.1.qty": 1,
                "address.geo.lat": 1,
            },
        ),
    ],
)
def test_columns_are_renamed_cast_collected_and_left_out(columns: str, properties: dict[str, Any]) -> None:
    """A column that is listed with `*` is sent only under its new name."""
    assert payload({**TRACK, "property_columns": columns}, ORDER)["properties"] == properties


def test_a_fixed_event_name_needs_no_column() -> None:
    """In single quotes; it is not looked up in rows."""
    api = {**TRACK, "event_column": "'Order Placed'"}
    assert payload(api, {"email": "a@example.com"})["event"] == "Order Placed"
    selection = Selection.from_settings(parse_config({"app_id": "11", "api": api}).settings.api, {})
    assert list(selection.required) == ["identity_column"]


def test_a_value_that_cannot_be_cast_rejects_its_row() -> None:
    """The reason has the column's name in the source."""
    api = {**TRACK, "property_columns": "amount::number as total"}
    assert rejection(api, {**ORDER, "amount": "12,50"}) == (Reason.NOT_A_NUMBER, "amount")
    assert payload(api, {**ORDER, "amount": None})["properties"] == {}


def test_lists_of_one_field_are_joined_if_heap_does_not_accept_lists() -> None:
    """Like other lists."""
    api = {**USERS, "property_columns": "items[].sku as skus"}
    assert payload(api, ORDER)["properties"] == {"skus": "s1||s2"}


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("name", ["amount as total", "amount::number", "'web' as channel", "items[].sku"])
def test_a_column_whose_name_looks_like_the_grammar_takes_precedence(name: str, declared: bool) -> None:
    """As in versions without this grammar."""
    row = {**ORDER, name: "literal"}
    schema = {"properties": {key: {} for key in row}} if declared else {}
    api = parse_config({"app_id": "11", "api": {**TRACK, "property_columns": name}}).settings.api
    selection = Selection.from_settings(api, schema).found_in(row)
    assert transform(row, selection, exact=True)[0]["properties"] == {name: "literal"}
    assert not selection.properties.unseen


@pytest.mark.parametrize(
    ("items", "path"),
    [
        ({"type": ["array", "null"], "items": {"properties": {"sku": {}}}}, ("items", "[]", "sku")),
        ({"type": "array"}, ("items", "[]", "sku")),
        ({"type": "array", "items": {"properties": {"price": {}}}}, None),
        ({"type": "object", "properties": {"sku": {}}}, None),
    ],
)
def test_the_catalog_declares_a_field_of_all_items(items: dict[str, Any], path: tuple[str, ...] | None) -> None:
    """If the items are not described, every field."""
    for schema, above in (({"properties": {"items": items}}, ""), ({"properties": {"o": {"type": "object"}}}, "o.")):
        column = Column(f"{above}items[].sku").declared_by(schema)
        assert column.path == (("o", "items", "[]", "sku") if above else path)


DELETE = {"api_type": "delete_users", "identity_column": "email", "api_key": "k", "confirm": "delete"}
DELETE_ID = {"api_type": "delete_users", "user_id_column": "id", "api_key": "k", "confirm": "delete"}


@pytest.mark.parametrize(
    ("api", "element"), [(DELETE, {"identity": "a@example.com"}), (DELETE_ID, {"user_id": 9007199254740991})]
)
def test_a_deletion_has_a_user_and_nothing_else(api: dict[str, Any], element: Element) -> None:
    """A user ID is a number here, as in Heap's sample."""
    assert payload(api, {"email": "a@example.com", "id": "9007199254740991", "plan": "gold"}) == element


@pytest.mark.parametrize("value", [None, "", "12a", 1.5, True, 2**53])
def test_a_deletion_requires_a_valid_user_id(value: Any) -> None:
    """A wrong one would delete someone else."""
    reason, column = rejection(DELETE_ID, {"id": value})
    assert (reason, column) == (Reason.NULL if value is None else Reason.NOT_A_USER_ID, "id")
