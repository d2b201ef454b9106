"""An Airbyte destination that loads any stream into Heap by its server-side API."""

from destination_heap_analytics.destination import DestinationHeapAnalytics

__all__ = ["DestinationHeapAnalytics"]
