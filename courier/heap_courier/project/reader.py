"""Reads and validates heap-courier.yaml."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import timedelta
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, TypeAdapter

from heap_courier.documents.schema import Schema, below
from heap_courier.documents.strict_yaml import read_yaml
from heap_courier.documents.wording import named
from heap_courier.errors import SetupError
from heap_courier.project.cron import check_schedule
from heap_courier.project.model import (
    MEMORY,
    Constraint,
    Courier,
    Credential,
    DefaultCredential,
    DeltaSettings,
    Group,
    GroupCourier,
    KeyCredential,
    Limits,
    ProfileCredential,
    Project,
    Retention,
    RoleCredential,
    WarehouseSettings,
)
from heap_courier.project.notify_section import NotifySection
from heap_courier.project.setting_types import (
    ON_THIS_MACHINE,
    Age,
    Bytes,
    Dsn,
    Duration,
    Name,
    Section,
    Status,
    Time,
    TimeZone,
    Variable,
    like,
)

FILE_NAME: Final = "heap-courier.yaml"
_SIZE: Final = "[1-9][0-9]{0,5} ?[MG]B"
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html; the secret key has 40 characters
_ACCESS_KEY: Final = re.compile(r"\bA(KI|SI)A[A-Z0-9]{12,}\b")
_SECRET_KEY: Final = re.compile(r"(?=.*[a-z])(?=.*[A-Z])(?=.*[0-9])[A-Za-z0-9/+]{40}")
_FREE: Final = {"external-id", "prefix"}  # may look like a key by chance
_KEY_IN_FILE: Final = (
    f"`{FILE_NAME}`: {{}} contains what looks like an access key, which does not belong in the file: put it into an "
    "environment variable, and set the variable's name here (`access-key-env`, `secret-key-env`)."
)


class _Keys(Section):
    type: Literal["iam-credential"]
    access_key_env: Variable
    secret_key_env: Variable
    session_token_env: Variable | None = None


class _Profile(Section):
    type: Literal["profile"]
    profile: str


class _Default(Section):
    type: Literal["default"]


class _Role(Section):
    type: Literal["iam-role-to-role"]
    role_arn: Annotated[
        str, like(r"arn:[^:]*:iam::\d+:role/.+", "must be a role such as `arn:aws:iam::123456789012:role/reader`")
    ]
    external_id: (
        Annotated[str, like(r"[A-Za-z0-9_+=,.@:/-]{2,1224}", "must be 2 to 1224 letters, digits or _+=,.@:/-")] | None
    ) = None
    credential: str | None = None


_Bucket = Annotated[
    str,
    like(
        r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}",
        "must be only the bucket's name, such as `heap-rs3-example`; set a folder in it as `prefix`",
    ),
]
_Prefix = Annotated[str, Field(min_length=0)]
_Endpoint = Annotated[
    str,
    like(
        rf"(https://[^/@]+|http://{ON_THIS_MACHINE}(:\d+)?)(/[^@]*)?",
        "must be a URL such as https://host:port; http is only for this machine",
    ),
]


class _Courier(Section):
    credential: str | None = None
    bucket: _Bucket
    prefix: _Prefix = ""
    endpoint_url: _Endpoint | None = None
    region: str | None = None
    entities: str
    load_operations: str | None = None


class _GroupCourier(Section):
    courier: str
    wait: Duration = timedelta()
    offset: Duration = timedelta()
    missing: Literal["stop", "notify"] = "stop"


class _Constraint(Section):
    group: str
    wait: Duration = timedelta()
    offset: Duration = timedelta()


class _Sla(Section):
    done_by: Time


class _Group(Section):
    schedule: str | None = None
    time_zone: TimeZone = ZoneInfo("UTC")
    status: Status = True
    couriers: Annotated[list[_GroupCourier], Field(min_length=1)]
    constraints: list[_Constraint] = Field(default_factory=list)
    warn_after: Duration | None = None
    dates_in_time_zone: bool = False
    past_day_only: bool = False
    stitch: bool = False
    sla: _Sla | None = None


Memory = Annotated[str, like(_SIZE, "must be a size of memory such as `512MB` or `2GB`")]


class _Warehouse(Section):
    engine: Literal["duckdb", "postgresql"] = "duckdb"
    file: str | None = None
    memory: Memory | None = None
    dsn: Dsn | None = None
    dsn_env: Variable | None = None


class _Limits(Section):
    unpacked: Bytes = Limits().unpacked
    free_disk: Bytes = Limits().free_disk


class _Retention(Section):
    samples: Age | None = None
    runs: Age | None = None
    files: Age | None = None


class _Stitch(Section):
    priority: list[str] = Field(default_factory=list)
    memory: Memory | None = None


class _Delta(Section):
    folder: str | None = None
    bucket: _Bucket | None = None
    credential: str | None = None
    prefix: Annotated[
        str, like(r"[A-Za-z0-9/_.-]*", "must consist of letters, digits and `/_.-`, which all readers support")
    ] = Field("", min_length=0)
    endpoint_url: _Endpoint | None = None
    region: str | None = None
    views: list[str] = Field(default_factory=list)
    keep: Age = DeltaSettings().keep
    after_runs: bool = True


class _Project(Section):
    warehouse: _Warehouse = _Warehouse()
    delta: _Delta | None = None
    limits: _Limits = _Limits()
    credentials: dict[Name, Annotated[_Keys | _Profile | _Default | _Role, Field(discriminator="type")]] = Field(
        default_factory=dict
    )
    couriers: dict[Name, _Courier] = Field(default_factory=dict)
    feeds: str = "feeds"
    groups: dict[Name, _Group] = Field(default_factory=dict)
    notify: NotifySection = NotifySection()
    stitch: _Stitch = _Stitch()
    retention: _Retention = _Retention()


_KINDS: Final = ("iam-credential", "iam-role-to-role", "profile", "default")
_SCHEMA: Final = Schema(TypeAdapter(_Project), kind=("type", _KINDS))


def read_project(folder: Path) -> Project:
    """Reads the project of a folder.

    Raises:
        SetupError: there is none, or it is not valid; the message has the setting, the reason and the fix.
    """
    path = folder / FILE_NAME
    if not os.path.exists(path):  # noqa: PTH110  (False, while `Path.exists` raises in a folder that is not ours)
        raise SetupError(
            f"There is no `{FILE_NAME}` in `{folder}`: go to the project's folder, or create one with `heap-courier "
            "init`."
        )
    return project_of(folder, read_yaml(path))


def project_of(folder: Path, content: Any) -> Project:
    """The project that the parsed content of heap-courier.yaml describes.

    Raises:
        SetupError: as `read_project`.
    """
    _refuse_secrets(content)
    return _Reader(folder, _SCHEMA.parse({} if content is None else content, FILE_NAME)).project()


class _Reader:
    """Turns sections into value objects, and resolves names."""

    def __init__(self, folder: Path, model: _Project) -> None:
        self._folder = folder
        self._model = model

    def project(self) -> Project:
        for name in self._model.credentials:
            self._credential(name, f"credentials.{name}")
        couriers = {name: self._courier(name, section) for name, section in self._model.couriers.items()}
        groups = {name: self._group(name, section) for name, section in self._model.groups.items()}
        _refuse_circles(groups)
        return Project(
            folder=self._folder,
            warehouse=self._warehouse(),
            couriers=couriers,
            feeds=self._path(self._model.feeds),
            groups=groups,
            notify=self._model.notify.settings(),
            stitch_priority=tuple(self._model.stitch.priority),
            retention=Retention(**_values(self._model.retention)),
            stitch_memory=self._model.stitch.memory,
            delta=None if self._model.delta is None else self._delta(self._model.delta),
            limits=Limits(self._model.limits.unpacked, self._model.limits.free_disk),
        )

    def _path(self, text: str) -> Path:
        return self._folder / os.path.expanduser(text)  # noqa: PTH111  (`Path.expanduser` raises for an unknown user)

    def _warehouse(self) -> WarehouseSettings:
        section = self._model.warehouse
        if section.engine == "duckdb":
            if section.dsn or section.dsn_env:
                raise SetupError(f"`{FILE_NAME}`: warehouse.dsn is for `engine: postgresql`; DuckDB uses `file`.")
            path = self._path(section.file or "heap.duckdb")
            return WarehouseSettings("duckdb", path=path, memory=section.memory or MEMORY)
        if section.memory:
            raise SetupError(
                f"`{FILE_NAME}`: warehouse.memory is for `engine: duckdb`; PostgreSQL has its own settings."
            )
        if section.file or (section.dsn is None) == (section.dsn_env is None):
            raise SetupError(
                f"`{FILE_NAME}`: warehouse with `engine: postgresql` needs either `dsn`, an address without a "
                "password, or `dsn-env`, the name of the environment variable that contains it."
            )
        return WarehouseSettings("postgresql", dsn=section.dsn, dsn_env=section.dsn_env)

    def _delta(self, section: _Delta) -> DeltaSettings:
        if (section.folder is None) == (section.bucket is None):
            raise SetupError(f"`{FILE_NAME}`: delta needs either a `bucket` or a local `folder`.")
        of_buckets = [name for name in ("credential", "prefix", "endpoint_url", "region") if getattr(section, name)]
        if section.folder is not None and of_buckets:
            name = of_buckets[0].replace("_", "-")
            raise SetupError(f"`{FILE_NAME}`: delta.{name} is for a `bucket`: leave it out for a `folder`.")
        prefix = section.prefix.strip("/")
        return DeltaSettings(
            folder=None if section.folder is None else self._path(section.folder),
            bucket=section.bucket or "",
            credential=self._credential(section.credential, "delta.credential"),
            prefix=f"{prefix}/" if prefix else "",
            endpoint_url=section.endpoint_url,
            region=section.region,
            views=tuple(dict.fromkeys(section.views)),
            keep=section.keep,
            after_runs=section.after_runs,
        )

    def _credential(self, name: str | None, where: str, on_the_way: tuple[str, ...] = ()) -> Credential:
        if name is None:
            return DefaultCredential()
        section = named(self._model.credentials, name, f"`{FILE_NAME}`: {where}", "credential")
        if name in on_the_way:
            raise SetupError(f"`{FILE_NAME}`: {where}: the credential `{name}` refers to itself.")
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
            entities=self._path(section.entities),
            operations=None if section.load_operations is None else self._path(section.load_operations),
        )

    def _group(self, name: str, section: _Group) -> Group:
        where = f"`{FILE_NAME}`: groups.{name}"
        for number, courier in enumerate(section.couriers):
            named(self._model.couriers, courier.courier, f"{where}.couriers", "courier")
            if courier.courier in [earlier.courier for earlier in section.couriers[:number]]:
                raise SetupError(f"{where}.couriers: `{courier.courier}` is listed twice.")
        for constraint in section.constraints:
            named(self._model.groups, constraint.group, f"{where}.constraints", "group")
        if section.schedule is not None:
            try:
                check_schedule(section.schedule)
            except SetupError as fault:
                raise SetupError(f"{where}: {fault}") from None
        elif section.sla:
            raise SetupError(f"{where}.sla needs a `schedule`, because it sets the deadline of scheduled runs.")
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
            stitch=section.stitch,
            done_by=section.sla.done_by if section.sla else None,
        )


def _values(section: Section) -> dict[str, Any]:
    return {name: getattr(section, name) for name in type(section).model_fields}


def _refuse_secrets(content: Any, where: str = "") -> None:
    """Refuses an access key anywhere in the file, before another error message can quote it."""
    entries = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in entries:
        if _is_secret(str(key)):
            raise SetupError(_KEY_IN_FILE.format(f"`{where or FILE_NAME}`"))
        inner = below(where, key)
        if isinstance(value, str) and _is_secret(value) and key not in _FREE:
            raise SetupError(_KEY_IN_FILE.format(f"`{inner}`"))
        _refuse_secrets(value, inner)


def _is_secret(text: str) -> bool:
    return bool(_ACCESS_KEY.search(text) or _SECRET_KEY.fullmatch(text))


def _refuse_circles(groups: Mapping[str, Group]) -> None:
    waits = {name: [constraint.group for constraint in group.constraints] for name, group in groups.items()}
    try:
        TopologicalSorter(waits).prepare()
    except CycleError as error:
        circle = " <- ".join(f"`{name}`" for name in error.args[1])
        raise SetupError(f"`{FILE_NAME}`: groups wait for each other: {circle}.") from None
