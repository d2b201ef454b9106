"""The model of a project: what heap-courier.yaml contains, parsed once."""

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
    """An access key, given by the names of the environment variables that contain it."""

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
    """The credentials that the AWS SDK finds: environment variables, a profile, the machine's role."""

    name: str = "default"


@dataclass(frozen=True, slots=True)
class RoleCredential:
    """A role, usually in another account, assumed with another credential."""

    name: str
    role_arn: str
    external_id: str | None
    base: Credential


Credential = KeyCredential | ProfileCredential | DefaultCredential | RoleCredential


@dataclass(frozen=True, slots=True)
class Courier:
    """The bucket that files are fetched from, and the paths of the entities list and the load operations.

    `prefix` is empty or ends with a slash. `operations` is None for Heap Connect, whose manifests define the tables.
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
        wait: how long to retry if files are missing.
        offset: how much older than the scheduled time the files are.
        missing: what to do if they are still missing: notify and stop, or notify and continue without them.
    """

    courier: str
    wait: timedelta
    offset: timedelta
    missing: Literal["stop", "notify"]


@dataclass(frozen=True, slots=True)
class Constraint:
    """Another group that must have succeeded first: for the same slot, or one at most `offset` older."""

    group: str
    wait: timedelta
    offset: timedelta


@dataclass(frozen=True, slots=True)
class Group:
    """A courier group: https://docs.amperity.com/reference/courier_groups.html.

    Attributes:
        schedule: five cron fields, or None if it is only run by hand.
        time_zone: the time zone of the schedule.
        enabled: whether the schedule is in effect.
        warn_after: a run that takes longer is reported.
        dates_in_time_zone: whether the days of files are in `time_zone` rather than in UTC.
        past_day_only: whether a run loads only one day, rather than every day since the last successful run.
        stitch: whether a run links the records of customers once all couriers have succeeded.
        done_by: the deadline of a slot: the first time after it when it is this local time.
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
    """How much disk space the files of a courier may use.

    Attributes:
        unpacked: maximum size in bytes of an unpacked archive or gzip file.
        free_disk: bytes of disk space to leave free.
    """

    unpacked: int = MOST_UNPACKED
    free_disk: int = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Retention:
    """How long data that accumulates is kept; None: for ever.

    Attributes:
        samples: files fetched as samples.
        runs: entries of the run log, and runs of groups.
        files: fetched files that no run needs any longer.
    """

    samples: timedelta | None = None
    runs: timedelta | None = None
    files: timedelta | None = None


MEMORY: Final = "512MB"
"""DuckDB's default memory limit; ten million rows load no faster with twice as much."""


@dataclass(frozen=True, slots=True)
class WarehouseSettings:
    """Where the domain tables are: a DuckDB file, or PostgreSQL by a connection string or the variable with it.

    `memory` is how much DuckDB may use before it spills to a temporary file, such as `512MB`.
    """

    engine: Literal["duckdb", "postgresql"]
    path: Path | None = None
    memory: str = MEMORY
    dsn: str | None = None
    dsn_env: str | None = None


@dataclass(frozen=True, slots=True)
class DeltaSettings:
    """Where domain tables are published as Delta tables: in a local folder, or below a prefix of a bucket.

    Attributes:
        folder: None if it is a bucket.
        bucket, credential, prefix, endpoint_url, region: as for a courier; `bucket` is empty if it is a folder.
        views: domain views that are also published as tables.
        keep: how long to keep files of earlier versions for queries that still read them.
        after_runs: whether each run publishes what it changed; otherwise only the command `publish` does.
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
    """A URL to which each notification is posted as JSON.

    Attributes:
        url: the URL, or None if a variable contains it.
        url_env: the variable that contains the URL, if that is a secret.
        token_env: the variable that contains a bearer token, if any.
    """

    url: str | None = None
    url_env: str | None = None
    token_env: str | None = None


@dataclass(frozen=True, slots=True)
class Smtp:
    """The mail server for notifications by e-mail.

    Attributes:
        host, port: the server's address.
        security: `starttls` and `tls` verify the server's certificate; `none` is for a local server.
        sender: the address in From.
        user, password_env: the login; None: no login.
    """

    host: str
    port: int
    security: Literal["starttls", "tls", "none"]
    sender: str
    user: str | None = None
    password_env: str | None = None


@dataclass(frozen=True, slots=True)
class Channels:
    """Where notifications of one kind are sent: to all of these that are set.

    Attributes:
        command: receives the text on its standard input.
        webhook: receives JSON.
        email: addresses that receive the text.
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
        console: the URL of the console, for links.
    """

    channels: Mapping[str, Channels] = field(default_factory=dict)
    smtp: Smtp | None = None
    console: str | None = None


@dataclass(frozen=True, slots=True)
class Project:
    """A project folder: its warehouse, couriers, feeds and groups.

    `stitch_priority` lists domain tables whose values Stitch prefers, the most reliable first. `stitch_memory` is the
    memory limit of its DuckDB; None: that of the warehouse. `delta` is where tables are published; None: nowhere.
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
