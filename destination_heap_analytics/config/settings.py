"""The settings: what each is called, what it takes, and what the form says of it.

The specification that the Airbyte form shows is drawn from these classes (specification.py), so a setting is
described here and nowhere else. Its keys are a contract with saved connections: add, never rename.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from destination_heap_analytics.config.field_types import (
    AppId,
    BaseUrl,
    ColumnName,
    ColumnNames,
    EventsPerMinute,
    Given,
    OptionalText,
    S3Endpoint,
    S3Region,
    Text,
    UserColumnNames,
)
from destination_heap_analytics.heap_api import EU_HOST, EVENTS_PER_MINUTE, US_HOST, Api

_PROPERTIES: Final = (
    "The columns that become properties, with commas between them, or * for all. Objects are flattened with dots."
)
_IDENTITY: Final = (
    "The column that says whose row it is, by the identity that your site gives to <code>heap.identify</code>. "
    "Case and spaces count; at most 255 characters. Heap creates a user for each new one."
)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, hide_input_in_errors=True)


class TrackEvents(_Frozen):
    """Each row becomes an event of a user, by Heap's Track API."""

    model_config = ConfigDict(title="Track Events")

    api_type: Literal["track"] = Field(title="API Type", json_schema_extra={"order": 0})
    identity_column: ColumnName = Field(
        title="Identity Column",
        description=_IDENTITY,
        examples=["email", "user_id"],
        json_schema_extra={"order": 1},
    )
    event_column: ColumnName = Field(
        title="Event Column",
        description="The column that holds the event's name, at most 1,024 characters.",
        examples=["event_name", "identities.connection"],
        json_schema_extra={"order": 2},
    )
    timestamp_column: ColumnName | None = Field(
        default=None,
        title="Timestamp Column",
        description=(
            "The column that holds the time of the event: ISO 8601, or epoch seconds, milliseconds or microseconds. "
            "Name it where there is one: without it events take the time of loading, and a row that is loaded again "
            "can become a second event."
        ),
        examples=["updated_at"],
        json_schema_extra={"order": 3, "always_show": True},
    )
    property_columns: ColumnNames = Field(
        title="Property Columns",
        description=_PROPERTIES,
        examples=["blocked,created_at,name", "*"],
        json_schema_extra={"order": 4},
    )


class UserProperties(_Frozen):
    """Each row sets properties of a user, by Heap's Add User Properties API. Takes the Main Production ID."""

    model_config = ConfigDict(title="Add User Properties")

    api_type: Literal["add_user_properties"] = Field(title="API Type", json_schema_extra={"order": 0})
    identity_column: ColumnName = Field(
        title="Identity Column",
        description=_IDENTITY,
        examples=["email", "user_id"],
        json_schema_extra={"order": 1},
    )
    property_columns: UserColumnNames = Field(
        title="Property Columns",
        description=f"{_PROPERTIES} Heap forbids a user property named <code>id</code>, in any casing.",
        examples=["identities.provider,created_at,nickname", "*"],
        json_schema_extra={"order": 2},
    )


class AccountProperties(_Frozen):
    """Each row sets properties of an account, by Heap's Add Account Properties API. Takes the Main Production ID.

    Accounts must be set up in Heap first: choose the Account ID property there, or connect Salesforce.
    """

    model_config = ConfigDict(title="Add Account Properties")

    api_type: Literal["add_account_properties"] = Field(title="API Type", json_schema_extra={"order": 0})
    account_id_column: ColumnName = Field(
        title="Account ID Column",
        description="The column that says whose row it is, by the account's ID, at most 255 characters.",
        examples=["account_id", "identities.user_id"],
        json_schema_extra={"order": 1},
    )
    property_columns: ColumnNames = Field(
        title="Property Columns",
        description=_PROPERTIES,
        examples=["family_name,email_verified,blocked", "*"],
        json_schema_extra={"order": 2},
    )


ApiSettings = TrackEvents | UserProperties | AccountProperties

_EVENTS_PER_MINUTE: Any = Field(
    default=EVENTS_PER_MINUTE,
    title="Events per Minute",
    description=(
        "For Track Events: how many events a minute this connection sends at most. Heap takes 15,000 a minute for an "
        "app; give less where several connections load into the same app."
    ),
    examples=[EVENTS_PER_MINUTE],
    json_schema_extra={"order": 1},
)


class BulkDelivery(_Frozen):
    """Up to 1,000 rows in a request: as fast as Heap takes them."""

    model_config = ConfigDict(title="Bulk Requests")

    mode: Literal["bulk"] = Field(title="Mode", json_schema_extra={"order": 0})
    max_events_per_minute: EventsPerMinute = _EVENTS_PER_MINUTE


class RowDelivery(_Frozen):
    """One request for each row, several at a time. Slower, for whoever wants each row as a request of its own."""

    model_config = ConfigDict(title="One Request per Row")

    mode: Literal["row"] = Field(title="Mode", json_schema_extra={"order": 0})
    max_events_per_minute: EventsPerMinute = _EVENTS_PER_MINUTE


class NoStorage(_Frozen):
    """Rejected rows are counted and explained in the log, and kept nowhere."""

    model_config = ConfigDict(title="None")

    storage_type: Literal["None"] = Field(title="Storage Type", json_schema_extra={"order": 0})


