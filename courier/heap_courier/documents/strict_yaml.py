"""Strict YAML for files that people write, such as the project and feeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml

from heap_courier.errors import SetupError

# A plain value cannot begin with these: https://yaml.org/spec/1.1/#c-indicator
_RESERVED: Final = "*&!%@`"


class _NoRepeatedKeys(yaml.composer.Composer):
    """Refuses duplicate keys; PyYAML would silently keep the last value."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen = set()
        for key in (key for key, _value in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"the key `{key.value}` occurs twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return node


class _TextLoader(_NoRepeatedKeys, yaml.BaseLoader):
    """Keeps each scalar as text, because a field may be named `on`."""


class _Loader(_NoRepeatedKeys, yaml.SafeLoader):
    """Parses numbers and booleans.

    Dates stay text: no setting is a date, and `2026-02-30` would raise an error in Python.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012  (PyYAML's own)
        character: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for character, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def read_yaml(path: Path, *, texts: bool = False) -> Any:
    """Reads a YAML file; None if it is empty.

    Args:
        path: of the file.
        texts: whether to keep each scalar as text, even one that looks like a number or a boolean.

    Raises:
        SetupError: the file is missing or not valid YAML; the message has line and column.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SetupError(f"There is no file `{path}`.") from None
    except OSError as error:
        raise SetupError(f"`{path}` cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError:
        raise SetupError(f"`{path}` is not valid UTF-8: save it as UTF-8.") from None
    return parse_yaml(text, path, texts=texts)


def parse_yaml(text: str, path: Path, *, texts: bool = False) -> Any:
    """Parses the text of a YAML file, which need not exist yet. Otherwise like `read_yaml`."""
    try:
        return yaml.load(text, _TextLoader if texts else _Loader)  # noqa: S506  (both build plain values only)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise SetupError(f"`{path}`{where}: {_problem(text, error)}.") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise SetupError(f"`{path}`, line {line}: YAML cannot contain the character U+{error.character:04X}.") from None
    except RecursionError:
        raise SetupError(f"`{path}` is nested too deeply.") from None


def _problem(text: str, error: yaml.MarkedYAMLError) -> str:
    """The reason for an error, without the value, which may be a password."""
    characters = {text[mark.index : mark.index + 1] for mark in (error.context_mark, error.problem_mark) if mark}
    if "\t" in characters:
        return "a tab, which YAML does not allow here: use spaces"
    for character in characters.intersection(_RESERVED):
        return f"a value that begins with `{character}` needs quotes"
    return " ".join(part for part in (error.context, error.problem) if part)
