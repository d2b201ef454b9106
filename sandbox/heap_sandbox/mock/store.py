"""What arrived, in SQLite: events, users, accounts, identities, deletions and the log of requests."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from heap_sandbox.mock.database import Unusable, open_database
from heap_sandbox.mock.deletions import Erasure
from heap_sandbox.mock.rules import USERS, Batch, Identification
from heap_sandbox.mock.values import instant
from heap_sandbox.mock.views import VIEWS, Listed, View, search

PAGE_MAXIMUM = 100_000
"""The most rows of a page."""
CHUNK = 1_000
"""Rows that are searched at a time; takes a millisecond or two."""

USER_IDS_PER_IDENTITY = 10
"""User IDs that one identity can get within 30 days (identify-1: "a rolling one-month window")."""

_TABLES = ("events", "users", "accounts", "identities", "deletions", "requests")
HIGHEST_ID = 2**63 - 1  # the largest integer of SQLite
_TRUTHS = ("timestamp_given", "stored")
_DOCUMENTS = ("properties", "payload")

_ADD_EVENT = """
INSERT INTO events (app_id, identity, user_id, event, timestamp, time, idempotency_key, session_id, properties, payload,
    request, position)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (app_id, idempotency_key) DO NOTHING
"""
_ADD_SEEN_USERS = """
INSERT INTO users (app_id, identity, properties, writes, revision)
SELECT app_id, identity, '{}', 0, 1000 * request + COALESCE(position, 0)
FROM events WHERE id > ? AND identity IS NOT NULL ORDER BY id
ON CONFLICT (identity, app_id) DO NOTHING
"""
# A revision, 1000 * request + position, is unique, as a request has 1,000 elements at most, and grows with each write.
# json_patch merges one level of keys, and no value is null or an object, so it is exactly "create or overwrite".
_WRITE_USER = """
INSERT INTO users (app_id, identity, properties, writes, revision) VALUES (?, ?, ?, 1, ?)
ON CONFLICT (identity, app_id) DO UPDATE
SET properties = json_patch(properties, excluded.properties), writes = writes + 1, revision = excluded.revision
"""
_WRITE_ACCOUNT = """
INSERT INTO accounts (app_id, account_id, properties, writes, revision) VALUES (?, ?, ?, 1, ?)
ON CONFLICT (account_id, app_id) DO UPDATE
SET properties = json_patch(properties, excluded.properties), writes = writes + 1, revision = excluded.revision
"""
_KNOWN_USER_ID = """
SELECT identity FROM identities WHERE user_id = :user_id AND app_id = :app_id AND ignored IS NULL
"""
_RECENT_USER_IDS = """
SELECT COUNT(*) FROM identities
WHERE identity = :identity AND app_id = :app_id AND ignored IS NULL AND julianday(received) > julianday(:received) - 30
"""
_ADD_IDENTITY = """
INSERT INTO identities (app_id, user_id, identity, timestamp, received, ignored, request)
VALUES (:app_id, :user_id, :identity, :timestamp, :received, :ignored, :request)
"""
_ADD_IDENTIFIED_USER = """
INSERT INTO users (app_id, identity, properties, writes, revision) VALUES (:app_id, :identity, '{}', 0, 1000 * :request)
ON CONFLICT (identity, app_id) DO NOTHING
"""
_MOVE_EVENTS = """
UPDATE events SET identity = :identity WHERE user_id = :user_id AND app_id = :app_id AND identity IS NULL
"""
_ADD_DELETION = """
INSERT INTO deletions (deletion_request_id, app_id, received, asked, users, events, request)
VALUES (?, ?, ?, ?, ?, ?, ?)
"""
_LOG = """
INSERT INTO requests (id, received, path, app_id, form, elements, duplicates, bytes, sha256, status, stored, fault,
    reason, connection, client_port, content_type, milliseconds)
VALUES (:id, :received, :path, :app_id, :form, :elements, :duplicates, :bytes, :sha256, :status, :stored, :fault,
    :reason, :connection, :client_port, :content_type, :milliseconds)
