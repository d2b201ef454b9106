"""One request to the console, and the page that answers it."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from heap_courier.console.jobs import Jobs
from heap_courier.couriers.context import Context
from heap_courier.documents.wording import duration, size
from heap_courier.notices.notice import Report, ignored
from heap_courier.notices.notifier import Notifier
from heap_courier.printable import printable
from heap_courier.progress import NoBar
from heap_courier.project.reader import FILE_NAME, read_project
from heap_courier.warehouse.base import Warehouse

NAVIGATION: Final = (
    ("/", "Sources"),
    ("/groups", "Courier Groups"),
    ("/tables", "Data Explorer"),
    ("/customers", "Customers"),
    ("/runs", "Runs"),
    ("/notifications", "Notifications"),
)
_NOTES: Final = 200  # that are kept
BUSY: Final = (
    "Another process, such as a run of `heap-courier group serve`, is writing to the warehouse now; a DuckDB file has "
    "one writer at a time."
)
PATIENCE: Final = 3.0  # seconds that a page waits for a warehouse that another process has open


class Notes:
    """Messages for the page that a form leads to: in an address, any link could forge them."""

    def __init__(self) -> None:
        self._notes: dict[str, str] = {}

    def put(self, text: str) -> str:
        """Stores a text; returns its key."""
        name = secrets.token_hex(6)
        self._notes[name] = text
        for old in list(self._notes)[:-_NOTES]:
            self._notes.pop(old, None)
        return name

    def get(self, name: str) -> str:
        """A text by its key; empty if there is none."""
        return self._notes.get(name, "")


@dataclass(frozen=True, slots=True)
class Console:
    """What all screens work with.

    Attributes:
        folder: of the project, which may not exist yet.
        environment: where credentials and the warehouse's address are found.
        now: the time, with UTC for its zone.
        jobs: runs that this process started.
        log: takes notices of what runs do.
        metrics: content type and text of /metrics.
        notes: sentences for the next page.
        notifiers: of jobs, which may still have notifications to send.
    """

    folder: Path
    environment: Mapping[str, str]
    now: Callable[[], datetime]
    jobs: Jobs
    log: Report = ignored
    metrics: Callable[[], tuple[str, bytes]] = lambda: ("text/plain", b"")
    notes: Notes = field(default_factory=Notes)
    notifiers: list[Notifier] = field(default_factory=list)

    @property
    def has_project(self) -> bool:
        """Whether there is a project in the folder."""
        return (self.folder / FILE_NAME).exists()

    def context(self) -> Context:
        """The current project. Raises SetupError if it is not valid."""
        return Context(read_project(self.folder), self.environment, self.now, NoBar())

    @contextmanager
    def reporting(self, context: Context) -> Iterator[Context]:
        """A project whose runs are logged and notified, for the length of a job, which does not wait for the latter."""
        notifier = Notifier(context.project.notify, self.environment, self.log, self.now)
        self.notifiers[:] = [*(each for each in self.notifiers if each.is_sending), notifier]
        try:
            yield replace(context, report=notifier)
        finally:
            notifier.finish()

    def close(self) -> None:
        """Ends: jobs are asked to stop and awaited, and what they reported is sent."""
        self.jobs.stop()
        for notifier in self.notifiers:
            notifier.close()


class Form:
    """The fields of a form, in the order sent; each may come several times."""

    def __init__(self, fields: list[tuple[str, str]]) -> None:
        self._fields = fields

    def get(self, name: str, default: str = "") -> str:
        """The last value of a field, without spaces around it."""
        return next((value.strip() for key, value in reversed(self._fields) if key == name), default)

    def all(self, name: str) -> list[str]:
        """All values of a field."""
        return [value for key, value in self._fields if key == name]

    def has(self, name: str) -> bool:
        """Whether a field was sent: an unchecked box is not."""
        return any(key == name for key, _value in self._fields)

    def rows(self, prefix: str) -> list[Form]:
        """The rows of a repeated part, whose fields are called `prefix.0.name`, by their numbers."""
        rows: dict[int, list[tuple[str, str]]] = {}
        for key, value in self._fields:
            beginning, _, rest = key.partition(".")
            number, _, name = rest.partition(".")
            if beginning == prefix and number.isascii() and number.isdigit() and name:
                rows.setdefault(int(number[:6]), []).append((name, value))
        return [Form(rows[number]) for number in sorted(rows)]


@dataclass(frozen=True, slots=True)
class Visit:
    """A request, and the means to answer it.

    Attributes:
        console: what all screens work with.
        request: of the browser.
        form: what was sent with it; empty unless it is a POST.
    """

    console: Console
    request: Request
    form: Form = field(default_factory=lambda: Form([]))

    @property
    def posted(self) -> bool:
        """Whether a form was sent."""
        return self.request.method == "POST"

    def part(self, name: str) -> str:
        """A part of the address."""
        return str(self.request.path_params[name])

    def asked(self, name: str, default: str = "") -> str:
        """A parameter of the address."""
        return str(self.request.query_params.get(name, default))

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        """A page, or a part of one."""
        at = self.request.url.path
        return HTMLResponse(render(template, at=at, now=self.console.now(), posted=self.posted, **values), status)

    @property
    def said(self) -> str:
        """The message of the form that led to this page."""
        return self.console.notes.get(self.asked("said"))

    def to(self, *parts: str, said: str = "", **query: str) -> Response:
        """Sends the browser to another page, after a form, so that reloading does not send the form again.

        That page shows `said`.
        """
        if said:
            query["said"] = self.console.notes.put(said)
        return RedirectResponse(path(*parts, **query), 303)


@contextmanager
def looking(context: Context) -> Iterator[Warehouse | None]:
    """The warehouse for a page; None: there is none yet.

    Opened as runs open it: DuckDB refuses connections of two kinds in one process.
    """
    file = context.project.warehouse.path
    if file and not file.exists():
        yield None
        return
    with context.warehouse(patience=PATIENCE) as warehouse:
        yield warehouse


def changing(context: Context) -> AbstractContextManager[Warehouse]:
    """The warehouse for a form that changes something in it, created if there is none. Raises as `looking`."""
    return context.warehouse(patience=PATIENCE)


def query_of(text: str) -> Form:
    """The fields of a form as a browser sends them. Raises ValueError for too many."""
    return Form(parse_qsl(text, keep_blank_values=True, max_num_fields=20_000))


def path(*parts: str, **query: str) -> str:
    """The address of a page: each part may hold any character."""
    tail = "&".join(f"{key}={quote(value, safe='')}" for key, value in query.items())
    return "/" + "/".join(quote(part, safe="") for part in parts) + (f"?{tail}" if tail else "")


def render(template: str, **values: Any) -> str:
    """A template as text."""
    return _templates().get_template(template).render(**values)


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(instant=instant, size=size, took=took, count=count, shown=printable, sentence=sentence)
    environment.globals.update(path=path, navigation=NAVIGATION)
    return environment


def sentence(text: str) -> Markup:
    """A message of this program, of one line or several, with names in backticks, as markup."""
    plain = "\n".join(map(printable, text.split("\n")))
    marked = re.sub("`([^`]*)`", r"<code>\1</code>", str(escape(plain)))
    return Markup(marked.replace("\n", "<br>"))  # noqa: S704  (escaped before)


def instant(when: datetime | None) -> str:
    """An instant, in UTC."""
    if when is None:
        return ""
    when = when.astimezone(timezone.utc) if when.tzinfo else when
    return f"{when:%Y-%m-%d %H:%M:%S}"


def took(seconds: float | timedelta) -> str:
    """A duration in words."""
    return duration(seconds.total_seconds() if isinstance(seconds, timedelta) else seconds)


def count(number: int | None) -> str:
    """A number with separators; empty if there is none."""
    return "" if number is None else f"{number:,}"
