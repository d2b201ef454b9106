"""The sandbox's SQLite database: its tables, and how it is opened."""

from __future__ import annotations

import sqlite3
from pathlib import Path

_OLDEST = ("events", "users", "accounts", "requests")  # tables that every version has
_VERSION = 3
_SCHEMA = """
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    app_id TEXT NOT NULL,
    identity TEXT,
    user_id TEXT,
    event TEXT NOT NULL,
    timestamp TEXT,
    timestamp_given INTEGER GENERATED ALWAYS AS (timestamp IS NOT NULL) VIRTUAL,
    time TEXT NOT NULL,
    idempotency_key TEXT,
    session_id TEXT,
    properties TEXT NOT NULL,
    payload TEXT NOT NULL,
    request INTEGER NOT NULL,
    position INTEGER,
    UNIQUE (app_id, idempotency_key)
);
CREATE INDEX events_identity ON events (identity);
CREATE INDEX events_user_id ON events (user_id) WHERE user_id IS NOT NULL;
CREATE TABLE users (
    id INTEGER PRIMARY KEY,
    app_id TEXT NOT NULL,
    identity TEXT NOT NULL,
    properties TEXT NOT NULL,
    writes INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    request INTEGER GENERATED ALWAYS AS (revision / 1000) VIRTUAL,
    UNIQUE (identity, app_id)
);
CREATE TABLE accounts (
    id INTEGER PRIMARY KEY,
    app_id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    properties TEXT NOT NULL,
    writes INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    request INTEGER GENERATED ALWAYS AS (revision / 1000) VIRTUAL,
    UNIQUE (account_id, app_id)
);
CREATE TABLE identities (
    id INTEGER PRIMARY KEY,
    app_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    identity TEXT NOT NULL,
    timestamp TEXT,
    received TEXT NOT NULL,
    ignored TEXT,
    request INTEGER NOT NULL
);
CREATE INDEX identities_user_id ON identities (user_id, app_id);
CREATE INDEX identities_identity ON identities (identity, app_id);
CREATE TABLE deletions (
    id INTEGER PRIMARY KEY,
    deletion_request_id TEXT NOT NULL UNIQUE,
    app_id TEXT NOT NULL,
    received TEXT NOT NULL,
    asked INTEGER NOT NULL,
    users INTEGER NOT NULL,
    events INTEGER NOT NULL,
    request INTEGER NOT NULL
);
CREATE TABLE requests (
    id INTEGER PRIMARY KEY,
    received TEXT NOT NULL,
    path TEXT NOT NULL,
    app_id TEXT,
    form TEXT,
    elements INTEGER,
    duplicates INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    status INTEGER,
    stored INTEGER NOT NULL,
    fault TEXT,
    reason TEXT,
    connection INTEGER NOT NULL,
    client_port INTEGER,
    content_type TEXT,
    milliseconds REAL NOT NULL
);
"""


class Unusable(Exception):  # noqa: N818  # describes the file, not a defect of the program
    """A database file that cannot hold the sandbox's data."""


def open_database(database: Path | None) -> sqlite3.Connection:
    """The database in a file, or a private temporary one; Unusable or sqlite3.Error if the file holds anything else."""
    connection = sqlite3.connect(database or "", isolation_level=None, check_same_thread=False)
    try:
        _prepare(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    connection.row_factory = sqlite3.Row
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (names,) = connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
    if version != _VERSION and (version or names):
        (own,) = connection.execute("SELECT COUNT(*) FROM sqlite_master WHERE name IN (?, ?, ?, ?)", _OLDEST).fetchone()
        if own == len(_OLDEST):
            raise Unusable("it was created by another version of the sandbox; delete it or choose another file")
        raise Unusable("it is not a database of this sandbox")
    # A crash of the sandbox loses nothing; a crash of the computer might, which is acceptable for a test tool.
    connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;")
    if version != _VERSION:
        connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;")
