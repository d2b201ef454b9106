"""What can go wrong: the class of an error decides its consequence.

ConnectorError
├── RowRejectedError     the row is counted and reported; the run continues
├── InterruptedSyncError a signal stops the run; there is nothing to fix
├── OutputError          the run stops without a TRACE, because standard output cannot be written
└── SyncStoppedError     the run stops, with one TRACE error that says what to do
    ├── ConfigError      the user can fix it                           config_error
    ├── TransientError   Heap, the network or the machine failed       transient_error
    └── DefectError      a bug in the connector or the platform        system_error

No message ever contains the content of a row: rows are personal data, and messages are logged and passed on.
"""

from __future__ import annotations

import errno
from enum import Enum
from typing import ClassVar

from airbyte_protocol_dataclasses.models import FailureType

from destination_heap_analytics.wording import printable


class Reason(Enum):
    """Why a row is rejected, as the end of a sentence that begins with the column's or the row's name."""

    ABSENT = "is absent"
    NULL = "is null"
    EMPTY = "is empty or blank"
    NOT_TEXT_OR_NUMBER = "is neither text nor a number"
    TOO_LONG = "is longer than Heap accepts"
    NOT_A_TIME = (
        "is not a timestamp: use ISO 8601, a date as YYYYMMDD, or an epoch between 1990 and 2100 in seconds, "
        "milliseconds, microseconds or nanoseconds"
    )
    NOT_A_USER_ID = "is not a Heap user ID: an integer from 0 to 9007199254740991 without leading zeros"
    SECOND_IDENTITY = (
        "is a user ID that an earlier row of this sync assigns to another identity: Heap keeps the first one, and "
        "would silently ignore this row"
    )
    TOO_MANY_USER_IDS = (
        "is an identity to which this sync has already assigned 10 user IDs: Heap accepts 10 per month, and would "
        "silently ignore this row"
    )
    NOT_A_NUMBER = "cannot be cast to a number"
    NOT_A_TEXT = (
        "cannot be cast to text, because it is an object or a nested list: select a column inside it, or cast it to "
        "json"
    )
    NOT_A_BOOLEAN = "cannot be cast to a boolean: use true or false"
    NOT_FINITE = "contains NaN or infinity, which JSON cannot represent"
    EXPONENT = "is a number whose exponent is out of range"
    NOT_UNICODE = "contains text that is not valid Unicode"
    NOT_JSON = "contains a value of a type that JSON does not support"
    TOO_DEEP = "is nested too deeply to be read"
    UNREADABLE = "is not valid JSON"
    NO_DATA = "is a RECORD message without a stream name or without a data object"
    NAMESPACE = "is a RECORD message whose namespace is not text"
    REFUSED = "was refused by Heap: a value breaks one of Heap's rules"
    TOO_LARGE = "is too large for one request to Heap"
    NO_ENTRY = "was refused by Heap, or by a firewall in front of it, while other rows were accepted"


class ConnectorError(Exception):
    """The base class of all errors that the connector raises on purpose."""


class RowRejectedError(ConnectorError):
    """This row cannot become a Heap payload, or Heap refused it.

    Attributes:
        reason: why the row is rejected.
        column: the column at fault, as the user or the source wrote it; None if it is the whole row.
        status: the HTTP status with which Heap refused the row; None if it was not sent.
        words: the beginning of Heap's response. It may echo the row, so it is stored with the row and never logged.
    """

    def __init__(
        self, reason: Reason, column: str | None = None, *, status: int | None = None, words: str = ""
    ) -> None:
        status_note = f" (status {status})" if status else ""
        super().__init__(printable(f"{f'column `{column}`' if column else 'the row'} {reason.value}{status_note}"))
        self.reason = reason
        self.column = column
        self.status = status
        self.words = words


class InterruptedSyncError(ConnectorError):
    """The platform or the user stopped the run with a signal.

    Attributes:
        signal: the number of the signal.
    """

    def __init__(self, signal: int) -> None:
        super().__init__(f"interrupted by signal {signal}")
        self.signal = signal


class OutputError(ConnectorError):
    """Standard output cannot be written; the message goes to standard error."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"Standard output cannot be written ({reason}), so the command stopped. Redirect it to a file or a pipe."
        )


class SyncStoppedError(ConnectorError):
    """The run stops; `message` says what is wrong and what to do."""

    failure_type: ClassVar[FailureType]

    def __init__(self, message: str) -> None:
        message = printable(message)
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return self.message


class ConfigError(SyncStoppedError):
    """A setting, the catalog, the input or the setup in Heap is wrong, and the user can fix it."""

    failure_type = FailureType.config_error


class TransientError(SyncStoppedError):
    """Heap, the network or this machine failed; the same sync may succeed later."""

    failure_type = FailureType.transient_error


def unreadable_input(failure: OSError) -> SyncStoppedError:
    """The error to report if reading standard input fails."""
    if failure.errno in {errno.EBADF, errno.EISDIR}:
        return ConfigError(
            f"Standard input cannot be read: {failure.strerror}. Pipe Airbyte messages into the command."
        )
    return TransientError(f"Standard input cannot be read: {failure.strerror}. Run the command again.")


class DefectError(SyncStoppedError):
    """A bug in the connector, or a violation of the protocol by the platform."""

    failure_type = FailureType.system_error
