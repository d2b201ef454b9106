"""heap-courier.yaml: the project that a user writes, parsed once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import time, timedelta
from pathlib import Path
from typing import Final, Literal
from zoneinfo import ZoneInfo

from heap_courier.formats.gzipped import MOST_UNPACKED


@dataclass(frozen=True, slots=True)
class KeyCredential:
    """An access key pair, by the names of the environment variables that hold it."""

    name: str
    access_key_env: str
    secret_key_env: str
    session_token_env: str | None = None


@dataclass(frozen=True, slots=True)
class ProfileCredential:
    """A profile of the AWS configuration files."""

    name: str
    profile: str


@dataclass(frozen=True, slots=True)
class DefaultCredential:
    """The credentials that the AWS libraries find: environment, profile, the machine's role."""

    name: str = "default"


@dataclass(frozen=True, slots=True)
class RoleCredential:
    """A role, usually of another account, assumed with another credential."""

    name: str
    role_arn: str
    external_id: str | None
    base: Credential


Credential = KeyCredential | ProfileCredential | DefaultCredential | RoleCredential


@dataclass(frozen=True, slots=True)
class Courier:
    """The bucket that files are fetched from, and the paths of its entities and load operations.

    `prefix` ends with a slash or is empty. `operations` is None if the entities say themselves how their tables land
    (heap-connect).
    """

    name: str
    credential: Credential
    bucket: str
    prefix: str
    endpoint_url: str | None
    region: str | None
    entities: Path
    operations: Path | None


@dataclass(frozen=True, slots=True)
class GroupCourier:
    """A courier in a group.

    Attributes:
        courier: its name.
        wait: how long to look again for files that are missing.
        offset: how much older than the scheduled instant the files are.
        missing: what to do if they are missing after the wait: notify and stop, or notify and continue without them.
    """

    courier: str
    wait: timedelta
    offset: timedelta
    missing: Literal["stop", "notify"]


@dataclass(frozen=True, slots=True)
class Constraint:
    """Another group whose run must have succeeded: for the same slot, or one that is older by `offset` at most."""

    group: str
    wait: timedelta
    offset: timedelta


@dataclass(frozen=True, slots=True)
class Group:
    """A courier group: https://docs.amperity.com/reference/courier_groups.html.

    Attributes:
        schedule: five cron fields, or None: only run by hand.
        time_zone: of the schedule.
        enabled: whether the schedule is in effect.
        warn_after: a run that takes longer is reported.
        dates_in_time_zone: whether days of files are days of `time_zone` rather than of UTC.
        past_day_only: whether a run looks at one day alone, rather than at each since the last run that succeeded.
        stitch: whether a run links the records of customers once all couriers have succeeded.
        done_by: the local time by which the run of a slot has to be done: the first such time after the slot.
    """

    name: str
    schedule: str | None
    time_zone: ZoneInfo
    enabled: bool
    couriers: tuple[GroupCourier, ...]
    constraints: tuple[Constraint, ...]
    warn_after: timedelta | None
    dates_in_time_zone: bool
    past_day_only: bool
    stitch: bool = False
    done_by: time | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What the files of a courier may take of this machine.

    Attributes:
        unpacked: bytes that one archive, or one file in gzip, may unpack to.
        free_disk: bytes of the disk that stay free.
    """

    unpacked: int = MOST_UNPACKED
    free_disk: int = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Retention:
    """How long what accumulates is kept; None: for ever.

    Attributes:
        samples: files that were fetched as samples.
        runs: entries of the run log, and runs of groups.
        files: fetched files that no run needs any more.
    """

    samples: timedelta | None = None
    runs: timedelta | None = None
    files: timedelta | None = None


MEMORY: Final = "512MB"
"""DuckDB's memory limit by default: ten million rows load as fast as with twice as much."""


@dataclass(frozen=True, slots=True)
class WarehouseSettings:
    """Where the domain tables are: a DuckDB file, or a PostgreSQL by its connection string or the variable with it.

    `memory` is what DuckDB may take before it writes to its own temporary file, such as `512MB`.
    """

    engine: Literal["duckdb", "postgresql"]
    path: Path | None = None
    memory: str = MEMORY
    dsn: str | None = None
    dsn_env: str | None = None


@dataclass(frozen=True, slots=True)
class DeltaSettings:
    """Where domain tables are published as Delta tables: below a folder of this machine, or a prefix of a bucket.

    Attributes:
        folder: None if it is a bucket.
        bucket, credential, prefix, endpoint_url, region: as those of a courier; `bucket` is empty if it is a folder.
        views: domain views that are published as tables too.
        keep: how long files of earlier versions stay, for queries that still read them.
        after_runs: whether each run publishes what it changed, rather than the command `publish` alone.
    """

    folder: Path | None = None
    bucket: str = ""
    credential: Credential = DefaultCredential()
    prefix: str = ""
    endpoint_url: str | None = None
    region: str | None = None
    views: tuple[str, ...] = ()
    keep: timedelta = timedelta(days=7)
    after_runs: bool = True


@dataclass(frozen=True, slots=True)
class Webhook:
    """An address that gets each notification as JSON by POST.

    Attributes:
        url: the address, or None: in the variable.
        url_env: the variable with the address, for one that is a secret itself.
        token_env: the variable with a bearer token.
    """

    url: str | None = None
    url_env: str | None = None
    token_env: str | None = None


@dataclass(frozen=True, slots=True)
class Smtp:
    """The mail server that e-mail goes through.

    Attributes:
        host, port: of the server.
        security: `starttls` and `tls` verify the server's certificate; `none` is for this machine.
        sender: the address in From.
        user, password_env: to sign in with; None: without.
    """

    host: str
    port: int
    security: Literal["starttls", "tls", "none"]
    sender: str
    user: str | None = None
    password_env: str | None = None


@dataclass(frozen=True, slots=True)
class Channels:
    """Where notifications of one kind go: all of these that are set.

    Attributes:
        command: gets the text on its standard input.
        webhook: gets JSON.
        email: addresses that get a message.
    """

    command: tuple[str, ...] = ()
    webhook: Webhook | None = None
    email: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Notify:
    """Which notifications are sent, and where to.

    Attributes:
        channels: by kind: `running`, `completed`, `warning`, `error`.
        smtp: the mail server.
        console: the address of the console, for links.
    """

    channels: Mapping[str, Channels] = field(default_factory=dict)
    smtp: Smtp | None = None
    console: str | None = None


@dataclass(frozen=True, slots=True)
class Project:
    """A project folder: its warehouse, couriers, feeds and groups.

    `stitch_priority` names domain tables whose values Stitch prefers, the most reliable first. `stitch_memory` is what
    its DuckDB may take; None: as much as the warehouse's. `delta` is where tables are published; None: nowhere.
    """

    folder: Path
    warehouse: WarehouseSettings
    couriers: Mapping[str, Courier]
    feeds: Path
    groups: Mapping[str, Group]
    notify: Notify = Notify()
    limits: Limits = Limits()
    stitch_priority: tuple[str, ...] = ()
    retention: Retention = Retention()
    stitch_memory: str | None = None
    delta: DeltaSettings | None = None
