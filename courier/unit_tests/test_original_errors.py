"""An exception that a library would replace with its own is preserved."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest

from heap_courier.original_errors import original_errors


class LibraryError(Exception):
    """What a library raises in place of the exception that it met."""


def library(items: Iterator[int]) -> list[int]:
    """Reads all items, and turns an exception into text."""
    try:
        return list(items)
    except (OSError, KeyboardInterrupt, SystemExit) as error:
        raise LibraryError(str(error)) from None


def failing(error: BaseException) -> Iterator[int]:
    """An item, then a failure."""
    yield 1
    raise error


def test_items_pass() -> None:
    """The library gets all items in order."""
    with original_errors(range(3)) as items:
        assert library(items) == [0, 1, 2]


@pytest.mark.parametrize("error", [OSError("gone"), KeyboardInterrupt(), SystemExit(3)])
def test_a_failure_while_reading_is_raised_itself(error: BaseException) -> None:
    """The library's exception is neither raised nor its cause."""
    with pytest.raises(type(error)) as raised, original_errors(failing(error)) as items:
        library(items)

    assert error is raised.value
    assert raised.value.__suppress_context__


@pytest.mark.parametrize("error", [LibraryError("disk full"), KeyboardInterrupt()])
def test_a_failure_of_the_library_stays(error: BaseException) -> None:
    """If reading the items did not fail, what the library raises is raised."""

    def write() -> None:
        with original_errors(range(3)) as items:
            next(items)
            raise error

    with pytest.raises(type(error)) as raised:
        write()

    assert error is raised.value


def test_ctrl_c_comes_before_a_failure_while_reading() -> None:
    """A signal in the thread that waits for the library stops the reader too: the signal is what is raised."""

    def write() -> None:
        with original_errors(failing(OSError("gone"))) as items:
            with suppress(LibraryError):
                library(items)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()


def test_a_library_that_closes_the_generator_early_closes_the_items() -> None:
    """A file behind the items is closed with them, and nothing is raised."""
    closed = []

    def rows() -> Iterator[int]:
        try:
            yield from range(3)
        finally:
            closed.append(True)

    with original_errors(rows()) as items:
        next(items)
        items.close()

    assert closed == [True]
