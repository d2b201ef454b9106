"""heap-courier.yaml is parsed into a Project, or refused with a sentence about what is wrong."""

from __future__ import annotations

from datetime import time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from heap_courier.documents.wording import named
from heap_courier.errors import SetupError
from heap_courier.project.model import (
    Channels,
    Constraint,
    Courier,
    DefaultCredential,
    DeltaSettings,
    Group,
    GroupCourier,
    KeyCredential,
    Limits,
    Notify,
    ProfileCredential,
    Project,
    RoleCredential,
    Smtp,
    WarehouseSettings,
    Webhook,
)
from heap_courier.project.reader import read_project

FULL = """\
warehouse: {engine: postgresql, dsn-env: HEAP_WAREHOUSE}
credentials:
  keys: {type: iam-credential, access-key-env: KEY, secret-key-env: SECRET, session-token-env: TOKEN}
  ours: {type: profile, profile: heap}
  machine: {type: default}
  role: {type: iam-role-to-role, role-arn: "arn:aws:iam::123456789012:role/heap", external-id: "0123", credential: keys}
couriers:
  Heap:
    credential: role
    bucket: heap-rs3-x
    prefix: /exports/heap/
    endpoint-url: http://127.0.0.1:9000
    region: eu-west-1
    entities: entities/heap.json
  Files: {bucket: heap-rs3-x, entities: entities/files.json, load-operations: /elsewhere/files.json}
feeds: my feeds
groups:
  nightly:
    schedule: "30 8 * * *"
    time-zone: America/Los_Angeles
    status: disabled
    couriers: [{courier: Heap, wait: 2 hours, offset: 1 day, missing: notify}, {courier: Files}]
    constraints: [{group: first, wait: 30 minutes, offset: 1 week}]
    warn-after: 90 seconds
    dates-in-time-zone: true
    past-day-only: true
  first: {couriers: [{courier: Files}]}
notify: [mail, -s, heap]
"""
ROLE = "type: iam-role-to-role, role-arn: 'arn:aws:iam::123456789012:role/x'"
HEAP = "couriers:\n  Heap: {bucket: heap-rs3-x, entities: e.json}\n"


def read(folder: Path, content: str) -> Project:
    (folder / "heap-courier.yaml").write_text(content)
    return read_project(folder)


def refusal(folder: Path, content: str) -> str:
    with pytest.raises(SetupError) as refused:
        read(folder, content)
    return str(refused.value)


SCHEDULE = (
    'groups.n: The schedule "0 25 * * *" is not valid (bad hour): write minute, hour, day of month, month and day of '
    'week, as in "0 17 * * 1-5".'
)


def grouped(settings: str) -> str:
    return f"{HEAP}groups:\n  n: {{{settings}}}\n"


def test_each_setting_arrives_where_it_belongs(tmp_path: Path) -> None:
    project = read(tmp_path, FULL)

    keys = KeyCredential("keys", "KEY", "SECRET", "TOKEN")
    role = RoleCredential("role", "arn:aws:iam::123456789012:role/heap", "0123", keys)
    bucket = "heap-rs3-x"
    zero = timedelta()
    assert project == Project(
        folder=tmp_path,
        warehouse=WarehouseSettings("postgresql", dsn_env="HEAP_WAREHOUSE"),
        couriers={
            "Heap": Courier(
                "Heap",
                role,
                bucket,
                "exports/heap/",
                "http://127.0.0.1:9000",
                "eu-west-1",
                tmp_path / "entities/heap.json",
                None,
            ),
            "Files": Courier(
                "Files",
                DefaultCredential(),
                bucket,
                "",
                None,
                None,
                tmp_path / "entities/files.json",
                Path("/elsewhere/files.json"),
            ),
        },
        feeds=tmp_path / "my feeds",
        groups={
            "nightly": Group(
                name="nightly",
                schedule="30 8 * * *",
                time_zone=ZoneInfo("America/Los_Angeles"),
                enabled=False,
                couriers=(
                    GroupCourier("Heap", timedelta(hours=2), timedelta(days=1), "notify"),
                    GroupCourier("Files", zero, zero, "stop"),
                ),
                constraints=(Constraint("first", timedelta(minutes=30), timedelta(weeks=1)),),
                warn_after=timedelta(seconds=90),
                dates_in_time_zone=True,
                past_day_only=True,
            ),
            "first": Group(
                name="first",
                schedule=None,
                time_zone=ZoneInfo("UTC"),
                enabled=True,
                couriers=(GroupCourier("Files", zero, zero, "stop"),),
                constraints=(),
                warn_after=None,
                dates_in_time_zone=False,
                past_day_only=False,
            ),
        },
        notify=Notify({kind: Channels(("mail", "-s", "heap")) for kind in ("warning", "error")}),
    )


