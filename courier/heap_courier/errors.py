"""The error tree of the courier. An error's class is what happens next.

CourierError                   one sentence: what is wrong, where, and how to fix it
├── SetupError                 stop: the user must act (project, feed, credential, bucket, warehouse)
│   └── MissingFeedsError      files are fetched and kept, then the run fails in the documented words
├── LaterError                 temporary: the bucket or the warehouse does not respond now
│   ├── BusyCourierError       another run of the courier is in progress
│   └── BusyWarehouseError     another process has the DuckDB file open
├── MissingFilesError          required files are not in the bucket (yet): wait for them, skip them, or fail
├── InterruptedRunError        the run was stopped
└── FeedError                  this feed or table is not loaded at all; others continue
    ├── UnreadableFileError    a file is not valid in its format, or is truncated
    ├── ChangedFeedError       the feed was changed while the run was fetching its files
    ├── SchemaError            a file's columns contradict the feed or the table
    └── TooManyRejectsError    more rows are rejected than the feed's error threshold allows

A rejected row is not an error but a value, `RejectedRow`: it is counted, explained and skipped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from heap_courier.printable import printable


class CourierError(Exception):
    """An error that is reported to the user in a sentence.

    It may contain names from outside (a column, a key, a table); control characters in them are escaped.

    Attributes:
        is_logged: whether the run log already has a run that failed with it.
    """

    is_logged = False

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(map(printable, lines)))


class SetupError(CourierError):
    """The user must act: the project, a feed, a credential, the bucket or the warehouse is not set up correctly."""


class MissingFeedsError(SetupError):
    """Load operations refer to feeds that do not exist.

    The two lines are as documented: https://docs.amperity.com/operator/source_heap.html. `hints` may follow them.
    """

    def __init__(self, feed_ids: Sequence[str], *hints: str) -> None:
        names = ", ".join(f'"{feed_id}"' for feed_id in feed_ids)
        super().__init__("Error running load-operations task", f"Cannot find required feeds: {names}", *hints)
        self.feed_ids = tuple(feed_ids)


class LaterError(CourierError):
    """The bucket or the warehouse does not respond now; try again later."""


class BusyCourierError(LaterError):
    """Another run of the courier is in progress."""


class BusyWarehouseError(LaterError):
    """Another process has the DuckDB file open, and only one process at a time can write to it."""


class MissingFilesError(CourierError):
    """Files that the courier needs are not in the bucket."""


class InterruptedRunError(CourierError):
    """The run was stopped (Ctrl-C, SIGTERM); what was loaded is kept."""


class FeedError(CourierError):
    """This feed, or this table of a dump, is not loaded at all; the others continue."""


class UnreadableFileError(FeedError):
    """A file is not valid in its format, or is truncated."""


class ChangedFeedError(FeedError):
    """A feed was changed while a run was fetching its files, and was not activated again."""


class SchemaError(FeedError):
    """The columns of a file contradict those of the feed or the table."""


class TooManyRejectsError(FeedError):
    """More rows were rejected than the error threshold allows, so nothing is loaded.

    Attributes:
        rows: the number of rows read.
        rejected: the number of rows rejected.
        named: the first rejected rows, each with its file.
    """

    def __init__(self, message: str, *, rows: int, rejected: int, named: Sequence[tuple[str, RejectedRow]]) -> None:
        super().__init__(message)
        self.rows = rows
        self.rejected = rejected
        self.named = tuple(named)


@contextmanager
def failure_of_file(name: str) -> Iterator[None]:
    """Turns any unexpected exception of the block, which reads a file, into an error about that file.

    Raises:
        UnreadableFileError: the block raised anything other than a `CourierError`; the message has no row content.
    """
    try:
        yield
    except CourierError:
        raise
    except Exception as error:  # noqa: BLE001  (whatever one file raises must not stop the others)
        raise unexpected_failure(name, error) from None


def unexpected_failure(name: str, error: Exception) -> UnreadableFileError:
    """The error for a file whose reader raised an unexpected exception, without its message, which may quote a row."""
    if isinstance(error, MemoryError):
        return UnreadableFileError(
            f"`{name}` needs more memory than is available: split the file, or use a machine with more memory."
        )
    return UnreadableFileError(
        f"`{name}` cannot be read: it raised an unexpected {type(error).__name__}. Check the file; if it is valid, "
        "please report this."
    )


def place_of(error: BaseException) -> str:
    """The class of an error and where it was raised, without its message, which may quote a row."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    where = f" in {trace.tb_frame.f_code.co_filename}, line {trace.tb_lineno}" if trace else ""
    return f"{type(error).__name__}{where}"


def internal_error(error: BaseException) -> str:
    """The sentence about a bug for logs and pages, without the message of `error`, which may quote a row."""
    return f"Internal error: {place_of(error)}. Please report it."


@contextmanager
def failure_of_feed() -> Iterator[None]:
    """Turns any exception of the block, which loads a feed, other than a `CourierError` into a FeedError."""
    try:
        yield
    except CourierError:
        raise
    except Exception as error:  # noqa: BLE001  (whatever one feed raises must not stop the others)
        raise defect(error) from None


def defect(error: Exception) -> SchemaError:
    """The error for a feed or table whose load hit a bug, without the message of `error`, which may quote a row."""
    return SchemaError(f"heap-courier failed unexpectedly ({type(error).__name__}). This is a bug: please report it.")


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row that cannot be loaded. Contains none of its values.

    Attributes:
        row: its number in the file, from 1, not counting the header.
        column: the offending column, or None if it is the whole row.
        reason: what is wrong, as the end of a sentence: "is not a date", "is empty, and a primary key must not be".
    """

    row: int
    column: str | None
    reason: str
