"""Every row is delivered or rejected, or the run stops; each response is handled once."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from destination_heap_analytics.delivery.batch import Envelope
from destination_heap_analytics.delivery.concurrency import Concurrency
from destination_heap_analytics.delivery.connection_check import PREFLIGHT_EVENT, preflight_request
from destination_heap_analytics.delivery.decision import REFUSED_TRIES
from destination_heap_analytics.delivery.delivery import Delivery
from destination_heap_analytics.delivery.http.client import Kind, Verdict
from destination_heap_analytics.delivery.job import Job
from destination_heap_analytics.delivery.planner import ROW_FORM, Planner, bulk_form
from destination_heap_analytics.delivery.rate_limits import Pacer
from destination_heap_analytics.errors import ConfigError, Reason, RowRejectedError, TransientError
from destination_heap_analytics.heap_api import Api
from destination_heap_analytics.mapping.payload import Payload
from destination_heap_analytics.protocol.checkpoints import Checkpoint

ACCEPTED = Verdict(Kind.ACCEPTED, 200)
REFUSED = Verdict(Kind.REFUSED, 400, words="bad for a@example.com")
RETRYABLE = Verdict(Kind.RETRYABLE, 503)
THROTTLED = Verdict(Kind.RETRYABLE, 429)
FAILED = Verdict(Kind.RETRYABLE, 500)

Answer = Callable[[list[Any], float], Verdict]
"""Heap's verdict on a request, from the numbers of its rows; the event of `check` is the row "check"."""


class Run:
    """A delivery on its own clock, and a Heap that responds a tenth of a second after each request."""

    def __init__(self, answer: Answer, *, api: Api = Api.TRACK, bulk: bool = True) -> None:
        self.answer = answer
        self.now = 0.0
        self.asked: list[list[Any]] = []
        self.bodies: list[bytes] = []
        self.ends: dict[int, Reason | None] = {}
        self.words: dict[int, str] = {}
        self._under_way: list[tuple[float, Job, Verdict]] = []
        self._has_tokens = api is Api.TRACK
        pacer = Pacer(None, None)
        form = bulk_form(merges=api is not Api.TRACK) if bulk else ROW_FORM
        self.delivery = Delivery(
            planner=Planner(form, pacer, Concurrency(16)),
            pacer=pacer,
            envelope=Envelope("11", api.endpoint, bulk=bulk),
            preflight=preflight_request(Api.TRACK, "11"),
            base_url="https://heapanalytics.com",
            send=self._send,
            settled=self._settled,
            rng=random.Random(1),
            logger=logging.getLogger("test"),
            now=0.0,
        )

    def _send(self, job: Job, _: str, body: bytes, in_flight: int) -> None:
        assert in_flight == len(self._under_way) + 1
        content = json.loads(body)
        elements = content.get("events") or content.get("users") or [content]
        numbers = [element["properties"].get("n", "check") for element in elements]
        if "check" in numbers:
            assert content == {"app_id": "11", **PREFLIGHT_EVENT}
        self.asked.append(numbers)
        self.bodies.append(body)
        self._under_way.append((self.now + 0.1, job, self.answer(numbers, self.now)))

    def _settled(self, items: Iterable[Payload], rejection: RowRejectedError | None) -> None:
        for item in items:
            assert item.number not in self.ends
            self.ends[item.number] = rejection.reason if rejection else None
            if rejection:
                self.words[item.number] = rejection.words

    def offer(self, *numbers: int, key: str | None = None) -> Run:
        for number in numbers:
            name = key or f"user{number}"
            body = json.dumps({"identity": name, "properties": {"n": number}}).encode()
            self.delivery.take(
                Payload(number, Checkpoint(), None, name, body, f"{number}" if self._has_tokens else None), self.now
            )
            self.step()
        return self

    def step(self) -> None:
        """Send what can be sent, and deliver responses that are due."""
        self.delivery.dispatch(self.now)
        for answer in sorted(self._under_way, key=lambda answer: answer[0]):
            due_at, job, verdict = answer
            if due_at <= self.now:
                self._under_way.remove(answer)
                self.delivery.handle_response(job, verdict, self.now)
        self.delivery.dispatch(self.now)

    def until(self, end: float) -> Run:
        """Continue until then, or until nothing more can happen."""
        self.step()
        while not self.delivery.is_idle:
            times = [due_at for due_at, _, _ in self._under_way]
            following = min([*times, self.delivery.wake_at(self.now)])
            assert following > self.now
            if following > end:
                break
            self.now = following
            self.step()
        return self

    def finish(self) -> Run:
        self.delivery.flush()
        return self.until(100_000.0)


