"""Checks that the extra `delta` is installed, which only publishing needs."""

from __future__ import annotations

from importlib.util import find_spec

from heap_courier.errors import SetupError


def require_extra() -> None:
    """Raises SetupError if the extra is not installed."""
    if find_spec("deltalake") is None:
        raise SetupError(
            "Publishing (`delta` in heap-courier.yaml) needs the Python package `deltalake`: install the courier with "
            "its extra, `pip install './courier[delta]'` in the checkout."
        )
