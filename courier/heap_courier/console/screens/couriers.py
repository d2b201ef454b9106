"""Couriers: add, edit and check one, and preview what its patterns match."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from starlette.responses import Response

from heap_courier.console.editing.courier_form import (
    CREDENTIAL_TYPES,
    NEW_CREDENTIAL,
    CourierForm,
    FileRow,
    form_of_fields,
    form_of_project,
)
from heap_courier.console.editing.credentials import credentials_of
from heap_courier.console.editing.pattern_matches import LOOKED_AT, matches_of
from heap_courier.console.editing.project_edit import (
    ProjectEdit,
    about_the_form,
    expect_unchanged,
    free_path,
    remove,
    write_json,
)
from heap_courier.console.editing.versioned_file import replace_file, version_of
from heap_courier.console.visit import Console, Visit
from heap_courier.couriers.check import check_courier
from heap_courier.documents.strict_json import read_json
from heap_courier.errors import CourierError, SetupError
from heap_courier.files.entities import HeapConnectEntity, entities_of
from heap_courier.formats.file_format import CONTENT_TYPES
from heap_courier.project.model import Courier, Project

_UNNAMED: Final = "New courier"
_ENTITY: Final = re.compile(r"`[^`]*`: entity (\d+)(?:, `object/land-as`)?(?:, `object/file-pattern`:|,)? ")
_LABELS: Final = {"object/file-pattern": "the file pattern", "file/tag": "the tag"}


def new_courier(visit: Visit) -> Response:
    """Add Courier: shows the form, or saves it."""
    if not visit.posted:
        edit = ProjectEdit(visit.console.folder)
        names = edit.names("credentials")
        chosen = names[0] if names else NEW_CREDENTIAL
        return _form_page(visit, CourierForm(settings=_settings(chosen)), None, "")
    return _posted(visit, None)


def edit_courier(visit: Visit) -> Response:
    """Edit Courier: shows the form, filled in from the project, or saves it."""
    courier = visit.console.context().courier(visit.part("name"))
    if visit.posted:
        return _posted(visit, courier)
    edit = ProjectEdit(visit.console.folder)
    section = edit.section("couriers", courier.name)
    try:
        document, problem = read_json(courier.entities), ""
    except CourierError as error:
        document, problem = [], str(error)
    form = form_of_project(courier.name, section, document)
    version = edit.version("couriers", courier.name, courier.entities)
    return _form_page(visit, form, courier, version, problem)


def matches(visit: Visit) -> Response:
    """What the patterns in the form match in the bucket: a part of the page, requested while the user types."""
    form = form_of_fields(visit.form)
    name = form.name or _UNNAMED
    try:
        edit = ProjectEdit(visit.console.folder)
        path = visit.console.folder / "entities.json"
        project = edit.validated(_sections(edit, replace(form, name=name), "entities.json", None))
        courier = project.couriers[name]
        entities = entities_of(form.document(path), Path("entities"))
        found = matches_of(courier, entities, visit.console.environment)
    except CourierError as error:
        return visit.page(
            "matches.html", found=[], problem=_plainly(str(error), replace(form, name=name)), looked_at=LOOKED_AT
        )
    return visit.page("matches.html", found=found, problem="", looked_at=LOOKED_AT)


def check(visit: Visit) -> Response:
    """Checks a courier, like `heap-courier check`."""
    context = visit.console.context()
    courier = context.courier(visit.part("name"))
    try:
        sentence, good = check_courier(context, courier), True
    except CourierError as error:
        sentence, good = str(error), False
    return visit.page("check.html", courier=courier, good=good, lines=sentence.split("\n"))


def _posted(visit: Visit, courier: Courier | None) -> Response:
    form = form_of_fields(visit.form)
    if courier:
        form = replace(form, name=courier.name)
    do, _, number = visit.form.get("do", "save").partition(":")
    version = visit.form.get("version")
    if do == "add":
        return _form_page(visit, replace(form, rows=(*form.rows, FileRow())), courier, version)
    if do == "remove" and number.isdecimal():
        rows = tuple(row for index, row in enumerate(form.rows) if index != int(number)) or (FileRow(),)
        return _form_page(visit, replace(form, rows=rows), courier, version)
    try:
        _save(visit.console, form, courier, version)
    except CourierError as error:
        if courier:
            version = ProjectEdit(visit.console.folder).version("couriers", courier.name, courier.entities)
        return _form_page(visit, form, courier, version, str(error), status=409)
    return visit.to(said=f"The courier {form.name} was saved.")


def _save(console: Console, form: CourierForm, courier: Courier | None, version: str) -> None:
    edit = ProjectEdit(console.folder)
    if not form.name:
        raise SetupError("The courier has no name: enter one, such as Heap.")
    if courier is None:
        edit.expect_new("couriers", form.name)
        entities = Path("entities") / free_path(console.folder / "entities", form.name, ".json")
        entities_version = ""
    else:
        expect_unchanged(
            version, edit.version("couriers", courier.name, courier.entities), f"The courier {courier.name}"
        )
        entities = Path(str(edit.section("couriers", courier.name)["entities"]))
        entities_version = version_of(courier.entities)
    document = form.document(entities)
    follows_heap = any(isinstance(entity, HeapConnectEntity) for entity in entities_of(document, entities))
    operations = _operations(console, edit, form, follows_heap=follows_heap)
    sections = _sections(edit, form, entities.as_posix(), operations.as_posix() if operations else None)
    project = edit.validated(sections)
    path = project.couriers[form.name].entities
    before = path.read_bytes() if entities_version else b""
    made = _write_lists(project, form.name, document, entities_version)
    try:
        edit.write(sections)
    except CourierError:
        for each in made:
            remove(each)
        if entities_version:
            replace_file(path, before, version_of(path))
        raise


def _write_lists(project: Project, name: str, document: Any, version: str) -> list[Path]:
    """Writes the list of files and, if missing, the list of load operations. Returns the files that it created."""
    courier = project.couriers[name]
    made = []
    if not version:
        made.append(courier.entities)
    if not version or read_json_or_none(courier.entities) != document:
        write_json(courier.entities, document, version)
    if courier.operations and not courier.operations.exists():
        write_json(courier.operations, {}, "")
        made.append(courier.operations)
    return made


def read_json_or_none(path: Path) -> Any:
    """The document of a file; None if it cannot be read."""
    try:
        return read_json(path)
    except CourierError:
        return None


def _operations(console: Console, edit: ProjectEdit, form: CourierForm, *, follows_heap: bool) -> Path | None:
    """The path of the load operations, relative to the project folder; None for a courier that follows Heap Connect."""
    if follows_heap:
        return None
    written = edit.section("couriers", form.name).get("load-operations")
    if written:
        return Path(str(written))
    return Path("load-operations") / free_path(console.folder / "load-operations", form.name, ".json")


def _sections(
    edit: ProjectEdit, form: CourierForm, entities: str, operations: str | None
) -> dict[tuple[str, str], Mapping[str, Any]]:
    sections: dict[tuple[str, str], Mapping[str, Any]] = {}
    if form.makes_credential:
        if not form.credential.get("name"):
            raise SetupError("The new credential has no name: enter one, such as heap-bucket.")
        edit.expect_new("credentials", form.credential["name"])
        sections["credentials", form.credential["name"]] = form.credential_section()
    sections["couriers", form.name] = form.section(edit.section("couriers", form.name), entities, operations)
    return sections


def _form_page(
    visit: Visit, form: CourierForm, courier: Courier | None, version: str, problem: str = "", *, status: int = 200
) -> Response:
    edit = ProjectEdit(visit.console.folder)
    return visit.page(
        "courier.html",
        status,
        form=form,
        courier=courier,
        version=version,
        problem=_plainly(problem, form),
        credentials={
            each.name: f"{' and '.join(each.missing)} not set" if each.missing else ""
            for each in credentials_of(edit, visit.console.environment)
        },
        new_credential=NEW_CREDENTIAL,
        credential_types=CREDENTIAL_TYPES,
        content_types=CONTENT_TYPES,
        example=json.dumps([FileRow("'path/to/users'-YYYY-MM-dd'.avro'", "users").entity()], indent=2),
    )


def _settings(credential: str) -> dict[str, str]:
    return {"credential": credential, "bucket": "", "prefix": "", "endpoint-url": "", "region": ""}


def _plainly(sentence: str, form: CourierForm) -> str:
    """Rephrases a message about the project's files in terms of the form."""
    sentence = about_the_form(sentence).replace(f"`couriers.{form.name}.", "`")
    if form.kind != "files":
        return sentence
    sentence = _ENTITY.sub(r"File \1: ", sentence)
    for key, label in _LABELS.items():
        sentence = sentence.replace(f"`{key}`", label)
    return sentence