@pytest.mark.parametrize(
    ("section", "credential"),
    [("type: profile, profile: heap", ProfileCredential("c", "heap")), ("type: default", DefaultCredential("c"))],
)
def test_a_credential_can_be_a_profile_or_the_machines_own(
    tmp_path: Path, section: str, credential: ProfileCredential | DefaultCredential
) -> None:
    couriers = "couriers: {Heap: {bucket: heap, entities: e, credential: c}}"
    assert read(tmp_path, f"credentials: {{c: {{{section}}}}}\n{couriers}\n").couriers["Heap"].credential == credential


def test_files_have_limits(tmp_path: Path) -> None:
    assert read(tmp_path, "").limits == Limits(unpacked=100_000_000_000, free_disk=1_000_000_000)
    assert read(tmp_path, "limits: {unpacked: 2TB, free-disk: 0MB}").limits == Limits(2 * 10**12, 0)


def test_duckdb_may_be_given_more_memory(tmp_path: Path) -> None:
    assert read(tmp_path, "").warehouse.memory == "512MB"
    assert read(tmp_path, "warehouse: {memory: 2GB}").warehouse.memory == "2GB"


def test_stitch_may_be_given_more_memory_than_the_warehouse(tmp_path: Path) -> None:
    assert read(tmp_path, "").stitch_memory is None
    postgresql = "warehouse: {engine: postgresql, dsn-env: X}\nstitch: {memory: 2GB}"
    assert read(tmp_path, postgresql).stitch_memory == "2GB"


@pytest.mark.parametrize("content", ["", "# all\n", "couriers:\n  # Heap:\nnotify:\nwarehouse:\n  # engine: x\n"])
def test_settings_that_are_left_out_or_commented_out_have_their_defaults(tmp_path: Path, content: str) -> None:
    assert read(tmp_path, content) == Project(
        tmp_path, WarehouseSettings("duckdb", tmp_path / "heap.duckdb"), {}, tmp_path / "feeds", {}
    )


def test_a_path_may_start_with_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert read(tmp_path, "warehouse: {file: ~/heap.duckdb}").warehouse.path == Path("/home/ada/heap.duckdb")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("90 seconds", timedelta(seconds=90)),
        ("1 hours", timedelta(hours=1)),
        ("1hour", timedelta(hours=1)),
        ("30 Minutes", timedelta(minutes=30)),
        ("2  weeks", timedelta(weeks=2)),
        ("0", timedelta()),
    ],
)
def test_a_duration_is_a_number_and_a_unit(tmp_path: Path, text: str, meant: timedelta) -> None:
    group = read(tmp_path, grouped(f"couriers: [{{courier: Heap, wait: {text}}}]")).groups["n"]
    assert group.couriers[0].wait == meant


@pytest.mark.parametrize(
    "text", ["90s", "24", "-1 hour", "1.5 hours", "1 month", "1:30", "1 hour 5 minutes", "no", "[1]", "99999 weeks"]
)
def test_other_durations_are_refused_with_examples(tmp_path: Path, text: str) -> None:
    assert refusal(tmp_path, grouped(f"couriers: [{{courier: Heap, wait: {text}}}]")) == (
        "`heap-courier.yaml`: `groups.n.couriers[0].wait` must be a duration such as `30 minutes`, `24 hours` or "
        "`2 days`."
    )


