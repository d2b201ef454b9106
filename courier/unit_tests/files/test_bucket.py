"""A bucket lists and fetches objects."""

from __future__ import annotations

from pathlib import Path

import pytest
from botocore.awsrequest import AWSPreparedRequest

from courier.unit_tests.files.answered_bucket import WRITTEN, bucket, listing
from heap_courier.errors import InterruptedRunError, UnreadableFileError
from heap_courier.files.bucket import Object


def test_keys_are_relative_to_the_prefix_and_folders_are_left_out() -> None:
    found = list(bucket(lambda _: listing(("exports/", 0), ("exports/a.avro", 3), ("exports/b/", 0))).list())

    assert found == [Object("a.avro", 3, "e", WRITTEN)]


def test_pages_are_listed_one_after_another() -> None:
    asked: list[str] = []

    def answer(request: AWSPreparedRequest) -> tuple[int, dict[str, str], bytes]:
        asked.append(request.url)
        return listing(("exports/x-a", 1), following="t2") if len(asked) == 1 else listing(("exports/x-b", 1))

    assert [each.key for each in bucket(answer).list("x")] == ["x-a", "x-b"]
    assert ["prefix=exports%2Fx" in url for url in asked] == [True, True]
    assert "continuation-token=t2" in asked[1]


@pytest.mark.parametrize("etag", ["e", ""])
def test_an_object_is_compared_with_its_listing_and_appears_only_once_complete(tmp_path: Path, etag: str) -> None:
    listed = Object("a", 3, etag, WRITTEN)
    headers = {"content-length": "3", "etag": '"e"'}
    progress: list[int] = []

    bucket(lambda _: (200, headers, b"abc")).fetch(listed, tmp_path / "a", progress.append)

    assert (tmp_path / "a").read_bytes() == b"abc"
    assert progress == [3]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
    ("listed", "words"),
    [
        (Object("a", 3, "old", WRITTEN), "has changed since it was listed: run the courier again."),
        (Object("a", 4, "", WRITTEN), "does not match its listing (3 of 4 bytes)"),
        (Object("a", 2, "", WRITTEN), "does not match its listing (more than 2 bytes)"),
    ],
)
def test_an_object_that_differs_from_its_listing_is_refused(tmp_path: Path, listed: Object, words: str) -> None:
    place = bucket(lambda _: (200, {"content-length": "3", "etag": '"e"'}, b"abc"))

    with pytest.raises(UnreadableFileError) as refused:
        place.fetch(listed, tmp_path / "a")

    assert words in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_an_object_that_at_first_differs_from_its_listing_is_fetched_again(tmp_path: Path) -> None:
    answers = [(200, {"content-length": "1"}, b"x"), (200, {"content-length": "3"}, b"abc")]
    progress: list[int] = []

    bucket(lambda _: answers.pop(0), attempts=2).fetch(Object("a", 3, "", WRITTEN), tmp_path / "a", progress.append)

    assert (tmp_path / "a").read_bytes() == b"abc"
    assert progress == [1, -1, 3]


def test_an_interrupted_fetch_does_not_affect_another_of_the_same_object(tmp_path: Path) -> None:
    """For example of a stopped run, while the next run already fetches the same object."""
    place = bucket(lambda _: (200, {"content-length": "3"}, b"abc"))

    def stop(_bytes: int) -> None:
        raise InterruptedRunError("It was stopped.")

    def meanwhile(_bytes: int) -> None:
        with pytest.raises(InterruptedRunError):
            place.fetch("a", tmp_path / "a", stop)

    place.fetch("a", tmp_path / "a", meanwhile)

    assert (tmp_path / "a").read_bytes() == b"abc"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
