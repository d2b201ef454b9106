"""Equal rows have equal keys, and different rows different ones."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from decimal import Decimal
from hashlib import sha256
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from destination_heap_analytics.mapping.idempotency import KeyMaker
from destination_heap_analytics.protocol.catalog import Stream
from destination_heap_analytics.protocol.numbers import InexactNumberError, written_float

AT = "2022-10-21T04:09:54Z"
ELEMENT = {"identity": "a@example.com", "event": "Paid", "properties": {}}
TIMED = {**ELEMENT, "timestamp": AT}
KEYED = Stream("users", "app", "incremental", "append", (("id",),), {})
DEDUPLICATED = replace(KEYED, destination_sync_mode="append_dedup")
KEYLESS = replace(KEYED, primary_key=())
ROW = {"id": 7, "plan": "gold"}

json_values_without_floats = st.recursive(
    st.booleans() | st.integers() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)

json_texts = st.text(st.sampled_from('ab_"\\/\n\0\x1f\x7f\u2028é\U0001f600'), max_size=4)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | json_texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(json_texts, inner, max_size=3),
    max_leaves=5,
)
"""Values that are the same in both readings."""


def key(  # the defaults are one row; each test changes what it is about
    stream: Stream = KEYED,
    data: dict[str, Any] = ROW,
    element: dict[str, Any] = TIMED,
    *,
    row: int = 1,
    app_id: str = "11",
    run: str = "r1",
    exact: bool = True,
) -> str:
    return KeyMaker(app_id, stream, run).key(data, element, row, exact=exact)


@pytest.mark.parametrize(
    ("stream", "element", "canonical"),
    [
        (KEYED, TIMED, '["state","11","app","users",[7],"a@example.com","Paid","2022-10-21T04:09:54Z"]'),
        (DEDUPLICATED, ELEMENT, '["row","11","app","users",[7],"a@example.com","Paid"]'),
        (KEYLESS, TIMED, '["record","11","app","users",{"id":7,"plan":"gold"}]'),
        (KEYLESS, ELEMENT, '["position","11","app","users","r1",1]'),
        (
            replace(KEYED, namespace=None, name="é"),
            TIMED,
            r'["state","11",null,"\u00e9",[7],"a@example.com","Paid","2022-10-21T04:09:54Z"]',
        ),
        (
            replace(KEYED, primary_key=(("id",), ("plan",))),
            TIMED,
            '["state","11","app","users",[7,"gold"],"a@example.com","Paid","2022-10-21T04:09:54Z"]',
        ),
    ],
)
def test_a_key_is_the_sha_256_of_a_canonical_text(stream: Stream, element: dict[str, Any], canonical: str) -> None:
    """The same on every machine and in every version: a change would duplicate all events."""
    assert key(stream, element=element) == sha256(canonical.encode()).hexdigest()


@pytest.mark.parametrize("stream", [KEYED, DEDUPLICATED])
def test_with_primary_key_and_time_each_state_of_a_row_is_one_event(stream: Stream) -> None:
    """Whatever else changes in the row, at any position, in any run."""
    assert key(stream) == key(stream, {**ROW, "plan": "silver"}, row=9, run="r2")


@pytest.mark.parametrize(
    "other",
    [
        {"data": {**ROW, "id": 8}},
        {"data": {**ROW, "id": "7"}},
        {"element": {**TIMED, "identity": "b@example.com"}},
        {"element": {**TIMED, "event": "Left"}},
        {"element": {**TIMED, "timestamp": "2022-10-22T00:00:00Z"}},
        {"app_id": "12"},
        {"stream": replace(KEYED, name="people")},
        {"stream": replace(KEYED, namespace="crm")},
        {"stream": replace(KEYED, namespace=None)},
    ],
)
def test_with_primary_key_and_time_each_part_distinguishes_events(other: dict[str, Any]) -> None:
    """App, namespace, stream, primary key, identity, event and time."""
    assert key(**other) != key()


def test_deduplicated_without_a_time_there_is_one_event_per_primary_key_identity_and_name() -> None:
    """The user selected one row per key."""
    assert key(DEDUPLICATED, element=ELEMENT) == key(DEDUPLICATED, {**ROW, "plan": "x"}, ELEMENT, row=9, run="r2")
    assert key(DEDUPLICATED, element=ELEMENT) != key(DEDUPLICATED, {**ROW, "id": 8}, ELEMENT)
    assert key(DEDUPLICATED, element=ELEMENT) != key(DEDUPLICATED, element={**ELEMENT, "event": "Left"})
    assert key(DEDUPLICATED, element=ELEMENT) != key(DEDUPLICATED)


def test_with_a_time_alone_fully_equal_rows_are_one_event() -> None:
    """The order of keys, and columns that Airbyte adds, are ignored."""
    assert key(KEYLESS) == key(
        KEYLESS, {"plan": "gold", "id": 7, "_airbyte_raw_id": "x", "_ab_lsn": 1}, row=9, run="r2"
    )
    assert key(KEYLESS) != key(KEYLESS, {**ROW, "plan": "silver"})
    assert key(KEYLESS) == key(KEYLESS, {**ROW, "note": None}), "a new nullable column"


@pytest.mark.parametrize(
    ("stream", "data", "element"),
    [(KEYED, ROW, ELEMENT), (KEYLESS, ROW, ELEMENT), (DEDUPLICATED, {"plan": "gold"}, ELEMENT)],
)
def test_otherwise_equal_rows_have_different_keys(
    stream: Stream, data: dict[str, Any], element: dict[str, Any]
) -> None:
    """From their position in the run; a retry within it adds nothing."""
    assert key(stream, data, element) == key(stream, data, element)
    assert key(stream, data, element) != key(stream, data, element, row=2)
    assert key(stream, data, element) != key(stream, data, element, run="r2")


@pytest.mark.parametrize("value", [None, "absent"])
def test_a_row_that_lacks_part_of_its_primary_key_has_none(value: str | None) -> None:
    """It is identified by its whole record."""
    stream = replace(KEYED, primary_key=(("id",), ("region",)))
    data = ROW if value else {**ROW, "region": None}
    assert key(stream, data) == key(replace(stream, primary_key=()), data)


def test_a_primary_key_may_lie_inside_an_object() -> None:
    """The path is a list of keys."""
    stream = replace(KEYED, primary_key=(("o", "id"),))
    assert key(stream, {"o": {"id": 1}, "x": 1}) == key(stream, {"o": {"id": 1}, "x": 2})


def test_digits_beyond_64_bits_distinguish_rows() -> None:
    """If the fast reading lost them, the exact one is requested."""
    assert key(data={"id": 10**20}) != key(data={"id": 10**20 + 1})
    with pytest.raises(InexactNumberError):
        key(data={"id": 1e20}, exact=False)
    for data in ({"v": 1e20}, {"v": 0.5}, {"v": [{"w": [0.5]}]}):
        with pytest.raises(InexactNumberError):
            key(KEYLESS, data, exact=False)


@given(json_values_without_floats, json_values_without_floats, st.text(st.characters()))
def test_any_split_into_parts_gives_the_text_of_one_list(first: Any, second: Any, identity: str) -> None:
    """As Python's json writes it, with sorted keys and no spaces."""
    stream = replace(KEYED, primary_key=(("first",), ("second",)))
    element = {**TIMED, "identity": identity}
    parts = ["state", "11", "app", "users", [first, second], identity, "Paid", AT]
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    assert key(stream, {"first": first, "second": second}, element) == sha256(text.encode()).hexdigest()


