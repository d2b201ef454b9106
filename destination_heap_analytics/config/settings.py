"""The settings: the name, type and form text of each.

The specification behind the Airbyte form is generated from these classes (spec.py), so a setting is described here
and nowhere else. The keys are a contract with saved connections: add, never rename.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from destination_heap_analytics.config.field_types import (
    AppId,
    BaseUrl,
    ColumnName,
    Columns,
    Confirmation,
    EventSource,
    EventsPerMinute,
    Given,
    OptionalColumnName,
    OptionalText,
    OptionalUserColumns,
    S3Endpoint,
    S3Region,
    Text,
    UserColumns,
    fault,
    setting_fault,
)
from destination_heap_analytics.config.grammar import ColumnList
from destination_heap_analytics.heap_api import EU_HOST, EVENTS_PER_MINUTE, US_HOST, USER_IDS_PER_IDENTITY, Api

_PROPERTIES: Final = (
    "The columns that become properties, separated by commas, or * for all; objects are flattened with dots. "
    "<code>amount as Order Amount</code> renames a column, <code>amount::number</code> converts text, and "
    "<code>* except (password)</code> leaves columns out."
)
_IDENTITY: Final = (
    "The column with the user's identity, as your site passes it to <code>heap.identify</code>. "
    "Case and spaces count; at most 255 characters. Heap creates a user for each new identity."
)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, hide_input_in_errors=True)


class TrackEvents(_Frozen):
    """Each row becomes an event of a user, through Heap's Track API."""

    model_config = ConfigDict(title="Track Events")

    api_type: Literal["track"] = Field(title="API Type", json_schema_extra={"order": 0})
    identity_column: OptionalColumnName = Field(
        default=None,
        title="Identity Column",
        description=f"{_IDENTITY} Empty only with a User ID Column.",
        examples=["email", "user_id"],
        json_schema_extra={"order": 1, "always_show": True},
    )
    event_column: EventSource = Field(
        title="Event Column",
        description=("The column with the name of the event; or, in single quotes, the name of all events."),
        examples=["event_name", "'Order Placed'"],
        json_schema_extra={"order": 2},
    )
    timestamp_column: OptionalColumnName = Field(
        default=None,
        title="Timestamp Column",
        description=(
            "The column with the time of the event: ISO 8601, a Unix epoch, or a compact date such as 20221021. Set it "
            "if there is one: otherwise events get the time of loading, and a row that is loaded again can become a "
            "second event."
        ),
        examples=["updated_at"],
        json_schema_extra={"order": 3, "always_show": True},
    )
    property_columns: Columns = Field(
        title="Property Columns",
        description=_PROPERTIES,
        examples=["blocked,created_at,name", "*"],
        json_schema_extra={"order": 4},
    )
    user_id_column: OptionalColumnName = Field(
        default=None,
        title="User ID Column",
        description=(
            "The column with Heap's own numeric ID of the user, which the browser gets from <code>heap.userId</code>, "
            "for events of users without an identity. Set it instead of the Identity Column."
        ),
        examples=["heap_user_id"],
        json_schema_extra={"order": 5},
    )
    also_user_properties: OptionalUserColumns = Field(
        default=None,
        title="Also User Properties",
        description=(
            "The columns that each row also sets as properties of its user, written like the Property Columns. Needs "
            "the Main Production ID."
        ),
        examples=["name,plan"],
        json_schema_extra={"order": 6},
    )

    @model_validator(mode="after")
    def _names_whose_event_it_is(self) -> TrackEvents:
        """Heap takes exactly one of the two (https://developers.heap.io/reference/track-1)."""
        if self.identity_column and self.user_id_column:
            raise setting_fault(
                "user_id_column",
                "is set together with `api.identity_column`, but an event belongs to one of them: remove one",
            )
        if self.user_id_column and self.also_user_properties:
            raise setting_fault(
                "also_user_properties",
                "needs `api.identity_column`: Heap takes properties of users by their identity only",
            )
        if not self.identity_column and not self.user_id_column:
            raise setting_fault("identity_column", None)
        return self


class UserProperties(_Frozen):
    """Each row sets properties of a user, through Heap's Add User Properties API. Needs the Main Production ID."""

    model_config = ConfigDict(title="Add User Properties")

    api_type: Literal["add_user_properties"] = Field(title="API Type", json_schema_extra={"order": 0})
    identity_column: ColumnName = Field(
        title="Identity Column",
        description=_IDENTITY,
        examples=["email", "user_id"],
        json_schema_extra={"order": 1},
    )
    property_columns: UserColumns = Field(
        title="Property Columns",
        description=f"{_PROPERTIES} Heap does not allow a user property named <code>id</code>, in any letter case.",
        examples=["identities.provider,created_at,nickname", "*"],
        json_schema_extra={"order": 2},
    )


