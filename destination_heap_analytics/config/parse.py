"""Parses a configuration from Airbyte into the settings, or reports what is wrong with it in full sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from destination_heap_analytics.config.api_settings import (
    AccountProperties,
    DeleteUsers,
    Identify,
    TrackEvents,
    UserProperties,
)
from destination_heap_analytics.config.settings import BulkDelivery, RowDelivery, Settings
from destination_heap_analytics.config.storage_settings import LocalStorage, NoStorage, S3Storage
from destination_heap_analytics.errors import ConfigError
from destination_heap_analytics.heap_api import Api
from destination_heap_analytics.names import did_you_mean, nearest


@dataclass(frozen=True, slots=True)
class ParsedConfig:
    """The settings, and a warning about what was ignored in them; None if nothing was."""

    settings: Settings
    warning: str | None


def parse_config(config: Any) -> ParsedConfig:
    """The settings in a configuration from Airbyte.

    Raises:
        ConfigError: lists each setting that is wrong, and what to do.
    """
    if not isinstance(config, Mapping):
        raise ConfigError("The configuration must be a JSON object with the keys `app_id` and `api`.")
    objects = [config, *(config[name] for name in _BRANCHES if isinstance(config.get(name), Mapping))]
    if not all(isinstance(key, str) for given in objects for key in given):
        raise ConfigError("The configuration has a key that is not text. In JSON, all keys are text.")
    given = _without_nulls(config)
    try:
        settings = Settings.model_validate(given)
    except ValidationError as invalid:
        faults = invalid.errors(include_url=False, include_context=True, include_input=False)
        raise ConfigError(" ".join(_sentence(fault, given) for fault in faults)) from None
    return ParsedConfig(settings, " ".join(_warnings(config, given, settings)) or None)


def _without_nulls(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration without its null settings: null means the same as leaving a setting out."""
    return {
        key: {inner: member for inner, member in value.items() if member is not None}
        if key in _BRANCHES and isinstance(value, Mapping)
        else value
        for key, value in config.items()
        if value is not None
    }


def _warnings(config: Mapping[str, Any], given: Mapping[str, Any], settings: Settings) -> Iterator[str]:
    if unknown := list(_unknown_keys({**dict.fromkeys(config), **given}, settings)):
        yield f"Unknown settings are ignored: {', '.join(unknown)}."
    listed = None if isinstance(settings.api, Identify | DeleteUsers) else settings.api.property_columns
    if listed and listed.warning:
        yield f"`api.property_columns` {listed.warning}."
    if settings.user_columns and settings.user_columns.warning:
        yield f"`api.also_user_properties` {settings.user_columns.warning}."


@dataclass(frozen=True, slots=True)
class _Choice:
    """A setting with branches.

    Attributes:
        selector: the key that selects the branch.
        branches: the branches by the value of that key.
        remedy: what to do if the object is missing or invalid.
    """

    selector: str
    branches: Mapping[str, type[BaseModel]]
    remedy: str


_BRANCHES: Final = {
    "api": _Choice(
        "api_type",
        {
            Api.TRACK.value: TrackEvents,
            Api.USER_PROPERTIES.value: UserProperties,
            Api.ACCOUNT_PROPERTIES.value: AccountProperties,
            Api.IDENTIFY.value: Identify,
            Api.DELETE_USERS.value: DeleteUsers,
        },
        "use an object with `api_type` and the columns of that API",
    ),
    "delivery": _Choice(
        "mode",
        {"bulk": BulkDelivery, "row": RowDelivery},
        'use {"mode": "bulk"}, or {"mode": "row"} for one request per row',
    ),
    "object_storage_config": _Choice(
        "storage_type",
        {"None": NoStorage, "Local": LocalStorage, "S3": S3Storage},
        "use an object with `storage_type`, which is one of None, Local, S3",
    ),
}
_CHOICES: Final = {
    **{f"{name}.{choice.selector}": tuple(choice.branches) for name, choice in _BRANCHES.items()},
    "rejected_records": ("continue", "fail"),
    "deleted_records": ("skip", "send"),
    "object_storage_config.format.format_type": ("JSONL",),
}
_REMEDIES: Final = {
    "app_id": 'set it to the environment ID that Heap shows under Account > Manage > Projects, such as "11"',
    "api.property_columns": "list the columns that become properties, separated by commas, or use * for all",
    "api.event_column": "set it to the column that contains the event's name",
    "api.identity_column": "set it to the column that contains the user's identity",
    "api.account_id_column": "set it to the column that contains the account's ID",
    "api.user_id_column": "set it to the column that contains Heap's own user ID",
    "api.api_key": "set it to the key that Heap shows under Account > Manage > Privacy & Security",
    "api.confirm": "set it to `delete` to confirm that each row permanently deletes a user, in all environments",
    "object_storage_config.path": "set it to the directory for rejected rows",
    "object_storage_config.s3_bucket_name": "set it to the bucket for rejected rows",
    "object_storage_config.bucket_path": "set it to the prefix of the object names in the bucket",
    "object_storage_config.format": 'leave it out, or use {"format_type": "JSONL"}',
    **{name: choice.remedy for name, choice in _BRANCHES.items()},
    **{setting: f"use one of {', '.join(options)}" for setting, options in _CHOICES.items()},
}
_KNOWN_KEYS: Final = {
    "": frozenset(Settings.model_fields),
    **{
        f"{name}.": frozenset(key for branch in choice.branches.values() for key in branch.model_fields)
        for name, choice in _BRANCHES.items()
    },
}
_ALL_KEYS: Final = frozenset().union(*_KNOWN_KEYS.values())


def _unknown_keys(config: Mapping[str, Any], settings: Settings) -> Iterator[str]:
    objects = [("", config, settings)]
    objects += [(f"{name}.", config[name], getattr(settings, name)) for name in _BRANCHES if config.get(name)]
    for prefix, given, parsed in objects:
        known = type(parsed).model_fields
        for key in given:
            if key not in known:
                stray = " (which belongs to another option)" if prefix and key in _KNOWN_KEYS[prefix] else ""
                yield f"`{prefix}{key!s}`" + (stray or did_you_mean(str(key), known, prefix))


def _sentence(fault: ErrorDetails, config: Mapping[str, Any]) -> str:
    keys = [str(key) for key in fault["loc"]]
    if fault["type"] in {"union_tag_invalid", "union_tag_not_found"}:
        keys = [keys[0], _BRANCHES[keys[0]].selector]
    elif keys[0] in _BRANCHES and len(keys) > 1:
        keys = [keys[0], *keys[2:]]  # the second is the branch of the union
    if fault["type"] == "other_setting":
        keys.append(fault["ctx"]["setting"])
    setting, key = ".".join(keys), keys[-1]
    if fault.get("ctx", {}).get("sentence"):
        return f"`{setting}` {fault['ctx']['sentence']}."
    given: Any = config
    for parent in keys[:-1]:
        given = given[parent]
    if key not in given:
        strays = [str(other) for other in given if other not in _ALL_KEYS]
        misspelt = [stray for stray in strays if nearest(stray, _ALL_KEYS) == key]
        return f"`{setting}` is missing: {f'rename `{misspelt[0]}`' if misspelt else _REMEDIES[setting]}."
    guess = did_you_mean(given[key], _CHOICES.get(setting, ())) if isinstance(given[key], str) else ""
    return f"`{setting}` is not valid: {_REMEDIES[setting]}{guess}."
