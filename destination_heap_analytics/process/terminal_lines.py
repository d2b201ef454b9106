"""Messages as text: what `check` and `write` print in a terminal instead of JSON."""

from __future__ import annotations

import json

from airbyte_protocol_dataclasses.models import AirbyteMessage, Level, Status

from destination_heap_analytics.protocol.messages import EchoedState

_PREFIXES = {Level.FATAL: "Error: ", Level.ERROR: "Error: ", Level.WARN: "Warning: "}


def as_text(message: AirbyteMessage) -> str | None:
    """A message as one or more lines of text; None if it is shown as JSON, like the specification."""
    if isinstance(message, EchoedState):
        return _state(message)
    if message.log:
        return f"{_PREFIXES.get(message.log.level, '')}{message.log.message}"
    if (status := message.connectionStatus) is not None:
        if status.status is Status.SUCCEEDED:
            return "The check succeeded: the settings are valid, and Heap accepts them."
        return f"The check failed: {status.message}"
    if message.trace and (error := message.trace.error):
        return f"Error: {error.message}" + (f"\n{error.stack_trace.rstrip()}" if error.stack_trace else "")
    return None


def _state(message: EchoedState) -> str:
    """The counts of a state; its content is only for the source."""
    stats = json.loads(message.line)["state"]["destinationStats"]
    delivered, rejected = (int(stats[name]) for name in ("recordCount", "rejectedRecordCount"))
    rows = f"{delivered:,} row{'' if delivered == 1 else 's'} delivered, {rejected:,} rejected since the last one"
    return f"Checkpoint: {rows}."
