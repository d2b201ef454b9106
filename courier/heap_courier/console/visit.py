"""One request to the console, and the page that is its response."""

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
_NOTES: Final = 200  # stored at most
BUSY: Final = (
    "Another process, such as a run of `heap-courier group serve`, is writing to the warehouse now; a DuckDB file "
    "allows only one writer at a time."
)
PATIENCE: Final = 3.0  # seconds to wait for a warehouse that another process has open


class Notes:
    """Messages for the page after a form. They are not part of its address, because any link could forge them there."""

    def __init__(self) -> None:
        self._notes: dict[str, str] = {}

    def put(self, text: str) -> str:
        """Stores a message; returns its key."""
        name = secrets.token_hex(6)
        self._notes[name] = text
        for old in list(self._notes)[:-_NOTES]:
            self._notes.pop(old, None)
        return name

    def get(self, name: str) -> str:
        """A message by its key; empty if there is none."""
        return self._notes.get(name, "")


@dataclass(frozen=True, slots=True)
class Console:
    """What all screens have in common.

    Attributes:
        folder: the project folder, which may not exist yet.
        environment: environment variables with credentials and the warehouse's address.
        now: returns the current time in UTC.
        jobs: runs that this process started.
        log: logs the notices of runs.
        metrics: returns the content type and the body of /metrics.
        notes: messages for the next page.
        notifiers: the notifiers of jobs, which may still have notifications to send.
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
        """A project whose runs are logged and cause notifications. A job does not wait until notifications are sent."""
        notifier = Notifier(context.project.notify, self.environment, self.log, self.now)
        self.notifiers[:] = [*(each for each in self.notifiers if each.is_sending), notifier]
        try:
            yield replace(context, report=notifier)
        finally:
            notifier.finish()

    def close(self) -> None:
        """Stops all jobs, waits for them, and sends their pending notifications."""
        self.jobs.stop()
        for notifier in self.notifiers:
            notifier.close()


class Form:
    """The fields of a form, in the order sent; a field may occur several times."""

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
        """The rows of a repeated part, whose fields are named `prefix.0.name`, ordered by number."""
        rows: dict[int, list[tuple[str, str]]] = {}
        for key, value in self._fields:
            beginning, _, rest = key.partition(".")
            number, _, name = rest.partition(".")
            if beginning == prefix and number.isascii() and number.isdigit() and name:
                rows.setdefault(int(number[:6]), []).append((name, value))
        return [Form(rows[number]) for number in sorted(rows)]


@dataclass(frozen=True, slots=True)
class Visit:
    """A request, and ways to respond to it.

    Attributes:
        console: what all screens have in common.
        request: the browser's request.
        form: the form that was sent; empty unless the request is a POST.
    """

    console: Console
    request: Request
    form: Form = field(default_factory=lambda: Form([]))

    @property
    def posted(self) -> bool:
        """Whether a form was sent."""
        return self.request.method == "POST"

    def part(self, name: str) -> str:
        """A path parameter of the address."""
        return str(self.request.path_params[name])

    def parameter(self, name: str, default: str = "") -> str:
        """A query parameter of the address."""
        return str(self.request.query_params.get(name, default))

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        """Renders a page, or a part of one."""
        at = self.request.url.path
        return HTMLResponse(render(template, at=at, now=self.console.now(), posted=self.posted, **values), status)

    @property
    def said(self) -> str:
        """The message of the form that led to this page."""
        return self.console.notes.get(self.parameter("said"))

    def to(self, *parts: str, said: str = "", **query: str) -> Response:
        """Redirects to another page after a form, so that reloading does not resend the form.

        That page shows the message `said`.
        """
        if said:
            query["said"] = self.console.notes.put(said)
        return RedirectResponse(path(*parts, **query), 303)


@contextmanager
def looking(context: Context) -> Iterator[Warehouse | None]:
    """Opens the warehouse for a page; None if it does not exist yet.

    It is opened in the same mode as for runs, because DuckDB refuses different modes in one process.
    """
    file = context.project.warehouse.path
    if file and not file.exists():
        yield None
        return
    with context.warehouse(patience=PATIENCE) as warehouse:
        yield warehouse


def changing(context: Context) -> AbstractContextManager[Warehouse]:
    """Opens the warehouse for a form that changes it, and creates it if necessary. Raises as `looking`."""
    return context.warehouse(patience=PATIENCE)


def query_of(text: str) -> Form:
    """The fields of a form as a browser sends them. Raises ValueError for too many."""
    return Form(parse_qsl(text, keep_blank_values=True, max_num_fields=20_000))


def path(*parts: str, **query: str) -> str:
    """The address of a page; parts and values may contain any character."""
    tail = "&".join(f"{key}={quote(value, safe='')}" for key, value in query.items())
    return "/" + "/".join(quote(part, safe="") for part in parts) + (f"?{tail}" if tail else "")


def render(template: str, **values: Any) -> str:
    """Renders a template."""
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
    """Converts a message of one or more lines, with names in backticks, to HTML."""
    plain = "\n".join(map(printable, text.split("\n")))
    marked = re.sub("`([^`]*)`", r"<code>\1</code>", str(escape(plain)))
    return Markup(marked.replace("\n", "<br>"))  # noqa: S704  (escaped before)


def instant(when: datetime | None) -> str:
    """An instant as text, in UTC; empty for None."""
    if when is None:
        return ""
    when = when.astimezone(timezone.utc) if when.tzinfo else when
    return f"{when:%Y-%m-%d %H:%M:%S}"


def took(seconds: float | timedelta) -> str:
    """A duration in words."""
    return duration(seconds.total_seconds() if isinstance(seconds, timedelta) else seconds)


def count(number: int | None) -> str:
    """A number with thousands separators; empty for None."""
    return "" if number is None else f"{number:,}"
