"""The console while another process, such as the daemon, writes to the DuckDB file."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from courier.unit_tests.console.screens.test_feeds import filled_in
from courier.unit_tests.console.visitor import Visitor
from heap_courier.console import visit
from heap_courier.project.reader import read_project

HOLDER = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"


@pytest.fixture
def busy(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project whose warehouse another process has open."""
    monkeypatch.setattr(visit, "PATIENCE", 0)
    path = read_project(project).warehouse.path
    assert path is not None
    path.parent.mkdir(exist_ok=True)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == b"open\n"
        yield project
        holder.stdin.close()


def test_every_screen_reports_a_busy_warehouse_and_forms_that_do_not_need_it_work(busy: Path, visits: Visitor) -> None:
    """A page that needs the warehouse reloads later; others show what is not available. None reports a failure."""
    for address in ("/tables", "/customers", "/runs", "/notifications", "/tables/show?name=x", "/runs/x"):
        answer = visits.get(address)
        assert (answer.status, answer.headers["retry-after"]) == (503, "5"), address
        assert "The warehouse is busy" in answer.text
        assert 'data-again="5"' in answer.html
    for address in ("/", "/groups"):
        answer = visits.get(address)
        assert answer.status == 200
        assert "is writing to the warehouse now" in answer.text
        assert 'data-again="5"' in answer.html
        assert "not available now" in answer.text
        assert "never" not in answer.text
        assert "not run yet" not in answer.text
    for address in ("/couriers/new", "/couriers/Heap/edit", "/couriers/Heap/run", "/couriers/Heap/operations"):
        assert visits.get(address).status == 200
    page = visits.get("/groups/nightly/edit")
    assert "Not available now" in page.text
    answer = visits.post("/groups/nightly/edit", filled_in(page, schedule="0 5 * *"))
    assert ("five fields" in answer.text, answer.value("schedule")) == (True, "0 5 * *")
    assert "was saved" in visits.post("/groups/nightly/edit", filled_in(answer, schedule="0 5 * * *")).text
    assert read_project(busy).groups["nightly"].schedule == "0 5 * * *"


@pytest.mark.usefixtures("busy")
def test_a_form_that_needs_the_warehouse_changes_nothing(visits: Visitor) -> None:
    answer = visits.post("/customers/decisions/remove", {"label": "x"})
    assert (answer.status, "Nothing was changed. Go back and try again" in answer.text) == (503, True)
    assert "data-again" not in answer.html