@example(record={"b": {"c": None}}, is_ascii=True, which=0)
@example(record={"b": [None, {"c": [{"d": None}]}]}, is_ascii=True, which=0)
@example(record={"a": {"c": None}}, is_ascii=True, which=1)
@given(
    record=st.dictionaries(json_texts, json_values | st.floats(0, 1), max_size=5),
    is_ascii=st.booleans(),
    which=st.integers(0, 2),
)
def test_both_readings_of_a_record_make_the_same_key(record: dict[str, Any], is_ascii: bool, which: int) -> None:
    """Otherwise a replay would duplicate events whose rows are read in the other way."""
    line = json.dumps(record, ensure_ascii=is_ascii).encode()
    stream = (KEYLESS, replace(KEYED, primary_key=(("a",),)), replace(DEDUPLICATED, primary_key=(("a",),)))[which]
    try:
        fast = key(stream, orjson.loads(line), exact=False)
    except InexactNumberError:
        return
    assert fast == key(stream, json.loads(line, parse_float=written_float), exact=True)


def test_any_record_has_a_key() -> None:
    """Even one with values that JSON cannot represent, in columns that are not sent."""
    values = (float("nan"), float("inf"), "\ud800", "é", 10**30, [[{}]], Decimal("1.5"), date(2022, 10, 21))
    assert len({key(KEYLESS, {"v": value}) for value in values}) == len(values)


