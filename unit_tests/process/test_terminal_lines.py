"""Messages as shown to a user."""

from __future__ import annotations

import json

import pytest
from airbyte_protocol_dataclasses.models import (
    AirbyteConnectionStatus,
    AirbyteErrorTraceMessage,
    AirbyteLogMessage,
    AirbyteMessage,
    AirbyteTraceMessage,
    ConnectorSpecification,
    Level,
    Status,
    TraceType,
    Type,
)

from destination_heap_analytics.process.terminal_lines import as_text
from destination_heap_analytics.protocol.messages import EchoedState


def log(level: Level) -> AirbyteMessage:
    return AirbyteMessage(type=Type.LOG, log=AirbyteLogMessage(level=level, message="m"))


def status(status: Status, message: str | None = None) -> AirbyteMessage:
    return AirbyteMessage(
        type=Type.CONNECTION_STATUS, connectionStatus=AirbyteConnectionStatus(status=status, message=message)
    )


def state(delivered: float, rejected: float) -> AirbyteMessage:
    stats = {"recordCount": delivered, "rejectedRecordCount": rejected}
    line = {"type": "STATE", "state": {"stream": {"stream_state": {"email": "a@b"}}, "destinationStats": stats}}
    return EchoedState(type=Type.STATE, line=json.dumps(line))


def trace(stack_trace: str | None) -> AirbyteMessage:
    error = AirbyteErrorTraceMessage(message="m", stack_trace=stack_trace)
    return AirbyteMessage(type=Type.TRACE, trace=AirbyteTraceMessage(type=TraceType.ERROR, emitted_at=1, error=error))


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (log(Level.INFO), "m"),
        (log(Level.WARN), "Warning: m"),
        (log(Level.ERROR), "Error: m"),
        (status(Status.SUCCEEDED), "The check succeeded: the settings are valid, and Heap accepts them."),
        (status(Status.FAILED, "no"), "The check failed: no"),
        (state(1.0, 0.0), "Checkpoint: 1 row delivered, 0 rejected since the last one."),
        (state(1200.0, 1.0), "Checkpoint: 1,200 rows delivered, 1 rejected since the last one."),
        (trace(None), "Error: m"),
        (trace("File x\n"), "Error: m\nFile x"),
        (AirbyteMessage(type=Type.SPEC, spec=ConnectorSpecification(connectionSpecification={})), None),
    ],
)
def test_a_message_is_shown_as_a_line(message: AirbyteMessage, text: str | None) -> None:
    """Only the counts of a state; the specification stays JSON."""
    assert as_text(message) == text