def taken(_: list[Any], __: float) -> Verdict:
    return ACCEPTED


def refusing(*bad: int, verdict: Verdict = REFUSED) -> Answer:
    return lambda numbers, _: verdict if set(bad) & set(numbers) else ACCEPTED


def test_rows_are_sent_in_one_request_at_the_end_of_the_input() -> None:
    """And are delivered when it is accepted."""
    run = Run(taken).offer(1, 2, 3).finish()
    assert run.asked == [[1, 2, 3]]
    assert run.ends == {1: None, 2: None, 3: None}


def test_rows_do_not_wait_for_others_for_long() -> None:
    """A source may be silent for hours."""
    run = Run(taken).offer(1).until(60.0)
    assert (run.asked, run.ends) == ([[1]], {1: None})
    assert run.now < 5


@pytest.mark.parametrize(
    ("verdict", "reason"),
    [
        (REFUSED, Reason.REFUSED),
        (Verdict(Kind.REFUSED, 422), Reason.REFUSED),
        (Verdict(Kind.REFUSED, 403), Reason.NO_ENTRY),
        (Verdict(Kind.NO_ACCESS, 404), Reason.NO_ENTRY),
        (Verdict(Kind.TOO_LARGE, 413), Reason.TOO_LARGE),
    ],
)
def test_a_batch_is_halved_until_the_bad_row_is_alone(verdict: Verdict, reason: Reason) -> None:
    """The others are delivered, at the cost of two requests for each halving."""
    run = Run(refusing(700, verdict=verdict)).offer(1001).until(60.0)
    run.offer(*range(1, 1001)).finish()
    assert {number: end for number, end in run.ends.items() if end} == {700: reason}
    assert len(run.ends) == 1001
    again = 0 if verdict.breaks_a_rule else REFUSED_TRIES
    assert len(run.asked) <= 2 + 2 * 10 + again


@pytest.mark.parametrize("bulk", [True, False])
@pytest.mark.parametrize(
    "verdict",
    [
        Verdict(Kind.REFUSED, 403),
        Verdict(Kind.NO_ACCESS, 404),
        Verdict(Kind.REFUSED, 421),
        Verdict(Kind.TOO_LARGE, 413),
    ],
)
def test_a_load_balancer_that_fails_three_requests_in_ten_causes_no_rejection(verdict: Verdict, bulk: bool) -> None:
    """Heap does not refuse rows with these statuses, so a row sent alone is retried."""
    rng = random.Random(7)
    run = Run(taken, bulk=bulk).offer(0).until(60.0)  # the setup is known to be right
    run.answer = lambda *_: verdict if rng.random() < 0.3 else ACCEPTED
    run.offer(*range(1, 301)).finish()
    assert run.ends == dict.fromkeys(range(301))


@pytest.mark.parametrize("bulk", [True, False])
@pytest.mark.parametrize("verdict", [Verdict(Kind.TOO_LARGE, 413), Verdict(Kind.REFUSED, 403)])
def test_if_everything_is_refused_the_run_stops_whatever_the_status(verdict: Verdict, bulk: bool) -> None:
    """Even with 413: small rows cannot be too large, so the setup is in doubt."""
    run = Run(lambda *_: verdict, bulk=bulk)
    with pytest.raises(ConfigError):
        run.offer(*range(1, 31)).finish()
    assert run.ends == {}


def test_a_batch_that_cannot_be_sent_in_time_is_halved() -> None:
    """A slow network may be able to send a smaller one in time."""
    unsent = Verdict(Kind.RETRYABLE, None, "it could not be sent in time", was_sent=False)
    run = Run(lambda numbers, _: unsent if len(numbers) > 10 else ACCEPTED).offer(*range(1, 101)).finish()
    assert run.ends == dict.fromkeys(range(1, 101))
    assert len(run.asked) < 40


def test_a_refused_row_has_the_text_of_heaps_response() -> None:
    """To be stored with the row."""
    assert Run(refusing(2)).offer(1, 2).finish().words == {2: REFUSED.words}


def test_in_row_mode_each_row_is_a_request_and_only_the_refused_one_is_rejected() -> None:
    """There is nothing to split."""
    run = Run(refusing(2), bulk=False).offer(1, 2, 3).finish()
    assert run.asked == [[1], [2], [3], ["check"]]
    assert run.ends == {1: None, 2: Reason.REFUSED, 3: None}


