"""Commands of feeds: `feed add`, `activate`, `list`, `show`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import click

from heap_courier.cli.printing import print_domain_table, print_rejected
from heap_courier.cli.terminal import print_table, say
from heap_courier.couriers.context import Context, opened
from heap_courier.documents.wording import listed, named
from heap_courier.feeds import tags
from heap_courier.feeds.active import ActiveFeeds
from heap_courier.feeds.model import Feed
from heap_courier.feeds.reader import read_feeds
from heap_courier.feeds.writer import write_feed
from heap_courier.formats.file_format import CONTENT_TYPES, ENCODINGS, FileFormat, is_character, is_encoding

_REJECTED_SHOWN: Final = 20  # rows of a sample
_SHOWN: Final = {"\t": "\\t"}


def _character(_context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    value = "\t" if value == "\\t" else value
    if value is not None and not is_character(value) and (option.name, value) != ("quote", ""):
        raise click.BadParameter("must be one ASCII character, such as | or \\t for a tab.")
    return value


def _encoding(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    if value is not None and not is_encoding(value):
        raise click.BadParameter(f"there is no encoding {value}; use one{ENCODINGS}.")
    return value


@click.group()
def feed() -> None:
    """Feeds: how the rows of a file become rows of a domain table."""


@feed.command(name="add", short_help="Propose a feed from a sample.")
@click.argument("name", metavar="SOURCE:NAME")
@click.option(
    "--sample", "path", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The sample file."
)
@click.option(
    "--content-type",
    type=click.Choice(CONTENT_TYPES),
    help="The file's content type; by default derived from its name.",
)
@click.option("--header-rows", type=click.IntRange(0, 1), help="0 if the first line is data.")
@click.option("--separator", callback=_character, help="The character between the values of a line.")
@click.option("--quote", callback=_character, help='The character around values; "" if there is none.')
@click.option("--escape", callback=_character, help="The character before a literal separator or quote.")
@click.option("--encoding", callback=_encoding, help="The encoding of delimited text; UTF-8 by default.")
@click.pass_obj
def add_feed(folder: Path, /, name: str, path: Path, content_type: str | None, **parts: Any) -> None:
    """Propose a feed from a sample and write it to a file for you to edit."""
    from heap_courier.feeds import samples  # noqa: PLC0415  (what reads files takes long to import)

    with opened(folder) as context:
        given = FileFormat(content_type) if content_type else None
        sample = samples.sample_of(context.project, path, given, **parts)
        proposal = samples.propose_feed(context.project, name, sample)
        proposed = proposal.feed
        written = samples.path_of(context.project, proposed)
        write_feed(proposed, written)
    print_feed(proposed)
    for note in proposal.notes:
        say(note)
    if sample.format.separator and not parts["separator"]:
        shown = _SHOWN.get(sample.format.separator, sample.format.separator)
        say(f"The sample uses the separator `{shown}`: set `file/separator` in the entities list to the same.")
    say(f"Wrote {written}: edit it, then run `heap-courier feed activate {proposed.domain_table}`.")


@feed.command(name="activate", short_help="Create the domain table of a feed and load its sample.")
@click.argument("name", metavar="SOURCE:NAME")
@click.option("--no-sample", is_flag=True, help="Create the domain table and leave it empty.")
@click.option(
    "--truncate",
    is_flag=True,
    help="Truncate the domain table first, as required after a change of the primary key or a type.",
)
@click.pass_obj
def activate_feed(folder: Path, name: str, *, no_sample: bool, truncate: bool) -> None:
    """Validate a feed, create its domain table, load the sample and show it."""
    from heap_courier.feeds import samples  # noqa: PLC0415  (as above)
    from heap_courier.feeds.activation import activate  # noqa: PLC0415  (as above)
    from heap_courier.parallel import WORKERS  # noqa: PLC0415  (as above)

    with opened(folder) as context:
        chosen = _feed(context, name)
        file = None if no_sample else samples.file_of(context.project, chosen)
        with context.warehouse() as warehouse:
            loaded = activate(warehouse, chosen, file, now=context.now(), truncate=truncate, workers=WORKERS)
            _print_doubtful_tags(chosen)
            say(f"The feed {chosen.domain_table} is active. Load operations refer to it as {chosen.id}.")
            if loaded and loaded.table.rejected:
                say(f"{loaded.table.rejected:,} of {loaded.table.rows:,} rows of the sample were rejected:")
                print_rejected((chosen.domain_table, each) for each in loaded.rejected[:_REJECTED_SHOWN])
            if loaded and loaded.ignored:
                say(f"Ignored columns, for which the feed has no field: {listed(loaded.ignored)}.")
            if loaded:
                print_domain_table(warehouse, chosen.domain_table, limit=10)


@feed.command(name="list")
@click.pass_obj
def list_feeds(folder: Path) -> None:
    """List the feeds, with their ids and whether they are active."""
    with opened(folder) as context:
        feeds = read_feeds(context.project.feeds)
        with context.warehouse() as warehouse:
            active = ActiveFeeds(warehouse)
            active.make()
            print_feeds(feeds, [each.id for each in feeds if active.has(each)])


@feed.command(name="show")
@click.argument("name", metavar="SOURCE:NAME")
@click.pass_obj
def show_feed(folder: Path, name: str) -> None:
    """Show the fields of a feed with their semantic tags."""
    with opened(folder) as context:
        print_feed(_feed(context, name))


def print_feed(feed: Feed) -> None:
    """A feed with its fields and their semantic tags."""
    say(f"Feed {feed.domain_table}, id {feed.id}")
    rows = []
    for field in feed.fields:
        roles = ["primary key"] * (field.name in feed.primary_key) + ["last updated"] * (
            field.name == feed.last_updated
        )
        rows.append([field.name, str(field.type), field.source, field.tag, ", ".join(roles)])
    print_table(["field", "type", "incoming", "tag", ""], rows)
    if feed.last_updated is None:
        say("Last updated: generated (`_updated`, when the row was ingested).")
    _print_doubtful_tags(feed)
    stitch = "yes" if feed.stitch else "no"
    say(f"Error threshold: {feed.error_threshold}%. Make available to Stitch: {stitch}.")


def print_feeds(feeds: Iterable[Feed], active: Iterable[str]) -> None:
    """Feeds, one per line; `active` are the ids of the active ones."""
    active = set(active)
    rows = []
    for feed in feeds:
        status = "active" if feed.id in active else "not active"
        updated = feed.last_updated or "generated"
        rows.append(
            [feed.domain_table, feed.id, status, ", ".join(feed.primary_key), updated, str(feed.stitch).lower()]
        )
    print_table(["feed", "id", "status", "primary key", "last updated", "Stitch"], rows)


def _feed(context: Context, name: str) -> Feed:
    feeds = read_feeds(context.project.feeds)
    by_name = {feed.domain_table.lower(): feed for feed in feeds} | {feed.id: feed for feed in feeds}
    chosen: Feed = named(by_name, name if name in by_name else name.lower(), "The project", "feed")
    return chosen


def _print_doubtful_tags(feed: Feed) -> None:
    for field in feed.fields:
        if field.tag and (meant := tags.meant(field.tag)):
            say(f"The tag `{field.tag}` of `{field.name}` is not a standard tag; did you mean `{meant}`?")
