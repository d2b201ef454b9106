"""Heap's documented rules; one invalid element fails the whole request."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heap_sandbox.mock.rules import (
    ACCOUNTS,
    IDENTIFY,
    TRACK,
    USERS,
    Api,
    Batch,
    Identification,
    Outline,
    outline,
    parse,
    read,
)
from heap_sandbox.mock.values import Refused

PAIR = "\N{GRINNING FACE}"  # one character, two UTF-16 units


def event(**fields: Any) -> dict[str, Any]:
    return {"identity": "alice", "event": "Order Placed"} | fields


def single(api: Api = TRACK, **fields: Any) -> Batch:
    return read(api, {"app_id": "11"} | fields)


def properties(value: Any) -> Any:
    (element,) = single(**event(properties={"plan": value})).events
    return orjson.loads(element.properties)["plan"]


def refusal(api: Api, document: Any) -> str:
    with pytest.raises(Refused) as refused:
        read(api, document)
    return str(refused.value)


def track_refusal(**fields: Any) -> str:
    return refusal(TRACK, {"app_id": "11"} | event(**fields))


class TestParse:
    def test_reads_a_document(self) -> None:
        """A body is JSON."""
        assert parse('{"a": [1, 2.5, "é"]}'.encode()) == {"a": [1, 2.5, "é"]}

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{",
            b"[1,]",
            b'{"a": NaN}',
            b'{"a": Infinity}',
            b'{"a": 1e400}',
            b'"\\ud800"',
            b'"\xff"',
            b"\xef\xbb\xbf{}",
        ],
    )
    def test_refuses_what_is_not_json(self, body: bytes) -> None:
        """Including what lenient readers accept."""
        with pytest.raises(Refused, match="body: not JSON"):
            parse(body)

    @pytest.mark.parametrize("number", ["18446744073709551616", "-9223372036854775809", "9" * 300, "-" + "1" * 25])
    def test_refuses_a_whole_number_that_orjson_would_read_as_a_float(self, number: str) -> None:
        """No digits are silently lost."""
        with pytest.raises(Refused, match="body: contains an integer beyond 64 bits"):
            parse(f'{{"a": [{number}]}}'.encode())

    @pytest.mark.parametrize(
        "harmless", ["18446744073709551615", "0.12345678901234567890123", '"x: 99999999999999999999"']
    )
    def test_accepts_long_digits_in_other_places(self, harmless: str) -> None:
        """In fractions and text."""
        assert parse(f"[{harmless}]".encode()) == json.loads(f"[{harmless}]")


class TestOutline:
    @pytest.mark.parametrize(
        ("document", "expected"),
        [
            ({"app_id": "11", "identity": "a"}, Outline("11", "single", 1)),
            ({"app_id": "11", "events": [1, 2]}, Outline("11", "bulk", 2)),
            ({"app_id": 11, "events": "no list"}, Outline("11", "bulk", None)),
            ({"app_id": True}, Outline(None, "single", 1)),
            ([], Outline()),
        ],
    )
    def test_describes_any_document(self, document: Any, expected: Outline) -> None:
        """Because the log describes invalid requests too."""
        assert outline(TRACK, document) == expected


class TestBody:
    @pytest.mark.parametrize("document", [[], "text", 1, None, True])
    def test_must_be_an_object(self, document: Any) -> None:
        """Lists and scalars are refused."""
        assert refusal(TRACK, document) == "body: must be an object"

    @pytest.mark.parametrize("app_id", ["", "a", "1 1", "-1", "1.0", "१", 11, None, True, ["11"]])
    def test_app_id_is_a_string_of_digits(self, app_id: Any) -> None:
        """Numbers are refused."""
        assert refusal(TRACK, event(app_id=app_id)) == "app_id: must be a string of digits"

    def test_app_id_is_required(self) -> None:
        """It has no default."""
        assert refusal(TRACK, event()) == "app_id: must be a string of digits"

    def test_app_id_may_be_an_integer_for_account_properties(self) -> None:
        """That page's OpenAPI says integer, its samples show text."""
        assert read(ACCOUNTS, {"app_id": 11, "account_id": "a", "properties": {}}).app_id == "11"

    @pytest.mark.parametrize("app_id", [-1, 1.0, True])
    def test_app_id_is_not_replaced_by_a_number_for_account_properties(self, app_id: Any) -> None:
        """Only non-negative integers are accepted."""
        document = {"app_id": app_id, "account_id": "a", "properties": {}}
        assert refusal(ACCOUNTS, document) == "app_id: must be a string of digits"

    def test_an_unknown_app_is_refused_when_the_apps_are_known(self) -> None:
        """If apps are configured, no others exist."""
        assert read(TRACK, {"app_id": "11"} | event(), {"11", "12"}).app_id == "11"
        with pytest.raises(Refused, match="app_id: no such app"):
            read(TRACK, {"app_id": "13"} | event(), {"11", "12"})