LIKE_A_KEY = (
    "contains what looks like an access key, which does not belong in the file: put it into an environment variable, "
    "and set the variable's name here (`access-key-env`, `secret-key-env`)."
)
SETTINGS = "must contain settings, each as `name: value`."
TEXT = "must be text; quote it if it looks like a number or a boolean."
BUCKET = "must be only the bucket's name, such as `heap-rs3-example`; set a folder in it as `prefix`."
ZONE = "`groups.n.time-zone` must be a time zone such as `UTC` or `America/Los_Angeles`"
VARIABLE = "must be the name of an environment variable; the secret itself does not belong in the file."
POSTGRESQL = (
    "warehouse with `engine: postgresql` needs either `dsn`, an address without a password, or `dsn-env`, the name of "
    "the environment variable that contains it."
)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("couriers: [Heap]", f"`couriers` {SETTINGS}"),
        ("couriers: {Heap: }", f"`couriers.Heap` {SETTINGS}"),
        ("couriers: {Heap: {entities: e}}", "`couriers.Heap` lacks `bucket`."),
        ("couriers: {Heap: {bucket: , entities: e}}", "`couriers.Heap` lacks `bucket`."),
        ("couriers: {Heap: {bucket: 5, entities: e}}", f"`couriers.Heap.bucket` {TEXT}"),
        ("couriers: {Heap: {bucket: heap, entities: ''}}", "`couriers.Heap.entities` must not be empty."),
        (
            "couriers: {Heap: {bucket: heap, entity: e}}",
            "`couriers.Heap` has no setting `entity`; did you mean `entities`?",
        ),
        (
            "couriers: {Heap: {bucket: 's3://heap/x', entities: e}}",
            f"`couriers.Heap.bucket` {BUCKET}",
        ),
        (
            "couriers: {Heap: {bucket: heap, entities: e, endpoint-url: 'localhost:9000'}}",
            "`couriers.Heap.endpoint-url` must be a URL such as https://host:port; http is only for this machine.",
        ),
        (
            "couriers: {Heap: {bucket: heap, entities: e, endpoint-url: 'http://minio.example.com:9000'}}",
            "`couriers.Heap.endpoint-url` must be a URL such as https://host:port; http is only for this machine.",
        ),
        (
            "couriers: {Heap: {bucket: heap, entities: e, endpoint-url: 'http://127.0.0.1.example.com'}}",
            "`couriers.Heap.endpoint-url` must be a URL such as https://host:port; http is only for this machine.",
        ),
        (
            "couriers: {a/../b: {bucket: heap, entities: e}}",
            (
                "`couriers.a/../b` must be a name of letters, digits, spaces, `-`, `_` and `.`, 64 at most, the first "
                "a letter or digit."
            ),
        ),
        ("couriers: {1: {bucket: heap, entities: e}}", f"`couriers[1]` {TEXT}"),
        (
            "couriers: {Heap: {bucket: heap, entities: e, credential: x}}",
            "couriers.Heap.credential: there is no credential `x`. No credential is defined.",
        ),
        (
            "credentials: {c: {profile: p}}",
            "`credentials.c` must have a `type`: `iam-credential`, `iam-role-to-role`, `profile` or `default`.",
        ),
        ("credentials: {c: {type: profile}}", "`credentials.c` lacks `profile`."),
        (
            "credentials: {c: {type: iam-role-to-role, role-arn: heap}}",
            "`credentials.c.role-arn` must be a role such as `arn:aws:iam::123456789012:role/reader`.",
        ),
        (
            f"credentials: {{c: {{{ROLE}, credential: d}}}}",
            "credentials.c.credential: there is no credential `d`. Known names: `c`.",
        ),
        (
            f"credentials: {{a: {{{ROLE}, credential: b}}, b: {{{ROLE}, credential: a}}}}",
            "credentials.b.credential: the credential `a` refers to itself.",
        ),
        ("warehouse: {engine: mysql}", "`warehouse.engine` must be `duckdb` or `postgresql`."),
        ("warehouse: {dsn-env: X}", "warehouse.dsn is for `engine: postgresql`; DuckDB uses `file`."),
        ("warehouse: {engine: postgresql}", POSTGRESQL),
        (
            "warehouse: {engine: postgresql, dsn-env: X, memory: 1GB}",
            "warehouse.memory is for `engine: duckdb`; PostgreSQL has its own settings.",
        ),
        ("limits: {unpacked: much}", "`limits.unpacked` must be a size such as `500MB`, `20GB` or `1TB`."),
        ("limits: {free-disk: 5}", "`limits.free-disk` must be a size such as `500MB`, `20GB` or `1TB`."),
        ("stitch: {memory: 50%}", "`stitch.memory` must be a size of memory such as `512MB` or `2GB`."),
        ("warehouse: {memory: 50%}", "`warehouse.memory` must be a size of memory such as `512MB` or `2GB`."),
        (
            "warehouse: {memory: 2000000}",
            "`warehouse.memory` must be text; quote it if it looks like a number or a boolean.",
        ),
        ("warehouse: {engine: postgresql, dsn: 'postgresql://h/d', dsn-env: X}", POSTGRESQL),
        ("warehouse: {engine: postgresql, dsn-env: X, file: x}", POSTGRESQL),
        (grouped("couriers: []"), "`groups.n.couriers` must not be empty."),
        (grouped("schedule: '0 8 * * *'"), "`groups.n` lacks `couriers`."),
        (
            grouped("schedule: '0 25 * * *', couriers: [{courier: Heap}]"),
            SCHEDULE,
        ),
        (grouped("couriers: Heap"), "`groups.n.couriers` must be a list, such as `[a, b]`."),
        (grouped("couriers: [Heap]"), f"`groups.n.couriers[0]` {SETTINGS}"),
        (
            grouped("couriers: [{courier: Heep}]"),
            "groups.n.couriers: there is no courier `Heep`. Did you mean `Heap`?",
        ),
        (grouped("couriers: [{courier: Heap}, {courier: Heap}]"), "groups.n.couriers: `Heap` is listed twice."),
        (
            grouped("couriers: [{courier: Heap, missing: skip}]"),
            "`groups.n.couriers[0].missing` must be `stop` or `notify`.",
        ),
        (grouped("couriers: [{courier: Heap}], time-zone: 5"), f"{ZONE}."),
        (grouped("couriers: [{courier: Heap}], time-zone: utc"), f"{ZONE}; did you mean `UTC`?"),
        (
            grouped("couriers: [{courier: Heap}], time-zone: America/Los_Angles"),
            f"{ZONE}; did you mean `America/Los_Angeles`?",
        ),
        (grouped("couriers: [{courier: Heap}], status: [on]"), "`groups.n.status` must be `enabled` or `disabled`."),
        (
            grouped("couriers: [{courier: Heap}], past-day-only: 'yes'"),
            "`groups.n.past-day-only` must be `true` or `false`.",
        ),
        (
            grouped("couriers: [{courier: Heap}], constraints: [{group: m}]"),
            "groups.n.constraints: there is no group `m`. Known names: `n`.",
        ),
        (
            grouped("couriers: [{courier: Heap}], constraints: [{group: n}]"),
            "groups wait for each other: `n` <- `n`.",
        ),
        (
            grouped("couriers: [{courier: Heap}], constraints: [{group: m}]")
            + "  m: {couriers: [{courier: Heap}], constraints: [{group: n}]}\n",
            "groups wait for each other: `n` <- `m` <- `n`.",
        ),
        (
            "notify: mail -s heap",
            "`notify` must be channels by kind, such as `error: {email: [data@example.com]}`, or a command.",
        ),
    ],
)
def test_an_invalid_setting_is_reported_with_its_allowed_values(tmp_path: Path, content: str, sentence: str) -> None:
    assert refusal(tmp_path, content) == f"`heap-courier.yaml`: {sentence}"