"""
_STATS = """
SELECT
    COUNT(*) AS requests,
    COUNT(reason) AS refused,
    COUNT(fault) AS faulted,
    (SELECT COUNT(*) FROM events) AS events,
    COALESCE(SUM(duplicates), 0) AS duplicates,
    (SELECT COUNT(*) FROM users) AS users,
    (SELECT COUNT(*) FROM accounts) AS accounts,
    (SELECT COUNT(*) FROM identities WHERE ignored IS NULL) AS identities,
    (SELECT COUNT(*) FROM identities WHERE ignored IS NOT NULL) AS ignored_identities,
    (SELECT COUNT(*) FROM deletions) AS deletions,
    (SELECT COALESCE(SUM(users), 0) FROM deletions) AS deleted_users,
    (SELECT COALESCE(SUM(events), 0) FROM deletions) AS deleted_events,
    COALESCE(SUM(elements) FILTER (WHERE stored AND path = '/api/add_user_properties'), 0) AS user_writes,
    COALESCE(SUM(elements) FILTER (WHERE stored AND path = '/api/add_account_properties'), 0) AS account_writes,
    COUNT(DISTINCT connection) AS connections
FROM requests
"""
_NEWEST = """
SELECT {cursor} AS cursor, id, {request} AS request, {columns},
    (SELECT received FROM requests WHERE requests.id = listed.{request}) AS received
FROM {table} AS listed
WHERE {cursor} < :before AND {cursor} > :floor AND {condition} AND holds({text})
ORDER BY {cursor} DESC LIMIT :limit
"""
_END = "SELECT {cursor} FROM {table} WHERE {cursor} < ? ORDER BY {cursor} DESC LIMIT 1 OFFSET ?"
_TALLY = """
SELECT
    substr(received, 1, 19) || '+00:00' AS second,
    MAX(id) AS request,
    COALESCE(SUM(elements) FILTER (WHERE stored AND path = '/api/track'), 0) AS events,
    COALESCE(SUM(elements) FILTER (WHERE stored AND path = '/api/add_user_properties'), 0) AS users,
    COALESCE(SUM(elements) FILTER (WHERE stored AND path = '/api/add_account_properties'), 0) AS accounts,
    COUNT(*) FILTER (WHERE {failed}) AS failed,
    SUM(duplicates) AS duplicates
FROM requests WHERE id > :after AND id <= :after + :limit GROUP BY second
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One request for the log; `status` is None if it got no response."""

    received: datetime
    path: str
    app_id: str | None
    form: str | None
    elements: int | None
    bytes: int
    sha256: str
    status: int | None
    fault: str | None
    reason: str | None
    connection: int
    client_port: int | None
    content_type: str | None


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of a table, oldest first; `next` is the id to continue after, None at the end."""

    total: int
    rows: list[dict[str, Any]]
    next: int | None