class TestBulk:
    @pytest.mark.parametrize(
        ("api", "element"),
        [
            (TRACK, event()),
            (USERS, {"identity": "alice", "properties": {}}),
            (ACCOUNTS, {"account_id": "acme", "properties": {}}),
        ],
    )
    def test_accepts_up_to_1000_elements(self, api: Api, element: Any) -> None:
        """As the three bulk pages document."""
        batch = read(api, {"app_id": "11", api.plural: [element] * 1000})
        assert batch.bulk
        assert len(batch.events + batch.writes) == 1000
        assert "1001 elements" in refusal(api, {"app_id": "11", api.plural: [element] * 1001})

    @pytest.mark.parametrize("api", [TRACK, USERS, ACCOUNTS])
    def test_refuses_an_empty_list(self, api: Api) -> None:
        """It must have at least one element."""
        assert refusal(api, {"app_id": "11", api.plural: []}) == f"{api.plural}: has 0 elements; 1 to 1000 are allowed"

    @pytest.mark.parametrize("elements", [None, {}, "text", 1])
    def test_refuses_anything_but_a_list(self, elements: Any) -> None:
        """The bulk form must be a list."""
        assert refusal(TRACK, {"app_id": "11", "events": elements}) == "events: must be a list"

    @pytest.mark.parametrize("element", [None, [], "text", 1])
    def test_refuses_an_element_that_is_not_an_object(self, element: Any) -> None:
        """Elements must be objects."""
        assert refusal(TRACK, {"app_id": "11", "events": [event(), element]}) == "events[1]: must be an object"

    @pytest.mark.parametrize("field", TRACK.fields)
    def test_refuses_both_forms_in_one_body(self, field: str) -> None:
        """Because their meaning together is not documented."""
        document = {"app_id": "11", "events": [event()], field: "x"}
        assert refusal(TRACK, document) == f"events: cannot be combined with {field}: a body is either single or bulk"

    def test_the_reason_names_the_invalid_element(self) -> None:
        """By position and field."""
        events = [event(), event(), event(), event(properties={"plan": None})]
        assert refusal(TRACK, {"app_id": "11", "events": events}) == "events[3].properties.plan: must not be null"


