"""The fast lane maps a row as the exact lane does, and declines what it is not certain of."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from destination_heap_analytics.config.parse import parse_config
from destination_heap_analytics.config.settings import Settings
from destination_heap_analytics.delivery import planner
from destination_heap_analytics.delivery.http.client import Kind, Verdict
from destination_heap_analytics.errors import SyncStoppedError
from destination_heap_analytics.mapping import fast_lane
from destination_heap_analytics.mapping.columns import missing_columns
from destination_heap_analytics.mapping.fast_lane import FastLane
from destination_heap_analytics.mapping.idempotency import KeyMaker
from destination_heap_analytics.mapping.properties import Properties
from destination_heap_analytics.mapping.transformer import Selection
from destination_heap_analytics.process.progress_line import Progress
from destination_heap_analytics.protocol.catalog import Stream
from destination_heap_analytics.protocol.messages import parse_line
from destination_heap_analytics.run.clock import Clock
from destination_heap_analytics.run.event_queue import EventQueue
from destination_heap_analytics.run.preview import Preview
from destination_heap_analytics.run.preview_report import Findings
from destination_heap_analytics.run.sync import Sync
from unit_tests.rejected.memory_storage import MemoryStorage

TRACK = {
    "api_type": "track",
    "property_columns": "plan,address.city",
    "event_column": "event",
    "identity_column": "email",
    "timestamp_column": "at",
}
USERS = {"api_type": "add_user_properties", "property_columns": "plan,address.city", "identity_column": "email"}
STREAM = Stream("users", None, "incremental", "append", (), {})
ROW = {"email": "a@b.c", "event": "Sign-up", "at": "2022-10-21T04:09:54Z", "plan": "pro", "address": {"city": "Rome"}}


def line(data: object, **record: object) -> bytes:
    return json.dumps({"type": "RECORD", "record": {"stream": "users", "data": data, **record}}).encode()


@dataclass
class Lane:
    """A fast lane and the columns of one run, fixed by `ROW`."""

    api: dict[str, Any]
    primary_key: tuple[tuple[str, ...], ...] = (("email",),)
    told: list[Properties] = field(default_factory=list)

    def taken(self, *lines: bytes) -> list[str]:
        stream = Stream("users", "public", "incremental", "append", self.primary_key, {})
        config = parse_config({"app_id": "11", "api": self.api}).settings
        selection = Selection.from_settings(config.api, {}).found_in(ROW)
        keys = KeyMaker("11", stream, "r") if self.api["api_type"] == "track" else None
        return FastLane(stream, keys, self.told.append).take(lines, selection, 1)[0]


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([ROW, ROW], id="texts"),
        pytest.param([ROW, {**ROW, "plan": 1}, {**ROW, "plan": 0.5}, {**ROW, "plan": True}], id="numbers"),
        pytest.param([ROW, {**ROW, "plan": None, "address": None}], id="nulls"),
        pytest.param([ROW, {"email": "b", "event": 7}], id="columns that are absent"),
        pytest.param([ROW, {**ROW, "email": 12}], id="a number as identity"),
        pytest.param([ROW, {**ROW, "more": {"deep": [{}]}}], id="a column that is not picked"),
        pytest.param([ROW, {**ROW, "plan": ["a", "b"]}], id="lists"),
        pytest.param([ROW, {**ROW, "_ab_cdc_deleted_at": None}], id="a row that was not deleted"),
        pytest.param([{**ROW, 'a "quoted"\\name': 1}] * 200, id="a column whose name JSON has to escape"),
    ],
)
@pytest.mark.parametrize("api", [TRACK, USERS])
def test_plain_rows_are_accepted(api: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """All of them, in order; the tests below compare the results."""
    assert len(Lane(api).taken(*map(line, rows))) == len(rows)


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(line({**ROW, "email": None}), id="no identity"),
        pytest.param(line({**ROW, "email": " "}), id="a blank identity"),
        pytest.param(line({**ROW, "email": "x" * 256}), id="a long identity"),
        pytest.param(line({**ROW, "email": 10**299}), id="a number of 300 digits as identity"),
        pytest.param(line({**ROW, "plan": 2.0**60}), id="digits that may be lost"),
        pytest.param(line({**ROW, "plan": float("nan")}), id="a number that is none"),
        pytest.param(line(ROW).replace(b"pro", b"\\ud800"), id="half a surrogate pair"),
        pytest.param(line(ROW).replace(b"pro", b"\xff"), id="no UTF-8"),
        pytest.param(line({**ROW, "_AB_CDC_DELETED_AT": "2022-10-21"}), id="a deletion"),
        pytest.param(line(ROW, stream="other"), id="a row of another stream"),
        pytest.param(line(ROW, namespace="other"), id="a row of another namespace"),
        pytest.param(line(ROW, namespace=1), id="a namespace that is none"),
        pytest.param(line([ROW]), id="data that is no object"),
        pytest.param(line(ROW)[:-1] + b',"stream":"users"}', id="a message of Singer's"),
        pytest.param(b'{"type":"STATE","state":{"data":{}}}', id="a state"),
        pytest.param(b'{"type":"LOG","record":{"stream":"users","data":{"email":"a"}}}', id="another message"),
        pytest.param(b'{"record":{"stream":"users","data":{"email":"a"}}}', id="no type"),
        pytest.param(b"[1]", id="no object"),
        pytest.param(b"1", id="a number"),
        pytest.param(b"", id="nothing"),
        pytest.param(line(ROW)[:-5], id="a damaged line"),
    ],
)
@pytest.mark.parametrize("api", [TRACK, USERS])
@pytest.mark.parametrize("block", [64, 1], ids=["read as a whole", "only used columns read"])
def test_it_stops_before_a_row_that_it_is_not_certain_of(api: dict[str, Any], odd: bytes, block: int) -> None:
    """The rows before it are accepted, and the rows after it are not."""
    usual = line({**ROW, "_AB_CDC_DELETED_AT": None})
    with patch.object(fast_lane, "_MOST_ROWS", block):
        assert len(Lane(api).taken(usual, usual, odd, usual)) == 2


def test_a_row_that_may_change_how_a_column_is_read_is_declined() -> None:
    """It has the key of a listed column that no row has had."""
    lane = Lane({**USERS, "property_columns": "plan,address_zip,street"})
    zipped = {**ROW, "address": {"zip": "00100"}}
    assert [len(lane.taken(line(ROW), line(row))) for row in (ROW, zipped, {**ROW, "street": "Via"})] == [2, 1, 1]


def test_rows_with_a_guessed_column_are_counted() -> None:
    """The warning says how many rows were read by a guess that proved wrong."""
    rows = [{**ROW, "address_city": "Oslo"} if last else ROW for last in (False, False, False, True, False)]
    config = {"app_id": "11", "api": {**USERS, "property_columns": "address_city"}}
    this = Input(config, STREAM, [*map(line, rows)], 9, stores=False)
    with lanes(fast=False):
        exact = this.preview()
    assert "a row had the key `address_city` itself" in str(exact)
    with lanes(fast=True):
        assert this.preview() == exact


def test_a_wrong_guess_of_what_is_left_out_is_reported() -> None:
    """Both columns are left out, according to the warning."""
    rows = [{**ROW, "address_city": "Oslo"} if last else ROW for last in (False, False, True, False)]
    config = {"app_id": "11", "api": {**USERS, "property_columns": "* except (address_city)"}}
    shown = str(Input(config, STREAM, [*map(line, rows)], 9, stores=False).preview())
    assert "Column `address_city` after `except` was read as `address.city`, until a row had the key" in shown
    assert "Oslo" not in shown
    assert "Rome" not in shown


def test_rows_are_declined_as_long_as_a_required_column_is_unknown() -> None:
    """The exact lane has to find out how it is read."""
    assert Lane({**USERS, "identity_column": "mail"}).taken(line(ROW)) == []


def test_the_names_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A source may have new ones in each row; a deletion is still recognised."""
    monkeypatch.setattr(fast_lane, "_MOST_NAMES", 8)
    rows = [line({**ROW, "_ab_cdc_deleted_at": None, f"column {number}": number}) for number in range(50)]
    assert len(Lane(USERS).taken(*rows, line({**ROW, "_ab_cdc_deleted_at": "now"}))) == 50


