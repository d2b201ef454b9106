"""The content of a notification: text for commands and e-mail, JSON for webhooks."""

from __future__ import annotations

from datetime import datetime, timezone
from shlex import quote as shell_quoted
from typing import Any, NamedTuple
from urllib.parse import quote

from heap_courier.notices.notice import Notice


class Link(NamedTuple):
    """Where to find out more: a URL of the console, or a command."""

    label: str
    target: str


def links(notice: Notice, console: str | None) -> list[Link]:
    """Links to the run and the group; commands if the project does not set the console's URL."""
    found = []
    if notice.run:
        command = f"heap-courier runs {shell_quoted(notice.run)}"
        found.append(Link("run", _target(console, f"/runs/{quote(notice.run, safe='')}", command)))
    if notice.group:
        command = f"heap-courier group runs {shell_quoted(notice.group)}"
        found.append(Link("group", _target(console, f"/groups/{quote(notice.group, safe='')}/edit", command)))
    return found


def subject(notice: Notice) -> str:
    """One line: the kind and the first sentence."""
    return f"heap-courier {notice.kind}: {notice.text.partition(chr(10))[0]}"


def text(notice: Notice, console: str | None) -> str:
    """The notice, its files and its links, each on a line of its own."""
    lines = [notice.text]
    lines += [f"File: {file}" for file in notice.files]
    lines += [f"{link.label.capitalize()}: {link.target}" for link in links(notice, console)]
    return "\n".join(lines)


def content(notice: Notice, console: str | None, notice_id: str, now: datetime) -> dict[str, Any]:
    """The JSON of a webhook. `id` is the same in each attempt to deliver a notification."""
    return {
        "id": notice_id,
        "time": now.astimezone(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "kind": notice.kind,
        "event": notice.event,
        "text": text(notice, console),
        "message": notice.text,
        "courier": notice.courier or None,
        "group": notice.group or None,
        "slot": notice.slot and notice.slot.astimezone(timezone.utc).isoformat().replace("+00:00", "Z"),
        "run": notice.run or None,
        "details": dict(notice.details),
        "files": list(notice.files),
        "links": {link.label: link.target for link in links(notice, console)},
    }


def _target(console: str | None, page: str, command: str) -> str:
    return f"{console.rstrip('/')}{page}" if console else f"`{command}`"