class TestTrack:
    def test_keeps_what_was_sent(self) -> None:
        """Every documented field is stored as it was sent."""
        element = event(
            timestamp="2017-03-10T22:21:56+02:00",
            idempotency_key="k",
            session_id="s",
            properties={"total": 12.5, "b": True},
        )
        (stored,) = single(**element).events
        assert (stored.identity, stored.user_id, stored.event) == ("alice", None, "Order Placed")
        assert (stored.idempotency_key, stored.session_id) == ("k", "s")
        assert (stored.timestamp, stored.time) == ("2017-03-10T22:21:56+02:00", "2017-03-10T20:21:56.000000+00:00")
        assert orjson.loads(stored.properties) == {"total": 12.5, "b": True}
        assert list(orjson.loads(stored.payload).items()) == list(element.items())

    def test_accepts_an_undocumented_field(self) -> None:
        """Heap does not document refusing one; the payload shows it."""
        (stored,) = single(**event(surprise={"a": [1]})).events
        assert orjson.loads(stored.payload)["surprise"] == {"a": [1]}

    def test_refuses_what_is_nested_too_deeply_to_be_serialised(self) -> None:
        """Instead of crashing."""
        deep = parse(b"[" * 900 + b"]" * 900)
        assert track_refusal(surprise=deep) == "body: nested too deeply"
        document = {"app_id": "11", "events": [event(surprise=deep)]}
        assert refusal(TRACK, document) == "events[0]: nested too deeply"

    @pytest.mark.parametrize("who", [{}, {"identity": "a", "user_id": "1"}, {"identity": None, "user_id": "1"}])
    def test_requires_exactly_one_of_identity_and_user_id(self, who: dict[str, Any]) -> None:
        """Neither and both are refused."""
        document = {"app_id": "11", "event": "E"} | who
        assert refusal(TRACK, document) == "identity: exactly one of identity and user_id is required"

    @pytest.mark.parametrize("number", ["0", "7", "9007199254740991"])
    def test_accepts_a_canonical_user_id(self, number: str) -> None:
        """From 0 to 2^53 - 1."""
        (stored,) = single(event="E", user_id=number).events
        assert (stored.identity, stored.user_id) == (None, number)

    @pytest.mark.parametrize(
        "number", ["", "01", "-1", "+1", " 1", "1.0", "9007199254740992", "9" * 17, "x", "१", 5, None]
    )
    def test_refuses_any_other_user_id(self, number: Any) -> None:
        """A second spelling of a number would mean a second user."""
        assert refusal(TRACK, {"app_id": "11", "event": "E", "user_id": number}).startswith("user_id: must be a")

    @pytest.mark.parametrize(("field", "maximum"), [("identity", 255), ("event", 1024)])
    def test_texts_have_a_maximum(self, field: str, maximum: int) -> None:
        """255 characters for an identity, 1024 for the name of an event (track-1)."""
        assert single(**event(**{field: "x" * maximum})).events
        expected = f"{field}: has {maximum + 1} characters; at most {maximum} are allowed"
        assert track_refusal(**{field: "x" * (maximum + 1)}) == expected

    def test_characters_are_utf16_units(self) -> None:
        """A character beyond the basic plane counts twice, as in JavaScript."""
        assert single(**event(identity=PAIR * 127 + "é")).events
        assert track_refusal(identity=PAIR * 128) == "identity: has 256 characters; at most 255 are allowed"

    @pytest.mark.parametrize("field", ["identity", "event"])
    @pytest.mark.parametrize(
        ("value", "why"), [("", "is empty"), (" \t", "is blank"), (None, "must be a string"), (5, "must be a string")]
    )
    def test_texts_must_not_be_blank(self, field: str, value: Any, why: str) -> None:
        """Empty and blank names are refused."""
        assert track_refusal(**{field: value}) == f"{field}: {why}"

    def test_event_is_required(self) -> None:
        """It has no default."""
        assert refusal(TRACK, {"app_id": "11", "identity": "a"}) == "event: is required"

    def test_identity_is_stored_unchanged(self) -> None:
        """Including letter case and surrounding spaces."""
        (stored,) = single(**event(identity=" Alice ")).events
        assert stored.identity == " Alice "

    @pytest.mark.parametrize(
        ("timestamp", "time"),
        [
            ("2017-03-10T22:21:56+00:00", "2017-03-10T22:21:56.000000+00:00"),
            ("2017-03-10T22:21:56.123456Z", "2017-03-10T22:21:56.123456+00:00"),
            ("20170310T222156Z", "2017-03-10T22:21:56.000000+00:00"),
            ("2017-03-10T22:21:56", "2017-03-10T22:21:56.000000+00:00"),
            ("2017-03-10", "2017-03-10T00:00:00.000000+00:00"),
            ("2017-W10-5T23:00-02:00", "2017-03-11T01:00:00.000000+00:00"),
        ],
    )
    def test_timestamp_is_iso_8601(self, timestamp: str, time: str) -> None:
        """In all its forms; without an offset it is UTC."""
        (stored,) = single(**event(timestamp=timestamp)).events
        assert (stored.timestamp, stored.time) == (timestamp, time)

    @pytest.mark.parametrize(
        "timestamp",
        [
            *("", "yesterday", "2017-03-10 22:21:56", "2017-13-01", "1489184516000", "2017-03-10T22:21:56 Z"),
            *(" 201-03-10", "+201-03-10", "2_17-03-10", "10/03/2017", "2017-03-10T22:21:60Z", "२०१७"),
            *("0001-01-01T00:00:00+14:00", "9999-12-31T24:00"),
        ],
    )
    def test_refuses_a_timestamp_that_is_not_iso_8601(self, timestamp: str) -> None:
        """Even if dateutil alone would guess."""
        assert track_refusal(timestamp=timestamp) == "timestamp: must be ISO 8601"

    @pytest.mark.parametrize("field", ["timestamp", "idempotency_key", "session_id"])
    @pytest.mark.parametrize("value", [None, 1489184516000, True, []])
    def test_optional_texts_are_texts(self, field: str, value: Any) -> None:
        """Numbers and null are refused."""
        assert track_refusal(**{field: value}) == f"{field}: must be a string"

    def test_a_missing_timestamp_stays_missing(self) -> None:
        """The time of arrival is added later."""
        (stored,) = single(**event()).events
        assert (stored.timestamp, stored.time) == (None, None)

    def test_idempotency_key_is_not_empty(self) -> None:
        """An empty key would make all events duplicates."""
        assert track_refusal(idempotency_key="") == "idempotency_key: is empty"


