"""Rows of a key never overtake each other, and do not block other keys; waiting rows are bounded."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_heap_analytics.delivery import batch, planner
from destination_heap_analytics.delivery.batch import Envelope
from destination_heap_analytics.delivery.concurrency import Concurrency
from destination_heap_analytics.delivery.decision import NO_FAILURES, History
from destination_heap_analytics.delivery.job import Job
from destination_heap_analytics.delivery.planner import ROW_FORM, Form, Planner
from destination_heap_analytics.delivery.rate_limits import Pacer, counter_of
from destination_heap_analytics.delivery.waiting import Cause
from destination_heap_analytics.heap_api import Api, Rate
from destination_heap_analytics.mapping.payload import Payload
from destination_heap_analytics.protocol.checkpoints import Checkpoint

EVENTS = Form(rows=4, merges=False, patience=2.0, jobs=24)
PROPERTIES = Form(rows=4, merges=True, patience=2.0, jobs=24)
NEVER = float("inf")


class Plan:
    """A planner on a clock that the test sets; rows are numbers, in the order read."""

    def __init__(
        self, form: Form = EVENTS, *, app: Rate | None = None, key: Rate | None = None, in_flight: int = 16
    ) -> None:
        self.now = 0.0
        self.read = 0
        self.merges = form.merges
        self.pacer = Pacer(app, key)
        self.concurrency = Concurrency(in_flight)
        self.planner = Planner(form, self.pacer, self.concurrency)

    def offer(self, keys: Iterable[str]) -> Plan:
        """Offer rows of these keys, whether there is room or not."""
        for key in keys:
            self.read += 1
            body = b'{"identity":"%b","properties":{"n":%d}}' % (key.encode(), self.read)
            token = None if self.merges else str(self.read)
            self.planner.offer(Payload(self.read, Checkpoint(), None, key, body, token), self.now)
        return self

    def jobs(self) -> list[Job]:
        """The requests that are sent now."""
        found = []
        while job := self.planner.next(self.now):
            found.append(job)
        return found

    def job(self) -> Job:
        (job,) = self.jobs()
        return job

    def go(self) -> list[list[int]]:
        return [numbers(job.items) for job in self.jobs()]

    def flushed(self) -> Plan:
        self.planner.flushes = True
        return self

    def taken(self, job: Job) -> Plan:
        """Heap accepts all rows of the request."""
        self.planner.completed(job, self.now)
        self.planner.part_done(job, self.now)
        return self

    def later(self, job: Job, due_at: float) -> Plan:
        self.planner.completed(job, self.now)
        self.planner.retry(job, due_at, History(failures=1))
        return self

    def at(self, now: float) -> Plan:
        self.now = now
        return self


def numbers(items: Sequence[Payload]) -> list[int]:
    return [item.number for item in items]


def test_a_full_batch_is_sent_immediately() -> None:
    """In the order read."""
    assert Plan().offer("abcd").go() == [[1, 2, 3, 4]]


def test_rows_wait_for_others_but_not_for_long() -> None:
    """Two seconds from the first of them."""
    plan = Plan().offer("a").at(1.0).offer("b")
    assert (plan.go(), plan.planner.wake_at(plan.now)) == ([], 2.0)
    assert plan.at(1.9).go() == []
    assert plan.at(2.0).go() == [[1, 2]]
    assert plan.planner.wake_at(plan.now) == NEVER


def test_rows_are_sent_immediately_when_no_more_will_come() -> None:
    """At the end of the input."""
    assert Plan().offer("a").flushed().go() == [[1]]


def test_one_request_for_each_row() -> None:
    """Concurrently, but one after another for each key."""
    plan = Plan(ROW_FORM)
    jobs = [job for key in "aba" for job in plan.offer(key).jobs()]
    assert [numbers(job.items) for job in jobs] == [[1], [2]]
    assert plan.taken(jobs[1]).go() == []
    assert plan.taken(jobs[0]).go() == [[3]]


def test_rows_whose_key_is_in_flight_are_skipped() -> None:
    """With all later rows of the same key; other keys continue."""
    plan = Plan().offer("aabc")
    job = plan.job()
    assert plan.offer("aadbef").offer("gh").go() == [[7, 9, 10, 11]]
    assert plan.offer("i").taken(job).at(2.0).go() == [[12, 13, 5, 8]]


def test_a_key_stays_busy_while_its_request_is_waiting_for_a_retry() -> None:
    """Otherwise a row would overtake those before it."""
    plan = Plan().offer("abcd")
    job = plan.job()
    plan.later(job, due_at=5.0).offer("ae").flushed()
    assert plan.go() == [[6]]
    assert plan.at(4.9).go() == []
    assert plan.planner.wake_at(plan.now) == 5.0
    assert plan.at(5.0).go() == [[1, 2, 3, 4]]
    assert plan.taken(job).go() == [[5]]


def test_a_key_stays_busy_while_a_part_of_its_request_is_left() -> None:
    """The parts are sent one after another."""
    plan = Plan().offer("abcd")
    job = plan.job()
    assert plan.later(job, due_at=0.0).job().failures == 1
    plan.planner.completed(job, plan.now)
    plan.planner.split(job, plan.now)
    plan.offer("d").flushed()
    assert numbers(plan.job().items) == [1, 2]
    assert job.failures == 0
    assert plan.taken(job).job() is job
    assert numbers(job.items) == [3, 4]
    assert plan.taken(job).go() == [[5]]


def test_rows_of_a_batch_that_was_cut_do_not_overtake() -> None:
    """The remaining rows of its keys wait for it; those of other keys stay in the open batch."""
    plan = Plan(app=Rate(3, 60))
    plan.offer("aabacab").offer("d").flushed()
    job = plan.job()
    assert numbers(job.items) == [1, 2, 3]
    assert plan.offer("a").taken(job).at(61.0).go() == [[5, 8, 4]]
    assert plan.planner.is_idle is False


def test_a_row_cut_from_a_batch_returns_its_share() -> None:
    """It reserves a new one when it is sent."""
    plan = Plan(app=Rate(3, 60), key=Rate(2, 30)).offer("abca").flushed()
    assert plan.taken(plan.job()).offer("a").at(61.0).go() == [[4, 5]]


def test_a_row_read_when_its_key_is_free_again_does_not_overtake_those_that_waited() -> None:
    """Even before anything has been sent since then."""
    plan = Plan().offer("abcd")
    job = plan.job()
    assert plan.offer("a").taken(job).offer("a").flushed().go() == [[5, 6]]


def test_a_key_waits_only_for_its_own_window() -> None:
    """With all its later rows; other keys continue, and it is sent as soon as possible."""
    plan = Plan(key=Rate(2, 30)).offer("aaabac")
    job = plan.job()
    assert numbers(job.items) == [1, 2, 4, 6]
    plan.at(0.1).taken(job).offer("a")
    assert plan.go() == []
    assert plan.planner.wake_at(plan.now) == 31.0
    second = plan.at(31.0).job()
    assert numbers(second.items) == [3, 5]
    assert plan.taken(second).go() == []
    assert plan.at(62.0).go() == [[7]]


def test_skipped_rows_come_before_the_next_rows_read() -> None:
    """Even if single requests use up the limit of requests in flight."""
    plan = Plan(ROW_FORM, in_flight=1).offer("a")
    job = plan.job()
    plan.offer("ab")
    second = plan.taken(job).job()
    assert numbers(second.items) == [3]
    plan.offer("c" if plan.planner.has_room else "")
    assert numbers(plan.taken(second).job().items) == [2]


def test_two_keys_with_one_counter_take_turns() -> None:
    """A key with many rows does not keep another one out of the window that they share."""
    other = next(name for name in map(str, range(10_000_000)) if counter_of(name) == counter_of("a"))
    plan = Plan(ROW_FORM, key=Rate(1, 30))
    plan.offer(["a"] * 5).offer([other])
    order = []
    for _ in range(6):
        job = plan.job()
        order.append(job.items[0].number)
        assert plan.taken(job).go() == []
        plan.at(plan.now + 31)
    assert order.index(6) <= 2
    assert sorted(order) == [1, 2, 3, 4, 5, 6]


def test_the_number_of_requests_in_flight_is_limited() -> None:
    """A response makes room for the next request."""
    plan = Plan(ROW_FORM, in_flight=2).offer("abc")
    first, second = plan.jobs()
    assert plan.planner.in_flight == 2
    assert plan.taken(second).go() == [[3]]
    assert plan.taken(first).go() == []


def test_the_number_of_unfinished_requests_is_limited() -> None:
    """Those waiting for a retry count too; otherwise rows would pile up while Heap is down."""
    plan = Plan(Form(rows=1, merges=False, patience=0.0, jobs=2)).offer("abc")
    first, second = plan.jobs()
    plan.later(first, 5.0).later(second, 6.0)
    assert plan.go() == []
    assert not plan.planner.has_room
    assert plan.at(5.0).go() == [[1]]
    assert plan.taken(first).go() == [[3]]


def test_the_apps_window_holds_back_what_does_not_fit() -> None:
    """A request is cut to the available room, unless that is very small."""
    plan = Plan(Form(rows=20, merges=False, patience=2.0, jobs=24), app=Rate(30, 60))
    first = plan.offer(map(str, range(20))).job()
    plan.taken(first).offer(map(str, range(20)))
    plan.at(60.0)  # wait for the part that is spread out
    second = plan.job()
    assert numbers(second.items) == list(range(21, 31))
    plan.taken(second)
    assert plan.go() == []
    assert plan.planner.wake_at(plan.now) == 61.0
    assert plan.at(61.0).go() == [list(range(31, 41))]


def test_very_little_room_is_not_used() -> None:
    """A request has at least a tenth of its full size, unless there are no more rows."""
    plan = Plan(Form(rows=20, merges=False, patience=2.0, jobs=24), app=Rate(21, 60))
    plan.taken(plan.offer(map(str, range(20))).job()).at(60.0)
    assert plan.offer("ab").flushed().go() == []
    plan.planner.drop_after(21)
    assert plan.go() == [[21]]


def test_a_retry_waits_for_room_and_no_other_request_takes_it() -> None:
    """It needs all of the room at once, so smaller requests would delay it forever."""
    plan = Plan(app=Rate(6, 60)).offer("abcd")
    job = plan.job()
    plan.at(0.5).later(job, 1.0).offer("ef").flushed().at(50.0)
    assert plan.go() == []
    assert plan.planner.wake_at(plan.now) == 61.0
    again, other = plan.at(61.0).jobs(), plan.at(91.0).jobs()
    assert [numbers(job.items) for job in again + other] == [[1, 2, 3, 4], [5, 6]]


def test_a_retry_waits_for_the_windows_of_its_keys() -> None:
    """Its first attempt may have been counted; other requests continue meanwhile."""
    plan = Plan(key=Rate(2, 30)).offer("aabc")
    job = plan.job()
    plan.later(job, 1.0).offer("d").flushed().at(1.0)
    assert plan.go() == [[5]]
    assert plan.planner.wake_at(plan.now) == 31.0
    assert plan.at(31.0).go() == [[1, 2, 3, 4]]


def test_reading_pauses_when_a_batch_is_full_and_cannot_be_sent() -> None:
    """And continues when it has been sent."""
    plan = Plan(ROW_FORM, in_flight=1).offer("a")
    job = plan.job()
    assert plan.planner.has_room
    plan.offer("b")
    assert not plan.planner.has_room
    plan.taken(job).go()
    assert plan.planner.has_room


def test_reading_pauses_when_too_many_rows_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their memory is bounded."""
    monkeypatch.setattr(planner, "SET_ASIDE_ROWS", 3)
    plan = Plan().offer("abcd")
    job = plan.job()
    assert plan.offer("aa").planner.has_room
    assert not plan.offer("b").planner.has_room
    plan.taken(job).go()
    assert plan.planner.has_room