@pytest.mark.parametrize("content", ["- couriers\n", "hello", "5", "false", "[]"])
def test_a_file_without_settings_is_refused(tmp_path: Path, content: str) -> None:
    assert refusal(tmp_path, content) == f"`heap-courier.yaml` {SETTINGS}"


def test_a_folder_without_a_project_is_distinguished_from_an_unreadable_one(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="go to the project's folder, or create one with `heap-courier init`"):
        read_project(tmp_path)
    (tmp_path / "heap-courier.yaml").mkdir()
    with pytest.raises(SetupError, match=r"heap-courier.yaml` cannot be read: Is a directory"):
        read_project(tmp_path)


ACCESS = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMIK7MDENGbPxRfiCYzEXAMPLEKEYz"  # noqa: S105  (not a real one: Amazon's example)
PASSWORD = "hunter2"  # noqa: S105  (not a real one)
KEYS = "type: iam-credential, access-key-env: {}, secret-key-env: {}"


@pytest.mark.parametrize(
    "content",
    [
        f"credentials: {{c: {{{KEYS.format(ACCESS, 'S')}}}}}",
        f"credentials: {{c: {{{KEYS.format('K', SECRET)}}}}}",
        f"credentials: {{c: {{{KEYS.format('K', PASSWORD + '!')}}}}}",
        f"credentials: {{c: {{type: iam-credential, access-key: {ACCESS}, secret-key: {SECRET}}}}}",
        f"credentials: {{c: {{type: profile, profile: {ACCESS}}}}}",
        f"credentials: {{c: {{type: profile, profile: p, {ACCESS}: x}}}}",
        f"credentials: {{{ACCESS}: {{type: default}}}}",
        f"credentials: [{ACCESS}]",
        f"couriers: {{Heap: {{bucket: heap, entities: e, credential: {ACCESS}}}}}",
        f"couriers: {{Heap: {{bucket: {SECRET}, entities: e}}}}",
        f"couriers: {{Heap: {{bucket: heap, entities: e, endpoint-url: 'https://u:{PASSWORD}@host'}}}}",
        f"couriers: {{Heap: {{bucket: heap, entities: e, secret-key: {PASSWORD}}}}}",
        f"groups: {{n: {{time-zone: {ACCESS}, couriers: [{{courier: x}}]}}}}",
        f"notify: [curl, 'https://x/?key={ACCESS}']",
        f"warehouse: {{engine: postgresql, dsn: 'postgresql://u:{PASSWORD}@h/d'}}",
        f"warehouse: {{engine: postgresql, dsn: 'postgresql://u@h/d?password={PASSWORD}'}}",
        f"warehouse: {{engine: postgresql, dsn: 'postgresql://u@h/d?sslpassword={PASSWORD}'}}",
        f"warehouse: {{engine: postgresql, dsn: 'postgresql://u:{PASSWORD}@[h/d'}}",
        f"warehouse: {{engine: postgresql, dsn: 'host=h password={PASSWORD}'}}",
        f"warehouse: {{engine: postgresql, dsn-env: 'postgresql://u:{PASSWORD}@h/d'}}",
        f"warehouse: {{engine: {PASSWORD}}}",
    ],
)
def test_a_secret_is_refused_anywhere_and_not_repeated(tmp_path: Path, content: str) -> None:
    sentence = refusal(tmp_path, content)
    assert not any(secret in sentence for secret in (ACCESS, SECRET, PASSWORD))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            f"credentials: {{c: {{{KEYS.format(ACCESS, 'S')}}}}}",
            f"`credentials.c.access-key-env` {LIKE_A_KEY}",
        ),
        (f"credentials: {{c: {{{KEYS.format('$K', 'S')}}}}}", f"`credentials.c.access-key-env` {VARIABLE}"),
        (
            "credentials: {c: {type: iam-credential, secret-key: x}}",
            "`credentials.c` does not accept `secret-key`: set `secret-key-env` to the variable with its value.",
        ),
        (
            "warehouse: {engine: postgresql, dsn: 'postgresql://u:x@h/d'}",
            "`warehouse.dsn` contains a password, which does not belong in the file: use `dsn-env`, or ~/.pgpass.",
        ),
    ],
)
def test_a_secret_in_the_file_is_refused_with_the_setting_to_use_instead(
    tmp_path: Path, content: str, sentence: str
) -> None:
    assert refusal(tmp_path, content) == f"`heap-courier.yaml`: {sentence}"