def test_the_halves_of_a_batch_are_sent_one_after_the_other() -> None:
    """An identity may be in both."""
    run = Run(refusing(1)).offer(9).until(60.0)
    run.offer(1, 2, 3, 4, key="a").finish()
    assert run.asked == [[9], [1, 2, 3, 4], [1, 2], [1], [2], [3, 4]]


def test_a_merged_element_that_is_refused_is_sent_row_by_row() -> None:
    """Only the bad rows are rejected."""
    run = Run(refusing(2, 3), api=Api.USER_PROPERTIES)
    run.offer(1, 2, 3, 4, key="a").finish()
    assert json.loads(run.bodies[0])["users"] == [{"identity": "a", "properties": {"n": 4}}]
    assert run.ends == {1: None, 2: None, 3: None, 4: None}  # when merged, the bad row is overwritten
    run = Run(refusing(4), api=Api.USER_PROPERTIES).offer(9).until(60.0)
    run.offer(1, 4, key="a").finish()
    assert run.asked == [[9], [4], [1], [4], ["check"]]
    assert run.ends == {9: None, 1: None, 4: Reason.REFUSED}


def test_a_temporary_failure_is_retried_with_identical_bytes() -> None:
    """With growing pauses, and without losing anything."""
    run = Run(lambda _, now: RETRYABLE if now < 60 else ACCEPTED).offer(1, 2).finish()
    assert run.ends == {1: None, 2: None}
    assert len(set(run.bodies)) == 1
    assert 4 < len(run.bodies) < 40


def test_a_pause_is_at_least_as_long_as_heap_asks() -> None:
    """Retry-After is a minimum."""
    times: list[float] = []

    def answer(_: list[Any], now: float) -> Verdict:
        times.append(now)
        return Verdict(Kind.RETRYABLE, 503, retry_after=100.0) if now < 100 else ACCEPTED

    Run(answer).offer(1).finish()
    assert times[1] - times[0] >= 100


@pytest.mark.parametrize("bulk", [True, False])
def test_a_429_with_retry_after_pauses_the_whole_app(bulk: bool) -> None:
    """Heap limits the app, not the row: until the pause is over, neither rows nor a check event are sent."""
    times: list[float] = []

    def answer(numbers: list[Any], now: float) -> Verdict:
        times.append(now)
        if now < 20.0:
            return Verdict(Kind.RETRYABLE, 429, retry_after=20.0)
        return REFUSED if 5 in numbers else ACCEPTED

    run = Run(answer, bulk=bulk).offer(1)
    while not times:
        run.now += 0.5
        run.step()
    asked_at = times[0]
    run.now += 0.1
    run.step()
    run.offer(*range(2, 40)).finish()
    assert all(time >= asked_at + 20.0 for time in times[1:])
    assert run.ends == {**dict.fromkeys(range(1, 40)), 5: Reason.REFUSED}


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("answer", [RETRYABLE, REFUSED, Verdict(Kind.RETRYABLE, None, "no response")])
def test_large_rows_are_bounded_by_their_bytes(answer: Verdict, stored: bool) -> None:
    """With one request per row, and Heap accepting none, the rows read stay within tens of megabytes."""
    run = Run(lambda numbers, _: ACCEPTED if "check" in numbers else answer, bulk=False)
    megabytes = 4
    text = b"x" * (megabytes * 1_000_000)
    body = b'{"identity":"%d","properties":{"n":%d,"text":"' + text + b'"}}'
    read = 0
    for _ in range(60):
        while run.delivery.has_room:
            read += 1
            source = text if stored else None
            run.delivery.take(Payload(read, Checkpoint(), source, f"{read}", body % (read, read), f"{read}"), run.now)
            run.step()
            run.bodies.clear()
            assert (read - len(run.ends)) * megabytes * (2 if stored else 1) < 90
        run.now += 0.1
        run.step()
    assert read > 4


@pytest.mark.parametrize("verdict", [RETRYABLE, THROTTLED, Verdict(Kind.RETRYABLE, None, "nothing listens")])
def test_after_ten_minutes_without_success_the_run_stops(verdict: Verdict) -> None:
    """The rows stay unsettled."""
    run = Run(lambda *_: verdict)
    with pytest.raises(TransientError, match="stopped at row 1"):
        run.offer(1).finish()
    assert (run.ends, 540 < run.now < 700) == ({}, True)


