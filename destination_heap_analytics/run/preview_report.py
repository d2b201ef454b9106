"""What a preview found: as text for a person, or as one JSON document for programs.

The payloads are a row's content, and shown on request; everything else is numbers and names.
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
"""How often, by name; None means all names beyond the first."""


@dataclass(slots=True)
class Findings:
    """What a preview found.

    Attributes:
        stream: its name; None, like the next three, if the settings or the catalog are wrong.
        url: where `write` would post.
        mode: how rows are sent, `bulk` or `row`.
        repeatable: whether loading the rows again adds nothing.
        rows: rows read.
        mapped: those that have a payload.
        rejects: those that have none.
        deletions: those that were deleted at the source, and are skipped.
        noise: lines that are not messages.
        cut: values that were too long, by column.
        collisions: values that met another one in their property, by its name.
        forbidden: values that were left out because Heap reserves their name, by that name.
        unnamable: values that were left out because no property can have their name, by column.
        unseen: listed columns that no row had, each with the nearest name.
        warnings: sentences on these, and on columns that were read in another way than the first rows suggested.
        estimate: how long `write` will take; None if there is nothing to load.
        unknown: a sentence on unknown settings; None if all are known.
        error: why there is nothing to load, or why `write` would stop; None if it would not.
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
        """Take these bytes."""

    def flush(self) -> None:
        """Pass them on."""


class Output(Protocol):
    """Displays a preview."""

    def begin(self, stream: Stream, settings: Settings) -> None:
        """Say what is loaded, and where to; not called if the settings or the catalog are wrong."""

    def payload(self, row: int, body: bytes) -> None:
        """Show the body of a request that carries this row alone."""

    def end(self, findings: Findings) -> None:
        """Show all the rest."""


class Text:
    """As text: the payloads first, problems last."""

    def __init__(self, out: Sink, progress: Progress) -> None:
        self._out = out
        self._progress = progress
        self._shown: set[int] = set()

    def begin(self, stream: Stream, settings: Settings) -> None:
        """Say what is loaded, and where to."""
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
        """Show the counts, notes on the rows, and problems last."""
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
    """The most frequent first, and all beyond the first names last."""
    return sorted(tally.items(), key=lambda counted: (counted[0] is None, -counted[1]))


class Json:
    """For programs: one document, whose keys are always the same; the payloads come first, as they are found."""

    def __init__(self, out: Sink, progress: Progress) -> None:
        self._out = out
        self._progress = progress
        self._separator = b'{"payloads": [\n'

    def begin(self, stream: Stream, settings: Settings) -> None:
        """Nothing yet: its messages come at the end."""

    def payload(self, row: int, body: bytes) -> None:
        """Show a row's body as it would be posted; characters that a terminal would obey are written as escapes."""
        self._write(self._separator + b'{"row": %d, "body": %b}' % (row, printable(body.decode()).encode()))
        self._separator = b",\n"

    def end(self, findings: Findings) -> None:
        """Show all the rest."""
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
