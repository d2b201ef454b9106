"""Work on several cores, with results in order."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Generator, Iterator

import pytest

from heap_courier.parallel import ordered_map


def decoders() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("decode")]


def test_results_are_in_the_order_of_the_items_not_of_completion() -> None:
    second = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            assert second.wait(60)
        if item == 1:
            second.set()
        return item * 10

    assert list(ordered_map(work, range(5), workers=2)) == [0, 10, 20, 30, 40]
    assert decoders() == []


def test_several_items_are_processed_at_the_same_time() -> None:
    meeting = threading.Barrier(3, timeout=60)
    list(ordered_map(lambda _item: meeting.wait(), range(6), workers=3))


def test_no_items_give_no_results() -> None:
    assert list(ordered_map(str, [], workers=2)) == []


@pytest.mark.parametrize(("ahead", "most"), [(None, 4), (1, 1), (3, 3)])
def test_the_number_of_items_taken_ahead_is_limited(ahead: int | None, most: int) -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(20):
            taken.append(item)
            yield item

    for got, _result in enumerate(ordered_map(str, items(), workers=2, ahead=ahead)):
        assert len(taken) <= got + most
    assert taken == list(range(20))


def broken_items() -> Iterator[int]:
    yield from range(3)
    raise EOFError("cut short")


def refuses_three(item: int) -> int:
    if item == 3:
        raise EOFError("cut short")
    return item


@pytest.mark.parametrize("source", ["items", "function"])
def test_an_exception_is_raised_at_its_position_and_the_threads_end(source: str) -> None:
    if source == "items":
        results = ordered_map(str, broken_items(), workers=2)
    else:
        results = map(str, ordered_map(refuses_three, range(100), workers=2))
    assert [next(results), next(results), next(results)] == ["0", "1", "2"]
    with pytest.raises(EOFError, match="cut short"):
        next(results)
    assert decoders() == []


def test_stopping_early_waits_for_nothing_and_starts_nothing_more() -> None:
    """Work in progress finishes by itself, waiting work is not started."""
    done: list[int] = []
    stopped = threading.Event()

    def work(item: int) -> None:
        if item:
            assert stopped.wait(60)
        done.append(item)

    results = ordered_map(work, range(1000), workers=1, ahead=4)
    next(results)
    assert isinstance(results, Generator)
    under_way = [thread for thread in threading.enumerate() if thread.name.startswith("decode")]
    results.close()

    stopped.set()
    for thread in under_way:
        thread.join()
    assert done in ([0], [0, 1])


def test_a_signal_is_handled_although_it_did_not_wake_the_thread_that_waits() -> None:
    """As if it had arrived just as the wait began: another thread receives it from the system."""
    main, handled = threading.get_ident(), threading.Event()

    def work(_item: int) -> bool:
        while sys._current_frames()[main].f_code.co_name != "wait":
            handled.wait(0.001)
        handled.wait(0.2)  # so that it has reached the lock; if not, this test proves nothing but passes
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
        return handled.wait(30)

    before = signal.signal(signal.SIGUSR1, lambda _number, _frame: handled.set())
    try:
        assert list(ordered_map(work, [0], workers=1)) == [True]
    finally:
        signal.signal(signal.SIGUSR1, before)
