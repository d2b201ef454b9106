"""What the patterns of a courier currently match in its bucket."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from heap_courier.errors import MissingFilesError
from heap_courier.files.bucket import Bucket, Object
from heap_courier.files.entities import Entity, HeapConnectEntity
from heap_courier.heap_connect.pull import manifest_keys
from heap_courier.project.model import Courier

LOOKED_AT: Final = 5_000  # objects for each pattern: a form should respond while the user types
_ASKING: Final[Mapping[str, Any]] = {"attempts": 1, "seconds": 4.0, "call_seconds": 15.0}


@dataclass(frozen=True, slots=True)
class Matches:
    """What a pattern matches.

    Attributes:
        pattern: the pattern as entered.
        count: the number of matching files among those checked.
        newest: the last modified one.
        near: if none matches, some keys that begin like the pattern, or any keys.
        complete: whether all files were checked.
    """

    pattern: str
    count: int
    newest: Object | None
    near: tuple[str, ...] = ()
    complete: bool = True


def matches_of(courier: Courier, entities: tuple[Entity, ...], environment: Mapping[str, str]) -> list[Matches]:
    """What each entity matches.

    Raises:
        CourierError: the bucket cannot be read.
    """
    bucket = Bucket(courier, environment, **_ASKING)
    return [_matches(bucket, entity) for entity in entities]


def _matches(bucket: Bucket, entity: Entity) -> Matches:
    if isinstance(entity, HeapConnectEntity):
        try:
            keys = manifest_keys(bucket)
        except MissingFilesError:
            return Matches("manifests/sync_*.json", 0, None)
        newest = next((item for item in bucket.list(keys[-1]) if item.key == keys[-1]), None)
        return Matches("manifests/sync_*.json", len(keys), newest)
    looked_at = list(islice(bucket.list(entity.pattern.prefix(None)), LOOKED_AT + 1))
    hits = [item for item in looked_at[:LOOKED_AT] if entity.pattern.matches_any(item.key)]
    newest = max(hits, key=lambda item: (item.modified, item.key), default=None)
    near = () if hits else tuple(item.key for item in looked_at[:3])
    if not hits and not near:
        near = tuple(item.key for item in islice(bucket.list(), 3))
    return Matches(entity.pattern.text, len(hits), newest, near, len(looked_at) <= LOOKED_AT)