def test_reading_pauses_when_too_many_bytes_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """However few rows they are."""
    monkeypatch.setattr(planner, "SET_ASIDE_BYTES", 100)
    plan = Plan().offer("abcd")
    job = plan.job()
    assert plan.offer("aa").planner.has_room
    assert not plan.offer("b").planner.has_room
    plan.taken(job).go()
    assert plan.planner.has_room


def test_reading_pauses_when_a_key_has_rows_for_five_minutes() -> None:
    """Reading on would not return a state any sooner."""
    plan = Plan(key=Rate(2, 30)).offer("a" * 21)
    assert plan.planner.has_room
    assert not plan.offer("a").planner.has_room
    plan.taken(plan.at(2.0).job())
    assert plan.go() == []
    assert not plan.planner.has_room
    plan.at(33.0).jobs()
    assert plan.planner.has_room


def test_reading_continues_when_skipped_rows_are_dropped() -> None:
    """Those after a row that stops the run."""
    plan = Plan(key=Rate(2, 30)).offer("a" * 22)
    plan.planner.drop_after(3)
    plan.go()
    assert plan.planner.has_room


def test_rows_after_the_last_one_that_counts_are_dropped() -> None:
    """In the open batch or skipped; requests in flight stay, and rows before that point are still sent."""
    plan = Plan(key=Rate(3, 30)).offer("aabb")
    job = plan.job()
    plan.offer("acadcab")  # 5, 7, 10 and 11 are skipped
    plan.planner.drop_after(6)
    plan.flushed()
    assert plan.go() == [[6]]
    assert plan.taken(job).go() == [[5]]


