"""The run log: records the runs of couriers, and what they loaded, in the courier's own tables."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from itertools import islice
from typing import Final, NamedTuple

from heap_courier.data_types.field_types import in_utc
from heap_courier.errors import RejectedRow, SetupError
from heap_courier.warehouse.base import Warehouse
from heap_courier.warehouse.system_tables import make_tables

MOST_REJECTED: Final = 1_000  # rejected rows that are stored per run and table; all are counted
MOST_FILES: Final = 1_000  # names of files that are stored per run and table; all are counted
_ROWS_PER_INSERT: Final = 250
_TABLES: Final = {
    "runs": "id text, courier text, what text, started timestamp, ended timestamp, outcome text, message text",
    "run_tables": "run text, domain_table text, files bigint, rows_read bigint, rejected bigint, merged bigint, "
    "stored bigint, message text",
    "run_files": "run text, domain_table text, file text",
    "rejected_rows": "run text, domain_table text, file text, row_number bigint, column_name text, reason text",
}

RUNNING: Final = "running"
COMPLETED: Final = "completed"
FAILED: Final = "failed"
INTERRUPTED: Final = "interrupted"


class Run(NamedTuple):
    """A run of a courier. Times are in UTC; `ended` is None while it is running."""

    id: str
    courier: str
    what: str  # which files it loads, in words
    started: datetime
    ended: datetime | None = None
    outcome: str = RUNNING
    message: str | None = None


class TableRun(NamedTuple):
    """What a run loaded into a domain table; `message` is the reason if nothing was loaded, else None."""

    domain_table: str
    files: int
    rows: int
    rejected: int = 0
    merged: int = 0
    stored: int | None = None
    message: str | None = None


class Rejected(NamedTuple):
    """A rejected row and its file."""

    file: str
    row: RejectedRow


class RunLog:
    """The run log. Call its methods inside the transaction that loads the rows, to record both or neither."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def make(self) -> None:
        """Creates the tables that do not exist. Call it outside a transaction."""
        make_tables(self._warehouse, _TABLES)

    def begin(self, run: Run) -> None:
        """Records the start of a run, and marks an unfinished earlier run of the courier as interrupted."""
        self._warehouse.execute(
            "UPDATE heap_courier.runs SET outcome = $1, ended = $2, message = $3 WHERE courier = $4 AND outcome = $5",
            (INTERRUPTED, run.started, "The process was killed; what it had loaded is kept.", run.courier, RUNNING),
        )
        self._warehouse.execute("INSERT INTO heap_courier.runs VALUES ($1, $2, $3, $4, $5, $6, $7)", run)

    def end(self, run: Run, now: datetime, outcome: str, message: str | None) -> None:
        """Records the outcome of a run."""
        self._warehouse.execute(
            "UPDATE heap_courier.runs SET ended = $1, outcome = $2, message = $3 WHERE id = $4",
            (in_utc(now), outcome, message, run.id),
        )

    def forget(self, run: Run) -> None:
        """Removes a run that did nothing."""
        self._warehouse.execute("DELETE FROM heap_courier.runs WHERE id = $1", (run.id,))

    def record_table(
        self, run: Run, table: TableRun, rejected: Iterable[Rejected] = (), files: Iterable[str] = ()
    ) -> None:
        """Records what a run loaded into a domain table, from which files, and its rejected rows."""
        self._warehouse.execute(
            "INSERT INTO heap_courier.run_tables VALUES ($1, $2, $3, $4, $5, $6, $7, $8)", (run.id, *table)
        )
        for file, row in rejected:
            self._warehouse.execute(
                "INSERT INTO heap_courier.rejected_rows VALUES ($1, $2, $3, $4, $5, $6)",
                (run.id, table.domain_table, file, row.row, row.column, row.reason),
            )

        names = iter(list(dict.fromkeys(files))[:MOST_FILES])
        while some := list(islice(names, _ROWS_PER_INSERT)):
            places = ", ".join(f"($1, $2, ${number})" for number, _ in enumerate(some, 3))
            self._warehouse.execute(
                f"INSERT INTO heap_courier.run_files VALUES {places}", (run.id, table.domain_table, *some)
            )

    def runs(self, limit: int) -> list[Run]:
        """The newest runs, newest first; empty if there is no run log yet."""
        if not self._warehouse.query("SELECT 1 FROM information_schema.tables WHERE table_name = 'run_tables'"):
            return []
        rows = self._warehouse.query(f"SELECT * FROM heap_courier.runs ORDER BY started DESC, id DESC LIMIT {limit:d}")
        return [Run._make(row) for row in rows]

    def latest(self) -> dict[str, Run]:
        """The newest run of each courier."""
        if not self.runs(limit=1):
            return {}
        rows = self._warehouse.query(
            "SELECT * FROM heap_courier.runs AS run WHERE NOT EXISTS (SELECT 1 FROM heap_courier.runs AS later "
            "WHERE later.courier = run.courier AND (later.started, later.id) > (run.started, run.id))"
        )
        return {run.courier: run for run in map(Run._make, rows)}

    def runs_of(self, domain_table: str, limit: int) -> list[tuple[Run, TableRun]]:
        """The newest runs that loaded a domain table, or tried to, newest first, with the result of each."""
        if not self.runs(limit=1):
            return []
        rows = self._warehouse.query(
            "SELECT run.*, part.domain_table, part.files, part.rows_read, part.rejected, part.merged, part.stored, "
            "part.message FROM heap_courier.run_tables AS part JOIN heap_courier.runs AS run ON run.id = part.run "
            f"WHERE part.domain_table = $1 ORDER BY run.started DESC, run.id DESC LIMIT {limit:d}",
            (domain_table,),
        )
        width = len(Run._fields)
        return [(Run._make(row[:width]), TableRun._make(row[width:])) for row in rows]

    def files_of(self, run_ids: Collection[str], most: int) -> dict[tuple[str, str], list[str]]:
        """The files that runs loaded, by run and domain table, the first ones by name.

        Empty for runs of earlier versions, which did not record files.
        """
        exists = self._warehouse.query("SELECT 1 FROM information_schema.tables WHERE table_name = 'run_files'")
        if not exists or not run_ids:
            return {}
        chosen = ", ".join(f"${number}" for number, _ in enumerate(run_ids, 1))
        rows = self._warehouse.query(
            "SELECT run, domain_table, file FROM (SELECT DISTINCT *, dense_rank() OVER (PARTITION BY run, domain_table "
            f"ORDER BY file) AS place FROM heap_courier.run_files WHERE run IN ({chosen})) AS ranked "
            f"WHERE place <= {most:d} ORDER BY 1, 2, 3",
            tuple(run_ids),
        )
        files: dict[tuple[str, str], list[str]] = {}
        for run, domain_table, file in rows:
            files.setdefault((run, domain_table), []).append(file)
        return files

    def rejected_counts(self, limit: int) -> dict[str, int]:
        """How many rows each of the newest runs rejected, without the runs that rejected none."""
        newest = [run.id for run in self.runs(limit)]
        if not newest:
            return {}
        rows = self._warehouse.query(
            "SELECT run, CAST(sum(rejected) AS bigint) FROM heap_courier.run_tables WHERE run >= $1 "
            "GROUP BY run HAVING sum(rejected) > 0",
            (min(newest),),
        )
        return {run: count for run, count in rows if run in newest}

    def run(self, run_id: str) -> Run:
        """A run by its id. Raises SetupError if there is none."""
        newest = self.runs(limit=1)
        rows = newest and self._warehouse.query("SELECT * FROM heap_courier.runs WHERE id = $1", (run_id,))
        if not rows:
            remedy = f"the newest is `{newest[0].id}`" if newest else "there is none yet"
            raise SetupError(f"There is no run `{run_id}`: {remedy}; `heap-courier runs` lists them.")
        return Run._make(rows[0])

    def run_tables(self, run_id: str) -> list[TableRun]:
        """What a run loaded into each domain table."""
        rows = self._warehouse.query(
            "SELECT domain_table, files, rows_read, rejected, merged, stored, message "
            "FROM heap_courier.run_tables WHERE run = $1 ORDER BY domain_table",
            (run_id,),
        )
        return [TableRun._make(row) for row in rows]

    def rejected(self, run_id: str) -> list[tuple[str, Rejected]]:
        """The rejected rows of a run that are stored, with their domain tables."""
        rows = self._warehouse.query(
            "SELECT domain_table, file, row_number, column_name, reason FROM heap_courier.rejected_rows "
            "WHERE run = $1 ORDER BY domain_table, file, row_number",
            (run_id,),
        )
        return [(row[0], Rejected(row[1], RejectedRow(row[2], row[3], row[4]))) for row in rows]

    def expire(self, before: datetime, *, dry_run: bool = False) -> int:
        """Deletes the records of runs that started before a time. Returns the number of runs.

        Keeps runs in progress and, for each courier, the newest run and the newest completed run. Call it inside a
        transaction.
        """
        parameters = (in_utc(before),)
        count: int = self._warehouse.query(f"SELECT count(*) FROM ({_EXPIRED}) AS expired", parameters)[0][0]
        if not dry_run:
            for table in (name for name in _TABLES if name != "runs"):
                self._warehouse.execute(f"DELETE FROM heap_courier.{table} WHERE run IN ({_EXPIRED})", parameters)
            self._warehouse.execute(f"DELETE FROM heap_courier.runs WHERE id IN ({_EXPIRED})", parameters)
        return count


_LATER: Final = (
    "EXISTS (SELECT 1 FROM heap_courier.runs AS later "
    "WHERE later.courier = run.courier AND (later.started, later.id) > (run.started, run.id)"
)
_EXPIRED: Final = (
    f"SELECT id FROM heap_courier.runs AS run WHERE started < $1 AND outcome <> '{RUNNING}' AND {_LATER}) "
    f"AND (outcome <> '{COMPLETED}' OR {_LATER} AND later.outcome = '{COMPLETED}'))"
)
