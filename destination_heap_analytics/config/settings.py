"""All settings of a connection: the name, type and form text of each.

The settings of each API are in api_settings.py, those of the storage of rejected rows in storage_settings.py. The
specification behind the Airbyte form is generated from these classes (spec.py), so each setting is described only
here. Saved connections depend on the keys: add keys, never rename them.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from destination_heap_analytics.config.api_settings import ApiSettings, DeleteUsers, Identify, TrackEvents
from destination_heap_analytics.config.column_list import ColumnList
from destination_heap_analytics.config.field_types import AppId, BaseUrl, EventsPerMinute
from destination_heap_analytics.config.setting_group import SettingGroup
from destination_heap_analytics.config.storage_settings import LocalStorage, NoStorage, S3Storage
from destination_heap_analytics.heap_api import EU_HOST, EVENTS_PER_MINUTE, US_HOST, Api

_EVENTS_PER_MINUTE: Any = Field(
    default=EVENTS_PER_MINUTE,
    title="Events per Minute",
    description=(
        "For Track Events: the most events that this connection sends per minute. Heap accepts 15,000 per minute and "
        "app; choose less if several connections load into the same app."
    ),
    examples=[EVENTS_PER_MINUTE],
    json_schema_extra={"order": 1},
)


class BulkDelivery(SettingGroup):
    """Up to 1,000 rows per request: as fast as Heap accepts them."""

    model_config = ConfigDict(title="Bulk Requests")

    mode: Literal["bulk"] = Field(title="Mode", json_schema_extra={"order": 0})
    max_events_per_minute: EventsPerMinute = _EVENTS_PER_MINUTE


class RowDelivery(SettingGroup):
    """One request per row, several at a time. Slower; choose it if each row must be a separate request."""

    model_config = ConfigDict(title="One Request per Row")

    mode: Literal["row"] = Field(title="Mode", json_schema_extra={"order": 0})
    max_events_per_minute: EventsPerMinute = _EVENTS_PER_MINUTE


class Settings(SettingGroup):
    """Everything that a user sets: where rows go, what they become, and what happens to rejected ones."""

    model_config = ConfigDict(title="Heap Analytics")

    app_id: AppId = Field(
        title="App ID",
        description=(
            "The environment ID, which Heap shows under Account > Manage > Projects; your site passes the same number "
            "to <code>heap.load</code>. Track Events accepts any environment; the other APIs accept Main Production "
            "only."
        ),
        examples=["11"],
        json_schema_extra={"order": 0},
    )
    base_url: BaseUrl = Field(
        default=US_HOST,
        title="Base URL",
        description=f"The address of Heap's API. For an account in the EU: {EU_HOST}.",
        examples=[US_HOST, EU_HOST],
        json_schema_extra={"order": 1, "always_show": True},
    )
    api: ApiSettings = Field(
        discriminator="api_type",
        title="API Type",
        description=(
            "What each row becomes in Heap. Name columns as the source does; write a column inside an object with "
            "dots: <code>identities.user_id</code>. A connection loads one stream through one API; for a "
            "second stream or mapping, create another destination."
        ),
        json_schema_extra={"order": 2},
    )
    delivery: BulkDelivery | RowDelivery = Field(
        default=RowDelivery(mode="row"),
        discriminator="mode",
        title="Delivery",
        description=(
            "How rows are sent to Heap. Bulk is faster and suits almost every case. This has no effect on Identify "
            "Users (always one row per request) and Delete Users (always in bulk)."
        ),
        json_schema_extra={"order": 3},
    )
    rejected_records: Literal["continue", "fail"] = Field(
        default="continue",
        title="Rejected Records",
        description=(
            "What happens if a row lacks a value that Heap requires, or if Heap refuses it. <code>continue</code> "
            "skips the row, counts it, and reports at the end which rows and why; <code>fail</code> stops the sync at "
            "that row."
        ),
        json_schema_extra={"order": 4},
    )
    deleted_records: Literal["skip", "send"] = Field(
        default="skip",
        title="Deleted Records",
        description=(
            "What happens to rows that change data capture marks as deleted, in the column "
            "<code>_ab_cdc_deleted_at</code>. <code>skip</code> sends nothing and counts them; <code>send</code> sends "
            "them like other rows."
        ),
        json_schema_extra={"order": 5},
    )
    object_storage_config: NoStorage | LocalStorage | S3Storage = Field(
        default=NoStorage(storage_type="None"),
        discriminator="storage_type",
        title="Storage of Rejected Records",
        description=(
            "Where rejected rows are stored, each with the reason, so that they can be fixed and sent again. Rows are "
            "personal data: restrict who can read this place."
        ),
        json_schema_extra={"order": 6},
    )

    @property
    def columns(self) -> ColumnList:
        """The columns that become properties."""
        return ColumnList() if isinstance(self.api, Identify | DeleteUsers) else self.api.property_columns

    @property
    def user_columns(self) -> ColumnList | None:
        """The columns that become properties of an event's user; None if there are none."""
        return self.api.also_user_properties if isinstance(self.api, TrackEvents) else None

    @property
    def selected_api(self) -> Api:
        """The API that rows are sent to."""
        return Api(self.api.api_type)

    @property
    def is_bulk(self) -> bool:
        """Whether a request carries many rows."""
        endpoint = self.selected_api.endpoint
        return endpoint.bulk_field is not None and (self.delivery.mode == "bulk" or not endpoint.has_single)

    @property
    def url(self) -> str:
        """The host that requests are sent to. For deletions, Heap documents the US host for both data centres."""
        return US_HOST if self.selected_api is Api.DELETE_USERS and self.base_url == EU_HOST else self.base_url
