"""The settings of the storage of rejected rows: none, a directory, or a bucket."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from destination_heap_analytics.config.field_types import Given, OptionalText, S3Endpoint, S3Region, Text
from destination_heap_analytics.config.setting_group import SettingGroup


class NoStorage(SettingGroup):
    """Rejected rows are counted and explained in the log, but not stored."""

    model_config = ConfigDict(title="None")

    storage_type: Literal["None"] = Field(title="Storage Type", json_schema_extra={"order": 0})


class LocalStorage(SettingGroup):
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


class JsonLines(SettingGroup):
    """One JSON object per line."""

    model_config = ConfigDict(title="JSON Lines")

    format_type: Literal["JSONL"] = Field(title="Format Type", json_schema_extra={"order": 0})


class S3Storage(SettingGroup):
    """Rejected rows are written to a bucket in Amazon S3 or an S3-compatible service."""

    model_config = ConfigDict(title="S3 Bucket")

    storage_type: Literal["S3"] = Field(title="Storage Type", json_schema_extra={"order": 0})
    access_key_id: OptionalText = Field(
        default=None,
        title="Access Key ID",
        description=(
            "The access key of a user with s3:PutObject permission. If empty, the machine's own AWS identity is used."
        ),
        examples=["AKIAIOSFODNN7EXAMPLE"],
        json_schema_extra={"order": 1, "airbyte_secret": True, "always_show": True},
    )
    secret_access_key: OptionalText = Field(
        default=None,
        title="Secret Access Key",
        description="The secret access key that belongs to the access key ID.",
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
        description="The region of the bucket. If empty, the machine's AWS settings are used.",
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
