"""Courier groups and notifications, on a separate project."""

from __future__ import annotations

import difflib
from datetime import datetime, timedelta, timezone
from pathlib import Path
from shlex import quote
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.unit_tests.console.screens.test_feeds import filled_in
from courier.unit_tests.console.visitor import NOW, Visitor
from courier.unit_tests.couriers.memory_bucket import MemoryBucket
from heap_courier.console.editing.cron_words import in_words
from heap_courier.console.editing.group_form import form_of_section
from heap_courier.errors import SetupError
from heap_courier.groups import slots
from heap_courier.groups.presence import present
from heap_courier.project.reader import read_project
from heap_courier.stitch import extra
from heap_courier.stitch import run as stitching
from heap_courier.warehouse.run_log import Run, RunLog, TableRun

MEMBERS = st.fixed_dictionaries(
    {"courier": st.sampled_from(["Heap", "CRM", "Shop"])},
    optional={
        "wait": st.just("2 hours"),
        "offset": st.just("24 hours"),
        "missing": st.sampled_from(["stop", "notify"]),
        "later": st.just(3),
    },
)
FIELDS = {"name": "Weekly", "schedule": "30 8 * * 0", "status": "enabled", "courier.0.name": "Heap"}


class TestWords:
    @pytest.mark.parametrize(
        ("schedule", "words"),
        [
            ("30 8 * * *", "at 08:30 every day"),
            ("30 8 * * 0", "at 08:30 on Sunday"),
            ("30 8 * * 7", "at 08:30 on Sunday"),
            ("0 17 * * 1-5", "at 17:00 on Monday to Friday"),
            ("0 6,18 * * *", "at 06:00 and 18:00 every day"),
            ("* * * * *", "every minute every day"),
            ("*/15 * * * *", "every 15 minutes every day"),
            ("*/20 8 * * *", "at 08:00, 08:20 and 08:40 every day"),
            ("*/25 * * * *", "at 0, 25 and 50 minutes past the hour every day"),
            ("5 * * * *", "at 5 minutes past the hour every day"),
            ("1 * * * *", "at 1 minute past the hour every day"),
            ("*/30 8-17 * * 1-5", "every 30 minutes, in the hours from 08:00 to 17:00, on Monday to Friday"),
            ("0 */2 * * *", "at 0 minutes past the hour, in every second hour from 00:00, every day"),
            ("0 0 1 * *", "at 00:00 on day 1 of the month"),
            ("0 0 1,15 * *", "at 00:00 on days 1 and 15 of the month"),
            ("0 0 L * *", "at 00:00 on the last day of the month"),
            ("0 0 1 * 1", "at 00:00 on day 1 of the month and on Monday"),
            ("0 0 * * 5#2", "at 00:00 on the second Friday of the month"),
            ("0 0 * * 5L", "at 00:00 on the last Friday of the month"),
            ("0 12 * JAN,MAR *", "at 12:00 every day in January and March"),
            ("0 9 * * 0,6", "at 09:00 on Saturday and Sunday"),
        ],
    )
    def test_a_schedule_is_described_in_words(self, schedule: str, words: str) -> None:
        assert in_words(schedule) == words

    @given(
        st.builds(
            lambda *fields: " ".join(fields),
            st.sampled_from(["*", "0", "*/5", "1-7", "3,9", "59"]),
            st.sampled_from(["*", "0", "*/3", "1-7", "3,9", "22-23"]),
            st.sampled_from(["*", "1", "*/3", "1-7", "3,9", "L", "LW", "31"]),
            st.sampled_from(["*", "1", "*/3", "1-7", "DEC"]),
            st.sampled_from(["*", "0", "7", "1-5", "5#1", "5L", "SAT,SUN"]),
        )
    )
    def test_every_schedule_can_be_described(self, schedule: str) -> None:
        try:
            assert in_words(schedule)
        except SetupError:
            assert "31" in schedule or "L" in schedule  # one that never comes due

    def test_an_error_is_reported(self) -> None:
        with pytest.raises(SetupError, match="schedule"):
            in_words("61 * * * *")


