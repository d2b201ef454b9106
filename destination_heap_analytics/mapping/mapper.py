"""Maps a row of the source to the payload for Heap, or rejects it with a reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import orjson

from destination_heap_analytics.config.settings import Settings
from destination_heap_analytics.errors import Reason, RowRejectedError
from destination_heap_analytics.heap_api import Api
from destination_heap_analytics.mapping.columns.column import Column, is_deletion
from destination_heap_analytics.mapping.columns.missing_columns import ColumnNames, unseen_warning
from destination_heap_analytics.mapping.columns.property_columns import PropertyColumns
from destination_heap_analytics.mapping.fast_lane import FastLane
from destination_heap_analytics.mapping.idempotency import KeyMaker
from destination_heap_analytics.mapping.identity_counts import IdentityCounts
from destination_heap_analytics.mapping.payload import Payload, Payloads, Source, serialised
from destination_heap_analytics.mapping.properties import Properties
from destination_heap_analytics.mapping.transformer import Element, Selection, transform
from destination_heap_analytics.protocol.catalog import Stream
from destination_heap_analytics.protocol.checkpoints import Checkpoint, PendingRecord
from destination_heap_analytics.protocol.numbers import InexactNumberError

_MOST_GUESSES: Final = 50
"""The most columns for which the nearest name is looked up: each is compared with all known names."""


class Mapper:
    """Maps the rows of one run.

    Attributes:
        names: the names of the source's columns, for messages.
    """

    def __init__(
        self,
        settings: Settings,
        stream: Stream,
        random_text: str,
        *,
        keeps_source: bool,
        on_mapped: Callable[[Properties], None],
    ) -> None:
        """Begin a run.

        Args:
            settings: the user's settings.
            stream: the stream to load.
            random_text: a text unique to this run, to distinguish rows that are otherwise equal.
            keeps_source: whether payloads keep the source row, to store it if it is rejected.
            on_mapped: called with the changes that were made to properties.
        """
        self.names = ColumnNames(stream.schema)
        self._selection = Selection.from_settings(settings.api, stream.schema)
        self._users = Selection.of_users(settings, stream.schema)
        self._is_open = self._selection.is_open or bool(self._users and self._users.is_open)  # every row asks
        self._has_rows = False
        self._skips_deletions = settings.deleted_records == "skip"
        keys = KeyMaker(settings.app_id, stream, random_text, sends_deletions=not self._skips_deletions)
        self._keys = keys if self._selection.api is Api.TRACK else None
        self._identities = IdentityCounts() if self._selection.api is Api.IDENTIFY else None
        self._key_field = self._selection.key_field
        self._keeps_source = keeps_source
        self._on_mapped = on_mapped
        self._fast_lane = FastLane(stream, self._keys, on_mapped)

    @property
    def required(self) -> Mapping[str, Column]:
        """The columns that identify whose row it is, which event and when, by setting."""
        return self._selection.required

    @property
    def needed_properties(self) -> PropertyColumns | None:
        """The listed columns of which a row needs at least one; None for events, which are useful without any."""
        selection = self._selection
        needs_one = selection.api in {Api.USER_PROPERTIES, Api.ACCOUNT_PROPERTIES} and not selection.rest
        return selection.properties if needs_one else None

    @property
    def excepted(self) -> Sequence[PropertyColumns]:
        """The columns that must not be sent, one list per setting."""
        selections = (self._selection, self._users) if self._users else (self._selection,)
        return [selection.rest.excepted for selection in selections if selection.rest]

    @property
    def is_repeatable(self) -> bool:
        """Whether loading the same rows again adds nothing, judging by the settings and the catalog."""
        return not self._keys or bool(self._selection.timestamp) or self._keys.stream.identifies_rows

    def skips(self, data: Mapping[str, Any]) -> bool:
        """Whether a record is skipped, because it was deleted at its source."""
        return self._skips_deletions and is_deletion(data)

    def payload(self, row: PendingRecord) -> Payload:
        """The payload of a row.

        Raises:
            RowRejectedError: it cannot be sent.
        """
        record = row.record
        data = record.data
        if self._is_open:
            self._selection = self._selection.found_in(data)
            self._users = self._users and self._users.found_in(data)
            self._is_open = self._selection.is_open or bool(self._users and self._users.is_open)
        self._has_rows = True
        try:
            try:
                element, body, user_body = self._element(data, row.number, exact=record.is_exact)
            except (InexactNumberError, orjson.JSONEncodeError):
                # Digits matter, or a text contains half a surrogate pair, for which the exact reading has the reason.
                element, body, user_body = self._element(record.exactly(), row.number, exact=True)
        except RecursionError:
            raise RowRejectedError(Reason.TOO_DEEP) from None
        if self._identities:
            self._count(self._identities, element)
        return Payload(
            row.number,
            row.checkpoint,
            record.source if self._keeps_source else None,
            str(element[self._key_field]),
            body,
            element.get("idempotency_key"),
            user_body,
        )

    def payloads(self, lines: Sequence[bytes], first: int, checkpoint: Checkpoint) -> Payloads:
        """The payloads of lines that the fast lane accepts, up to the first one that it declines; may be empty.

        Args:
            lines: lines of standard input.
            first: the position of the first line among the rows of the input, from 1.
            checkpoint: the checkpoint with which the rows are settled.
        """
        if self._users:
            return Payloads()
        keys, bodies, tokens = self._fast_lane.take(lines, self._selection, first)
        count = len(keys)
        self._has_rows |= bool(count)
        sources: list[Source] = [*lines[:count]] if self._keeps_source else [None] * count
        return Payloads([*range(first, first + count)], [checkpoint] * count, sources, keys, bodies, tokens)

    def warnings(self) -> Iterator[str]:
        """The warnings at the end of a run: listed columns that no row had, and wrong guesses."""
        if warning := unseen_warning(self.unseen()):
            yield warning
        if warning := unseen_warning(self.unseen_excepted(), "leaves out"):
            yield warning
        users = self._users
        if users and (warning := unseen_warning(self._with_nearest(users.properties), setting="also_user_properties")):
            yield warning
        for selection in (self._selection, users) if users else (self._selection,):
            for guess in selection.properties.guesses.values():
                if guess.warning:
                    yield guess.warning
            for guess in selection.rest.excepted.guesses.values() if selection.rest else ():
                if guess.exclusion_warning:
                    yield guess.exclusion_warning

    def unseen(self) -> dict[str, str | None]:
        """Listed columns that no row had, each with the nearest name; empty if there were no rows."""
        return self._with_nearest(self._selection.properties)

    def unseen_excepted(self) -> dict[str, str | None]:
        """The same for the columns after `except`."""
        rest = self._selection.rest
        return self._with_nearest(rest.excepted) if rest else {}

    def _with_nearest(self, columns: PropertyColumns) -> dict[str, str | None]:
        if not self._has_rows:
            return {}
        unseen = columns.unseen
        guessed = {name: self.names.nearest(name) for name in unseen[:_MOST_GUESSES]}
        return {name: guessed.get(name) for name in unseen}

    def _count(self, identities: IdentityCounts, element: Element) -> None:
        reason = identities.add(element["identity"], element["user_id"])
        if reason:
            at = self._selection.user_id if reason is Reason.SECOND_IDENTITY else self._selection.key
            raise RowRejectedError(reason, at.name if at else None)

    def _element(self, data: Mapping[str, Any], number: int, *, exact: bool) -> tuple[Element, bytes, bytes]:
        element, made = transform(data, self._selection, exact=exact)
        if self._keys:
            element["idempotency_key"] = self._keys.key(data, element, number, exact=exact)
        (body,), user_body = serialised([element]), b""
        if self._users:
            user, made_of_user = transform(data, self._users, exact=exact)
            (user_body,) = serialised([user])
            if made_of_user:
                self._on_mapped(made_of_user)
        if made:
            self._on_mapped(made)
        return element, body, user_body
