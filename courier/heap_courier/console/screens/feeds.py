"""Feeds: add one from a sample, edit it in the Feed Editor, activate it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any, Final, NamedTuple

from starlette.responses import Response

from heap_courier.console.editing.feed_form import (
    MEANINGS,
    TYPES,
    FeedForm,
    FieldRow,
    can_be_updated,
    find_feed,
    form_of_feed,
    form_of_fields,
    write_changes,
)
from heap_courier.console.editing.sample_profile import profile
from heap_courier.console.editing.versioned_file import version_of
from heap_courier.console.visit import Form, Visit, looking
from heap_courier.couriers.context import Context
from heap_courier.couriers.work_plan import couriers_that_load
from heap_courier.errors import CourierError, SetupError, UnreadableFileError
from heap_courier.feeds import samples, tags
from heap_courier.feeds.activation import activate
from heap_courier.feeds.active import ActiveFeeds
from heap_courier.feeds.ingest import FeedResult
from heap_courier.feeds.model import GENERATED, Feed
from heap_courier.feeds.reader import read_feeds
from heap_courier.feeds.writer import write_feed
from heap_courier.formats.file_format import CONTENT_TYPES, FileFormat, is_encoding
from heap_courier.parallel import WORKERS
from heap_courier.warehouse.base import quoted

_LISTED: Final = 500  # samples listed at most
_ROWS: Final = 10  # of the table, shown after activation
_FORMAT_FIELDS: Final = ("separator", "quote", "escape", "encoding")


class SampleFile(NamedTuple):
    """A sample to choose from: its path in the project, when it was last modified, and its size."""

    path: str
    modified: datetime
    size: int


def new_feed(visit: Visit) -> Response:
    """Add Feed: asks for a source, a name and a sample, then leads to the Feed Editor."""
    context = visit.console.context()
    problem, status = "", 200
    if visit.posted:
        try:
            feed, notes = _propose(context, visit.form)
        except CourierError as error:
            problem, status = str(error), 409
        else:
            load = {} if visit.form.has("load") else {"empty": "yes"}
            return visit.to("feeds", feed.id, said="\n".join(notes), **load)
    try:
        sources = sorted({feed.source for feed in read_feeds(context.project.feeds)})
    except CourierError as error:
        sources, problem = [], problem or str(error)
    return visit.page(
        "new_feed.html",
        status,
        form=visit.form,
        sources=sources,
        samples=_samples(context),
        content_types=CONTENT_TYPES,
        problem=problem,
    )


def editor(visit: Visit) -> Response:
    """The Feed Editor: shows, saves or activates a feed."""
    context = visit.console.context()
    path, feed = find_feed(context.project.feeds, visit.part("id"))
    if not visit.posted:
        notes = [line for line in visit.said.split("\n") if line]
        load = visit.parameter("empty") != "yes"
        return _editor_page(visit, context, feed, form_of_feed(feed), version_of(path), notes=notes, load=load)
    form, version = form_of_fields(visit.form), visit.form.get("version")
    do, _, rest = visit.form.get("do", "save").partition(":")
    load = visit.form.has("load")
    try:
        if do == "remove" and rest.isdecimal():
            rows = tuple(row for number, row in enumerate(form.rows) if number != int(rest))
            return _editor_page(visit, context, feed, replace(form, rows=rows), version, load=load)
        if do == "add":
            rows = (*form.rows, *_proposed(context, feed, rest))
            return _editor_page(visit, context, feed, replace(form, rows=rows), version, load=load)
        changed = form.feed(feed)
        write_changes(path, version, feed, changed)
        if do == "activate":
            return _activated(visit, context, changed, load=load, truncate=visit.form.has("truncate"))
    except CourierError as error:
        status = 409
        return _editor_page(visit, context, feed, form, version_of(path), problem=str(error), load=load, status=status)
    return visit.to("feeds", feed.id, said="Saved.")


def validate(visit: Visit) -> Response:
    """Validates the form by the rules of feeds and the sample: a part of the page, requested while the user types."""
    context = visit.console.context()
    _path, feed = find_feed(context.project.feeds, visit.part("id"))
    try:
        changed = form_of_fields(visit.form).feed(feed)
    except CourierError as error:
        return visit.page("feed_validation.html", problem=str(error), found=None, feed=feed, tags=[])
    doubtful = [
        (field.name, field.tag, meant) for field in changed.fields if field.tag and (meant := tags.meant(field.tag))
    ]
    found = profile(context.project.folder, changed)
    return visit.page("feed_validation.html", problem="", found=found, feed=changed, tags=doubtful)


def _propose(context: Context, form: Form) -> tuple[Feed, tuple[str, ...]]:
    name = f"{form.get('source')}:{form.get('name')}"
    if not form.get("source") or not form.get("name"):
        raise SetupError("The feed needs a data source and a name, such as Heap and Users.")
    chosen = form.get("sample")
    if chosen not in {file.path for file in _samples(context)}:
        raise SetupError("Choose a sample file from the list. Run a courier to get some.")
    content_type = form.get("content-type")
    if content_type and content_type not in CONTENT_TYPES:
        raise SetupError(f"There is no content type `{content_type}`.")
    settings: dict[str, Any] = {name: _format_value(form, name) for name in _FORMAT_FIELDS if form.get(name)}
    if form.has("headless"):
        settings["header_rows"] = 0
    given = FileFormat(content_type) if content_type else None
    sample = samples.sample_of(context.project, context.project.folder / chosen, given, **settings)
    try:
        proposal = samples.propose_feed(context.project, name, sample)
    except UnreadableFileError as error:
        raise UnreadableFileError(
            str(error),
            f"It was read as {sample.format.content_type}. If it is something else, choose its content type under "
            "“How the file is read”, and correct it in the courier too.",
        ) from None
    write_feed(proposal.feed, samples.path_of(context.project, proposal.feed))
    return proposal.feed, proposal.notes


def _format_value(form: Form, name: str) -> str:
    text = form.get(name)
    if name == "encoding":
        if not is_encoding(text):
            raise SetupError(f"There is no encoding `{text}`: enter one such as utf-16 or windows-1252.")
        return text
    text = "\t" if text == "\\t" else text
    if len(text) != 1 or not text.isascii():
        raise SetupError(f"The {name} must be one ASCII character, such as | or \\t for a tab.")
    return text


def _proposed(context: Context, feed: Feed, column: str) -> tuple[FieldRow, ...]:
    """Fields for a column of the sample that has no field in the feed yet."""
    if feed.sample is None:
        return ()
    proposal = samples.propose_feed(context.project, feed.domain_table, feed.sample)
    taken = [field for field in proposal.feed.fields if field.source == column or field.source.startswith(f"{column}.")]
    return tuple(FieldRow(field.name, str(field.type), field.source, field.tag or "") for field in taken)


def _activated(visit: Visit, context: Context, feed: Feed, *, load: bool, truncate: bool) -> Response:
    file = samples.file_of(context.project, feed) if load else None
    with context.warehouse() as warehouse:
        loaded = activate(warehouse, feed, file, now=context.now(), truncate=truncate, workers=WORKERS)
        columns = list(warehouse.columns(feed.domain_table))
        rows = warehouse.query(f"SELECT * FROM {quoted(feed.domain_table)} ORDER BY 1 LIMIT {_ROWS}")
    return visit.page(
        "feed_activated.html",
        feed=feed,
        loaded=loaded,
        couriers=couriers_that_load(context.project, feed.id),
        reasons=_reasons(loaded),
        columns=columns,
        rows=rows,
    )


def _reasons(loaded: FeedResult | None) -> list[tuple[str, str, int]]:
    if loaded is None:
        return []
    counts = Counter((each.row.column or "", each.row.reason) for each in loaded.rejected)
    return [(column, reason, number) for (column, reason), number in counts.most_common()]


def _editor_page(
    visit: Visit,
    context: Context,
    feed: Feed,
    form: FeedForm,
    version: str,
    *,
    problem: str = "",
    notes: list[str] | None = None,
    load: bool = True,
    status: int = 200,
) -> Response:
    seen = profile(context.project.folder, _as_far_as_valid(feed, form))
    return visit.page(
        "feed_editor.html",
        status,
        feed=feed,
        form=form,
        version=version,
        problem=problem,
        notes=notes or [],
        load=load and feed.sample is not None,
        seen=seen,
        state=_state(context, feed),
        types=TYPES,
        meanings=MEANINGS,
        generated=GENERATED,
        updatable=[row.name for row in form.rows if can_be_updated(row)],
    )


def _state(context: Context, feed: Feed) -> str:
    """Whether a feed is active, in words."""
    try:
        with looking(context) as warehouse:
            if warehouse is None:
                return "not active"
            active = ActiveFeeds(warehouse)
            active.make()
            if active.has(feed):
                return "active"
            return "changed since it was activated" if active.definition(feed) else "not active"
    except CourierError:
        return "not available, because the warehouse does not respond"


def _as_far_as_valid(feed: Feed, form: FeedForm) -> Feed:
    """The feed as edited in the form; the one on disk while the form is invalid."""
    try:
        return form.feed(feed)
    except CourierError:
        return feed


def _samples(context: Context) -> list[SampleFile]:
    """The files in the samples folder, newest first."""
    folder = context.project.folder / samples.FOLDER
    found = []
    for path in folder.rglob("*"):
        if path.is_file() and not path.name.startswith("."):
            status = path.stat()
            modified = datetime.fromtimestamp(status.st_mtime, timezone.utc)
            found.append(SampleFile(path.relative_to(context.project.folder).as_posix(), modified, status.st_size))
    return sorted(found, key=lambda file: (file.modified, file.path), reverse=True)[:_LISTED]
