"""One table's failure affects no other: a fault of a bucket or a manifest is a sentence, and all others land."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import fastavro
import orjson
import pytest

from courier.integration_tests.heap_bucket import Dump, TableDump, avro, manifest_key, nullable, objects
from courier.integration_tests.heap_place import PEOPLE, events, failure, loaded, people
from courier.integration_tests.scripted_s3 import BUCKET, Changed, Drips, Refuses, ScriptedS3, Short
from heap_courier.errors import CourierError, LaterError, SetupError, UnreadableFileError
from heap_courier.files.bucket import Bucket
from heap_courier.files.entities import HeapConnectEntity
from heap_courier.heap_connect import pull as pull_module
from heap_courier.heap_connect import reading
from heap_courier.heap_connect.pull import pull
from heap_courier.heap_connect.step_result import StepResult
from heap_courier.project.model import Courier, KeyCredential
from heap_courier.warehouse.base import Warehouse

ROWS = tuple({"user_id": number, "email": "x" * 900} for number in range(200))


class Place:
    """A scripted bucket and a warehouse."""

    def __init__(self, s3: ScriptedS3, warehouse: Warehouse, folder: Path) -> None:
        self.s3 = s3
        self.warehouse = warehouse
        self.folder = folder / "fetched"

    def bucket(self, attempts: int = 2, limit: float = 60.0) -> Bucket:
        credential = KeyCredential("test", "KEY", "SECRET")
        courier = Courier("daily", credential, BUCKET, "", self.s3.address, "us-east-1", Path("e.json"), None)
        return Bucket(courier, {"KEY": "k", "SECRET": "s"}, attempts=attempts, call_seconds=limit, block_seconds=limit)

    def write(self, *dumps: Dump) -> None:
        for dump in dumps:
            self.s3.objects = {**self.s3.objects, **dict(objects(dump, Random(dump.dump_id), bucket=BUCKET))}

    def key(self, part: str) -> str:
        (key,) = [key for key in self.s3.objects if part in key]
        return key

    def edit(self, dump_id: int, table: str, **changed: Any) -> None:
        """Changes what a manifest says of a table."""
        document = orjson.loads(self.s3.objects[manifest_key(dump_id)])
        (entry,) = [entry for entry in document["tables"] if entry["name"] == table]
        entry.update(changed)
        self.s3.objects = {**self.s3.objects, manifest_key(dump_id): orjson.dumps(document)}

    def pull(self, limit: float = 60.0, **entity: Any) -> list[StepResult]:
        return list(pull(self.warehouse, self.bucket(limit=limit), HeapConnectEntity(**entity), self.folder, workers=2))

    def ids(self, table: str, column: str = "event_id") -> list[Any]:
        return [row[0] for row in self.warehouse.query(f'SELECT {column} FROM "Heap:{table}" ORDER BY 1')]


@pytest.fixture
def place(warehouse: Warehouse, tmp_path: Path) -> Iterator[Place]:
    with ScriptedS3({}) as s3:
        yield Place(s3, warehouse, tmp_path)


@pytest.fixture
def one_engine(tmp_path: Path) -> Iterator[Place]:
    """For what has nothing to do with the engine."""
    from courier.integration_tests.heap_place import duckdb  # noqa: PLC0415

    with ScriptedS3({}) as s3, closing(duckdb(tmp_path)) as warehouse:
        yield Place(s3, warehouse, tmp_path)


class TestFiles:
    @pytest.mark.parametrize(
        ("fault", "words"),
        [
            (Refuses(403, "AccessDenied"), "access is denied"),
            (Refuses(500, "InternalError"), "it is unavailable now"),
            (Refuses(403, "InvalidObjectState"), "is in an archive storage class"),
            (Changed(b"another"), "has changed since it was listed"),
        ],
    )
    def test_one_that_cannot_be_had_fails_its_table_alone(self, one_engine: Place, fault: Any, words: str) -> None:
        one_engine.write(Dump(1, (people((1, "a")), events((7, 1)))), Dump(2, (people((2, "b")), events((8, 1)))))
        one_engine.s3.faults[one_engine.key("sync_1/users")] = fault

        runs = one_engine.pull()

        assert words in failure(runs)
        assert one_engine.ids("sign_up") == [7, 8]
        one_engine.s3.faults.clear()
        assert loaded(*one_engine.pull()) == [(1, "Heap:users"), (2, "Heap:users")]

    def test_a_short_read_at_the_end_of_a_block_is_not_a_shorter_file(self, one_engine: Place) -> None:
        """No reader of Avro could notice."""
        one_engine.write(Dump(1, (TableDump("users", PEOPLE, ROWS), events((7, 1)))))
        key = one_engine.key("sync_1/users")
        content = one_engine.s3.objects[key]
        header = len(avro(PEOPLE, ()))
        end = content.index(content[header - 16 : header], header) + 16
        assert header < end < len(content)
        one_engine.s3.faults[key] = Short(end)

        assert f"({end:,} of {len(content):,} bytes)" in failure(one_engine.pull())
        assert one_engine.s3.asked.count(key) == 2
        assert one_engine.ids("sign_up") == [7]

        one_engine.s3.faults[key] = [Short(end)]
        loaded(*one_engine.pull())
        assert len(one_engine.ids("users", "user_id")) == 200

    @pytest.mark.parametrize("head", [True, False])
    def test_one_that_drips_is_given_up(self, one_engine: Place, *, head: bool) -> None:
        one_engine.write(Dump(1, (people((1, "a")), events((7, 1)))))
        one_engine.s3.faults[one_engine.key("sync_1/users")] = Drips(head)

        assert "its response takes too long" in failure(one_engine.pull(limit=1.0))
        assert one_engine.ids("sign_up") == [7]
        assert list(one_engine.folder.iterdir()) == []

    @pytest.mark.parametrize("depth", [300, 20_000, 100_000])
    def test_one_that_is_nested_too_deeply_fails_its_table_alone(self, one_engine: Place, depth: int) -> None:
        one_engine.write(Dump(1, (people((1, "a")), events((7, 1)))))
        header = avro({"user_id": "long", "next": ["null", "topLevelRecord"]}, (), codec="null")
        row = b"\x02\x02" * depth + b"\x02\x00"
        size = BytesIO()
        fastavro.schemaless_writer(size, "long", len(row))
        key = one_engine.key("sync_1/users")
        one_engine.s3.objects = {**one_engine.s3.objects, key: header + b"\x02" + size.getvalue() + row + header[-16:]}

        message = failure(one_engine.pull())

        assert f"`{key}` has a value nested more than 250 levels deep" in message
        assert one_engine.ids("sign_up") == [7]

    def test_any_error_in_the_rows_of_one_file_fails_only_its_table(
        self, one_engine: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one_engine.write(Dump(1, (people((1, "a")), events((7, 1)))))
        real = reading.cast_rows

        def odd(batch: Any, table: Any, dump_id: int) -> Any:
            if "email" in batch.schema.names:
                raise KeyError("secret")
            return real(batch, table, dump_id)

        monkeypatch.setattr(reading, "cast_rows", odd)

        message = failure(one_engine.pull())

        key = one_engine.key("sync_1/users")
        assert f"`{key}` cannot be read: it raised an unexpected KeyError" in message
        assert "secret" not in message
        assert one_engine.ids("sign_up") == [7]

    def test_a_bucket_that_refuses_everything_ends_the_run(self, one_engine: Place) -> None:
        one_engine.write(Dump(1, (people((1, "a")), events((7, 1)))))
        credential = KeyCredential("test", "KEY", "SECRET")
        courier = Courier("d", credential, "other", "", one_engine.s3.address, "us-east-1", Path("e.json"), None)
        bucket = Bucket(courier, {"KEY": "k", "SECRET": "s"}, attempts=1)

        with pytest.raises(CourierError):
            list(pull(one_engine.warehouse, bucket, HeapConnectEntity(), one_engine.folder, workers=1))


class TestManifests:
    def test_any_error_in_one_leaves_the_others_loaded(
        self, one_engine: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one_engine.write(Dump(1, (people((1, "a")),)), Dump(2, (events((7, 1)),)))
        real = pull_module.parse_manifest

        def odd(content: bytes, key: str, prefix: str) -> Any:
            if key == manifest_key(1):
                raise KeyError("secret")
            return real(content, key, prefix)

        monkeypatch.setattr(pull_module, "parse_manifest", odd)

        message = failure(one_engine.pull())

        assert f"`{manifest_key(1)}` cannot be read: it raised an unexpected KeyError" in message
        assert "secret" not in message
        assert one_engine.ids("sign_up") == [7]

    def test_one_in_cold_storage_that_has_landed_is_not_needed(self, one_engine: Place) -> None:
        one_engine.write(Dump(1, (people((1, "a")), events((7, 1)), events((9, 9), table="other"))))
        loaded(*one_engine.pull(exclude=("other",)))
        one_engine.s3.faults[manifest_key(1)] = Refuses(403, "InvalidObjectState")
        one_engine.write(Dump(2, (people((2, "b")),)))

        assert loaded(*one_engine.pull(exclude=("other",))) == [(2, "Heap:users")]
        assert one_engine.pull(exclude=("other",)) == []
        assert "archive storage class" in failure(one_engine.pull())  # that table has not landed

    def test_one_in_cold_storage_is_needed_while_a_table_of_it_has_not_landed(self, one_engine: Place) -> None:
        one_engine.write(Dump(1, (people((1, "a")), events((7, 1)))))
        key = one_engine.key("sync_1/users")
        one_engine.s3.faults[key] = Refuses(403, "AccessDenied")
        failure(one_engine.pull())
        one_engine.s3.faults = {manifest_key(1): Refuses(403, "InvalidObjectState")}

        assert "archive storage class" in failure(one_engine.pull())

    def test_one_in_cold_storage_is_needed_again_for_a_table_that_was_dropped(self, one_engine: Place) -> None:
        one_engine.write(Dump(1, (people((1, "a")), events((7, 1)))))
        loaded(*one_engine.pull())
        one_engine.warehouse.execute('DROP TABLE "Heap:users"')
        one_engine.s3.faults[manifest_key(1)] = Refuses(403, "InvalidObjectState")

        assert "archive storage class" in failure(one_engine.pull())

    @pytest.mark.parametrize(
        ("changed", "words"),
        [
            ({"files": ["s3://heap-rs3-scripted"]}, "whose address has no key"),
            ({"files": 7}, "must have a list of texts in `files`"),
            ({"columns": ["user_id", ""]}, "must have a list of texts in `columns`"),
            ({"columns": ["user_id", "a\0b"]}, "a NUL character in its name"),
            ({"name": "users:resolved"}, "has the name of one of the courier's views"),
            ({"name": "a\0b"}, "a NUL character in its name"),
        ],
    )
    def test_an_odd_entry_fails_its_table_alone(self, place: Place, changed: dict[str, Any], words: str) -> None:
        place.write(Dump(1, (people((1, "a")), events((7, 1)))))
        place.edit(1, "users", **changed)

        assert words in failure(place.pull())
        assert place.ids("sign_up") == [7]


class TestWarehouse:
    @pytest.mark.parametrize("column", ["ctid", "xmin", "tableoid", "rowid", "_seq:", "raw_user_id", "t", "user"])
    def test_columns_that_are_called_as_others_are(self, place: Place, column: str) -> None:
        """As a database calls its own they fail their table alone; as the courier does they do no harm."""
        types = {**PEOPLE, **nullable(**{column: "string"})}
        place.write(
            Dump(1, (TableDump("users", types, tuple({"user_id": n, column: f"{n}"} for n in (1, 2))), events((7, 1))))
        )

        runs = place.pull()

        if column in place.warehouse.reserved_columns:
            assert f"reserves the column name `{column}`: rename it in Heap" in failure(runs)
        else:
            loaded(*runs)
            assert place.ids("users", f'"{column}"') == ["1", "2"]
        assert place.ids("sign_up") == [7]

    def test_a_relation_in_place_of_a_view_fails_only_its_table(self, place: Place) -> None:
        place.warehouse.execute('CREATE TABLE "Heap:users:resolved" (a bigint)')
        place.write(Dump(1, (people((1, "a")), events((7, 1)))))

        assert failure(place.pull())
        assert place.ids("sign_up") == [7]

    @pytest.mark.parametrize("error", [RuntimeError("secret"), LaterError("locked."), SetupError("refused.")])
    def test_any_error_in_one_table_is_its_failure(
        self, one_engine: Place, monkeypatch: pytest.MonkeyPatch, error: Exception
    ) -> None:
        one_engine.write(Dump(1, (people((1, "a")), events((7, 1)))))
        fill: Callable[..., str | None] = one_engine.warehouse.fill
        failures = [error]

        def fail_once(*arguments: Any) -> str | None:
            if failures:
                raise failures.pop()
            return fill(*arguments)

        monkeypatch.setattr(one_engine.warehouse, "fill", fail_once)

        message = failure(one_engine.pull())

        assert "secret" not in message
        assert one_engine.ids("sign_up") == [7]


def test_a_fetched_file_is_compared_with_its_listing(one_engine: Place, tmp_path: Path) -> None:
    one_engine.s3.objects = {"a": b"12345"}
    (item,) = one_engine.bucket().list()
    for fault, words in (
        (Short(3), "(3 of 5 bytes)"),
        (Short(0), "(0 of 5 bytes)"),
        (Changed(b"54321"), "has changed since it was listed"),
        (Changed(b"123456"), "has changed since it was listed"),
    ):
        one_engine.s3.faults["a"] = fault
        with pytest.raises(UnreadableFileError) as failed:
            one_engine.bucket().fetch(item, tmp_path / "a")
        assert words in str(failed.value)
        assert list(tmp_path.glob("a*")) == []
        one_engine.s3.faults["a"] = [fault]
        told: list[int] = []
        one_engine.bucket().fetch(item, tmp_path / "a", told.append)
        assert sum(told) == 5
        assert (tmp_path / "a").read_bytes() == b"12345"
        (tmp_path / "a").unlink()
