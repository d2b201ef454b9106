"""One run, from messages to states: every row is delivered or rejected, and every state waits for its rows."""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar, cast

from airbyte_protocol_dataclasses.models import AirbyteMessage

from destination_heap_analytics.config.settings import Settings
from destination_heap_analytics.delivery.http.client import Client, Verdict
from destination_heap_analytics.delivery.http.senders import Outcome, Senders
from destination_heap_analytics.delivery.waiting import DELETIONS, RESPONSES, Wait
from destination_heap_analytics.errors import (
    ConfigError,
    InterruptedSyncError,
    RowRejectedError,
    SyncStoppedError,
    unreadable_input,
)
from destination_heap_analytics.heap_api import Api
from destination_heap_analytics.mapping.columns.missing_columns import AbsenceWatch
from destination_heap_analytics.mapping.mapper import Mapper
from destination_heap_analytics.mapping.payload import Payload, Payloads
from destination_heap_analytics.process.progress_line import Progress
from destination_heap_analytics.protocol.catalog import Stream
from destination_heap_analytics.protocol.checkpoints import Checkpoint, Checkpoints, PendingRecord
from destination_heap_analytics.protocol.input_format import InputFormat
from destination_heap_analytics.protocol.messages import Message, Noise, Record, State, Unreadable, parse_line
from destination_heap_analytics.rejected.store import Storage, Stored, StoreFailed
from destination_heap_analytics.run.clock import Clock
from destination_heap_analytics.run.delivery_setup import delivery_for
from destination_heap_analytics.run.event_queue import EventQueue
from destination_heap_analytics.run.rejections import Rejections
from destination_heap_analytics.run.report import BECAUSE_OF_FAIL, NOT_STORED, Report
from destination_heap_analytics.run.waits import OUTPUT, SOURCE, STORAGE

TICK_SECONDS: Final = 1.0
"""The longest wait before a run checks the clock again."""

WIND_DOWN_SECONDS: Final = 9.0
"""How long a stopping run waits for requests in flight; the platform allows fifteen seconds in total."""

Line = TypeVar("Line")


@dataclass(frozen=True, slots=True)
class Interrupt:
    """An event: stop the run because of a signal with this number."""

    signal: int


