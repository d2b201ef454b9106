"""One run: every row is delivered or rejected, and every state waits for its rows."""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from destination_heap_analytics.config.parse import parse_config
from destination_heap_analytics.delivery.connection_check import PREFLIGHT_EVENT
from destination_heap_analytics.delivery.http.client import Kind, Verdict
from destination_heap_analytics.errors import ConfigError, DefectError, InterruptedSyncError, TransientError
from destination_heap_analytics.protocol.catalog import Stream
from destination_heap_analytics.protocol.messages import EchoedState, Record, parse_line
from destination_heap_analytics.run.clock import Clock
from destination_heap_analytics.run.event_queue import EventQueue
from destination_heap_analytics.run.sync import Interrupt, Sync
from unit_tests.rejected.memory_storage import MemoryStorage

DECLARED = {"properties": {"plan": {}}}
"""Declares the one listed column, so that rows need not have it."""

USERS = {"api_type": "add_user_properties", "property_columns": "plan", "identity_column": "email"}
TRACK = {
    "api_type": "track",
    "property_columns": "plan",
    "event_column": "event",
    "identity_column": "email",
    "timestamp_column": "at",
}
ACCEPTED = Verdict(Kind.ACCEPTED, 200)
SECONDS = 60
"""After so long something is stuck."""


class Heap:
    """A client that keeps what it is sent, and responds by identity."""

    def __init__(self, **verdicts: Verdict) -> None:
        self.verdicts = verdicts
        self.sent: list[dict[str, Any]] = []
        self.asked = threading.Event()
        self.gate: threading.Event | None = None

    def post(self, path: str, body: bytes) -> Verdict:
        self.asked.set()
        if self.gate:
            self.gate.wait(SECONDS)
        element = json.loads(body)
        assert (path, element.pop("app_id")) in {("/api/track", "11"), ("/api/add_user_properties", "11")}
        elements = element.get("users") or element.get("events") or [element]
        verdicts = {self.verdicts.get(element["identity"], ACCEPTED) for element in elements} - {ACCEPTED}
        if verdicts:
            return verdicts.pop()
        self.sent += [element for element in elements if element["identity"] != PREFLIGHT_EVENT["identity"]]
        return ACCEPTED

    def cut_overdue(self) -> None:
        pass

    def close(self) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Delayed(Clock):
    """A clock that can be set forward."""

    delays: list[float] = field(default_factory=list)

    def now(self) -> float:
        return Clock.now(self) + sum(self.delays)


class Run:
    """A sync of some lines, and its outcome."""

    def __init__(
        self, *, api: dict[str, Any] = USERS, schema: dict[str, Any] | None = None, **verdicts: Verdict
    ) -> None:
        self.heap = Heap(**verdicts)
        self.speed = 1.0
        self.states: list[tuple[int, int, int]] = []
        self.config = {"app_id": "11", "api": api}
        self.stream = Stream("users", None, "incremental", "append", (), DECLARED if schema is None else schema)
        self.storage: MemoryStorage | None = None
        self.events: EventQueue[bytes] = EventQueue()
        self.expected_rows: float | None = None
        self.reader_seconds = 0.0

    def load(self, *lines: str | bytes | Callable[[], object]) -> Run:
        """Feed lines one at a time. The reading thread calls callables in between."""
        self.events.read(self._batches(lines))
        clock = Delayed(self.speed)
        sync = Sync(
            parse_config(self.config).settings,
            self.stream,
            self.heap,
            self.storage,
            events=self.events,
            parse=parse_line,
            logger=logging.getLogger("test"),
            clock=clock,
            rng=random.Random(1),
            random_text="r",
            expected_rows=lambda: self.expected_rows,
        )
        for message in sync.run():
            assert isinstance(message, EchoedState)
            clock.delays.append(self.reader_seconds)
            line = json.loads(message.line)
            stats = line["state"]["destinationStats"]
            self.states.append((line["state"]["id"], int(stats["recordCount"]), int(stats["rejectedRecordCount"])))
        return self

    def _batches(self, lines: Iterable[str | bytes | Callable[[], object]]) -> Any:
        for line in lines:
            if callable(line):
                line()
            else:
                yield [line.encode() if isinstance(line, str) else line], 1

    def until_states(self, count: int) -> Callable[[], object]:
        """Keep the input silent until this many states have been returned."""

        def wait() -> None:
            end = time.monotonic() + SECONDS
            while len(self.states) < count:
                assert time.monotonic() < end
                time.sleep(0.005)

        return wait

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


