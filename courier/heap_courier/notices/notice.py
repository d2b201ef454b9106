"""A notice: something that happened, for the log, for metrics, and for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

Kind = Literal["note", "trouble", "running", "completed", "warning", "error"]
"""What a notice is about. `note`, and `trouble`, which may pass by itself, are only logged and never sent."""

KINDS: Final[tuple[Kind, ...]] = ("running", "completed", "warning", "error")
"""The kinds that can be sent."""

_LEVELS: Final[Mapping[Kind, str]] = {"trouble": "warning", "warning": "warning", "error": "error"}


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that happened.

    Attributes:
        kind: what it is about.
        event: its name for programs, such as `run-completed`, which stays the same when the text changes.
        text: the message, one sentence or more per line. Never contains values of a row.
        courier, group, slot, run: what it is about; empty or None if nothing. `slot` is in UTC, `run` is an id.
        details: further values by name, such as `rows`, `rejected`, `seconds`, `outcome`.
        files: names of files to check.
    """

    kind: Kind
    event: str
    text: str
    courier: str = ""
    group: str = ""
    slot: datetime | None = None
    run: str = ""
    details: Mapping[str, str | int | float] = field(default_factory=dict)
    files: tuple[str, ...] = ()

    @property
    def level(self) -> str:
        """`info`, `warning` or `error`."""
        return _LEVELS.get(self.kind, "info")


Report = Callable[[Notice], None]
"""Receives notices. Called from several threads; never raises."""


def ignored(_notice: Notice) -> None:
    """A report that discards everything."""


def note(text: str, event: str = "note") -> Notice:
    """A sentence that is only logged."""
    return Notice("note", event, text)


def trouble(text: str, event: str = "trouble") -> Notice:
    """A sentence that is only logged, at the level `warning`."""
    return Notice("trouble", event, text)