class AccountProperties(_Frozen):
    """Each row sets properties of an account, through Heap's Add Account Properties API. Needs the Main Production ID.

    Set up accounts in Heap first: choose the Account ID property there, or connect Salesforce.
    """

    model_config = ConfigDict(title="Add Account Properties")

    api_type: Literal["add_account_properties"] = Field(title="API Type", json_schema_extra={"order": 0})
    account_id_column: ColumnName = Field(
        title="Account ID Column",
        description="The column with the ID of the account, at most 255 characters.",
        examples=["account_id", "identities.user_id"],
        json_schema_extra={"order": 1},
    )
    property_columns: Columns = Field(
        title="Property Columns",
        description=_PROPERTIES,
        examples=["family_name,email_verified,blocked", "*"],
        json_schema_extra={"order": 2},
    )


class Identify(_Frozen):
    """Each row gives the past and future events of an anonymous user to an identity, through Heap's Identify API.

    This cannot be undone. Needs the Main Production ID.
    """

    model_config = ConfigDict(title="Identify Users")

    api_type: Literal["identify"] = Field(title="API Type", json_schema_extra={"order": 0})
    identity_column: ColumnName = Field(
        title="Identity Column",
        description=f"{_IDENTITY} At most {USER_IDS_PER_IDENTITY} user IDs per month can be given to one identity.",
        examples=["email"],
        json_schema_extra={"order": 1},
    )
    user_id_column: ColumnName = Field(
        title="User ID Column",
        description=(
            "The column with Heap's own numeric ID of the anonymous user, which the browser gets from "
            "<code>heap.userId</code>. A user ID can be given to one identity only."
        ),
        examples=["heap_user_id"],
        json_schema_extra={"order": 2},
    )
    timestamp_column: OptionalColumnName = Field(
        default=None,
        title="Timestamp Column",
        description="The column with the time at which the user was identified; without one, the time of loading.",
        examples=["signed_up_at"],
        json_schema_extra={"order": 3, "always_show": True},
    )


class DeleteUsers(_Frozen):
    """Each row permanently deletes a user, in ALL environments of your Heap account, through Heap's User Deletion API.

    This cannot be undone. Needs the Main Production ID and an API key.
    """

    model_config = ConfigDict(title="Delete Users")

    api_type: Literal["delete_users"] = Field(title="API Type", json_schema_extra={"order": 0})
    identity_column: OptionalColumnName = Field(
        default=None,
        title="Identity Column",
        description="The column with the identity of the user to delete. Give this or the User ID Column, not both.",
        examples=["email"],
        json_schema_extra={"order": 1, "always_show": True},
    )
    user_id_column: OptionalColumnName = Field(
        default=None,
        title="User ID Column",
        description="The column with Heap's own numeric ID of the user to delete.",
        examples=["heap_user_id"],
        json_schema_extra={"order": 2, "always_show": True},
    )
    api_key: Given = Field(
        title="API Key",
        description="The key that an admin creates in Heap under Account > Manage > Privacy & Security.",
        examples=["0123456789abcdef"],
        json_schema_extra={"order": 3, "airbyte_secret": True},
    )
    confirm: Confirmation = Field(
        title="Confirm Deletion",
        description=(
            "Type <code>delete</code> to confirm that every row of the stream permanently deletes a user, with "
            "all events, from all environments."
        ),
        examples=["delete"],
        json_schema_extra={"order": 4},
    )

    @model_validator(mode="after")
    def _has_one_column(self) -> DeleteUsers:
        if (self.identity_column is None) == (self.user_id_column is None):
            raise fault("must have exactly one of `identity_column` and `user_id_column`")
        return self


ApiSettings = TrackEvents | UserProperties | AccountProperties | Identify | DeleteUsers

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


class BulkDelivery(_Frozen):
    """Up to 1,000 rows per request: as fast as Heap accepts them."""

    model_config = ConfigDict(title="Bulk Requests")

    mode: Literal["bulk"] = Field(title="Mode", json_schema_extra={"order": 0})
    max_events_per_minute: EventsPerMinute = _EVENTS_PER_MINUTE


