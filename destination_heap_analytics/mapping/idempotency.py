"""Idempotency keys, which make a replay harmless: of all events with the same key, Heap keeps only the first.

Source: https://developers.heap.io/reference/track-1 (`idempotency_key`). Their scope and lifetime are not documented,
so keys are unique within the app, and made from data that is the same in a replay:

    the row has                               the key is made from
    primary key and timestamp value           app, stream, primary key, identity, event, timestamp
    primary key, append_dedup, no timestamp   app, stream, primary key, identity, event
    timestamp value, no primary key           app, stream, the source's record without nulls and loaders' stamps
    otherwise                                 a random number drawn once per run, and the row's position

All but the last also include the time at which a row was deleted at its source, which distinguishes the deletion from
the row before.
"""

from __future__ import annotations

import codecs
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import chain
from json import JSONEncoder
from json.encoder import encode_basestring_ascii
from typing import Any, Final

import msgspec
import orjson

from destination_heap_analytics.mapping.columns.block import Block, Rows
from destination_heap_analytics.mapping.columns.column import ABSENT, deleted_at, is_airbytes, look_up
from destination_heap_analytics.protocol.catalog import Path, Stream
from destination_heap_analytics.protocol.numbers import InexactNumberError, float_text, plain_decimal


@dataclass(frozen=True, slots=True)
class KeyMaker:
    """Makes the idempotency keys of one run.

    Attributes:
        app_id: the app ID, so that keys of two apps never collide.
        stream: the stream, with its primary key and sync mode.
        run: a random text, drawn once per run, for rows that nothing else distinguishes.
        sends_deletions: whether rows that were deleted at their source are sent.
    """

    app_id: str
    stream: Stream
    run: str
    sends_deletions: bool = False
    _heads: dict[str, bytes] = field(init=False, repr=False, compare=False)
    _own: set[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        scope = _canonical([self.app_id, self.stream.namespace, self.stream.name])[1:-1]
        heads = {kind: f'["{kind}",{scope},'.encode("ascii") for kind in ("state", "row", "record", "position")}
        object.__setattr__(self, "_heads", heads)
        object.__setattr__(self, "_own", set())

    def key(self, data: Mapping[str, Any], element: Mapping[str, Any], row: int, *, exact: bool) -> str:
        """The key of a row: 64 hexadecimal digits, the same on every machine.

        Args:
            data: the record.
            element: its payload.
            row: its position in the input of the run, from 1.
            exact: whether the record comes from the exact reading (values.py).

        Raises:
            InexactNumberError: only if not `exact`.
        """
        timestamp = element.get("timestamp")
        primary_key = self._primary_key(data, exact=exact)
        deletion = self._deletion(data, exact=exact) if self.sends_deletions else []
        if primary_key and (timestamp is not None or self.stream.is_deduplicated):
            user = element["identity"] if "identity" in element else {"user_id": element["user_id"]}
            parts = [primary_key, user, element["event"], *deletion]
            are_plain = not exact and not deletion and _AS_WRITTEN.issuperset(map(type, primary_key))
            if timestamp is None:
                return self._digest("row", parts, are_plain=are_plain)
            return self._digest("state", [*parts, timestamp], are_plain=are_plain)
        if timestamp is not None:
            content, kinds = self._content(data, set() if exact else _kinds(data.values()))
            if float in kinds:
                raise InexactNumberError
            are_plain = not exact and not deletion and _NONE not in kinds
            return self._digest("record", [content, *deletion], are_plain=are_plain)
        return self._digest("position", [self.run, row], are_plain=False)

    @property
    def paths(self) -> set[Path]:
        """The paths of the columns that keys are made from; empty if keys may be made from the whole record."""
        return set(self.stream.primary_key)

    def counts(self, names: Iterable[str]) -> bool:
        """Whether all of these columns are the source's own, and so included in the key of a whole record."""
        return all(map(_is_own, names))

    def keys(
        self,
        block: Block,
        identities: Sequence[str],
        events: Sequence[str | None],
        times: Sequence[str | None],
        first: int,
    ) -> list[str]:
        """The keys of several rows of the fast reading, none of which was deleted at its source.

        Args:
            block: the records.
            identities: the identities of the events.
            events: the names of the events.
            times: their timestamps; None for those without one.
            first: the position of the first row in the input of the run, from 1.

        Raises:
            InexactNumberError: the digits of some row matter.
            NotPlainError: the primary key of some row is inside something that is not an object, or a whole record is
                needed that has not been parsed completely.
        """
        columns = [block.column(path) for path in self.stream.primary_key]
        if columns and _AS_WRITTEN.issuperset(map(type, chain.from_iterable(columns))):
            rows = [zip(*columns, strict=True), identities, events]
            if None not in times:
                return self._digests("state", _lines(zip(*rows, times, strict=True)))
            if self.stream.is_deduplicated and not any(times):
                return self._digests("row", _lines(zip(*rows, strict=True)))
        elif not columns and None not in times:
            if block.contents is not None:
                return self._digests("record", _lines(zip(block.contents, strict=True)))
            if (contents := self._contents(block.rows)) is not None:
                return self._digests("record", [_sorted_json([content]) for content in contents])
        elements = (
            {"identity": identity, "event": event, "timestamp": time}
            for identity, event, time in zip(identities, events, times, strict=True)
        )
        return [
            self.key(row, element, number, exact=False)
            for number, (row, element) in enumerate(zip(block.rows, elements, strict=True), first)
        ]

    def _contents(self, rows: Rows) -> Rows | None:
        """The source's own columns of each record; None if they have to be determined row by row.

        Raises:
            InexactNumberError: one of them has a float.
        """
        if not all(map(self._own.issuperset, rows)):
            return None
        values = list(chain.from_iterable(map(dict.values, rows)))
        kinds = set(map(type, values))
        if not _CONTAINERS.isdisjoint(kinds):
            inner = _kinds([value for value in values if type(value) in _CONTAINERS])
            if _NONE in inner:
                return None
            kinds |= inner
        if float in kinds:
            raise InexactNumberError
        if _NONE in kinds:
            return [{name: value for name, value in row.items() if value is not None} for row in rows]
        return rows

    def _primary_key(self, data: Mapping[str, Any], *, exact: bool) -> list[Any]:
        """The values of the primary key; empty if the stream has none, or the row lacks one of them."""
        values = []
        for path in self.stream.primary_key:
            value = data.get(path[0], ABSENT) if len(path) == 1 else look_up(data, path)
            if value is ABSENT or value is None:
                return []
            if not exact and type(value) is float:
                raise InexactNumberError
            values.append(value)
        return values

    def _deletion(self, data: Mapping[str, Any], *, exact: bool) -> list[Any]:
        """What distinguishes a deletion from the row before; empty for other rows."""
        time = deleted_at(data)
        if not exact and isinstance(time, float):
            raise InexactNumberError
        return [] if time is None else [{"deleted_at": time}]

    def _content(self, data: Mapping[str, Any], kinds: set[type]) -> tuple[Mapping[str, Any], set[type]]:
        """The source's own columns of a record, without nulls, so that adding a nullable column changes no key.

        `kinds` are the types of its values at any depth, or empty if they are not needed; those of the content are
        returned with it.
        """
        own = self._own
        if kinds and _NONE not in kinds and own.issuperset(data):
            return data, kinds
        if len(own) >= _MOST_NAMES:
            own.clear()
        own.update(name for name in data if name not in own and _is_own(name))
        content = {name: value for name, value in data.items() if value is not None and name in own}
        return content, kinds and _kinds(content.values())

    def _digest(self, kind: str, parts: list[Any], *, are_plain: bool) -> str:
        """The hash of a list in canonical form.

        Args:
            kind: what the key is made from.
            parts: the items after the kind, the app and the stream.
            are_plain: whether they contain no floats, and no nulls in objects, and come from the fast reading.
        """
        if not are_plain:
            return sha256(self._heads[kind] + _canonical(parts)[1:].encode("ascii")).hexdigest()
        return self._digests(kind, [_sorted_json(parts)])[0]

    def _digests(self, kind: str, texts: list[bytes]) -> list[str]:
        """The hashes of plain lists, given as orjson serialises them."""
        together = b"".join(texts)
        if not together.isascii() or _DELETE in together:
            texts = [text.decode().encode("ascii", _ESCAPES).replace(_DELETE, b"\\u007f") for text in texts]
        head = self._heads[kind]
        return [sha256(head + text[1:]).hexdigest() for text in texts]


def _lines(parts: Iterable[Sequence[Any]]) -> list[bytes]:
    """The JSON of each list; msgspec serialises texts, integers and booleans as orjson does."""
    return _ENCODER.encode_lines(list(parts)).split(b"\n")[:-1]


_ENCODER: Final = msgspec.json.Encoder()


def _sorted_json(parts: Sequence[Any]) -> bytes:
    return orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)


