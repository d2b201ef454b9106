"""The entities list: what it means, and how errors in it are reported."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heap_courier.errors import SetupError
from heap_courier.files.entities import ArchiveEntity, ColumnRule, FileEntity, HeapConnectEntity, Member, read_entities
from heap_courier.files.file_pattern import parse_pattern
from heap_courier.formats.file_format import CONTENT_TYPES, FileFormat

AVRO = {"file/tag": "users", "file/content-type": "application/avro"}
FILE = {"object/type": "file", "object/file-pattern": "'users-'yyyy-MM-dd'.avro'", "object/land-as": AVRO}
ARCHIVE = {"object/type": "archive", "object/file-pattern": "'all-'yyyy-MM-dd'.zip'"}
HEAP = {"object/type": "heap-connect"}
COLUMNS, SECRET = "heap-connect/columns", "heap-connect/hash-secret-env"
HISTORY = "heap-connect/history"


def written(folder: Path, *entities: Any) -> Path:
    path = folder / "heap.json"
    path.write_text(json.dumps(entities), encoding="utf-8")
    return path


def fault(folder: Path, *entities: Any) -> str:
    with pytest.raises(SetupError) as failed:
        read_entities(written(folder, *entities))
    return str(failed.value)


def file(**changed: Any) -> dict[str, Any]:
    """A file entity with changes to its `land-as`."""
    return {**FILE, "object/land-as": {**AVRO, **{f"file/{name.replace('_', '-')}": changed[name] for name in changed}}}


def test_the_documented_example_is_read(tmp_path: Path) -> None:
    path = tmp_path / "entities.json"
    path.write_text(
        """[
  {
    "object/type": "file",
    "object/file-pattern": "'path/to/users'-YYYY-MM-dd'.avro'",
    "object/land-as": {
      "file/tag": "FILE_NAME",
      "file/content-type": "application/avro"
    }
  }
]""",
        encoding="utf-8",
    )
    pattern = parse_pattern("'path/to/users'-YYYY-MM-dd'.avro'")
    assert read_entities(path) == (FileEntity(pattern, False, "FILE_NAME", FileFormat("application/avro")),)


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
def test_an_entity_has_the_format_of_its_files(tmp_path: Path, content_type: str) -> None:
    written_so = file(content_type=content_type, header_rows=0, separator="|", quote="'", escape="\\")
    (entity,) = read_entities(written(tmp_path, {**written_so, "object/optional": True}))
    assert isinstance(entity, FileEntity)
    assert entity.optional
    assert entity.format == FileFormat(content_type, 0, "|", "'", "\\")


def test_an_archive_lists_its_members(tmp_path: Path) -> None:
    entity = {
        **ARCHIVE,
        "archive/contents": {"data/*.avro": {"subobject/land-as": AVRO}, "b.avro": {"subobject/land-as": AVRO}},
    }
    as_avro = FileFormat("application/avro")
    members = (Member("data/*.avro", "users", as_avro), Member("b.avro", "users", as_avro))
    assert read_entities(written(tmp_path, entity)) == (
        ArchiveEntity(parse_pattern("'all-'yyyy-MM-dd'.zip'"), False, members, False),
    )


def test_all_files_of_an_archive_can_be_selected(tmp_path: Path) -> None:
    (entity,) = read_entities(written(tmp_path, {**ARCHIVE, "object/land-as": AVRO}))
    assert isinstance(entity, ArchiveEntity)
    assert entity.members == (Member(None, "users", FileFormat("application/avro")),)


@pytest.mark.parametrize("inside", [True, False])
def test_missing_members_may_be_skipped(tmp_path: Path, inside: bool) -> None:
    """The key is accepted among the members, as in one documented example, and beside them."""
    contents: dict[str, Any] = {"a.avro": {"subobject/land-as": AVRO}}
    beside: dict[str, Any] = {}
    (contents if inside else beside)["archive/skip-missing-contents"] = True
    (entity,) = read_entities(written(tmp_path, {**ARCHIVE, "archive/contents": contents, **beside}))
    assert isinstance(entity, ArchiveEntity)
    assert entity.skip_missing
    assert [member.name for member in entity.members] == ["a.avro"]


def test_heap_connect_loads_all_tables(tmp_path: Path) -> None:
    """Unless it lists some."""
    assert read_entities(written(tmp_path, HEAP)) == (HeapConnectEntity("Heap", (), ()),)
    for setting, history in ((True, ("*",)), (False, ()), (["users", "plan_*"], ("users", "plan_*"))):
        assert read_entities(written(tmp_path, {**HEAP, HISTORY: setting})) == (HeapConnectEntity(history=history),)
    chosen = {"heap-connect/source": "Shop", "heap-connect/tables": ["u*"], "heap-connect/exclude": ["user_migrations"]}
    assert read_entities(written(tmp_path, {**HEAP, **chosen})) == (
        HeapConnectEntity("Shop", ("u*",), ("user_migrations",)),
    )


def test_private_columns_are_read(tmp_path: Path) -> None:
    columns = {"users": {"email": "hash", "phone": "leave-out"}, "*": {"ip": "leave-out"}}
    assert read_entities(written(tmp_path, {**HEAP, COLUMNS: columns, SECRET: "SALT"})) == (
        HeapConnectEntity(
            columns=(
                ColumnRule("users", "email", "hash"),
                ColumnRule("users", "phone", "leave-out"),
                ColumnRule("*", "ip", "leave-out"),
            ),
            hash_secret_env="SALT",  # noqa: S106  (the name of a variable)
        ),
    )


@pytest.mark.parametrize(
    ("entity", "words"),
    [
        (1, " must be an object in braces."),
        ({}, " must have an `object/type`: `file`, `archive` or `heap-connect`."),
        ({"object/typ": "file"}, "`heap-connect`; rename `object/typ`."),
        ({"object/type": "flie"}, "`archive` or `heap-connect`; did you mean `file`?"),
        ({"object/type": "sftp-9"}, " must have an `object/type`: `file`, `archive` or `heap-connect`."),
        (
            {**FILE, "object/file-pattern": "users.avro"},
            ", `object/file-pattern`: The pattern users.avro has `users` outside quotes",
        ),
        ({**FILE, "object/file-pattern": " "}, ", `object/file-pattern` must not be empty."),
        ({**FILE, "object/file-pattern": 3}, ", `object/file-pattern` must be text in double quotes."),
        ({**FILE, "object/file-pattern": "'a.csv.pgp'"}, "but encrypted files are not supported: decrypt"),
        ({**FILE, "object/file-pattern": "'a.zip'"}, "set `object/type` to `archive`"),
        ({**FILE, "object/optional": "true"}, ", `object/optional` must be `true` or `false`, without quotes."),
        ({**FILE, "object/optionl": True}, " has no setting `object/optionl`; did you mean `object/optional`?"),
        ({**FILE, "object/land-as": None}, " has no value for `object/land-as`: replace `null`, or remove the key."),
        (file(tag=""), ", `object/land-as`, `file/tag` must not be empty."),
        (file(content_type="text/cvs"), "`file/content-type` must be one of text/csv, "),
        (
            file(content_type="application/xml"),
            " is `application/xml`, which is not supported; use one of text/csv, ",
        ),
        (file(header_rows="p"), "`file/header-rows` must be 0 or 1"),
        (file(header_rows=2), "`file/header-rows` must be 0 or 1"),
        (file(header_rows=True), "`file/header-rows` must be 0 or 1"),
        (file(content_type="text/cvs"), "application/x-json-stream; did you mean `text/csv`?"),
        (file(separator="||"), ", `object/land-as`, `file/separator` must be one ASCII character"),
        (file(delimiter="|"), ", `object/land-as` has no setting `file/delimiter`; its settings are `file/tag`, "),
        ({**ARCHIVE}, " lacks `object/land-as`, or `archive/contents` for files"),
        (
            {**ARCHIVE, "object/file-pattern": "'a.csv'"},
            ", which does not match archives (.zip, .tar, .tgz, .tar.gz): set",
        ),
        ({**ARCHIVE, "object/land-as": AVRO, "archive/contents": {"a": {"subobject/land-as": AVRO}}}, "remove one"),
        ({**ARCHIVE, "archive/contents": {"archive/skip-missing-contents": True}}, "must list at least one file"),
        ({**ARCHIVE, "archive/contents": {"a_*.csv:": {"subobject/land-as": AVRO}}}, "remove the colon in the quotes"),
        (
            {**ARCHIVE, "archive/contents": {"a.csv": AVRO}},
            "`archive/contents`, `a.csv` has no setting `file/tag`; its settings are `subobject/land-as`.",
        ),
        ({**HEAP, "heap-connect/tables": "users"}, ", `heap-connect/tables` must be a list"),
        ({**HEAP, HISTORY: "yes"}, ", `heap-connect/history` must be `true`, `false`, or a list of names of tables"),
        ({**HEAP, HISTORY: []}, ", `heap-connect/history` must be `true`, `false`, or a list of names of tables"),
        ({**HEAP, "heap-connect/histry": True}, "`heap-connect/histry`; did you mean `heap-connect/history`?"),
        ({**HEAP, COLUMNS: ["email"]}, ", `heap-connect/columns` must be an object in braces"),
        (
            {**HEAP, COLUMNS: {"users": {"email": "hsah"}}},
            "`users`, `email` must be `hash` or `leave-out` (did you mean `hash`?)",
        ),
        ({**HEAP, COLUMNS: {"users": {"email": True}}}, "`users`, `email` must be `hash` or `leave-out`"),
        (
            {**HEAP, COLUMNS: {"*": {"User_ID": "leave-out"}}},
            "`*` has `User_ID`, which the courier needs to identify, join or order rows",
        ),
        ({**HEAP, COLUMNS: {"users": {"email": "hash"}}}, "need a secret: set `heap-connect/hash-secret-env` to"),
        ({**HEAP, SECRET: "SALT"}, " has `heap-connect/hash-secret-env`, but no hashed columns: remove it."),
        ({**HEAP, SECRET: "s3cret!"}, "must be the name of an environment variable; the secret itself does not belong"),
        ({**HEAP, "object/file-pattern": "'a'"}, " has no setting `object/file-pattern`"),
    ],
)
def test_an_invalid_entity_is_refused_with_its_number_and_setting(tmp_path: Path, entity: Any, words: str) -> None:
    """With the file, the number of the entity, and the key."""
    sentence = fault(tmp_path, FILE, entity)
    assert sentence.startswith(f"`{tmp_path / 'heap.json'}`: entity 2")
    assert words in sentence


def test_heap_connect_must_be_the_only_entity(tmp_path: Path) -> None:
    assert "but it must be the only entity of its courier" in fault(tmp_path, FILE, HEAP)


def test_a_list_has_at_least_one_entity(tmp_path: Path) -> None:
    assert "must contain at least one entity" in fault(tmp_path)


def test_an_encoding_must_exist_and_is_for_delimited_text(tmp_path: Path) -> None:
    def formatted(content_type: str, encoding: object) -> FileFormat:
        land_as = {"file/tag": "t", "file/content-type": content_type, "file/encoding": encoding}
        path = tmp_path / "entities.json"
        entity = {"object/type": "file", "object/file-pattern": "'a.csv'", "object/land-as": land_as}
        path.write_text(json.dumps([entity]))
        (read,) = read_entities(path)
        assert isinstance(read, FileEntity)
        return read.format

    assert formatted("text/csv", "utf-16").encoding == "utf-16"
    for encoding in ("utf-99", "base64", "", 8):
        with pytest.raises(SetupError, match="`file/encoding` must be the name of an encoding, such as utf-16"):
            formatted("text/csv", encoding)
    with pytest.raises(SetupError, match="has no value for `file/encoding`: replace `null`, or remove the key"):
        formatted("text/csv", None)
    with pytest.raises(SetupError, match="has `file/encoding`, which is for delimited text: remove it"):
        formatted("application/avro", "utf-16")


@given(st.text("ab/*.", max_size=8), st.text("ab/.", max_size=12))
def test_a_star_in_an_archive_matches_any_characters_except_a_slash(pattern: str, name: str) -> None:
    """Whatever surrounds it, and however many stars there are."""
    plain = "[^/]*".join(re.escape(part) for part in pattern.split("*"))
    expected = re.fullmatch(plain, name.removeprefix("./")) is not None
    assert Member(pattern, "users", FileFormat("text/csv")).matches(name) is expected
