"""Transforms a record into a payload for Heap, or rejects it with a reason. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from destination_heap_analytics.config.api_settings import (
    AccountProperties,
    ApiSettings,
    DeleteUsers,
    Identify,
    TrackEvents,
    UserProperties,
)
from destination_heap_analytics.config.casts import Cast
from destination_heap_analytics.config.column_list import ColumnList, Constant
from destination_heap_analytics.config.settings import Settings
from destination_heap_analytics.errors import Reason, RowRejectedError
from destination_heap_analytics.heap_api import MAX_EVENT, MAX_IDENTITY, Api, text_units
from destination_heap_analytics.mapping.columns.all_columns import AllColumns
from destination_heap_analytics.mapping.columns.casts import converted
from destination_heap_analytics.mapping.columns.column import ABSENT, Column, look_up
from destination_heap_analytics.mapping.columns.property_columns import PropertyColumns
from destination_heap_analytics.mapping.properties import Properties, PropertyMaker
from destination_heap_analytics.mapping.timestamps import heap_timestamp
from destination_heap_analytics.mapping.values import name_text, user_id_text
from destination_heap_analytics.protocol.numbers import InexactNumberError, has_lost_digits

Element = dict[str, Any]
"""The JSON object that Heap documents for an API, without `app_id`."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The API, and the column of each field.

    Attributes:
        key: the column that identifies the user or account.
        key_field: Heap's name for its field: `identity`, `user_id` or `account_id`.
        event: the column of the event's name, or a constant name.
        user_id: the column of Heap's own ID of the user, only for Identify.
        properties: the columns that are listed by name; Identify and deletions have none.
        rest: the columns that `*` selects; None without `*`.
        maker: makes the properties.
    """

    api: Api
    key: Column
    key_field: str
    event: Column | str | None
    timestamp: Column | None
    user_id: Column | None
    properties: PropertyColumns
    rest: AllColumns | None
    maker: PropertyMaker = field(repr=False, compare=False)

    @classmethod
    def of_users(cls, settings: Settings, schema: Mapping[str, Any]) -> Selection | None:
        """The selection that sets user properties from events; None if there is none."""
        if not isinstance(settings.api, TrackEvents) or settings.user_columns is None:
            return None
        users = UserProperties.model_construct(
            api_type="add_user_properties",
            identity_column=settings.api.identity_column,
            property_columns=settings.user_columns,
        )
        return cls.from_settings(users, schema)

    @classmethod
    def from_settings(cls, settings: ApiSettings, schema: Mapping[str, Any]) -> Selection:
        """The selection in the settings, with the ways of columns fixed if the catalog's schema declares them."""

        def column(name: str) -> Column:
            return Column(name).declared_by(schema)

        event = settings.event_column if isinstance(settings, TrackEvents) else None
        timestamp = settings.timestamp_column if isinstance(settings, TrackEvents | Identify) else None
        columns = ColumnList() if isinstance(settings, Identify | DeleteUsers) else settings.property_columns
        api = Api(settings.api_type)
        properties = _listed(columns, schema)
        key_field, key = _key_of(settings)
        return cls(
            api=api,
            key=column(key),
            key_field=key_field,
            event=event.text if isinstance(event, Constant) else column(event) if event else None,
            timestamp=column(timestamp) if timestamp else None,
            user_id=column(settings.user_id_column) if isinstance(settings, Identify) else None,
            properties=properties,
            rest=_rest(columns, properties, schema),
            maker=PropertyMaker(api.endpoint, skips_airbytes=True),
        )

    @property
    def required(self) -> dict[str, Column]:
        """All columns except properties, by setting. With a wrong one, rows would be rejected or sent wrongly."""
        columns = {
            f"{self.key_field}_column": self.key,
            "event_column": self.event,
            "timestamp_column": self.timestamp,
            **({"user_id_column": self.user_id} if self.user_id else {}),
        }
        return {setting: column for setting, column in columns.items() if isinstance(column, Column)}

    @property
    def is_open(self) -> bool:
        """Whether the way of some column is not fixed yet."""
        return bool(self.open_lists) or any(column.path is None for column in self.required.values())

    @property
    def open_lists(self) -> Sequence[PropertyColumns]:
        """The lists of columns for which a record may still change how a column is read."""
        lists = (self.properties, self.rest.excepted) if self.rest else (self.properties,)
        return [listed for listed in lists if listed.is_open]

    def found_in(self, data: Mapping[str, Any]) -> Selection:
        """This selection, with the ways of open columns fixed if `data` has them."""
        for listed in self.open_lists:
            listed.learn(data)
        found = replace(
            self,
            key=self.key.found_in(data),
            event=self.event.found_in(data) if isinstance(self.event, Column) else self.event,
            timestamp=self.timestamp and self.timestamp.found_in(data),
            user_id=self.user_id and self.user_id.found_in(data),
        )
        return self if found == self else found


