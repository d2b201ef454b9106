"""The Data Explorer and its SQL, on both engines."""

from __future__ import annotations

import csv
import io
import re
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from courier.unit_tests.console.visitor import NOW, Answer, Visitor, visitor
from heap_courier.console.query import CHARACTERS, LONGEST, Question, answer, ask
from heap_courier.errors import LaterError, SetupError
from heap_courier.project.scaffold import make_project
from heap_courier.warehouse.base import quoted
from heap_courier.warehouse.run_log import Run, RunLog, TableRun

ODD = 'Heap:we"ird <b>%'


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose DuckDB warehouse contains two tables and a view."""
    folder = tmp_path_factory.mktemp("tables") / "project"
    filled(folder, None)
    return folder


@pytest.fixture(params=["duckdb", pytest.param("postgresql", marks=pytest.mark.thorough)])
def explorer(request: pytest.FixtureRequest, folder: Path) -> Visitor:
    """A copy of that project, or one with the same in PostgreSQL."""
    if request.param == "postgresql":
        return filled(folder, request.getfixturevalue("postgresql"))
    shutil.copytree(request.getfixturevalue("template"), folder)
    return visitor(folder)


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

    def test_without_a_warehouse_the_list_is_empty(self, project: Path, visits: Visitor) -> None:
        """And viewing it does not create a warehouse."""
        assert "There is no domain table yet" in visits.get("/tables").text
        assert "there is no domain table" in show(visits, "Heap:Users").text
        assert not (project / "heap.duckdb").exists()


class TestTable:
    def test_it_shows_rows_columns_and_runs(self, explorer: Visitor) -> None:
        page = show(explorer, "Heap:Users")
        assert "120 rows, 4 columns" in page.text
        assert "The first 100 rows, ordered by the first column." in page.text
        assert rows(page) == [str(number) for number in range(1, 101)]
        assert "2026-03-04 08:30:00 Heap 2026-03-04 2 130 120 Loaded" in page.text

    @pytest.mark.parametrize(
        ("search", "found"),
        [("p7@", ["7"]), ("EXAMPLE.COM", [str(number) for number in range(1, 101)]), ("nothing", []), ("'", [])],
    )
    def test_a_search_covers_all_columns(self, explorer: Visitor, search: str, found: list[str]) -> None:
        assert sorted(rows(show(explorer, "Heap:Users", q=search)), key=int) == found

    @pytest.mark.parametrize(
        ("search", "found"), [("100 %", ["100 %"]), ("100_", ["100_a"]), ("k\\s", ["back\\slash"]), ("%", ["100 %"])]
    )
    def test_pattern_characters_are_literal(self, explorer: Visitor, search: str, found: list[str]) -> None:
        assert rows(show(explorer, ODD, q=search)) == found

    def test_values_are_escaped(self, explorer: Visitor) -> None:
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
        assert "Something went wrong" in answer.text

    def test_types_that_csv_does_not_support_become_text(self, project: Path, tmp_path: Path) -> None:
        duckdb.connect(str(project / "heap.duckdb")).close()
        sql = (
            "SELECT 9007199254740993 AS n, '' AS empty, NULL AS nothing, [1, NULL] AS list, CAST('\\xFF' AS blob) AS b"
        )
        for kind in ("csv", "parquet"):
            file = tmp_path / f"found.{kind}"
            asked = Question(sql, path=str(project / "heap.duckdb"), file=str(file), format=kind)
            assert answer(asked) == {"columns": [], "rows": [], "more": False}
        assert (tmp_path / "found.csv").read_text() == (
            '"n","empty","nothing","list","b"\n9007199254740993,"",,"[1, NULL]","\\xFF"\n'
        )
        row = pq.read_table(tmp_path / "found.parquet").to_pylist()[0]
        assert row == {"n": 9007199254740993, "empty": "", "nothing": None, "list": "[1, NULL]", "b": "\\xFF"}

    def test_a_query_becomes_parquet(self, explorer: Visitor, tmp_path: Path) -> None:
        file = tmp_path / "found.parquet"
        asked = question(explorer, 'SELECT id, plan FROM "Heap:Users" ORDER BY id')
        assert answer(replace(asked, file=str(file), format="parquet"))["rows"] == []
        found = pq.read_table(file)
        assert found.column("id").to_pylist() == list(range(1, 121))
        assert found.schema.field("id").type == pa.int64()


_ODD_VALUES = (
    "SELECT 9007199254740993, CAST(1.10 AS decimal(10, 2)), '', NULL, true, DATE '0044-03-15', DATE 'infinity', "
    "TIMESTAMP '2026-01-01 10:00:00.000001', CAST(0.1 AS double precision), INTERVAL 1 MONTH"
)
ODD_VALUES_OF_POSTGRESQL = (
    _ODD_VALUES.replace("1 MONTH", "'1 month'") + ", '\\xff00'::bytea, ARRAY[1, NULL], point '(1, 2)'"
)
ODD_TEXTS = [
    *("9007199254740993", "1.10", "", None, "true", "0044-03-15", "infinity", "2026-01-01 10:00:00.000001", "0.1"),
]
MORE_THAN_READING = {
    "SELECT pg_read_file('/etc/passwd')": "the function `pg_read_file`",
    "SELECT U&\"pg\\005fread_file\"('/etc/passwd')": "the function `pg_read_file`",
    "SELECT 1 WHERE EXISTS (SELECT lo_import('/etc/passwd'))": "the function `lo_import`",
    "SELECT * FROM pg_ls_dir('/')": "the function `pg_ls_dir`",
    "SELECT query_to_xml('SELECT 1', true, true, '')": "the function `query_to_xml`",
    "SELECT set_config('statement_timeout', '0', false)": "the function `set_config`",
    "SELECT pg_terminate_backend(1)": "the function `pg_terminate_backend`",
    "SELECT pg_notify('a', 'b')": "the function `pg_notify`",
    "SELECT 1 ORDER BY length(pg_advisory_lock(1)::text)": "the function `pg_advisory_lock`",
    "SELECT rolpassword FROM pg_authid": "the table `pg_authid`",
}
"""Queries that an administrator could run in a read-only transaction of PostgreSQL, and what they use."""


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
            *("BEGIN", "PREPARE p AS SELECT 1", "SET VARIABLE a = 1", "CREATE TEMP TABLE x AS SELECT 1", "CHECKPOINT"),
            *("PRAGMA memory_limit = '9GB'", "CALL checkpoint()", "INSTALL httpfs", "UPDATE EXTENSIONS", "USE memory"),
            "SELECT nonsense",
            "",
            " ; ",
        ],
    )
    def test_queries_cannot_change_data_or_read_files(self, explorer: Visitor, sql: str) -> None:
        """Runs a query in this process instead of a separate one."""
        found = answer(question(explorer, sql))
        assert "rows" not in found
        assert "root:" not in str(found)
        assert not Path("/tmp/heap-courier-stolen.csv").exists()  # noqa: S108
        with explorer.console.context().warehouse() as warehouse:
            assert warehouse.query('SELECT count(*) FROM "Heap:Users"') == [(120,)]

    def test_values_of_all_types_are_shown_exactly(self, project: Path) -> None:
        duckdb.connect(str(project / "heap.duckdb")).close()
        sql = _ODD_VALUES + ", CAST('\\xFF\\x00' AS blob), [1, NULL], 123456789012345678901234567890::hugeint"
        found = answer(Question(sql, path=str(project / "heap.duckdb")))["rows"]
        assert found == [[*ODD_TEXTS, "1 month", "\\xFF\\x00", "[1, NULL]", "123456789012345678901234567890"]]

    @pytest.mark.parametrize("sql", ["SELECT repeat('é', 9000) FROM range(3000)", "SELECT repeat('x', 10000000)"])
    def test_the_size_of_a_result_is_limited(self, project: Path, sql: str) -> None:
        duckdb.connect(str(project / "heap.duckdb")).close()
        found = answer(Question(sql, path=str(project / "heap.duckdb")))
        assert {len(row[0]) for row in found["rows"]} == {LONGEST + 1}
        assert sum(len(row[0]) for row in found["rows"]) <= CHARACTERS

    def test_a_query_that_is_stopped_leaves_nothing_behind(
        self, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Not even data that exceeded the memory limit."""
        duckdb.connect(str(project / "heap.duckdb")).close()
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        before = set(tmp_path.rglob("*"))
        sql = "SELECT * FROM range(100000000) ORDER BY random() LIMIT 1 OFFSET 90000000"
        with pytest.raises(SetupError, match="was stopped after 2 seconds"):
            ask(Question(sql, path=str(project / "heap.duckdb"), memory="64MB"), seconds=2)
        assert set(tmp_path.rglob("*")) == before

    def test_an_error_is_reported(self, explorer: Visitor) -> None:
        page = self.run(explorer, "SELECT nonsense")
        assert (page.status, "nonsense" in page.text) == (409, True)

    def test_a_query_that_takes_too_long_is_stopped(self, explorer: Visitor) -> None:
        users = ", ".join(f'"Heap:Users" AS u{number}' for number in range(9))
        with pytest.raises(SetupError, match="was stopped after 2 seconds"):
            ask(question(explorer, f"SELECT count(*) FROM {users} WHERE random() < 0"), seconds=2)

    def test_a_query_waits_for_a_writer(self, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """DuckDB allows only one writing process at a time."""
        visits = visitor(project)
        with visits.console.context().warehouse() as warehouse:
            warehouse.execute("CREATE TABLE x (y bigint)")
            with pytest.raises(LaterError, match="when it has finished"):
                ask(Question("SELECT 1", path=str(project / "heap.duckdb")))
        monkeypatch.undo()


def test_postgresql_shows_the_same(folder: Path, postgresql: str) -> None:
    """A small version of the tests above; `--thorough` runs each case on PostgreSQL."""
    visits = filled(folder, postgresql)
    assert "Heap:Users 120 4" in visits.get("/tables").text
    assert rows(show(visits, "Heap:Users", q="P7@")) == ["7"]
    assert rows(show(visits, ODD, q="100_")) == ["100_a"]
    assert "plan 80 66.7 % 1" in show(visits, "Heap:Users", page="statistics").text
    assert answer(question(visits, "SELECT 1 AS one"))["rows"] == [["1"]]
    for sql in ('WITH gone AS (DELETE FROM "Heap:Users" RETURNING *) SELECT * FROM gone', "SELECT 1) AS q; SELECT (2"):
        assert "error" in answer(question(visits, sql))
    for sql, used in MORE_THAN_READING.items():
        assert answer(question(visits, sql)) == {
            "error": f"A query cannot use {used} here: it is not for reading domain tables."
        }
    assert answer(question(visits, ODD_VALUES_OF_POSTGRESQL))["rows"] == [
        [*ODD_TEXTS, "1 mon", "\\xff00", "{1,NULL}", "(1,2)"]
    ]
    assert answer(question(visits, "SELECT random() < 2, sum(1) OVER (), 1 AS a, 2 AS a"))["rows"] == [
        ["true", "1", "1", "2"]
    ]
    assert answer(question(visits, "SELECT 1 ORDER"))["error"] == 'syntax error at or near ")"'
    assert rows(show(visits, "Heap:Users"))[:2] == ["1", "2"]
