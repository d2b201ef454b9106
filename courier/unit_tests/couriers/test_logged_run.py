"""A failed run raises its own error, not a later one from recording it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from heap_courier.couriers.logged_run import logged
from heap_courier.errors import LaterError, SetupError
from heap_courier.notices.notice import ignored


class Warehouse:
    """A warehouse that responds until it is gone."""

    gone = False

    def execute(self, *_arguments: object) -> int:
        return 0

    @contextmanager
    def transaction(self) -> Iterator[None]:
        yield

    def query(self, *_arguments: object) -> list[Any]:
        return []


@pytest.mark.parametrize("second", [LaterError("The warehouse is unavailable."), OSError(5), RuntimeError("x")])
def test_the_first_error_is_the_one_that_is_raised(second: Exception) -> None:
    warehouse = Warehouse()

    @contextmanager
    def opened() -> Iterator[Warehouse]:
        if warehouse.gone:
            raise second
        yield warehouse

    context: Any = SimpleNamespace(
        report=ignored, now=lambda: datetime(2026, 1, 1, tzinfo=timezone.utc), warehouse=opened
    )
    courier: Any = SimpleNamespace(name="daily")

    with pytest.raises(SetupError, match="the bucket refuses"), logged(context, courier, "all"):  # noqa: PT012  (the order counts)
        warehouse.gone = True
        raise SetupError("the bucket refuses")
