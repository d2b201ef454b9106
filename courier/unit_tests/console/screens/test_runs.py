"""The screens of runs, on a bucket in memory."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import pytest

from courier.unit_tests.console.visitor import NOW, Answer, Visitor
from courier.unit_tests.couriers.memory_bucket import MemoryBucket
from heap_courier.console.jobs import Job, Jobs
from heap_courier.couriers.logged_run import days_of, in_words
from heap_courier.data_types.field_types import INTEGER, STRING
from heap_courier.errors import InterruptedRunError
from heap_courier.feeds.activation import activate
from heap_courier.feeds.model import Feed, Field
from heap_courier.feeds.writer import write_feed
from heap_courier.files.days import Days
from heap_courier.warehouse.base import Warehouse
from heap_courier.warehouse.run_log import Run, RunLog

USERS = Feed("df-users001", "Heap", "Users", (Field("id", INTEGER, "id"), Field("email", STRING, "email")), ("id",))
ORDERS = Feed("df-orders01", "Heap", "Orders", (Field("id", INTEGER, "id"),), ("id",))


@contextmanager
def warehouse(visits: Visitor) -> Iterator[Warehouse]:
    with visits.console.context().warehouse() as opened:
        yield opened


def stored(visits: Visitor, table: str) -> int:
    with warehouse(visits) as opened:
        return int(opened.query(f'SELECT count(*) FROM "Heap:{table}"')[0][0])


@pytest.fixture
def shop(project: Path, bucket: MemoryBucket, visits: Visitor) -> MemoryBucket:
    """A courier of two active feeds, each with a file of 4 March."""
    entities = [
        {
            "object/type": "file",
            "object/file-pattern": f"'{tag}-'yyyy-MM-dd'.csv'",
            "object/land-as": {"file/tag": tag, "file/content-type": "text/csv"},
        }
        for tag in ("users", "orders")
    ]
    (project / "entities" / "heap.json").write_text(json.dumps(entities))
    operations = {feed.id: [{"type": "load", "file": feed.name.lower()}] for feed in (USERS, ORDERS)}
    (project / "load-operations" / "heap.json").write_text(json.dumps(operations))
    for feed in (USERS, ORDERS):
        write_feed(feed, project / "feeds" / f"{feed.name}.yaml")
        with warehouse(visits) as opened:
            activate(opened, feed, None, now=NOW, truncate=False, workers=1)
    bucket.objects["users-2026-03-04.csv"] = b"id,email\n1,a\n2,b\n"
    bucket.objects["orders-2026-03-04.csv"] = b"id\n1\n2\n3\n"
    return bucket


def runs(visits: Visitor, **fields: str) -> Answer:
    """Starts a run, waits for it, and shows its outcome."""
    started = visits.ask("POST", "/couriers/Heap/run", "&".join(f"{k}={v}" for k, v in fields.items()).encode())
    if started.status != 303:
        return started
    visits.console.jobs.join()
    return visits.get(started.headers["location"])


class TestARunThatCannotStart:
    def test_it_is_shown_on_sources_and_among_the_runs(self, shop: MemoryBucket, visits: Visitor) -> None:
        shop.objects.clear()
        assert "there is no file at all" in runs(visits, day="2026-03-04").text
        sources = visits.get("/").text
        assert "2026-03-04 08:30:00 not scheduled Needs attention Its last run failed" in sources
        assert "there is no file at all" in sources
        assert "there is no file at all" in visits.get("/runs").text


def test_a_message_of_several_lines_keeps_its_lines(shop: MemoryBucket, visits: Visitor, project: Path) -> None:  # noqa: ARG001
    operations = {"df-unknown1": [{"type": "load", "file": "users"}]}
    (project / "load-operations" / "heap.json").write_text(json.dumps(operations))
    runs(visits, day="2026-03-04")
    for screen in ("/runs", "/notifications"):
        text = visits.get(screen).text
        assert 'Error running load-operations task Cannot find required feeds: "df-unknown1"' in text
        assert "\\n" not in text


class TestRunning:
    @pytest.mark.parametrize(
        "fields",
        [
            {},
            {"days": "day", "day": "2026-03-04"},
            {"days": "period", "from": "2026-03-04", "to": "2026-03-04"},
            {"days": "all"},
        ],
    )
    def test_a_run_completes(self, shop: MemoryBucket, visits: Visitor, fields: dict[str, str]) -> None:  # noqa: ARG002
        """By default with today's files; a period includes both its days."""
        text = runs(visits, **fields).text
        assert "Completed in 1 second" in text
        assert "Heap:Users 1 2 0 2 2 Loaded" in text
        assert (stored(visits, "Users"), stored(visits, "Orders")) == (2, 3)

    def test_rows_are_traced_to_their_files_and_runs(self, shop: MemoryBucket, visits: Visitor) -> None:
        """On the pages of the table and of the run; files that were not loaded are not listed."""
        runs(visits)
        shop.objects["users-2026-03-04.csv"] = b"no\n1\n"
        runs(visits)
        text = visits.get("/tables/show?name=Heap:Users").text.partition("Where the rows come from")[2]
        assert text.count("1 file `users-2026-03-04.csv`") == 1
        with warehouse(visits) as opened:
            good, failed = sorted(RunLog(opened).runs(2), key=lambda run: run.outcome)
        assert "Heap:Orders 1 file `orders-2026-03-04.csv`" in visits.get(f"/runs/{good.id}").text
        assert "Heap:Users 1 file `users-2026-03-04.csv`" in visits.get(f"/runs/{good.id}").text
        assert "1 file `users-2026-03-04.csv`" not in visits.get(f"/runs/{failed.id}").text

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"days": "day", "day": "soon"}, "The day `soon` is not a date"),
            ({"days": "period", "from": "2026-03-04"}, "Choose the last day."),
            ({"days": "period", "from": "2026-03-05", "to": "2026-03-04"}, "swap them"),
            ({"days": "all", "sample": "on"}, "choose one"),
        ],
    )
    @pytest.mark.usefixtures("project")
    def test_a_wrong_choice_is_explained(self, visits: Visitor, fields: dict[str, str], words: str) -> None:
        answer = runs(visits, **fields)
        assert (answer.status, words in answer.text) == (409, True)

    def test_missing_files_are_reported_or_skipped(self, shop: MemoryBucket, visits: Visitor) -> None:
        del shop.objects["orders-2026-03-04.csv"]
        assert "No file matches 'orders-'yyyy-MM-dd'.csv' on 2026-03-04" in runs(visits).text
        text = runs(visits, **{"skip-missing": "on"}).text
        assert "Completed" in text
        assert "Skipped missing files" in text

    def test_files_are_kept_as_samples(self, shop: MemoryBucket, visits: Visitor, project: Path) -> None:  # noqa: ARG002
        assert "users-2026-03-04.csv" in runs(visits, sample="on").text
        assert (project / "samples" / "Heap" / "users-2026-03-04.csv").exists()
        assert stored(visits, "Users") == 0

    @pytest.mark.usefixtures("shop")
    def test_an_unknown_feed_is_reported_with_the_documented_message(self, visits: Visitor, project: Path) -> None:
        operations = {"df-xxxxxx": [{"type": "load", "file": "users"}]}
        (project / "load-operations" / "heap.json").write_text(json.dumps(operations))
        assert 'Error running load-operations task Cannot find required feeds: "df-xxxxxx"' in runs(visits).text

    def test_an_internal_error_is_reported_without_its_message(self, visits: Visitor) -> None:
        """It may quote a row."""

        def fail(_job: Job) -> None:
            raise RuntimeError("secret")

        said: list[str] = []
        jobs = Jobs(said.append)
        job = jobs.start("run", "Heap", "all days", fail)
        jobs.join()
        assert job.progress.error.startswith("Internal error: RuntimeError in ")
        assert job.progress.error in said[0]
        assert "secret" not in said[0]
        assert "test_runs.py" in said[0]
        assert "Run not found" in visits.get(f"/jobs/{job.id}").text

    def test_a_running_job_is_not_started_twice(self) -> None:
        """By a double click or from two tabs. Another day, or the same day after a stop, is a separate run."""
        jobs, end = Jobs(), threading.Event()

        def wait(_job: Job) -> None:
            end.wait(60)

        first = jobs.start("run", "Heap", "2026-03-03", wait)
        assert jobs.start("run", "Heap", "2026-03-03", wait) is first
        assert jobs.start("run", "Heap", "2026-03-04", wait) is not first
        first.stop.set()
        assert jobs.start("run", "Heap", "2026-03-03", wait) is not first
        end.set()
        jobs.join()
        assert jobs.start("run", "Heap", "2026-03-04", wait).progress.state != "failed"
        jobs.join()

    def test_a_run_is_stopped(self, shop: MemoryBucket, visits: Visitor) -> None:
        """And the run log records it; a table that was not loaded completely has no rows of the run."""
        shop.on_fetch = lambda _key: next(iter(visits.console.jobs)).stop.set()
        assert "stopped from the console" in runs(visits).text
        assert stored(visits, "Users") == 0
        with warehouse(visits) as opened:
            assert [run.outcome for run in RunLog(opened).runs(9)] == ["interrupted"]

    def test_progress_reaches_the_browser(self, shop: MemoryBucket, visits: Visitor) -> None:  # noqa: ARG002
        """And so does its end, so that the page shows the outcome of the run."""
        started = visits.ask("POST", "/couriers/Heap/run", b"days=all")
        visits.console.jobs.join()
        stream = visits.get(started.headers["location"] + "/events")
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert stream.html.startswith("data: ")
        assert stream.html.endswith("event: end\ndata: \n\n")


