"""Messages as from a source: rows like those in sample_files/messages.jsonl, of distinct users.

The same number of rows gives the same bytes. A STATE comes after each 10,000 rows, and after the last one.

    python -m benchmarks.messages 1000000 > messages.jsonl
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from random import Random
from typing import Any

STATE_ROWS = 10_000
"""Rows between two STATE messages."""

LINE_BYTES = 600
"""Slightly more than the size of a line."""

_START = datetime(2022, 10, 1, tzinfo=timezone.utc)
_GIVEN = ("Ada", "Bruno", "Chiara", "Dmitri", "Elif", "Farid", "Grete", "Hugo", "Ines", "Júlia")
_FAMILY = ("Abbate", "Berg", "Castillo", "Dubois", "Eriksen", "Fischer", "García", "Horváth", "Ivanova", "Jovanovic")
_CONNECTIONS = (("Username-Password-Authentication", "auth0"), ("google-oauth2", "google-oauth2"))


def lines(rows: int) -> Iterator[str]:
    """The messages, one per line."""
    chance = Random(rows)  # noqa: S311  # not a secret
    for number in range(1, rows + 1):
        yield _line({"type": "RECORD", "record": _record(number, chance)})
        if number % STATE_ROWS == 0 or number == rows:
            yield _line({"type": "STATE", "state": _state(number)})


def cursors(rows: int) -> list[int]:
    """The content of the states, in order: the number of rows before each."""
    return [*range(STATE_ROWS, rows, STATE_ROWS), rows] if rows else []


def cursor(state: dict[str, Any]) -> int:
    """The content of a state."""
    rows: int = state["stream"]["stream_state"]["rows"]
    return rows


def _line(message: dict[str, Any]) -> str:
    return json.dumps(message, ensure_ascii=False) + "\n"


def _record(number: int, chance: Random) -> dict[str, Any]:
    given, family = chance.choice(_GIVEN), chance.choice(_FAMILY)
    connection, provider = chance.choice(_CONNECTIONS)
    key = f"{chance.getrandbits(128):032x}"
    user_id = f"{key[:8]}-{key[8:12]}-{key[12:16]}-{key[16:20]}-{key[20:]}"
    created = _START + timedelta(seconds=number)
    updated = created + timedelta(milliseconds=chance.randrange(10**9))
    return {
        "stream": "users",
        "data": {
            "blocked": number % 7 == 0,
            "created_at": _time(created),
            "email": f"user.{number}@example.com",
            "email_verified": number % 3 == 0,
            "family_name": family,
            "given_name": given,
            "identities": {
                "user_id": user_id,
                "connection": connection,
                "provider": provider,
                "isSocial": provider != "auth0",
            },
            "name": f"{given} {family}",
            "nickname": f"{given[:4].lower()}{number}",
            "updated_at": _time(updated),
            "user_id": f"{provider}|{user_id}",
        },
        "emitted_at": 1666411200000 + number,
    }


def _state(rows: int) -> dict[str, Any]:
    stream = {"stream_descriptor": {"name": "users"}, "stream_state": {"rows": rows}}
    return {"type": "STREAM", "stream": stream, "sourceStats": {"recordCount": (rows - 1) % STATE_ROWS + 1.0}}


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


if __name__ == "__main__":
    sys.stdout.writelines(lines(int(sys.argv[1])))
