"""Validates documents that people write with pydantic models, and reports errors as sentences.

Every kind of document (the project, entities, load operations, feeds) is read the same way: a strict reader parses the
text, a model derived from `Section` validates it once, and the rest of the program uses frozen value objects. Messages
have one form, "`file`: place reason.", for example "`heap.json`: entity 2 lacks `object/type`."
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, ClassVar, Final, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, model_validator
from pydantic_core import ErrorDetails

from heap_courier.documents.wording import listed, nearest
from heap_courier.errors import CourierError, SetupError

Location = tuple[int | str, ...]
"""The location of a value in a document: keys of mappings, and positions in lists from 0."""

Parsed = TypeVar("Parsed")

_SETTINGS: Final = "must contain settings, each as `name: value`"
_SURROGATE: Final = "contains half of a character, such as `\\ud83d`: write the character itself"
_REASONS: Final[Mapping[str, str]] = {
    "bool_type": "must be `true` or `false`",
    "dict_type": _SETTINGS,
    "list_type": "must be a list, such as `[a, b]`",
    "model_attributes_type": _SETTINGS,
    "model_type": _SETTINGS,
    "string_too_short": "must not be empty",
    "string_unicode": _SURROGATE,
    "string_type": "must be text; quote it if it looks like a number or a boolean",
    "too_short": "must not be empty",
}
LAZY: Final = ConfigDict(defer_build=True)
"""The configuration of a TypeAdapter whose type is not itself a section."""

IN_JSON: Final[Mapping[str, str]] = {
    "bool_type": "must be `true` or `false`, without quotes",
    **dict.fromkeys(("dict_type", "model_attributes_type", "model_type"), "must be an object in braces"),
    "list_type": 'must be a list, such as `["a", "b"]`',
    "string_type": "must be text in double quotes",
}
"""Reasons in the terms of JSON."""


class Section(BaseModel):
    """A mapping of settings. Unknown settings are refused; types are never converted."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        arbitrary_types_allowed=True,
        alias_generator=lambda name: name.replace("_", "-"),
        defer_build=True,  # until its first document, because most commands read only a few kinds
    )

    elsewhere: ClassVar[Mapping[str, str]] = {}
    """Settings that people put here by mistake, each with the reason to show."""

    @model_validator(mode="before")
    @classmethod
    def _known(cls, section: object) -> object:
        if not isinstance(section, dict):
            return section
        settings = cls.setting_names()
        for name in section:
            if name in cls.elsewhere:
                raise ValueError(cls.elsewhere[name])
            if name not in settings and cls.model_config.get("extra") == "forbid":
                near = nearest(str(name), settings)
                hint = f"did you mean `{near}`?" if near else f"its settings are {listed(settings)}"
                raise ValueError(f"has no setting `{name}`; {hint}")
        return cls.without_nulls(section)

    @classmethod
    def setting_names(cls) -> list[str]:
        """The names of the settings as they are written in documents."""
        return [info.alias or name for name, info in cls.model_fields.items()]

    @classmethod
    def without_nulls(cls, section: dict[Any, Any]) -> dict[Any, Any]:
        """In YAML, a setting without a value counts as absent; its value may be commented out."""
        return {name: value for name, value in section.items() if value is not None}


class JsonSection(Section):
    """A JSON object whose keys look like `object/file-pattern`."""

    model_config = ConfigDict(alias_generator=lambda name: name.replace("_", "/", 1).replace("_", "-"))

    @classmethod
    def without_nulls(cls, section: dict[Any, Any]) -> dict[Any, Any]:
        """JSON has no commented-out values: `null` is refused."""
        for name, value in section.items():
            if value is None:
                raise ValueError(f"has no value for `{name}`: replace `null`, or remove the key")
        return section


def dotted(location: Location, document: object = None) -> str:  # noqa: ARG001  (a place of any `Schema`)
    """A location in a document of nested settings, for messages: "`groups.n.couriers[0].wait`"."""
    return f"`{reduce(below, location, '')}`"