_ESCAPES: Final = "destination_heap_analytics.mapping.idempotency"


def _escaped(failure: UnicodeError) -> tuple[str, int]:
    """An error handler that writes non-ASCII characters as JSON escapes."""
    if not isinstance(failure, UnicodeEncodeError):
        raise failure
    return encode_basestring_ascii(failure.object[failure.start : failure.end])[1:-1], failure.end


codecs.register_error(_ESCAPES, _escaped)

_MOST_NAMES: Final = 10_000
"""The most column names that are remembered: a source may have new ones in each row."""

_DELETE: Final = b"\x7f"
"""A character that Python's json escapes and orjson does not."""

_NONE: Final = type(None)


def _kinds(values: Collection[Any]) -> set[type]:
    """The types of values at any depth."""
    kinds = set(map(type, values))
    if dict in kinds or list in kinds:
        for inner in [value for value in values if type(value) in _CONTAINERS]:
            kinds |= _kinds(inner.values() if isinstance(inner, dict) else inner)
    return kinds


_CONTAINERS: Final = frozenset({dict, list})


_LOADERS_STAMPS: Final = frozenset(
    {
        # https://fivetran.com/docs/core-concepts/system-columns-and-tables
        "_fivetran_batch",
        "_fivetran_index",
        "_fivetran_synced",
        # https://www.stitchdata.com/docs/replication/loading/understanding-loading-behavior (Singer and Meltano alike)
        "_sdc_batched_at",
        "_sdc_extracted_at",
        "_sdc_received_at",
        "_sdc_sequence",
        "_sdc_sync_started_at",
        "_sdc_table_version",
        # https://dlthub.com/docs/general-usage/destination-tables
        "_dlt_id",
        "_dlt_load_id",
        # https://docs.hevodata.com/destinations/dynamic-schema (columns that Hevo adds)
        "__hevo__ingested_at",
        "__hevo__loaded_at",
        # https://segment.com/docs/connections/storage/warehouses/schema, and RudderStack after it
        "uuid_ts",
    }
)
"""Columns, in lower case, in which another loader records when and how it loaded a row; they change with each load."""


