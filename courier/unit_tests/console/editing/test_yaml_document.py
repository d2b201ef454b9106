"""YAML that a person wrote, edited in place."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from heap_courier.console.editing.yaml_document import YamlDocument
from heap_courier.documents.strict_yaml import parse_yaml
from heap_courier.errors import SetupError
from heap_courier.project.scaffold import make_project


def document(folder: Path, text: str, **how: bool) -> YamlDocument:
    path = folder / "file.yaml"
    path.write_bytes(text.encode())
    return YamlDocument(path, **how)


def lines(old: str, new: str) -> list[str]:
    """The lines that differ."""
    compared = difflib.ndiff(old.splitlines(), new.splitlines())
    return [line for line in compared if line[0] in "+-"]


@pytest.fixture
def template(tmp_path: Path) -> Path:
    make_project(tmp_path)
    return tmp_path / "heap-courier.yaml"


class TestComments:
    def test_nothing_changes_without_a_change(self, template: Path) -> None:
        assert YamlDocument(template).changed({}) == template.read_text()

    def test_only_the_line_of_a_setting_changes(self, template: Path) -> None:
        edit = YamlDocument(template)
        courier = edit.get(["couriers", "Heap"]) | {"bucket": "other"}
        new = edit.changed({("couriers", "Heap"): courier})
        assert lines(template.read_text(), new) == ["-     bucket: heap-rs3-example", "+     bucket: other"]

    def test_a_list_keeps_the_comments_of_its_items(self, template: Path) -> None:
        edit = YamlDocument(template)
        group = edit.get(["groups", "nightly"])
        group["couriers"][0]["wait"] = "3 hours"
        group["couriers"].append({"courier": "Heap"})
        new = edit.changed({("groups", "nightly"): group})
        assert lines(template.read_text(), new) == [
            "-         wait: 2 hours       # for files that are late",
            "+         wait: 3 hours       # for files that are late",
            "+       - courier: Heap",
        ]

    def test_new_sections_are_added_after_the_others(self, template: Path) -> None:
        new = YamlDocument(template).changed({("couriers", "New"): {"bucket": "b", "entities": "e.json"}})
        assert lines(template.read_text(), new) == ["+   New:", "+     bucket: b", "+     entities: e.json"]

    @pytest.mark.parametrize("text", ["", "# only a comment\n", "a:\n", "a: {}\n"])
    def test_a_section_is_added_to_an_empty_file(self, tmp_path: Path, text: str) -> None:
        new = document(tmp_path, text).changed({("a", "b"): {"c": "d"}})
        assert yaml.safe_load(new) == {"a": {"b": {"c": "d"}}}
        assert text.startswith("#") == new.startswith("#")

    def test_line_ends_stay(self, tmp_path: Path) -> None:
        new = document(tmp_path, "a: 1 # one\r\nb: 2\r\n").changed({("b",): 3})
        assert new == "a: 1 # one\r\nb: 3\r\n"

    @pytest.mark.parametrize("step", [2, 3, 4])
    @pytest.mark.parametrize("offset", [0, 2, 4])
    def test_indentation_stays(self, tmp_path: Path, step: int, offset: int) -> None:
        text = f"a:\n{' ' * step}b: 1\n{' ' * step}c:\n{' ' * (step + offset)}- x: 1\n{' ' * (step + offset + 2)}y: 2\n"
        assert document(tmp_path, text).changed({("a", "b"): 2}) == text.replace("b: 1", "b: 2")


class TestValues:
    @pytest.mark.parametrize("text", ["on", "yes", "1", "0x1F", "12:30", "1_000", "", " a", "a: b", "#x", "null", "~"])
    @pytest.mark.parametrize("texts", [True, False])
    def test_a_text_stays_a_text(self, tmp_path: Path, text: str, texts: bool) -> None:
        """This program reads YAML 1.1, in which `on` means true and 12:30 is a number."""
        edit = document(tmp_path, "a: x\n", texts=texts)
        assert parse_yaml(edit.changed({("a",): text}), edit.path, texts=texts) == {"a": text}

    @given(
        st.recursive(
            st.text() | st.booleans() | st.integers(),
            lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(min_size=1), inner, max_size=4),
        )
    )
    def test_what_is_written_is_what_is_read(self, tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
        """Or nothing is written, and a message explains why."""
        edit = document(tmp_path_factory.mktemp("yaml"), "a: 1 # one\nb: [x, y]\n")
        try:
            text = edit.changed({("b",): value})
        except SetupError:
            return
        expected = {"a": 1} if value is None else {"a": 1, "b": value}
        assert parse_yaml(text, edit.path) == expected
        assert text.startswith("a: 1 # one\n")

    def test_none_removes_a_setting(self, tmp_path: Path) -> None:
        assert document(tmp_path, "a: 1 # one\nb: 2\n").changed({("b",): None}) == "a: 1 # one\n"

    @pytest.mark.parametrize("name", ["Heap", "CRM", "Shop"])
    def test_a_section_is_removed_and_all_other_lines_stay(self, tmp_path: Path, name: str) -> None:
        """Comments before a section may be about other sections, so they stay as well."""
        parts = {
            "Heap": "  Heap:\n    bucket: a   # ours\n    note: |\n      two\n\n      lines\n",
            "CRM": "  'CRM': {bucket: b,\n    prefix: c}\n",
            "Shop": "  Shop:\n    bucket: d\n    files:\n      - x\n      # the last\n      - {y: [1,\n        2]}\n",
        }
        between = "  # about couriers: all\n\n"
        text = "# top\ncouriers:\n" + between.join(parts.values()) + "# groups\ngroups: {g: {couriers: []}}\n"
        assert document(tmp_path, text).without(["couriers", name]) == text.replace(parts[name], "")

    def test_the_heading_is_removed_with_its_last_section(self, tmp_path: Path) -> None:
        text = "couriers:\n  Heap:\n    bucket: a\n# the end\n"
        assert document(tmp_path, text).without(["couriers", "Heap"]) == "# the end\n"

    def test_a_section_within_a_line_is_removed(self, tmp_path: Path) -> None:
        text = "groups: {a: {couriers: [x]}, b: {couriers: [y]}}\n"
        assert document(tmp_path, text).without(["groups", "a"]) == "groups: {b: {couriers: [y]}}\n"

    def test_what_would_change_elsewhere_is_refused(self, tmp_path: Path) -> None:
        """An anchor carries the change to another section."""
        edit = document(tmp_path, "a: &x {k: 1, l: 2}\nb: *x\n")
        with pytest.raises(SetupError, match="change it in a text editor"):
            edit.changed({("b",): {"k": 3, "l": 2}})

    def test_a_file_that_is_not_yaml_is_explained(self, tmp_path: Path) -> None:
        with pytest.raises(SetupError, match="line 2, column 1"):
            document(tmp_path, "a: [\n")
