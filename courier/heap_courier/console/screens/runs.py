"""Runs: start one, follow its progress, see its outcome, and retry what failed."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import date, timedelta
from typing import Any, Final, NamedTuple

from starlette.responses import Response, StreamingResponse

from heap_courier.console.jobs import Job
from heap_courier.console.visit import Console, Form, Visit, looking, render
from heap_courier.couriers.context import Context
from heap_courier.couriers.logged_run import days_of, in_words
from heap_courier.couriers.run import run_courier
from heap_courier.couriers.samples import sample_courier
from heap_courier.delta.after_runs import publish_after_run
from heap_courier.errors import CourierError, MissingFeedsError, MissingFilesError, SetupError
from heap_courier.files.days import Days
from heap_courier.project.model import Courier
from heap_courier.warehouse.run_log import Rejected, RunLog, TableRun

LISTED: Final = 100  # runs
_SHOWN: Final = 20  # rows shown per reason
_FILES: Final = 200  # listed per table
_PAUSE: Final = 0.25  # seconds between two polls of a job


class Reason(NamedTuple):
    """Rejected rows with the same reason.

    Attributes:
        table, column, reason: what they have in common.
        number: how many of them are in the run log.
        rows: the first ones, each with its file.
    """

    table: str
    column: str | None
    reason: str
    number: int
    rows: tuple[Rejected, ...]


def run(visit: Visit) -> Response:
    """Run Courier: shows the form, or starts a run."""
    context = visit.console.context()
    courier = context.courier(visit.part("name"))
    form, problem, status = visit.form, "", 200
    if visit.posted:
        try:
            return _start(visit, courier, form)
        except CourierError as error:
            problem, status = str(error), 409
    return visit.page(
        "run_courier.html",
        status,
        courier=courier,
        today=context.now().date(),
        form=form,
        problem=problem,
    )


def job(visit: Visit) -> Response:
    """A run that this console started: its progress, or its outcome."""
    found = visit.console.jobs.get(visit.part("id"))
    if found is None:
        return visit.page(
            "problem.html",
            404,
            title="Run not found",
            lines=["The console was restarted after the run began, or the run is too old: see Runs."],
        )
    return visit.page("job.html", job=found, progress=found.progress, **_outcome(found))


def events(visit: Visit) -> Response:
    """The progress of a run as server-sent events, until it finishes."""
    found = visit.console.jobs.get(visit.part("id"))
    if found is None:
        return Response(status_code=204)  # the browser stops reconnecting
    return StreamingResponse(_messages(found), media_type="text/event-stream")


def stop(visit: Visit) -> Response:
    """Asks a run to stop."""
    found = visit.console.jobs.get(visit.part("id"))
    if found:
        found.stop.set()
    return visit.to("jobs", visit.part("id"))


def runs(visit: Visit) -> Response:
    """The runs of the project, newest first."""
    context = visit.console.context()
    with looking(context) as warehouse:
        found = RunLog(warehouse).runs(LISTED) if warehouse else []
    active = [each for each in visit.console.jobs if each.progress.state == "running"]
    return visit.page("runs.html", runs=found, active=active, limit=LISTED)


def one(visit: Visit) -> Response:
    """A run: its tables, and rejected rows by reason."""
    context = visit.console.context()
    run_id = visit.part("id")
    with looking(context) as warehouse:
        if warehouse is None:
            raise SetupError(f"There is no run `{run_id}`: no courier has run yet.")
        log = RunLog(warehouse)
        found, tables, rejected = log.run(run_id), log.run_tables(run_id), log.rejected(run_id)
        files = log.files_of([run_id], _FILES)
    return visit.page(
        "run.html",
        run=found,
        tables=tables,
        files={domain_table: listed for (_, domain_table), listed in files.items()},
        counts=_counts(tables),
        reasons=_by_reason(rejected),
        named=len(rejected),
        rejected=sum(table.rejected for table in tables),
        failed=[table.domain_table for table in tables if table.message],
        is_known=found.courier in context.project.couriers,
    )


def again(visit: Visit) -> Response:
    """Repeats a run for the same days, or only for the tables that were not loaded."""
    context = visit.console.context()
    with looking(context) as warehouse:
        if warehouse is None:
            raise SetupError("No courier has run yet.")
        log = RunLog(warehouse)
        found, tables = log.run(visit.part("id")), log.run_tables(visit.part("id"))
    courier = context.courier(found.courier)
    failed = [table.domain_table for table in tables if table.message] if visit.form.has("failed") else None
    days = days_of(found)
    skip_missing = visit.form.has("skip-missing")
    what = found.what + (f", only {', '.join(failed)}" if failed else "")
    started = visit.console.jobs.start(
        "run",
        courier.name,
        what,
        _loading(visit.console, context, courier, days, skip_missing=skip_missing, tables=failed),
    )
    return visit.to("jobs", started.id)


def _start(visit: Visit, courier: Courier, form: Form) -> Response:
    context = visit.console.context()
    if courier.operations is None:
        days, what = None, "new dumps"
    else:
        days = _days(form, context.now().date())
        what = in_words(days)
    if form.has("sample"):
        if days is None and courier.operations is not None:
            raise SetupError("Samples are fetched for a day or a period: choose one.")
        wanted = days or Days.of(context.now().date())

        def fetch(job: Job) -> Any:
            return sample_courier(replace(context, bar=job), courier, wanted)

        return visit.to("jobs", visit.console.jobs.start("sample", courier.name, what, fetch).id)
    load = _loading(visit.console, context, courier, days, skip_missing=form.has("skip-missing"))
    return visit.to("jobs", visit.console.jobs.start("run", courier.name, what, load).id)


def _loading(
    console: Console,
    context: Context,
    courier: Courier,
    days: Days | None,
    *,
    skip_missing: bool,
    tables: list[str] | None = None,
) -> Callable[[Job], Any]:
    def work(job: Job) -> Any:
        with console.reporting(context) as reported:
            shown = replace(reported, bar=job)
            result = run_courier(shown, courier, days, skip_missing=skip_missing, tables=tables)
            failure = publish_after_run(shown, courier.name).failure
            return result._replace(notices=(*result.notices, failure)) if failure else result

    return work


def _days(form: Form, today: date) -> Days | None:
    match form.get("days", "day"):
        case "all":
            return None
        case "period":
            start, end = _day(form, "from", "first day"), _day(form, "to", "last day")
            if end < start:
                raise SetupError(f"The first day, {start}, is later than the last one, {end}: swap them.")
            return Days(start, end + timedelta(days=1))
        case _:
            return Days.of(_day(form, "day", "day") if form.get("day") else today)


def _day(form: Form, name: str, what: str) -> date:
    text = form.get(name)
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise SetupError(
            f"The {what} `{text}` is not a date: enter it as YYYY-MM-DD." if text else f"Choose the {what}."
        ) from None


def _outcome(job: Job) -> dict[str, Any]:
    """The outcome of a job, for its page."""
    error = job.error
    return {
        "run": job.result if job.kind == "run" else None,
        "group": job.result if job.kind == "group" else None,
        "stitched": job.result if job.kind == "stitch" else None,
        "samples": job.result if job.kind == "sample" else getattr(job.result, "samples", None),
        "has_samples": isinstance(error, MissingFeedsError),
        "lacks_files": isinstance(error, MissingFilesError),
        "lines": job.progress.error.split("\n") if job.progress.error else [],
    }


async def _messages(job: Job) -> AsyncIterator[bytes]:
    shown = ""
    while True:
        progress = job.progress
        part = render("progress.html", progress=progress)
        if part != shown:
            shown = part
            yield f"data: {json.dumps(part)}\n\n".encode()
        if progress.state != "running":
            yield b"event: end\ndata: \n\n"
            return
        await asyncio.sleep(_PAUSE)


def _counts(tables: list[TableRun]) -> dict[str, int]:
    """The number of files loaded into each domain table, over all steps."""
    counts: Counter[str] = Counter()
    for table in tables:
        counts[table.domain_table] += table.files
    return counts


def _by_reason(rejected: list[tuple[str, Rejected]]) -> list[Reason]:
    """Rejected rows by table, column and reason, the most frequent first."""
    counts: Counter[tuple[str, str | None, str]] = Counter()
    rows: dict[tuple[str, str | None, str], list[Rejected]] = {}
    for table, each in rejected:
        key = (table, each.row.column, each.row.reason)
        counts[key] += 1
        if len(rows.setdefault(key, [])) < _SHOWN:
            rows[key].append(each)
    return [Reason(*key, number, tuple(rows[key])) for key, number in counts.most_common()]
