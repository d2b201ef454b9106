"""What the command line and the CDK's class share: parsing a configuration, a check, a sync, a preview."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Generator, Mapping
from functools import cache
from pathlib import Path
from random import SystemRandom
from secrets import token_hex
from typing import Any, TypeVar

from airbyte_protocol_dataclasses.models import AirbyteConnectionStatus, Status

from destination_heap_analytics.config.api_settings import DeleteUsers
from destination_heap_analytics.config.parse import ParsedConfig, parse_config
from destination_heap_analytics.config.settings import Settings
from destination_heap_analytics.delivery.connection_check import (
    PREFLIGHT_SECONDS,
    explain,
    preflight,
    preflight_request,
)
from destination_heap_analytics.delivery.http.client import Client, HeapClient, Kind
from destination_heap_analytics.delivery.http.deletion import DeletionClient
from destination_heap_analytics.process.progress_line import Progress
from destination_heap_analytics.process.resources import as_stop
from destination_heap_analytics.process.secrets import Secrets, find_secrets
from destination_heap_analytics.protocol.catalog import Stream, parse_catalog
from destination_heap_analytics.protocol.messages import Message, parse_line
from destination_heap_analytics.rejected.store import Storage, open_storage
from destination_heap_analytics.rows.source import open_rows
from destination_heap_analytics.run.clock import Clock
from destination_heap_analytics.run.delivery_setup import MOST_SINGLE
from destination_heap_analytics.run.event_queue import EventQueue
from destination_heap_analytics.run.preview import Preview
from destination_heap_analytics.run.sync import Sync
from destination_heap_analytics.wording import printable

Line = TypeVar("Line")


class _Printable(logging.Filter):
    """Makes a log line printable before any handler sees it, including the CDK's."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = printable(record.getMessage()), ()
        return True


logger = logging.getLogger("airbyte.destination-heap-analytics")
logger.addFilter(_Printable())

__all__ = [
    "check",
    "failed",
    "now",
    "open_rows",
    "parse_catalog",
    "parse_config",
    "parse_line",
    "parse_settings",
    "preview",
    "secrets_of",
    "specification",
    "sync",
]


def parse_settings(config: Any) -> Settings:
    """The settings in a configuration; unknown keys are logged.

    Raises:
        ConfigError: a setting is wrong.
    """
    parsed = parse_config(config)
    if parsed.warning:
        logger.warning(parsed.warning)
    return parsed.settings


@cache
def specification() -> Mapping[str, Any]:
    """The committed specification (spec.json)."""
    content: Mapping[str, Any] = json.loads(Path(__file__).with_name("spec.json").read_bytes())
    return content


def secrets_of(config: Any) -> Secrets:
    """The values in a configuration that the specification marks as secret."""
    return find_secrets(config, _secret_names(specification()))


def _secret_names(node: Any) -> set[str]:
    if isinstance(node, list):
        return set().union(*map(_secret_names, node))
    if not isinstance(node, dict):
        return set()
    own = {name for name, member in node.items() if isinstance(member, dict) and member.get("airbyte_secret") is True}
    return own.union(*map(_secret_names, node.values()))


def check(config: Any) -> AirbyteConnectionStatus:
    """Check the settings, the storage of rejected rows, and that Heap accepts the app ID. Sends one event."""
    try:
        return _check(config)
    except Exception as failure:
        if (stop := as_stop(failure)) is None:
            raise
        return failed(secrets_of(config).masked(str(stop)))


def _check(config: Any) -> AirbyteConnectionStatus:
    settings = parse_settings(config)
    if storage := _storage(settings, None):
        storage.probe()
    heap = HeapClient(settings.url, timeout=(PREFLIGHT_SECONDS, PREFLIGHT_SECONDS))
    request = preflight_request(settings.selected_api, settings.app_id)
    verdict = preflight(_client(settings, heap), request, PREFLIGHT_SECONDS)
    if verdict.kind is Kind.ACCEPTED:
        return AirbyteConnectionStatus(status=Status.SUCCEEDED)
    words = f" Response: {verdict.words}" if verdict.words.strip("{}") else ""
    return failed(explain(verdict, settings.url) + words)


def failed(sentence: str) -> AirbyteConnectionStatus:
    """The status of a check that failed."""
    return AirbyteConnectionStatus(status=Status.FAILED, message=printable(sentence))


def sync(
    settings: Settings,
    stream: Stream,
    blocks: Generator[tuple[list[Line], int], None, None],
    parse: Callable[[Line, int], Message],
    *,
    progress: Progress | None = None,
    events: EventQueue[Line] | None = None,
    expected_rows: Callable[[], float | None] = lambda: None,
) -> Sync[Line]:
    """A sync that is ready to run and has started to read its input.

    Args:
        settings: the settings of the connection.
        stream: the configured stream.
        blocks: the input, in blocks, each with its size in bytes.
        parse: parses an item of a block and its position into a message.
        progress: shows the progress.
        events: the queue in which interrupts arrive.
        expected_rows: estimates the number of rows in the input; returns None if it is unknown.
    """
    queue = EventQueue[Line]() if events is None else events
    queue.read(blocks)
    return Sync(
        settings,
        stream,
        _client(settings, HeapClient(settings.url, connections=MOST_SINGLE)),
        _storage(settings, stream),
        events=queue,
        parse=parse,
        logger=logger,
        clock=Clock(),
        rng=SystemRandom(),
        random_text=token_hex(16),
        progress=progress,
        expected_rows=expected_rows,
    )


def preview(config: ParsedConfig, stream: Stream) -> Preview:
    """A preview of what a sync would send."""
    return Preview(config, stream, token_hex(16))


def now() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def _client(settings: Settings, heap: HeapClient) -> Client:
    """The client for the requests of the selected API."""
    if isinstance(settings.api, DeleteUsers):
        return DeletionClient(heap, settings.app_id, settings.api.api_key)
    return heap


def _storage(settings: Settings, stream: Stream | None) -> Storage | None:
    return open_storage(settings.object_storage_config, stream, now=now(), random_text=token_hex(4))
