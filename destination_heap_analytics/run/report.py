"""The log of a run: its start, progress and outcome. It never contains the content of a row."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final
from urllib.parse import urlsplit

from destination_heap_analytics.config.settings import Settings
from destination_heap_analytics.delivery.waiting import Wait
from destination_heap_analytics.heap_api import MAX_PROPERTY
from destination_heap_analytics.mapping.properties import Properties
from destination_heap_analytics.process.progress_line import Progress
from destination_heap_analytics.protocol.catalog import Stream
from destination_heap_analytics.rejected.summary import Rejects
from destination_heap_analytics.run.waits import Waits, duration, seconds_left

PROGRESS_SECONDS: Final = 10.0
MOST_LINES: Final = 50

COLLISION: Final = "Two values map to the property `%s`: the one closest to the top level is sent."
FORBIDDEN: Final = "Skipped column `%s`: Heap does not allow a user property of that name."
REPEATS: Final = (
    "Loading these rows again adds their events again, in every sync mode: set `api.timestamp_column`, or sync "
    "with append-dedup and a primary key."
)

DELETES: Final = (
    "`write` would delete the users of these %s rows permanently, with all their events, in all environments of the "
    "account."
)

NOT_STORED: Final = "not stored: set `object_storage_config` to keep them, each with its reason."

BECAUSE_OF_FAIL: Final = "because `rejected_records` is `fail`: fix the row or the columns, or set it to `continue`."


class Report:
    """Counts the rows of a run and logs it for the user.

    Attributes:
        read: the number of rows read.
        delivered: the number of rows that Heap has accepted.
        rejects: the rejected rows.
        deletions: the number of rows skipped because they were deleted at the source.
        noise: the number of lines that are not messages.
        waits: what the run has waited for.
    """

    def __init__(self, logger: logging.Logger, clock: Callable[[], float], progress: Progress | None = None) -> None:
        self.read = 0
        self.delivered = 0
        self.rejects = Rejects()
        self.deletions = 0
        self.noise = 0
        self._logger = logger
        self._clock = clock
        self._progress = progress or Progress()
        self._began = self._last_time = clock()
        self._last_read = 0
        self._note = ""
        self.waits = Waits()
        self._cut: Counter[str] = Counter()
        self._unnamable: Counter[str | None] = Counter()
        self._noted: set[tuple[str, str]] = set()

    @property
    def settled(self) -> int:
        """Rows that are delivered, rejected or skipped as deleted."""
        return self.delivered + self.rejects.count + self.deletions

    def start(self, stream: Stream, settings: Settings) -> None:
        """Log what is loaded, and where to."""
        self._logger.info(
            "Loading stream `%s` (%s, %s) into Heap with %s at %s, %s.",
            stream.name,
            stream.sync_mode,
            stream.destination_sync_mode,
            settings.selected_api.endpoint.title,
            urlsplit(settings.url).netloc,
            f"up to {settings.selected_api.endpoint.most:,} rows per request"
            if settings.is_bulk
            else "one request per row",
        )

    def repeats(self) -> None:
        """Warn that loading the same rows again would duplicate their events."""
        self._logger.warning(REPEATS)

    def progress(self, rows_left: Callable[[], float | None] = lambda: None) -> None:
        """Update the progress line; every ten seconds, log the progress and what the run is waiting for.

        Args:
            rows_left: returns how many rows are not settled yet; None if that is unknown.
        """
        self._progress.show(self.read, self.rejects.count, self.delivered, self._note)
        now = self._clock()
        seconds = now - self._last_time
        if seconds >= PROGRESS_SECONDS:
            rate = (self.read - self._last_read) / seconds
            wait = self.waits.recent(seconds)
            self._note = self._rest(wait, rows_left(), now)
            self._logger.info("%s, %s rows/s%s.", self._counts(), f"{rate:,.0f}", self._note)
            self._last_time, self._last_read = now, self.read

    def _rest(self, wait: Wait | None, rows_left: float | None, now: float) -> str:
        """The end of a progress line: what the run is waiting for, and how long the rest will take."""
        text = f"; waiting for {wait.what}" if wait else ""
        if wait and wait.until is not None and wait.until - now >= 1:
            text += f", {duration(wait.until - now)} more"
        left = seconds_left(rows_left or 0.0, wait, self.settled, now - self._began)
        return text + (f"; done in about {duration(left)}" if left is not None and left >= 1 else "")

    def mapped(self, made: Properties) -> None:
        """Record the changes that were made to a row's properties; warns once per name."""
        self._cut.update(made.cut)
        for column in made.unnamable:
            known = column in self._unnamable or len(self._unnamable) < MOST_LINES
            self._unnamable[column if known else None] += 1
        for name in made.collisions:
            self._once("collision", name, COLLISION)
        for name in made.forbidden:
            self._once("forbidden", name, FORBIDDEN)

    def _once(self, kind: str, name: str, sentence: str) -> None:
        if (kind, name) not in self._noted and len(self._noted) <= MOST_LINES:
            self._noted.add((kind, name))
            if len(self._noted) <= MOST_LINES:
                self._logger.warning(sentence, name)
            else:
                self._logger.warning("More names like these are not listed.")

    def end(self, *, finished: bool, warnings: Iterable[str], retrieval: str | None = None) -> None:
        """Log the outcome of the run, and the warnings.

        Args:
            finished: whether the run completed.
            warnings: messages about columns.
            retrieval: where rejected rows are stored, and how to send them again; None to omit this.
        """
        seconds = self._clock() - self._began
        rate = self.read / seconds if seconds > 0 else 0.0
        self._logger.info(
            "%s: %s in %.1f s (%s rows/s).", "Done" if finished else "Stopped", self._counts(), seconds, f"{rate:,.0f}"
        )
        if waited := self.waits.summary():
            self._logger.info(waited)
        for sentence in reject_sentences(self.rejects):
            self._logger.warning(sentence)
        if self.rejects.count and retrieval:
            self._logger.warning("The rejected rows are %s", retrieval)
        for column, count in self._cut.most_common(MOST_LINES):
            self._logger.warning(cut_sentence(f"column `{column}`", count))
        for warning in warnings:
            self._logger.warning(warning)
        for name, count in self._unnamable.most_common(MOST_LINES):
            self._logger.warning(unnamable_sentence(name, count))
        if self.noise:
            self._logger.warning(noise_sentence(self.noise))

    def _counts(self) -> str:
        rows = "row" if self.read == 1 else "rows"
        counts = f"{self.read:,} {rows} read, {self.delivered:,} delivered, {self.rejects.count:,} rejected"
        return counts + deletions_clause(self.deletions)


def reject_sentences(rejects: Rejects) -> Iterator[str]:
    """Messages about the rejected rows: the most frequent reasons and columns."""
    yield from islice(rejects.explanations(), MOST_LINES)
    if len(rejects.groups()) > MOST_LINES:
        yield "More reasons and columns are not listed."


def cut_sentence(where: str, count: int) -> str:
    """The message about values that were too long."""
    return f"{count:,} value{' was' if count == 1 else 's were'} truncated to Heap's maximum length, in {where}."


def deletions_clause(count: int) -> str:
    """The end of a line of counts: rows skipped as deleted; empty if there are none."""
    return f", {count:,} deletion{'' if count == 1 else 's'} skipped" if count else ""


def unnamable_sentence(column: str | None, count: int) -> str:
    """The message about values whose name no property can have."""
    where = f" in column `{column}`" if column is not None else ""
    return (
        f"Skipped {count:,} value{'' if count == 1 else 's'}{where}: a property name must have 1 to "
        f"{MAX_PROPERTY:,} characters."
    )


def noise_sentence(count: int) -> str:
    """The message about lines that are not messages."""
    lines = "line that is not an Airbyte message" if count == 1 else "lines that are not Airbyte messages"
    return f"Skipped {count:,} {lines}."
