"""The settings: parsed once at the edge, frozen from then on.

The specification that the Airbyte form shows is drawn from these classes (specification.py), so a setting is
described here and nowhere else. Its keys are a contract with saved connections: add, never rename.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from ipaddress import ip_address
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema
from pydantic_core import ErrorDetails, PydanticCustomError

from destination_heap_analytics.errors import ConfigError
from destination_heap_analytics.heap_api import EU_HOST, MAX_PROPERTY, US_HOST, Api, text_units

ALL_COLUMNS: Final = ("*",)
"""The value of `property_columns` that takes every attribute."""

_CONTAINER_HOSTS: Final = frozenset({"localhost", "host.docker.internal", "host.containers.internal"})


def _fault(sentence: str) -> PydanticCustomError:
    return PydanticCustomError("setting", "{sentence}", {"sentence": sentence})


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _fault("must be a text in quotes")
    return value.strip()


def _digits(value: object) -> str:
    text = value.strip() if isinstance(value, str) else ""
    if not re.fullmatch("[0-9]+", text):
        raise _fault(
            'must be the environment ID, which is digits only, as a text in quotes, such as "11"; '
            "Heap shows it under Account > Manage > Projects"
        )
    return text


def _url(value: object) -> str:
    text = US_HOST if value is None else _text(value).rstrip("/")
    remedy = f"give {US_HOST}, or {EU_HOST} for data kept in the EU"
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
        (host or "").encode("idna")  # a label that is empty or too long
    except ValueError:
        parts, host = urlsplit(""), None
    if parts.scheme not in {"http", "https"} or not host or re.search(r"\s", text):
        raise _fault(f"is not a web address with https:// and a host: {remedy}")
    if parts.username is not None or parts.query or parts.fragment:
        raise _fault(f"must be a host alone, without a user, `?` or `#`: {remedy}")
    if "api" in parts.path.split("/"):
        raise _fault(f"must end before /api, which the connector adds itself: {remedy}")
    if parts.scheme == "http" and not _is_this_machine(host):
        raise _fault(
            "must begin with https://: rows are personal data and plain http carries them readable to anyone; "
            "http is for a Heap sandbox on this machine only"
        )
    return text


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host in _CONTAINER_HOSTS


def _column(value: object) -> str:
    text = _text(value)
    if not text:
        raise _fault("is empty: name a column, or leave the setting out where it is optional")
    return text


def _columns(value: object) -> tuple[str, ...]:
    names = tuple(name.strip() for name in _text(value).split(","))
    if names == ("",):
        raise _fault("is empty: name columns with commas between them, or give * for all")
    if "" in names:
        raise _fault(f"has no name at position {names.index('') + 1}: take out the comma too many")
    if len(names) > 1 and "*" in names:
        raise _fault("names columns beside *: give either * for all columns, or the names")
    if doubled := next((name for at, name in enumerate(names) if name in names[:at]), None):
        raise _fault(f"names `{doubled}` twice: take one of them out")
    if long := next((name for name in names if text_units(name) > MAX_PROPERTY), None):
        raise _fault(
            f"has a name longer than the {MAX_PROPERTY} characters Heap takes, at position {names.index(long) + 1}"
        )
    return names


def _user_columns(value: object) -> tuple[str, ...]:
    names = _columns(value)
    reserved = Api.USER_PROPERTIES.endpoint.reserved
    if name := next((name for name in names if name.lower() in reserved), None):
        raise _fault(f"names `{name}`, and Heap forbids a user property of that name in any casing: take it out")
    return names


ColumnName = Annotated[
    str,
    BeforeValidator(_column),
    WithJsonSchema({"type": "string", "pattern": r"\S", "pattern_descriptor": "the name of a column"}),
]
_COLUMN_LIST_SCHEMA: Final = {
    "type": "string",
    "pattern": r"^\s*[^,\s][^,]*(,\s*[^,\s][^,]*)*$",
    "pattern_descriptor": "column names with commas between them, or *",
}
ColumnNames = Annotated[tuple[str, ...], BeforeValidator(_columns), WithJsonSchema(_COLUMN_LIST_SCHEMA)]
UserColumnNames = Annotated[tuple[str, ...], BeforeValidator(_user_columns), WithJsonSchema(_COLUMN_LIST_SCHEMA)]

_DOTS: Final = "A column inside an object is written with dots: <code>identities.user_id</code>."
_PROPERTIES: Final = (
    "The columns of the source that become properties, with commas between them; * takes all of them, objects "
    f"flattened with dots. {_DOTS}"
)
_IDENTITY: Final = (
    "The column that holds the user's identity, the same that your site gives to <code>heap.identify</code>: "
    f"case-sensitive, at most 255 characters; spaces count too. Heap creates a user for each new one. {_DOTS}"
)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, hide_input_in_errors=True)


class TrackEvents(_Frozen):
    """Each row becomes an event of a user, by Heap's Track API."""

    model_config = ConfigDict(title="Track Events")

    api_type: Literal["track"] = Field(title="API Type", json_schema_extra={"order": 0})
    property_columns: ColumnNames = Field(
        title="Property Columns",
        description=_PROPERTIES,
        examples=["blocked,created_at,name", "*"],
        json_schema_extra={"order": 1},
    )
    event_column: ColumnName = Field(
        title="Event Column",
        description=f"The column that holds the event's name, at most 1,024 characters. {_DOTS}",
        examples=["event_name", "identities.connection"],
        json_schema_extra={"order": 2},
    )
    identity_column: ColumnName = Field(
        title="Identity Column",
        description=_IDENTITY,
        examples=["email", "user_id"],
        json_schema_extra={"order": 3},
    )
    timestamp_column: ColumnName | None = Field(
        default=None,
        title="Timestamp Column",
        description=(
            "The column that holds the time of the event: ISO 8601, or epoch seconds, milliseconds or microseconds. "
            "Without it the event takes the time of loading. With it, loading a row again adds no second event, as "
            "long as the row has a time."
        ),
        examples=["updated_at"],
        json_schema_extra={"order": 4},
    )


