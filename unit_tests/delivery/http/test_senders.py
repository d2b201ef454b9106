"""Requests are posted concurrently, by threads that are started on demand."""

from __future__ import annotations

import threading
import weakref
from queue import Queue

from destination_heap_analytics.delivery.http.client import Kind, Verdict
from destination_heap_analytics.delivery.http.senders import Outcome, Senders

LONG = 60.0


class Stub:
    """A client that responds when the test allows it."""

    def __init__(self) -> None:
        self.posted: Queue[bytes] = Queue()
        self.gate = threading.Event()
        self.closed = False

    def post(self, path: str, body: bytes) -> Verdict:
        self.posted.put(body)
        self.gate.wait(LONG)
        if body == b"defect":
            raise ZeroDivisionError
        return Verdict(Kind.ACCEPTED, 200, words=path)

    def cut_overdue(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        self.closed = True


def names() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("sender-")}


def test_requests_are_in_flight_at_the_same_time() -> None:
    """All that are sent, each with its own outcome."""
    answers: Queue[Outcome[int]] = Queue()
    client = Stub()
    senders = Senders(client, answers.put)
    for number in range(1, 6):
        senders.send(number, f"/{number}", b"%d" % number, in_flight=number)
    assert {client.posted.get(timeout=LONG) for _ in range(5)} == {b"1", b"2", b"3", b"4", b"5"}
    client.gate.set()
    got = [answers.get(timeout=LONG) for _ in range(5)]
    assert {(answer.ticket, answer.verdict.words) for answer in got if isinstance(answer.verdict, Verdict)} == {
        (number, f"/{number}") for number in range(1, 6)
    }
    senders.close()


def test_threads_are_reused() -> None:
    """One is enough if one request is in flight at a time."""
    answers: Queue[Outcome[int]] = Queue()
    client = Stub()
    client.gate.set()
    before = len(names())
    senders = Senders(client, answers.put)
    for number in range(20):
        senders.send(number, "/", b"", in_flight=1)
        assert answers.get(timeout=LONG).ticket == number
    assert len(names()) <= before + 1
    senders.close()


def test_a_defect_is_handed_on() -> None:
    """The run raises it; if the thread died silently, the run would wait forever."""
    answers: Queue[Outcome[str]] = Queue()
    client = Stub()
    client.gate.set()
    senders = Senders(client, answers.put)
    senders.send("it", "/", b"defect", in_flight=1)
    assert isinstance(answers.get(timeout=LONG).verdict, ZeroDivisionError)
    senders.close()


def test_nothing_is_sent_after_closing() -> None:
    """Queued requests are dropped, and those in flight are aborted."""
    answers: Queue[Outcome[int]] = Queue()
    client = Stub()
    senders = Senders(client, answers.put)
    senders.send(1, "/", b"1", in_flight=1)
    senders.send(2, "/", b"2", in_flight=1)
    assert client.posted.get(timeout=LONG) == b"1"
    senders.close()
    client.gate.set()
    assert answers.get(timeout=LONG).ticket == 1
    assert (client.closed, client.posted.qsize(), answers.qsize()) == (True, 0, 0)


class Ticket:
    """Anything that a weak reference can follow."""


def test_a_thread_without_a_request_keeps_no_rows() -> None:
    """Rows are released once their outcome has been handled, although the thread is still waiting."""
    answers: Queue[Outcome[Ticket]] = Queue()
    client = Stub()
    client.gate.set()
    senders = Senders(client, answers.put)
    first = Ticket()
    is_free = threading.Event()
    weakref.finalize(first, is_free.set)
    senders.send(first, "/", b"body", in_flight=1)
    del first
    answers.get(timeout=LONG)
    assert is_free.wait(LONG)
    senders.close()
