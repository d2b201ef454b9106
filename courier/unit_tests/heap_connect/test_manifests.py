"""Which steps the manifests of Heap Connect require, in which order."""

from __future__ import annotations

import json
from typing import Any

import pytest

from heap_courier.errors import UnreadableFileError
from heap_courier.heap_connect.manifests import (
    Bookmark,
    Manifest,
    ManifestTable,
    Step,
    in_order,
    is_manifest,
    parse_manifest,
    plan,
)


def read(document: Any, prefix: str = "") -> Manifest:
    return parse_manifest(json.dumps(document).encode(), "manifests/sync_852.json", prefix)


def dump(dump_id: int, table: str = "users", *files: str, full: bool = False, columns: str = "user_id") -> Manifest:
    return Manifest(dump_id, (ManifestTable(table, full, tuple(columns.split()), files),))


def places(steps: tuple[Step, ...]) -> list[tuple[int, str, tuple[str, ...]]]:
    return [(step.dump_id, step.table, step.files) for step in steps]


def bookmarks(*steps: Step) -> set[Bookmark]:
    return {mark for step in steps for mark in step.bookmarks}


def landed(*manifests: Manifest) -> set[Bookmark]:
    return bookmarks(*plan(manifests, set()))


class TestReading:
    def test_a_manifest_has_its_dump_and_for_each_table_whether_it_is_full_its_columns_and_its_files(self) -> None:
        manifest = read(
            {
                "dump_id": 852,
                "tables": [
                    {
                        "name": "users",
                        "incremental": True,
                        "columns": ["user_id", "email"],
                        "files": ["s3://heap-rs3-acme/sync_852/users/0_a97432cb.avro"],
                    },
                    {"name": "user_migrations", "incremental": False, "columns": ["from_user_id"], "files": []},
                ],
                "property_definitions": "s3://heap-rs3-acme/sync_852/property_definitions.json",
            }
        )

        assert manifest == Manifest(
            852,
            (
                ManifestTable("users", False, ("user_id", "email"), ("sync_852/users/0_a97432cb.avro",)),
                ManifestTable("user_migrations", True, ("from_user_id",), ()),
            ),
        )

    def test_by_default_a_table_is_incremental_without_files_and_with_unknown_columns(self) -> None:
        assert read({"dump_id": 1, "tables": [{"name": "users"}]}).tables == (ManifestTable("users", False, None, ()),)

    def test_files_are_in_the_order_of_their_numbers_without_duplicates(self) -> None:
        files = ["s3://b/sync_1/u/part-10-x.avro", "s3://b/sync_1/u/part-2-x.avro", "s3://b/sync_1/u/part-2-x.avro"]

        (table,) = read({"dump_id": 1, "tables": [{"name": "u", "files": files}]}).tables

        assert table.files == ("sync_1/u/part-2-x.avro", "sync_1/u/part-10-x.avro")

    @pytest.mark.parametrize(
        ("address", "prefix", "key"),
        [
            ("s3://heap-rs3-acme/sync_1/u/0.avro", "", "sync_1/u/0.avro"),
            ("s3://heap-rs3-acme/exports/heap/sync_1/u/0.avro", "exports/heap/", "sync_1/u/0.avro"),
            ("s3://another-bucket/sync_1/u/0.avro", "copies/", "sync_1/u/0.avro"),
            ("s3a://heap-rs3-acme/sync_1/u/0 ?#%20.avro", "", "sync_1/u/0 ?#%20.avro"),
            ("sync_1/u/0.avro", "", "sync_1/u/0.avro"),
        ],
    )
    def test_an_address_is_a_key_below_the_prefix_regardless_of_its_bucket(
        self, address: str, prefix: str, key: str
    ) -> None:
        (table,) = read({"dump_id": 1, "tables": [{"name": "u", "files": [address]}]}, prefix).tables

        assert table.files == (key,)

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b'{"dump_id": 1, "tables": [', "is not valid JSON"),
            (b"[]", "must have a list in `tables`"),
            (b'{"dump_id": 1}', "must have a list in `tables`"),
            (b'{"tables": []}', "must have an integer in `dump_id`"),
            (b'{"dump_id": true, "tables": []}', "must have an integer in `dump_id`"),
            (b'{"dump_id": 9223372036854775808, "tables": []}', "has a `dump_id` that is not between 0 and 2^63"),
        ],
    )
    def test_an_invalid_manifest_is_reported_in_a_sentence_with_its_key(self, content: bytes, reason: str) -> None:
        with pytest.raises(UnreadableFileError) as error:
            parse_manifest(content, "manifests/sync_7.json")

        assert str(error.value).startswith("The manifest manifests/sync_7.json ")
        assert reason in str(error.value)

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b'{"dump_id": 1, "tables": [{"files": []}]}', "must have a text in `name` of each table"),
            (b'{"dump_id": 1, "tables": ["users"]}', "must have a text in `name` of each table"),
            (b'{"dump_id": 1, "tables": [{"name": ""}]}', "must have a text in `name` of each table"),
            (b'{"dump_id": 1, "tables": [{"name": "u", "files": "s3://b/k"}]}', "must have a list of texts in `files`"),
            (b'{"dump_id": 1, "tables": [{"name": "u", "columns": [1]}]}', "must have a list of texts in `columns`"),
            (
                b'{"dump_id": 1, "tables": [{"name": "u", "incremental": "false"}]}',
                "must have true or false in `incremental` of `u`",
            ),
            (b'{"dump_id": 1, "tables": [{"name": "u"}, {"name": "u"}]}', "lists the table `u` twice"),
            (b'{"dump_id": 1, "tables": [{"name": "u", "columns": [""]}]}', "a list of texts in `columns` of `u`"),
            (b'{"dump_id": 1, "tables": [{"name": "u", "files": ["s3://bucket"]}]}', "whose address has no key"),
            (b'{"dump_id": 1, "tables": [{"name": "u", "files": ["s3://bucket/"]}]}', "whose address has no key"),
            (b'{"dump_id": 1, "tables": [{"name": "u", "files": ["s3://bucket/a/"]}]}', "whose address has no key"),
        ],
    )
    def test_an_invalid_entry_fails_only_its_table(self, content: bytes, reason: str) -> None:
        good = b'{"name": "good", "files": ["s3://b/sync_1/good/0.avro"]}'
        manifest = parse_manifest(content, "manifests/sync_7.json")
        with_good = parse_manifest(content[:-2] + b", " + good + b"]}", "manifests/sync_7.json")

        assert [reason in (table.fault or "") for table in manifest.tables] == [True]
        assert [table.fault is None for table in with_good.tables] == [False, True]

    def test_columns_that_are_empty_null_or_missing_are_unknown(self) -> None:
        content = (
            b'{"dump_id": 1, "tables": [{"name": "a", "columns": []}, {"name": "b", "columns": null}, {"name": "c"}]}'
        )
        assert [table.columns for table in parse_manifest(content, "m").tables] == [None, None, None]

    def test_only_heaps_own_manifests_are_manifests(self) -> None:
        keys = ["manifests/sync_7.json", "imported_manifests/sync_7.json", "manifests/sync_7.json.tmp", "manifests/"]

        assert [key for key in keys if is_manifest(key)] == ["manifests/sync_7.json"]

    def test_keys_with_and_without_numbers_can_be_sorted_together(self) -> None:
        assert in_order(["b", "10", "a9", "a10", "", "9", "a"]) == ["", "9", "10", "a", "a9", "a10", "b"]