def test_429_is_tolerated_while_anything_is_delivered() -> None:
    """Others may share the app's rate, which is slow but not a failure."""
    run = Run(lambda numbers, now: THROTTLED if numbers == [1] and now < 3000 else ACCEPTED, bulk=False).offer(1)
    for number in range(2, 30):
        run.until(run.now + 100).offer(number)
    run.finish()
    assert (run.ends[1], len(run.ends)) == (None, 29)


def test_if_heap_asks_for_a_long_wait_the_run_stops_immediately() -> None:
    """The error says how long."""
    run = Run(lambda *_: Verdict(Kind.RETRYABLE, 503, retry_after=3600.0))
    with pytest.raises(TransientError, match=r"Its Retry-After header asks clients to wait 60 minutes\."):
        run.offer(1).finish()
    assert run.now < 10


@pytest.mark.parametrize("kind", [Kind.NOT_HEAP, Kind.NO_ACCESS])
def test_an_obviously_wrong_setup_stops_the_run_immediately(kind: Kind) -> None:
    """Before anything was delivered: 401, 404, a redirect, an HTML page."""
    run = Run(lambda *_: Verdict(kind, 404, "an HTML page", words="a@example.com is bad"))
    with pytest.raises(ConfigError) as stopped:
        run.offer(1).finish()
    assert (len(run.asked), run.ends) == (1, {})
    assert "example.com is bad" not in str(stopped.value)


def test_a_server_that_is_not_heap_stops_the_run_at_any_time() -> None:
    """No response of such a server can be trusted."""
    run = Run(taken).offer(1).until(60.0)
    run.answer = lambda *_: Verdict(Kind.NOT_HEAP, 200, "an HTML page")
    with pytest.raises(ConfigError, match="HTML page"):
        run.offer(2).finish()


@pytest.mark.parametrize("bulk", [True, False])
@pytest.mark.parametrize("before", [0, 3000])
def test_a_wrong_setup_is_distinguished_from_bad_rows_after_a_handful_of_requests(bulk: bool, before: int) -> None:
    """At the start and in the middle of a run: the event of `check` is refused too."""
    run = Run(taken, bulk=bulk).offer(*range(1, before + 1)).until(60.0)
    delivered, asked = dict(run.ends), len(run.asked)
    run.answer = lambda *_: REFUSED
    with pytest.raises(ConfigError, match=r"stopped after row \d+ was refused. `app_id` was refused"):
        run.offer(*range(before + 1, before + 5001)).finish()
    assert run.ends == delivered
    assert len(run.asked) - asked <= 40


def test_bad_rows_do_not_stop_the_run() -> None:
    """The event of `check` is accepted from time to time, and they are rejected."""
    run = Run(lambda numbers, _: ACCEPTED if numbers == ["check"] else REFUSED, bulk=False)
    run.offer(*range(1, 101)).finish()
    assert set(run.ends.values()) == {Reason.REFUSED}
    assert len(run.ends) == 100
    assert 2 <= run.asked.count(["check"]) <= 11


def test_if_all_rows_of_a_short_input_are_refused_the_event_of_check_decides() -> None:
    """If it is accepted, they are rejected; if it is refused, the run stops."""
    run = Run(refusing(1, 2)).offer(1, 2).finish()
    assert run.asked[-1] == ["check"]
    assert run.ends == {1: Reason.REFUSED, 2: Reason.REFUSED}
    with pytest.raises(ConfigError, match="after row 2 was refused"):
        Run(lambda *_: REFUSED).offer(1, 2).finish()


def test_a_refused_row_waits_until_the_setup_is_known_to_be_right() -> None:
    """Until then, no later state is returned; a row that Heap accepts is sufficient evidence."""
    run = Run(refusing(2), bulk=False).offer(2)
    run.now = 0.05
    run.offer(3).until(0.1)
    assert run.ends == {}
    run.offer(4).until(1.0)
    assert run.ends == {2: Reason.REFUSED, 3: None, 4: None}
    assert run.asked == [[2], [3], [4]]


def test_a_refused_row_does_not_wait_long_for_evidence() -> None:
    """Whatever else is in flight: later states are waiting too."""
    waits = Verdict(Kind.RETRYABLE, 503, retry_after=500.0)
    run = Run(
        lambda numbers, now: waits if 1 in numbers and now < 400 else REFUSED if 2 in numbers else ACCEPTED, bulk=False
    )
    run.offer(1, 2).until(20.0)
    assert run.ends == {2: Reason.REFUSED}
    assert run.finish().ends == {1: None, 2: Reason.REFUSED}