class TestPreview:
    def words(self, visits: Visitor, **change: str) -> str:
        fields = {name.replace("_", "-"): value for name, value in change.items()}
        return visits.post("/groups/schedule", FIELDS | fields).text

    def test_the_next_five_runs_are_in_the_groups_zone(self, project: Path, visits: Visitor) -> None:  # noqa: ARG002
        """From 4 March on; the clocks go forward on the 8th."""
        text = self.words(visits, schedule="30 8 * * *", time_zone="America/New_York")
        assert "It runs at 08:30 every day, in the time zone America/New_York." in text
        assert "Wednesday 2026-03-04 08:30 EST (13:30 UTC)" in text
        assert "Sunday 2026-03-08 08:30 EDT (12:30 UTC)" in text
        assert text.count("UTC)") == 5

    def test_without_a_courier_the_page_explains_where_to_add_one(self, visits: Visitor) -> None:
        visits.post("/project")
        assert "add one on the screen Sources first" in self.words(visits)

    def test_a_clock_change_gives_a_warning(self, project: Path, visits: Visitor) -> None:  # noqa: ARG002
        text = self.words(visits, schedule="30 2 * * *", time_zone="America/New_York")
        assert "2026-03-08" in text.partition("Next runs")[2].partition("02:30 in America")[0]
        assert "choose another time, or UTC" in text

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"schedule": "1 2 3"}, "does not have five fields"),
            ({"schedule": "0 0 31 2 *"}, "schedule"),
            ({"time_zone": "Amerika/New_York"}, "America/New_York"),
            ({"courier.0.name": ""}, "at 08:30 on Sunday, in the time zone UTC. Next runs:"),
            ({"courier.0.name": ""}, "(08:30 UTC) Courier 1: choose one from the list."),
            ({"courier.0.name": "", "schedule": "1 2 3"}, "does not have five fields"),
            ({"courier.0.wait": "2"}, "Courier 1: the wait time must be a duration"),
            ({"courier.1.name": "Heap"}, "couriers: `Heap` is listed twice."),
            ({"constraint.0.name": "nightl"}, "Did you mean `nightly`"),
            ({"courier.0.wait": "soon"}, "`30 minutes`"),
            ({"schedule": ""}, "by hand only"),
            ({"name": "a/b"}, "at 08:30 on Sunday, in the time zone UTC. Next runs:"),
            ({"name": "a/b"}, "(08:30 UTC) The name of the group must consist of letters, digits, spaces"),
            ({"done_by": "25:99"}, "SLA: done by must be a time of day, such as 07:00."),
            ({"warn_after": "soon"}, "Warn after must be a duration"),
            ({"name": "`x` <b>"}, "The name of the group must consist of letters, digits, spaces"),
        ],
    )
    @pytest.mark.usefixtures("project")
    def test_errors_are_shown_while_typing(self, visits: Visitor, change: dict[str, str], words: str) -> None:
        assert words in self.words(visits, **change)


class TestDaemon:
    def test_whether_schedules_run_is_shown(self, project: Path, visits: Visitor) -> None:
        """And how to start the daemon in this folder; Sources shows it too."""
        visits.post("/groups/new", FIELDS)
        text = visits.get("/groups").text
        assert "Not running Scheduled runs do not start" in text
        assert f"heap-courier --project {quote(str(project))} group serve --wait" in text
        assert "Scheduled runs do not start yet" in visits.get("/").text
        with present(project, NOW):
            text = visits.get("/groups").text
            assert "`heap-courier group serve` has been running since 2026-03-04 08:30:00 UTC." in text
            assert "Not running" not in text
            assert "Scheduled runs do not start" not in visits.get("/").text
            saved = visits.post("/groups/Weekly/status", {"status": "disabled"}).text
            assert "`heap-courier group serve` picks up the change within a minute." in saved


