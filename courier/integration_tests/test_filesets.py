"""The fileset of a run, out of an S3: by entities and days, into files."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import boto3
import pytest

from courier.unit_tests.couriers.memory_bucket import MemoryBucket
from heap_courier.errors import UnreadableFileError
from heap_courier.files.bucket import Bucket
from heap_courier.files.days import Days
from heap_courier.files.entities import read_entities
from heap_courier.files.fileset import fetch, find, missing_error
from heap_courier.project.model import Courier, KeyCredential

DAY = date(2026, 4, 10)
ENTITIES = [
    {
        "object/type": "file",
        "object/file-pattern": "'users'-YYYY-MM-dd'.avro'",
        "object/land-as": {"file/tag": "users", "file/content-type": "application/avro"},
    },
    {
        "object/type": "archive",
        "object/file-pattern": "'all/'yyyy'/'MM'/'dd'/*.zip'",
        "archive/contents": {
            "sessions.csv": {"subobject/land-as": {"file/tag": "sessions", "file/content-type": "text/csv"}}
        },
    },
]


@pytest.fixture
def stored(s3: str) -> Iterator[Any]:
    resource = boto3.Session("k", "s").resource("s3", "us-east-1", endpoint_url=s3)
    yield resource.create_bucket(Bucket="heap-rs3")
    resource.meta.client.close()


@pytest.fixture
def bucket(s3: str) -> Bucket:
    keys = KeyCredential("heap-keys", "HEAP_KEY", "HEAP_SECRET")
    courier = Courier("heap", keys, "heap-rs3", "exports/", s3, None, Path(), None)
    return Bucket(courier, {"HEAP_KEY": "k", "HEAP_SECRET": "s"}, attempts=2)


@pytest.fixture
def entities(tmp_path: Path) -> Any:
    (tmp_path / "entities.json").write_text(json.dumps(ENTITIES), encoding="utf-8")
    return read_entities(tmp_path / "entities.json")


def test_a_fileset_is_fetched(bucket: Bucket, stored: Any, entities: Any, tmp_path: Path) -> None:
    users, archive = os.urandom(3 << 20), io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("sessions.csv", "id\n1\n")
    stored.put_object(Key="exports/users-2026-04-10.avro", Body=users)
    stored.put_object(Key="exports/users-2026-04-11.avro", Body=b"another day")
    stored.put_object(Key="exports/all/2026/04/10/night.zip", Body=archive.getvalue())
    found = find(bucket, entities, Days.of(DAY))
    assert found.missing == ()
    told: list[int] = []
    files = fetch(bucket, found, tmp_path / "files", told.append).files
    assert [(file.key, file.tag, file.day) for file in files] == [
        ("all/2026/04/10/night.zip!sessions.csv", "sessions", DAY),
        ("users-2026-04-10.avro", "users", DAY),
    ]
    assert [file.path.read_bytes() for file in files] == [b"id\n1\n", users]
    assert sum(told) == found.size == len(users) + len(archive.getvalue())


def test_what_is_missing_is_reported(bucket: Bucket, stored: Any, entities: Any) -> None:
    stored.put_object(Key="exports/users-2026-04-09.avro", Body=b"")
    assert str(missing_error(bucket, find(bucket, entities, Days.of(DAY)).missing)) == (
        f"No file matches 'users'-YYYY-MM-dd'.avro' on 2026-04-10 and 'all/'yyyy'/'MM'/'dd'/*.zip' on 2026-04-10 in "
        f"{bucket}, and the newest similar file is `users-2026-04-09.avro`: wait for the file, load another day, or "
        "fix the pattern."
    )


def test_a_file_that_vanishes_in_between_is_reported(
    bucket: Bucket, stored: Any, entities: Any, tmp_path: Path
) -> None:
    """It was found, and then it is not there."""
    stored.put_object(Key="exports/users-2026-04-10.avro", Body=b"1")
    found = find(bucket, entities[:1], Days.of(DAY))
    stored.Object("exports/users-2026-04-10.avro").delete()
    with pytest.raises(
        UnreadableFileError, match=r"`users-2026-04-10\.avro` of the bucket .* is no longer in the bucket"
    ):
        fetch(bucket, found, tmp_path / "files").tagged({"users"})
    assert list((tmp_path / "files").iterdir()) == []


def test_a_bucket_in_memory_answers_as_one_of_s3(bucket: Bucket, stored: Any, tmp_path: Path) -> None:
    """Many tests rely on it."""
    memory = MemoryBucket(bucket.courier, {f"exports/{name}": name.encode() for name in ("b/2", "a", "b/10", "é")})
    memory.objects["elsewhere"] = b"1"
    for key, content in memory.objects.items():
        stored.put_object(Key=key, Body=content)

    def seen(source: Bucket | MemoryBucket, gone: str) -> list[Any]:
        listed = [[(item.key, item.size) for item in source.list(prefix)] for prefix in ("", "b/", "c")]
        for number, item in enumerate(source.list()):
            source.probe(item.key)
            source.fetch(item, tmp_path / str(number))
        messages = []
        for ask in (source.probe, source.read, lambda key: source.fetch(key, tmp_path / "gone")):
            with pytest.raises(UnreadableFileError) as raised:
                ask(gone)
            messages.append(str(raised.value).replace(str(source), "the bucket"))
        fetched = [path.read_bytes() for path in sorted(tmp_path.iterdir())]
        return [listed, fetched, source.read("b/10"), messages]

    assert seen(memory, "elsewhere") == seen(bucket, "elsewhere")