def test_requests_waiting_for_a_retry_drop_them_too() -> None:
    """Otherwise rows that are no longer needed would be retried for minutes."""
    plan = Plan().offer("abcd").flushed()
    part, rest = plan.job(), plan.offer("ef").job()
    plan.later(part, due_at=9.0)
    plan.planner.drop_after(2)
    plan.later(rest, due_at=9.0)
    assert (plan.planner.jobs, plan.at(9.0).go()) == (1, [[1, 2]])


def test_a_dropped_row_returns_its_share() -> None:
    """And a row that was waiting for it is sent, because nothing else would wake it."""
    plan = Plan(key=Rate(2, 30)).offer("aa")
    plan.planner.drop_after(1)
    plan.offer("aa").flushed()
    assert plan.go() == [[1, 3]]


def test_a_key_that_waits_for_a_returned_share_is_woken() -> None:
    """Its row was waiting for a window that a key with the same counter had used up."""
    other = next(name for name in map(str, range(10_000_000)) if counter_of(name) == counter_of("a"))
    plan = Plan(key=Rate(1, 30))
    plan.planner.offer(Payload(2, Checkpoint(), None, other, b"{}", None), 0.0)
    plan.planner.offer(Payload(1, Checkpoint(), None, "a", b"{}", None), 0.0)
    plan.planner.drop_after(1)
    plan.flushed()
    assert plan.go() == [[1]]


