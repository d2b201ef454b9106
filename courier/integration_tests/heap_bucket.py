"""Buckets as Heap Connect writes them: dumps of Snappy-coded Avro files with nullable unions, and their manifests.

A `Dump` says what Heap exports at one time and `objects` are the keys and contents that it leaves in the bucket, the
manifest last. `story` is a small world in which all happens that can happen; `big` is as large as one likes, and
streamed. Chance is passed in: the same seed makes the same bucket, byte for byte.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from io import BytesIO
from random import Random
from typing import Any, Final

import cramjam
import fastavro

BUCKET: Final = "heap-rs3-acme"
BLOCK_ROWS: Final = 500  # of a big file; some 100 KB, the size of Spark's
FIRST_DAY: Final = datetime(2026, 3, 1, tzinfo=timezone.utc)

Row = dict[str, Any]
Object = tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class TableDump:
    """A table of a dump. `types` are Avro's, by column; `files` is how many part files hold the rows, in turns."""

    name: str
    types: Mapping[str, Any]
    rows: tuple[Row, ...] = ()
    full: bool = False
    files: int = 1
    columns: tuple[str, ...] | None = None  # as the manifest lists them, if it differs from those of the files


@dataclass(frozen=True, slots=True)
class Dump:
    dump_id: int
    tables: tuple[TableDump, ...]


def nullable(**types: Any) -> dict[str, Any]:
    """Columns as Heap writes nearly all of them: a union with null."""
    return {name: ["null", kind] for name, kind in types.items()}


def avro(types: Mapping[str, Any], rows: Iterable[Row], codec: str = "snappy") -> bytes:
    """An Avro file."""
    file = BytesIO()
    fastavro.writer(file, _schema(types), list(rows), codec=codec, sync_marker=b"heap-sync-marker")
    return file.getvalue()


def objects(
    dump: Dump, chance: Random, *, bucket: str = BUCKET, prefix: str = "", codec: str = "snappy"
) -> Iterator[Object]:
    """What a dump leaves in the bucket, key and content, the manifest last: it says that the dump is complete."""
    listed = []
    for table in dump.tables:
        keys = [part_key(dump.dump_id, table.name, number, chance) for number in range(table.files)]
        for number, key in enumerate(keys):
            yield prefix + key, avro(table.types, table.rows[number :: table.files], codec)
        listed.append(
            _listed(table.name, table.columns or tuple(table.types), keys, bucket + "/" + prefix, full=table.full)
        )
    yield prefix + manifest_key(dump.dump_id), manifest(dump.dump_id, listed, f"{bucket}/{prefix}")


def manifest_key(dump_id: int) -> str:
    return f"manifests/sync_{dump_id}.json"


def part_key(dump_id: int, table: str, number: int, chance: Random) -> str:
    """Users and their migrations are written by another program than the rest, which shows in the names."""
    if table in {"users", "user_migrations"}:
        return f"sync_{dump_id}/{table}/{number}_{chance.getrandbits(32):08x}.avro"
    guid = f"{chance.getrandbits(128):032x}"
    guid = "-".join((guid[:8], guid[8:12], guid[12:16], guid[16:20], guid[20:]))
    return f"sync_{dump_id}/{table}/part-{number:05}-{guid}-c000.avro"


def manifest(dump_id: int, tables: list[Row], place: str) -> bytes:
    document = {
        "dump_id": dump_id,
        "tables": [*tables, {"name": "_event_metadata", "incremental": False, "columns": ["name"], "files": []}],
        "property_definitions": f"s3://{place}sync_{dump_id}/property_definitions.json",
    }
    return json.dumps(document, indent=1).encode()


def put(client: Any, bucket: str, content: Iterable[Object]) -> None:
    """Writes objects to S3, one after another, by a client of boto3's."""
    for key, body in content:
        client.put_object(Bucket=bucket, Key=key, Body=body)


