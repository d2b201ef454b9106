"""The configured catalog: the one stream of a connection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from destination_heap_analytics.errors import ConfigError

Path = tuple[str, ...]
"""The keys that lead to a column, from the top of a record."""


@dataclass(frozen=True, slots=True)
class Stream:
    """The stream that this connection loads.

    Attributes:
        namespace: None where the source gives none.
        sync_mode: how the source reads: full_refresh or incremental.
        destination_sync_mode: overwrite, append or append_dedup; Heap itself keeps what it has in all three.
        primary_key: paths of the columns that together tell a row from all others; may be empty.
        schema: JSON schema of the records, as far as the source declares it.
        sync_id: the platform's number of this sync, the same for all its attempts; None where it gives none.
    """

    name: str
    namespace: str | None
    sync_mode: str
    destination_sync_mode: str
    primary_key: tuple[Path, ...]
    schema: Mapping[str, Any]
    sync_id: int | None = None

    @property
    def is_deduplicated(self) -> bool:
        """Whether the user asked for one row per primary key."""
        return self.destination_sync_mode == "append_dedup"

    @property
    def tells_rows_apart(self) -> bool:
        """Whether a row's primary key alone says which one it is."""
        return self.is_deduplicated and bool(self.primary_key)

    def carries(self, name: str, namespace: str | None) -> bool:
        """Whether a message of this name and namespace belongs to the stream; some sources leave the namespace out."""
        return name == self.name and (not namespace or not self.namespace or namespace == self.namespace)

    def foreign_row(self, number: int, stream: str) -> ConfigError:
        """What is wrong with a row of another stream."""
        return ConfigError(
            f"Row {number} belongs to stream `{stream}`, and this connection loads stream `{self.name}` alone. "
            "Make a connection of its own for the other."
        )


def parse_catalog(catalog: Any) -> Stream:
    """The one stream of a configured catalog, read leniently: an unknown sync mode or key does no harm.

    Raises:
        ConfigError: there is no stream, or more than one, or the catalog is none.
    """
    streams = catalog.get("streams") if isinstance(catalog, Mapping) else None
    if not isinstance(streams, list):
        raise ConfigError("The configured catalog must be a JSON object with a list of `streams`.")
    if len(streams) != 1:
        names = ", ".join(f"`{_stream(configured).get('name')}`" for configured in streams)
        found = (
            f"has {len(streams)}: {names}. Keep one, and make a connection of its own for each other"
            if names
            else ("has none. Select one")
        )
        raise ConfigError(f"One connection loads one stream into Heap, and the configured catalog {found}.")
    configured, stream = streams[0], _stream(streams[0])
    if not isinstance(stream.get("name"), str):
        raise ConfigError("The stream in the configured catalog has no name.")
    schema = stream.get("json_schema")
    keys = configured.get("primary_key") or stream.get("source_defined_primary_key") or []
    return Stream(
        name=stream["name"],
        namespace=stream.get("namespace") or None,
        sync_mode=configured.get("sync_mode") or "full_refresh",
        destination_sync_mode=configured.get("destination_sync_mode") or "append",
        primary_key=tuple(_path(key) for key in keys if key) if isinstance(keys, list) else (),
        schema=schema if isinstance(schema, Mapping) else {},
        sync_id=sync_id if isinstance(sync_id := configured.get("sync_id"), int) else None,
    )


def _path(key: Any) -> Path:
    return tuple(map(str, key)) if isinstance(key, list) else (str(key),)


def _stream(configured: Any) -> Mapping[str, Any]:
    stream = configured.get("stream") if isinstance(configured, Mapping) else None
    return stream if isinstance(stream, Mapping) else {}