class Store:
    """One SQLite database: a file, or a temporary database that SQLite removes at the end.

    It may be created in one thread and used in another, but not in two at the same time.
    """

    epoch: str
    """Changes whenever ids may be reused."""

    def __init__(self, database: Path | None = None) -> None:
        self.epoch = secrets.token_hex(4)
        try:
            self._connection = open_database(database)
            self._gaps = self._count_gaps()
        except (sqlite3.Error, Unusable) as error:
            raise Unusable(f"The database {database} cannot be used: {error}.") from error

    def close(self) -> None:
        """Close the database, which removes a temporary one."""
        self._connection.close()

    def record(self, entry: Entry, batch: Batch | Erasure | None, elapsed: Callable[[], float]) -> None:
        """Log a request together with its rows, in one transaction.

        Args:
            entry: The request.
            batch: What to store, or whom to delete; None if nothing.
            elapsed: Milliseconds since the request arrived; called last.
        """
        with self._transaction():
            request = self._last_id("requests") + 1
            duplicates = 0
            if isinstance(batch, Erasure):
                self._erase(batch, request, instant(entry.received))
            elif batch:
                duplicates = self._keep(batch, request, instant(entry.received))
            outcome = {"id": request, "duplicates": duplicates, "stored": batch is not None, "milliseconds": elapsed()}
            self._connection.execute(_LOG, asdict(entry) | outcome | {"received": instant(entry.received)})

    def page(self, table: str, after: int = 0, limit: int = 1000, only: tuple[str, str] | None = None) -> Page:
        """The rows of a table after an id; `only` is a column and the value that it must have."""
        if table not in _TABLES:
            raise ValueError(f"There is no table {table!r}.")
        condition, value = (f"{only[0]} = ?", only[1:]) if only else ("TRUE", ())
        # Table and column names are this package's own, never a client's; values are bound.
        (total,) = self._connection.execute(
            f"SELECT COUNT(*) FROM {table} WHERE {condition}",  # noqa: S608  # see above
            value,
        ).fetchone()
        found = self._connection.execute(
            f"SELECT * FROM {table} WHERE {condition} AND id > ? ORDER BY id LIMIT ?",  # noqa: S608  # see above
            (*value, after, limit + 1),
        ).fetchall()
        rows = [_row(row) for row in found[:limit]]
        return Page(total, rows, rows[-1]["id"] if len(found) > limit else None)

    def row(self, table: str, number: int) -> dict[str, Any] | None:
        """One complete row by its id, with the time at which it was created or last changed."""
        if table not in _TABLES:
            raise ValueError(f"There is no table {table!r}.")
        arrival = (
            "" if table == "requests" else ", (SELECT received FROM requests WHERE id = listed.request) AS received"
        )
        sql = f"SELECT *{arrival} FROM {table} AS listed WHERE id = ?"  # noqa: S608  # names of this module
        found = self._connection.execute(sql, (number,)).fetchone()
        return _row(found) if found else None

    def newest(self, name: str, words: str = "", before: int | None = None, since: int = 0, limit: int = 100) -> Listed:
        """Some rows of a view, newest first; fewer than match if the call reaches the end of its chunk.

        Args:
            name: The view.
            before: The cursor to continue before; None starts at the newest.
            since: The cursor to stop at.
            limit: Rows at most.
            words: What each row must contain.
        """
        view = VIEWS[name]
        if view.cursor == "revision":  # on demand, because it would slow down writes even if no one opens the list
            self._connection.execute(f"CREATE INDEX IF NOT EXISTS {view.table}_revision ON {view.table} (revision)")
        self._connection.create_function("holds", 1, search(words), deterministic=True)
        newest = self._highest(view)
        before = newest + 1 if before is None else before
        end = self._connection.execute(_END.format_map(asdict(view)), (before, CHUNK)).fetchone()
        floor = max(since, end[0] if end else 0)
        asked = {"before": before, "floor": floor, "limit": limit}
        rows = [dict(row) for row in self._connection.execute(_NEWEST.format_map(asdict(view)), asked)]
        if len(rows) == limit:
            return Listed(rows, rows[-1]["cursor"], newest)
        return Listed(rows, floor + 1 if floor > since else None, newest)

    def tallies(self, after: int, limit: int) -> list[dict[str, Any]]:
        """What the requests after a number contained, by second; at most `limit` requests."""
        sql = _TALLY.format(failed=VIEWS["failed"].condition)
        return [dict(row) for row in self._connection.execute(sql, {"after": after, "limit": limit})]

    def counts(self) -> dict[str, int]:
        """How many rows each table has, without counting them: the last id minus the number of deleted rows."""
        return {table: self._last_id(table) - self._gaps[table] for table in _TABLES}

    def deletion(self, number: str) -> datetime | None:
        """When a deletion request arrived; None if it is unknown."""
        found = self._connection.execute("SELECT received FROM deletions WHERE deletion_request_id = ?", (number,))
        row = found.fetchone()
        return datetime.fromisoformat(row[0]) if row else None

    def stats(self) -> dict[str, int]:
        """Counts of everything that arrived."""
        return dict(self._connection.execute(_STATS).fetchone())

    def last_connection(self) -> int:
        """The number of the last connection in the log, 0 in an empty one."""
        number: int
        (number,) = self._connection.execute("SELECT COALESCE(MAX(connection), 0) FROM requests").fetchone()
        return number

    def clear(self) -> None:
        """Delete everything that is stored."""
        with self._transaction():
            for table in _TABLES:
                self._connection.execute(f"DELETE FROM {table}")  # noqa: S608  # names of this module
        self._gaps = dict.fromkeys(_TABLES, 0)
        self.epoch = secrets.token_hex(4)

    def _keep(self, batch: Batch, request: int, received: str) -> int:
        """Store the elements and return how many of them were duplicates."""
        if batch.writes:
            write = _WRITE_USER if batch.api is USERS else _WRITE_ACCOUNT
            self._connection.executemany(
                write,
                (
                    (batch.app_id, item.subject, item.properties.decode(), 1000 * request + position)
                    for position, item in enumerate(batch.writes)
                ),
            )
            return 0
        if batch.identification:
            self._identify(batch.app_id, batch.identification, request, received)
            return 0
        before = self._last_id("events")
        added = self._connection.executemany(_ADD_EVENT, _event_rows(batch, request, received)).rowcount
        self._connection.execute(_ADD_SEEN_USERS, (before,))
        return len(batch.events) - added

    def _erase(self, erasure: Erasure, request: int, received: str) -> None:
        """Delete users and their events from every app, as Heap does in all environments of an account.

        A later row may get the id of a deleted one, so a new epoch begins.
        """
        asked = len(erasure.identities) + len(erasure.user_ids)
        by = {"identity": [(who,) for who in erasure.identities], "user_id": [(who,) for who in erasure.user_ids]}
        users = self._connection.executemany("DELETE FROM users WHERE identity = ?", by["identity"]).rowcount
        events = 0
        for column, whom in by.items():
            for table in ("events", "identities"):
                sql = f"DELETE FROM {table} WHERE {column} = ?"  # noqa: S608  # names of this module
                gone = self._connection.executemany(sql, whom).rowcount
                events += max(0, gone) if table == "events" else 0
        self._connection.execute(
            _ADD_DELETION, (erasure.number, erasure.app_id, received, asked, max(0, users), events, request)
        )
        self._gaps = self._count_gaps()
        self.epoch = secrets.token_hex(4)

    def _count_gaps(self) -> dict[str, int]:
        """How many ids of each table, up to its last, have no row."""
        counts = {
            table: self._connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]  # noqa: S608  # own
            for table in _TABLES
        }
        return {table: self._last_id(table) - count for table, count in counts.items()}

    def _identify(self, app_id: str, wanted: Identification, request: int, received: str) -> None:
        """Assign the events of a user ID to an identity, or ignore the call, which Heap's response does not show."""
        values = asdict(wanted) | {"app_id": app_id, "request": request, "received": received}
        known = self._connection.execute(_KNOWN_USER_ID, values).fetchone()
        (recent,) = self._connection.execute(_RECENT_USER_IDS, values).fetchone()
        ignored = None
        if known:
            again = known[0] == wanted.identity
            ignored = "it repeats an earlier call" if again else "the user_id has another identity"
        elif recent >= USER_IDS_PER_IDENTITY:
            ignored = f"the identity has been given {recent} user_ids within 30 days"
        self._connection.execute(_ADD_IDENTITY, values | {"ignored": ignored})
        if not ignored:
            self._connection.execute(_ADD_IDENTIFIED_USER, values)
            self._connection.execute(_MOVE_EVENTS, values)

    def _highest(self, view: View) -> int:
        highest: int
        (highest,) = self._connection.execute(f"SELECT COALESCE(MAX({view.cursor}), 0) FROM {view.table}").fetchone()  # noqa: S608  # own
        return highest

    def _last_id(self, table: str) -> int:
        last: int
        (last,) = self._connection.execute(f"SELECT COALESCE(MAX(id), 0) FROM {table}").fetchone()  # noqa: S608  # own
        return last

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")


def _event_rows(batch: Batch, request: int, received: str) -> Iterator[tuple[Any, ...]]:
    for position, event in enumerate(batch.events):
        yield (
            batch.app_id,
            event.identity,
            event.user_id,
            event.event,
            event.timestamp,
            event.time or received,
            event.idempotency_key,
            event.session_id,
            event.properties.decode(),
            event.payload.decode(),
            request,
            position if batch.bulk else None,
        )


def _row(row: sqlite3.Row) -> dict[str, Any]:
    """A row for a response: integers as booleans where they are, and stored JSON verbatim."""
    shown = dict(row)
    for name in _TRUTHS:
        if name in shown:
            shown[name] = bool(shown[name])
    for name in _DOCUMENTS:
        if name in shown:
            shown[name] = orjson.Fragment(shown[name])
    return shown
