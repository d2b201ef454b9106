"""The class of an error decides its consequence."""

from __future__ import annotations

import pytest
from airbyte_cdk.models import FailureType

from destination_heap_analytics.errors import (
    ConfigError,
    DefectError,
    Reason,
    RowRejectedError,
    SyncStoppedError,
    TransientError,
)


@pytest.mark.parametrize(
    ("error", "policy"),
    [
        (ConfigError, FailureType.config_error),
        (TransientError, FailureType.transient_error),
        (DefectError, FailureType.system_error),
    ],
)
def test_an_error_that_stops_the_run_has_a_failure_type_of_airbyte(
    error: type[SyncStoppedError], policy: FailureType
) -> None:
    """The user sees its message unchanged."""
    stopped = error("Do this.")
    assert (stopped.failure_type, stopped.message, str(stopped)) == (policy, "Do this.", "Do this.")


def test_every_error_that_stops_the_run_has_a_failure_type() -> None:
    """Without one, it could not be reported to the platform."""
    assert all(isinstance(kind.failure_type, FailureType) for kind in SyncStoppedError.__subclasses__())


@pytest.mark.parametrize("reason", Reason)
def test_a_rejection_reads_as_a_sentence(reason: Reason) -> None:
    """With the column at fault, or for the whole row."""
    assert str(RowRejectedError(reason, "email")) == f"column `email` {reason.value}"
    assert str(RowRejectedError(reason)) == f"the row {reason.value}"