class TestRetrying:
    def failed(self, shop: MemoryBucket, visits: Visitor) -> str:
        """The id of a run in which one table was not loaded."""
        shop.objects["orders-2026-03-04.csv"] = b"id\nx\ny\n3\n"
        assert "Failed in" in runs(visits).text
        with warehouse(visits) as opened:
            return RunLog(opened).runs(1)[0].id

    def test_rejected_rows_are_shown_by_reason(self, shop: MemoryBucket, visits: Visitor) -> None:
        text = visits.get(f"/runs/{self.failed(shop, visits)}").text
        assert "2 Heap:Orders, column `id`: is" in text
        assert "orders-2026-03-04.csv 1 orders-2026-03-04.csv 2" in text
        assert "Retry what failed" in text

    def test_only_what_failed_is_loaded_and_nothing_is_fetched(
        self, shop: MemoryBucket, visits: Visitor, project: Path
    ) -> None:
        run_id = self.failed(shop, visits)
        write_feed(
            Feed(ORDERS.id, "Heap", "Orders", ORDERS.fields, ORDERS.primary_key, error_threshold=90),
            project / "feeds" / "Orders.yaml",
        )
        fetched: list[str] = []
        shop.on_fetch = fetched.append
        visits.ask("POST", f"/runs/{run_id}/again", b"failed=yes")
        visits.console.jobs.join()
        assert fetched == []
        assert (stored(visits, "Users"), stored(visits, "Orders")) == (2, 1)
        (result, _earlier) = (job.result for job in visits.console.jobs)
        assert [table.domain_table for table in result.tables] == ["Heap:Orders"]

    def test_an_unknown_run_is_reported(self, project: Path, visits: Visitor) -> None:  # noqa: ARG002
        assert "There is no run `7`" in visits.get("/runs/7").text
        assert "No courier has run yet" in visits.get("/runs").text


@pytest.mark.parametrize(
    "days", [None, Days.of(date(2026, 3, 4)), Days(date(2026, 2, 27), date(2026, 3, 2)), Days.of(date(1, 1, 1))]
)
def test_the_days_of_a_run_can_be_read_back(days: Days | None) -> None:
    assert days_of(Run("1", "Heap", in_words(days), NOW)) == days


def test_a_stopped_job_does_not_continue() -> None:
    job = Job("1", "run", "Heap", "all days")
    job.advance(1)
    job.stop.set()
    with pytest.raises(InterruptedRunError):
        job.advance(1)
