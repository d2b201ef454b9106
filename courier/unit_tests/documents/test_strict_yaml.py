"""YAML written by people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from heap_courier.documents.strict_yaml import read_yaml
from heap_courier.errors import SetupError


def read(tmp_path: Path, content: str | bytes) -> Any:
    path = tmp_path / "x.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_yaml(path)


@pytest.mark.parametrize("content", ["", "# nothing yet\n", "---\n"])
def test_an_empty_file_is_none(tmp_path: Path, content: str) -> None:
    assert read(tmp_path, content) is None


@pytest.mark.parametrize("content", ["a: 1\r\nb: [x]\r\n", "\ufeffa: 1\nb: [x]\n"])
def test_files_from_windows_editors_are_read(tmp_path: Path, content: str) -> None:
    assert read(tmp_path, content) == {"a": 1, "b": ["x"]}


def test_a_date_is_text_even_if_it_does_not_exist(tmp_path: Path) -> None:
    assert read(tmp_path, "[2026-11-01, 2026-02-30]") == ["2026-11-01", "2026-02-30"]


def test_settings_can_be_shared_by_anchors(tmp_path: Path) -> None:
    shared = "a: &shared {bucket: x, prefix: y}\nb: &more {<<: *shared, prefix: z}\nc: {<<: *more, bucket: w}\n"

    assert read(tmp_path, shared)["c"] == {"bucket": "w", "prefix": "z"}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("a:\n  Heap: 1\n  'Heap': 2\n", ", line 3, column 3: the key `Heap` occurs twice."),
        ("a:\n\tb: 1\n", ", line 2, column 1: a tab, which YAML does not allow here: use spaces."),
        ("schedule: * * * * *\n", ", line 1, column 12: a value that begins with `*` needs quotes."),
        ("a: *hunter2\n", ", line 1, column 4: a value that begins with `*` needs quotes."),
        ("a: !hunter2 x\n", ", line 1, column 4: a value that begins with `!` needs quotes."),
        ("a: @hunter2\n", ", line 1, column 4: a value that begins with `@` needs quotes."),
        ("a: !!python/name:os.system\n", ", line 1, column 4: a value that begins with `!` needs quotes."),
        ("- [a, b\n", ", line 2, column 1: while parsing a flow sequence expected ',' or ']', but got '<stream end>'."),
        (
            "a: 1\n---\nb: 1\n",
            ", line 2, column 1: expected a single document in the stream but found another document.",
        ),
        ("? [a]\n: b\n", ", line 1, column 3: while constructing a mapping found unhashable key."),
        ("a: 1\nb: \0", ", line 2: YAML cannot contain the character U+0000."),
        (b"a: caf\xe9\n", " is not valid UTF-8: save it as UTF-8."),
        ("a: 1\n".encode("utf-16"), " is not valid UTF-8: save it as UTF-8."),
    ],
)
def test_an_error_is_reported_with_its_location_and_without_the_value(
    tmp_path: Path, content: str | bytes, sentence: str
) -> None:
    with pytest.raises(SetupError) as refused:
        read(tmp_path, content)
    assert str(refused.value) == f"`{tmp_path / 'x.yaml'}`{sentence}"


def test_a_missing_or_unreadable_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(SetupError) as refused:
        read_yaml(tmp_path / "x.yaml")
    assert str(refused.value) == f"There is no file `{tmp_path / 'x.yaml'}`."

    with pytest.raises(SetupError) as refused:
        read_yaml(tmp_path)
    assert str(refused.value) == f"`{tmp_path}` cannot be read: Is a directory."
