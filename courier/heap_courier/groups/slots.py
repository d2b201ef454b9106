"""The runs of each slot of a group, recorded in the warehouse so that the schedule runs no slot twice.

Each function is a single statement or only reads, so that of two daemons on one PostgreSQL only one can claim a slot.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from typing import Any, Final, Literal

from heap_courier.data_types.field_types import in_utc
from heap_courier.files.days import Days
from heap_courier.project.model import Group
from heap_courier.warehouse.base import Warehouse
from heap_courier.warehouse.system_tables import make_tables

Outcome = Literal["succeeded", "failed", "interrupted"]

AHEAD: Final = timedelta(minutes=10)  # how far the clocks of two daemons may differ
SCHEDULED: Final = 0  # the attempt that the schedule makes; those by hand count from 1
# An attempt is what gives a manual run its own row: it never takes a slot away from the schedule.
_SLOTS: Final = (
    '"group" text, slot timestamp, attempt bigint, started timestamp, seen timestamp, ended timestamp, outcome text, '
    'message text, PRIMARY KEY ("group", slot, attempt)'
)
# When a daemon first kept a schedule: slots before that are not run late.
_SCHEDULES: Final = '"group" text PRIMARY KEY, schedule text, time_zone text, since timestamp'
# Days that a courier loaded with files missing: they are retried, because a file may be late.
_MISSING_DAYS: Final = '"group" text, courier text, day text, PRIMARY KEY ("group", courier, day)'
# Slots that were reported as late, or as expected to be late.
_SLA_REPORTS: Final = '"group" text, slot timestamp, what text, reported timestamp, PRIMARY KEY ("group", slot, what)'
_EARLY: Final = "The clock was ahead: this run started before its scheduled time."
_COLUMNS: Final = '"group", slot, attempt, started, seen, ended, outcome, message'


@dataclass(frozen=True, slots=True)
class SlotRun:
    """One run of a group.

    Attributes:
        group: its name.
        slot: its scheduled time, in UTC.
        attempt: 0 if the schedule started it; manual runs count from 1.
        started, ended: when it actually ran.
        seen: the time of its last heartbeat.
        outcome: None while it is running.
        message: notes about it, one sentence per line.
    """

    group: str
    slot: datetime
    attempt: int
    started: datetime
    seen: datetime
    ended: datetime | None
    outcome: Outcome | None
    message: str


@dataclass(frozen=True, slots=True)
class Since:
    """The earlier run that determines how far back a group looks for files.

    Attributes:
        slot: of the last successful run, or of the first run if none succeeded.
        succeeded: whether it is the last successful run.
    """

    slot: datetime
    succeeded: bool


@dataclass(frozen=True, slots=True)
class Claim:
    """The exclusive right of one process to run a slot.

    Attributes:
        group, slot, attempt: as in `SlotRun`.
        since: the earlier run that determines how far back to look for files.
        missing: by courier, the days that earlier runs loaded with files missing.
    """

    group: str
    slot: datetime
    attempt: int
    since: Since | None
    missing: Mapping[str, Collection[date]] = field(default_factory=dict)


def prepare(warehouse: Warehouse) -> None:
    """Creates the tables that do not exist yet. Call it outside a transaction."""
    tables = {"slots": _SLOTS, "schedules": _SCHEDULES, "missing_days": _MISSING_DAYS, "sla_reports": _SLA_REPORTS}
    make_tables(warehouse, tables)


def kept_since(warehouse: Warehouse, group: Group, now: datetime) -> datetime:
    """The time after which slots of a group are due: `now` if its schedule is new or has changed.

    A recorded time in the future, from a clock that was ahead, is ignored.
    """
    rows = warehouse.query(
        "INSERT INTO heap_courier.schedules VALUES ($1, $2, $3, $4) "
        'ON CONFLICT ("group") DO UPDATE '
        "SET schedule = excluded.schedule, time_zone = excluded.time_zone, since = CASE "
        "WHEN schedules.schedule = excluded.schedule AND schedules.time_zone = excluded.time_zone "
        "AND schedules.since <= excluded.since "
        "THEN schedules.since ELSE excluded.since END RETURNING since",
        (group.name, group.schedule, group.time_zone.key, in_utc(now)),
    )
    last = warehouse.query(
        f'SELECT max(slot) FROM heap_courier.slots WHERE "group" = $1 AND attempt = {SCHEDULED} AND slot <= $2',
        (group.name, in_utc(now + AHEAD)),
    )
    return max(_instant(rows[0][0]), _instant(last[0][0] or rows[0][0]))


def schedule_since(warehouse: Warehouse, group: str) -> datetime | None:
    """When a daemon first kept the schedule of a group, or None if none does."""
    rows = warehouse.query('SELECT since FROM heap_courier.schedules WHERE "group" = $1', (group,))
    return _instant(rows[0][0]) if rows else None


def note_report(warehouse: Warehouse, group: str, slot: datetime, what: str, now: datetime) -> bool:
    """Records that something is reported about a slot; returns whether this is the first time."""
    rows = warehouse.query(
        "INSERT INTO heap_courier.sla_reports VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING RETURNING slot",
        (group, in_utc(slot), what, in_utc(now)),
    )
    return bool(rows)


def forget_others(warehouse: Warehouse, kept: Collection[str]) -> None:
    """Forgets groups that are no longer scheduled, so that they run no past slot when they are enabled again."""
    for (name,) in warehouse.query('SELECT "group" FROM heap_courier.schedules'):
        if name not in kept:
            warehouse.execute('DELETE FROM heap_courier.schedules WHERE "group" = $1', (name,))


def claim(warehouse: Warehouse, group: str, slot: datetime, now: datetime, *, by_hand: bool) -> Claim | None:
    """Claims a slot; None if the schedule has run it already, which it does only once."""
    next_by_hand = 'SELECT coalesce(max(attempt), 0) + 1 FROM heap_courier.slots WHERE "group" = $1 AND slot = $2'
    rows = warehouse.query(
        'INSERT INTO heap_courier.slots ("group", slot, attempt, started, seen, message) '
        f"VALUES ($1, $2, ({next_by_hand if by_hand else SCHEDULED}), $3, $3, '') "
        "ON CONFLICT DO NOTHING RETURNING attempt",
        (group, in_utc(slot), in_utc(now)),
    )
    if not rows:
        return None
    return Claim(group, slot, rows[0][0], _since(warehouse, group, slot), _missing_days(warehouse, group))


def beat(warehouse: Warehouse, run: Claim, now: datetime) -> None:
    """Records a heartbeat of a run."""
    warehouse.execute(
        'UPDATE heap_courier.slots SET seen = $4 WHERE "group" = $1 AND slot = $2 AND attempt = $3',
        (run.group, in_utc(run.slot), run.attempt, in_utc(now)),
    )


def finish(warehouse: Warehouse, run: Claim, now: datetime, outcome: Outcome, message: str) -> None:
    """Records the result of a run, even if it was considered aborted in the meantime."""
    warehouse.execute(
        "UPDATE heap_courier.slots SET seen = $4, ended = $4, outcome = $5, message = $6 "
        'WHERE "group" = $1 AND slot = $2 AND attempt = $3',
        (run.group, in_utc(run.slot), run.attempt, in_utc(now), outcome, message),
    )


def release_early(warehouse: Warehouse, group: str, now: datetime) -> list[datetime]:
    """Frees future slots that were run while a clock was ahead; returns these slots.

    The runs stay in the history as interrupted manual ones, so that they do not count as runs of their slots.
    """
    rows = warehouse.query(
        "UPDATE heap_courier.slots AS s SET outcome = 'interrupted', ended = coalesce(ended, seen), message = $3, "
        f"attempt = CASE WHEN attempt <> {SCHEDULED} THEN attempt ELSE (SELECT max(other.attempt) + 1 "
        'FROM heap_courier.slots AS other WHERE other."group" = s."group" AND other.slot = s.slot) END '
        f"WHERE \"group\" = $1 AND slot > $2 AND (attempt = {SCHEDULED} OR outcome = 'succeeded') RETURNING slot",
        (group, in_utc(now + AHEAD), _EARLY),
    )
    return sorted(_instant(slot) for (slot,) in rows)


def note_missing_days(warehouse: Warehouse, group: str, courier: str, days: Days, missing: Collection[date]) -> None:
    """Records which of the days that a courier loaded had missing files, replacing earlier records of these days."""
    with warehouse.transaction():
        warehouse.execute(
            'DELETE FROM heap_courier.missing_days WHERE "group" = $1 AND courier = $2 AND day >= $3 AND day < $4',
            (group, courier, days.start.isoformat(), days.end.isoformat()),
        )
        for day in sorted(missing):
            warehouse.execute(
                "INSERT INTO heap_courier.missing_days VALUES ($1, $2, $3)", (group, courier, day.isoformat())
            )


def mark_aborted(
    warehouse: Warehouse, group: str, silent_since: datetime, message: str, *, no_later_than: datetime
) -> list[datetime]:
    """Marks runs whose last heartbeat is too old as interrupted; returns their slots.

    A heartbeat later than `no_later_than` came from a clock that was ahead, and does not count.
    """
    rows = warehouse.query(
        "UPDATE heap_courier.slots SET ended = seen, outcome = 'interrupted', message = $3 "
        'WHERE "group" = $1 AND outcome IS NULL AND (seen < $2 OR seen > $4) RETURNING slot',
        (group, in_utc(silent_since), message, in_utc(no_later_than)),
    )
    return sorted(_instant(slot) for (slot,) in rows)


def running(warehouse: Warehouse, group: str) -> SlotRun | None:
    """The run of a group that is in progress, if any."""
    rows = warehouse.query(
        f'SELECT {_COLUMNS} FROM heap_courier.slots WHERE "group" = $1 AND outcome IS NULL', (group,)
    )
    return _run(rows[0]) if rows else None


def has_succeeded(warehouse: Warehouse, group: str, start: datetime, end: datetime) -> bool:
    """Whether a run for any slot from `start` to `end`, both included, succeeded."""
    rows = warehouse.query(
        'SELECT count(*) FROM heap_courier.slots WHERE "group" = $1 AND slot BETWEEN $2 AND $3 '
        "AND outcome = 'succeeded'",
        (group, in_utc(start), in_utc(end)),
    )
    return bool(rows[0][0])


def last_successes(warehouse: Warehouse) -> dict[str, datetime]:
    """The latest slot of each group with a successful run."""
    rows = warehouse.query(
        'SELECT "group", max(slot) FROM heap_courier.slots WHERE outcome = \'succeeded\' GROUP BY "group"'
    )
    return {group: _instant(slot) for group, slot in rows}


def history(warehouse: Warehouse, group: str, limit: int) -> list[SlotRun]:
    """The newest runs of a group, newest first."""
    rows = warehouse.query(
        f'SELECT {_COLUMNS} FROM heap_courier.slots WHERE "group" = $1 ORDER BY started DESC, slot DESC LIMIT {limit}',
        (group,),
    )
    return [_run(row) for row in rows]


def runs_since(warehouse: Warehouse, group: str, slot: datetime) -> list[SlotRun]:
    """The runs of a group for this slot and later ones."""
    rows = warehouse.query(
        f'SELECT {_COLUMNS} FROM heap_courier.slots WHERE "group" = $1 AND slot >= $2', (group, in_utc(slot))
    )
    return [_run(row) for row in rows]


KEPT: Final = 30  # runs of a group that are kept regardless of age: expected durations are computed from them


def expire(warehouse: Warehouse, before: datetime, now: datetime, *, dry_run: bool = False) -> int:
    """Removes runs for slots earlier than `before`; returns how many. Call it inside a transaction.

    Keeps what the next run of a group depends on: its last success and everything after it, or everything if it has
    never succeeded; the newest scheduled slot; runs in progress; and the newest `KEPT` runs.
    """
    parameters = (in_utc(before),)
    count: int = warehouse.query(f"SELECT count(*) FROM ({_EXPIRED}) AS expired", parameters)[0][0]
    if not dry_run:
        earlier = in_utc(min(before, now - _REPORTED))
        warehouse.execute("DELETE FROM heap_courier.sla_reports WHERE slot < $1", (earlier,))
        warehouse.execute(f'DELETE FROM heap_courier.slots WHERE ("group", slot, attempt) IN ({_EXPIRED})', parameters)
    return count


_REPORTED: Final = timedelta(days=7)  # the minimum time for which to remember what was reported
_EXPIRED: Final = (
    'SELECT "group", slot, attempt FROM (SELECT "group", slot, attempt, outcome, '
    'row_number() OVER (PARTITION BY "group" ORDER BY started DESC, slot DESC, attempt DESC) AS place, '
    "max(CASE WHEN outcome = 'succeeded' THEN slot END) OVER (PARTITION BY \"group\") AS last_success, "
    f'max(CASE WHEN attempt = {SCHEDULED} THEN slot END) OVER (PARTITION BY "group") AS last_scheduled '
    "FROM heap_courier.slots) AS numbered WHERE slot < $1 AND outcome IS NOT NULL "
    f"AND place > {KEPT} AND slot < last_success AND (last_scheduled IS NULL OR slot < last_scheduled)"
)


def _since(warehouse: Warehouse, group: str, before: datetime) -> Since | None:
    query = 'SELECT max(slot), min(slot) FROM heap_courier.slots WHERE "group" = $1 AND slot < $2'
    parameters = (group, in_utc(before))
    last = warehouse.query(f"{query} AND outcome = 'succeeded'", parameters)[0][0]
    first = warehouse.query(query, parameters)[0][1]
    if last is not None:
        return Since(_instant(last), succeeded=True)
    return Since(_instant(first), succeeded=False) if first is not None else None


def _missing_days(warehouse: Warehouse, group: str) -> dict[str, list[date]]:
    days: dict[str, list[date]] = {}
    rows = warehouse.query('SELECT courier, day FROM heap_courier.missing_days WHERE "group" = $1', (group,))
    for courier, day in sorted(rows):
        days.setdefault(courier, []).append(date.fromisoformat(day))
    return days


def _run(row: tuple[Any, ...]) -> SlotRun:
    group, slot, attempt, started, seen, ended, outcome, message = row
    return SlotRun(
        group, _instant(slot), attempt, _instant(started), _instant(seen), ended and _instant(ended), outcome, message
    )


def _instant(column: datetime) -> datetime:
    return column.replace(tzinfo=timezone.utc)
