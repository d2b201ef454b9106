"""A new project folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from heap_courier.errors import SetupError
from heap_courier.project.model import KeyCredential, ProfileCredential, RoleCredential
from heap_courier.project.reader import read_project
from heap_courier.project.scaffold import make_project


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_what_is_created_is_a_complete_project(tmp_path: Path) -> None:
    paths = make_project(tmp_path / "new" / "heap")

    project = read_project(tmp_path / "new" / "heap")
    assert {str(path.relative_to(project.folder)) for path in paths} == files(project.folder)
    assert list(project.couriers) == ["Heap", "Heap-Connect"]
    assert project.couriers["Heap"].credential == KeyCredential(
        "heap-bucket", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
    )
    assert not project.groups["nightly"].enabled


def test_the_files_that_it_refers_to_exist_and_are_json(tmp_path: Path) -> None:
    make_project(tmp_path)
    for courier in read_project(tmp_path).couriers.values():
        assert json.loads(courier.entities.read_text())
        assert courier.operations is None or json.loads(courier.operations.read_text()) == {}


def test_the_commented_out_settings_are_valid_too(tmp_path: Path) -> None:
    make_project(tmp_path)
    path = tmp_path / "heap-courier.yaml"
    written = path.read_text().replace("  engine: duckdb ", "# ").replace("  file: ", "# ")
    for offer in (
        "engine",
        "dsn-env",
        "heap-profile",
        "  type",
        "  profile",
        "heap-role",
        "  role-arn",
        "  external-id",
    ):
        assert f"  # {offer}:" in written
        written = written.replace(f"  # {offer}:", f"  {offer}:")
    written = written.replace("  #   credential:", "    credential:").replace("# notify:", "notify:")
    path.write_text(written.replace("credential: heap-bucket\n    bucket", "credential: heap-role\n    bucket", 1))
    project = read_project(tmp_path)

    assert project.warehouse.dsn_env == "HEAP_WAREHOUSE"
    assert isinstance(project.couriers["Heap"].credential, RoleCredential)
    assert project.couriers["Heap"].credential.base == KeyCredential(
        "heap-bucket", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
    )
    assert project.notify.channels["error"].command[0] == "mail"
    path.write_text(path.read_text().replace("credential: heap-role\n", "credential: heap-profile\n"))
    assert read_project(tmp_path).couriers["Heap"].credential == ProfileCredential("heap-profile", "heap")


@pytest.mark.parametrize("bare", [False, True])
def test_either_warehouse_can_be_chosen(tmp_path: Path, bare: bool) -> None:
    """And the file offers the other one in comments."""
    make_project(tmp_path / "file", bare=bare)
    make_project(tmp_path / "server", bare=bare, engine="postgresql")
    assert read_project(tmp_path / "file").warehouse.engine == "duckdb"
    server = read_project(tmp_path / "server")
    assert (server.warehouse.engine, server.warehouse.dsn_env) == ("postgresql", "HEAP_WAREHOUSE")
    assert "# engine: duckdb" in (tmp_path / "server" / "heap-courier.yaml").read_text()
    assert list(server.couriers) == ([] if bare else ["Heap", "Heap-Connect"])


def test_files_with_rows_are_ignored_by_git(tmp_path: Path) -> None:
    make_project(tmp_path)
    ignored = (tmp_path / ".gitignore").read_text().splitlines()
    assert {"/heap.duckdb*", "/samples/", "/.heap-courier/"} <= set(ignored)


@pytest.mark.parametrize("name", ["heap-courier.yaml", "entities/heap.json", ".gitignore"])
def test_nothing_is_overwritten(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")

    with pytest.raises(SetupError) as refused:
        make_project(tmp_path)
    assert str(refused.value) == f"`{path}` already exists: choose another folder; nothing was written."
    assert (files(tmp_path), path.read_text()) == ({name}, "mine")


@pytest.mark.parametrize("name", ["heap", "heap/entities"])
def test_a_folder_that_cannot_be_created_is_reported_and_no_file_is_written(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")

    with pytest.raises(SetupError) as refused:
        make_project(tmp_path / "heap")
    assert str(refused.value) == f"`{path}` cannot be written: File exists. Choose another folder."
    assert files(tmp_path) == {name}