def _listed(columns: ColumnList, schema: Mapping[str, Any]) -> PropertyColumns:
    """The columns that are listed by name."""
    listed: list[Column] = []
    constants: dict[int, Any] = {}
    for item in columns.items:
        whole = None if columns.selects_all else item.whole
        is_constant = isinstance(item.source, Constant)
        column = Column(str(item.source), may_guess=not is_constant, label=item.name, cast=item.cast, whole=whole)
        column = column.declared_by(schema)
        if isinstance(item.source, Constant) and not column.declared:
            constants[len(listed)] = converted(item.source.text, item.cast or Cast.TEXT, item.name, exact=True)
        listed.append(column)
    return PropertyColumns(listed, constants)


def _rest(columns: ColumnList, listed: PropertyColumns, schema: Mapping[str, Any]) -> AllColumns | None:
    if not columns.selects_all:
        return None
    excepted = (Column(name, may_guess=True).declared_by(schema) for name in columns.excepted)
    return AllColumns(listed, PropertyColumns(excepted))


def _key_of(settings: ApiSettings) -> tuple[str, str]:
    """The field that identifies the user or account, and its column."""
    if isinstance(settings, AccountProperties):
        return "account_id", settings.account_id_column
    if isinstance(settings, TrackEvents | DeleteUsers) and settings.user_id_column is not None:
        return "user_id", settings.user_id_column
    return "identity", settings.identity_column or ""  # the settings have one of the two


def transform(data: Mapping[str, Any], selection: Selection, *, exact: bool) -> tuple[Element, Properties | None]:
    """The payload of one record, and the changes that were made to its properties; None if there were none.

    Args:
        data: the record.
        selection: the columns, with their ways fixed by this record and those before it.
        exact: whether the record comes from the exact reading (values.py).

    Raises:
        RowRejectedError: the record cannot be sent.
        InexactNumberError: lost digits would matter; only if not `exact`.
    """
    maker, timed = selection.maker, selection.timestamp
    element: Element
    if selection.key_field == "user_id":
        user_id = _user_id(data, selection.key, exact=exact)
        if selection.api is Api.DELETE_USERS:
            return {"user_id": int(user_id)}, None  # a number in Heap's sample, a string everywhere else
        element = {"user_id": user_id}
    else:
        element = {selection.key_field: _name(data, selection.key, MAX_IDENTITY, exact=exact)}
    if selection.event is not None:
        event = selection.event
        element["event"] = event if isinstance(event, str) else _name(data, event, MAX_EVENT, exact=exact)
    if selection.user_id:
        element["user_id"] = _user_id(data, selection.user_id, exact=exact)
    if timed and (time := timed.read(data)) is not ABSENT and time is not None and not _is_blank(time):
        if not exact and has_lost_digits(time):
            raise InexactNumberError
        element["timestamp"] = heap_timestamp(time, timed.name)
    if selection.api in {Api.IDENTIFY, Api.DELETE_USERS}:
        return element, None
    listed = selection.properties.values(data, exact=exact)
    rest = selection.rest.values(data, exact=exact) if selection.rest else ()
    element["properties"], made = maker.make(listed, rest, exact=exact)
    return element, made


def _name(data: Mapping[str, Any], column: Column, limit: int, *, exact: bool) -> str:
    value = look_up(data, column.keys)
    if type(value) is str and len(value) <= limit and value.isascii() and value.strip():
        return value
    if value is ABSENT:
        raise RowRejectedError(Reason.ABSENT, column.name)
    if value is None:
        raise RowRejectedError(Reason.NULL, column.name)
    text = name_text(value, column.name, exact=exact)
    if not text.strip():
        raise RowRejectedError(Reason.EMPTY, column.name)
    if text_units(text) > limit:
        raise RowRejectedError(Reason.TOO_LONG, column.name)
    return text


def _user_id(data: Mapping[str, Any], column: Column, *, exact: bool) -> str:
    value = look_up(data, column.keys)
    if value is ABSENT:
        raise RowRejectedError(Reason.ABSENT, column.name)
    if value is None:
        raise RowRejectedError(Reason.NULL, column.name)
    return user_id_text(value, column.name, exact=exact)


def _is_blank(value: Any) -> bool:
    """Whether a timestamp is blank text, which counts as null."""
    return isinstance(value, str) and not value.strip()
