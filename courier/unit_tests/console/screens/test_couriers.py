"""The screens of couriers, on a separate project."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from courier.unit_tests.console.visitor import Visitor
from heap_courier.console.editing.courier_form import form_of_project
from heap_courier.console.editing.project_edit import ProjectEdit
from heap_courier.errors import SetupError
from heap_courier.files.entities import entities_of
from heap_courier.project.reader import read_project

FIELDS = {
    "name": "Orders",
    "credential": "heap-bucket",
    "bucket": "shop",
    "kind": "files",
    "file.0.pattern": "'orders/'yyyy-MM-dd'.csv'",
    "file.0.tag": "orders",
    "file.0.content-type": "text/csv",
    "file.0.separator": ";",
}


def entities(folder: Path, name: str) -> Any:
    return json.loads((folder / "entities" / f"{name}.json").read_text())


class TestProject:
    def test_an_empty_folder_gets_a_project(self, visits: Visitor, folder: Path) -> None:
        assert "Create a project here" in visits.get("/").text
        assert "There is no courier yet" in visits.post("/project").text
        assert dict(read_project(folder).couriers) == {}

    def test_an_invalid_project_is_explained(self, project: Path, visits: Visitor) -> None:
        (project / "heap-courier.yaml").write_text("couriers: 7\n")
        answer = visits.get("/")
        assert answer.status == 409
        assert "`heap-courier.yaml`: `couriers` " in answer.text

    def test_couriers_are_listed_with_what_they_lack(self, project: Path, visits: Visitor) -> None:
        text = visits.get("/").text
        assert "Heap heap-rs3-example never not scheduled Not set up It has no load operations yet" in text
        (project / "entities" / "heap.json").write_text("[]")
        assert "Needs attention" in visits.get("/").text

    def test_names_are_escaped(self, project: Path, visits: Visitor) -> None:
        file = project / "heap-courier.yaml"
        file.write_text(file.read_text().replace("bucket: heap-rs3-example", "bucket: heap\n    prefix: <b>&amp;", 1))
        assert "<b>" not in visits.get("/").html
        assert "heap/<b>&amp;/" in visits.get("/").text

    def test_a_link_cannot_forge_a_message(self, project: Path, visits: Visitor) -> None:  # noqa: ARG002
        assert "evil" not in visits.get("/?said=evil").text

    def test_an_unknown_page_is_not_found(self, visits: Visitor) -> None:
        answer = visits.get("/nothing")
        assert (answer.status, "Page not found." in answer.text) == (404, True)


class TestAdding:
    def test_a_courier_is_added_with_its_lists(self, project: Path, visits: Visitor) -> None:
        answer = visits.post("/couriers/new", FIELDS)
        assert "The courier Orders was saved." in answer.text
        courier = read_project(project).couriers["Orders"]
        assert (courier.bucket, courier.credential.name) == ("shop", "heap-bucket")
        assert courier.operations
        assert json.loads(courier.operations.read_text()) == {}
        assert entities(project, "orders") == [
            {
                "object/type": "file",
                "object/file-pattern": "'orders/'yyyy-MM-dd'.csv'",
                "object/land-as": {"file/tag": "orders", "file/content-type": "text/csv", "file/separator": ";"},
            }
        ]

    def test_a_credential_is_created_with_it(self, project: Path, visits: Visitor) -> None:
        new = {"name": "other", "type": "profile", "profile": "shop", "access-key-env": "UNUSED"}
        fields = FIELDS | {"credential": "+"} | {f"new-credential.{key}": value for key, value in new.items()}
        assert visits.post("/couriers/new", fields).status == 200
        assert "  other:\n    type: profile\n    profile: shop\n" in (project / "heap-courier.yaml").read_text()

    def test_one_that_follows_heap_connect_needs_no_operations(self, project: Path, visits: Visitor) -> None:
        fields = {"name": "H", "bucket": "shop", "kind": "heap-connect", "source": "H", "tables": "users, ses*"}
        visits.post("/couriers/new", fields)
        assert read_project(project).couriers["H"].operations is None
        assert entities(project, "h")[0]["heap-connect/tables"] == ["users", "ses*"]

    def test_an_entity_that_the_heap_connect_form_cannot_represent_is_shown_as_json(self) -> None:
        """Otherwise saving the form would drop the rules for private columns."""
        entity = {"object/type": "heap-connect", "heap-connect/columns": {"users": {"phone": "leave-out"}}}
        assert form_of_project("H", {}, [entity]).kind == "json"
        assert form_of_project("H", {}, [entity | {"heap-connect/columns": {}}]).kind == "json"
        assert form_of_project("H", {}, [{"object/type": "heap-connect"}]).kind == "heap-connect"

    @pytest.mark.parametrize(("history", "shown"), [(True, "*"), (["users", "plan_*"], "users, plan_*")])
    def test_the_form_keeps_the_tables_with_history(self, history: Any, shown: str) -> None:
        entity = {"object/type": "heap-connect", "heap-connect/source": "H", "heap-connect/history": history}
        form = form_of_project("H", {}, [entity])
        assert (form.kind, form.history, form.document(Path("h.json"))) == ("heap-connect", shown, [entity])

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"name": ""}, "has no name"),
            ({"name": "Heap"}, "There is a courier `Heap` already"),
            ({"name": "a/b"}, "The name of the courier must consist of letters"),
            ({"bucket": ""}, "bucket"),
            ({"bucket": "s3://shop"}, "only the bucket's name"),
            ({"endpoint-url": "http://example.com"}, "http is only for this machine"),
            ({"file.0.pattern": ""}, "File 1: the file pattern must"),
            ({"file.0.pattern": "'orders"}, "File 1: The pattern 'orders has"),
            ({"file.0.tag": ""}, "File 1: the tag must"),
            ({"file.0.content-type": "text/xls"}, "File 1: `file/content-type` must be one of text/csv"),
            ({"file.0.separator": "ab"}, "one ASCII character"),
            ({"credential": "missing"}, "there is no credential `missing`"),
            ({"credential": "+", "new-credential.name": ""}, "has no name"),
            ({"credential": "+", "new-credential.name": "heap-bucket"}, "There is a credential `heap-bucket` already"),
            ({"kind": "json", "text": "[,]"}, "line 1"),
            ({"kind": "json", "text": "[]"}, "`entities/orders.json` must contain at least one"),
            (
                {
                    "credential": "+",
                    "new-credential.name": "n",
                    "new-credential.type": "iam-credential",
                    "new-credential.access-key-env": "AKIAIOSFODNN7EXAMPLE",
                    "new-credential.secret-key-env": "S",
                },
                "like an access key",
            ),
        ],
    )
    def test_an_error_is_reported_and_nothing_is_written(
        self, project: Path, visits: Visitor, change: dict[str, str], words: str
    ) -> None:
        before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
        answer = visits.post("/couriers/new", FIELDS | change)
        assert answer.status == 409
        assert words in answer.text
        assert answer.value("bucket") == (FIELDS | change)["bucket"]
        assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before

    def test_files_are_added_to_the_form_and_removed(self, project: Path, visits: Visitor) -> None:  # noqa: ARG002
        more = visits.post("/couriers/new", FIELDS | {"do": "add"})
        assert more.value("file.0.tag") == "orders"
        assert more.value("file.1.tag") == ""
        less = visits.post("/couriers/new", FIELDS | {"file.1.tag": "second", "do": "remove:0"})
        assert less.value("file.0.tag") == "second"

    def test_a_file_name_in_use_is_not_overwritten(self, project: Path, visits: Visitor) -> None:
        (project / "entities" / "orders.json").write_text("mine")
        visits.post("/couriers/new", FIELDS)
        assert (project / "entities" / "orders.json").read_text() == "mine"
        assert read_project(project).couriers["Orders"].entities.name == "orders-2.json"


class TestEditing:
    def edited(self, visits: Visitor, **change: str) -> Any:
        form = visits.get("/couriers/Heap/edit")
        names = ("version", "bucket", "file.0.pattern", "file.0.tag")
        fields = {name: form.value(name) for name in names} | {"credential": "heap-bucket", "kind": "files"}
        return fields | {"file.0.content-type": "application/avro"} | change

    def test_saving_without_a_change_changes_no_file(self, project: Path, visits: Visitor) -> None:
        before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
        assert visits.post("/couriers/Heap/edit", self.edited(visits)).status == 200
        assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before

    def test_comments_stay(self, project: Path, visits: Visitor) -> None:
        old = (project / "heap-courier.yaml").read_text()
        visits.post("/couriers/Heap/edit", self.edited(visits, bucket="other"))
        assert (project / "heap-courier.yaml").read_text() == old.replace("heap-rs3-example", "other", 1)

    @pytest.mark.parametrize("name", ["heap-courier.yaml", "entities/heap.json"])
    def test_a_change_by_someone_else_is_not_overwritten(self, project: Path, visits: Visitor, name: str) -> None:
        """Nor are one's own entries lost: saving again, after the message, replaces the change."""
        fields = self.edited(visits, bucket="mine")
        file = project / name
        theirs = file.read_text().replace("heap-rs3-example", "theirs", 1).replace("path/to", "elsewhere")
        file.write_text(theirs)
        answer = visits.post("/couriers/Heap/edit", fields)
        assert (answer.status, "changed by someone else" in answer.text) == (409, True)
        assert file.read_text() == theirs
        assert answer.value("bucket") == "mine"
        visits.post("/couriers/Heap/edit", fields | {"version": answer.value("version")})
        assert read_project(project).couriers["Heap"].bucket == "mine"

    def test_nothing_is_written_if_the_project_file_cannot_be_written(
        self, project: Path, visits: Visitor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Not even the list of files, which would be half of the change."""
        fields = self.edited(visits, **{"file.0.tag": "other"})

        def fail(*_how: object) -> None:
            raise SetupError("The disk is full.")

        monkeypatch.setattr(ProjectEdit, "write", fail)
        before = (project / "entities" / "heap.json").read_bytes()
        assert "The disk is full." in visits.post("/couriers/Heap/edit", fields).text
        assert (project / "entities" / "heap.json").read_bytes() == before

    def test_a_change_to_another_courier_does_not_conflict(self, project: Path, visits: Visitor) -> None:
        fields = self.edited(visits, bucket="mine")
        visits.post("/couriers/new", FIELDS)
        visits.post("/couriers/Heap/edit", fields)
        couriers = read_project(project).couriers
        assert (couriers["Heap"].bucket, couriers["Orders"].bucket) == ("mine", "shop")

    def test_an_invalid_list_can_be_replaced(self, project: Path, visits: Visitor) -> None:
        (project / "entities" / "heap.json").write_text("[")
        answer = visits.get("/couriers/Heap/edit")
        assert "line 1" in answer.text
        fields = FIELDS | {"version": answer.value("version")}
        assert "was saved" in visits.post("/couriers/Heap/edit", fields).text

    @pytest.mark.parametrize(
        "entity",
        [
            {"object/type": "archive", "object/file-pattern": "'a.zip'", "object/land-as": {"file/tag": "t"}},
            {"object/type": "file", "object/file-pattern": "'a.csv'", "object/land-as": {"file/quote": ""}},
            {"object/type": "file", "object/file-pattern": "'a.csv'", "note": "?"},
            7,
        ],
    )
    def test_a_list_that_rows_cannot_represent_is_shown_as_json(self, entity: Any) -> None:
        form = form_of_project("Heap", {}, [entity])
        assert form.kind == "json"
        assert form.document(Path("e.json")) == [entity]

    def test_a_row_represents_all_settings_of_a_file(self) -> None:
        lands = {"file/tag": "t", "file/content-type": "text/csv", "file/header-rows": 0, "file/separator": "\t"}
        entity = {"object/type": "file", "object/file-pattern": "'a'", "object/land-as": lands, "object/optional": True}
        form = form_of_project("Heap", {}, [entity])
        assert form.kind == "files"
        assert entities_of(form.document(Path("e")), Path("e")) == entities_of([entity], Path("e"))


class TestChecking:
    def test_an_error_is_reported(self, project: Path, visits: Visitor) -> None:  # noqa: ARG002
        text = visits.post("/couriers/Heap/check").text
        assert "Check failed" in text
        assert "`AWS_ACCESS_KEY_ID`" in text

    def test_a_preview_reports_errors(self, project: Path, visits: Visitor) -> None:  # noqa: ARG002
        assert "`AWS_ACCESS_KEY_ID`" in visits.post("/couriers/matches", FIELDS).text
        assert "The pattern 'x has" in visits.post("/couriers/matches", FIELDS | {"file.0.pattern": "'x"}).text

    def test_an_unknown_courier_is_reported(self, project: Path, visits: Visitor) -> None:  # noqa: ARG002
        assert "there is no courier `Hep`. Did you mean `Heap`?" in visits.get("/couriers/Hep/edit").text
