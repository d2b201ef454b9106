"""Shows what `write` would post for an input, and its errors, without any request to Heap.

Rows are parsed and mapped by the same code as in a sync, so a preview shows exactly what would be sent, and whatever
stops a sync stops a preview. Memory does not grow with the input: rows are shown or counted, not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from destination_heap_analytics.config.parse import ParsedConfig
from destination_heap_analytics.delivery.batch import Envelope
from destination_heap_analytics.errors import ConfigError, RowRejectedError, SyncStoppedError, unreadable_input
from destination_heap_analytics.heap_api import Api
from destination_heap_analytics.mapping.columns.missing_columns import AbsenceWatch
from destination_heap_analytics.mapping.mapper import Mapper
from destination_heap_analytics.mapping.payload import Payload
from destination_heap_analytics.mapping.properties import Properties
from destination_heap_analytics.process.progress_line import Progress
from destination_heap_analytics.protocol.catalog import Stream
from destination_heap_analytics.protocol.checkpoints import Checkpoint, PendingRecord
from destination_heap_analytics.protocol.input_format import InputFormat
from destination_heap_analytics.protocol.messages import Message, Noise, Record, Unreadable, parse_line
from destination_heap_analytics.run.estimate import Estimate
from destination_heap_analytics.run.first_rejections import FirstRejections
from destination_heap_analytics.run.preview_report import Findings, Output
from destination_heap_analytics.run.report import BECAUSE_OF_FAIL, DELETES

PAYLOADS: Final = 5
"""The default number of payloads."""

_MOST_NAMES: Final = 50
"""The most names counted separately: with `*`, a source may have any number of columns."""


class Preview:
    """The rows of one input, mapped and counted.

    Attributes:
        findings: the findings so far.
    """

    def __init__(self, config: ParsedConfig, stream: Stream, random_text: str) -> None:
        """Start.

        Args:
            config: the user's settings.
            stream: the stream to load.
            random_text: a text unique to this preview, as for a sync.
        """
        settings = config.settings
        self._settings = settings
        self._stream = stream
        self._mapper = Mapper(settings, stream, random_text, keeps_source=False, on_mapped=self._on_mapped)
        # No state waits for these rows, so there is no time limit on waiting for a missing column.
        self._watch = AbsenceWatch(
            self._mapper.required,
            self._mapper.names,
            lambda: 0.0,
            self._mapper.needed_properties,
            self._mapper.excepted,
        )
        are_stored = settings.object_storage_config.storage_type != "None"
        self._first_rejections: FirstRejections[int] = FirstRejections(lambda: 0.0, are_stored=are_stored)
        self._position = 0
        self._format = InputFormat()
        self._checkpoint = Checkpoint()
        self._estimate = Estimate(settings)
        self.findings = Findings(
            stream=stream.name,
            url=settings.url + settings.selected_api.endpoint.path,
            mode="bulk" if settings.is_bulk else "row",
            repeatable=self._mapper.is_repeatable,
            unknown=config.warning,
        )

    def show(
        self,
        batches: Iterable[tuple[list[bytes], int]],
        output: Output,
        *,
        limit: int,
        progress: Progress,
        hint: Callable[[], str | None] = lambda: None,
    ) -> None:
        """Read the whole input, and show the first payloads and the findings.

        Args:
            batches: the lines of the input, in blocks with their sizes.
            output: gets the payloads as they are mapped, then the findings.
            limit: how many payloads to show.
            progress: the progress line.
            hint: returns a hint on the input once it has been read; None if there is none.
        """
        settings, findings = self._settings, self.findings
        envelope = Envelope(settings.app_id, settings.selected_api.endpoint, bulk=settings.is_bulk)
        users = Envelope(settings.app_id, Api.USER_PROPERTIES.endpoint, bulk=settings.is_bulk)
        try:
            output.begin(self._stream, settings)
            for shown, item in enumerate(self._all_items(batches, progress)):
                self._estimate.add(item.key)
                if shown < limit:
                    if item.user_body:
                        user = Payload(item.number, item.checkpoint, None, item.key, item.user_body, None)
                        output.payload(item.number, users.body([user]))
                    output.payload(item.number, envelope.body([item]))
            self._end(hint())
        except SyncStoppedError as stopped:
            findings.error = str(stopped)
        except KeyboardInterrupt:
            findings.interrupted = True
        if findings.mapped:
            findings.estimate = self._estimate
        output.end(findings)

    def _all_items(self, batches: Iterable[tuple[list[bytes], int]], progress: Progress) -> Iterator[Payload]:
        for lines in _readable(batches):
            yield from self._items(lines)
            progress.show(self.findings.rows, self.findings.rejects.count)
        self._format.check(self._position)
        yield from self._mapped(self._watch.end())

    def _items(self, lines: Sequence[bytes]) -> Iterator[Payload]:
        """The payloads of the rows, in the order read. Raises the error if `write` would stop."""
        at = 0
        while at < len(lines):
            if self._watch.is_over and not self._mapper.names.learns and self._first_rejections.is_over:
                items = self._mapper.payloads(lines[at:], self.findings.rows + 1, self._checkpoint)
                self.findings.rows += len(items)
                self.findings.mapped += len(items)
                self._position += len(items)
                at += len(items)
                yield from items
                if at == len(lines):
                    break
            self._position += 1
            yield from self._see(parse_line(lines[at], self._position))
            at += 1

    def _see(self, message: Message) -> Iterator[Payload]:
        """The payloads that are ready after a message: it may release rows that were waiting."""
        findings = self.findings
        self._format.see(message)
        if isinstance(message, Record):
            findings.rows += 1
            if not self._stream.carries(message.stream, message.namespace):
                raise self._stream.foreign_row(findings.rows, message.stream, message.namespace)
            if self._mapper.skips(message.data):
                findings.deletions += 1
                return
            self._mapper.names.learn(message.data)
            yield from self._mapped(self._watch.admit(PendingRecord(findings.rows, message, self._checkpoint)))
        elif isinstance(message, Unreadable):
            findings.rows += 1
            findings.rejects.add(findings.rows, RowRejectedError(message.reason))
        elif isinstance(message, Noise):
            findings.noise += 1

    def _mapped(self, rows: Iterable[PendingRecord]) -> Iterator[Payload]:
        for row in rows:
            if item := self._item(row):
                self.findings.mapped += 1
                yield item

    def _item(self, row: PendingRecord) -> Payload | None:
        try:
            item = self._mapper.payload(row)
        except RowRejectedError as rejection:
            self.findings.rejects.add(row.number, rejection)
            if not self._first_rejections.is_over and self._settings.rejected_records != "fail":
                self._first_rejections.hold(rejection, row.number)
            return None
        if not self._first_rejections.is_over:
            self._first_rejections.release()
        return item

    def _end(self, hint: str | None) -> None:
        """Check at the end of the input that there is something to load."""
        findings, rejects = self.findings, self.findings.rejects
        findings.unseen, findings.warnings = self._mapper.unseen(), tuple(self._mapper.warnings())
        findings.warnings += (hint,) if hint else ()
        if findings.mapped and self._settings.selected_api is Api.DELETE_USERS:
            findings.warnings += (DELETES % f"{findings.mapped:,}",)
        if not findings.rows:
            raise ConfigError(
                "No rows received: pipe the source's messages into the command, as in `< messages.jsonl`."
            )
        if not findings.mapped and rejects.count:
            rows = "the only row is" if rejects.count == 1 else f"all {rejects.count:,} rows are"
            raise ConfigError(f"Nothing can be loaded: {rows} rejected. Fix the columns in the settings, or the rows.")
        if rejects.count and self._settings.rejected_records == "fail":
            first = min(row for group in rejects.groups() for row in group.first_rows)
            raise ConfigError(f"Row {first:,} is rejected, and `write` would stop there {BECAUSE_OF_FAIL}")

    def _on_mapped(self, made: Properties) -> None:
        findings = self.findings
        for tally, names in (
            (findings.cut, made.cut),
            (findings.collisions, made.collisions),
            (findings.forbidden, made.forbidden),
            (findings.unnamable, made.unnamable),
        ):
            for name in names:
                tally[name if name in tally or len(tally) < _MOST_NAMES else None] += 1


def _readable(batches: Iterable[tuple[list[bytes], int]]) -> Iterator[list[bytes]]:
    try:
        for lines, _ in batches:
            yield lines
    except OSError as failure:
        raise unreadable_input(failure) from None
