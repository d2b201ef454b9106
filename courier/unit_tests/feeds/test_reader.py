"""Feed files are written and read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from heap_courier.data_types.field_types import DATETIME, INTEGER, STRING, FieldType, Kind
from heap_courier.errors import SetupError
from heap_courier.feeds import tags
from heap_courier.feeds.model import Feed, Field, Sample
from heap_courier.feeds.reader import read_feed, read_feeds
from heap_courier.feeds.rules import ILLEGAL_NAME, NAME_CONFLICT
from heap_courier.feeds.writer import write_feed
from heap_courier.formats.file_format import FileFormat

USERS = Feed(
    id="df-5Jagkabc",
    source="Heap",
    name="Users",
    fields=(
        Field("user_id", INTEGER, "user_id", tag="pk", required=True),
        Field("email", STRING, "traits.e-mail: #1", tag="email"),
        Field("spent", FieldType(Kind.DECIMAL, 10, 2), "spent"),
        Field("on", STRING, "on"),
        Field("joined", DATETIME, "joindate", pattern="yyyy-MM-dd'T'HH:mm"),
    ),
    primary_key=("user_id",),
    last_updated="joined",
    error_threshold=5,
    stitch=True,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "feeds" / "heap-users.yaml"


@pytest.mark.parametrize(
    "feed",
    [
        USERS,
        replace(USERS, last_updated=None, stitch=False, primary_key=("user_id", "on")),
        replace(USERS, sample=Sample("samples/Heap/users.avro", FileFormat("application/avro"))),
        replace(USERS, sample=Sample("a b/ü#1.dat", FileFormat("text/csv", 0, "\t", '"', "\\"))),
    ],
)
def test_what_is_written_is_read(path: Path, feed: Feed) -> None:
    write_feed(feed, path)
    assert read_feed(path) == feed


SIGNS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@given(
    source=SIGNS.filter(bool),
    name=SIGNS.filter(str.strip).filter(str.isprintable),
    pattern=st.none() | st.just("y 'é\"'"),
)
def test_names_may_contain_any_character(
    tmp_path_factory: pytest.TempPathFactory, source: str, name: str, pattern: str | None
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    feed = replace(USERS, name=name, fields=(Field("user_id", DATETIME, source, pattern=pattern),), last_updated=None)
    write_feed(feed, path)
    assert read_feed(path) == feed


def test_the_file_is_yaml_with_comments_that_explain_its_settings(path: Path) -> None:
    write_feed(USERS, path)
    text = path.read_text(encoding="utf-8")
    assert yaml.safe_load(text)["primary-key"] == ["user_id"]
    assert all(tag in text for tag in tags.PROFILE)
    assert '  - {name: spent, type: "Decimal(10, 2)"}\n' in text
    assert max(map(len, text.splitlines())) < 360


def test_what_may_be_left_out_has_a_default(path: Path) -> None:
    path.parent.mkdir()
    path.write_text(
        "id: df-1\nsource: Heap\nname: Users\nprimary-key: user_id\nfields: [{name: user_id, type: integer}]\n"
    )
    assert read_feed(path) == Feed("df-1", "Heap", "Users", (Field("user_id", INTEGER, "user_id"),), ("user_id",))


GOOD = """\
id: df-5Jagkabc
source: Heap
name: Users
primary-key: [user_id]
last-updated: generated
fields:
  - {name: user_id, type: Integer}
  - {name: email, type: String}
