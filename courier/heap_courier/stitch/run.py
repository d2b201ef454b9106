"""Runs Stitch: reads records, links them in a scratch database, and writes customers in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from heap_courier.documents.wording import named
from heap_courier.errors import LaterError, SetupError
from heap_courier.feeds.model import Feed
from heap_courier.feeds.reader import read_feeds
from heap_courier.progress import Bar
from heap_courier.project.model import Project
from heap_courier.stitch.explain import Explanation, explain
from heap_courier.stitch.export import export
from heap_courier.stitch.labels import load_labels
from heap_courier.stitch.linking.link import link
from heap_courier.stitch.linking.model import FILE, read_model
from heap_courier.stitch.linking.relatives import expects_relatives, refuse_relatives
from heap_courier.stitch.linking.scoring import prepare, score
from heap_courier.stitch.records.inputs import Input, inputs, migrations, select
from heap_courier.stitch.records.loading import load
from heap_courier.stitch.scratch import Scratch, scratch
from heap_courier.stitch.tables.changes import Summary, find_changes
from heap_courier.stitch.tables.definitions import outputs
from heap_courier.stitch.tables.landing import Prepared, land, make_state, read_state
from heap_courier.stitch.tables.views import views
from heap_courier.stitch.train import train, write_model
from heap_courier.warehouse.base import Warehouse


class StitchContext(NamedTuple):
    """The environment of a run.

    Attributes:
        project: the project, with its feeds, warehouse and model.
        open_warehouse: opens the project's warehouse within a `with` block; it is closed while records are linked.
        now: returns the current time in UTC.
        bar: shows the run's progress.
    """

    project: Project
    open_warehouse: Callable[[], AbstractContextManager[Warehouse]]
    now: Callable[[], datetime]
    bar: Bar


@dataclass(frozen=True, slots=True)
class StitchResult:
    """The result of a run: its numbers, and warnings in sentences."""

    summary: Summary
    notices: tuple[str, ...]


def stitch(context: StitchContext, scores: Path | None = None) -> StitchResult:
    """Runs Stitch.

    Args:
        context: the environment of the run.
        scores: the scores that Spark computed from an export; None computes them here.

    Raises:
        SetupError: no table takes part, a feed is invalid, or the scores do not belong to the current records.
        LaterError: another run is in progress, or the warehouse does not respond.
    """
    with _alone(context) as opened:
        return _stitch(context, opened, scores)


@contextmanager
def _alone(context: StitchContext) -> Iterator[Scratch]:
    """Opens the scratch database of the project, which only one command can use at a time."""
    folder = context.project.folder / ".heap-courier" / "stitch"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with (
            FileLock(folder / "lock").acquire(blocking=False),
            scratch(folder, context.project.stitch_memory or context.project.warehouse.memory) as opened,
        ):
            yield opened
    except Timeout:
        raise LaterError("Another run of Stitch is in progress in this project: wait until it has finished.") from None


def explained(context: StitchContext, first: str, second: str | None) -> Explanation:
    """Explains a customer, or how two records relate. Raises SetupError as `explain` does."""
    model = read_model(context.project.folder)
    with _alone(context) as scratch, context.open_warehouse() as warehouse:
        return explain(warehouse, scratch, model, first, second)


def trained(context: StitchContext, *, relatives: bool = True) -> Path:
    """Trains a model on the records of a project; returns its path. Raises SetupError as `train` does.

    Args:
        context: the environment of the run.
        relatives: whether customers can be relatives in one household.
    """
    context.bar.stage("reading records")
    with _alone(context) as scratch:
        with context.open_warehouse() as warehouse:
            load(scratch, warehouse, taking_part(warehouse, read_feeds(context.project.feeds)), (), context.bar.advance)
        context.bar.stage("training")
        return write_model(context.project.folder, train(scratch, relatives=relatives))


def exported(context: StitchContext, folder: Path) -> list[Path]:
    """Exports a project's records for Spark; returns the paths of the files. Raises SetupError as `export` does."""
    model = read_model(context.project.folder)
    context.bar.stage("reading records")
    with _alone(context) as scratch:
        with context.open_warehouse() as warehouse:
            chosen = taking_part(warehouse, read_feeds(context.project.feeds))
            load(scratch, warehouse, chosen, (), context.bar.advance)
            queries = {each.table: select(warehouse, each) for each in chosen}
        prepare(scratch)
        return export(scratch, model, queries, folder)


def _stitch(context: StitchContext, scratch: Scratch, scores: Path | None) -> StitchResult:
    feeds = read_feeds(context.project.feeds)
    model = read_model(context.project.folder)
    context.bar.stage("reading records")
    with context.open_warehouse() as warehouse:
        make_state(warehouse)
        chosen = taking_part(warehouse, feeds)
        tables = {each.table: each.table for each in chosen}
        priority = [
            named(tables, name, "`heap-courier.yaml`: `stitch.priority`", "input")
            for name in context.project.stitch_priority
        ]
        state = read_state(warehouse, scratch)
        load(scratch, warehouse, chosen, migrations(warehouse), context.bar.advance)
        notices = load_labels(warehouse, scratch)
    context.bar.stage("comparing records")
    if not expects_relatives(model):
        refuse_relatives(scratch, f"Train it again with `heap-courier stitch train`, or remove `{FILE}`.")
    score(scratch, model, scores)
    context.bar.stage("linking records")
    link(scratch)
    summary = find_changes(scratch)
    prepared = [Prepared(scratch, number, output) for number, output in enumerate(outputs(priority))]
    context.bar.stage("writing customers")
    with context.open_warehouse() as warehouse:
        notices += land(
            warehouse,
            scratch,
            state,
            prepared,
            views=lambda: views(warehouse, feeds, chosen),
            now=context.now(),
        )
    return StitchResult(summary, notices)


def taking_part(warehouse: Warehouse, feeds: tuple[Feed, ...]) -> tuple[Input, ...]:
    """The inputs of a run.

    Raises:
        SetupError: there are none.
    """
    chosen = inputs(warehouse, feeds)
    if not chosen:
        raise SetupError(
            "No table takes part in Stitch: set `stitch: true` in a feed whose fields have semantic tags and activate "
            "it, or run a courier that follows Heap Connect."
        )
    return chosen
