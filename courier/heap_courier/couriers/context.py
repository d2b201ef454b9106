"""What commands and runs depend on: the project, its warehouse, the clock, a progress bar."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from heap_courier.documents.wording import named
from heap_courier.notices.notice import Report, ignored
from heap_courier.progress import Bar, progress_bar
from heap_courier.project.model import Courier, Group, Project
from heap_courier.project.reader import FILE_NAME, read_project
from heap_courier.warehouse.base import Warehouse
from heap_courier.warehouse.open import open_warehouse


@dataclass(frozen=True, slots=True)
class Context:
    """What commands and runs depend on.

    Attributes:
        project: the project.
        environment: the environment variables, with credentials and the warehouse's address.
        now: returns the current time, in UTC.
        bar: the progress bar.
        report: receives notices about runs.
    """

    project: Project
    environment: Mapping[str, str]
    now: Callable[[], datetime]
    bar: Bar
    report: Report = ignored

    def warehouse(self, *, read_only: bool = False, patience: float | None = None) -> AbstractContextManager[Warehouse]:
        """Opens the project's warehouse for a block; keep it short, because it locks a DuckDB file."""
        return open_warehouse(self.project.warehouse, self.environment, read_only=read_only, patience=patience)

    def work(self, courier: Courier) -> Path:
        """The folder for a courier's fetched files and locks."""
        return self.project.folder / ".heap-courier" / courier.name

    def courier(self, name: str) -> Courier:
        """A courier by its name. Raises SetupError if there is none."""
        courier: Courier = named(self.project.couriers, name, f"`{FILE_NAME}`", "courier")
        return courier

    def group(self, name: str) -> Group:
        """A group by its name. Raises SetupError if there is none."""
        group: Group = named(self.project.groups, name, f"`{FILE_NAME}`", "group")
        return group


@contextmanager
def opened(folder: Path) -> Iterator[Context]:
    """Opens the project of a folder for a command, with a progress bar if standard error is a terminal.

    Raises:
        SetupError: there is no project, or it is not valid.
    """
    with progress_bar() as bar:
        yield Context(read_project(folder), os.environ, lambda: datetime.now(timezone.utc), bar)