"""


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("", "- a\n", "line 9, column 1: .*expected <block end>"),
        ("id: df", "id: df-2\nid: df", r"line 2, column 1: the key `id` occurs twice\."),
        (GOOD, "", r"yaml` must contain settings, each as `name: value`\."),
        ("source:", "sauce:", r"yaml` has no setting `sauce`; did you mean `source`\?"),
        ("source: Heap\n", "", r"yaml` lacks `source`\."),
        ("source: Heap", "source: [Heap]", "`source` must be a single value"),
        ("source: Heap", "source: He:ap", "without a colon"),
        ("name: Users", 'name: "Users\\e"', "contains an unprintable character"),
        ("name: Users", "name: " + "U" * 60, "longer than 63 bytes"),
        ("df-5Jagkabc", "5Jagkabc", "the id `5Jagkabc` must be `df-` followed by letters or digits"),
        ("name: email", "nmae: email", r"field 2 has no setting `nmae`; did you mean `name`\?"),
        ("name: email, ", "", r"field 2 lacks `name`\."),
        ("type: String", "type: Text", "field `email`, `type`: There is no type `Text`; the types are Boolean, Date"),
        ("type: String", "tag: email", r"field `email` lacks `type`\."),
        ("{name: email, type: String}", "email", r"field 2 must contain settings, each as `name: value`\."),
        ("name: email", "name: e-mail", "field `e-mail`: " + ILLEGAL_NAME),
        ("name: email", "name: USER_ID", r"field `USER_ID`: " + NAME_CONFLICT.replace("(", r"\(")[:60]),
        ("name: email", "name: _pk", "field `_pk`: There is a name conflict in the resulting fields"),
        ("name: email", "name: _updated", "field `_updated`: There is a name conflict in the resulting fields"),
        ("name: email", "name: " + "e" * 64, "longer than 63 characters; add a rename"),
        (
            "type: String",
            "type: String, tag: E-Mail",
            "the tag `E-Mail` must consist of lowercase letters, digits and hyphens",
        ),
        ("type: String", "type: String, required: 'on'", r"field `email`, `required` must be `true` or `false`\."),
        ("type: String", "type: String, pattern: yyyy", "field `email` has a pattern, which only a Date or Datetime"),
        ("type: String", "type: Date, pattern: yy z", "the pattern `yy z` contains the name of a time zone"),
        ("type: String", "type: String, source: ''", "field `email` has an empty `source`"),
        ("type: String", "type: [String]", "field `email`, `type` must be a single value"),
        ("name: email", "name: ''", "field 2, `name` must not be empty"),
        (GOOD[GOOD.index("  -") :], "  a: b\n", "`fields` must be a list: write each field on a"),
        ("[user_id]", "{a: b}", r"`primary-key` must be a list of field names, such as `\[user_id\]`"),
        ("[user_id]", "[[user_id]]", "`primary-key` must be a list of field names"),
        ("last-updated: generated", "sample: x", "`sample` must contain settings"),
        ("last-updated: generated", "sample: {file: a}", "`sample` lacks `content-type`"),
        (
            "last-updated: generated",
            "sample: {file: a, content-type: text/cvs}",
            "`sample.content-type` must be one of .*; did you mean `text/csv`",
        ),
        (
            "last-updated: generated",
            "sample: {file: a, content-type: text/csv, header-rows: 2}",
            "`sample.header-rows` must be 0 or 1",
        ),
        (
            "last-updated: generated",
            "sample: {file: a, content-type: text/csv, escape: ''}",
            "`sample.escape` must be one ASCII character",
        ),
        ("source: Heap", 'source: Heap\n"\\ud83d": x', "contains half of a character"),
        ("[user_id]", "[]", "`primary-key` is empty"),
        ("[user_id]", "[userid]", r"`primary-key` lists `userid`, which is not a field \(did you mean `user_id`\?\)\."),
        ("[user_id]", "[user_id, user_id]", "`primary-key` lists a field twice"),
        ("generated", "updated", r"`last-updated` is `updated`, which is not a field \(known: user_id, email\)"),
        ("generated", "email", "`last-updated` is `email`, a String; it must be a Datetime or an Integer"),
        ("last-updated: generated", "error-threshold: 101", "`error-threshold` is 101; it must be a whole percentage"),
        (
            "last-updated: generated",
            "error-threshold: 1.5",
            "`error-threshold` is `1.5`; it must be a whole percentage",
        ),
        ("last-updated: generated", "error-threshold: -1", "`error-threshold` is -1; it must be a whole percentage"),
    ],
)
def test_an_error_is_reported_in_a_sentence_with_the_files_name(path: Path, old: str, new: str, sentence: str) -> None:
    path.parent.mkdir()
    path.write_text(GOOD.replace(old, new, 1) if old else GOOD + new)
    with pytest.raises(SetupError, match=sentence) as raised:
        read_feed(path)
    assert str(raised.value).startswith(f"`{path}`")
    assert str(raised.value).endswith((".", "?"))
    assert "\n" not in str(raised.value)


def test_text_keeps_its_meaning_however_it_looks(path: Path) -> None:
    """A field may be called `on`, a feed `1`; a source may even be a name that no column can have."""
    path.parent.mkdir()
    path.write_text(
        "id: df-1\nsource: 1\nname: null\nprimary-key: on\nlast-updated: GENERATED\nerror-threshold: 007\n"
        "stitch: True\n"
        'sample: {file: "", content-type: application/avro, header-rows: 0, quote: "", encoding: utf-16}\n'
        'fields: [{name: on, type: DECIMAL, source: "\\ud83d", tag: "", required: "FALSE", pattern: ""}]\n'
    )
    assert read_feed(path) == Feed(
        "df-1",
        "1",
        "null",
        (Field("on", FieldType(Kind.DECIMAL), "\ud83d"),),
        ("on",),
        None,
        7,
        stitch=True,
        sample=Sample("", FileFormat("application/avro", 0, quote="", encoding="utf-16")),
    )


def test_a_file_that_is_not_text_is_reported(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(SetupError, match="is not valid UTF-8"):
        read_feed(path)
    path.write_bytes(b"id: \x00")
    with pytest.raises(SetupError, match="YAML cannot contain the character"):
        read_feed(path)
    with pytest.raises(SetupError, match="There is no file"):
        read_feed(path.parent / "other.yaml")


def test_all_feeds_of_a_folder_are_read_and_a_missing_folder_has_none(path: Path) -> None:
    assert read_feeds(path.parent) == ()
    other = replace(USERS, id="df-2", name="Sessions")
    write_feed(USERS, path)
    write_feed(other, path.with_name("heap-sessions.yml"))
    (path.parent / "notes.txt").write_text("not a feed")
    assert read_feeds(path.parent) == (other, USERS)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"id": "DF-5jagkabc".replace("DF", "df"), "name": "Other"}, "id"),
        ({"id": "df-2", "name": "USERS"}, "domain table"),
    ],
)
def test_two_feeds_with_the_same_table_or_id_are_refused(path: Path, change: dict[str, Any], what: str) -> None:
    write_feed(USERS, path)
    write_feed(replace(USERS, **change), path.with_name("a.yaml"))
    with pytest.raises(SetupError, match=rf"a\.yaml` and `.*heap-users\.yaml` have the same {what}"):
        read_feeds(path.parent)


def test_a_misspelled_tag_is_reported_and_a_custom_one_is_not() -> None:
    assert tags.meant("givenname") == "given-name"
    assert [tags.meant(tag) for tag in ("given-name", "fk-user", "pk", "shoe-size")] == [None] * 4


def test_a_folder_that_cannot_be_read_is_not_an_empty_one(path: Path) -> None:
    """Existing feeds would silently be missing."""
    path.parent.touch()
    with pytest.raises(SetupError, match=r"The feeds folder `.*feeds` cannot be read: Not a directory\."):
        read_feeds(path.parent)
