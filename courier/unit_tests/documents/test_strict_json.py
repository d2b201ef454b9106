"""JSON that people write: read, or refused with the line and column of the error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heap_courier.documents.strict_json import read_json
from heap_courier.errors import SetupError


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "heap.json"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def fault(folder: Path, text: str | bytes) -> str:
    path = written(folder, text)
    with pytest.raises(SetupError) as failed:
        read_json(path)
    sentence = str(failed.value)
    assert sentence.startswith(f"`{path}`")
    return sentence.removeprefix(f"`{path}`")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_valid_json_is_read(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    path = tmp_path_factory.mktemp("json") / "any.json"
    path.write_text(json.dumps(value), encoding="utf-8")
    assert read_json(path) == value


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    assert read_json(written(tmp_path, b'\xef\xbb\xbf{"a": 1}')) == {"a": 1}


@pytest.mark.parametrize(
    ("text", "where", "words"),
    [
        ('{\n  "a": 1,\n}', "line 2, column 9", "there is a comma before the closing `}`: remove it"),
        ("[\n  1,\n  2 ,\n]", "line 3, column 5", "there is a comma before the closing `]`: remove it"),
        ('{"a": 1\n "b": 2}', "line 2, column 2", "a comma is missing before this"),
        ('{"s": "\\|"}', "line 1, column 8", "write a backslash as `\\\\`"),
        ('{"s": "\\u12"}', "line 1, column", "unknown escape sequence"),
        ('{"file/header-rows": p}', "line 1, column 22", "a value is expected here"),
        ("{'a': 1}", "line 1, column 2", "a key in double quotes is expected here"),
        ('{"a" 1}', "line 1, column 6", "a colon is missing"),
        ('{"a": "b', "line 1, column 7", "has no closing quote"),
        ('{"a": "b\nc"}', "line 1, column 9", "a line break or a tab"),
        ("{} {}", "line 1, column 4", "the document ends before this"),
        ('{"a": 1,\n\n "a": 2}', "line 3, column 2", "the key `a` occurs twice in one object: remove one"),
        ('[{"a": "a", "b": {"x": 1, "\\u0078": 2}}]', "line 1, column 27", "the key `x` occurs twice"),
    ],
)
def test_an_error_is_reported_with_its_location(tmp_path: Path, text: str, where: str, words: str) -> None:
    """The errors are taken from published samples."""
    sentence = fault(tmp_path, text)
    assert sentence.startswith(f", {where}")
    assert words in sentence


def test_a_feed_defined_three_times_is_reported(tmp_path: Path) -> None:
    """Most parsers keep only the last one."""
    once = '"df-1": [{"type": "truncate"}]'
    assert "the key `df-1` occurs twice" in fault(tmp_path, f"{{{once}, {once}, {once}}}")


def test_equal_keys_in_different_objects_are_valid(tmp_path: Path) -> None:
    assert read_json(written(tmp_path, '[{"a": {"a": ["a"]}}, {"a": "{\\"a\\": 1, \\"a\\": 2}"}]'))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty: write at least `[]` or `{}`"),
        (b'{"a": "\xe9"}', "is not valid UTF-8"),
        ('{"a": NaN}', "`NaN` is not valid JSON"),
        ("[" * 100_000, "is not valid JSON"),
    ],
)
def test_an_invalid_document_is_reported(tmp_path: Path, text: str | bytes, words: str) -> None:
    assert words in fault(tmp_path, text)


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"`.*none\.json` cannot be read: No such file or directory\."):
        read_json(tmp_path / "none.json")