# -- both lanes, on the same input ------------------------------------------------------------------------------------


class Shown:
    """An output that remembers what a preview shows."""

    def __init__(self) -> None:
        self.payloads: list[tuple[int, bytes]] = []

    def begin(self, stream: Stream, settings: Settings) -> None: ...

    def payload(self, row: int, body: bytes) -> None:
        self.payloads.append((row, body))

    def end(self, findings: Findings) -> None: ...


class Heap:
    """A client that keeps what it is sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def post(self, path: str, body: bytes) -> Verdict:  # noqa: ARG002  # the signature of a client
        message = json.loads(body)
        del message["app_id"]
        (elements,) = message.values()
        self.sent += elements
        return Verdict(Kind.ACCEPTED, 200)

    def cut_overdue(self) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Input:
    """Settings, a stream, and lines."""

    config: dict[str, Any]
    stream: Stream
    lines: list[bytes]
    blocks: int
    stores: bool

    def batches(self) -> Iterator[tuple[list[bytes], int]]:
        for at in range(0, len(self.lines), self.blocks):
            yield self.lines[at : at + self.blocks], 1

    def preview(self) -> tuple[object, ...]:
        """Everything that a preview shows."""
        shown = Shown()
        preview = Preview(parse_config(self.config), self.stream, "r")
        preview.show(self.batches(), shown, limit=10**6, progress=Progress())
        found = preview.findings
        tallies = (found.cut, found.collisions, found.forbidden, found.unnamable)
        counts = (found.rows, found.mapped, found.deletions, found.noise)
        rejects = [(str(group.reason), group.column, group.count, group.first_rows) for group in found.rejects.groups()]
        payloads = [(row, unordered(body) if self.selects_all else body) for row, body in shown.payloads]
        return payloads, counts, tallies, rejects, found.unseen, found.warnings, found.error

    @property
    def selects_all(self) -> bool:
        """Whether properties are those of `*`: the fast lane has them in the order of the first rows."""
        return "*" in self.config["api"]["property_columns"]

    def sync(self) -> tuple[object, ...]:
        """The whole outcome of a sync: Heap's data, the states, the rejected rows, the log."""
        heap, storage, log = Heap(), MemoryStorage(), _Log()
        logger = logging.getLogger("fast lane")
        logger.handlers, logger.propagate = [log], False
        logger.setLevel(logging.INFO)
        events: EventQueue[bytes] = EventQueue()
        events.read(self.batches())  # type: ignore[arg-type]  # a generator
        sync = Sync(
            parse_config(self.config).settings,
            self.stream,
            heap,
            storage if self.stores else None,
            events=events,
            parse=parse_line,
            logger=logger,
            clock=Clock(),
            rng=random.Random(1),
            random_text="r",
        )
        states, error = [], None
        try:
            states = [message.line for message in sync.run()]
        except SyncStoppedError as stopped:
            error = str(stopped)
        return _held(heap.sent), states, storage.lines, log.lines, error


