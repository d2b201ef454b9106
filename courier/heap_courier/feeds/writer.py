"""Writes feed files: YAML with comments that explain each setting."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import yaml

from heap_courier.feeds import tags
from heap_courier.feeds.model import GENERATED, Feed, Field, Sample

_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_TEMPLATE: Final = """\
# A feed defines how rows of a file become rows of the domain table {table}.

id: {id}  # its name in load operations
source: {source}
name: {name}

primary-key: [{primary_key}]  # fields that identify a row, at least one
last-updated: {last_updated}  # the Datetime or Integer field by which the newest row wins; or {generated}
error-threshold: {error_threshold}  # percentage of rows that may be rejected; above it nothing is loaded
stitch: {stitch}  # make it available to Stitch: for tables with personal data
{sample}
# name: of the column: letters, digits and underscores
# type: Boolean, Date, Datetime, Decimal(38, 2), Float, Integer or String
# source: the incoming name, if different; traits.email is a field of the record traits
# tag: its meaning, see below
# required: true: a row without a value is rejected
# pattern: of a Date or Datetime, such as dd.MM.yyyy, if it is neither ISO 8601 nor seconds since 1970
fields:
{fields}

# Tags of profiles: {tags}.
# Tags of keys: {keys}. Any other is a custom tag: lowercase letters, digits, hyphens.
"""


def write_feed(feed: Feed, path: Path) -> None:
    """Writes a feed with comments that explain each setting."""
    text = _TEMPLATE.format(
        table=feed.domain_table,
        id=_scalar(feed.id),
        source=_scalar(feed.source),
        name=_scalar(feed.name),
        primary_key=", ".join(map(_scalar, feed.primary_key)),
        last_updated=_scalar(feed.last_updated or GENERATED),
        generated=GENERATED,
        error_threshold=feed.error_threshold,
        stitch=_scalar(str(feed.stitch).lower()),
        sample=_sample_line(feed.sample) if feed.sample else "",
        fields="\n".join(map(_field_line, feed.fields)),
        tags=", ".join(tags.PROFILE),
        keys=", ".join(tags.KEYS),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _sample_line(sample: Sample) -> str:
    parts = {
        "file": sample.path,
        "content-type": sample.format.content_type,
        "header-rows": "0" if sample.format.header_rows == 0 else None,
        "separator": sample.format.separator,
        "quote": sample.format.quote,
        "escape": sample.format.escape,
        "encoding": sample.format.encoding,
    }
    return f"sample: {_mapping(parts)}  # loaded when the feed is activated; relative to the project's folder\n"


def field_entry(field: Field) -> dict[str, str]:
    """The settings of a field in a feed file, in their order, without those that have their defaults."""
    parts = {
        "name": field.name,
        "type": str(field.type),
        "source": field.source if field.source != field.name else None,
        "tag": field.tag,
        "required": "true" if field.required else None,
        "pattern": field.pattern,
    }
    return {key: value for key, value in parts.items() if value is not None}


def _field_line(field: Field) -> str:
    return f"  - {_mapping(field_entry(field))}"


def _mapping(parts: Mapping[str, str | None]) -> str:
    return f"{{{', '.join(f'{key}: {_scalar(value)}' for key, value in parts.items() if value is not None)}}}"


def _scalar(text: str) -> str:
    if _PLAIN.fullmatch(text):
        return text
    return yaml.dump(text, default_style='"', allow_unicode=True, width=math.inf).strip()