class LocalStorage(_Frozen):
    """Rejected rows go to files on the machine that runs the connector."""

    model_config = ConfigDict(title="Local Directory")

    storage_type: Literal["Local"] = Field(title="Storage Type", json_schema_extra={"order": 0})
    path: Given = Field(
        title="Directory",
        description=(
            "The directory below which the files go; it is made where it is missing. In a container it must be a "
            "mounted one, or the files are gone with it."
        ),
        examples=["/local/rejected"],
        json_schema_extra={"order": 1},
    )


class JsonLines(_Frozen):
    """One JSON object per line."""

    model_config = ConfigDict(title="JSON Lines")

    format_type: Literal["JSONL"] = Field(title="Format Type", json_schema_extra={"order": 0})


class S3Storage(_Frozen):
    """Rejected rows go to a bucket of Amazon S3, or of anything that speaks like it."""

    model_config = ConfigDict(title="S3 Bucket")

    storage_type: Literal["S3"] = Field(title="Storage Type", json_schema_extra={"order": 0})
    access_key_id: OptionalText = Field(
        default=None,
        title="Access Key ID",
        description="Of a user who may put objects into the bucket. Left empty, the machine's own identity is taken.",
        examples=["AKIAIOSFODNN7EXAMPLE"],
        json_schema_extra={"order": 1, "airbyte_secret": True, "always_show": True},
    )
    secret_access_key: OptionalText = Field(
        default=None,
        title="Secret Access Key",
        description="The secret that belongs to the access key ID.",
        examples=["wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"],
        json_schema_extra={"order": 2, "airbyte_secret": True, "always_show": True},
    )
    role_arn: OptionalText = Field(
        default=None,
        title="Role ARN",
        description="A role to assume for writing, by the access key or by the machine's own AWS identity.",
        examples=["arn:aws:iam::123456789012:role/rejected-rows"],
        json_schema_extra={"order": 3},
    )
    s3_bucket_name: Given = Field(
        title="S3 Bucket Name",
        description="The bucket that takes the files; it must exist.",
        examples=["my-rejected-rows"],
        json_schema_extra={"order": 4},
    )
    s3_bucket_region: S3Region = Field(
        default="",
        title="S3 Bucket Region",
        description="The region of the bucket. Left empty, the machine's own AWS settings decide.",
        json_schema_extra={"order": 5, "always_show": True},
    )
    s3_endpoint: S3Endpoint = Field(
        default=None,
        title="S3 Endpoint",
        description="The address of a service other than Amazon's that speaks like S3. Leave it empty for Amazon.",
        examples=["https://storage.example.com:9000"],
        json_schema_extra={"order": 6},
    )
    bucket_path: Text = Field(
        title="Prefix Path in the Bucket",
        description="The folder in the bucket that takes the files.",
        examples=["heap/rejected"],
        json_schema_extra={"order": 7, "default": "heap/rejected"},
    )
    format: JsonLines = Field(
        default=JsonLines(format_type="JSONL"),
        title="Format",
        description="The format of the files: one JSON object per line.",
        json_schema_extra={"order": 8, "airbyte_hidden": True},
    )


class Settings(_Frozen):
    """Everything that a user sets. Where it goes, what becomes of a row, and what happens to a bad one."""

    model_config = ConfigDict(title="Heap Analytics")

    app_id: AppId = Field(
        title="App ID",
        description=(
            "The environment ID, which Heap shows under Account > Manage > Projects; your site gives the same number "
            "to <code>heap.load</code>. Track Events takes that of any environment; Add User Properties and Add "
            "Account Properties take that of Main Production only."
        ),
        examples=["11"],
        json_schema_extra={"order": 0},
    )
    base_url: BaseUrl = Field(
        default=US_HOST,
        title="Base URL",
        description=f"Where Heap keeps your data. For an account in the EU: {EU_HOST}.",
        examples=[US_HOST, EU_HOST],
        json_schema_extra={"order": 1, "always_show": True},
    )
    api: ApiSettings = Field(
        discriminator="api_type",
        title="API Type",
        description=(
            "What each row becomes in Heap. Columns go by their names in the source; one inside an object is written "
            "with dots: <code>identities.user_id</code>. A connection loads one stream by one of the three; for a "
            "second stream, or a second mapping, make another destination."
        ),
        json_schema_extra={"order": 2},
    )
    delivery: BulkDelivery | RowDelivery = Field(
        default=RowDelivery(mode="row"),
        discriminator="mode",
        title="Delivery",
        description="How rows travel to Heap: in bulk, unless there is a reason.",
        json_schema_extra={"order": 3},
    )
    rejected_records: Literal["continue", "fail"] = Field(
        default="continue",
        title="Rejected Records",
        description=(
            "What happens when a row lacks what Heap needs, or Heap refuses it. <code>continue</code> sets the row "
            "aside, counts it, and says at the end which rows and why; <code>fail</code> ends the sync there."
        ),
        json_schema_extra={"order": 4},
    )
    object_storage_config: NoStorage | LocalStorage | S3Storage = Field(
        default=NoStorage(storage_type="None"),
        discriminator="storage_type",
        title="Storage of Rejected Records",
        description=(
            "Where rejected rows are kept, each with the reason, so that they can be mended and sent again. Rows are "
            "personal data: mind who may read that place."
        ),
        json_schema_extra={"order": 5},
    )

    @property
    def selected_api(self) -> Api:
        """The API that the rows go to."""
        return Api(self.api.api_type)
