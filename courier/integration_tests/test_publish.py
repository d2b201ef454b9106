"""`heap-courier publish`, and what runs publish, as their user and their readers see it, in a bucket."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from deltalake import DeltaTable, write_deltalake

from courier.integration_tests.command import User
from courier.integration_tests.heap_bucket import avro, nullable
from heap_courier.data_types.field_types import INTEGER, STRING
from heap_courier.feeds.model import Feed, Field

LAKE = """\
delta:
  bucket: lake
  prefix: heap
  endpoint-url: {s3}
  credential: heap-bucket
"""
FEED = Feed(
    "df-Users1",
    "Heap",
    "Users",
    (Field("id", INTEGER, "id", required=True), Field("name", STRING, "name")),
    ("id",),
)
RUN = ("run", "Heap", "--day", "2026-03-02")


@pytest.fixture(scope="module")
def moto_server() -> Iterator[str]:
    """In a process of its own: deltalake waits for it without letting other threads of Python run."""
    program = (
        "import sys; from moto.server import ThreadedMotoServer as Server; "
        "server = Server(ip_address='127.0.0.1', port=0, verbose=False); server.start(); "
        "print(*server.get_host_and_port(), sep=':', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout
        yield f"http://{process.stdout.readline().strip()}"
        process.kill()


class Killed(BaseException):
    """As if the process had been killed."""


@pytest.fixture
def user(s3: str, tmp_path: Path) -> User:
    user = User(tmp_path / "project", s3)
    user.begins()
    user.activates(FEED)
    user.loads(df_Users1=[{"type": "load", "file": "users"}])
    user.client.create_bucket(Bucket="lake")
    with (user.folder / "heap-courier.yaml").open("a", encoding="utf-8") as file:
        file.write(LAKE.format(s3=s3))
    export(user, [{"id": 1, "name": "Ada"}, {"id": 2, "name": None}])
    return user


def export(user: User, rows: list[dict[str, Any]]) -> None:
    user.puts("path/to/users-2026-03-02.avro", avro(nullable(id="long", name="string"), rows))


def published(user: User, folder: str = "Heap.Users") -> tuple[int, list[dict[str, Any]]]:
    """The version that readers see, and its rows."""
    options = {
        "AWS_ENDPOINT_URL": user.s3,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "reader",
        "AWS_SECRET_ACCESS_KEY": "reader",
    }
    table = DeltaTable(f"s3://lake/heap/{folder}", storage_options=options)
    rows = table.to_pyarrow_table().select(["id", "name"]).to_pylist()
    return table.version(), sorted(rows, key=lambda row: int(row["id"]))


def test_a_run_ends_by_publishing_what_it_changed(user: User) -> None:
    said = user.types(*RUN)
    assert (said.code, said.err) == (0, "")
    assert said.out.endswith("s3://lake/heap/Heap.Users\n")
    assert published(user) == (0, [{"id": 1, "name": "Ada"}, {"id": 2, "name": None}])

    export(user, [{"id": 1, "name": "Ada L."}, {"id": 3, "name": "Eva"}])
    assert user.types(*RUN).code == 0
    newest = [{"id": 1, "name": "Ada L."}, {"id": 2, "name": None}, {"id": 3, "name": "Eva"}]
    assert published(user) == (1, newest)

    said = user.types("publish")
    assert (said.code, said.row("Heap:Users")[1]) == (0, "unchanged")


def test_a_run_whose_rows_are_not_published_keeps_them_and_the_next_command_catches_up(user: User) -> None:
    user.edit("heap-courier.yaml", "bucket: lake", "bucket: lakes")
    said = user.types(*RUN)
    assert said.code == 1
    assert said.err == (
        f"Not published: Nothing can be published in the bucket `lakes` at {user.s3} below `heap/`, because there is "
        "no such bucket: fix the `delta` section's `bucket`. The rows are in the warehouse; the next run, or "
        "`heap-courier publish`, publishes them.\n"
    )
    assert "Completed in" in said.out
    assert user.query('SELECT count(*) FROM "Heap:Users"') == [(2,)]

    user.edit("heap-courier.yaml", "bucket: lakes", "bucket: lake")
    assert user.types("publish").code == 0
    assert published(user)[0] == 0


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_publication_killed_at_a_table_is_completed_by_the_next(user: User, moment: str) -> None:
    with user.warehouse() as warehouse, warehouse.transaction():
        for name in ("Heap:A", "Heap:B"):
            warehouse.execute(f"CREATE TABLE \"{name}\" AS SELECT 1 AS id, 'x' AS name")
    written = []

    def killed(*arguments: Any, **options: Any) -> None:
        written.append(arguments)
        if len(written) == 2 and moment == "before":
            raise Killed
        write_deltalake(*arguments, **options)
        if len(written) == 2:
            raise Killed

    with patch("heap_courier.delta.published.write_deltalake", killed), pytest.raises(Killed):
        user.types("publish")
    said = user.types("publish")
    outcome = {"before": "created", "after": "unchanged"}[moment]
    assert [said.row(name)[1] for name in ("Heap:A", "Heap:B", "Heap:Users")] == ["unchanged", outcome, "created"]
    assert published(user, "Heap.A") == published(user, "Heap.B") == (0, [{"id": 1, "name": "x"}])


def test_a_misspelt_setting_is_explained(user: User) -> None:
    user.edit("heap-courier.yaml", "  prefix: heap\n", "  prefx: heap\n")
    said = user.types("publish")
    assert (said.code, said.err) == (
        1,
        "Error: `heap-courier.yaml`: `delta` has no setting `prefx`; did you mean `prefix`?\n",
    )


def test_without_the_extra_it_says_what_to_install_and_keeps_what_was_loaded(user: User) -> None:
    with patch("heap_courier.delta.extra.find_spec", lambda name: None if name == "deltalake" else find_spec(name)):
        alone, after_run = user.types("publish"), user.types(*RUN)
    assert (alone.code, after_run.code) == (1, 1)
    assert alone.err.startswith("Error: Publishing (`delta` in heap-courier.yaml) needs the Python package `deltalake`")
    assert "`pip install './courier[delta]'`" in alone.err
    assert "needs the Python package `deltalake`" in after_run.err
    assert user.query('SELECT count(*) FROM "Heap:Users"') == [(2,)]


def test_a_token_of_another_key_pair_in_the_environment_is_refused(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library would send it with the keys of the credential, and S3 refuse both without saying why."""
    monkeypatch.setenv("AWS_SESSION_TOKEN", "foreign")
    said = user.types("publish")
    assert said.code == 1
    assert "`AWS_SESSION_TOKEN` with the keys of the credential `heap-bucket`, which has no token" in said.err


def test_a_server_without_conditional_writes_is_refused(user: User) -> None:
    with patch("heap_courier.files.bucket.Bucket.put_new", lambda *_: True):
        said = user.types("publish")
    assert said.code == 1
    assert "its server ignores If-None-Match" in said.err


def test_a_group_publishes_once_when_all_its_couriers_are_done(user: User) -> None:
    user.edit("heap-courier.yaml", "      - courier: Heap-Connect\n", "      - courier: Heap\n")
    said = user.types("group", "run", "nightly", "--slot", "2026-03-02T08:30")
    assert said.code == 0
    assert said.out.count("Published:") == 1
    assert published(user)[0] == 0
    user.edit("heap-courier.yaml", "bucket: lake", "bucket: lakes")
    said = user.types("group", "run", "nightly", "--slot", "2026-03-02T08:30")
    assert said.code == 1
    assert "Not published: Nothing can be published in the bucket `lakes`" in said.out + said.err
