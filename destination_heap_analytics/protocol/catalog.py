"""The configured catalog: the one stream of a connection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from destination_heap_analytics.errors import ConfigError

Path = tuple[str, ...]
"""The keys that lead to a column, starting at the top level of a record."""


@dataclass(frozen=True, slots=True)
class Stream:
    """The stream that this connection loads.

    Attributes:
        namespace: None if the source has none.
        sync_mode: how the source reads: full_refresh or incremental.
        destination_sync_mode: overwrite, append or append_dedup; Heap keeps its data in all three.
        primary_key: paths of the columns that together identify a row; may be empty.
        schema: JSON schema of the records; empty if the source declares none.
        sync_id: the platform's number of this sync, the same for all its attempts; None if it has none.
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
        """Whether the user selected one row per primary key."""
        return self.destination_sync_mode == "append_dedup"

    @property
    def identifies_rows(self) -> bool:
        """Whether the primary key alone identifies a row."""
        return self.is_deduplicated and bool(self.primary_key)

    def carries(self, name: str, namespace: str | None) -> bool:
        """Whether a message belongs to this stream. Some sources omit the namespace: a missing one always matches."""
        return name == self.name and (not namespace or not self.namespace or namespace == self.namespace)

    def foreign_row(self, number: int, name: str, namespace: str | None) -> ConfigError:
        """The error to raise for a row of another stream."""
        theirs, mine = _full_names((name, namespace), (self.name, self.namespace))
        return ConfigError(
            f"Row {number} belongs to stream {theirs}, but this connection loads only stream {mine}. "
            "Create a separate connection for the other stream."
        )


def _full_names(*streams: tuple[str, str | None]) -> list[str]:
    """The names of streams for a message: with their namespaces, if any of them has one."""
    if not any(namespace for _, namespace in streams):
        return [f"`{name}`" for name, _ in streams]
    return [
        f"`{name}` (namespace `{namespace}`)" if namespace else f"`{name}` (no namespace)"
        for name, namespace in streams
    ]


def parse_catalog(catalog: Any) -> Stream:
    """The one stream of a configured catalog. Parsing is lenient: unknown sync modes and keys are accepted.

    Raises:
        ConfigError: there is no stream, or more than one, or this is not a configured catalog.
    """
    if kind := _other_document(catalog):
        raise ConfigError(f"The configured catalog is {kind}. {_CONFIGURED}")
    streams = catalog.get("streams") if isinstance(catalog, Mapping) else None
    if not isinstance(streams, list):
        raise ConfigError(f"The configured catalog must be a JSON object with a list of `streams`. {_CONFIGURED}")
    if not streams:
        raise ConfigError("One connection loads one stream into Heap, but the configured catalog has none. Select one.")
    parsed = [_parse_stream(configured) for configured in streams]
    if len(parsed) > 1:
        names = ", ".join(_full_names(*((stream.name, stream.namespace) for stream in parsed)))
        raise ConfigError(
            f"One connection loads one stream into Heap, but the configured catalog has {len(parsed)}: {names}. "
            "Keep one, and create a separate connection for each of the others."
        )
    return parsed[0]


_CONFIGURED: Final = (
    'Use one like `{"streams": [{"stream": {"name": "users", "json_schema": {}}, "sync_mode": "full_refresh", '
    '"destination_sync_mode": "append"}]}`: the configured catalog selects the stream to load, and the sync mode.'
)
_CAMEL_CASE: Final = frozenset(
    {
        "config",
        "cursorField",
        "defaultCursorField",
        "destinationSyncMode",
        "jsonSchema",
        "primaryKey",
        "sourceDefinedCursor",
        "sourceDefinedPrimaryKey",
        "supportedSyncModes",
        "syncMode",
    }
)


def _other_document(catalog: Any) -> str | None:
    """The kind of a document that is often confused with a configured catalog; None if it may be one."""
    if not isinstance(catalog, Mapping):
        return None
    if catalog.get("type") == "CATALOG" or isinstance(catalog.get("catalog"), Mapping):
        return _DISCOVERED
    if any(key in catalog for key in ("syncCatalog", "sync_catalog", "configurations")):
        return "a connection of Airbyte's API, not a configured catalog"
    if "app_id" in catalog:
        return "a configuration; it may have been swapped with `--config`"
    streams = catalog.get("streams")
    for configured in streams if isinstance(streams, list) else []:
        if not isinstance(configured, Mapping):
            continue
        stream = configured.get("stream")
        if stream is None and "name" in configured:
            if "json_schema" in configured or "supported_sync_modes" in configured:
                return _DISCOVERED
            return _SYNC_CATALOG if _CAMEL_CASE & configured.keys() else None
        if _CAMEL_CASE & configured.keys() or (isinstance(stream, Mapping) and _CAMEL_CASE & stream.keys()):
            return _SYNC_CATALOG
    return None


_DISCOVERED: Final = "the output of a source's `discover`, which lists all streams of the source"
_SYNC_CATALOG: Final = "the `syncCatalog` of Airbyte's API, whose keys are in camelCase"


def _parse_stream(configured: Any) -> Stream:
    stream = configured.get("stream") if isinstance(configured, Mapping) else None
    name = stream.get("name") if isinstance(stream, Mapping) else None
    if not isinstance(configured, Mapping) or not isinstance(stream, Mapping) or not isinstance(name, str):
        raise ConfigError(f"A stream in the configured catalog has no name. {_CONFIGURED}")
    namespace, schema = stream.get("namespace"), stream.get("json_schema")
    if namespace is not None and not isinstance(namespace, str):
        raise ConfigError(
            f"The namespace of stream `{name}` in the configured catalog is not text: use text, or leave it out."
        )
    sync_id = configured.get("sync_id")
    return Stream(
        name=name,
        namespace=namespace or None,
        sync_mode=_text(configured.get("sync_mode"), "full_refresh"),
        destination_sync_mode=_text(configured.get("destination_sync_mode"), "append"),
        primary_key=_primary_key(configured.get("primary_key") or stream.get("source_defined_primary_key")),
        schema=schema if isinstance(schema, Mapping) else {},
        sync_id=sync_id if isinstance(sync_id, int) else None,
    )


def _text(value: Any, default: str) -> str:
    return value if isinstance(value, str) and value else default


def _primary_key(keys: Any) -> tuple[Path, ...]:
    """Paths of columns; a bare name is the path of one column."""
    if isinstance(keys, str):
        keys = [keys]
    if not isinstance(keys, list):
        return ()
    return tuple(tuple(map(str, key)) if isinstance(key, list) else (str(key),) for key in keys if key)
