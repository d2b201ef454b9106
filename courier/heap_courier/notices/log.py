"""The log: notices as lines of text, or as one JSON object per line."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any, Final, Literal

from heap_courier.notices.notice import Notice, Report
from heap_courier.printable import printable, printable_json

Format = Literal["text", "json"]
FORMATS: Final = ("text", "json")


def line_of(notice: Notice, now: datetime) -> str:
    """A notice as a line of JSON: `time` (UTC, RFC 3339), `level`, `event`, `message`, and what it is about."""
    content: dict[str, Any] = {
        "time": _instant(now),
        "level": notice.level,
        "event": notice.event,
        "message": notice.text,
        "courier": notice.courier,
        "group": notice.group,
        "slot": notice.slot and _instant(notice.slot),
        "run": notice.run,
        "files": notice.files,
    }
    entries = {name: value for name, value in content.items() if value}
    entries |= {name: value for name, value in notice.details.items() if name not in content}
    return printable_json(json.dumps(entries, ensure_ascii=False))


def lines_of(notice: Notice, now: datetime) -> list[str]:
    """A notice as lines of text, the first with the time in UTC.

    Empty for runs of couriers, whose results commands print as tables.
    """
    if notice.courier and not notice.group:
        return []
    return [printable(line) for line in f"{now:%Y-%m-%d %H:%M:%S} {notice.text}".split("\n")]


class Log:
    """Writes notices, in the format that was chosen. May be called from several threads.

    What cannot be written, because the output is closed or full, is dropped: a run matters more than its log.

    Attributes:
        format: `text` or `json`.
        listeners: get each notice too.
    """

    def __init__(self, write: Callable[[str], None], now: Callable[[], datetime], format: Format = "text") -> None:  # noqa: A002  (what the option is called)
        self.format: Format = format
        self._write = write
        self._now = now
        self.listeners: list[Report] = []
        self._lock = threading.Lock()

    @property
    def is_json(self) -> bool:
        """Whether the log is JSON, for programs to read."""
        return self.format == "json"

    def __call__(self, notice: Notice) -> None:
        """Writes a notice."""
        for listener in self.listeners:
            listener(notice)
        now = self._now()
        lines = [line_of(notice, now)] if self.is_json else lines_of(notice, now)
        with self._lock, suppress(OSError, ValueError):
            for line in lines:
                self._write(line)


def _instant(when: datetime) -> str:
    return when.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