def below(place: str, part: int | str) -> str:
    """The dotted place of a setting or an item in the one at `place`."""
    return f"{place}[{part}]" if isinstance(part, int) else f"{place}.{part}".lstrip(".")


@dataclass(frozen=True, slots=True)
class Schema(Generic[Parsed]):
    """A kind of document.

    Attributes:
        model: the model that validates it.
        place: formats a location in it for messages; for its root, they show only the name of the file.
        kind: the setting that decides between several kinds of sections, and its possible values.
        reasons: messages by pydantic's error type, where they differ from those for YAML.
    """

    model: TypeAdapter[Parsed]
    place: Callable[[Location, object], str] = dotted
    kind: tuple[str, tuple[str, ...]] = ("", ())
    reasons: Mapping[str, str] = field(default_factory=dict)

    def parse(self, document: object, file: object, context: Any = None) -> Parsed:
        """Validates a document.

        Args:
            document: the document, as returned by the strict reader.
            file: the name of its file, for the message.
            context: what validators need to know about other documents.

        Raises:
            SetupError: the document is not valid; the message has the file, and the place, reason and remedy of the
                first error.
        """
        try:
            return self.model.validate_python(document, context=context)
        except ValidationError as invalid:
            raise SetupError(f"`{file}`{self._fault(invalid, document)}") from None
        except UnicodeEncodeError:  # pydantic cannot convey a reason that quotes such a character
            raise SetupError(f"`{file}` {_SURROGATE}.") from None

    def _fault(self, invalid: ValidationError, document: object) -> str:
        error = invalid.errors(include_url=False)[0]
        location, reason = self._location(error["loc"], document), self.reason(error)
        if error["type"] == "missing":
            location, reason = location[:-1], f"lacks `{location[-1]}`"
        place = f": {self.place(location, document)}" if location else ""
        # A reason continues the sentence after the place, or is a sentence of its own.
        joint = ": " if reason[0].isupper() else " "
        return f"{place}{joint}{reason}" + ("" if reason.endswith(("?", ".")) else ".")

    def _location(self, location: Location, document: object) -> Location:
        """The location without the parts that pydantic adds: the kind of a section, and "[key]" for an invalid key."""
        parts: list[int | str] = []
        value: Any = document
        for part in location[:-1] if location[-1:] == ("[key]",) else location:
            if isinstance(value, dict) and part == value.get(self.kind[0]) and part in self.kind[1]:
                value = {**value, self.kind[0]: None}
                continue
            parts.append(part)
            value = _inside(value, part)
        return tuple(parts)

    def reason(self, error: ErrorDetails) -> str:
        """What is wrong with a value. Never quotes the value, which may be a secret."""
        kind, context = error["type"], error.get("ctx", {})
        if kind == "value_error":
            return str(context["error"])
        if kind == "literal_error":
            return f"must be {context['expected']}".replace("'", "`")
        if kind in {"union_tag_invalid", "union_tag_not_found"}:
            return self._kinds(error["input"])
        return self.reasons.get(kind) or _REASONS.get(kind) or str(error["msg"])

    def _kinds(self, section: Any) -> str:
        name, kinds = self.kind
        *others, last = (f"`{each}`" for each in kinds)
        article = "an" if name[0] in "aeiou" else "a"
        expected = f"must have {article} `{name}`: {', '.join(others)} or {last}"
        if name not in section:
            stray = nearest(name, map(str, section), sure=True)
            return f"{expected}; rename `{stray}`" if stray else expected
        near = nearest(section[name], kinds) if isinstance(section[name], str) else None
        return f"{expected}; did you mean `{near}`?" if near else expected


def _inside(value: Any, part: int | str) -> Any:
    try:
        return value[part]
    except (KeyError, IndexError, TypeError):
        return None


def reason(fault: CourierError) -> ValueError:
    """Another parser's error as the ValueError that a pydantic validator must raise."""
    return ValueError(str(fault))
