"""A daily group for tests, and times in its month."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Final
from zoneinfo import ZoneInfo

from heap_courier.project.model import Group, GroupCourier

DAILY: Final = Group(
    name="daily",
    schedule="0 17 * * *",
    time_zone=ZoneInfo("UTC"),
    enabled=True,
    couriers=(GroupCourier("heap", timedelta(), timedelta(), "stop"),),
    constraints=(),
    warn_after=None,
    dates_in_time_zone=False,
    past_day_only=False,
)


def at(day: int, hour: int = 17, minute: int = 0) -> datetime:
    """A time in November 2026, in UTC; by default that of the day's slot."""
    return datetime(2026, 11, day, hour, minute, tzinfo=timezone.utc)
