"""Items for a library that turns an exception raised while it reads them into text of its own."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")


@contextmanager
def original_errors(items: Iterable[Item]) -> Iterator[Generator[Item, None, None]]:
    """A generator of the items for the library; where reading one failed, that exception is raised, not the library's.

    Ctrl-C that comes by itself is raised as it is. A library that stops early leaves the generator open.
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
