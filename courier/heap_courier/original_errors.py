"""Preserves an exception raised while a library reads items, if the library would replace it with its own."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")


@contextmanager
def original_errors(items: Iterable[Item]) -> Iterator[Generator[Item, None, None]]:
    """Yields a generator of the items for the library; if reading an item fails, raises that exception afterwards.

    A KeyboardInterrupt in the block itself passes unchanged. A library that stops early leaves the generator open.
    """
    failures: list[BaseException] = []

    def passed() -> Generator[Item, None, None]:
        try:
            yield from items
        except GeneratorExit:
            raise
        except BaseException as failure:
            failures.append(failure)
            raise

    try:
        yield passed()
    except Exception:
        if failures:
            raise failures[0] from None
        raise
