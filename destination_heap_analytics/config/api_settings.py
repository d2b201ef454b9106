"""The settings of each API: how the columns of a row are mapped to Heap."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import ConfigDict, Field, model_validator

from destination_heap_analytics.config.field_types import (
    ColumnName,
    Columns,
    Confirmation,
    EventSource,
    Given,
    OptionalColumnName,
    OptionalUserColumns,
    UserColumns,
    fault,
    setting_fault,
)
from destination_heap_analytics.config.setting_group import SettingGroup
from destination_heap_analytics.heap_api import USER_IDS_PER_IDENTITY

_PROPERTIES: Final = (
    "The columns that become properties, separated by commas, or * for all; objects are flattened with dots. "
    "<code>amount as Order Amount</code> renames a column, <code>amount::number</code> converts text, and "
    "<code>* except (password)</code> leaves columns out."
)
_IDENTITY: Final = (
    "The column with the user's identity, as your site passes it to <code>heap.identify</code>. "
    "Case and spaces count; at most 255 characters. Heap creates a user for each new identity."
)


class TrackEvents(SettingGroup):
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
    def _has_one_user_column(self) -> TrackEvents:
        """Heap accepts either an identity or a user ID (https://developers.heap.io/reference/track-1)."""
        if self.identity_column and self.user_id_column:
            raise setting_fault(
                "user_id_column",
                "is set together with `api.identity_column`, but an event can have only one of them: remove one",
            )
        if self.user_id_column and self.also_user_properties:
            raise setting_fault(
                "also_user_properties",
                "needs `api.identity_column`: Heap sets user properties by identity only",
            )
        if not self.identity_column and not self.user_id_column:
            raise setting_fault("identity_column", None)
        return self


class UserProperties(SettingGroup):
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


class AccountProperties(SettingGroup):
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


class Identify(SettingGroup):
    """Each row assigns the past and future events of an anonymous user to an identity, through Heap's Identify API.

    This cannot be undone. Needs the Main Production ID.
    """

    model_config = ConfigDict(title="Identify Users")

    api_type: Literal["identify"] = Field(title="API Type", json_schema_extra={"order": 0})
    identity_column: ColumnName = Field(
        title="Identity Column",
        description=f"{_IDENTITY} At most {USER_IDS_PER_IDENTITY} user IDs per month can be assigned to one identity.",
        examples=["email"],
        json_schema_extra={"order": 1},
    )
    user_id_column: ColumnName = Field(
        title="User ID Column",
        description=(
            "The column with Heap's own numeric ID of the anonymous user, which the browser gets from "
            "<code>heap.userId</code>. A user ID can be assigned to one identity only."
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


class DeleteUsers(SettingGroup):
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
