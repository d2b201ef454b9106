"""An Airbyte destination that loads any stream into Heap through its server-side API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from destination_heap_analytics.destination import DestinationHeapAnalytics

__all__ = ["DestinationHeapAnalytics"]


def __getattr__(name: str) -> Any:
    """Import the class on first use: it imports the whole CDK, which the command line does not need."""
    if name != "DestinationHeapAnalytics":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from destination_heap_analytics.destination import DestinationHeapAnalytics  # noqa: PLC0415

    return DestinationHeapAnalytics
