"""Prints what a preview found: as text for a person, or as one JSON document for programs.

Only payloads show the content of rows; everything else is numbers and names.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from signal import SIGINT
from typing import Any, Protocol

import orjson

from destination_heap_analytics.config.settings import Settings
from destination_heap_analytics.heap_api import Api
from destination_heap_analytics.process.progress_line import Progress
from destination_heap_analytics.process.signals import exit_code
from destination_heap_analytics.protocol.catalog import Stream
from destination_heap_analytics.rejected.summary import Rejects
from destination_heap_analytics.run.estimate import Estimate
from destination_heap_analytics.run.report import (
    COLLISION,
    FORBIDDEN,
    REPEATS,
    cut_sentence,
    deletions_clause,
    noise_sentence,
    reject_sentences,
    unnamable_sentence,
)
from destination_heap_analytics.wording import printable

Tally = Counter[str | None]
"""Counts by name; None collects all names beyond the limit."""


@dataclass(slots=True)
class Findings:
    """What a preview found.

    Attributes:
        stream: the stream's name; None, like the next three, if the settings or the catalog are wrong.
        url: the address that `write` would post to.
        mode: how rows are sent, `bulk` or `row`.
        repeatable: whether loading the same rows again adds nothing.
        rows: the number of rows read.
        mapped: the number of rows that can be sent.
        rejects: the rejected rows.
        deletions: the number of rows skipped because they were deleted at the source.
        noise: the number of lines that are not messages.
        cut: values that were too long, by column.
        collisions: values that collided with another one in the same property, by property.
        forbidden: values left out because Heap reserves their name, by that name.
        unnamable: values left out because no property can have their name, by column.
        unseen: listed columns that no row had, each with the nearest name.
        warnings: messages about these, and about columns that turned out to be read differently than at first.
        estimate: how long `write` will take; None if there is nothing to load.
        unknown: a message about unknown settings; None if all are known.
        error: why there is nothing to load, or why `write` would stop; None if it would succeed.
        interrupted: whether the preview was interrupted before the end of its input.
    """

    stream: str | None = None
    url: str | None = None
    mode: str | None = None
    repeatable: bool | None = None
    rows: int = 0
    mapped: int = 0
    rejects: Rejects = field(default_factory=Rejects)
    deletions: int = 0
    noise: int = 0
    cut: Tally = field(default_factory=Counter)
    collisions: Tally = field(default_factory=Counter)
    forbidden: Tally = field(default_factory=Counter)
    unnamable: Tally = field(default_factory=Counter)
    unseen: dict[str, str | None] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    estimate: Estimate | None = None
    unknown: str | None = None
    error: str | None = None
    interrupted: bool = False

    @property
    def exit_code(self) -> int:
        """The exit code: 0 if there is something to load, and nothing that `write` would stop at."""
        return exit_code(SIGINT) if self.interrupted else int(self.error is not None)


class Sink(Protocol):
    """Where a preview is written: a binary file, or standard output."""

    def write(self, content: bytes, /) -> int:
        """Write these bytes."""

    def flush(self) -> None:
        """Flush what has been written."""


class Output(Protocol):
    """Displays a preview."""

    def begin(self, stream: Stream, settings: Settings) -> None:
        """Show what would be loaded, and where to; not called if the settings or the catalog are wrong."""

    def payload(self, row: int, body: bytes) -> None:
        """Show the body of a request with only this row."""

    def end(self, findings: Findings) -> None:
        """Show everything else."""


class Text:
    """Prints text: payloads first, problems last."""

    def __init__(self, out: Sink, progress: Progress) -> None:
        self._out = out
        self._progress = progress
        self._shown: set[int] = set()

    def begin(self, stream: Stream, settings: Settings) -> None:
        """Show what would be loaded, and where to."""
        endpoint = settings.selected_api.endpoint
        travel = (
            f"up to {endpoint.most:,} rows per request; each row is shown as a separate request"
            if settings.is_bulk
            else "one row per request"
        )
        path = Api.USER_PROPERTIES.endpoint.path
        users = f"Before each event, the properties of its user go to {path}. " if settings.user_columns else ""
        self._print(
            f"Stream `{stream.name}`, {endpoint.title}: `write` would post these to "
            f"{settings.url}{endpoint.path}, {travel}. {users}Nothing is sent."
        )

    def payload(self, row: int, body: bytes) -> None:
        """Show a row's body, one line per property."""
        self._shown.add(row)
        document = orjson.dumps(orjson.loads(body), option=orjson.OPT_INDENT_2).decode()
        self._print("", f"Row {row:,}:", *document.split("\n"))

    def end(self, findings: Findings) -> None:
        """Show the counts, then notes on the rows, then the error."""
        if findings.stream is not None:
            self._print("", *self._lines(findings))
        if findings.error:
            self._print("", f"Error: {findings.error}")

    def _lines(self, findings: Findings) -> Iterator[str]:
        if 0 < len(self._shown) < findings.mapped:
            yield f"... and {findings.mapped - len(self._shown):,} more (`--limit {findings.mapped}` shows all)."
            yield ""
        rows = "row" if findings.rows == 1 else "rows"
        yield f"{findings.rows:,} {rows} read, {findings.mapped:,} mapped, {findings.rejects.count:,} rejected" + (
            deletions_clause(findings.deletions) + "."
        )
        yield from reject_sentences(findings.rejects)
        for column, count in _ranked(findings.cut):
            yield cut_sentence(f"column `{column}`" if column is not None else "other columns", count)
        for tally, sentence in ((findings.collisions, COLLISION), (findings.forbidden, FORBIDDEN)):
            for name, count in _ranked(tally):
                times = f" ({count:,} time{'' if count == 1 else 's'})."
                yield (sentence % name if name is not None else "More names like these are not listed.")[:-1] + times
        for column, count in _ranked(findings.unnamable):
            yield unnamable_sentence(column, count)
        if findings.noise:
            yield noise_sentence(findings.noise)
        repeats = REPEATS if findings.repeatable is False else None
        yield from filter(None, (*findings.warnings, findings.unknown, repeats))
        if findings.estimate and not findings.error and not findings.interrupted:
            yield findings.estimate.sentence
        if findings.interrupted:
            yield "Interrupted: the rest of the input was not read."

    def _print(self, *lines: str) -> None:
        with self._progress.aside():
            self._out.write("".join(f"{printable(line)}\n" for line in lines).encode())
            self._out.flush()


