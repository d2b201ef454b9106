"""Models that do not expect relatives, on data with relatives."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.stitch.bench import febrl, stage
from courier.unit_tests.stitch.project_of_people import People
from heap_courier.errors import SetupError
from heap_courier.stitch.linking.model import settings
from heap_courier.stitch.linking.relatives import LEAST_PAIRS, MOST, Homes, look_at_homes, refuse_relatives
from heap_courier.stitch.scratch import scratch
from heap_courier.stitch.train import among_strangers, write_model

HOMES = 2 * LEAST_PAIRS


def homes(couples: int, *, birthdates: bool = True) -> list[dict[str, str | None]]:
    """Two records in each home, either of a couple or of one customer."""
    return [
        {
            "pk": f"{home}-{place}",
            "given-name": "Anna" if place and home < couples else "Robert",
            "surname": f"Name{chr(65 + home // 26)}{chr(65 + home % 26)}",
            "address": f"{home} Elm St",
            "birthdate": ("1981-12-30" if place and home < couples else "1950-02-03") if birthdates else None,
        }
        for home in range(HOMES)
        for place in (0, 1)
    ]


@pytest.mark.parametrize("birthdates", [True, False])
@pytest.mark.parametrize("couples", [0, 2, 5])
def test_the_share_of_relatives_is_measured_per_home(couples: int, birthdates: bool, tmp_path: Path) -> None:
    rows = homes(couples, birthdates=birthdates)
    with scratch(tmp_path, "64MB") as opened:
        stage(opened, {"CRM": {tag: [row[tag] for row in rows] for tag in rows[0]}})

        assert look_at_homes(opened) == Homes(HOMES, couples, birthdates)

        if couples <= MOST * HOMES:
            refuse_relatives(opened, "")
        else:
            with pytest.raises(SetupError, match=rf"of {HOMES} pairs .* 5% are .* different in given name.* Do this"):
                refuse_relatives(opened, "Do this")


def test_errors_in_the_records_of_one_customer_do_not_count_as_relatives(tmp_path: Path) -> None:
    with scratch(tmp_path, "64MB") as opened:
        stage(opened, {"febrl": febrl(3, key=False)[1]})

        refuse_relatives(opened, "")


def test_a_run_refuses_a_model_without_relatives_if_there_are_some(people: People) -> None:
    """Instead of merging them; the result of the last run stays."""
    write_model(people.folder, among_strangers(settings(), 1000))
    people.feed("CRM", homes(0))
    people.stitch()
    before = people.ids()
    people.feed("CRM", homes(5))

    with pytest.raises(SetupError, match=r"heap-courier stitch train`, or remove `stitch/model.json`"):
        people.stitch()

    assert people.ids() == before
