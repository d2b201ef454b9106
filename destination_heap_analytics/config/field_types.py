"""The types of the settings: how each is validated and parsed, and how the form shows it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from ipaddress import ip_address
from typing import Annotated, Final, TypeVar
from urllib.parse import urlsplit

from pydantic import BeforeValidator, PlainSerializer, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from destination_heap_analytics.config.column_list import ColumnList, Constant
from destination_heap_analytics.config.grammar import GrammarError, parse_column, parse_column_list, parse_event
from destination_heap_analytics.heap_api import EU_HOST, US_HOST, Api

_REGIONS_BY_AREA: Final = {
    "af": "south-1",
    "ap": "east-1 northeast-1 northeast-2 northeast-3 south-1 south-2 southeast-1 southeast-2 southeast-3 southeast-4",
    "ca": "central-1 west-1",
    "cn": "north-1 northwest-1",
    "eu": "central-1 central-2 north-1 south-1 south-2 west-1 west-2 west-3",
    "il": "central-1",
    "me": "central-1 south-1",
    "sa": "east-1",
    "us": "east-1 east-2 gov-east-1 gov-west-1 west-1 west-2",
}
S3_REGIONS: Final = tuple(
    f"{area}-{region}" for area, regions in _REGIONS_BY_AREA.items() for region in regions.split()
)
"""Regions of Amazon S3 that the form offers."""

Parsed = TypeVar("Parsed")

_CONTAINER_HOSTS: Final = frozenset({"localhost", "host.docker.internal", "host.containers.internal"})


def fault(sentence: str) -> PydanticCustomError:
    """An invalid value; `sentence` continues the name of the setting."""
    return PydanticCustomError("setting", "{sentence}", {"sentence": sentence})


def setting_fault(setting: str, sentence: str | None) -> PydanticCustomError:
    """An invalid combination of settings, reported for one of them; `sentence` is None if that one is missing."""
    return PydanticCustomError("other_setting", "{setting}", {"setting": setting, "sentence": sentence})


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise fault("must be text in quotes")
    return value.strip()


def _digits(value: object) -> str:
    text = value.strip() if isinstance(value, str) else ""
    if not re.fullmatch("[0-9]+", text):
        raise fault(
            'must be the environment ID, which is digits only, as text in quotes, such as "11"; '
            "Heap shows it under Account > Manage > Projects"
        )
    return text


def _base_url(value: object) -> str:
    remedy = f"use {US_HOST}, or {EU_HOST} for data kept in the EU"
    text = _address(US_HOST if value is None else _text(value), remedy)
    if "api" in urlsplit(text).path.split("/"):
        raise fault(f"must end before /api, which the connector adds itself: {remedy}")
    return text


def _address(text: str, remedy: str) -> str:
    """A web address without its trailing slash. It is printed, so it must not contain a secret."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
        (host or "").encode("idna")  # a label that is empty or too long
    except ValueError:
        parts, host = urlsplit(""), None
    if parts.scheme not in {"http", "https"} or not host or re.search(r"\s", text):
        raise fault(f"is not a web address with https:// and a host: {remedy}")
    if any(mark in text for mark in "@?#"):
        raise fault(f"must be only a host, without a user name, password, `?` or `#`: {remedy}")
    if parts.scheme == "http" and not _is_this_machine(host):
        raise fault(
            "must begin with https://: rows are personal data, and plain http sends them unencrypted; "
            "http is accepted only for a service on this machine"
        )
    return text.rstrip("/")


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host in _CONTAINER_HOSTS


def _column(value: object) -> str:
    return _parsed(parse_column, _named(value))


def _event(value: object) -> str | Constant:
    return _parsed(parse_event, _named(value))


def _named(value: object) -> str:
    text = _text(value)
    if not text:
        raise fault("is empty: enter a column, or omit the setting if it is optional")
    return text


def _column_or_none(value: object) -> str | None:
    return None if value is None or _text(value) == "" else _column(value)


def _columns(value: object, *, reserved: Collection[str] = ()) -> ColumnList:
    _text(value)
    return _parsed(lambda text: parse_column_list(text, reserved=reserved), str(value))


def _user_columns(value: object) -> ColumnList:
    return _columns(value, reserved=Api.USER_PROPERTIES.endpoint.reserved)


def _user_columns_or_none(value: object) -> ColumnList | None:
    return None if value is None or _text(value) == "" else _user_columns(value)


def _parsed(parse: Callable[[str], Parsed], text: str) -> Parsed:
    try:
        return parse(text)
    except GrammarError as wrong:
        raise fault(str(wrong)) from None


def _given(value: object) -> str:
    text = _text(value)
    if not text:
        raise fault("is empty")
    return text


def _confirmation(value: object) -> str:
    if value != "delete":
        raise fault("must be the word `delete`: each row permanently deletes a user, in all environments")
    return "delete"


def _given_or_none(value: object) -> str | None:
    return None if value is None else _text(value) or None


def _region(value: object) -> str:
    return _given_or_none(value) or ""  # any name: a service other than Amazon's has its own regions


def _endpoint(value: object) -> str | None:
    text = _given_or_none(value)
    return None if text is None else _address(text, "use one like https://storage.example.com:9000")


def _rate(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise fault("must be an integer of at least 1")
    return value


def text_type(pattern: str, descriptor: str) -> WithJsonSchema:
    """The JSON schema of a text: a pattern, and the short description that the form shows next to the title."""
    return WithJsonSchema({"type": "string", "pattern": pattern, "pattern_descriptor": descriptor})


_TEXT: Final = WithJsonSchema({"type": "string"})  # the form itself checks that it is not blank
_COLUMN_LIST: Final = text_type(r"^[\s,]*[^\s,]", "a,b,c or *")

AppId = Annotated[str, BeforeValidator(_digits), text_type("^[0-9]+$", "digits only")]
BaseUrl = Annotated[
    str,
    BeforeValidator(_base_url),
    text_type(r"^https?://(?!.*/api(/|$))[^\s?#@]+$", "https:// and a host, without /api"),
]
ColumnName = Annotated[str, BeforeValidator(_column), _TEXT]
OptionalColumnName = Annotated[str | None, BeforeValidator(_column_or_none), _TEXT]
EventSource = Annotated[str | Constant, PlainValidator(_event), PlainSerializer(str), _TEXT]
Columns = Annotated[ColumnList, PlainValidator(_columns), PlainSerializer(str), _COLUMN_LIST]
UserColumns = Annotated[ColumnList, PlainValidator(_user_columns), PlainSerializer(str), _COLUMN_LIST]
OptionalUserColumns = Annotated[ColumnList | None, PlainValidator(_user_columns_or_none), _COLUMN_LIST]
EventsPerMinute = Annotated[int, BeforeValidator(_rate), WithJsonSchema({"type": "integer", "minimum": 1})]
Given = Annotated[str, BeforeValidator(_given), _TEXT]
Confirmation = Annotated[str, BeforeValidator(_confirmation), text_type("^delete$", "the word delete")]
Text = Annotated[str, BeforeValidator(_text)]
OptionalText = Annotated[str | None, BeforeValidator(_given_or_none), _TEXT]
S3Region = Annotated[
    str,
    BeforeValidator(_region),
    WithJsonSchema({"type": "string", "enum": ["", *S3_REGIONS]}),
]
S3Endpoint = Annotated[
    str | None, BeforeValidator(_endpoint), text_type(r"^https?://[^\s?#@]+$", "https://storage.example.com:9000")
]