class _Log(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        self.lines.append(message.split(" in ")[0] if message.startswith(("Done", "Stopped")) else message)


def unordered(body: bytes) -> object:
    """The content of a body regardless of order: numbers as written, repeated names included."""
    return json.loads(body, parse_float=str, parse_int=str, object_pairs_hook=sorted)


def _held(elements: list[dict[str, Any]]) -> dict[str, Any]:
    """Heap's data for each key after these elements: properties, or events in order."""
    held: dict[str, Any] = {}
    for element in elements:
        key = element.get("identity") or element["account_id"]
        if "idempotency_key" in element:
            held.setdefault(key, {})[element["idempotency_key"]] = element
        else:
            held.setdefault(key, {}).update(element["properties"])
    return held


@contextmanager
def lanes(*, fast: bool) -> Iterator[None]:
    """Use both lanes, or only the exact one; the first row confirms the columns, and three rows fill a batch."""
    with (
        patch.object(missing_columns, "_NAMES_KEPT", 0),
        patch.object(planner, "MAX_BULK", 3),
        patch.object(FastLane, "take", FastLane.take if fast else lambda *_: ([], [], [])),
    ):
        yield


def _object(pairs: list[tuple[str, str]]) -> str:
    return "{" + ",".join(f"{json.dumps(name)}:{value}" for name, value in pairs) + "}"


numbers = st.sampled_from(
    [
        *("0", "-0", "-0.0", "-1", "7", "2.5", "1.10", "1E5", "1e2", "100.0", "1e-7", "5e-324", "1e400"),
        *("9007199254740991", "9007199254740992", "-9007199254740993", "9007199254740993.0", "1e16"),
        *("18446744073709551616", "1" * 20, "1" * 300, "1" * 5000, "0.1" + "0" * 17 + "5"),
    ]
)
"""Values as written in a line."""

texts = st.sampled_from(
    [
        *("", " ", "a", "a@b.c", "é", "2022-10-21T04:09:54Z", "1666325394", '{"city": 1.0}', '"\\\n\x7f\u2028'),
        *("x" * 511, "x" * 512, "x" * 600, "x" * 1023, "x" * 1024, "ü" * 1200, "\U0001f600" * 511, "\U0001f600" * 512),
    ]
)
scalars = st.one_of(
    texts.map(json.dumps), numbers, st.sampled_from(["null", "true", "false", "NaN", '"\\ud800"', '"\xff"'])
)
plain = st.sampled_from(['"a"', '"b"', '"c@d.e"', "1", "12", '"2022-10-21T04:09:54Z"', "true", "null"])
members = st.sampled_from(["city", "city", "zip", "id", "user.name", "", "_ab_x"])
values = st.recursive(
    st.one_of(plain, scalars),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{','.join(items)}]"),
        st.lists(st.tuples(members, inner), max_size=3).map(_object),
    ),
    max_leaves=6,
)
names = st.sampled_from(
    [
        *("email", "event", "at", "plan", "tag", "address", "address", "address_city", "address.city", "id", "ID"),
        *("_ab_cdc_deleted_at", "_AB_CDC_deleted_at", "_airbyte_id", "cafe\u0301", "caf\u00e9", " plan"),
    ]
)
FIRST = [("email", '"a"'), ("event", '"e"'), ("at", '"2022-10-21T04:09:54Z"')]


