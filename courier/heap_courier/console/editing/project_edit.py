"""Edits heap-courier.yaml and the lists that it refers to, and validates them before anything is written."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, Final

from heap_courier.console.editing.versioned_file import ChangedFileError, replace_file, version_of
from heap_courier.console.editing.yaml_document import YamlDocument
from heap_courier.documents.strict_yaml import parse_yaml
from heap_courier.errors import SetupError
from heap_courier.project.model import Project
from heap_courier.project.reader import FILE_NAME, project_of

Section = tuple[str, str]
"""The kind and the name of a section: `("couriers", "Heap")`."""


class ProjectEdit:
    """The current project file, and changes to its sections.

    A section is a courier, a credential or a group. Each has its own version, so that two people can edit different
    couriers at the same time, but not overwrite each other's changes of one.
    """

    def __init__(self, folder: Path) -> None:
        """Reads the file. Raises SetupError if it is not YAML."""
        self._folder = folder
        self._document = YamlDocument(folder / FILE_NAME)

    def names(self, kind: str) -> list[str]:
        """The names of the sections of a kind: `couriers`, `credentials` or `groups`."""
        return list(self._document.get([kind]) or ())

    def section(self, kind: str, name: str) -> dict[str, Any]:
        """The settings of a section; empty if there is none."""
        return dict(self._document.get([kind, name]) or {})

    def version(self, kind: str, name: str, *files: Path) -> str:
        """The version of a section and its files. A form contains it, so as not to overwrite someone else's change."""
        parts = [json.dumps(self._document.get([kind, name]), sort_keys=True, default=str), *map(version_of, files)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def validated(self, sections: Mapping[Section, Mapping[str, Any]]) -> Project:
        """The project with changed sections, without writing it.

        Raises:
            SetupError: the project would not be valid.
        """
        return project_of(self._folder, parse_yaml(self._changed(sections), self._document.path))

    def write(self, sections: Mapping[Section, Mapping[str, Any]]) -> Project:
        """Writes changed sections; returns the resulting project.

        Raises:
            SetupError: as `validated`; or the file was changed since it was read, and nothing was written.
        """
        project = self.validated(sections)
        self._document.write(self._changed(sections))
        return project

    def remove(self, kind: str, name: str) -> None:
        """Removes a section.

        Raises:
            SetupError: the project needs it; or the file was changed since it was read, and nothing was written.
        """
        text = self._document.without([kind, name])
        project_of(self._folder, parse_yaml(text, self._document.path))
        self._document.write(text)

    def expect_new(self, kind: str, name: str) -> None:
        """Raises SetupError if the section already exists."""
        if name in self.names(kind):
            raise SetupError(f"There is a {kind[:-1]} `{name}` already: choose another name.")

    def _changed(self, sections: Mapping[Section, Mapping[str, Any]]) -> str:
        return self._document.changed({section: dict(settings) for section, settings in sections.items()})


_NAME: Final = re.compile(r"^`(courier|group|credential)s\..*?` must be a name of", re.DOTALL)


def about_the_form(sentence: str) -> str:
    """Rephrases a message about the project file for a form, which shows neither the file nor its keys."""
    return _NAME.sub(r"The name of the \1 must consist of", sentence.removeprefix("`heap-courier.yaml`: "))


def expect_unchanged(version: str, now: str, what: str, *, removing: bool = False) -> None:
    """Raises ChangedFileError if something has changed since a form was opened."""
    if version != now and removing:
        raise ChangedFileError(
            f"{what} was changed by someone else since this page was opened, and nothing was removed. Press Remove "
            "again to remove it as it is now."
        )
    if version != now:
        raise ChangedFileError(
            f"{what} was changed by someone else since this form was opened, and nothing was written. Your entries are "
            "below: save again to replace what is there now, or open the form again to see it."
        )


def free_path(folder: Path, name: str, suffix: str) -> Path:
    """An unused file name in a folder, derived from a name."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "courier"
    for number in count(1):
        path = Path(f"{slug}{'' if number == 1 else f'-{number}'}{suffix}")
        if not (folder / path).exists():
            return path
    raise AssertionError


def write_json(path: Path, document: Any, version: str) -> None:
    """Writes a list as JSON, formatted for people. Raises what `replace_file` raises."""
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    replace_file(path, text.encode(), version)


def remove(path: Path) -> None:
    """Removes a file that was created for a change that failed."""
    with suppress(OSError):
        path.unlink()
