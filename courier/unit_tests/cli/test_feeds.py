"""Commands of feeds."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from heap_courier.cli.main import cli
from heap_courier.project.scaffold import make_project


@pytest.fixture
def project(tmp_path: Path) -> Path:
    make_project(tmp_path)
    return tmp_path


def types(project: Path, *words: str) -> str:
    ended = CliRunner().invoke(cli, ["--project", str(project), *words], catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    return ended.output


def test_rows_of_the_sample_that_are_rejected_are_shown_with_their_reasons(project: Path) -> None:
    sample = project / "users.csv"
    sample.write_text("user_id,email\n" + "".join(f"{number},a\n" for number in range(1, 200)))
    types(project, "feed", "add", "Heap:Users", "--sample", str(sample))
    feed = project / "feeds" / "heap-users.yaml"
    feed.write_text(feed.read_text().replace("name: user_id, type: String", "name: user_id, type: Integer"))
    sample.write_text(sample.read_text().replace("\n7,a\n", "\nsecret,a\n") + "200,b\n")

    out = types(project, "feed", "activate", "Heap:Users")

    assert "1 of 200 rows of the sample were rejected:" in out
    (row,) = [line.split() for line in out.splitlines() if "user_id" in line and "users.csv" in line]
    assert row[2:4] == ["7", "user_id"]
    assert "secret" not in out


def test_a_sample_without_rejected_rows_is_loaded_without_a_message(project: Path) -> None:
    (project / "users.csv").write_text("user_id,email\n1,a\n")
    types(project, "feed", "add", "Heap:Users", "--sample", str(project / "users.csv"))
    assert "rejected" not in types(project, "feed", "activate", "Heap:Users")