def test_nothing_is_left_when_every_row_is_done() -> None:
    """Whether it was in the open batch, skipped, in flight, or waiting for a retry."""
    plan = Plan()
    assert plan.planner.is_idle
    plan.offer("abcd")
    assert not plan.planner.is_idle
    job = plan.job()
    assert not plan.planner.is_idle
    plan.later(job, 0.0)
    assert not plan.planner.is_idle
    plan.taken(plan.job())
    assert plan.planner.is_idle


def test_a_time_that_has_passed_is_not_waited_for() -> None:
    """Then the request is waiting for something else: a response."""
    plan = Plan(app=Rate(100, 60), in_flight=1).offer("abcd")
    job = plan.job()
    plan.offer("efgh").at(200.0)
    assert plan.go() == []
    assert plan.planner.wake_at(plan.now) == NEVER
    assert plan.taken(job).go() == [[5, 6, 7, 8]]


@pytest.mark.parametrize("form", [EVENTS, PROPERTIES])
def test_a_batch_stays_within_its_bytes(form: Form, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many rows are offered at once."""
    monkeypatch.setattr(batch, "MAX_BYTES", 100)
    assert Plan(form).offer("abcd").flushed().go() == [[1, 2], [3, 4]]


def test_rows_of_a_key_are_one_element_if_merged() -> None:
    """So a batch can have more rows than elements."""
    assert Plan(PROPERTIES).offer("aabaacd").go() == [[1, 2, 3, 4, 5, 6, 7]]


def test_a_cut_batch_of_properties_keeps_its_order() -> None:
    """A later row of a key that has been sent waits for it."""
    plan = Plan(PROPERTIES).offer("abcdeafg").flushed()
    first, second = plan.jobs()
    assert (numbers(first.items), numbers(second.items)) == ([1, 2, 3, 4], [5, 7, 8])
    assert plan.taken(first).go() == [[6]]


class Model:
    """A Heap for one planner: it sees what is sent, and counts its windows with independent code."""

    def __init__(self, form: Form, app: Rate | None, key: Rate | None) -> None:
        self.plan = Plan(form, app=app, key=key)
        self.ended: list[Payload] = []
        self.under_way: list[tuple[Job, list[float]]] = []
        self._form, self._app, self._key = form, app, key
        self._envelope = Envelope(
            "11", (Api.USER_PROPERTIES if form.merges else Api.TRACK).endpoint, bulk=form is not ROW_FORM
        )
        self._bodies: dict[tuple[int, ...], bytes] = {}
        self._arrivals: list[tuple[list[float], list[str]]] = []

    def dispatch(self) -> None:
        """Send what may go now."""
        for job in self.plan.jobs():
            self._arrives(job)
        assert self.plan.planner.in_flight == len(self.under_way) <= self.plan.concurrency.most
        assert self.plan.planner.wake_at(self.plan.now) > self.plan.now

    def _arrives(self, job: Job) -> None:
        keys = [item.key for item in job.items]
        assert not any(item.key in keys for other, _ in self.under_way for item in other.items)
        body = self._envelope.body(job.items)
        assert self._bodies.setdefault(tuple(numbers(job.items)), body) == body
        if self._form.merges:
            users = [user["identity"] for user in json.loads(body)["users"]]
            assert len(users) == len(set(users)) <= self._form.rows
        else:
            assert len(keys) <= self._form.rows
        at = [NEVER]  # it may arrive at any time until the response
        self.under_way.append((job, at))
        self._arrivals.append((at, keys))
        for rate, name in ((self._app, lambda _: ""), (self._key, str)):
            if rate:
                counts = Counter(
                    name(key) for (at,), keys in self._arrivals if at + rate.seconds > self.plan.now for key in keys
                )
                assert max(counts.values()) <= rate.count

    def answer(self, which: int, how: str) -> None:
        """One of the requests in flight gets a response."""
        job, at = self.under_way.pop(which % len(self.under_way))
        at[0] = self.plan.now
        plan = self.plan
        plan.planner.completed(job, plan.now)
        if how == "halved" and len(job.items) > 1:
            plan.planner.split(job, plan.now)
        elif how == "later":
            plan.concurrency.congested(job.sent_at, plan.now)
            plan.planner.retry(job, plan.now + 1.5, NO_FAILURES)
        else:
            self.ended += job.items
            plan.planner.part_done(job, plan.now)

    def finish(self) -> None:
        """No more rows come, and Heap accepts all rows."""
        self.plan.flushed()
        self.dispatch()
        while not self.plan.planner.is_idle:
            if self.under_way:
                self.answer(0, "taken")
            else:
                self.plan.at(self.plan.planner.wake_at(self.plan.now))
                assert self.plan.now < NEVER, "rows are left that nothing wakes"
            self.dispatch()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("offer"), st.text("aaabcdefgh", min_size=1, max_size=6)),
        st.tuples(st.just("answer"), st.integers(0, 5), st.sampled_from(["taken", "taken", "later", "halved"])),
        st.tuples(st.just("wait"), st.sampled_from([0.1, 1.0, 10.0])),
    ),
    max_size=60,
)


@given(
    form=st.sampled_from([EVENTS, PROPERTIES, ROW_FORM]),
    app=st.sampled_from([None, Rate(6, 60), Rate(3, 60)]),
    key=st.sampled_from([None, Rate(4, 60), Rate(1, 30)]),
    steps=STEPS,
)
def test_every_row_ends_once_and_in_the_order_of_its_key(
    form: Form, app: Rate | None, key: Rate | None, steps: list[tuple[str, ...]]
) -> None:
    """Never two requests of one key at a time, the same rows in different bytes, or more than a window allows."""
    model = Model(form, *(None, None) if form.merges else (app, key))
    for step, *details in steps:
        if step == "offer":
            for name in details[0]:
                if model.plan.planner.has_room:
                    model.plan.offer(name)
        elif step == "wait":
            model.plan.at(model.plan.now + float(details[0]))
        elif model.under_way:
            model.answer(int(details[0]), details[1])
        model.dispatch()
    model.finish()
    assert sorted(numbers(model.ended)) == list(range(1, model.plan.read + 1))
    for name in {item.key for item in model.ended}:
        rows = [item.number for item in model.ended if item.key == name]
        assert rows == sorted(rows)
    model.plan.pacer.expire(1e9)
    assert (model.plan.pacer._used, any(model.plan.pacer._counts)) == (0, False)


class TestCause:
    """Why nothing is sent, after everything that can be sent has been."""

    def cause(self, plan: Plan) -> Cause | None:
        plan.jobs()
        return plan.planner.cause(plan.now)

    def test_there_is_none_without_rows(self) -> None:
        """Or only rows that wait for others to fill their batch."""
        assert self.cause(Plan()) is None
        assert self.cause(Plan().offer("a")) is None

    def test_heap_has_not_responded(self) -> None:
        """Whether there are more rows or not."""
        assert self.cause(Plan().offer("abcd")) is Cause.RESPONSES
        assert self.cause(Plan(in_flight=1).offer("abcd").offer("efgh")) is Cause.RESPONSES

    def test_the_app_has_used_up_its_window(self) -> None:
        """Although Heap has responded to everything."""
        plan = Plan(app=Rate(4, 60)).offer("abcd")
        plan.taken(plan.job()).offer("efgh")
        assert self.cause(plan) is Cause.APP_RATE
        assert plan.pacer.app_words == "the limit of 4 events per minute"
        plan.pacer.throttled(plan.now, plan.now + 6)
        assert plan.pacer.app_words == "the limit of 4 events per minute, lowered to 2 because Heap returned 429"

    def test_an_identity_has_used_up_its_window(self) -> None:
        """And no other identity has rows."""
        plan = Plan(key=Rate(2, 60)).offer("aa").flushed()
        plan.taken(plan.job()).offer("a")
        assert self.cause(plan) is Cause.KEY_RATE
        assert plan.pacer.key_words == "Heap's limit of 2 in 60 s per identity"

    def test_a_request_waits_for_its_next_attempt(self) -> None:
        """Until it is due."""
        plan = Plan().offer("abcd")
        plan.later(plan.job(), due_at=5.0)
        assert (self.cause(plan), plan.planner.retries_at(plan.now)) == (Cause.RETRY, 5.0)
        assert plan.planner.retries_at(5.0) is None

    def test_heap_has_asked_for_a_pause(self) -> None:
        """Nothing is sent."""
        plan = Plan().offer("abcd")
        plan.planner.hold(30.0)
        assert (self.cause(plan), plan.planner.resumes_at) == (Cause.PAUSE, 30.0)
        assert self.cause(plan.at(30.0)) is Cause.RESPONSES
