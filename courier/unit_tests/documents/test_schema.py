"""Documents are validated by models, and each error has the file, place, reason and remedy."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, TypeAdapter

from heap_courier.documents.schema import IN_JSON, JsonSection, Schema, Section
from heap_courier.errors import SetupError


class Circle(Section):
    kind: Literal["circle"]
    outer_width: int = 1


class Square(Section):
    kind: Literal["square"]
    label: str = ""


class Drawing(Section):
    elsewhere = {"ink": "takes no `ink`: buy it"}  # noqa: RUF012  (a constant of the class)

    title: str
    note: Annotated[str, Field(min_length=1)] = "-"
    shapes: list[Annotated[Circle | Square, Field(discriminator="kind")]] = Field(default_factory=list)
    named: dict[Annotated[str, Field(min_length=1)], Circle] = Field(default_factory=dict)


class Line(JsonSection):
    line_start_point: int


DRAWING = Schema(TypeAdapter(Drawing), kind=("kind", ("circle", "square")))


def refusal(document: Any, schema: Schema[Any] = DRAWING) -> str:
    with pytest.raises(SetupError) as refused:
        schema.parse(document, "d.yaml")
    return str(refused.value)


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ([], "`d.yaml` must contain settings, each as `name: value`."),
        ({}, "`d.yaml` lacks `title`."),
        ({"titel": ""}, "`d.yaml` has no setting `titel`; did you mean `title`?"),
        ({"zzz": ""}, "`d.yaml` has no setting `zzz`; its settings are `title`, `note`, `shapes`, `named`."),
        ({"\ud83d": ""}, "`d.yaml` contains half of a character, such as `\\ud83d`: write the character itself."),
        (
            {"title": "", "note": "\ud83d"},
            "`d.yaml`: `note` contains half of a character, such as `\\ud83d`: write the character itself.",
        ),
        ({"ink": ""}, "`d.yaml` takes no `ink`: buy it."),
        ({"title": 1}, "`d.yaml`: `title` must be text; quote it if it looks like a number or a boolean."),
        ({"title": "", "shapes": {}}, "`d.yaml`: `shapes` must be a list, such as `[a, b]`."),
        ({"title": "", "shapes": [{}]}, "`d.yaml`: `shapes[0]` must have a `kind`: `circle` or `square`."),
        ({"title": "", "shapes": [{"kind": []}]}, "`d.yaml`: `shapes[0]` must have a `kind`: `circle` or `square`."),
        (
            {"title": "", "shapes": [{"knd": "circle"}]},
            "`d.yaml`: `shapes[0]` must have a `kind`: `circle` or `square`; rename `knd`.",
        ),
        (
            {"title": "", "shapes": [{"kind": "cirle"}]},
            "`d.yaml`: `shapes[0]` must have a `kind`: `circle` or `square`; did you mean `circle`?",
        ),
        ({"title": "", "named": {"": {"kind": "circle"}}}, "`d.yaml`: `named.` must not be empty."),
        ({"title": "", "named": {"circle": {}}}, "`d.yaml`: `named.circle` lacks `kind`."),
        ({"title": "", "named": {"a": {"kind": "square"}}}, "`d.yaml`: `named.a.kind` must be `circle`."),
    ],
)
def test_an_error_is_reported_with_its_place_and_a_remedy(document: Any, sentence: str) -> None:
    assert refusal(document) == sentence


def test_the_kind_of_a_section_is_not_part_of_a_place() -> None:
    """Pydantic includes it."""
    wrong = {"kind": "square", "label": 1}
    assert refusal({"title": "", "shapes": [wrong]}).startswith("`d.yaml`: `shapes[0].label` must be text")


def test_a_setting_without_a_value_is_absent_in_yaml_and_refused_in_json() -> None:
    assert DRAWING.parse({"title": "a", "shapes": None}, "d.yaml") == Drawing(title="a")
    line = Schema(TypeAdapter(Line), reasons=IN_JSON)
    assert refusal({"line/start-point": None}, line) == (
        "`d.yaml` has no value for `line/start-point`: replace `null`, or remove the key."
    )
    assert refusal([], line) == "`d.yaml` must be an object in braces."