def _ranked(tally: Tally) -> list[tuple[str | None, int]]:
    """The most frequent names first; the count of all other names last."""
    return sorted(tally.items(), key=lambda counted: (counted[0] is None, -counted[1]))


class Json:
    """Prints one JSON document, always with the same keys. Payloads come first, as soon as they are mapped."""

    def __init__(self, out: Sink, progress: Progress) -> None:
        self._out = out
        self._progress = progress
        self._separator = b'{"payloads": [\n'

    def begin(self, stream: Stream, settings: Settings) -> None:
        """Nothing: all of this is in the document's last part."""

    def payload(self, row: int, body: bytes) -> None:
        """Show a row's body as it would be posted, with control characters escaped."""
        self._write(self._separator + b'{"row": %d, "body": %b}' % (row, printable(body.decode()).encode()))
        self._separator = b",\n"

    def end(self, findings: Findings) -> None:
        """Show everything else."""
        begun = b"\n" if self._separator == b",\n" else self._separator
        self._write(begun + b"],\n" + json.dumps(_document(findings), indent=2)[2:].encode() + b"\n")

    def _write(self, content: bytes) -> None:
        with self._progress.aside():
            self._out.write(content)
            self._out.flush()


def _document(findings: Findings) -> dict[str, Any]:
    return {
        "stream": findings.stream,
        "url": findings.url,
        "mode": findings.mode,
        "repeatable": findings.repeatable,
        "rows": findings.rows,
        "mapped": findings.mapped,
        "rejected": findings.rejects.count,
        "deletions": findings.deletions,
        "rejections": [
            {
                "reason": group.reason.name.lower(),
                "column": group.column,
                "count": group.count,
                "first_rows": group.first_rows,
                "message": group.explanation,
            }
            for group in findings.rejects.groups()
        ],
        "cut": [{"column": name, "count": count} for name, count in _ranked(findings.cut)],
        "collisions": [{"property": name, "count": count} for name, count in _ranked(findings.collisions)],
        "forbidden": [{"column": name, "count": count} for name, count in _ranked(findings.forbidden)],
        "unnamable": [{"column": name, "count": count} for name, count in _ranked(findings.unnamable)],
        "unseen_columns": [{"column": name, "nearest": near} for name, near in findings.unseen.items()],
        "estimate": {
            "seconds": round(findings.estimate.seconds, 1),
            "keys": findings.estimate.keys,
            "most_rows_of_one_key": findings.estimate.most_rows,
        }
        if findings.estimate
        else None,
        "noise": findings.noise,
        "unknown_settings": findings.unknown,
        "interrupted": findings.interrupted,
        "error": findings.error,
    }
