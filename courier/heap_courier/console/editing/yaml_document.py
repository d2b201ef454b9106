"""A YAML file that a person wrote, edited in place: comments, order and quotes are preserved."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any, Final

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from heap_courier.console.editing.versioned_file import replace_file, version_of
from heap_courier.documents.strict_yaml import parse_yaml, read_yaml
from heap_courier.errors import SetupError

_WIDE: Final = 1 << 20  # columns: no line is folded
_STEP: Final = re.compile(r"^( +)\S", re.MULTILINE)
_ITEM: Final = re.compile(r"( *)-( +)\S")

Keys = Sequence[str]
"""The path to a value, from the top of the document."""


class YamlDocument:
    """The content of a YAML file, and its text after a change.

    Attributes:
        path: the path of the file.
        version: the version of the file when it was read.
        content: the content as plain values; None if the file is empty.
    """

    def __init__(self, path: Path, *, texts: bool = False) -> None:
        """Reads the file.

        Args:
            path: the path of the file.
            texts: whether each scalar is read as text, as in a feed.

        Raises:
            SetupError: as `read_yaml`.
        """
        self.path = path
        self.version = version_of(path)
        self.content: Any = read_yaml(path, texts=texts)
        self._texts = texts
        self._text = path.read_bytes().decode("utf-8")

    def get(self, keys: Keys) -> Any:
        """A copy of the value at a path; None if there is none."""
        value = self.content
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return copy.deepcopy(value)

    def changed(self, changes: Mapping[tuple[str, ...], Any]) -> str:
        """The text with changed values at some paths; None removes a value.

        Raises:
            SetupError: the text cannot be edited without changing other values, for example because of anchors.
        """
        expected = copy.deepcopy(self.content) or {}
        editor = self._editor()
        try:
            tree = editor.load(self._text)
            tree = CommentedMap() if tree is None else tree
            for keys, value in changes.items():
                _put(expected, keys, value)
                self._put(tree, keys, value)
            stream = StringIO()
            editor.dump(tree, stream)
        except (YAMLError, AttributeError, TypeError, ValueError) as error:
            raise self._uneditable() from error
        text = stream.getvalue()
        if self.content is None:  # comments alone have no node that keeps them
            text = self._text.rstrip() + ("\n" if self._text.strip() else "") + (text if tree else "")
        if "\r\n" in self._text:
            text = text.replace("\r\n", "\n").replace("\n", "\r\n")
        if (parse_yaml(text, self.path, texts=self._texts) or {}) != expected:
            raise self._uneditable()
        return text

    def without(self, keys: Keys) -> str:
        """The text without the section at a path, and without parents that would be empty; all other lines stay.

        Raises:
            SetupError: as `changed`.
        """
        while len(keys) > 1 and len(self.get(keys[:-1]) or ()) == 1:
            keys = keys[:-1]
        expected = copy.deepcopy(self.content)
        _put(expected, keys, None)
        first, last = _lines_of(self._text, keys)
        lines = self._text.splitlines(keepends=True)
        text = "".join([*lines[:first], *lines[last + 1 :]])
        if (parse_yaml(text, self.path, texts=self._texts) or {}) != expected:  # such as {a: 1, b: 2} on one line
            return self.changed({tuple(keys): None})
        return text

    def write(self, text: str) -> None:
        """Writes a text to the file. Raises what `replace_file` raises."""
        replace_file(self.path, text.encode(), self.version)

    def _uneditable(self) -> SetupError:
        return SetupError(
            f"The console cannot edit `{self.path}` without changing other places in it, for example because of "
            "anchors or merge keys: change it in a text editor. Nothing was written."
        )

    def _editor(self) -> YAML:
        editor = YAML()
        editor.preserve_quotes = True
        editor.width = _WIDE
        steps = [len(spaces) for spaces in _STEP.findall(self._text)]
        step = min(steps, default=2)
        offset, space = _list_indent(self._text) or (step, 1)
        editor.indent(mapping=step, sequence=offset + 1 + space, offset=offset)
        return editor

    def _put(self, tree: Any, keys: Keys, value: Any) -> None:
        for key in keys[:-1]:
            if tree.get(key) is None:
                if value is None:
                    return
                tree[key] = CommentedMap()
            tree = tree[key]
        if value is None:
            tree.pop(keys[-1], None)
        else:
            tree[keys[-1]] = self._merged(tree.get(keys[-1]), value, self.get(keys))

    def _merged(self, old: Any, new: Any, known: Any) -> Any:
        """The new value, in the nodes of the old one where possible, to keep comments, order and quotes.

        `known` is the old value as read by this program: as YAML 1.1 or as text, unlike the nodes.
        """
        if isinstance(new, Mapping):
            merged = old if isinstance(old, CommentedMap) else CommentedMap()
            inner = known if isinstance(known, dict) else {}
            for key in [key for key in merged if key not in new]:
                del merged[key]
            for key, value in new.items():
                merged[key] = self._merged(merged.get(key), value, inner.get(key))
            return merged
        if isinstance(new, list):
            items = old if isinstance(old, CommentedSeq) else CommentedSeq()
            before = known if isinstance(known, list) else []
            del items[len(new) :]
            for number, value in enumerate(new):
                if number < len(items):
                    items[number] = self._merged(items[number], value, before[number])
                else:
                    items.append(self._merged(None, value, None))
            return items
        if old is not None and type(new) is type(known) and known == new:
            return old
        return self._scalar(new)

    def _scalar(self, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            meant = YAML(typ="safe").load(f"- {value}\n")[0]
            if self._texts and isinstance(meant, bool | int) and str(meant).lower() == value:
                return meant  # written without quotes
            plain = meant == value and parse_yaml(f"- {value}\n", self.path, texts=self._texts) == [value]
        except (SetupError, YAMLError, TypeError, IndexError):
            plain = False
        return value if plain else DoubleQuotedScalarString(value)


def _lines_of(text: str, keys: Keys) -> tuple[int, int]:
    """The first and the last line of a section including its key, counted from 0, without comments before it."""
    node: Any = yaml.compose(text, yaml.BaseLoader)
    first = 0
    for wanted in keys:
        first, node = next((key.start_mark.line, value) for key, value in node.value if key.value == wanted)
    ends = [first]
    waiting = [node]
    while waiting:
        each = waiting.pop()
        if isinstance(each, yaml.ScalarNode):
            is_block = each.style in ("|", ">")  # ends at the beginning of the next line
            ends.append(each.end_mark.line - (1 if is_block and each.end_mark.column == 0 else 0))
        elif each.flow_style:
            ends.append(each.end_mark.line)
        else:
            waiting += [part for pair in each.value for part in (pair if isinstance(pair, tuple) else (pair,))]
    return first, max(ends)


def _list_indent(text: str) -> tuple[int, int] | None:
    """The format of the first list below a key: the indent of its dashes from the key, and the spaces after a dash."""
    key: int | None = None
    for line in text.splitlines():
        content = line.partition(" #")[0].strip()
        if not content or content.startswith("#"):
            continue
        if key is not None and (item := _ITEM.match(line)):
            return len(item[1]) - key, len(item[2])
        key = len(line) - len(line.lstrip(" ")) if content.endswith(":") and not content.startswith("-") else None
    return None


def _put(content: Any, keys: Keys, value: Any) -> None:
    for key in keys[:-1]:
        if content.get(key) is None:
            if value is None:
                return
            content[key] = {}
        content = content[key]
    if value is None:
        content.pop(keys[-1], None)
    else:
        content[keys[-1]] = copy.deepcopy(value)