@pytest.mark.parametrize("spellings", [("7000", "7000.0", "7E+3", "7.0E3"), ("0", "-0.0", "0e5"), ("1.5", "1.50")])
def test_a_number_is_one_key_however_the_source_writes_it(spellings: tuple[str, ...]) -> None:
    """In a primary key, and anywhere in a record from which the key is made."""
    numbers = [int(text) if text.isdecimal() else written_float(text) for text in spellings]
    assert len({key(KEYED, {"id": number}, TIMED) for number in numbers}) == 1
    assert len({key(KEYLESS, {"a": {"b": [number]}}) for number in numbers}) == 1


def test_a_text_of_digits_and_the_number_have_different_keys() -> None:
    """Types distinguish values."""
    assert key(KEYED, {"id": 7000}, TIMED) != key(KEYED, {"id": "7000"}, TIMED)


@pytest.mark.parametrize(
    "stamp", ["_fivetran_synced", "_SDC_BATCHED_AT", "_dlt_load_id", "_AIRBYTE_EXTRACTED_AT", "uuid_ts"]
)
def test_columns_that_a_loader_changes_at_each_load_make_no_new_event(stamp: str) -> None:
    """In any letter case; the column is still sent as a property, unless Airbyte added it."""
    assert key(KEYLESS, {"a": 1, stamp: "monday"}) == key(KEYLESS, {"a": 1, stamp: "tuesday"})
    assert key(KEYLESS, {"a": 1, stamp: "monday"}) == key(KEYLESS, {"a": 1})


DELETED = {**ROW, "_ab_cdc_deleted_at": "2024-06-20T08:00:00Z"}


@pytest.mark.parametrize(
    ("stream", "element"), [(KEYED, TIMED), (DEDUPLICATED, ELEMENT), (DEDUPLICATED, TIMED), (KEYLESS, TIMED)]
)
def test_a_deletion_that_is_sent_has_another_key_than_the_row_before(stream: Stream, element: dict[str, Any]) -> None:
    """Otherwise Heap would treat it as a replay; a replay of the deletion itself adds nothing."""

    def sent(data: dict[str, Any], *, sends_deletions: bool = True) -> str:
        return KeyMaker("11", stream, "r1", sends_deletions=sends_deletions).key(data, element, 1, exact=True)

    before = sent({**ROW, "_ab_cdc_deleted_at": None})
    assert before == sent(ROW) == sent(ROW, sends_deletions=False) == sent(DELETED, sends_deletions=False)
    assert len({before, sent(DELETED), sent({**DELETED, "_ab_cdc_deleted_at": "2024-06-21T08:00:00Z"})}) == 3
    assert sent(DELETED) == sent(dict(DELETED))


@pytest.mark.parametrize("stream", [KEYED, DEDUPLICATED])
def test_an_identity_is_not_a_user_id_of_the_same_digits(stream: Stream) -> None:
    """They may be different people."""
    by_identity = {**TIMED, "identity": "12"}
    by_user_id = {"user_id": "12", **{name: value for name, value in TIMED.items() if name != "identity"}}
    assert key(stream, ROW, by_identity) != key(stream, ROW, by_user_id)