def test_rows_are_sent_in_order_and_states_are_returned_after_them() -> None:
    """With the counts of the rows since the previous state."""
    run = Run()
    run.config["delivery"] = {"mode": "bulk"}
    run.load(row("a", plan="x"), row("b"), state(1), state(2), row("c"), state(3))
    assert run.heap.sent == [
        {"identity": "a", "properties": {"plan": "x"}},
        {"identity": "b", "properties": {}},
        {"identity": "c", "properties": {}},
    ]
    assert run.states == [(1, 2, 0), (2, 0, 0), (3, 1, 0)]


def test_an_event_has_an_idempotency_key_and_properties_have_none() -> None:
    """Properties overwrite each other; events would be duplicated."""
    run = Run(api=TRACK).load(row("a", event="e", at=1666325394), row("a", event="e", at=1666325394))
    first, second = run.heap.sent
    assert first["idempotency_key"] == second["idempotency_key"]
    assert "idempotency_key" not in Run().load(row()).heap.sent[0]


def test_a_row_that_cannot_be_sent_is_rejected_and_the_others_continue(caplog: pytest.LogCaptureFixture) -> None:
    """Whether by the mapping, by Heap, or because the line is broken."""
    run = Run(bad=Verdict(Kind.REFUSED, 400, words="bad")).load(
        row("a"),
        row(None),
        row("bad"),
        '{"type":"RECORD","record":{"stream":"users","data":{"email":',
        '{"type":"RECORD"}',
        row("b"),
        state(1),
    )
    assert sorted(run.sent) == ["a", "b"]
    assert run.states == [(1, 2, 4)]
    assert "column `email` is null (row 2)" in log_of(caplog)
    assert "refused by Heap: a value breaks one of Heap's rules, status 400 (row 3)" in log_of(caplog)
    assert "is not valid JSON (row 4)" in log_of(caplog)
    assert "without a stream name or without a data object (row 5)" in log_of(caplog)


def test_with_rejected_records_fail_the_first_one_stops_the_run() -> None:
    """The states before it are returned, and the row stays unsettled."""
    run = Run()
    run.config["rejected_records"] = "fail"
    with pytest.raises(ConfigError, match=r"Row 2 is rejected: column `email` is null. .* `continue`"):
        run.load(row("a"), state(1), row(None), row("b"), state(2))
    assert (run.sent, run.states) == (["a"], [(1, 1, 0)])


@pytest.mark.parametrize(
    ("verdict", "error"),
    [
        (Verdict(Kind.RETRYABLE, 503, retry_after=3600.0), TransientError),
        (Verdict(Kind.NOT_HEAP, 200, "an HTML page"), ConfigError),
    ],
)
def test_a_run_that_stops_returns_no_state_beyond_delivered_rows(verdict: Verdict, error: type[Exception]) -> None:
    """And it sends nothing more."""
    run = Run(b=verdict)
    with pytest.raises(error, match="row 2"):
        run.load(row("a"), state(1), run.until_states(1), row("b"), state(2), row("b"), row("b"), state(3))
    assert (run.sent, run.states) == (["a"], [(1, 1, 0)])


def test_a_record_of_another_stream_stops_the_run() -> None:
    """Two streams must not share one mapping."""
    other = row("x").replace('"users"', '"orders"')
    run = Run()
    with pytest.raises(
        ConfigError, match="Row 2 belongs to stream `orders`, but this connection loads only stream `users`"
    ):
        run.load(row("a"), state(1), other, row("b"), state(2))
    assert (run.sent, run.states) == (["a"], [(1, 1, 0)])