class Sync(Generic[Line]):
    """Loads one stream into Heap."""

    def __init__(
        self,
        settings: Settings,
        stream: Stream,
        client: Client,
        storage: Storage | None,
        *,
        events: EventQueue[Line],
        parse: Callable[[Line, int], Message],
        logger: logging.Logger,
        clock: Clock,
        rng: random.Random,
        random_text: str,
        progress: Progress | None = None,
        expected_rows: Callable[[], float | None] = lambda: None,
    ) -> None:
        """Prepare a run; nothing is read or sent yet.

        Args:
            settings: the user's settings.
            stream: the stream to load.
            client: posts to Heap.
            storage: where rejected rows are stored; None if they are not.
            events: the queue for the input and for events from other threads.
            parse: parses an item of the input and its position (from 1) into a message.
            logger: for messages to the user.
            clock: the clock of all rates and waits.
            rng: adds jitter to the pauses before retries.
            random_text: a text unique to this run, to distinguish rows that are otherwise equal.
            progress: the progress line.
            expected_rows: estimates the number of rows in the input; returns None if it is unknown.
        """
        self._settings = settings
        self._stream = stream
        self._events = events
        self._parse = parse
        self._clock = clock
        self._now = clock.now()
        self._logger = logger
        self._report = Report(logger, clock.now, progress)
        self._checkpoints = Checkpoints(stream.carries)
        self._lines: Sequence[Line] = ()
        self._at = 0
        self._position = 0
        self._has_lines = parse is parse_line and settings.is_bulk
        self._format = InputFormat()
        self._is_reading = True
        self._failure: tuple[int, SyncStoppedError] | None = None

        self._mapper = Mapper(
            settings, stream, random_text, keeps_source=storage is not None, on_mapped=self._report.mapped
        )
        mapper = self._mapper
        self._watch = AbsenceWatch(mapper.required, mapper.names, clock.now, mapper.needed_properties, mapper.excepted)
        self._rejections = Rejections(storage, events.post, clock.now)

        self._client = client
        self._senders: Senders[Any] = Senders(client, events.post)
        self._delivery = delivery_for(
            settings, self._senders.send, self._settled, rng=rng, logger=logger, now=self._now
        )
        self._retrieval: str | None = storage.retrieval if storage else NOT_STORED
        if settings.rejected_records == "fail":
            self._retrieval = None  # the first one stops the sync, and the next sync reads it again
        self._expected_rows = expected_rows
        self._responses = DELETIONS if settings.selected_api is Api.DELETE_USERS else RESPONSES

    def run(self) -> Iterator[AirbyteMessage]:
        """Load all rows; yields each state as soon as all rows before it are settled.

        Raises:
            SyncStoppedError: the run stops before the end of its input; the states yielded so far are valid.
            InterruptedSyncError: the same, because of a signal.
        """
        self._report.start(self._stream, self._settings)
        if not self._mapper.is_repeatable:
            self._report.repeats()
        finished = False
        try:
            yield from self._load_all()
            finished = True
        except (SyncStoppedError, InterruptedSyncError) as stop:
            yield from self._wind_down()
            if self._failure and isinstance(stop, SyncStoppedError):
                raise self._failure[1] from None  # it came first, whatever happened to the requests in flight
            raise
        finally:
            self._events.close()
            self._senders.close()
            self._rejections.close()
            warnings = self._mapper.warnings() if finished else ()
            self._report.end(finished=finished, warnings=warnings, retrieval=self._retrieval)

    def _load_all(self) -> Iterator[AirbyteMessage]:
        while True:
            self._attend()
            yield from self._due_states()  # before sending: if the consumer is gone, nothing more is sent
            self._dispatch()
            if self._has_room:
                if not self._read():
                    continue  # there is no more room: see what can be sent
                if (batch := self._next_input()) is not None:
                    self._lines, self._at = batch, 0
                    continue
                if self._events.has_ended and self._is_reading:
                    self._end_of_input()
                    continue
            if not self._is_reading and self._delivery.is_idle and not self._rejections.being_stored:
                break
            self._wait(self._delivery.wake_at(self._now))
        if self._failure:
            raise self._failure[1]

    def _due_states(self) -> Iterator[AirbyteMessage]:
        """The states that can be returned now; waiting for a slow reader is recorded."""
        for state in self._checkpoints.due():
            began = self._clock.now()
            yield state
            self._report.waits.add(OUTPUT, self._clock.now() - began)

    @property
    def _has_room(self) -> bool:
        return (
            self._is_reading
            and self._delivery.has_room
            and self._checkpoints.has_room
            and not self._rejections.are_full
        )

    def _attend(self) -> None:
        """Handle all events that have arrived."""
        self._now = self._clock.now()
        while (event := self._events.event()) is not None:
            match event:
                case Outcome(verdict=BaseException() as defect):
                    raise defect
                case Outcome(ticket, Verdict() as verdict):
                    self._delivery.handle_response(ticket, verdict, self._now)
                case Interrupt(signal):
                    raise InterruptedSyncError(signal)
                case StoreFailed(error):
                    self._rejections.store_failed()
                    self._retrieval = None
                    raise error
                case Stored(checkpoints):
                    self._rejections.stored(checkpoints)
        for row in self._watch.tick():
            self._load(row)
        self._rejections.tick()

    def _dispatch(self) -> None:
        self._delivery.dispatch(self._now)
        self._client.cut_overdue()
        self._report.progress(self._rows_left)

    def _wait(self, until: float) -> None:
        began, wait = self._clock.now(), self._reason()
        seconds = self._clock.real(min(until - self._now, TICK_SECONDS * self._clock.speed))
        self._events.wait(seconds, for_input=self._has_room)
        self._report.waits.add(wait, self._clock.now() - began)

    def _reason(self) -> Wait:
        """What the run is waiting for. While there is room for more rows, that is the source, not Heap."""
        wait = self._delivery.wait(self._now)
        if wait is None or wait == RESPONSES:
            if self._has_room and not self._events.has_ended:
                return SOURCE
            wait = self._responses if wait else STORAGE
        return wait

    def _rows_left(self) -> float | None:
        """The number of rows that are not settled yet; None if the total is unknown."""
        rows: float = self._report.read
        if self._is_reading:
            expected = self._expected_rows()
            if expected is None:
                return None
            rows = max(rows, expected)
        return rows - self._report.settled

    def _wind_down(self) -> Iterator[AirbyteMessage]:
        """Send nothing more, and wait for requests in flight."""
        self._is_reading = False
        self._events.close()
        end = self._clock.now() + WIND_DOWN_SECONDS * self._clock.speed
        while (self._delivery.in_flight or self._rejections.being_stored) and (now := self._clock.now()) < end:
            self._events.wait(self._clock.real(end - now), for_input=False)
            while (event := self._events.event()) is not None:
                match event:
                    case Outcome(ticket, Verdict() as verdict):
                        self._delivery.wound_down(ticket, verdict)
                    case Stored(checkpoints):
                        self._rejections.stored(checkpoints)
                    case StoreFailed():
                        self._rejections.store_failed()
            yield from self._checkpoints.due()
        yield from self._checkpoints.due()

    def _next_input(self) -> list[Line] | None:
        try:
            return self._events.input()
        except OSError as failure:
            self._stop(unreadable_input(failure))
            return None
        except SyncStoppedError as damage:
            self._stop(damage)
            return None

    def _end_of_input(self) -> None:
        self._is_reading = False
        try:
            self._format.check(self._position)
            for row in self._watch.end():
                self._load(row)
        except ConfigError as wrong:
            self._stop(wrong)
        self._rejections.release()
        self._delivery.flush()

    def _read(self) -> bool:
        """Process messages while there is room. Returns whether all were processed."""
        try:
            while self._at < len(self._lines):
                if self._is_fast:
                    all_fast = self._take_fast()
                    if not self._has_room:
                        return False
                    if all_fast:
                        continue
                line = self._lines[self._at]
                self._at += 1
                self._position += 1
                if not self._see(self._parse(line, self._position)):
                    return False
        except SyncStoppedError as stopped:
            self._stop(stopped)
            self._at = len(self._lines)
        return True

    @property
    def _is_fast(self) -> bool:
        """Whether rows may take the fast lane: in bulk mode, once the first rows have confirmed the columns."""
        return (
            self._has_lines
            and self._watch.is_over
            and not self._mapper.names.learns
            and self._rejections.is_mapping_proven
            and not self._failure
        )

    def _take_fast(self) -> bool:
        """Process rows in the fast lane while there is room. Returns whether it declined none."""
        lines = cast("Sequence[bytes]", self._lines[self._at : self._at + self._delivery.room])
        items = self._mapper.payloads(lines, self._report.read + 1, self._checkpoints.last)
        if items:
            self._at += len(items)
            self._position += len(items)
            self._report.read += len(items)
            self._format.is_known = True
            self._checkpoints.rows_read(len(items))
            self._delivery.take_all(items, self._now)
        return len(items) == len(lines)

    def _see(self, message: Message) -> bool:
        """Process a message. Returns whether there is room for another."""
        if isinstance(message, Record):
            self._format.is_known = True
            return self._take(message)
        self._format.see(message)
        if isinstance(message, State):
            self._checkpoints.state_read(message)
            return self._checkpoints.has_room
        if isinstance(message, Unreadable):
            self._report.read += 1
            rejection = RowRejectedError(message.reason)
            self._reject(self._report.read, self._checkpoints.row_read(), message.line, rejection)
        elif isinstance(message, Noise):
            self._report.noise += 1
        return True

    def _stop(self, error: SyncStoppedError, row: int | None = None) -> None:
        """Stop reading: the rows before this one are still delivered, then the run ends with the error."""
        row = self._report.read + 1 if row is None else row
        if self._failure is None or row < self._failure[0]:
            self._failure = (row, error)
        self._is_reading = False
        self._events.close()
        self._delivery.drop_after(row - 1)

    def _take(self, record: Record) -> bool:
        """Process a row. Returns whether there is room for another."""
        self._report.read = number = self._report.read + 1
        if not self._stream.carries(record.stream, record.namespace):
            raise self._stream.foreign_row(number, record.stream, record.namespace)
        if self._mapper.skips(record.data):
            self._report.deletions += 1
            self._checkpoints.row_read().settle(delivered=True)  # nothing to send; counted, so that the counts add up
            return self._has_room
        row = PendingRecord(number, record, self._checkpoints.row_read())
        if self._watch.is_over and not self._mapper.names.learns:
            return self._load(row)
        self._mapper.names.learn(record.data)
        for admitted in self._watch.admit(row):
            self._load(admitted)
        return self._has_room

    def _load(self, row: PendingRecord) -> bool:
        if self._failure and row.number >= self._failure[0]:
            return False
        try:
            item = self._mapper.payload(row)
        except RowRejectedError as rejection:
            self._reject(row.number, row.checkpoint, row.record.source, rejection, is_mapped=False)
            return self._has_room
        self._rejections.release()
        return self._delivery.take(item, self._now)

    def _settled(self, items: Sequence[Payload], rejection: RowRejectedError | None) -> None:
        if rejection:
            for item in items:
                self._reject(item.number, item.checkpoint, item.source, rejection)
        else:
            self._report.delivered += len(items)
            for checkpoint, rows in Counter(Payloads.of(items).checkpoints).items():
                checkpoint.settle(rows, delivered=True)

    def _reject(
        self, number: int, checkpoint: Checkpoint, source: Any, rejection: RowRejectedError, *, is_mapped: bool = True
    ) -> None:
        self._report.rejects.add(number, rejection)
        if self._settings.rejected_records == "fail":
            sentence = f"Row {number} is rejected: {rejection}. The sync stops here {BECAUSE_OF_FAIL}"
            self._stop(ConfigError(sentence), number)
        else:
            self._rejections.add(source, rejection, checkpoint, is_mapped=is_mapped)