@st.composite
def row_lines(draw: st.DrawFn) -> bytes:
    """A row; most are plain, and some have a column twice."""
    pairs = [(name, draw(st.one_of(st.just(value), plain, plain, scalars))) for name, value in FIRST]
    pairs += draw(st.lists(st.tuples(names, st.one_of(plain, plain, values)), max_size=5))
    extra = draw(st.sampled_from(["", "", "", ',"emitted_at":1', ',"namespace":null', ',"namespace":"public"']))
    return f'{{"type":"RECORD","record":{{"stream":"users","data":{_object(pairs)}{extra}}}}}'.encode(
        "latin-1", "replace"
    )


@st.composite
def plain_lines(draw: st.DrawFn) -> list[bytes]:
    """Rows that are all plain, so that a block of them is mapped column by column."""
    some = st.sampled_from(['"a"', '"b"', '"\u00e9"', '"\\u007f"', '"c@d.e"', '"' + "x" * 600 + '"'])
    values = st.one_of(some, st.sampled_from(["1", "0", "-7", "true", "null", "2.5"]))
    keys = draw(st.sampled_from(["email", "email", "address_city", "tag"]))
    address = st.one_of(values.map(lambda city: f'{{"city":{city},"zip":"1"}}'), st.just("null"), st.just("{}"))
    lines = []
    for number in range(draw(st.integers(1, 8))):
        pairs = [*FIRST[1:], ("plan", draw(values)), (keys, draw(some)), ("address", draw(address))]
        pairs += [("_ab_cdc_deleted_at", draw(st.sampled_from(["null", "null", "null", '"2022-10-21"'])))]
        pairs += [("email", draw(some))] if keys != "email" else []
        pairs += [("at", draw(st.sampled_from(["null", '"2022-10-21 04:09:54"', '"2022-10-21T04:09:54.5+02:00"'])))]
        lines.append(
            f'{{"type":"RECORD","record":{{"stream":"users","data":{_object(pairs)},"emitted_at":{number}}}}}'.encode()
        )
    return lines