def test_lines_that_are_not_messages_are_counted_and_skipped(caplog: pytest.LogCaptureFixture) -> None:
    """None of their content is logged."""
    run = Run().load("secret", row("a"), '{"type":"LOG","log":{"message":"secret"}}', b"\xff", state(1))
    assert (run.sent, run.states) == (["a"], [(1, 1, 0)])
    assert "Skipped 2 lines that are not Airbyte messages." in log_of(caplog)
    assert "secret" not in log_of(caplog)


def test_a_broken_state_stops_the_run() -> None:
    """With its line number."""
    run = Run()
    with pytest.raises(DefectError, match="Line 3"):
        run.load(row("a"), state(1), '{"type":"STATE","state":{', row("b"), state(2))
    assert (run.sent, run.states) == (["a"], [(1, 1, 0)])


def test_a_misspelled_column_stops_the_run_with_nothing_sent() -> None:
    """No state is returned after rows that lack it."""
    run = Run(api={**USERS, "identity_column": "emial"})
    with pytest.raises(ConfigError, match=r"`emial`.*Did you mean `email`"):
        run.load(state(1), row("a"), state(2))
    assert (run.sent, run.states) == ([], [(1, 0, 0)])


def test_a_misspelled_timestamp_column_stops_the_run_with_nothing_sent() -> None:
    """Otherwise Heap would get a thousand events with the wrong time, and duplicates once it is fixed."""
    run = Run(api={**TRACK, "timestamp_column": "att"})
    with pytest.raises(ConfigError, match=r"`att`.*Did you mean `at`"):
        run.load(*[row("a", event="e", at=1)] * 1500, state(1))
    assert (run.sent, run.states) == ([], [])


def test_rows_that_waited_for_a_column_are_treated_like_any_others_once_it_is_seen() -> None:
    """In the order read; those that lack it are rejected, or get the current time."""
    run = Run().load(without(plan=1), state(1), without(plan=2), row("c"), state(2))
    assert (run.sent, run.states) == (["c"], [(1, 0, 1), (2, 1, 1)])
    run = Run(api=TRACK).load(row("a", event="e"), row("b", event="e", at=1666325394), state(1))
    assert {element["identity"]: "timestamp" in element for element in run.heap.sent} == {"a": False, "b": True}
    assert run.states == [(1, 2, 0)]


def test_rows_wait_for_a_column_for_a_minute_at_most() -> None:
    """Even while the source is silent."""
    run = Run()
    run.speed = 100.0
    run.load(without(plan=1), state(1), run.until_states(1), row("b"))
    assert (run.sent, run.states) == (["b"], [(1, 0, 1)])


def test_a_column_that_the_catalog_declares_may_be_absent_from_all_rows() -> None:
    """Its rows are rejected one by one."""
    run = Run(schema={"properties": {"email": {}}}).load(without(plan=1), state(1))
    assert run.states == [(1, 0, 1)]


def test_a_property_column_that_no_row_had_gives_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """At the end, with the nearest name."""
    Run(api={**TRACK, "property_columns": "pln"}).load(row("a", event="e", at=1666325394, plan=1))
    assert "lists columns that no row had: `pln` (did you mean `plan`?)." in log_of(caplog)


@pytest.mark.parametrize("rows", [1, 1500])
def test_users_that_would_get_no_properties_at_all_stop_the_run(rows: int) -> None:
    """Nothing is sent; usually, the letter case is wrong."""
    run = Run(api={**USERS, "property_columns": "PLAN,note"})
    with pytest.raises(ConfigError, match=r"`PLAN` \(did you mean `plan`\?\), `note`. No rows were sent"):
        run.load(*[row("a", plan=1)] * rows, state(1))
    assert (run.sent, run.states) == ([], [])


def test_one_row_with_one_of_the_listed_columns_releases_all_rows() -> None:
    """A null counts: the column exists."""
    run = Run(schema={}).load(row("a"), row("b", plan=None), state(1))
    assert (run.sent, run.states) == (["a", "b"], [(1, 2, 0)])