def test_an_external_id_may_look_like_a_key(tmp_path: Path) -> None:
    read(tmp_path, f"credentials: {{c: {{{ROLE}, external-id: {SECRET}}}}}")


def test_an_unknown_name_is_reported_with_the_nearest_one_or_all_names() -> None:
    assert named({"Heap": 1}, "Heap", "run", "courier") == 1
    with pytest.raises(SetupError, match=r"^run: there is no courier `heap`. Did you mean `Heap`\?$"):
        named({"Heap": 1, "Files": 2}, "heap", "run", "courier")
    with pytest.raises(SetupError, match=r"Known names: `Heap`, `Files`.$"):
        named({"Heap": 1, "Files": 2}, "xyz", "run", "courier")


SMTP = "smtp: {host: mail.example.com, from: courier@example.com}"


def test_notifications_go_to_channels_by_kind(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        "notify:\n"
        "  completed: {webhook: {url-env: HOOK, token-env: TOKEN}}\n"
        "  warning: {command: [logger]}\n"
        "  error: {command: [logger], email: [a@example.com, b@example.com], webhook: {url: https://x.example.com/y}}\n"
        "  smtp: {host: mail.example.com, from: c@example.com, security: tls, user: c, password-env: PASSWORD}\n"
        "  console: https://courier.example.com\n",
    )
    assert found.notify == Notify(
        {
            "completed": Channels(webhook=Webhook(url_env="HOOK", token_env="TOKEN")),  # noqa: S106  (its name)
            "warning": Channels(("logger",)),
            "error": Channels(("logger",), Webhook("https://x.example.com/y"), ("a@example.com", "b@example.com")),
        },
        Smtp("mail.example.com", 465, "tls", "c@example.com", "c", "PASSWORD"),
        "https://courier.example.com",
    )
    assert read(tmp_path, "notify: []").notify == Notify()


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ("eror: {command: [x]}", "`notify` has no setting `eror`; did you mean `error`?"),
        ("error: {email: [a@example.com]}", "`notify` sends e-mail but has no `smtp`"),
        (f"error: {{email: [a b@example.com]}}, {SMTP}", "`notify.error.email[0]` must be an e-mail address"),
        ("error: {webhook: {}}", "`notify.error.webhook` needs either `url`, or `url-env`"),
        (
            "error: {webhook: {url: http://example.com/}}",
            "`notify.error.webhook.url` must be a URL such as https:",
        ),
        ("error: {webhook: {url: 'https://a:b@example.com/'}}", "`notify.error.webhook.url` must be a URL"),
        ("error: {webhook: {url-env: 'https://x'}}", "`notify.error.webhook.url-env` must be the name of an environ"),
        ("error: {command: []}", "`notify.error.command` must not be empty"),
        ("smtp: {host: x, from: a@b, user: u}", "`notify.smtp` needs `user` and `password-env` together"),
        ("smtp: {host: x, from: a@b, sender: u}", "`notify.smtp` has no setting `sender`"),
        (
            "smtp: {host: x, from: a@b, user: u, password-env: P, security: none}",
            "cannot send a password without encryption",
        ),
        ("smtp: {host: x, from: a@b, port: 70000}", "`notify.smtp.port`"),
    ],
)
def test_channels_that_cannot_work_are_refused(tmp_path: Path, section: str, sentence: str) -> None:
    assert sentence in refusal(tmp_path, f"notify: {{{section}}}")


