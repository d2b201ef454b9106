"""The CDK's face of the connector, for its standard tests, PyAirbyte in process, and whoever imports it.

The command line (cli.py) is the other face. Both lead to connector.py, and a test compares what they answer.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterable, Iterator, Mapping
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
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_heap_analytics import cli, connector
from destination_heap_analytics.errors import SyncStoppedError
from destination_heap_analytics.process.json_file import read_json
from destination_heap_analytics.process.progress_line import Progress
from destination_heap_analytics.process.stdin import read_messages
from destination_heap_analytics.protocol.catalog import parse_catalog
from destination_heap_analytics.protocol.messages import Message, parse_message

logger = logging.getLogger("airbyte")


class DestinationHeapAnalytics(Destination):
    """Heap as an Airbyte destination."""

    check_config_against_spec = False  # config/ validates, in sentences

    def check(self, logger: logging.Logger, config: Mapping[str, Any]) -> AirbyteConnectionStatus:  # noqa: ARG002
        """Whether the settings are valid and Heap accepts the app ID; sends one event."""
        return connector.check(config)

    def write(
        self,
        config: Mapping[str, Any],
        configured_catalog: ConfiguredAirbyteCatalog,
        input_messages: Iterable[AirbyteMessage],
    ) -> Iterator[AirbyteMessage]:
        """Load messages handed over in process; behaves as the command does.

        Raises:
            SyncStoppedError: the sync failed. It is an AirbyteTracedException too, with the same message and type.
        """
        try:
            settings = connector.parse_settings(config)
            stream = parse_catalog(ConfiguredAirbyteCatalogSerializer.dump(configured_catalog))
            yield from connector.sync(settings, stream, read_messages(input_messages), _parse).run()
        except SyncStoppedError as stopped:
            raise _traced(stopped) from stopped

    def parse_args(self, args: list[str]) -> argparse.Namespace:
        """The command line's own arguments."""
        return cli.parse_args(args)

    def run_cmd(self, parsed_args: argparse.Namespace) -> Iterator[AirbyteMessage]:
        """The messages that spec, check and write answer with; `run` carries out the other commands too.

        Raises:
            ValueError: the command is another one. It never loads anything.
        """
        if parsed_args.command == "spec":
            yield AirbyteMessage(type=Type.SPEC, spec=self.spec(logger))
        elif parsed_args.command == "check":
            status = self.check(logger, read_json(parsed_args.config, "--config"))
            yield AirbyteMessage(type=Type.CONNECTION_STATUS, connectionStatus=status)
        elif parsed_args.command == "write":
            config = read_json(parsed_args.config, "--config")
            yield from cli.load(parsed_args, Progress(), config)
        else:
            raise ValueError(f"`{parsed_args.command}` does not answer with Airbyte messages: call `run` instead.")

    def run(self, args: list[str]) -> None:
        """The whole command, as cli.py runs it."""
        cli.run(args)


def _parse(message: AirbyteMessage, _position: int) -> Message:
    return parse_message(message, AirbyteMessageSerializer.dump)


def _traced(stopped: SyncStoppedError) -> SyncStoppedError:
    """The same error, which the CDK recognises as well."""
    kind = type(stopped)

    class Traced(kind, AirbyteTracedException):  # type: ignore[misc, valid-type]  # a class known at run time
        def __init__(self) -> None:
            SyncStoppedError.__init__(self, stopped.message)
            self.internal_message = stopped.message
            self.failure_type = kind.failure_type  # the CDK's initialiser has made a system_error of it
            self._exception = stopped
            self._stream_descriptor = None

    Traced.__name__ = Traced.__qualname__ = kind.__name__
    return Traced()
