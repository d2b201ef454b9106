"""The form of a courier: its settings and its list of files, from the browser or from the project."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from heap_courier.console.visit import Form
from heap_courier.documents.strict_json import parse_json
from heap_courier.formats.file_format import AVRO

Kind = Literal["files", "heap-connect", "json"]

NEW_CREDENTIAL: Final = "+"
"""The option in the list of credentials that creates a new one."""

_TEXTS: Final = ("separator", "quote", "escape", "encoding")
_ROW_KEYS: Final = {"object/type", "object/file-pattern", "object/land-as", "object/optional"}
_LAND_KEYS: Final = {"file/tag", "file/content-type", "file/header-rows", *(f"file/{name}" for name in _TEXTS)}
_CREDENTIAL_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "iam-credential": ("access-key-env", "secret-key-env", "session-token-env"),
    "profile": ("profile",),
    "iam-role-to-role": ("role-arn", "external-id", "credential"),
    "default": (),
}
CREDENTIAL_TYPES: Final = tuple(_CREDENTIAL_KEYS)

NO_CREDENTIAL: Final[dict[str, str]] = dict.fromkeys(
    ("name", "type", *(key for keys in _CREDENTIAL_KEYS.values() for key in keys)), ""
)
"""The empty form of a credential."""

USUAL_CREDENTIAL: Final[Mapping[str, str]] = NO_CREDENTIAL | {
    "name": "heap-bucket",
    "type": "iam-credential",
    "access-key-env": "AWS_ACCESS_KEY_ID",
    "secret-key-env": "AWS_SECRET_ACCESS_KEY",
}
"""The initial values of the form of a new credential."""


@dataclass(frozen=True, slots=True)
class FileRow:
    """A file in the list, as entered in the form."""

    pattern: str = ""
    tag: str = ""
    content_type: str = AVRO
    optional: bool = False
    header: bool = True
    separator: str = ""
    quote: str = ""
    escape: str = ""
    encoding: str = ""

    def entity(self) -> dict[str, Any]:
        """The row as an entity."""
        lands: dict[str, Any] = {"file/tag": self.tag, "file/content-type": self.content_type}
        if not self.header:
            lands["file/header-rows"] = 0
        lands |= {f"file/{name}": _character(getattr(self, name)) for name in _TEXTS if getattr(self, name)}
        entity: dict[str, Any] = {"object/type": "file", "object/file-pattern": self.pattern, "object/land-as": lands}
        return entity | ({"object/optional": True} if self.optional else {})


@dataclass(frozen=True, slots=True)
class CourierForm:
    """The content of the form.

    Attributes:
        name: the name of the courier.
        kind: how the files are specified: as rows, by Heap's manifests, or as a JSON list.
        settings: the courier's settings as in heap-courier.yaml, without its two lists.
        credential: the `name` and the settings of a credential to create with the courier.
        rows: the files, for the kind `files`.
        source, tables, exclude, history: the settings for the kind `heap-connect`; a history of `*` means all tables.
        text: the JSON list, for the kind `json`.
    """

    name: str = ""
    kind: Kind = "files"
    settings: Mapping[str, str] = field(default_factory=dict)
    credential: Mapping[str, str] = field(default_factory=lambda: USUAL_CREDENTIAL)
    rows: tuple[FileRow, ...] = (FileRow(),)
    source: str = "Heap-Connect"
    tables: str = ""
    exclude: str = ""
    history: str = ""
    text: str = ""

    @property
    def makes_credential(self) -> bool:
        """Whether a credential is created with the courier."""
        return self.settings.get("credential") == NEW_CREDENTIAL

    def document(self, path: Path) -> Any:
        """The list of entities. Raises SetupError if it is not valid JSON."""
        if self.kind == "json":
            return parse_json(self.text, path)
        if self.kind == "heap-connect":
            entity: dict[str, Any] = {"object/type": "heap-connect", "heap-connect/source": self.source}
            for key in _LISTS:
                if names := [name for name in getattr(self, key).replace(",", " ").split() if name]:
                    entity[f"heap-connect/{key}"] = True if (key, names) == ("history", ["*"]) else names
            return [entity]
        return [row.entity() for row in self.rows]

    def section(self, old: Mapping[str, Any], entities: str, operations: str | None) -> dict[str, Any]:
        """The courier's section of heap-courier.yaml; settings that are not in the form stay unchanged."""
        known = {key: value for key, value in self.settings.items() if value}
        if self.makes_credential:
            known["credential"] = self.credential["name"]
        kept = {key: value for key, value in old.items() if key not in (*self.settings, "load-operations")}
        section = {key: known[key] for key in old if key in known} | known | kept | {"entities": entities}
        return section | ({"load-operations": operations} if operations else {})

    def credential_section(self) -> dict[str, str]:
        """The section of the credential that is created with the courier."""
        kind = self.credential.get("type", "")
        keys = _CREDENTIAL_KEYS.get(kind, ())
        return {"type": kind} | {key: self.credential[key] for key in keys if self.credential.get(key)}