def test_a_deletion_is_skipped_and_counts_as_delivered(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever else the row contains; the counts of states add up, and the log has the number of deletions."""
    caplog.set_level(logging.INFO)
    deleted = row("b", plan=1, _AB_CDC_DELETED_AT="2024-06-20T08:00:00Z")
    run = Run().load(row("a", _ab_cdc_deleted_at=None), deleted, row(None, _ab_cdc_deleted_at="x"), state(1))
    assert (run.sent, run.states) == (["a"], [(1, 3, 0)])
    assert "3 rows read, 1 delivered, 0 rejected, 2 deletions skipped" in log_of(caplog)


def test_a_deletion_can_be_sent_like_any_other_row(caplog: pytest.LogCaptureFixture) -> None:
    """If it is rejected, then for its own reason."""
    caplog.set_level(logging.INFO)
    deleted = row("b", plan=1, _ab_cdc_deleted_at="2024-06-20T08:00:00Z")
    run = Run()
    run.config["deleted_records"] = "send"
    run.load(row("a"), deleted, row(None, _ab_cdc_deleted_at="x"), state(1))
    assert (run.sent, run.states) == (["a", "b"], [(1, 2, 1)])
    assert "3 rows read, 2 delivered, 1 rejected in" in log_of(caplog)


EXCEPTED = {**USERS, "property_columns": "* except (Phone, address.geo)"}


@pytest.mark.parametrize("rows", [1, 1000])
def test_a_misspelled_column_to_leave_out_stops_the_run_with_nothing_sent(rows: int) -> None:
    """Otherwise the column that was meant would be sent."""
    run = Run(api=EXCEPTED, schema={})
    with pytest.raises(ConfigError, match=r"similar ones would be sent: `Phone` \(did you mean `phone`\?\). No row"):
        run.load(*[row("a", phone="x", zip=1)] * rows, state(1))
    assert (run.sent, run.states) == ([], [])


@pytest.mark.parametrize("columns", [{"zip": 1}, {"Phone": 1, "address": {"geo": 1}}, {"Phone": None, "phone": 1}])
def test_a_column_to_leave_out_may_be_absent_if_no_other_is_like_it(columns: dict[str, Any]) -> None:
    """Sources omit empty values."""
    run = Run(api=EXCEPTED, schema={}).load(row("a", **columns), row("b"), state(1))
    assert (run.sent, run.states) == (["a", "b"], [(1, 2, 0)])


BAD_TIME = row("a", event="e", at="06/15/2024 12:00")


def test_rows_that_are_all_rejected_for_one_column_stop_the_run_before_a_state_is_returned() -> None:
    """With the reason and the remedy."""
    run = Run(api=TRACK)
    with pytest.raises(
        ConfigError, match=r"The first 100 rows are all rejected: column `at` is not a timestamp: .* Choose"
    ):
        run.load(*[BAD_TIME] * 60, state(1), *[BAD_TIME] * 60, state(2))
    assert (run.sent, run.states) == ([], [])


def test_fewer_rejected_rows_than_a_hundred_are_rejected_like_any_others() -> None:
    """One bad row must not block an incremental sync forever."""
    run = Run(api=TRACK).load(*[BAD_TIME] * 99, state(1))
    assert (run.sent, run.states) == ([], [(1, 0, 99)])


@pytest.mark.parametrize("other", [row("b", event="e", at=1666325394), row(None, event="e", at=1)])
def test_rejected_rows_among_others_do_not_stop_the_run(other: str) -> None:
    """A row that can be loaded, or fails for another column, shows that the mapping may be right."""
    run = Run(api=TRACK).load(other, *[BAD_TIME] * 150, state(1))
    assert [sum(counts) for _, *counts in run.states] == [151]


def test_rejected_rows_that_are_stored_never_stop_the_run() -> None:
    """They are not lost: they can be sent again."""
    run = Run(api=TRACK)
    run.storage = MemoryStorage()
    run.load(*[BAD_TIME] * 150, state(1))
    assert (len(run.storage.lines), run.states) == (150, [(1, 0, 150)])


def test_a_state_after_rejected_rows_waits_a_minute_at_most() -> None:
    """After that, they are rejected like any others, even while the source is silent."""
    run = Run(api=TRACK)
    run.speed = 1000.0
    run.load(*[BAD_TIME] * 50, state(1), run.until_states(1), *[BAD_TIME] * 150, state(2))
    assert run.states == [(1, 0, 50), (2, 0, 150)]


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
def test_events_that_a_second_load_would_duplicate_give_a_warning(
    caplog: pytest.LogCaptureFixture, api: dict[str, Any], mode: str, key: tuple[Any, ...], warned: bool
) -> None:
    """At the start, with the remedy."""
    run = Run(api=api)
    run.stream = replace(run.stream, destination_sync_mode=mode, primary_key=key)
    run.load(row("a", event="e", at=1666325394, plan=1))
    assert ("adds their events again" in log_of(caplog)) is warned


def test_an_input_without_rows_is_a_successful_sync(caplog: pytest.LogCaptureFixture) -> None:
    """Its states are returned, without warnings."""
    assert Run().load(state(1), state(2)).states == [(1, 0, 0), (2, 0, 0)]
    assert [record.levelname for record in caplog.records if record.levelno > logging.INFO] == []


def test_numbers_keep_the_digits_in_the_line() -> None:
    """In an identity as written; in a property as text, if JSON would lose them."""
    line = '{"type":"RECORD","record":{"stream":"users","data":{"email":12.50,"plan":12345678901234567890123}}}'
    run = Run().load(line)
    assert run.heap.sent == [{"identity": "12.5", "properties": {"plan": "12345678901234567890123"}}]


@pytest.mark.parametrize("value", ["NaN", "1e400", '"\\ud800"'])
def test_a_value_that_json_cannot_represent_rejects_its_row_only_if_it_is_selected(value: str) -> None:
    """In other columns, it is harmless."""
    line = '{{"type":"RECORD","record":{{"stream":"users","data":{{"email":"a","{}":{}}}}}}}'
    assert Run().load(line.format("other", value), row("b"), state(1)).states == [(1, 2, 0)]
    assert Run().load(line.format("plan", value), row("b"), state(1)).states == [(1, 1, 1)]


def test_a_record_nested_too_deeply_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    """How deep the exact reading goes depends on the version of Python; beyond that the row is reported."""

    def too_deep(_: Record) -> None:
        raise RecursionError

    monkeypatch.setattr(Record, "exactly", too_deep)
    assert Run().load(row(1.5), row("b"), state(1)).states == [(1, 1, 1)]


def test_a_state_is_returned_while_the_source_is_silent() -> None:
    """As soon as its rows are settled, without waiting for input."""
    run = Run()
    run.load(row("a"), state(1), run.until_states(1), row("b"), state(2), run.until_states(2))
    assert run.states == [(1, 1, 0), (2, 1, 0)]


def test_with_rejected_records_fail_a_refusal_stops_the_run_after_the_rows_before_it() -> None:
    """Even if those had not been delivered yet; later rows that have not been sent are not sent."""
    run = Run(bad=Verdict(Kind.REFUSED, 400))
    run.config |= {"rejected_records": "fail", "delivery": {"mode": "bulk"}}
    with pytest.raises(ConfigError, match="Row 3 is rejected: the row was refused by Heap"):
        run.load(row("a"), state(1), row("b"), row("bad"), state(2), row("c"), row(None), state(3))
    assert (sorted(set(run.sent) - {"c"}), run.states) == (["a", "b"], [(1, 1, 0)])


def test_a_state_waits_until_the_rejected_rows_before_it_are_stored() -> None:
    """They are the only copy."""
    run = Run(bad=Verdict(Kind.REFUSED, 400, words="Heap says no"))
    run.storage = MemoryStorage()
    run.load(row("a"), row(None), row("bad", plan=7), '{"type":"RECORD"}', state(1))
    assert run.states == [(1, 1, 3)]
    stored = [json.loads(line) for line in run.storage.lines]
    assert [line["rejected_reason"] for line in stored] == ["null", "no_data", "refused"]
    assert stored[2]["plan"] == 7
    assert stored[2]["rejected_message"].endswith("Heap says no")
    assert json.loads(stored[1]["unreadable_line"]) == {"type": "RECORD"}


def test_if_the_storage_of_rejected_rows_fails_the_run_stops() -> None:
    """No later state is returned."""
    run = Run()
    run.storage = MemoryStorage(ConfigError("`object_storage_config.path` is full."))
    with pytest.raises(ConfigError, match="is full"):
        run.load(row("a"), state(1), run.until_states(1), row(None), state(2), row("b"), state(3))
    assert run.states == [(1, 1, 0)]


def test_an_interrupted_run_returns_the_states_that_are_safe() -> None:
    """It waits for requests in flight, and sends nothing more."""
    run = Run()
    gate = run.heap.gate = threading.Event()

    def interrupt() -> None:
        assert run.heap.asked.wait(SECONDS)
        run.events.post(Interrupt(15))
        time.sleep(0.1)
        gate.set()

    with pytest.raises(InterruptedSyncError):
        run.load(row("a"), state(1), row("a"), state(2), interrupt, row("b"), state(3))
    assert (run.sent, run.states) == (["a"], [(1, 1, 0)])


def test_an_input_error_stops_the_run_after_the_rows_read() -> None:
    """The rows before the error are valid."""
    run = Run()

    def broken() -> None:
        raise OSError(5, "Input/output error")

    with pytest.raises(TransientError, match="Standard input cannot be read: Input/output error"):
        run.load(row("a"), state(1), broken)
    assert (run.sent, run.states) == (["a"], [(1, 1, 0)])


def test_a_bug_in_a_thread_stops_the_run() -> None:
    """Otherwise the run would wait forever."""
    run = Run()
    run.heap.post = None  # type: ignore[assignment,method-assign]
    with pytest.raises(TypeError):
        run.load(row("a"), state(1))
    assert run.states == []


def test_rows_of_one_key_keep_their_order_at_any_concurrency() -> None:
    """Each waits for the one before it, and for the rate of its user."""
    run = Run()
    run.speed = 100.0
    run.load(*[row(f"user{number % 7}", plan=number) for number in range(500)], state(1))
    for user in range(7):
        plans = [element["properties"]["plan"] for element in run.heap.sent if element["identity"] == f"user{user}"]
        assert plans == sorted(plans)
        assert len(plans) in {71, 72}
    assert run.states == [(1, 500, 0)]


def test_with_fail_the_first_bad_row_is_reported_regardless_of_what_is_in_flight() -> None:
    """It came first, and the user can fix it."""
    run = Run(a=Verdict(Kind.RETRYABLE, 503, retry_after=3600.0))
    run.config["rejected_records"] = "fail"
    gate = run.heap.gate = threading.Event()

    def until_it_is_in_flight() -> None:
        assert run.heap.asked.wait(SECONDS)

    def answer() -> None:
        time.sleep(0.1)
        gate.set()

    with pytest.raises(ConfigError, match="Row 2 is rejected"):
        run.load(row("a"), until_it_is_in_flight, row(None), answer)


def test_waiting_for_a_slow_reader_of_states_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    """With the time that it took to read each state."""
    caplog.set_level(logging.INFO)
    run = Run()
    run.reader_seconds = 30.0
    run.load(row("a"), state(1), run.until_states(1), row("b"), state(2))
    assert "Waited 60 s for the program that reads the output." in [record.getMessage() for record in caplog.records]


def test_the_end_of_a_load_is_estimated(caplog: pytest.LogCaptureFixture) -> None:
    """From the rate that limits it, if the number of rows is known."""
    caplog.set_level(logging.INFO)
    run = Run(api=TRACK)
    run.config["delivery"] = {"mode": "bulk", "max_events_per_minute": 60}
    run.speed = 600.0
    rows = [row(f"user{number}", event="Paid", at=1666325394) for number in range(120)]
    run.expected_rows = 240.0
    run.load(*rows)
    waiting = [record.getMessage() for record in caplog.records if "waiting for the limit" in record.getMessage()]
    assert waiting
    assert "; waiting for the limit of 60 events per minute; done in about " in waiting[0]
    assert any("for the limit of 60 events per minute" in record.getMessage() for record in caplog.records[-2:])