@pytest.mark.parametrize("text", ["07:00", "17:30", "00:00"])
def test_a_group_must_finish_by_a_time_of_day(tmp_path: Path, text: str) -> None:
    content = grouped(f"schedule: '0 1 * * *', sla: {{done-by: '{text}'}}, couriers: [{{courier: Heap}}]")
    assert read(tmp_path, content).groups["n"].done_by == time.fromisoformat(text)


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ("schedule: '0 1 * * *', sla: {done-by: 17:00}", "`groups.n.sla.done-by` must be a time of day in quotes"),
        ("schedule: '0 1 * * *', sla: {done-by: '24:00'}", "`groups.n.sla.done-by` must be a time of day in quotes"),
        ("schedule: '0 1 * * *', sla: {}", "`groups.n.sla` lacks `done-by`"),
        ("sla: {done-by: '07:00'}", "groups.n.sla needs a `schedule`"),
    ],
)
def test_an_invalid_deadline_is_refused(tmp_path: Path, section: str, sentence: str) -> None:
    assert sentence in refusal(tmp_path, grouped(f"{section}, couriers: [{{courier: Heap}}]"))


def test_tables_are_published_in_a_bucket_or_a_folder(tmp_path: Path) -> None:
    lake = "{bucket: lake, prefix: /heap/v1/, credential: keys, keep: 30 days, views: [A:b, A:b], after-runs: false}"
    keys = "credentials:\n  keys: {type: iam-credential, access-key-env: KEY, secret-key-env: SECRET}\n"
    assert read(tmp_path, f"{keys}delta: {lake}\n").delta == DeltaSettings(
        bucket="lake",
        prefix="heap/v1/",
        credential=KeyCredential("keys", "KEY", "SECRET"),
        keep=timedelta(days=30),
        views=("A:b",),
        after_runs=False,
    )
    assert read(tmp_path, "delta: {folder: out}\n").delta == DeltaSettings(folder=tmp_path / "out")
    assert read(tmp_path, "").delta is None


@pytest.mark.parametrize(
    ("delta", "words"),
    [
        ("bucket: lake, prefx: heap", "`delta` has no setting `prefx`; did you mean `prefix`?"),
        ("bucket: lake, prefix: he ap", "`delta.prefix` must consist of letters, digits and `/_.-`"),
        ("bucket: lake, folder: lake", "delta needs either a `bucket` or a local `folder`."),
        ("prefix: heap", "delta needs either a `bucket` or a local `folder`."),
        ("folder: lake, region: eu-west-1", "delta.region is for a `bucket`: leave it out for a `folder`."),
        ("bucket: 's3://lake'", "`delta.bucket` must be only the bucket's name"),
        ("bucket: lake, keep: 2 hours", "`delta.keep` must be at least `1 day`."),
        ("bucket: lake, credential: heap", "delta.credential: there is no credential `heap`."),
    ],
)
def test_an_invalid_publication_setting_is_explained(tmp_path: Path, delta: str, words: str) -> None:
    assert words in refusal(tmp_path, f"delta: {{{delta}}}\n")