def test_requests_sent_before_a_refusal_prove_nothing() -> None:
    """The setup may have broken in between; then no later state may be returned."""
    run = Run(refusing(2), bulk=False).offer(1, 2, 3)
    early, refused, late = (job for _, job, _ in run._under_way)
    run._under_way.clear()
    run.delivery.handle_response(refused, REFUSED, run.now)
    run.delivery.handle_response(late, ACCEPTED, run.now)
    run.delivery.handle_response(early, ACCEPTED, run.now)
    assert set(run.ends) == {1, 3}
    run.offer(4).until(run.now + 1)
    assert run.ends[2] is Reason.REFUSED


def test_429_after_a_long_silence_does_not_stop_the_run() -> None:
    """The ten minutes without a delivery are counted from the first 429."""
    run = Run(taken).offer(1).until(60.0)
    run.now = 5000.0
    run.answer = lambda _, now: THROTTLED if now < 5300 else ACCEPTED
    assert run.offer(2).finish().ends == {1: None, 2: None}


def test_the_event_of_check_is_sent_again_if_heap_is_unavailable() -> None:
    """Like any other request."""
    run = Run(lambda numbers, now: REFUSED if numbers == [1] else (RETRYABLE if now < 30 else ACCEPTED))
    assert run.offer(1).finish().ends == {1: Reason.REFUSED}
    assert run.asked.count(["check"]) > 2


def test_a_batch_that_makes_heap_fail_is_halved_while_others_are_delivered() -> None:
    """The single row that causes it stops the run; the error has its number."""
    run = Run(lambda numbers, _: FAILED if 7 in numbers else ACCEPTED).offer(*range(1, 9))

    def go_on() -> None:
        for number in range(100, 1000):
            run.until(run.now + 5).offer(number)

    with pytest.raises(TransientError, match="stopped at row 7: Heap repeatedly returned 500"):
        go_on()
    assert [number for number in range(1, 9) if number in run.ends] == [1, 2, 3, 4, 5, 6]


def test_a_batch_is_not_halved_for_500_while_nothing_is_delivered() -> None:
    """Heap is down: no row is to blame."""
    run = Run(lambda *_: FAILED).offer(1, 2)
    with pytest.raises(TransientError):
        run.finish()
    assert run.asked == [[1, 2]] * len(run.asked)


def test_if_the_input_ends_early_rows_after_that_point_are_not_sent() -> None:
    """Those before it are."""
    run = Run(taken)
    for number in range(1, 7):
        run.delivery.take(
            Payload(number, Checkpoint(), None, f"u{number % 2}", b'{"properties":{"n":%d}}' % number, None), 0.0
        )
    run.delivery.drop_after(4)
    run.until(60.0)
    assert sorted(run.ends) == [1, 2, 3, 4]


def test_a_stopping_run_counts_only_what_is_accepted() -> None:
    """Rows whose requests fail then stay unsettled."""
    run = Run(taken, bulk=False).offer(1, 2)
    first, second = (job for _, job, _ in run._under_way)
    run.delivery.wound_down(first, ACCEPTED)
    run.delivery.wound_down(second, REFUSED)
    assert (run.ends, run.delivery.in_flight) == ({1: None}, 0)


@pytest.mark.parametrize("verdict", [RETRYABLE, Verdict(Kind.RETRYABLE, None, "nothing listens")])
def test_the_log_reports_problems_at_intervals(caplog: pytest.LogCaptureFixture, verdict: Verdict) -> None:
    """Without the text of Heap's response, which may echo a row."""
    Run(lambda _, now: verdict if now < 50 else ACCEPTED, bulk=False).offer(1, 2).finish()
    (line,) = caplog.messages
    assert line.endswith("Retrying the same rows for up to ten minutes.")


@pytest.mark.parametrize(
    ("verdict", "what"),
    [
        (Verdict(Kind.RETRYABLE, 429, retry_after=30.0), "the pause that Heap's Retry-After header asks for"),
        (Verdict(Kind.RETRYABLE, 503, retry_after=30.0), "the next retry of a failed request"),
    ],
)
def test_a_wait_says_what_for_and_until_when(verdict: Verdict, what: str) -> None:
    """Both for pauses that Heap asks for and for retries."""
    run = Run(lambda _, __: verdict).offer(1)
    run.delivery.flush()
    run.until(1.0)
    wait = run.delivery.wait(run.now)
    assert wait is not None
    assert wait.what == what
    assert wait.until is not None
    assert 30.0 <= wait.until <= 31.0