class TestEditing:
    def test_a_group_is_created(self, project: Path, visits: Visitor) -> None:
        text = visits.post("/groups/new", FIELDS | {"courier.0.wait": "2 hours", "courier.0.offset": "24 hours"}).text
        assert "The group Weekly was saved." in text
        assert "`heap-courier group serve` is not running" in text
        assert "at 08:30 on Sunday" in text
        group = read_project(project).groups["Weekly"]
        assert (group.schedule, group.enabled) == ("30 8 * * 0", True)
        assert (group.couriers[0].wait, group.couriers[0].offset) == (timedelta(hours=2), timedelta(hours=24))

    def test_saving_without_a_change_changes_nothing(self, project: Path, visits: Visitor) -> None:
        before = (project / "heap-courier.yaml").read_text()
        fields = filled_in(visits.get("/groups/nightly/edit"), do="save")
        assert "was saved" in visits.post("/groups/nightly/edit", fields).text
        assert (project / "heap-courier.yaml").read_text() == before

    @given(
        st.fixed_dictionaries(
            {"couriers": st.lists(MEMBERS, max_size=3, unique_by=lambda each: each["courier"])},
            optional={
                "schedule": st.just("30 8 * * *"),
                "time-zone": st.sampled_from(["UTC", "Europe/Berlin"]),
                "status": st.sampled_from(["enabled", "disabled", True, False]),
                "constraints": st.lists(
                    st.just({"group": "nightly", "offset": "24 hours", "later": {"a": [1]}}), min_size=1, max_size=1
                ),
                "warn-after": st.just("3 hours"),
                "dates-in-time-zone": st.booleans(),
                "past-day-only": st.booleans(),
                "stitch": st.booleans(),
                "later": st.sampled_from(["07:00", {"by": "07:00"}, ["a"], True]),
            },
        )
    )
    def test_settings_that_are_not_in_the_form_stay(self, section: dict[str, Any]) -> None:
        """Settings of any version of heap-courier.yaml, in their order."""
        saved = form_of_section("Weekly", section).section(section)
        assert (saved, list(saved)) == (section, list(section))

    def test_stitch_is_switched_on_and_off(self, project: Path, visits: Visitor) -> None:
        visits.post("/groups/new", FIELDS | {"stitch": "on"})
        assert read_project(project).groups["Weekly"].stitch
        page = visits.get("/groups/Weekly/edit")
        assert "checked> Run Stitch" in page.html
        visits.post("/groups/Weekly/edit", FIELDS | {"version": page.value("version")})
        assert not read_project(project).groups["Weekly"].stitch

    @pytest.mark.parametrize("at", ["07:00", "17:30"])  # read by YAML as text and as a base-60 number
    def test_a_group_must_finish_by_a_time(self, project: Path, visits: Visitor, at: str) -> None:
        answer = visits.post("/groups/new", FIELDS | {"done-by": at})
        assert f"SLA: done by {at}" in answer.text
        assert str(read_project(project).groups["Weekly"].done_by) == f"{at}:00"
        assert visits.get("/groups/Weekly/edit").value("done-by") == at

    def test_pause_and_resume_change_one_word(self, project: Path, visits: Visitor) -> None:
        before = (project / "heap-courier.yaml").read_text()
        assert "is resumed" in visits.post("/groups/nightly/status", {"status": "enabled"}).text
        after = (project / "heap-courier.yaml").read_text()
        changed = [
            line[2:].split() for line in difflib.ndiff(before.splitlines(), after.splitlines()) if line[0] == "+"
        ]
        assert [words[:2] for words in changed] == [["status:", "enabled"]]
        assert read_project(project).groups["nightly"].enabled
        assert "is paused" in visits.post("/groups/nightly/status", {"status": "disabled"}).text
        assert not read_project(project).groups["nightly"].enabled

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"name": ""}, "has no name"),
            ({"name": "nightly"}, "There is a group `nightly` already"),
            ({"schedule": "1 2 3"}, "five fields"),
            ({"courier.0.name": "Hep"}, "Did you mean `Heap`"),
            ({"courier.1.name": "Heap"}, "Heap"),
            ({"constraint.0.name": "nightl"}, "Did you mean `nightly`"),
        ],
    )
    def test_an_error_is_reported_and_nothing_is_written(
        self, project: Path, visits: Visitor, change: dict[str, str], words: str
    ) -> None:
        before = (project / "heap-courier.yaml").read_bytes()
        answer = visits.post("/groups/new", FIELDS | change)
        assert (answer.status, words in answer.text) == (409, True)
        assert (project / "heap-courier.yaml").read_bytes() == before

    def test_members_are_added_and_removed(self, project: Path, visits: Visitor) -> None:  # noqa: ARG002
        more = visits.post("/groups/new", FIELDS | {"do": "add-courier"})
        assert "courier.1.name" in more.html
        more = visits.post("/groups/new", filled_in(more, do="add-constraint"))
        assert "constraint.0.name" in more.html
        less = visits.post("/groups/new", filled_in(more, do="remove-courier:1"))
        assert "courier.1.name" not in less.html

    def test_a_change_by_someone_else_is_not_overwritten(self, project: Path, visits: Visitor) -> None:
        fields = filled_in(visits.get("/groups/nightly/edit"), schedule="0 5 * * *")
        visits.post("/groups/nightly/status", {"status": "enabled"})
        answer = visits.post("/groups/nightly/edit", fields)
        assert (answer.status, "changed by someone else" in answer.text) == (409, True)
        assert read_project(project).groups["nightly"].schedule == "30 8 * * *"

    def test_constraints_are_drawn_and_described(self, project: Path, visits: Visitor) -> None:  # noqa: ARG002
        assert "<svg" not in visits.get("/groups").html
        page = visits.post("/groups/new", FIELDS | {"constraint.0.name": "nightly", "constraint.0.wait": "1 hour"})
        assert 'aria-label="Weekly waits for nightly."' in page.html

    def test_a_cycle_is_refused(self, project: Path, visits: Visitor) -> None:  # noqa: ARG002
        visits.post("/groups/new", FIELDS | {"constraint.0.name": "nightly"})
        fields = filled_in(visits.get("/groups/nightly/edit")) | {"constraint.0.name": "Weekly"}
        answer = visits.post("/groups/nightly/edit", fields)
        assert (answer.status, "`Weekly`" in answer.text) == (409, True)