def _is_own(name: str) -> bool:
    """Whether a column is the source's own, and was not added by a loader."""
    return not is_airbytes(name) and name.lower() not in _LOADERS_STAMPS


_encode: Final = JSONEncoder(sort_keys=True, separators=(",", ":")).encode
_AS_WRITTEN: Final = frozenset({str, int, bool})
"""Types with only one JSON form; a float has several."""


def _canonical(part: Any) -> str:
    """The canonical JSON of a value: ASCII, sorted keys, no spaces, no nulls in objects, numbers as plain decimals."""
    kind = type(part)
    if kind is str:
        return encode_basestring_ascii(part)
    if kind is int:
        return repr(part)
    if kind is dict and _AS_WRITTEN.issuperset(map(type, part.values())):
        return _encode(part)
    if isinstance(part, Mapping):
        keys = (key for key in sorted(part, key=str) if part[key] is not None)
        return "{" + ",".join(f"{_canonical(str(key))}:{_canonical(part[key])}" for key in keys) + "}"
    if isinstance(part, (list, tuple)):
        return "[" + ",".join(map(_canonical, part)) + "]"
    if isinstance(part, float):
        return plain_decimal(float_text(part)) or encode_basestring_ascii(float_text(part))
    if part is None or isinstance(part, (bool, int)):
        return _encode(part)
    return encode_basestring_ascii(str(part))  # in process, a record may contain any object, such as a date