class UserProperties(_Frozen):
    """Each row sets properties of a user, by Heap's Add User Properties API. Takes the Main Production ID."""

    model_config = ConfigDict(title="Add User Properties")

    api_type: Literal["add_user_properties"] = Field(title="API Type", json_schema_extra={"order": 0})
    property_columns: UserColumnNames = Field(
        title="Property Columns",
        description=f"{_PROPERTIES} Heap forbids a user property named <code>id</code>, in any casing.",
        examples=["identities.provider,created_at,nickname", "*"],
        json_schema_extra={"order": 1},
    )
    identity_column: ColumnName = Field(
        title="Identity Column",
        description=_IDENTITY,
        examples=["email", "user_id"],
        json_schema_extra={"order": 2},
    )


class AccountProperties(_Frozen):
    """Each row sets properties of an account, by Heap's Add Account Properties API. Takes the Main Production ID.

    Accounts must be set up in Heap first: choose the Account ID property there, or connect Salesforce.
    """

    model_config = ConfigDict(title="Add Account Properties")

    api_type: Literal["add_account_properties"] = Field(title="API Type", json_schema_extra={"order": 0})
    property_columns: ColumnNames = Field(
        title="Property Columns",
        description=_PROPERTIES,
        examples=["family_name,email_verified,blocked", "*"],
        json_schema_extra={"order": 1},
    )
    account_id_column: ColumnName = Field(
        title="Account ID Column",
        description=f"The column that holds the account's ID, at most 255 characters. {_DOTS}",
        examples=["account_id", "identities.user_id"],
        json_schema_extra={"order": 2},
    )


ApiSettings = TrackEvents | UserProperties | AccountProperties


class Settings(_Frozen):
    """Everything that a user sets. Where it goes, what becomes of a row, and what happens to a bad one."""

    model_config = ConfigDict(title="Heap Analytics")

    app_id: Annotated[
        str,
        BeforeValidator(_digits),
        WithJsonSchema({"type": "string", "pattern": "^[0-9]+$", "pattern_descriptor": "digits"}),
    ] = Field(
        title="App ID",
        description=(
            "The environment ID that Heap shows under Account > Manage > Projects. Track Events takes the ID of any "
            "environment; Add User Properties and Add Account Properties take that of Main Production only."
        ),
        examples=["11"],
        json_schema_extra={"order": 0},
    )
    base_url: Annotated[
        str,
        BeforeValidator(_url),
        WithJsonSchema(
            {"type": "string", "pattern": r"^https?://[^\s?#@]+$", "pattern_descriptor": "https://heapanalytics.com"}
        ),
    ] = Field(
        default=US_HOST,
        title="Base URL",
        description=f"Where your Heap keeps its data: {US_HOST}, or {EU_HOST} for an account in the EU.",
        examples=[US_HOST, EU_HOST],
        json_schema_extra={"order": 1},
    )
    api: ApiSettings = Field(
        discriminator="api_type",
        title="API Type",
        description=(
            "What each row becomes in Heap. A connection loads one stream by one of the three; for a second stream, "
            "or a second mapping, make another destination."
        ),
        json_schema_extra={"order": 2},
    )
    rejected_records: Literal["continue", "fail"] = Field(
        default="continue",
        title="Rejected Records",
        description=(
            "What happens when a row cannot become a Heap payload, or Heap refuses it. <code>continue</code> sets the "
            "row aside, counts it, and says at the end which rows and why; <code>fail</code> ends the sync there."
        ),
        json_schema_extra={"order": 3},
    )

    @property
    def selected_api(self) -> Api:
        """The API that the rows go to."""
        return Api(self.api.api_type)