class TestPlanning:
    def test_all_dumps_are_loaded_if_none_is_full(self) -> None:
        assert places(plan([dump(1, "users", "a"), dump(2, "users", "b")], set())) == [
            (1, "users", ("a",)),
            (2, "users", ("b",)),
        ]

    def test_dumps_are_sorted_as_numbers_not_as_text(self) -> None:
        manifests = [dump(10, "users", "b"), dump(9, "users", "a"), dump(100, "users", "c")]

        assert [step.dump_id for step in plan(manifests, set())] == [9, 10, 100]

    def test_dumps_below_the_newest_full_one_of_a_table_are_obsolete_only_for_that_table(self) -> None:
        manifests = [
            dump(1, "users", "a"),
            dump(1, "sessions", "s"),
            dump(2, "users", "b", full=True),
            dump(3, "users", "c", full=True),
            dump(4, "users", "d"),
        ]

        steps = plan(manifests, set())

        assert [(step.dump_id, step.table) for step in steps] == [(1, "sessions"), (3, "users"), (4, "users")]
        assert [step.replaces for step in steps] == [False, True, False]

    def test_a_full_dump_without_files_is_a_step(self) -> None:
        (step,) = plan([dump(1, "users", "a"), dump(2, full=True)], set())

        assert step.replaces
        assert step.files == ()

    def test_an_incremental_dump_without_files_is_a_step_for_its_columns(self) -> None:
        assert places(plan([dump(2)], set())) == [(2, "users", ())]

    def test_what_was_loaded_is_not_a_step_again(self) -> None:
        manifests = [dump(1, "users", "a", full=True), dump(2), dump(3, "users", "c")]

        assert plan(manifests, landed(*manifests)) == ()

    def test_a_dump_delivered_again_with_more_files_loads_only_these_and_loses_nothing(self) -> None:
        manifest = dump(1, "users", "a", "b", full=True)

        (step,) = plan([manifest], landed(dump(1, "users", "a", full=True)))

        assert step.files == ("b",)
        assert not step.replaces

    def test_a_dump_delivered_twice_at_the_same_time_is_one_step(self) -> None:
        manifests = [dump(1, "users", "a", full=True), dump(1, "users", "b", "a", columns="user_id email")]

        assert plan(manifests, set()) == (Step(1, "users", True, ("user_id", "email"), ("a", "b")),)

    def test_a_bookmark_whose_file_is_no_longer_listed_does_no_harm(self) -> None:
        assert places(plan([dump(2, "users", "b")], landed(dump(1, "users", "gone")))) == [(2, "users", ("b",))]

    def test_the_floor_still_counts_if_its_manifest_is_no_longer_listed(self) -> None:
        assert plan([dump(1, "users", "a")], landed(dump(2, "users", "b", full=True))) == ()

    def test_a_late_manifest_is_loaded_and_marked_as_late(self) -> None:
        (step,) = plan([dump(1, "users", "a"), dump(2, "users", "b")], landed(dump(2, "users", "b")))

        assert (step.dump_id, step.late) == (1, True)

    def test_a_late_full_dump_removes_older_rows_but_does_not_replace_the_table(self) -> None:
        after = landed(dump(1, "users", "a"), dump(3, "users", "c"))

        (step,) = plan([dump(2, "users", "b", full=True)], after)

        assert (step.outdated_below, step.replaces) == (2, False)

    def test_a_dump_that_turns_out_to_be_full_removes_older_rows(self) -> None:
        after = landed(dump(1, "users", "a"), dump(2, "users", "b"))
        again = dump(2, "users", "b", full=True)

        (step,) = plan([again], after)

        assert (step.outdated_below, step.files) == (2, ())
        assert plan([again], after | bookmarks(step)) == ()

    def test_a_table_missing_from_a_manifest_is_unchanged(self) -> None:
        assert places(plan([dump(2, "sessions", "s")], landed(dump(1, "users", "a")))) == [(2, "sessions", ("s",))]

    def test_event_metadata_and_unwanted_columns_are_skipped(self) -> None:
        manifests = [dump(1, "_event_metadata", "m"), dump(1, "users", "a"), dump(1, "sessions", "s")]

        assert places(plan(manifests, set(), lambda table: table != "sessions")) == [(1, "users", ("a",))]
