"""The floor: a destination that reads its input with the CDK, returns the states, and does nothing else.

python benchmarks/floor.py write --config FILE --catalog FILE < messages.jsonl
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from airbyte_cdk.destinations import Destination
from airbyte_cdk.models import (
    AirbyteConnectionStatus,
    AirbyteMessage,
    ConfiguredAirbyteCatalog,
    ConnectorSpecification,
    Status,
    Type,
)


class Floor(Destination):
    """The minimum cost of a destination that lets the CDK read its input."""

    def spec(self, logger: logging.Logger) -> ConnectorSpecification:  # noqa: ARG002  # the base's signature
        """No settings."""
        return ConnectorSpecification(connectionSpecification={})

    def check(self, logger: logging.Logger, config: Mapping[str, Any]) -> AirbyteConnectionStatus:  # noqa: ARG002
        """Nothing to check."""
        return AirbyteConnectionStatus(status=Status.SUCCEEDED)

    def write(
        self,
        config: Mapping[str, Any],  # noqa: ARG002
        configured_catalog: ConfiguredAirbyteCatalog,  # noqa: ARG002
        input_messages: Iterable[AirbyteMessage],
    ) -> Iterator[AirbyteMessage]:
        """Return each state in order."""
        for message in input_messages:
            if message.type is Type.STATE:
                yield message


if __name__ == "__main__":
    Floor().run(sys.argv[1:])
