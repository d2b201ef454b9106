"""One run, from messages to states: every row ends as delivered or rejected, and every state waits for its rows."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from airbyte_cdk.models import AirbyteMessage

from destination_heap_analytics.absence import AbsenceWatch, ColumnNames, UnseenProperties
from destination_heap_analytics.catalog import Stream
from destination_heap_analytics.checkpoints import Checkpoints, Leg
from destination_heap_analytics.client import Client
from destination_heap_analytics.delivery import Delivery
from destination_heap_analytics.errors import ConfigError, Reason, RowRejectedError
from destination_heap_analytics.heap_api import Api
from destination_heap_analytics.idempotency import KeyMaker
from destination_heap_analytics.protocol import Message, Noise, Record, State, Unreadable
from destination_heap_analytics.report import Report
from destination_heap_analytics.rows import Row
from destination_heap_analytics.settings import Settings
from destination_heap_analytics.transformer import Payload, Selection, transform
from destination_heap_analytics.values import InexactNumberError


class Sync:
    """Loads one stream into Heap."""

    def __init__(
        self,
        settings: Settings,
        stream: Stream,
        client: Client,
        *,
        logger: logging.Logger,
        clock: Callable[[], float],
        random_text: str,
    ) -> None:
        """Prepare a run; nothing is read or sent yet.

        Args:
            settings: what the user set.
            stream: the one to load.
            client: sends to Heap.
            logger: for what a user wants to know.
            clock: seconds, monotonic.
            random_text: drawn for this run alone, to tell apart rows that nothing else does.
        """
        self._settings = settings
        self._stream = stream
        self._selection = Selection.from_settings(settings.api, stream.schema)
        self._is_open = self._selection.is_open  # kept, since every row asks
        self._keys = KeyMaker(settings.app_id, stream, random_text)
        self._report = Report(logger, clock)
        self._checkpoints = Checkpoints(stream.carries)
        self._names = ColumnNames(stream.schema)
        self._watch = AbsenceWatch(self._selection.required, self._names, clock)
        self._unseen = UnseenProperties(self._selection.properties or ())
        self._delivery = Delivery(client, settings.selected_api.endpoint, settings.base_url, self._settled)
        self._logger = logger

    def run(self, messages: Iterable[Message | None]) -> Iterator[AirbyteMessage]:
        """The states that may go back, each as soon as it may.

        Args:
            messages: the input; None where the source has been silent for a while.

        Raises:
            SyncStoppedError: the run ends before its input does; the states given back until then hold.
        """
        self._report.start(self._stream, self._settings)
        if self._selection.api is Api.TRACK and not self._selection.timestamp and not self._stream.tells_rows_apart:
            self._report.repeats()
        finished = False
        try:
            for message in messages:
                for row in self._admitted(message):
                    self._load(row)
                    self._report.progress()
                    yield from self._checkpoints.due()
                self._report.progress()
                yield from self._checkpoints.due()
            self._watch.end()
            finished = True
        finally:
            warning = self._unseen.warning(self._names) if finished else None
            self._report.end(finished=finished, warning=warning)

    def _admitted(self, message: Message | None) -> list[Row]:
        """The rows that may go on, now that this message has come."""
        rows = self._watch.tick()
        match message:
            case Record():
                rows += self._watch.admit(self._row(message))
            case State():
                self._checkpoints.state_read(message)
            case Unreadable():
                self._report.read += 1
                self._reject(self._report.read, self._checkpoints.row_read(), RowRejectedError(message.reason))
            case Noise():
                self._report.noise += 1
        return rows

    def _row(self, record: Record) -> Row:
        self._report.read += 1
        number = self._report.read
        if not self._stream.carries(record.stream, record.namespace):
            raise ConfigError(
                f"Row {number} belongs to stream `{record.stream}`, and this connection loads stream "
                f"`{self._stream.name}` alone. Make a connection of its own for the other."
            )
        self._names.learn(record.data)
        return Row(number, record, self._checkpoints.row_read())

    def _load(self, row: Row) -> None:
        data = row.record.data
        if self._is_open:
            self._selection = self._selection.found_in(data)
            self._is_open = self._selection.is_open
        self._unseen.look(data, self._selection.properties or ())
        try:
            payload = self._payload(row)
        except RowRejectedError as rejection:
            self._settled(row, rejection)
        except RecursionError:
            self._settled(row, RowRejectedError(Reason.TOO_DEEP))
        else:
            self._report.mapped(payload)
            self._delivery.take(row, payload)

    def _payload(self, row: Row) -> Payload:
        try:
            return self._mapped(row.record.data, row.number, exact=row.record.is_exact)
        except InexactNumberError:
            return self._mapped(row.record.exactly(), row.number, exact=True)

    def _mapped(self, data: Mapping[str, Any], number: int, *, exact: bool) -> Payload:
        payload = transform(data, self._selection, exact=exact)
        if self._selection.api is Api.TRACK:
            payload.element["idempotency_key"] = self._keys.key(data, payload.element, number, exact=exact)
        return payload

    def _settled(self, row: Row, rejection: RowRejectedError | None) -> None:
        if rejection:
            self._reject(row.number, row.leg, rejection)
        else:
            self._report.delivered += 1
            row.leg.settle(delivered=True)

    def _reject(self, number: int, leg: Leg, rejection: RowRejectedError) -> None:
        self._report.rejects.add(number, rejection)
        if self._settings.rejected_records == "fail":
            raise ConfigError(
                f"Row {number} is rejected: {rejection}. The sync stops here because `rejected_records` is `fail`: "
                "mend the row or the columns, or set it to `continue`."
            )
        leg.settle(delivered=False)