USERS: Final = nullable(
    user_id="long", identity="string", handle="string", email="string", joindate="long", last_modified="long"
)
MIGRATIONS: Final = nullable(from_user_id="long", to_user_id="long", time="long")
SESSIONS: Final = nullable(
    event_id="long",
    user_id="long",
    session_id="long",
    time="string",
    platform="string",
    country="string",
    city="string",
)
PAGEVIEWS: Final = {**SESSIONS, **nullable(path="string", title="string", user_agent="string")}
SIGN_UP: Final = {**PAGEVIEWS, **nullable(target_text="string", plan="string")}
_SEEN: Final = ("web", "ios", "android"), ("Germany", "France", "Japan", "Chile"), ("Köln", "Lyon", "東京", "Valdivia")


def story(chance: Random, people: int = 20) -> tuple[Dump, ...]:
    """Four nights of a small site, in dumps 9 to 12.

    On the second night users gain a column and sign-ups are resynced, with a column more; on the third users lose their
    handle, and some who had migrated migrate once more; on the fourth the handle is back, and the trials turn out
    to be none: resynced to an empty table. One migration has the time 0.
    """
    world = _World(chance)
    ids = [world.number() for _ in range(people)]
    anonymous = [{"user_id": user, "joindate": world.milliseconds(0)} for user in ids]
    known = {user: world.number() for user in ids[: people // 2]}
    known[ids[people // 2 - 1]] = known[ids[0]]  # one person, two devices
    names = list(dict.fromkeys(known.values()))
    moved = [{"from_user_id": old, "to_user_id": new, "time": world.milliseconds(1)} for old, new in known.items()]
    moved[0]["time"] = 0
    named = [world.person(number, user, 1) for number, user in enumerate(names)]
    merged = {user: world.number() for user in names[::2]}
    again = [{"from_user_id": old, "to_user_id": new, "time": world.milliseconds(2)} for old, new in merged.items()]
    plans = {**USERS, **nullable(plan="string")}
    without = {name: kind for name, kind in plans.items() if name != "handle"}
    signed = [{**world.visit(user, 0), "plan": "free"} for user in ids[::3]]
    trials = tuple(world.visit(user, 0) for user in ids[::4])

    def night(dump_id: int, day: int, visitors: list[int], *tables: TableDump) -> Dump:
        visits = [world.visit(user, day) for user in visitors]
        views = tuple({**visit, "path": f"/{chance.choice('abc')}"} for visit in visits for _ in range(2))
        views = tuple({**view, "event_id": world.number()} for view in views)
        return Dump(
            dump_id,
            (
                *tables,
                TableDump("sessions", SESSIONS, tuple(visits)),
                TableDump("pageviews", PAGEVIEWS, views, files=3),
            ),
        )

    return (
        night(
            9,
            0,
            ids,
            TableDump("users", USERS, tuple(anonymous), files=2),
            TableDump("user_migrations", MIGRATIONS, full=True, files=0),
            TableDump("sign_up", PAGEVIEWS, tuple(signed), files=2),
            TableDump("trial_started", PAGEVIEWS, trials),
        ),
        night(
            10,
            1,
            [*names, *ids[people // 2 :]],
            TableDump("users", plans, tuple({**person, "plan": "free"} for person in named)),
            TableDump("user_migrations", MIGRATIONS, tuple(moved), full=True),
            TableDump("sign_up", {**SIGN_UP, **nullable(coupon="string")}, tuple(signed), full=True, files=2),
        ),
        night(
            11,
            2,
            list(merged.values()),
            TableDump(
                "users",
                without,
                tuple({**world.person(number, user, 2), "plan": "pro"} for number, user in enumerate(merged.values())),
            ),
            TableDump("user_migrations", MIGRATIONS, (*moved, *again), full=True),
        ),
        night(
            12,
            3,
            list(merged.values()),
            TableDump(
                "users",
                plans,
                tuple({**world.person(number, user, 3), "plan": "team"} for number, user in enumerate(merged.values())),
            ),
            TableDump("user_migrations", MIGRATIONS, (*again, *moved), full=True),
            TableDump("trial_started", PAGEVIEWS, full=True, files=0),
        ),
    )


class _World:
    """What people of the story do."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance

    def number(self) -> int:
        return self._chance.getrandbits(52)

    def milliseconds(self, day: int) -> int:
        return round((FIRST_DAY + timedelta(days=day, seconds=self._chance.randrange(86_400))).timestamp() * 1000)

    def person(self, number: int, user: int, day: int) -> Row:
        return {
            "user_id": user,
            "identity": f"person-{number}",
            "handle": f"@person{number}",
            "email": f"person{number}@example.com",
            "joindate": self.milliseconds(day),
            "last_modified": self.milliseconds(day) * 1000,  # (microseconds: both units have been seen)
        }

    def visit(self, user: int, day: int) -> Row:
        platform, country, city = (self._chance.choice(names) for names in _SEEN)
        time = FIRST_DAY + timedelta(days=day, milliseconds=self._chance.randrange(86_400_000))
        return {
            "event_id": self.number(),
            "user_id": user,
            "session_id": self.number(),
            "time": f"{time:%Y-%m-%d %H:%M:%S}.{time.microsecond // 1000:03}",
            "platform": platform,
            "country": country,
            "city": city,
        }


BIG: Final = {
    **nullable(event_id="long", user_id="long", session_id="long", time="string"),
    **nullable(**{f"property_{number}": "string" for number in range(21)}),
    **nullable(price="double", quantity="long", member="boolean", path="string", user_agent="string"),
}


def big(
    chance: Random, *, files: int, rows: int, dump_id: int = 1, table: str = "pageviews", bucket: str = BUCKET
) -> Iterator[Object]:
    """A dump of a table of thirty columns, so many rows in each of so many files; no two rows share an event id.

    All but the event id is drawn from a thousand rows that were coded once, so that it is made faster than it is read.
    """
    schema = fastavro.parse_schema(_schema(dict(list(BIG.items())[1:])))
    tails = []
    for _ in range(1000):
        tail = BytesIO()
        fastavro.schemaless_writer(tail, schema, _big_row(chance))
        tails.append(tail.getvalue())
    header = avro(BIG, ())
    sync = header[-16:]
    keys = [part_key(dump_id, table, number, chance) for number in range(files)]
    for number, key in enumerate(keys):
        file = [header]
        for start in range(number * rows, (number + 1) * rows, BLOCK_ROWS):
            ids = range(start, min(start + BLOCK_ROWS, (number + 1) * rows))
            # A nullable union's second branch, and the id; then the other columns.
            block = b"".join(b"\x02" + _long(event) + tails[event * 7919 % 1000] for event in ids)
            packed = bytes(cramjam.snappy.compress_raw(block)) + zlib.crc32(block).to_bytes(4, "big")
            file += (_long(len(ids)), _long(len(packed)), packed, sync)
        yield key, b"".join(file)
    listed = [_listed(table, tuple(BIG), keys, bucket + "/", full=False)]
    yield manifest_key(dump_id), manifest(dump_id, listed, f"{bucket}/")


def _big_row(chance: Random) -> Row:
    texts = {
        f"property_{number}": f"{chance.getrandbits(40):x}" if chance.random() < 0.6 else None for number in range(21)
    }
    time = FIRST_DAY + timedelta(milliseconds=chance.randrange(86_400_000))
    return {
        "user_id": chance.randrange(1, 50_000),
        "session_id": chance.getrandbits(50),
        "time": time.strftime("%Y-%m-%d %H:%M:%S"),
        **texts,
        "price": chance.randrange(10_000) / 100,
        "quantity": chance.randrange(9),
        "member": chance.random() < 0.5,
        "path": f"/products/{chance.randrange(999)}",
        "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    }


def _long(number: int) -> bytes:
    """A long as Avro codes it: zigzag, seven bits to a byte."""
    rest = number << 1 ^ number >> 63
    coded = bytearray()
    while rest > 0x7F:
        coded.append(rest & 0x7F | 0x80)
        rest >>= 7
    coded.append(rest)
    return bytes(coded)


def _schema(types: Mapping[str, Any]) -> Row:
    fields = [
        {"name": name, "type": kind, **({"default": None} if isinstance(kind, list) and kind[0] == "null" else {})}
        for name, kind in types.items()
    ]
    return {"type": "record", "name": "topLevelRecord", "fields": fields}


def _listed(table: str, columns: tuple[str, ...], keys: list[str], place: str, *, full: bool) -> Row:
    files = [f"s3://{place}{key}" for key in keys]
    return {"name": table, "incremental": not full, "columns": list(columns), "files": files}