class RowDelivery(_Frozen):
    """One request per row, several at a time. Slower; choose it if each row must be a separate request."""

    model_config = ConfigDict(title="One Request per Row")

    mode: Literal["row"] = Field(title="Mode", json_schema_extra={"order": 0})
    max_events_per_minute: EventsPerMinute = _EVENTS_PER_MINUTE


class NoStorage(_Frozen):
    """Rejected rows are counted and explained in the log, but not stored."""

    model_config = ConfigDict(title="None")

    storage_type: Literal["None"] = Field(title="Storage Type", json_schema_extra={"order": 0})


class LocalStorage(_Frozen):
    """Rejected rows are written to files on the machine that runs the connector."""

    model_config = ConfigDict(title="Local Directory")

    storage_type: Literal["Local"] = Field(title="Storage Type", json_schema_extra={"order": 0})
    path: Given = Field(
        title="Directory",
        description=(
            "The directory for the files, created if it does not exist. In a container it must be mounted; otherwise "
            "the files disappear with the container."
        ),
        examples=["/local/rejected"],
        json_schema_extra={"order": 1},
    )


class JsonLines(_Frozen):
    """One JSON object per line."""

    model_config = ConfigDict(title="JSON Lines")

    format_type: Literal["JSONL"] = Field(title="Format Type", json_schema_extra={"order": 0})


class S3Storage(_Frozen):
    """Rejected rows are written to a bucket in Amazon S3 or an S3-compatible service."""

    model_config = ConfigDict(title="S3 Bucket")

    storage_type: Literal["S3"] = Field(title="Storage Type", json_schema_extra={"order": 0})
    access_key_id: OptionalText = Field(
        default=None,
        title="Access Key ID",
        description="Of a user who may put objects into the bucket. If empty, the machine's own AWS identity is used.",
        examples=["AKIAIOSFODNN7EXAMPLE"],
        json_schema_extra={"order": 1, "airbyte_secret": True, "always_show": True},
    )
    secret_access_key: OptionalText = Field(
        default=None,
        title="Secret Access Key",
        description="The secret of the access key ID.",
        examples=["wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"],
        json_schema_extra={"order": 2, "airbyte_secret": True, "always_show": True},
    )
    role_arn: OptionalText = Field(
        default=None,
        title="Role ARN",
        description="A role to assume for writing, with the access key or the machine's own AWS identity.",
        examples=["arn:aws:iam::123456789012:role/rejected-rows"],
        json_schema_extra={"order": 3},
    )
    s3_bucket_name: Given = Field(
        title="S3 Bucket Name",
        description="The bucket for the files; it must exist.",
        examples=["my-rejected-rows"],
        json_schema_extra={"order": 4},
    )
    s3_bucket_region: S3Region = Field(
        default="",
        title="S3 Bucket Region",
        description="The region of the bucket. If empty, the machine's own AWS settings decide.",
        json_schema_extra={"order": 5, "always_show": True},
    )
    s3_endpoint: S3Endpoint = Field(
        default=None,
        title="S3 Endpoint",
        description="The address of an S3-compatible service. Leave it empty for Amazon S3.",
        examples=["https://storage.example.com:9000"],
        json_schema_extra={"order": 6},
    )
    bucket_path: Text = Field(
        title="S3 Bucket Path",
        description="The prefix of the object names in the bucket.",
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
            "How rows are sent to Heap. Bulk is faster and suits almost every case. It makes no difference to Identify "
            "Users, which Heap takes one by one, and Delete Users, which it takes in bulk."
        ),
        json_schema_extra={"order": 3},
    )
    rejected_records: Literal["continue", "fail"] = Field(
        default="continue",
        title="Rejected Records",
        description=(
            "What happens if a row lacks what Heap needs, or Heap refuses it. <code>continue</code> skips the row, "
            "counts it, and reports at the end which rows and why; <code>fail</code> stops the sync at that row."
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
        """The columns that become properties of the user of an event; None if none do."""
        return self.api.also_user_properties if isinstance(self.api, TrackEvents) else None

    @property
    def selected_api(self) -> Api:
        """The API that the rows go to."""
        return Api(self.api.api_type)

    @property
    def is_bulk(self) -> bool:
        """Whether a request carries many rows."""
        endpoint = self.selected_api.endpoint
        return endpoint.bulk_field is not None and (self.delivery.mode == "bulk" or not endpoint.has_single)

    @property
    def url(self) -> str:
        """The host that requests go to: for deletions Heap documents that of the US, for both data centres."""
        return US_HOST if self.selected_api is Api.DELETE_USERS and self.base_url == EU_HOST else self.base_url
