"""A storage of rejected rows for tests: it keeps lines in memory, or fails."""

from __future__ import annotations


class MemoryStorage:
    """Keeps lines in memory; raises `failure` instead if there is one."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.lines: list[bytes] = []
        self._failure = failure

    def append(self, lines: bytes) -> None:
        if self._failure:
            raise self._failure
        self.lines += lines.splitlines()

    def probe(self) -> None:
        """Nothing to check."""

    @property
    def retrieval(self) -> str:
        return "in memory."