class TestRunning:
    def test_a_group_runs_now_and_shows_in_its_history(
        self, project: Path, visits: Visitor, bucket: MemoryBucket
    ) -> None:
        """Its courier keeps files as samples, because it has no load operations."""
        bucket.objects["path/to/users-2026-03-04.avro"] = b"?"
        visits.post("/groups/new", FIELDS)
        started = visits.ask("POST", "/groups/Weekly/run")
        visits.console.jobs.join()
        assert "Completed in" in visits.get(started.headers["location"]).text
        assert (project / "samples" / "Heap" / "path" / "to" / "users-2026-03-04.avro").exists()
        assert "manual 2026-03-04 08:30:00 1 second Succeeded" in visits.get("/groups/Weekly/edit").text
        assert "Courier group Weekly, 2026-03-04 08:30 UTC" in visits.get("/notifications").text

    def test_a_group_with_stitch_links_records(
        self, project: Path, visits: Visitor, bucket: MemoryBucket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Like `heap-courier group run`; a missing extra fails the run."""
        assert project.exists()
        bucket.objects["path/to/users-2026-03-04.avro"] = b"?"
        ran = []
        monkeypatch.setattr(stitching, "stitch", ran.append)
        visits.post("/groups/new", FIELDS | {"stitch": "on"})
        visits.ask("POST", "/groups/Weekly/run")
        visits.console.jobs.join()
        assert len(ran) == 1
        monkeypatch.setattr(extra, "_PACKAGES", ("splinx",))
        visits.ask("POST", "/groups/Weekly/run")
        visits.console.jobs.join()
        assert "Stitch needs the Python package `splinx`" in visits.get("/groups/Weekly/edit").text

    def test_the_reason_of_a_failure_is_shown(self, project: Path, visits: Visitor, bucket: MemoryBucket) -> None:
        assert (project.exists(), bucket.objects) == (True, {})
        visits.post("/groups/new", FIELDS)
        started = visits.ask("POST", "/groups/Weekly/run")
        visits.console.jobs.join()
        text = visits.get(started.headers["location"]).text
        assert "Failed in" in text
        assert "No file matches" in text


class TestNotifications:
    def note(self, visits: Visitor, outcome: str, rejected: int = 0, message: str | None = None) -> None:
        with visits.console.context().warehouse() as warehouse:
            log = RunLog(warehouse)
            log.make()
            slots.prepare(warehouse)
            run = Run(f"2026030{len(log.runs(99))}-080000-aaaa", f"C{len(log.runs(99))}", "all days", NOW)
            log.begin(run)
            if outcome != "running":
                log.end(run, NOW + timedelta(minutes=5, seconds=12), outcome, message)
            log.record_table(run, TableRun("Heap:Users", 1, 9, rejected))

    def test_each_kind_is_shown_and_chosen(self, project: Path, visits: Visitor) -> None:  # noqa: ARG002
        cases: list[tuple[Any, ...]] = [
            ("running",),
            ("completed",),
            ("completed", 3),
            ("failed", 0, 'Error running load-operations task\nCannot find required feeds: "df-xxxxxx"'),
        ]
        for case in cases:
            self.note(visits, *case)
        text = visits.get("/notifications").text
        assert "Completed in 5 minutes 12 seconds" in text
        assert "3 rows were rejected" in text
        assert 'Cannot find required feeds: "df-xxxxxx"' in text
        for number, kind in enumerate(("running", "completed", "warning", "error")):
            chosen = visits.get(f"/notifications?kind={kind}").text
            assert [f"C{other}," in chosen for other in range(4)] == [other == number for other in range(4)]

    def test_without_notifications_the_page_says_so(self, project: Path, visits: Visitor) -> None:  # noqa: ARG002
        assert "There are no notifications yet" in visits.get("/notifications").text


def test_a_running_slot_is_shown(project: Path, visits: Visitor) -> None:  # noqa: ARG001
    with visits.console.context().warehouse() as warehouse:
        slots.prepare(warehouse)
        slots.claim(warehouse, "nightly", datetime(2026, 3, 4, 8, 30, tzinfo=timezone.utc), NOW, by_hand=False)
    assert "Running 2026-03-04 08:30:00 UTC" in visits.get("/groups").text
    assert "schedule 2026-03-04 08:30:00 Running" in visits.get("/groups/nightly/edit").text


def test_the_channels_of_each_kind_are_shown_without_secrets(project: Path, visits: Visitor) -> None:
    with (project / "heap-courier.yaml").open("a") as file:
        file.write(
            "notify:\n  warning: {webhook: {url: https://alerts.example.com/secret}}\n"
            "  error: {command: [logger, token], email: [data@example.com]}\n"
            "  smtp: {host: mail.example.com, from: courier@example.com}\n"
        )
    text = visits.get("/notifications").text
    assert "warning: webhook alerts.example.com" in text
    assert "error: command `logger`, e-mail to data@example.com" in text
    assert "secret" not in text
    assert "token" not in text