_LISTS: Final = ("tables", "exclude", "history")
_HEAP_KEYS: Final = frozenset({"object/type", "heap-connect/source", *(f"heap-connect/{key}" for key in _LISTS)})
"""The keys that the form for Heap Connect supports; an entity with other keys is shown as JSON."""
SETTINGS: Final = ("credential", "bucket", "prefix", "endpoint-url", "region")


def form_of_fields(form: Form) -> CourierForm:
    """The form as sent by the browser."""
    kind = form.get("kind", "files")
    rows = tuple(
        FileRow(
            row.get("pattern"),
            row.get("tag"),
            row.get("content-type"),
            row.has("optional"),
            not row.has("headless"),
            *(row.get(name) for name in _TEXTS),
        )
        for row in form.rows("file")
    )
    return CourierForm(
        name=form.get("name"),
        kind="heap-connect" if kind == "heap-connect" else "json" if kind == "json" else "files",
        settings={key: form.get(key) for key in SETTINGS},
        credential={key: form.get(f"new-credential.{key}") for key in NO_CREDENTIAL},
        rows=rows or (FileRow(),),
        source=form.get("source"),
        tables=form.get("tables"),
        exclude=form.get("exclude"),
        history=form.get("history"),
        text=form.get("text"),
    )


def form_of_project(name: str, section: Mapping[str, Any], document: Any) -> CourierForm:
    """The form of an existing courier; a list that rows cannot represent is shown as JSON."""
    settings = {key: str(section.get(key) or "") for key in SETTINGS}
    text = json.dumps(document, indent=2, ensure_ascii=False)
    entities = document if isinstance(document, list) else []
    first = entities[0] if len(entities) == 1 else None
    if isinstance(first, dict) and first.get("object/type") == "heap-connect":
        names = {key: first.get(f"heap-connect/{key}", []) for key in _LISTS}
        if isinstance(names["history"], bool):
            names["history"] = ["*"] if names["history"] else []
        if all(isinstance(each, list) for each in names.values()) and _HEAP_KEYS.issuperset(first):
            tables, exclude, history = (", ".join(map(str, each)) for each in names.values())
            source = str(first.get("heap-connect/source", "Heap"))
            return CourierForm(
                name,
                "heap-connect",
                settings,
                source=source,
                tables=tables,
                exclude=exclude,
                history=history,
                text=text,
            )
    rows = [_row(entity) for entity in entities]
    shown = tuple(row for row in rows if row)
    if shown and len(shown) == len(entities):
        return CourierForm(name, "files", settings, rows=shown, text=text)
    return CourierForm(name, "json", settings, text=text)


def _row(entity: Any) -> FileRow | None:
    """An entity as a row; None if a row cannot represent all of it."""
    if not isinstance(entity, dict) or entity.get("object/type") != "file" or not _ROW_KEYS.issuperset(entity):
        return None
    lands = entity.get("object/land-as")
    if not isinstance(lands, dict) or not _LAND_KEYS.issuperset(lands):
        return None
    row = FileRow(
        str(entity.get("object/file-pattern", "")),
        str(lands.get("file/tag", "")),
        str(lands.get("file/content-type", "")),
        entity.get("object/optional") is True,
        lands.get("file/header-rows", 1) != 0,
        *(_shown(str(lands.get(f"file/{name}", ""))) for name in _TEXTS),
    )
    return row if row.entity() == _without_defaults(entity) else None


def _without_defaults(entity: Mapping[str, Any]) -> dict[str, Any]:
    """An entity without keys that are set to their default."""
    lands = {key: value for key, value in entity["object/land-as"].items() if (key, value) != ("file/header-rows", 1)}
    plain = {key: value for key, value in entity.items() if (key, value) != ("object/optional", False)}
    return plain | {"object/land-as": lands}


def _character(text: str) -> str:
    return "\t" if text == "\\t" else text


def _shown(text: str) -> str:
    return "\\t" if text == "\t" else text
