"""The Data Explorer and its SQL, on both engines."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from courier.unit_tests.console.visitor import NOW, Answer, Visitor, visitor
from heap_courier.console.query import Question, answer, ask
from heap_courier.errors import LaterError, SetupError
from heap_courier.project.scaffold import make_project
from heap_courier.warehouse.base import quoted
from heap_courier.warehouse.run_log import Run, RunLog, TableRun

ODD = 'Heap:we"ird <b>%'


@pytest.fixture(params=["duckdb", pytest.param("postgresql", marks=pytest.mark.thorough)])
def explorer(request: pytest.FixtureRequest, folder: Path) -> Visitor:
    """A project whose warehouse holds two tables and a view."""
    return filled(folder, request.getfixturevalue("postgresql") if request.param == "postgresql" else None)


def filled(folder: Path, dsn: str | None) -> Visitor:
    make_project(folder, bare=True)
    if dsn:
        (folder / "heap-courier.yaml").write_text("warehouse: {engine: postgresql, dsn-env: DSN}\n")
    visits = visitor(folder, environment={"DSN": dsn} if dsn else {})
    odd = ", ".join(f"('{text}')" for text in ("100 %", "100_a", "1000a", "back\\slash", "<script>alert(1)</script>"))
    with visits.console.context().warehouse() as warehouse, warehouse.transaction():
        warehouse.execute('CREATE TABLE "Heap:Users" (id bigint, email varchar(99), plan varchar(9), since timestamp)')
        warehouse.execute(
            "INSERT INTO \"Heap:Users\" SELECT i, 'p' || i || '@example.com', CASE WHEN i % 3 > 0 THEN 'pro' END, "
            "TIMESTAMP '2026-03-01 00:00:00' FROM generate_series(1, 120) AS s(i)"
        )
        warehouse.execute(f"CREATE TABLE {quoted(ODD)} (text varchar(99))")
        warehouse.execute(f"INSERT INTO {quoted(ODD)} VALUES {odd}")
        warehouse.execute('CREATE VIEW "Heap:Users:resolved" AS SELECT id FROM "Heap:Users"')
    with visits.console.context().warehouse() as warehouse:
        log = RunLog(warehouse)
        log.make()
        run = Run("20260304-083000-aaaa", "Heap", "2026-03-04", NOW)
        log.begin(run)
        log.record_table(run, TableRun("Heap:Users", 2, 130, 10, 120, 120))
    return visits


def show(visits: Visitor, name: str, **query: str) -> Answer:
    from heap_courier.console.visit import path  # noqa: PLC0415

    return visits.get(path("tables", query.pop("page", "show"), name=name, **query))


def question(visits: Visitor, sql: str) -> Question:
    context = visits.console.context()
    path = context.project.warehouse.path
    return Question(sql, path=path and str(path), dsn=context.environment.get("DSN"))


def rows(page: Answer) -> list[str]:
    """The first cells of the rows that are shown."""
    body = re.search(r'class="values".*?<tbody>(.*?)</tbody>', page.html, re.DOTALL)
    return re.findall(r"<tr><td[^>]*>(.*?)</td>", body[1] if body else "")


class TestTables:
    def test_they_are_listed_with_their_rows(self, explorer: Visitor) -> None:
        text = explorer.get("/tables").text
        assert "Heap:Users 120 4" in text
        assert "Heap:Users:resolved view 1" in text
        assert "Heap:we" in text
        assert "Heap:we" not in explorer.get("/tables?q=USERS").text
        assert "No domain table has" in explorer.get("/tables?q=none").text

    def test_without_a_warehouse_there_are_none(self, project: Path, visits: Visitor) -> None:
        """And none is made by looking."""
        assert "There is no domain table yet" in visits.get("/tables").text
        assert "there is no domain table" in show(visits, "Heap:Users").text
        assert not (project / "heap.duckdb").exists()


class TestTable:
    def test_it_shows_rows_columns_and_runs(self, explorer: Visitor) -> None:
        page = show(explorer, "Heap:Users")
        assert "120 rows, 4 columns" in page.text
        assert "The first 100 rows by the first column." in page.text
        assert rows(page) == [str(number) for number in range(1, 101)]
        assert "2026-03-04 08:30:00 Heap 2026-03-04 2 130 120 Landed" in page.text

    @pytest.mark.parametrize(
        ("search", "found"),
        [("p7@", ["7"]), ("EXAMPLE.COM", [str(number) for number in range(1, 101)]), ("nothing", []), ("'", [])],
    )
    def test_a_search_looks_at_all_columns(self, explorer: Visitor, search: str, found: list[str]) -> None:
        assert sorted(rows(show(explorer, "Heap:Users", q=search)), key=int) == found

    @pytest.mark.parametrize(
        ("search", "found"), [("100 %", ["100 %"]), ("100_", ["100_a"]), ("k\\s", ["back\\slash"]), ("%", ["100 %"])]
    )
    def test_pattern_characters_are_literal(self, explorer: Visitor, search: str, found: list[str]) -> None:
        assert rows(show(explorer, ODD, q=search)) == found

    def test_what_is_stored_is_text_and_no_markup(self, explorer: Visitor) -> None:
        page = show(explorer, ODD)
        assert "<script>alert" not in page.html
        assert "&lt;script&gt;alert(1)" in page.html
        assert "<b>" not in page.html

    @pytest.mark.parametrize("name", ["heap_courier.runs", "Heap:Nobody", '"; DROP TABLE x', ""])
    def test_only_domain_tables_are_shown(self, explorer: Visitor, name: str) -> None:
        assert "there is no domain table" in show(explorer, name).text

    def test_completeness_and_distinct_values(self, explorer: Visitor) -> None:
        text = show(explorer, "Heap:Users", page="statistics").text
        assert "id 120 100 % 120" in text
        assert "plan 80 66.7 % 1" in text


class TestDownloads:
    def test_a_table_is_returned_completely(self, explorer: Visitor) -> None:
        answer = explorer.ask("POST", "/tables/download", b"name=Heap%3AUsers&format=csv")
        found = list(csv.DictReader(io.StringIO(answer.html)))
        assert len(found) == 120
        assert sorted(int(row["id"]) for row in found) == list(range(1, 121))
        assert answer.headers["content-disposition"] == 'attachment; filename="Heap-Users.csv"'

    @pytest.mark.parametrize("fields", ["name=Heap%3ANobody", "name=Heap%3AUsers&format=xls", "sql=SELECT+nothing"])
    def test_an_error_is_reported(self, explorer: Visitor, fields: str) -> None:
        answer = explorer.ask("POST", "/tables/download", fields.encode())
        assert answer.status == 409
        assert "This did not work" in answer.text

    def test_a_query_becomes_parquet(self, explorer: Visitor, tmp_path: Path) -> None:
        file = tmp_path / "found.parquet"
        asked = question(explorer, 'SELECT id, plan FROM "Heap:Users" ORDER BY id')
        assert answer(replace(asked, file=str(file), format="parquet"))["rows"] == []
        found = pq.read_table(file)
        assert found.column("id").to_pylist() == list(range(1, 121))
        assert found.schema.field("id").type == pa.int64()


class TestSql:
    def run(self, visits: Visitor, sql: str) -> Answer:
        return visits.post("/sql", {"sql": sql})

    def test_a_query_is_answered(self, explorer: Visitor) -> None:
        page = self.run(explorer, 'SELECT count(*) AS n, NULL AS nothing FROM "Heap:Users";')
        assert rows(page) == ["120"]
        assert "1 row." in page.text

    def test_the_first_rows_are_shown(self, explorer: Visitor) -> None:
        page = self.run(explorer, 'SELECT a.id FROM "Heap:Users" AS a, "Heap:Users" AS b')
        assert "The first 1,000 rows; there are more." in page.text
        assert len(rows(page)) == 1000

    @pytest.mark.parametrize(
        "sql",
        [
            'DELETE FROM "Heap:Users"',
            'DROP TABLE "Heap:Users"',
            'WITH gone AS (DELETE FROM "Heap:Users" RETURNING *) SELECT * FROM gone',
            'SELECT 1; DELETE FROM "Heap:Users"',
            "COPY \"Heap:Users\" TO '/tmp/heap-courier-stolen.csv'",
            "SELECT 1) TO PROGRAM 'touch /tmp/heap-courier-stolen.csv' --",
            'SELECT 1) AS q; DELETE FROM "Heap:Users" --',
            "SELECT * FROM read_text('/etc/passwd')",
            "SELECT * FROM '/etc/passwd'",
            "ATTACH '/tmp/other.duckdb' AS other",
            "SET enable_external_access = true",
            "SELECT set_config('transaction_read_only', 'off', false), 1 / (SELECT 0)",
            "SELECT nonsense",
            "",
        ],
    )
    def test_nothing_is_changed_and_no_file_is_read(self, explorer: Visitor, sql: str) -> None:
        """As the process of a query answers, in this process."""
        found = answer(question(explorer, sql))
        assert "rows" not in found
        assert "root:" not in str(found)
        assert not Path("/tmp/heap-courier-stolen.csv").exists()  # noqa: S108
        with explorer.console.context().warehouse() as warehouse:
            assert warehouse.query('SELECT count(*) FROM "Heap:Users"') == [(120,)]

    def test_an_error_is_reported(self, explorer: Visitor) -> None:
        page = self.run(explorer, "SELECT nonsense")
        assert (page.status, "nonsense" in page.text) == (409, True)

    def test_a_query_that_takes_too_long_is_stopped(self, explorer: Visitor) -> None:
        users = ", ".join(f'"Heap:Users" AS u{number}' for number in range(9))
        with pytest.raises(SetupError, match="was stopped after 2 seconds"):
            ask(question(explorer, f"SELECT count(*) FROM {users} WHERE random() < 0"), seconds=2)

    def test_a_writer_comes_first(self, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """DuckDB has one process at a time that writes."""
        visits = visitor(project)
        with visits.console.context().warehouse() as warehouse:
            warehouse.execute("CREATE TABLE x (y bigint)")
            with pytest.raises(LaterError, match="when it has finished"):
                ask(Question("SELECT 1", path=str(project / "heap.duckdb")))
        monkeypatch.undo()


def test_postgresql_shows_the_same(folder: Path, postgresql: str) -> None:
    """All of the above in small; `--thorough` runs each case on it."""
    visits = filled(folder, postgresql)
    assert "Heap:Users 120 4" in visits.get("/tables").text
    assert rows(show(visits, "Heap:Users", q="P7@")) == ["7"]
    assert rows(show(visits, ODD, q="100_")) == ["100_a"]
    assert "plan 80 66.7 % 1" in show(visits, "Heap:Users", page="statistics").text
    assert answer(question(visits, "SELECT 1 AS one"))["rows"] == [["1"]]
    for sql in ('WITH gone AS (DELETE FROM "Heap:Users" RETURNING *) SELECT * FROM gone', "SELECT 1) AS q; SELECT (2"):
        assert "error" in answer(question(visits, sql))
    assert rows(show(visits, "Heap:Users"))[:2] == ["1", "2"]