class TestProperties:
    @pytest.mark.parametrize(
        "value", ["", "x" * 1023, PAIR * 511, 0, -1.5, 1e300, 2**53 - 1, -(2**53) + 1, True, False]
    )
    def test_scalars_are_kept(self, value: Any) -> None:
        """Text, numbers and booleans are stored unchanged."""
        assert properties(value) == value
        assert type(properties(value)) is type(value)

    @pytest.mark.parametrize(
        ("value", "why"),
        [
            (None, "must not be null"),
            ({}, "must not be an object"),
            ("x" * 1024, "has 1024 characters; at most 1023 are allowed"),
            (PAIR * 512, "has 1024 characters; at most 1023 are allowed"),
            (2**53, "is an integer beyond 9007199254740991, which some JSON readers round"),
            (-(2**53), "is an integer beyond 9007199254740991, which some JSON readers round"),
            ([1, None], "item 1: must not be null"),
            ([[1]], "item 0: must not be an array"),
            ([{}], "item 0: must not be an object"),
            ([2**53], "item 0: is an integer beyond 9007199254740991, which some JSON readers round"),
        ],
    )
    def test_anything_else_is_refused(self, value: Any, why: str) -> None:
        """The sandbox refuses what Heap leaves open."""
        assert track_refusal(properties={"plan": value}) == f"properties.plan: {why}"

    @pytest.mark.parametrize(
        ("items", "text"),
        [
            (["vanilla", "chocolate"], "vanilla||chocolate"),
            ([1, 2.5, "a", True, False], "1||2.5||a||true||false"),
            ([], ""),
            (["x" * 2000], "x" * 1024),
            (["x" * 1023, "y"], "x" * 1023 + "|"),
            (["x" * 1023 + PAIR], "x" * 1023),
            (["x" * 1022 + PAIR], "x" * 1022 + PAIR),
        ],
    )
    def test_an_array_becomes_a_text(self, items: list[Any], text: str) -> None:
        """Joined by two pipes and truncated at 1024, never within a character (track-1)."""
        assert properties(items) == text

    def test_the_payload_keeps_the_array(self) -> None:
        """Only the stored properties are joined."""
        (stored,) = single(**event(properties={"flavours": ["a", "b"]})).events
        assert orjson.loads(stored.payload)["properties"] == {"flavours": ["a", "b"]}

    @pytest.mark.parametrize("value", [None, [], "{}", 1])
    def test_properties_are_an_object(self, value: Any) -> None:
        """As in the sample of add-user-properties, although its OpenAPI says string."""
        assert track_refusal(properties=value) == "properties: must be an object"

    def test_a_key_has_1_to_1023_characters(self) -> None:
        """Fewer than 1024, in UTF-16 units."""
        assert single(**event(properties={"k" * 1023: 1, PAIR * 511: 2})).events
        assert track_refusal(properties={"": 1}) == "properties.: a name must have 1 to 1023 characters"
        assert track_refusal(properties={"k" * 1024: 1}).endswith("kkk: a name must have 1 to 1023 characters")
        assert track_refusal(properties={PAIR * 512: 1}).endswith("a name must have 1 to 1023 characters")

    def test_a_reason_shows_only_the_beginning_of_a_key(self) -> None:
        """So that it stays readable."""
        assert len(track_refusal(properties={"k" * 100_000: 1})) < 200

    @given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=600) | st.booleans(), max_size=9))
    def test_a_joined_array_always_fits(self, items: list[Any]) -> None:
        """For all items: at most 1024 UTF-16 units, a prefix of the whole."""
        joined = properties(items)
        assert len(joined.encode("utf-16-le")) <= 2048
        assert "||".join(i if isinstance(i, str) else str(i).lower() for i in items).startswith(joined)


