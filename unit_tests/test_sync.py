"""One run: every row ends as delivered or rejected, and every state waits for its rows."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from destination_heap_analytics.catalog import Stream
from destination_heap_analytics.client import Kind, Verdict
from destination_heap_analytics.config import parse_config
from destination_heap_analytics.errors import ConfigError, DefectError, TransientError
from destination_heap_analytics.heap_api import Endpoint
from destination_heap_analytics.protocol import EchoedState, Record, parse_line
from destination_heap_analytics.sync import Sync

USERS = {"api_type": "add_user_properties", "property_columns": "plan", "identity_column": "email"}
TRACK = {
    "api_type": "track",
    "property_columns": "plan",
    "event_column": "event",
    "identity_column": "email",
    "timestamp_column": "at",
}
TAKEN = Verdict(Kind.TAKEN, 200)


class Heap:
    """A client that keeps what it is sent, and answers by identity."""

    def __init__(self, **verdicts: Verdict) -> None:
        self.verdicts = verdicts
        self.sent: list[dict[str, Any]] = []

    def post(self, _: Endpoint, element: Mapping[str, Any]) -> Verdict:
        verdict = self.verdicts.get(element["identity"], TAKEN)
        if verdict is TAKEN:
            self.sent.append(dict(element))
        return verdict


class Run:
    """A sync of some lines, and what came of it."""

    def __init__(
        self, *, api: dict[str, Any] = USERS, schema: dict[str, Any] | None = None, **verdicts: Verdict
    ) -> None:
        self.heap = Heap(**verdicts)
        self.now = 0.0
        self.states: list[tuple[int, int, int]] = []
        self.config = {"app_id": "11", "api": api}
        self.stream = Stream("users", None, "incremental", "append", (), schema or {})

    def load(self, *lines: str | bytes | float | None) -> Run:
        """Feed lines; None is a silence, and a number a silence of so many seconds."""
        sync = Sync(
            parse_config(self.config).settings,
            self.stream,
            self.heap,
            logger=logging.getLogger("test"),
            clock=lambda: self.now,
            random_text="r",
        )
        for message in sync.run(self._messages(lines)):
            assert isinstance(message, EchoedState)
            line = json.loads(message.line)
            stats = line["state"]["destinationStats"]
            self.states.append((line["state"]["id"], int(stats["recordCount"]), int(stats["rejectedRecordCount"])))
        return self

    def _messages(self, lines: Iterable[str | bytes | float | None]) -> Any:
        for position, line in enumerate(lines, 1):
            if isinstance(line, (str, bytes)):
                yield parse_line(line.encode() if isinstance(line, str) else line, position)
            else:
                self.now += line or 0
                yield None

    @property
    def sent(self) -> list[str]:
        return [element["identity"] for element in self.heap.sent]


def row(email: Any = "a", **columns: Any) -> str:
    data = {"email": email, **columns}
    return json.dumps({"type": "RECORD", "record": {"stream": "users", "data": data, "emitted_at": 1}})


def without(**columns: Any) -> str:
    return json.dumps({"type": "RECORD", "record": {"stream": "users", "data": columns, "emitted_at": 1}})


def state(number: int) -> str:
    return json.dumps({"type": "STATE", "state": {"data": {}, "id": number}})


def log_of(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(record.getMessage() for record in caplog.records)


def test_rows_are_sent_in_order_and_states_go_back_behind_them() -> None:
    """With the counts of the rows since the state before."""
    run = Run().load(row("a", plan="x"), row("b"), state(1), state(2), row("c"), state(3))
    assert run.heap.sent == [
        {"identity": "a", "properties": {"plan": "x"}},
        {"identity": "b", "properties": {}},
        {"identity": "c", "properties": {}},
    ]
    assert run.states == [(1, 2, 0), (2, 0, 0), (3, 1, 0)]


def test_an_event_has_an_idempotency_key_and_properties_have_none() -> None:
    """Properties overwrite; a second event would count."""
    run = Run(api=TRACK).load(row("a", event="e", at=0), row("a", event="e", at=0))
    first, second = run.heap.sent
    assert first["idempotency_key"] == second["idempotency_key"]
    assert "idempotency_key" not in Run().load(row()).heap.sent[0]


def test_a_row_that_cannot_be_sent_is_rejected_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    """Wherever it was refused: by the mapping, by Heap, or because the line is broken."""
    run = Run(bad=Verdict(Kind.REFUSED, 400, words="bad")).load(
        row("a"),
        row(None),
        row("bad"),
        '{"type":"RECORD","record":{"stream":"users","data":{"email":',
        '{"type":"RECORD"}',
        row("b"),
        state(1),
    )
    assert run.sent == ["a", "b"]
    assert run.states == [(1, 2, 4)]
    assert "column `email` is null (row 2)" in log_of(caplog)
    assert "refused by Heap with status 400: a value breaks one of Heap's rules (row 3)" in log_of(caplog)
    assert "is not readable as JSON (row 4)" in log_of(caplog)
    assert "without a data object (row 5)" in log_of(caplog)


def test_with_rejected_records_fail_the_first_one_ends_the_run() -> None:
    """The states before it hold, the row is not settled."""
    run = Run()
    run.config["rejected_records"] = "fail"
    with pytest.raises(ConfigError, match=r"Row 2 is rejected: column `email` is null. .* `continue`"):
        run.load(row("a"), state(1), row(None), row("b"), state(2))
    assert (run.sent, run.states) == (["a"], [(1, 1, 0)])


@pytest.mark.parametrize(
    ("verdict", "error"),
    [(Verdict(Kind.LATER, 503), TransientError), (Verdict(Kind.NO_ACCESS, 401), ConfigError)],
)
def test_a_run_that_stops_gives_no_state_beyond_what_arrived(verdict: Verdict, error: type[Exception]) -> None:
    """And sends nothing more."""
    run = Run(b=verdict)
    with pytest.raises(error, match="row 2"):
        run.load(row("a"), state(1), row("b"), state(2), row("c"), state(3))
    assert (run.sent, run.states) == (["a"], [(1, 1, 0)])


def test_a_record_of_another_stream_ends_the_run() -> None:
    """Two streams must not share one mapping."""
    other = row("x").replace('"users"', '"orders"')
    with pytest.raises(ConfigError, match="Row 2 belongs to stream `orders`, and this connection loads stream `users`"):
        Run().load(row("a"), other)


def test_lines_that_are_no_message_are_counted_and_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    """None of their content is logged."""
    run = Run().load("secret", row("a"), '{"type":"LOG","log":{"message":"secret"}}', b"\xff", state(1))
    assert (run.sent, run.states) == (["a"], [(1, 1, 0)])
    assert "2 lines of the input were no Airbyte message" in log_of(caplog)
    assert "secret" not in log_of(caplog)


def test_a_broken_state_ends_the_run() -> None:
    """With the number of its line."""
    with pytest.raises(DefectError, match="Line 2"):
        Run().load(row("a"), '{"type":"STATE","state":{')


def test_a_misspelled_column_ends_the_run_with_nothing_sent() -> None:
    """No state passes rows that lack it."""
    run = Run(api={**USERS, "identity_column": "emial"})
    with pytest.raises(ConfigError, match=r"`emial`.*Did you mean `email`"):
        run.load(state(1), row("a"), state(2))
    assert (run.sent, run.states) == ([], [(1, 0, 0)])


def test_a_misspelled_timestamp_column_ends_the_run_with_nothing_sent() -> None:
    """Otherwise a thousand events would be at Heap with the wrong time, and come twice once it is mended."""
    run = Run(api={**TRACK, "timestamp_column": "att"})
    with pytest.raises(ConfigError, match=r"`att`.*Did you mean `at`"):
        run.load(*[row("a", event="e", at=1)] * 1500, state(1))
    assert (run.sent, run.states) == ([], [])


def test_rows_that_waited_for_a_column_are_treated_like_any_others_when_it_comes() -> None:
    """In the order read; those that lack it are rejected, or take the present time."""
    run = Run().load(without(plan=1), state(1), without(plan=2), row("c"), state(2))
    assert (run.sent, run.states) == (["c"], [(1, 0, 1), (2, 1, 1)])
    run = Run(api=TRACK).load(row("a", event="e"), row("b", event="e", at=0), state(1))
    assert ["timestamp" in element for element in run.heap.sent] == [False, True]
    assert run.states == [(1, 2, 0)]


@pytest.mark.parametrize("later", [(60.0,), (30.0, 30.0), (61.0, row("b"))])
def test_rows_wait_for_a_column_for_a_minute_at_most(later: tuple[Any, ...]) -> None:
    """Also while the source is silent."""
    run = Run().load(without(plan=1), state(1), *later)
    assert run.states == [(1, 0, 1)]


def test_a_column_that_the_catalog_declares_may_be_absent_from_all_rows() -> None:
    """Its rows are rejected, each by itself."""
    run = Run(schema={"properties": {"email": {}}}).load(without(plan=1), state(1))
    assert run.states == [(1, 0, 1)]


def test_a_property_column_that_no_row_had_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """At the end, with the nearest name."""
    Run(api={**USERS, "property_columns": "pln"}).load(row("a", plan=1))
    assert "names columns that no row had: `pln` (did you mean `plan`?)." in log_of(caplog)


@pytest.mark.parametrize(
    ("api", "mode", "key", "warned"),
    [
        (TRACK, "append", (), False),
        ({**TRACK, "timestamp_column": None}, "append", (("email",),), True),
        ({**TRACK, "timestamp_column": None}, "append_dedup", (), True),
        ({**TRACK, "timestamp_column": None}, "append_dedup", (("email",),), False),
        (USERS, "append", (), False),
    ],
)
def test_events_that_a_second_loading_would_double_are_warned_of(
    caplog: pytest.LogCaptureFixture, api: dict[str, Any], mode: str, key: tuple[Any, ...], warned: bool
) -> None:
    """At the start, with the remedy."""
    run = Run(api=api)
    run.stream = replace(run.stream, destination_sync_mode=mode, primary_key=key)
    run.load(row("a", event="e", at=0, plan=1))
    assert ("adds their events again" in log_of(caplog)) is warned


def test_an_input_without_rows_is_a_good_sync(caplog: pytest.LogCaptureFixture) -> None:
    """Its states come back, and nothing is warned of."""
    assert Run().load(state(1), None, state(2)).states == [(1, 0, 0), (2, 0, 0)]
    assert [record.levelname for record in caplog.records if record.levelno > logging.INFO] == []


def test_numbers_keep_the_digits_that_the_line_has() -> None:
    """As identity as written, as property as text where JSON would lose them."""
    line = '{"type":"RECORD","record":{"stream":"users","data":{"email":12.50,"plan":12345678901234567890123}}}'
    run = Run().load(line)
    assert run.heap.sent == [{"identity": "12.50", "properties": {"plan": "12345678901234567890123"}}]


@pytest.mark.parametrize("value", ["NaN", "1e400", '"\\ud800"'])
def test_a_value_that_json_cannot_carry_rejects_its_row_only_where_it_is_picked(value: str) -> None:
    """Elsewhere it does no harm."""
    line = '{{"type":"RECORD","record":{{"stream":"users","data":{{"email":"a","{}":{}}}}}}}'
    assert Run().load(line.format("other", value), row("b"), state(1)).states == [(1, 2, 0)]
    assert Run().load(line.format("plan", value), row("b"), state(1)).states == [(1, 1, 1)]


def test_a_record_nested_too_deeply_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    """How deep the exact reading goes depends on the version of Python; beyond that the row is told."""

    def too_deep(_: Record) -> None:
        raise RecursionError

    monkeypatch.setattr(Record, "exactly", too_deep)
    assert Run().load(row(1.5), row("b"), state(1)).states == [(1, 1, 1)]
