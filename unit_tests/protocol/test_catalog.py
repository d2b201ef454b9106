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
    """With everything that a run needs."""
    catalog = {"streams": [configured(destination_sync_mode="append_dedup", primary_key=[["o", "id"], ["region"]])]}
    assert parse_catalog(catalog) == Stream(
        name="users",
        namespace=None,
        sync_mode="incremental",
        destination_sync_mode="append_dedup",
        primary_key=(("o", "id"), ("region",)),
        schema={"properties": {"id": {}}},
    )


def test_the_sources_own_primary_key_serves_if_none_is_configured() -> None:
    """In every sync mode."""
    stream = parse_catalog({"streams": [configured(stream={"source_defined_primary_key": [["id"]]})]})
    assert stream.primary_key == (("id",),)


def test_modes_and_keys_of_later_protocols_are_accepted() -> None:
    """The CDK's own parser fails on them."""
    stream = parse_catalog({"streams": [configured(destination_sync_mode="upsert", new_key=1)], "more": 2})
    assert (stream.destination_sync_mode, stream.is_deduplicated) == ("upsert", False)


@pytest.mark.parametrize(
    ("key", "paths"),
    [(True, ()), ("id", (("id",),)), ([5], (("5",),)), (["id"], (("id",),)), ([[]], ()), ([["o", 0]], (("o", "0"),))],
)
def test_an_odd_primary_key_is_read_as_far_as_possible(key: Any, paths: tuple[tuple[str, ...], ...]) -> None:
    """A bare name is the path of one column."""
    assert parse_catalog({"streams": [configured(primary_key=key)]}).primary_key == paths


@pytest.mark.parametrize("schema", [None, [], "x", True])
def test_an_odd_schema_declares_nothing(schema: Any) -> None:
    """It is harmless."""
    assert parse_catalog({"streams": [configured(stream={"json_schema": schema})]}).schema == {}


@pytest.mark.parametrize(
    ("catalog", "sentence"),
    [
        ({"streams": []}, "the configured catalog has none. Select one."),
        (
            {"streams": [configured("a"), configured("b")]},
            "has 2: `a`, `b`. Keep one, and create a separate connection for each of the others.",
        ),
        (
            {"streams": [configured(), configured(stream={"namespace": "crm"})]},
            "has 2: `users` (no namespace), `users` (namespace `crm`). Keep one",
        ),
        ({}, "must be a JSON object with a list of `streams`"),
        ([], "must be a JSON object with a list of `streams`"),
        ({"streams": [{}]}, "has no name"),
        ({"streams": ["users"]}, "has no name"),
    ],
)
def test_any_other_number_of_streams_is_reported(catalog: Any, sentence: str) -> None:
    """With the remedy."""
    with pytest.raises(ConfigError, match="stream") as refused:
        parse_catalog(catalog)
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("catalog", "kind"),
    [
        ({"type": "CATALOG", "catalog": {"streams": []}}, "output of a source's `discover`"),
        ({"catalog": {"streams": []}}, "output of a source's `discover`"),
        ({"streams": [{"name": "users", "json_schema": {}}]}, "output of a source's `discover`"),
        ({"streams": [{"name": "users", "supported_sync_modes": []}]}, "output of a source's `discover`"),
        ({"streams": [{"name": "users", "syncMode": "incremental"}]}, "`syncCatalog` of Airbyte's API"),
        ({"streams": [{"stream": {"name": "users"}, "config": {"syncMode": "append"}}]}, "`syncCatalog` of Airbyte"),
        ({"streams": [{"stream": {"name": "users", "jsonSchema": {}}}]}, "`syncCatalog` of Airbyte's API"),
        ({"streams": [{"stream": {"name": "users"}, "primaryKey": [["id"]]}]}, "`syncCatalog` of Airbyte's API"),
        ({"syncCatalog": {"streams": []}}, "a connection of Airbyte's API"),
        ({"configurations": {"streams": []}}, "a connection of Airbyte's API"),
        ({"app_id": "11", "api": {}}, "a configuration; it may have been swapped with `--config`"),
    ],
)
def test_a_document_that_is_not_a_configured_catalog_is_recognised(catalog: Any, kind: str) -> None:
    """Treated as one, it would load without a primary key, or in another mode."""
    with pytest.raises(ConfigError) as refused:
        parse_catalog(catalog)
    assert kind in str(refused.value)
    assert 'Use one like `{"streams": [{"stream": {"name"' in str(refused.value)


@pytest.mark.parametrize("namespace", [5, [], {}, True])
def test_a_namespace_that_is_not_text_is_refused(namespace: Any) -> None:
    """No message could match it; an empty list is not text either."""
    with pytest.raises(ConfigError, match="The namespace of stream `users` in the configured catalog is not text"):
        parse_catalog({"streams": [configured(stream={"namespace": namespace})]})


@pytest.mark.parametrize("mode", [None, "", 5, []])
def test_a_sync_mode_that_is_not_text_is_the_default(mode: Any) -> None:
    """Like a missing one."""
    stream = parse_catalog({"streams": [configured(sync_mode=mode, destination_sync_mode=mode)]})
    assert (stream.sync_mode, stream.destination_sync_mode) == ("full_refresh", "append")


@pytest.mark.parametrize(
    ("mine", "theirs", "said"),
    [
        (("users", None), ("orders", None), "stream `orders`, but this connection loads only stream `users`"),
        (
            ("users", "crm"),
            ("users", "app"),
            "`users` (namespace `app`), but this connection loads only stream `users` (namespace `crm`)",
        ),
        (
            ("users", "crm"),
            ("orders", None),
            "`orders` (no namespace), but this connection loads only stream `users` (namespace `crm`)",
        ),
    ],
)
def test_a_row_of_another_stream_is_reported_with_full_names(
    mine: tuple[str, str | None], theirs: tuple[str, str | None], said: str
) -> None:
    """Two streams may differ only in their namespaces."""
    stream = parse_catalog({"streams": [configured(mine[0], stream={"namespace": mine[1]})]})
    assert said in str(stream.foreign_row(3, *theirs))


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
    """A namespace that one side omits is ignored."""
    stream = parse_catalog({"streams": [configured(mine[0], stream={"namespace": mine[1]})]})
    assert stream.carries(*theirs) is carried


@pytest.mark.parametrize(("given", "read"), [({"sync_id": 42}, 42), ({"sync_id": "42"}, None), ({}, None)])
def test_the_platforms_number_of_the_sync_is_read(given: dict[str, Any], read: int | None) -> None:
    """Files of rejected rows are sorted by it."""
    assert parse_catalog({"streams": [configured(**given)]}).sync_id == read
