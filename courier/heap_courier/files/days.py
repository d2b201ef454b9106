"""A range of calendar days."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta


@dataclass(frozen=True, slots=True)
class Days:
    """Days from `start` (inclusive) to `end` (exclusive): https://docs.amperity.com/reference/couriers.html."""

    start: date
    end: date

    def __iter__(self) -> Iterator[date]:
        for number in range((self.end - self.start).days):
            yield self.start + timedelta(days=number)

    def __contains__(self, day: date) -> bool:
        return self.start <= day < self.end

    @classmethod
    def of(cls, day: date) -> Days:
        """A range of one day."""
        return cls(day, day + timedelta(days=1))