@st.composite
def shaped_lines(draw: st.DrawFn) -> list[bytes]:
    """Rows with the same columns, each with values of one type, as in a table."""
    lists = st.lists(
        st.sampled_from(['"a"', '"b|"', "1", "true", "null", "-7", '"' + "x" * 600 + '"', "2.5"]), max_size=4
    )
    large = st.sampled_from(["9007199254740993", "18446744073709551616", "1", "1" * 300])
    kinds = st.sampled_from(
        [plain, plain, texts.map(json.dumps), numbers, large, lists.map(lambda items: f"[{','.join(items)}]")]
    )
    columns = [(name, draw(kinds)) for name in draw(st.lists(names, max_size=4, unique=True))]
    inner = [(name, draw(kinds)) for name in draw(st.lists(members, max_size=3, unique=True))]
    lines = []
    for number in range(draw(st.integers(2, 9))):
        pairs = [("email", f'"{number}@a.b"'), *FIRST[1:], *[(name, draw(value)) for name, value in columns]]
        parent = _object([(name, draw(value)) for name, value in inner])
        pairs += [("parent", draw(st.sampled_from([parent, parent, parent, "null", "1", "{}"])))]
        pairs = draw(st.permutations(pairs)) if number == 4 else pairs  # one of some rows
        lines.append(f'{{"type":"RECORD","record":{{"stream":"users","data":{_object(pairs)}}}}}'.encode())
    return lines


other_lines = st.sampled_from(
    [
        b'{"type":"STATE","state":{"data":{"n":1.0}}}',
        b'{"type":"STATE","state":{"type":"STREAM","stream":{"stream_descriptor":{"name":"users"}},"id":7}}',
        b'{"type":"LOG","log":{"level":"INFO","message":"hi"}}',
        b'{"type":"RECORD","record":{"stream":"users","data":{"email":',
        b'{"type":"RECORD","record":{"stream":"users","data":[]}}',
        b'{"type":"RECORD","record":{"stream":"users","namespace":"other","data":{}}}',
        b'{"type":"RECORD","stream":"users","record":{"email":"a"}}',
        b"noise",
        b"",
    ]
)
property_columns = st.sampled_from(
    [
        *("*", "plan", "plan,address", "address.city,address", "address_city,plan", "tag,café,zip", "plan,never"),
        *("plan::text as p, at", "plan::number", "*, plan as p", "address::json"),
        *("*", "* except (plan)", "* except (parent.city, tag, never)", "*, parent.city as c"),
        "* except (address.city, never), 'x' as plan",
    ]
)
schemas = st.sampled_from([{}, {"properties": {name: {} for name in ("email", "event", "at", "plan")}}])


@st.composite
def inputs(draw: st.DrawFn) -> Input:
    """Any settings, stream and input of a run."""
    kind = draw(st.sampled_from(["track", "track", "add_user_properties", "add_account_properties"]))
    api: dict[str, Any] = {"api_type": kind, "property_columns": draw(property_columns)}
    if kind == "add_account_properties":
        api["account_id_column"] = "email"
    else:
        api["identity_column"] = "email"
    if kind == "track":
        api["event_column"] = draw(st.sampled_from(["event", "event", "'Signed up'"]))
        api["timestamp_column"] = draw(st.sampled_from(["at", "at", None]))
    primary_key = draw(st.sampled_from([(), (("email",),), (("plan",), ("address", "zip"))]))
    mode = draw(st.sampled_from(["append", "append_dedup"]))
    stream = Stream("users", draw(st.sampled_from([None, "public"])), "incremental", mode, primary_key, draw(schemas))
    one = st.one_of(row_lines(), row_lines(), row_lines(), other_lines).map(lambda line: [line])
    parts = draw(st.lists(st.one_of(one, one, one, plain_lines(), shaped_lines()), min_size=2, max_size=10))
    lines = [line for part in parts for line in part]
    config = {
        "app_id": "11",
        "api": api,
        "delivery": {"mode": "bulk"},
        "rejected_records": draw(st.sampled_from(["continue", "continue", "fail"])),
    }
    first = f'{{"type":"RECORD","record":{{"stream":"users","data":{_object(FIRST)}}}}}'.encode()
    return Input(config, stream, [first, *lines], draw(st.integers(1, 9)), draw(st.booleans()))


@given(inputs())
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
def test_a_preview_shows_the_same_by_either_lane(given_input: Input) -> None:
    """Payloads to the byte, idempotency keys, rejections, counts, warnings, and where it stops."""
    with lanes(fast=False):
        exact = given_input.preview()
    with lanes(fast=True):
        assert given_input.preview() == exact


@given(inputs())
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_a_sync_does_the_same_by_either_lane(given_input: Input) -> None:
    """Heap's data at the end, the states with their counts, the stored rows, and the log."""
    with lanes(fast=False):
        exact = given_input.sync()
    with lanes(fast=True):
        assert given_input.sync() == exact