class TestUserProperties:
    def test_keeps_what_was_sent(self) -> None:
        """An identity and its properties."""
        (write,) = single(USERS, identity="alice", properties={"Plan": "pro"}).writes
        assert (write.subject, orjson.loads(write.properties)) == ("alice", {"Plan": "pro"})

    def test_properties_may_be_missing(self) -> None:
        """The schema does not require them."""
        (write,) = single(USERS, identity="alice").writes
        assert write.properties == b"{}"

    @pytest.mark.parametrize("key", ["id", "ID", "Id", "iD"])
    def test_id_in_any_letter_case_is_refused(self, key: str) -> None:
        """Reserved by add-user-properties."""
        document = {"app_id": "11", "users": [{"identity": "a", "properties": {key: 1}}]}
        assert refusal(USERS, document) == f"users[0].properties.{key}: is not allowed as the name of a user property"

    def test_id_is_a_property_of_events_and_accounts(self) -> None:
        """The reservation is for users only."""
        assert single(**event(properties={"id": 1})).events
        assert single(ACCOUNTS, account_id="acme", properties={"id": 1}).writes

    def test_user_id_is_not_accepted(self) -> None:
        """This API accepts an identity only."""
        document = {"app_id": "11", "user_id": "5", "properties": {}}
        assert refusal(USERS, document) == "user_id: is not accepted; use identity"

    @pytest.mark.parametrize(("api", "subject"), [(USERS, "identity"), (ACCOUNTS, "account_id")])
    def test_arrays_are_for_events_only(self, api: Api, subject: str) -> None:
        """Joining is documented for events only."""
        document = {"app_id": "11", subject: "a", "properties": {"list": [1]}}
        assert refusal(api, document) == "properties.list: must not be an array"


class TestAccountProperties:
    def test_keeps_what_was_sent(self) -> None:
        """An account_id and its properties."""
        (write,) = single(ACCOUNTS, account_id="acme", properties={"seats": 5}).writes
        assert (write.subject, orjson.loads(write.properties)) == ("acme", {"seats": 5})

    def test_properties_are_required(self) -> None:
        """As the page documents."""
        assert refusal(ACCOUNTS, {"app_id": "11", "account_id": "acme"}) == "properties: is required"

    @pytest.mark.parametrize("account_id", ["", " ", "x" * 256, None, 5])
    def test_account_id_is_like_an_identity(self, account_id: Any) -> None:
        """Its limit is not documented, so an identity's applies."""
        document = {"app_id": "11", "account_id": account_id, "properties": {}}
        assert refusal(ACCOUNTS, document).startswith("account_id: ")


IDENTIFICATION = {"app_id": "11", "identity": "alice", "user_id": "7"}


class TestIdentify:
    def test_accepts_an_identity_a_user_id_and_a_time(self) -> None:
        """The time is optional."""
        assert read(IDENTIFY, IDENTIFICATION).identification == Identification("7", "alice", None)
        timed = read(IDENTIFY, {**IDENTIFICATION, "timestamp": "2017-03-10T22:21:56+00:00"})
        assert timed.identification == Identification("7", "alice", "2017-03-10T22:21:56+00:00")

    @pytest.mark.parametrize(
        ("change", "where"),
        [
            ({"user_id": 7}, "user_id"),
            ({"user_id": "07"}, "user_id"),
            ({"user_id": None}, "user_id"),
            ({"identity": ""}, "identity"),
            ({"identity": "x" * 256}, "identity"),
            ({"timestamp": "soon"}, "timestamp"),
            ({"app_id": 11}, "app_id"),
        ],
    )
    def test_refuses_what_breaks_a_rule(self, change: dict[str, Any], where: str) -> None:
        """The same rules as for Track."""
        assert refusal(IDENTIFY, IDENTIFICATION | change).startswith(f"{where}: ")

    @pytest.mark.parametrize("missing", ["app_id", "identity", "user_id"])
    def test_requires_all_but_the_time(self, missing: str) -> None:
        """Heap's page says so."""
        assert refusal(IDENTIFY, {name: value for name, value in IDENTIFICATION.items() if name != missing})
