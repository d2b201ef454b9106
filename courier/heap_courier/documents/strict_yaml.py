"""YAML written by people: what it does not say twice, and where it is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml

from heap_courier.errors import SetupError

# YAML means something else by these when a value begins with them: https://yaml.org/spec/1.1/#c-indicator
_SIGNS: Final = "*&!%@`"


class _Loader(yaml.SafeLoader):
    """A loader that refuses a key that stands twice, where YAML would take the last and say nothing.

    A date is a text to it: `2026-02-30` would be an error of Python's, and nothing here is set by a date.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012  (PyYAML's own)
        sign: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for sign, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key in (key for key, _value in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"`{key.value}` stands twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return node


def read_yaml(path: Path) -> Any:
    """Reads a YAML file; None where it is empty.

    Raises:
        SetupError: there is no such file, or it is no YAML, with the line and the column.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SetupError(f"There is no file `{path}`.") from None
    except OSError as error:
        raise SetupError(f"`{path}` cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError:
        raise SetupError(f"`{path}` is no text in UTF-8: save it as such.") from None
    try:
        return yaml.load(text, _Loader)  # noqa: S506  (a SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise SetupError(f"`{path}`{where}: {_problem(text, error)}.") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise SetupError(f"`{path}`, line {line}: a sign that cannot be seen (U+{error.character:04X}).") from None


def _problem(text: str, error: yaml.MarkedYAMLError) -> str:
    """What is wrong: never with the value itself, which can be a password."""
    signs = {text[mark.index : mark.index + 1] for mark in (error.context_mark, error.problem_mark) if mark}
    if "\t" in signs:
        return "a tab, where YAML wants spaces"
    for sign in signs.intersection(_SIGNS):
        return f"a value that begins with `{sign}` has to stand in quotes"
    return " ".join(part for part in (error.context, error.problem) if part)
