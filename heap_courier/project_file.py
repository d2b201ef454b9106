"""Reads heap-courier.yaml into a Project, or says in a sentence what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from heap_courier.errors import SetupError
from heap_courier.project import (
    Constraint,
    Courier,
    Credential,
    DefaultCredential,
    Group,
    GroupCourier,
    KeyCredential,
    ProfileCredential,
    Project,
    RoleCredential,
    WarehouseSettings,
)
from heap_courier.strict_yaml import read_yaml

FILE_NAME: Final = "heap-courier.yaml"
_UNITS: Final = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800}
_DURATION: Final = re.compile(rf"(\d+) ?({'|'.join(_UNITS)})s?")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ACCESS_KEY: Final = re.compile(r"A(KI|SI)A[A-Z0-9]{12,}")
_SECRETS: Final = {"access-key", "secret-key", "access_key", "secret_key", "aws-access-key-id", "aws-secret-access-key"}


def _duration(value: object) -> timedelta:
    if value == 0:
        return timedelta()
    if not isinstance(value, str) or not (match := _DURATION.fullmatch(value.strip())):
        raise ValueError("has to be a duration such as `30 minutes`, `24 hours` or `2 days`")
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


def _time_zone(value: object) -> ZoneInfo:
    try:
        return ZoneInfo(str(value))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("has to be a time zone such as `UTC` or `America/Los_Angeles`") from None


def _variable(value: str) -> str:
    if _ACCESS_KEY.fullmatch(value) or not _VARIABLE.fullmatch(value):
        raise ValueError("has to be the name of an environment variable; the key itself does not belong into the file")
    return value


def _dsn(value: str) -> str:
    try:
        parts = urlsplit(value)
        secret = parts.password is not None or "password" in parse_qs(parts.query)
    except ValueError:
        raise ValueError("has to be an address such as postgresql://user@host/database") from None
    if parts.scheme not in {"postgresql", "postgres"}:
        raise ValueError("has to be an address such as postgresql://user@host/database")
    if secret:
        raise ValueError("holds a password, which does not belong into the file: use `dsn-env`, or ~/.pgpass")
    return value


def _status(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if value in {"enabled", "disabled"}:
        return value == "enabled"
    raise ValueError("has to be `enabled` or `disabled`")


def _kebab(name: str) -> str:
    return name.replace("_", "-")


Duration = Annotated[timedelta, BeforeValidator(_duration)]
Variable = Annotated[str, AfterValidator(_variable)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=_kebab, arbitrary_types_allowed=True)


class _Keys(_Section):
    type: Literal["iam-credential"]
    access_key_env: Variable
    secret_key_env: Variable
    session_token_env: Variable | None = None


class _Profile(_Section):
    type: Literal["profile"]
    profile: str


class _Default(_Section):
    type: Literal["default"]


class _Role(_Section):
    type: Literal["iam-role-to-role"]
    role_arn: Annotated[str, Field(pattern=r"^arn:[^:]*:iam::\d+:role/.+$")]
    external_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_+=,.@:/-]{2,1224}$")] | None = None
    credential: str | None = None


class _Courier(_Section):
    credential: str | None = None
    bucket: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$")]
    prefix: str = ""
    endpoint_url: Annotated[str, Field(pattern=r"^https?://")] | None = None
    region: str | None = None
    entities: str
    load_operations: str | None = None


class _GroupCourier(_Section):
    courier: str
    wait: Duration = timedelta()
    offset: Duration = timedelta()
    missing: Literal["stop", "notify"] = "stop"


class _Constraint(_Section):
    group: str
    wait: Duration = timedelta()
    offset: Duration = timedelta()


class _Group(_Section):
    schedule: str | None = None
    time_zone: Annotated[ZoneInfo, BeforeValidator(_time_zone)] = ZoneInfo("UTC")
    status: Annotated[bool, BeforeValidator(_status)] = True
    couriers: Annotated[tuple[_GroupCourier, ...], Field(min_length=1)]
    constraints: tuple[_Constraint, ...] = ()
    warn_after: Duration | None = None
    dates_in_time_zone: bool = False
    past_day_only: bool = False


class _Warehouse(_Section):
    engine: Literal["duckdb", "postgresql"] = "duckdb"
    file: str | None = None
    dsn: Annotated[str, AfterValidator(_dsn)] | None = None
    dsn_env: Variable | None = None


class _Project(_Section):
    warehouse: _Warehouse = _Warehouse()
    credentials: Mapping[str, Annotated[_Keys | _Profile | _Default | _Role, Field(discriminator="type")]] = {}
    couriers: Mapping[str, _Courier] = {}
    feeds: str = "feeds"
    groups: Mapping[str, _Group] = {}
    notify: tuple[str, ...] = ()


def read_project(folder: Path) -> Project:
    """Reads the project of a folder.

    Raises:
        SetupError: there is none, or it is not as it has to be: the setting, what is wrong, what to do.
    """
    path = folder / FILE_NAME
    if not path.exists():
        raise SetupError(
            f"There is no `{FILE_NAME}` in `{folder}`: go to the project's folder, or make one with `init`."
        )
    try:
        model = _Project.model_validate(read_yaml(path) or {})
    except ValidationError as error:
        raise SetupError(f"`{FILE_NAME}`: {_sentence(error)}.") from None
    return _Reader(folder, model).project()


class _Reader:
    """Turns sections into value objects, and names into what they name."""

    def __init__(self, folder: Path, model: _Project) -> None:
        self._folder = folder
        self._model = model

    def project(self) -> Project:
        couriers = {name: self._courier(name, section) for name, section in self._model.couriers.items()}
        groups = {name: self._group(name, section) for name, section in self._model.groups.items()}
        return Project(
            folder=self._folder,
            warehouse=self._warehouse(),
            couriers=couriers,
            feeds=self._folder / self._model.feeds,
            groups=groups,
            notify=self._model.notify,
        )

    def _warehouse(self) -> WarehouseSettings:
        section = self._model.warehouse
        if section.engine == "duckdb":
            if section.dsn or section.dsn_env:
                raise SetupError(f"`{FILE_NAME}`: warehouse.dsn is for `engine: postgresql`; DuckDB takes `file`.")
            return WarehouseSettings("duckdb", path=self._folder / (section.file or "heap.duckdb"))
        if section.file or (section.dsn is None) == (section.dsn_env is None):
            raise SetupError(
                f"`{FILE_NAME}`: warehouse with `engine: postgresql` takes either `dsn`, an address without a "
                "password, or `dsn-env`, the name of the environment variable that holds it."
            )
        return WarehouseSettings("postgresql", dsn=section.dsn, dsn_env=section.dsn_env)

    def _credential(self, name: str | None, where: str, on_the_way: tuple[str, ...] = ()) -> Credential:
        if name is None:
            return DefaultCredential()
        section = named(self._model.credentials, name, f"`{FILE_NAME}`: {where}", "credential")
        if name in on_the_way:
            raise SetupError(f"`{FILE_NAME}`: {where}: the credential `{name}` rests on itself.")
        if isinstance(section, _Keys):
            return KeyCredential(name, section.access_key_env, section.secret_key_env, section.session_token_env)
        if isinstance(section, _Profile):
            return ProfileCredential(name, section.profile)
        if isinstance(section, _Default):
            return DefaultCredential(name)
        base = self._credential(section.credential, f"credentials.{name}.credential", (*on_the_way, name))
        return RoleCredential(name, section.role_arn, section.external_id, base)

    def _courier(self, name: str, section: _Courier) -> Courier:
        prefix = section.prefix.strip("/")
        return Courier(
            name=name,
            credential=self._credential(section.credential, f"couriers.{name}.credential"),
            bucket=section.bucket,
            prefix=f"{prefix}/" if prefix else "",
            endpoint_url=section.endpoint_url,
            region=section.region,
            entities=self._folder / section.entities,
            operations=None if section.load_operations is None else self._folder / section.load_operations,
        )

    def _group(self, name: str, section: _Group) -> Group:
        where = f"`{FILE_NAME}`: groups.{name}"
        for courier in section.couriers:
            named(self._model.couriers, courier.courier, where, "courier")
        for constraint in section.constraints:
            named(self._model.groups, constraint.group, f"{where}.constraints", "group")
        return Group(
            name=name,
            schedule=section.schedule,
            time_zone=section.time_zone,
            enabled=section.status,
            couriers=tuple(GroupCourier(**_values(courier)) for courier in section.couriers),
            constraints=tuple(Constraint(**_values(constraint)) for constraint in section.constraints),
            warn_after=section.warn_after,
            dates_in_time_zone=section.dates_in_time_zone,
            past_day_only=section.past_day_only,
        )


def named(things: Mapping[str, Any], name: str, where: str, noun: str) -> Any:
    """What a name stands for.

    Raises:
        SetupError: there is no such thing, with the nearest name, or with those that there are.
    """
    if name in things:
        return things[name]
    near = get_close_matches(name, things, n=1)
    if near:
        remedy = f"Did you mean `{near[0]}`?"
    elif things:
        remedy = f"There is {', '.join(f'`{thing}`' for thing in things)}."
    else:
        remedy = "There is none at all."
    raise SetupError(f"{where}: there is no {noun} `{name}`. {remedy}")


def _values(section: _Section) -> dict[str, Any]:
    return {name: getattr(section, name) for name in type(section).model_fields}


def _sentence(invalid: ValidationError) -> str:
    error = invalid.errors(include_url=False, include_input=False)[0]
    path = [str(part) for part in error["loc"]]
    if path[:1] == ["credentials"]:
        del path[2:3]  # pydantic names the kind of credential there
    where = ".".join(path) or "the file"
    kind = error["type"]
    if kind == "extra_forbidden" and path[-1] in _SECRETS:
        return (
            f"{where}: a key does not belong into the file; `{path[-1]}-env` is the name of the variable that holds it"
        )
    if kind == "extra_forbidden":
        settings = {_kebab(name) for section in _Section.__subclasses__() for name in section.model_fields}
        near = get_close_matches(path[-1], settings, n=1)
        return f"there is no setting `{where}`" + (f"; did you mean `{near[0]}`" if near else "")
    if kind == "missing":
        return f"`{where}` is missing"
    if kind == "value_error":
        return f"`{where}` {error['ctx']['error']}"
    if kind in {"union_tag_invalid", "union_tag_not_found"}:
        return f"`{where}.type` has to be one of iam-credential, iam-role-to-role, profile, default"
    message = error["msg"][0].lower() + error["msg"][1:]
    return f"`{where}` is not as it has to be: {message}"
