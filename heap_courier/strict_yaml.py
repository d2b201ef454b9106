"""YAML written by people: what it does not say twice, and where it is wrong."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from heap_courier.errors import SetupError


class _Loader(yaml.SafeLoader):
    """A loader that refuses a key that stands twice, where YAML would take the last and say nothing."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002  (PyYAML's own)
        seen = set()
        for key_node, _value in node.value:
            key = self.construct_object(key_node)
            if key in seen:
                raise yaml.MarkedYAMLError(problem=f"`{key}` stands twice", problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> Any:
    """Reads a YAML file.

    Raises:
        SetupError: there is no such file, or it is no YAML, with the line and the column.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506  (a SafeLoader)
    except FileNotFoundError:
        raise SetupError(f"There is no file `{path}`.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"`{path}` cannot be read: {error}.") from error
    except yaml.MarkedYAMLError as error:
        where = (
            f", line {error.problem_mark.line + 1}, column {error.problem_mark.column + 1}"
            if error.problem_mark
            else ""
        )
        raise SetupError(f"`{path}`{where}: {error.problem}.") from error
    except yaml.YAMLError as error:
        raise SetupError(f"`{path}` is no YAML: {error}.") from error
