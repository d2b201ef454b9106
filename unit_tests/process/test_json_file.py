"""A file of settings or a catalog is read, or refused with a message that says what it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from destination_heap_analytics.errors import ConfigError
from destination_heap_analytics.process.json_file import read_json


def refusal(folder: Path, content: bytes) -> str:
    path = folder / "file"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as refused:
        read_json(str(path), "--config")
    said = str(refused.value)
    prefix = f"The --config file `{path}` "
    assert said.startswith(prefix)
    return said.removeprefix(prefix)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_json_is_read_in_all_its_encodings(tmp_path: Path, encoding: str) -> None:
    """With or without a byte-order mark."""
    path = tmp_path / "file"
    path.write_bytes('{"a": ["é"]}'.encode(encoding))
    assert read_json(str(path), "--config") == {"a": ["é"]}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            b'{\n  "app_id": "11",\n  "api": {,}\n}',
            "is not valid JSON: expecting property name enclosed in double quotes at line 3, column 11.",
        ),
        (b'{"a": 1', "is not valid JSON: expecting ',' delimiter at line 1, column 8."),
        (b'{"a": 1} x', "is not valid JSON: extra data at line 1, column 10."),
        (b'{"a": "\x01"}', "is not valid JSON: invalid control character at line 1, column 8."),
        (b'{"a": ' + b"1" * 5000 + b"}", "is not valid JSON: it contains a number with too many digits."),
        (b"[" * 100_000, "is nested too deeply to be read."),
        (b'{"a":' * 100_000, "is nested too deeply to be read."),
        (b"", "is empty."),
        (b" \n", "is empty."),
        (b'{"a": "\xff"}', "is not valid UTF-8. Re-export it as UTF-8."),
        (b"app_id: '11'\napi:\n  api_type: track\n", "is YAML, not JSON. Convert it, as in `yq -o json FILE`."),
        (b"# settings\n\n---\napp_id: 11\n", "is YAML, not JSON. Convert it, as in `yq -o json FILE`."),
        (b"streams:\n- stream:\n    name: users\n", "is YAML, not JSON. Convert it, as in `yq -o json FILE`."),
        (b"- a\n- b\n", "is YAML, not JSON. Convert it, as in `yq -o json FILE`."),
    ],
)
def test_invalid_json_is_reported_with_its_position(tmp_path: Path, content: bytes, said: str) -> None:
    """Without its content, which may contain a secret."""
    assert refusal(tmp_path, content) == said


def test_the_output_of_discover_is_recognised(tmp_path: Path) -> None:
    """It has messages, one per line."""
    log, catalog = b'{"type":"LOG","log":{}}', b'{"type":"CATALOG","catalog":{"streams":[]}}'
    assert refusal(tmp_path, log + b"\n" + catalog).startswith("is a file of Airbyte messages, such as the output")


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    """With the system's reason; so is a directory."""
    with pytest.raises(ConfigError, match="cannot be read: No such file or directory"):
        read_json(str(tmp_path / "none"), "--config")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        read_json(str(tmp_path), "--config")
