"""The Data Explorer: tables with columns, rows, completeness and runs; SQL; downloads."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

from starlette.background import BackgroundTask
from starlette.responses import FileResponse, Response

from heap_courier.console.query import ROWS, SECONDS, Question, ask
from heap_courier.console.visit import Visit, looking
from heap_courier.couriers.context import Context
from heap_courier.documents.wording import named
from heap_courier.errors import CourierError, SetupError
from heap_courier.feeds.reader import read_feeds
from heap_courier.warehouse.base import Warehouse, domain_tables, quoted
from heap_courier.warehouse.run_log import RunLog

SAMPLE: Final = 100  # rows shown
SEARCHED: Final = 1_000_000  # rows that a search and, on DuckDB, the statistics read
EXACT: Final = 200_000  # rows up to which distinct values are counted exactly; PostgreSQL reads no more
_RUNS: Final = 20  # listed per table
_FILES: Final = 100  # listed per run
_AT_ONCE: Final = 100  # tables counted by one query
_FORMATS: Final[Mapping[str, str]] = {"csv": "text/csv", "parquet": "application/vnd.apache.parquet"}


class Table(NamedTuple):
    """A table in the list. `rows` is None for a view, whose rows are only counted on its own page."""

    name: str
    columns: int
    rows: int | None


class Statistics(NamedTuple):
    """How many values of a column are not null, their share of all rows, and the number of distinct values."""

    column: str
    filled: int
    share: str
    distinct: int


def tables(visit: Visit) -> Response:
    """The list of domain tables and their views."""
    context = visit.console.context()
    search = visit.parameter("q").strip()
    found: list[Table] = []
    with looking(context) as warehouse:
        if warehouse:
            found = _tables(warehouse, search)
    return visit.page("tables.html", tables=found, q=search)


def table(visit: Visit) -> Response:
    """A table: its columns, its rows, and the runs that loaded it."""
    context = visit.console.context()
    search = visit.parameter("q").strip()
    with looking(context) as warehouse:
        name = _name(warehouse, visit.parameter("name"))
        if warehouse is None:  # (not reached: without a warehouse there is no such table)
            raise SetupError("There is no warehouse yet.")
        columns = warehouse.columns(name)
        count = warehouse.query(f"SELECT count(*) FROM {quoted(name)}")[0][0]
        rows = _rows(warehouse, name, list(columns), search)
        log = RunLog(warehouse)
        runs = log.runs_of(name, _RUNS)
        files = log.files_of([run.id for run, _ in runs], _FILES)
    return visit.page(
        "table.html",
        name=name,
        columns=columns,
        count=count,
        rows=rows,
        q=search,
        tags=_tags(context, name),
        runs=runs,
        files={run: listed for (run, domain_table), listed in files.items() if domain_table == name},
        sample=SAMPLE,
        searched=SEARCHED,
        statistics=None,
    )


def statistics(visit: Visit) -> Response:
    """The completeness and the distinct values of the columns of a table: a part of its page."""
    context = visit.console.context()
    with looking(context) as warehouse:
        name = _name(warehouse, visit.parameter("name"))
        if warehouse is None:
            raise SetupError("There is no warehouse yet.")
        columns = list(warehouse.columns(name))
        is_duckdb = context.project.warehouse.path is not None
        most = SEARCHED if is_duckdb else EXACT
        count = min(warehouse.query(f"SELECT count(*) FROM {quoted(name)}")[0][0], most)
        approximate = is_duckdb and count > EXACT
        found = _statistics(warehouse, name, columns, most, approximate=approximate)
    return visit.page("statistics.html", statistics=found, rows=count, searched=most, approximate=approximate)


def sql(visit: Visit) -> Response:
    """The SQL box."""
    context = visit.console.context()
    text = visit.form.get("sql") or visit.parameter("sql")
    found, problem, status = None, "", 200
    if visit.posted and text:
        try:
            found = ask(_question(context, text))
        except CourierError as error:
            problem, status = str(error), 409
    return visit.page("sql.html", status, text=text, found=found, problem=problem, limit=ROWS, seconds=SECONDS)


def download(visit: Visit) -> Response:
    """Downloads all rows of a table or a query as a file."""
    context = visit.console.context()
    kind = visit.form.get("format", "csv")
    if kind not in _FORMATS:
        raise SetupError(f"There is no format `{kind}`: choose {' or '.join(_FORMATS)}.")
    text, title = visit.form.get("sql"), "query"
    if not text:
        with looking(context) as warehouse:
            title = _name(warehouse, visit.form.get("name"))
        text = f"SELECT * FROM {quoted(title)}"
    with tempfile.NamedTemporaryFile(prefix="heap-courier-", suffix=f".{kind}", delete=False) as file:
        path = Path(file.name)
    try:
        ask(_question(context, text, file=str(path), format=kind))
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", title).strip("-") or "table"
    return FileResponse(
        path,
        media_type=_FORMATS[kind],
        filename=f"{safe}.{kind}",
        background=BackgroundTask(path.unlink, missing_ok=True),
    )


def _question(context: Context, text: str, **how: Any) -> Question:
    settings = context.project.warehouse
    if settings.path:
        if not settings.path.exists():
            raise SetupError("There is no warehouse yet: run a courier or activate a feed first.")
        return Question(text, path=str(settings.path.resolve()), memory=settings.memory, **how)
    dsn = settings.dsn or context.environment.get(settings.dsn_env or "")
    if not dsn:
        raise SetupError(f"The environment variable `{settings.dsn_env}` is not set.")
    return Question(text, dsn=dsn, **how)


def _name(warehouse: Warehouse | None, wanted: str) -> str:
    names = domain_tables(warehouse) if warehouse else []
    found: str = named({name: name for name in names}, wanted, "The warehouse", "domain table")
    return found


def _tables(warehouse: Warehouse, search: str) -> list[Table]:
    names = [name for name in domain_tables(warehouse) if search.lower() in name.lower()]
    rows = warehouse.query(
        "SELECT t.table_name, t.table_type, count(*) FROM information_schema.tables AS t "
        "JOIN information_schema.columns AS c ON c.table_schema = t.table_schema AND c.table_name = t.table_name "
        "WHERE t.table_schema = current_schema() GROUP BY 1, 2"
    )
    kinds = {name: (kind, columns) for name, kind, columns in rows}
    counts: dict[str, int] = {}
    real = iter([name for name in names if kinds.get(name, ("",))[0] == "BASE TABLE"])
    while some := list(islice(real, _AT_ONCE)):
        parts = [f"SELECT {number}, count(*) FROM {quoted(name)}" for number, name in enumerate(some)]
        counts |= {some[number]: count for number, count in warehouse.query(" UNION ALL ".join(parts))}
    return [Table(name, kinds.get(name, ("", 0))[1], counts.get(name)) for name in names]


def _rows(warehouse: Warehouse, name: str, columns: Sequence[str], search: str) -> list[tuple[Any, ...]]:
    if not search:
        return warehouse.query(f"SELECT * FROM {quoted(name)} ORDER BY 1 LIMIT {SAMPLE}")
    pattern = "%" + re.sub(r"([\\%_])", r"\\\1", search) + "%"
    matches = " OR ".join(f"CAST({quoted(column)} AS varchar) ILIKE $1 ESCAPE '\\'" for column in columns)
    return warehouse.query(
        f"SELECT * FROM (SELECT * FROM {quoted(name)} LIMIT {SEARCHED}) AS looked_at WHERE {matches} LIMIT {SAMPLE}",
        (pattern,),
    )


def _statistics(
    warehouse: Warehouse, name: str, columns: Sequence[str], most: int, *, approximate: bool
) -> list[Statistics]:
    distinct = "approx_count_distinct({0})" if approximate else "count(DISTINCT {0})"
    parts = [f"count({quoted(column)}), {distinct.format(quoted(column))}" for column in columns]
    row = warehouse.query(
        f"SELECT count(*), {', '.join(parts)} FROM (SELECT * FROM {quoted(name)} LIMIT {most}) AS looked_at"
    )[0]
    total = row[0]
    return [
        Statistics(column, filled, _share(filled, total), distinct_values)
        for column, filled, distinct_values in zip(columns, row[1::2], row[2::2], strict=True)
    ]


def _share(filled: int, total: int) -> str:
    """The share in per cent; 0 % and 100 % only if they are exact."""
    if not total:
        return ""
    if filled in (0, total):
        return "100 %" if filled else "0 %"
    return f"{min(max(100 * filled / total, 0.1), 99.9):.1f} %"


def _tags(context: Context, name: str) -> dict[str, str]:
    """The semantic tags of the columns, if a feed fills the table."""
    try:
        feeds = read_feeds(context.project.feeds)
    except CourierError:
        return {}
    return {field.name: field.tag for feed in feeds if feed.domain_table == name for field in feed.fields if field.tag}
