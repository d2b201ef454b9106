"""A connection loads one stream, and its catalog is read leniently."""

from __future__ import annotations

from typing import Any

import pytest

from destination_heap_analytics.errors import ConfigError
from destination_heap_analytics.protocol.catalog import Stream, parse_catalog


def configured(name: str = "users", **changes: Any) -> dict[str, Any]:
    stream = {"name": name, "json_schema": {"properties": {"id": {}}}, "supported_sync_modes": ["full_refresh"]}
    return {"stream": {**stream, **changes.pop("stream", {})}, "sync_mode": "incremental", **changes}


def test_the_one_stream_is_read() -> None:
    """With what the rest of the run needs of it."""
    catalog = {"streams": [configured(destination_sync_mode="append_dedup", primary_key=[["o", "id"], ["region"]])]}
    assert parse_catalog(catalog) == Stream(
        name="users",
        namespace=None,
        sync_mode="incremental",
        destination_sync_mode="append_dedup",
        primary_key=(("o", "id"), ("region",)),
        schema={"properties": {"id": {}}},
    )


def test_the_sources_own_primary_key_serves_where_none_is_configured() -> None:
    """In every sync mode."""
    stream = parse_catalog({"streams": [configured(stream={"source_defined_primary_key": [["id"]]})]})
    assert stream.primary_key == (("id",),)


def test_modes_and_keys_of_later_protocols_do_no_harm() -> None:
    """The CDK's own reader ends at them."""
    stream = parse_catalog({"streams": [configured(destination_sync_mode="upsert", new_key=1)], "more": 2})
    assert (stream.destination_sync_mode, stream.is_deduplicated) == ("upsert", False)


@pytest.mark.parametrize(
    ("key", "paths"), [(True, ()), ([5], (("5",),)), (["id"], (("id",),)), ([[]], ()), ([["o", 0]], (("o", "0"),))]
)
def test_an_odd_primary_key_is_read_as_far_as_it_can_be(key: Any, paths: tuple[tuple[str, ...], ...]) -> None:
    """A bare name is the path of one column."""
    assert parse_catalog({"streams": [configured(primary_key=key)]}).primary_key == paths


@pytest.mark.parametrize("schema", [None, [], "x", True])
def test_an_odd_schema_declares_nothing(schema: Any) -> None:
    """It does no harm."""
    assert parse_catalog({"streams": [configured(stream={"json_schema": schema})]}).schema == {}


@pytest.mark.parametrize(
    ("catalog", "sentence"),
    [
        ({"streams": []}, "the configured catalog has none. Select one."),
        (
            {"streams": [configured("a"), configured("b")]},
            "has 2: `a`, `b`. Keep one, and make a connection of its own",
        ),
        ({}, "must be a JSON object with a list of `streams`"),
        ([], "must be a JSON object with a list of `streams`"),
        ({"streams": [{}]}, "has no name"),
        ({"streams": ["users"]}, "has no name"),
    ],
)
def test_any_other_number_of_streams_is_said(catalog: Any, sentence: str) -> None:
    """With the remedy."""
    with pytest.raises(ConfigError, match="stream") as refused:
        parse_catalog(catalog)
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("mine", "theirs", "carried"),
    [
        (("users", None), ("users", None), True),
        (("users", "crm"), ("users", "crm"), True),
        (("users", "crm"), ("users", None), True),
        (("users", None), ("users", "crm"), True),
        (("users", "crm"), ("users", "app"), False),
        (("users", None), ("orders", None), False),
    ],
)
def test_a_message_belongs_to_the_stream_by_name_and_namespace(
    mine: tuple[str, str | None],
    theirs: tuple[str, str | None],
    carried: bool,
) -> None:
    """A namespace that one side leaves out does not count."""
    stream = parse_catalog({"streams": [configured(mine[0], stream={"namespace": mine[1]})]})
    assert stream.carries(*theirs) is carried


@pytest.mark.parametrize(("given", "read"), [({"sync_id": 42}, 42), ({"sync_id": "42"}, None), ({}, None)])
def test_the_platforms_number_of_the_sync_is_read(given: dict[str, Any], read: int | None) -> None:
    """Files of rejected rows are sorted by it."""
    assert parse_catalog({"streams": [configured(**given)]}).sync_id == read
