"""A machine that is out of resources is not a bug in the connector."""

from __future__ import annotations

import errno
import os

import pytest

from destination_heap_analytics.errors import ConfigError, DefectError, TransientError
from destination_heap_analytics.process.resources import as_stop


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE)), "too many open files. Raise its limit (`ulimit -n`)"),
        (OSError(errno.ENFILE, os.strerror(errno.ENFILE)), "this machine has too many open files"),
        (OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)), "is out of memory"),
        (BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)), "cannot start another thread or process"),
        (MemoryError(), "is out of memory"),
        (RuntimeError("can't start new thread"), "cannot start another thread or process"),
    ],
)
def test_a_lack_of_resources_is_transient(failure: Exception, said: str) -> None:
    """With the limit to raise."""
    stop = as_stop(failure)
    assert isinstance(stop, TransientError)
    assert str(stop).startswith("Out of resources: ")
    assert said in str(stop)


@pytest.mark.parametrize("stop", [ConfigError("x"), TransientError("x"), DefectError("x")])
def test_an_error_of_the_run_is_reported_unchanged(stop: Exception) -> None:
    """It already says what to do."""
    assert as_stop(stop) is stop


@pytest.mark.parametrize("failure", [KeyError("x"), RuntimeError("x"), OSError(errno.EIO, "x"), OSError("x")])
def test_anything_else_is_a_defect(failure: Exception) -> None:
    """It is reported with its stack trace."""
    assert as_stop(failure) is None
