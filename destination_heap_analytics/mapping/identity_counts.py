"""Enforces Heap's monthly limits of Identify within one run.

A user ID can have one identity, and an identity ten user IDs per month; Heap ignores further calls without an error
(https://developers.heap.io/reference/identify-1). Heap's data cannot be queried, so calls of other runs are unknown.

The counts are in a temporary SQLite database, which spills to an unnamed file, so that memory does not grow with the
number of users. Identities are stored as digests.
"""

from __future__ import annotations

import sqlite3
from hashlib import blake2b

from destination_heap_analytics.errors import Reason
from destination_heap_analytics.heap_api import USER_IDS_PER_IDENTITY

_SCHEMA = """
CREATE TABLE users (user_id INTEGER PRIMARY KEY, identity BLOB NOT NULL);
CREATE TABLE identities (identity BLOB PRIMARY KEY, users INTEGER NOT NULL) WITHOUT ROWID;
BEGIN;
"""
_COUNT = "INSERT INTO identities VALUES (?, 1) ON CONFLICT (identity) DO UPDATE SET users = users + 1"


class IdentityCounts:
    """The user IDs that this run assigns to each identity."""

    def __init__(self) -> None:
        # Used by one run, which may move from thread to thread.
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._database.executescript(_SCHEMA)

    def add(self, identity: str, user_id: str) -> Reason | None:
        """Count a row. If Heap would ignore it, returns the reason instead.

        A pair that was counted before is accepted again: repeating a call changes nothing.
        """
        digest = blake2b(identity.encode(), digest_size=16).digest()
        number = int(user_id)
        known = self._database.execute("SELECT identity FROM users WHERE user_id = ?", (number,)).fetchone()
        if known:
            return None if known[0] == digest else Reason.SECOND_IDENTITY
        given = self._database.execute("SELECT users FROM identities WHERE identity = ?", (digest,)).fetchone()
        if given and given[0] >= USER_IDS_PER_IDENTITY:
            return Reason.TOO_MANY_USER_IDS
        self._database.execute("INSERT INTO users VALUES (?, ?)", (number, digest))
        self._database.execute(_COUNT, (digest,))
        return None
