"""Load operations are read, and refused with a sentence if they are not valid."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from heap_courier.couriers.load_operations import Operations, read_operations
from heap_courier.errors import SetupError


def written(folder: Path, document: Any) -> Path:
    path = folder / "heap.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def load(tag: str) -> dict[str, str]:
    return {"type": "load", "file": tag}


def test_the_documented_example_is_read(tmp_path: Path) -> None:
    path = tmp_path / "operations.json"
    path.write_text(
        """{
  "USERS-FEED-ID": [
    {
      "type": "truncate"
    },
    {
      "type": "load",
      "file": "users"
    }
  ]
}""",
        encoding="utf-8",
    )
    assert read_operations(path, ["users"]) == (Operations("USERS-FEED-ID", True, ("users",)),)


def test_no_operations_are_valid(tmp_path: Path) -> None:
    """Files are then fetched as samples."""
    assert read_operations(written(tmp_path, {}), ["users"]) == ()


def test_feeds_and_loads_keep_their_order(tmp_path: Path) -> None:
    """A truncate counts at any position."""
    document = {"df-2": [load("b"), load("a"), load("b")], "df-1": [load("a"), {"type": "truncate"}]}
    assert read_operations(written(tmp_path, document), {"a", "b"}) == (
        Operations("df-2", False, ("b", "a")),
        Operations("df-1", True, ("a",)),
    )


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("df-xxxxxx", 'must be an object of feeds and their operations, such as {"df-xxxxxx": ['),
        ([], "an object of feeds"),
        ({"df-1": []}, "feed `df-1` must have at least one operation, such as"),
        ({"df-1": {"type": "truncate"}}, "feed `df-1` must be a list with at least one operation, such as"),
        ({"df-1": ["truncate"]}, "feed `df-1`, operation 1 must be an object in braces."),
        ({"df-1": [{"type": "OPERATION"}]}, "operation 1 must have a `type`: `load` or `truncate`."),
        ({"df-1": [{"type": "truncte"}]}, "`load` or `truncate`; did you mean `truncate`?"),
        ({"df-1": [{"type": "write", "file": "users"}]}, "must have a `type`: `load` or `truncate`."),
        ({"df-1": [{"type": "spark-sql"}]}, "is a `spark-sql`, which is not supported: use `load`"),
        ({"df-1": [{"type": "load"}]}, "feed `df-1`, operation 1 lacks `file`."),
        ({"df-1": [{"type": "truncate", "file": "users"}]}, "has no setting `file`; its settings are `type`."),
        (
            {"df-1": [load("users"), load("FILE_NAME")]},
            "operation 2, `file` is `FILE_NAME`, but no entity has that `file/tag`; known tags",
        ),
        ({"df-1": [load("user")]}, "no entity has that `file/tag` (did you mean `users`?)"),
        ({"df-1": [load("zzz")]}, "known tags are `sessions`, `users`."),
    ],
)
def test_an_invalid_operation_is_refused_with_its_feed_and_number(tmp_path: Path, document: Any, words: str) -> None:
    """The message has the file, the feed, and the number of the operation."""
    path = written(tmp_path, document)
    with pytest.raises(SetupError) as failed:
        read_operations(path, ["users", "sessions"])
    assert str(failed.value).startswith(f"`{path}`")
    assert words in str(failed.value)
