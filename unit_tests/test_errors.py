"""An error's class is its policy."""

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
def test_an_error_that_ends_the_run_is_one_of_airbytes_three(
    error: type[SyncStoppedError], policy: FailureType
) -> None:
    """Its sentence reaches the user as it is."""
    stopped = error("Do this.")
    assert (stopped.failure_type, stopped.message, str(stopped)) == (policy, "Do this.", "Do this.")


def test_every_kind_of_stop_has_a_policy() -> None:
    """A class without one could not be reported to the platform."""
    assert all(isinstance(kind.failure_type, FailureType) for kind in SyncStoppedError.__subclasses__())


@pytest.mark.parametrize("reason", Reason)
def test_a_rejection_reads_as_a_sentence(reason: Reason) -> None:
    """With the column at fault, or for the whole row."""
    assert str(RowRejectedError(reason, "email")) == f"column `email` {reason.value}"
    assert str(RowRejectedError(reason)) == f"the row {reason.value}"
