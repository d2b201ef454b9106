"""The connector as a class of the CDK, for its standard tests, PyAirbyte in process and other programs.

The command line (cli.py) is the other entry point. Both call connector.py, and a test compares their output.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from airbyte_cdk.destinations import Destination
from airbyte_cdk.models import (
    AirbyteConnectionStatus,
    AirbyteMessage,
    AirbyteMessageSerializer,
    ConfiguredAirbyteCatalog,
    ConfiguredAirbyteCatalogSerializer,
    Type,
)
from airbyte_cdk.utils.airbyte_secrets_utils import add_to_secrets
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_heap_analytics import cli, connector
from destination_heap_analytics.errors import SyncStoppedError
from destination_heap_analytics.process.json_file import read_json
from destination_heap_analytics.process.progress_line import Progress
from destination_heap_analytics.process.resources import as_stop
from destination_heap_analytics.process.secrets import NO_SECRETS, Secrets
from destination_heap_analytics.process.stdin import read_messages
from destination_heap_analytics.protocol.catalog import parse_catalog
from destination_heap_analytics.protocol.messages import Message, parse_message

logger = logging.getLogger("airbyte")


class DestinationHeapAnalytics(Destination):
    """Heap as an Airbyte destination."""

    check_config_against_spec = False  # config/ validates it, with better messages

    def check(self, logger: logging.Logger, config: Mapping[str, Any]) -> AirbyteConnectionStatus:  # noqa: ARG002
        """Check that the settings are valid and Heap accepts the app ID. Sends one event."""
        _mask_in_log(config)
        return connector.check(config)

    def write(
        self,
        config: Mapping[str, Any],
        configured_catalog: ConfiguredAirbyteCatalog,
        input_messages: Iterable[AirbyteMessage],
    ) -> Iterator[AirbyteMessage]:
        """Load messages passed in process, exactly as the command does.

        Raises:
            SyncStoppedError: the sync failed. The error is also an AirbyteTracedException, with the same message and
                failure type.
        """
        _mask_in_log(config)
        with _traced(connector.secrets_of(config)):
            settings = connector.parse_settings(config)
            stream = parse_catalog(ConfiguredAirbyteCatalogSerializer.dump(configured_catalog))
            yield from connector.sync(settings, stream, read_messages(input_messages), _parse).run()

    def parse_args(self, args: list[str]) -> argparse.Namespace:
        """Parse the arguments as the command line does."""
        return cli.parse_args(args)

    def run_cmd(self, parsed_args: argparse.Namespace) -> Iterator[AirbyteMessage]:
        """The messages of spec, check and write; for other commands, call `run`.

        Raises:
            SyncStoppedError: the write failed, as in `write`.
            ValueError: the command is another one. Nothing is loaded.
        """
        if parsed_args.command == "spec":
            yield AirbyteMessage(type=Type.SPEC, spec=self.spec(logger))
        elif parsed_args.command == "check":
            try:
                status = self.check(logger, read_json(parsed_args.config, "--config"))
            except SyncStoppedError as wrong:
                status = connector.failed(str(wrong))
            yield AirbyteMessage(type=Type.CONNECTION_STATUS, connectionStatus=status)
        elif parsed_args.command == "write":
            with _traced(NO_SECRETS):
                config = read_json(parsed_args.config, "--config")
            _mask_in_log(config)
            with _traced(connector.secrets_of(config)):
                yield from map(_as_state, cli.load(parsed_args, Progress(), config))
        else:
            raise ValueError(f"`{parsed_args.command}` does not return Airbyte messages: call `run` instead.")

    def run(self, args: list[str]) -> None:
        """Run a command as cli.py does."""
        cli.run(args)


def _parse(message: AirbyteMessage, _position: int) -> Message:
    return parse_message(message, AirbyteMessageSerializer.dump)


def _as_state(message: AirbyteMessage) -> AirbyteMessage:
    """A state that a command would print verbatim, as an object of the CDK, which drops unknown keys."""
    return AirbyteMessageSerializer.load(json.loads(message.line))  # type: ignore[attr-defined]  # an EchoedState


def _mask_in_log(config: Any) -> None:
    for secret in connector.secrets_of(config).texts:
        add_to_secrets(secret)  # added, not replaced: a source in the same process has secrets too


@contextmanager
def _traced(secrets: Secrets) -> Iterator[None]:
    """Raise an error of a sync as one that the CDK recognises too."""
    try:
        yield
    except Exception as failure:
        if (stop := as_stop(failure)) is None:
            raise
        raise _as_traced(type(stop), secrets.masked(stop.message)) from None  # the text of the original is not masked


def _as_traced(kind: type[SyncStoppedError], message: str) -> SyncStoppedError:
    class Traced(kind, AirbyteTracedException):  # type: ignore[misc, valid-type]  # a class known at run time
        def __init__(self) -> None:
            AirbyteTracedException.__init__(self, message, message, kind.failure_type)

    Traced.__name__ = Traced.__qualname__ = kind.__name__
    return Traced()
