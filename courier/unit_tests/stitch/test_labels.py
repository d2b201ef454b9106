"""Labels and label files."""

from __future__ import annotations

from pathlib import Path

import pytest

from courier.unit_tests.stitch.project_of_people import People, groups
from heap_courier.errors import SetupError
from heap_courier.stitch.labels import read_labels, store_labels

HEADER = "row_id,label_id,partition_id,datasource,semantic,value\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("row,label\n", "the first line must be `row_id,label_id,partition_id,datasource,semantic,value`"),
        (HEADER, "has no labels"),
        (HEADER + "1,l,p,CRM:People,pk\n", "line 2 has 5 values; it must have 6"),
        (HEADER + "1,l,,CRM:People,pk,7\n", "line 2: `partition_id` is empty"),
        (HEADER + "1,l,p,CRM:People,emial,x\n", r"line 2: there is no semantic `emial` \(did you mean `email`\?\)"),
        (HEADER + "1,l,p,CRM:People,pk,secret\n2,l,q,CRM:People,pk,secret\n", "line 3: the same record is also in"),
        (HEADER + "1,l,p,CRM:People,pk,secret\n\n2,l,q,CRM:People,pk,secret\n", "line 4: the same record is also in"),
        (HEADER + '1,l,p,CRM:People,pk,"secret\n', "is not a CSV file"),
    ],
)
def test_an_invalid_file_is_refused_without_quoting_its_content(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(SetupError, match=message) as refused:
        read_labels(path)

    assert "secret" not in str(refused.value)


def test_labels_are_stored_and_replaced_by_a_label_with_the_same_id(people_on_either: People, tmp_path: Path) -> None:
    people = people_on_either
    people.feed("CRM", [{"pk": str(number)} for number in (1, 2, 3)])
    path = tmp_path / "labels.csv"

    path.write_text(HEADER + "1,l,p,CRM:People,pk,1\n2,l,p,CRM:People,pk,2\n", encoding="utf-8")
    assert store_labels(people.warehouse, read_labels(path)) == (2, 2)
    assert store_labels(people.warehouse, read_labels(path)) == (0, 2)
    people.stitch()
    assert people.customers() == groups("CRM 1, CRM 2", "CRM 3")

    path.write_text(HEADER + "1,l,p,CRM:People,pk,1\n2,l,p,CRM:People,pk,3\n", encoding="utf-8")
    assert store_labels(people.warehouse, read_labels(path)) == (1, 2)
    people.stitch()
    assert people.customers() == groups("CRM 1, CRM 3", "CRM 2")


@pytest.mark.parametrize(
    ("keys", "said"), [("19", "1 line of the labels matches"), ("89", "2 lines of the labels match"), ("11", None)]
)
def test_lines_of_labels_that_match_no_record_are_reported(people: People, keys: str, said: str | None) -> None:
    people.feed("CRM", [{"pk": "1"}])
    people.label(*(("l", "p", "CRM:People", "pk", key) for key in keys))

    why = " no record: check `datasource`, `semantic` and `value`, unless the record was deleted."
    assert people.stitch().notices == ((said + why,) if said else ())


@pytest.mark.parametrize(
    "labels",
    [
        [("l", "p", "pk", "1"), ("l", "q", "email", "A@b.co")],  # the same record, selected in two ways
        [("l", "p", "pk", "1"), ("l", "p", "pk", "2"), ("m", "p", "pk", "1"), ("m", "q", "pk", "2")],
        [
            ("l", "p", "pk", "1"),
            ("l", "p", "pk", "2"),
            ("m", "p", "pk", "2"),
            ("m", "p", "pk", "3"),
            ("n", "p", "pk", "1"),
            ("n", "q", "pk", "3"),
        ],
    ],
)
def test_labels_that_contradict_each_other_are_refused(people: People, labels: list[tuple[str, str, str, str]]) -> None:
    people.feed("CRM", [{"pk": "1", "email": "a@b.co"}, {"pk": "2"}, {"pk": "3"}])
    people.label(*((label, partition, "CRM:People", semantic, value) for label, partition, semantic, value in labels))

    with pytest.raises(SetupError, match=r"Labels contradict each other: the partitions of the label `.` are"):
        people.stitch()