@dataclass(frozen=True, slots=True)
class ParsedConfig:
    """The settings, and a sentence on the keys that are none (None where all are known)."""

    settings: Settings
    warning: str | None


def parse_config(config: Any) -> ParsedConfig:
    """The settings in a configuration as Airbyte hands it over.

    Raises:
        ConfigError: names each setting that is wrong, and what to do.
    """
    if not isinstance(config, Mapping):
        raise ConfigError("The configuration must be a JSON object with the keys `app_id` and `api`.")
    try:
        settings = Settings.model_validate(dict(config))
    except ValidationError as invalid:
        faults = invalid.errors(include_url=False, include_context=True, include_input=False)
        raise ConfigError(" ".join(_sentence(fault, config) for fault in faults)) from None
    unknown = list(_unknown_keys(config, settings))
    return ParsedConfig(settings, f"Unknown settings are ignored: {', '.join(unknown)}." if unknown else None)


def _unknown_keys(config: Mapping[str, Any], settings: Settings) -> Iterator[str]:
    for prefix, given, known in (
        ("", config, type(settings).model_fields),
        ("api.", config["api"], type(settings.api).model_fields),
    ):
        for key in given:
            if key not in known:
                stray = " (which belongs to another API type)" if prefix and key in _KNOWN_KEYS else ""
                yield f"`{prefix}{key}`" + (stray or _did_you_mean(str(key), known, prefix))


def _did_you_mean(word: str, known: Iterable[str], prefix: str = "") -> str:
    nearest = get_close_matches(word, known, n=1, cutoff=0.5)
    return f" (did you mean `{prefix}{nearest[0]}`?)" if nearest else ""


_CHOICES: Final = {"api.api_type": tuple(api.value for api in Api), "rejected_records": ("continue", "fail")}
_REMEDIES: Final = {
    "app_id": 'give the environment ID that Heap shows under Account > Manage > Projects, such as "11"',
    "api": "give an object with `api_type` and the columns of that API",
    "api.property_columns": "name the columns that become properties, with commas between them, or give * for all",
    "api.event_column": "name the column that holds the event's name",
    "api.identity_column": "name the column that holds the user's identity",
    "api.account_id_column": "name the column that holds the account's ID",
    **{setting: f"give one of {', '.join(options)}" for setting, options in _CHOICES.items()},
}
_KNOWN_KEYS: Final = frozenset(
    key for model in (Settings, TrackEvents, UserProperties, AccountProperties) for key in model.model_fields
)


def _sentence(fault: ErrorDetails, config: Mapping[str, Any]) -> str:
    keys = [str(key) for key in fault["loc"]]
    if fault["type"] in {"union_tag_invalid", "union_tag_not_found"}:
        keys = ["api", "api_type"]
    elif keys[0] == "api" and len(keys) > 1:
        keys = ["api", *keys[2:]]  # between them stands the branch of the union
    setting, key = ".".join(keys), keys[-1]
    if fault["type"] == "setting":
        return f"`{setting}` {fault['ctx']['sentence']}."
    given = config["api"] if len(keys) > 1 else config
    if key not in given:
        strays = [str(other) for other in given if other not in _KNOWN_KEYS]
        misspelt = [stray for stray in strays if get_close_matches(stray, _KNOWN_KEYS, n=1, cutoff=0.8) == [key]]
        return f"`{setting}` is missing: {f'rename `{misspelt[0]}`' if misspelt else _REMEDIES[setting]}."
    guess = _did_you_mean(str(given[key]), _CHOICES.get(setting, ()))
    return f"`{setting}` is not valid: {_REMEDIES[setting]}{guess}."
