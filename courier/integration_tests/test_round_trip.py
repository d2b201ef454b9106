"""The round trip: what the connector writes comes back through Heap Connect as it was sent, value by value."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from random import Random
from typing import Any

import pytest

from courier.integration_tests import heap_bucket
from courier.integration_tests.command import User
from courier.integration_tests.exporter import export, table_name, user_id
from heap_sandbox.server import Sandbox
from integration_tests.conftest import SAMPLES, Connector
from integration_tests.forked import Forked

ROWS = 3000
EVENTS = ("Order Placed", "Sign Up - Click Link", "Video: 2× watched")
WORDS = (
    "Zoë",
    "東京",
    "🛒 basket",
    "naïve",
    "O'Brien",
    'say "hi"',
    "tab\there",
    "two\nlines",
    "",
    "עברית",
    "null",
    "0",
    "1e5",
)


@pytest.fixture
def connector(tmp_path: Path) -> Iterator[Connector]:
    with Forked.started() as forked:
        yield Connector(tmp_path, forked)


@pytest.fixture
def heap() -> Iterator[Sandbox]:
    with Sandbox.start() as sandbox:
        yield sandbox


@pytest.fixture
def user(s3: str, tmp_path: Path) -> Iterator[User]:
    user = User(tmp_path / "project", s3)
    user.begins(source="Heap")
    yield user
    user.leaves()


def orders(chance: Random) -> list[dict[str, Any]]:
    """Rows with values of every kind, some of them absent."""
    rows = []
    for number in range(ROWS):
        instant = datetime(2026, 3, 1, tzinfo=timezone.utc) + timedelta(milliseconds=chance.randrange(10**9))
        row = {
            "id": number,
            "person": f"person-{chance.randrange(200)}@example.com",
            "kind": chance.choice(EVENTS),
            "at": instant.isoformat(timespec="milliseconds"),
            "amount": chance.choice([chance.random() * 1e6, -0.1, 5e-324, 1.7976931348623157e308, chance.randrange(9)]),
            "quantity": chance.choice([chance.randrange(-(2**53) + 1, 2**53), 0, 2**53 - 1, None]),
            "paid": chance.choice([True, False, None]),
            "note": chance.choice([*WORDS, None]),
            "shipped": chance.choice(["2026-03-01T10:00:00+02:00", "2026-12-31 23:59:59.999", None]),
            "address": {"city": chance.choice(WORDS[:4]), "floor": chance.randrange(5)},
            "serial": 2**60 + number,  # beyond what Heap accepts as a number: it is sent as text
        }
        rows.append({name: value for name, value in row.items() if value is not None or chance.random() < 0.5})
    return rows


def messages(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As the platform pipes them."""
    return [
        {"type": "RECORD", "record": {"stream": "orders", "data": row, "emitted_at": 1666411200000}} for row in rows
    ]


def catalog(rows: list[dict[str, Any]]) -> dict[str, Any]:
    stream = {
        "name": "orders",
        "json_schema": {"type": "object", "properties": {name: {} for row in rows for name in row}},
        "supported_sync_modes": ["full_refresh"],
        "source_defined_primary_key": [["id"]],
    }
    return {
        "streams": [
            {
                "stream": stream,
                "sync_mode": "full_refresh",
                "destination_sync_mode": "append_dedup",
                "primary_key": [["id"]],
            }
        ]
    }


def written(connector: Connector, heap: Sandbox, api: str, rows: list[dict[str, Any]], **settings: str) -> None:
    """Rows written by the connector, in bulk."""
    config = json.loads((SAMPLES / f"config_{api}.json").read_text(encoding="utf-8"))
    assert config["delivery"]["mode"] == "bulk"
    config |= {"base_url": heap.url, "api": {"api_type": config["api"]["api_type"], **settings}}
    run = connector.run("write", config, catalog(rows), messages(rows))
    assert run.code == 0, run.log


def pulled(heap: Sandbox, user: User, dump_id: int = 1) -> None:
    """What the sandbox holds exported, and fetched by the command."""
    dump = export(heap, dump_id)
    heap_bucket.put(user.client, user.bucket, heap_bucket.objects(dump, Random(dump_id), bucket=user.bucket))
    ran = user.types("run", "Heap-Connect")
    assert (ran.code, ran.err) == (0, "")


def rows_of(user: User, table: str) -> list[dict[str, Any]]:
    """As JSON shows them to a person's next program."""
    shown = user.types("show", f"Heap:{table}", "--limit", "1000000", "--json")
    assert shown.code == 0, shown.err
    return [json.loads(line) for line in shown.out.splitlines()]


def property_of(value: Any) -> Any:
    """What Heap holds of a value: an integer beyond 2^53 - 1 is a text there."""
    return str(value) if type(value) is int and abs(value) >= 2**53 else value


def equal(one: Any, other: Any) -> bool:
    """The same value of the same kind; `5` and `5.0` are one number."""
    if isinstance(one, bool) or isinstance(other, bool) or not isinstance(one, int | float):
        return type(one) is type(other) and one == other
    return isinstance(other, int | float) and math.isclose(one, other, rel_tol=0, abs_tol=0)


def test_events_come_back_unchanged(connector: Connector, heap: Sandbox, user: User) -> None:
    rows = orders(Random(5))
    columns = "id,amount,quantity,paid,note,shipped,address,serial"
    written(
        connector,
        heap,
        "track",
        rows,
        property_columns=columns,
        event_column="kind",
        identity_column="person",
        timestamp_column="at",
    )
    pulled(heap, user)

    tables = {kind: {row["id"]: row for row in rows_of(user, table_name(kind))} for kind in EVENTS}
    assert sum(map(len, tables.values())) == ROWS
    for sent in rows:
        got = tables[sent["kind"]].pop(sent["id"])
        assert got["user_id"] == user_id(sent["person"])
        assert datetime.fromisoformat(got["time"]) == datetime.fromisoformat(sent["at"]).replace(tzinfo=None)
        flat = {name: sent.get(name) for name in columns.split(",") if name != "address"}
        flat |= {f"address_{name}": value for name, value in sent["address"].items()}
        for name, value in flat.items():
            assert equal(property_of(value), got[name]), (name, value, got[name])
    assert not any(tables.values())


def test_users_come_back_with_the_last_of_their_properties(connector: Connector, heap: Sandbox, user: User) -> None:
    """A user's later rows overwrite their own properties and leave the rest; a second dump has later changes."""
    columns = "amount,quantity,paid,note,shipped,serial"
    settings = {"property_columns": columns, "identity_column": "person"}
    first, second = orders(Random(6))[:2000], orders(Random(7))[:1000]
    expected: dict[str, dict[str, Any]] = {}
    for number, rows in enumerate((first, second), 1):
        written(connector, heap, "user_properties", rows, **settings)
        pulled(heap, user, number)
        for row in rows:
            brought = {name: row[name] for name in columns.split(",") if row.get(name) is not None}
            expected[row["person"]] = expected.get(row["person"], {}) | brought

        got = {row["identity"]: row for row in rows_of(user, "users")}
        assert got.keys() == expected.keys()
        for person, properties in expected.items():
            assert got[person]["user_id"] == user_id(person)
            for name in columns.split(","):
                value = property_of(properties.get(name))
                assert equal(value, got[person][name]), (name, value, got[person][name])
