"""The credentials of a project: where their keys come from, and what uses them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from heap_courier.console.editing.project_edit import ProjectEdit

_VARIABLES = ("access-key-env", "secret-key-env", "session-token-env")


@dataclass(frozen=True, slots=True)
class CredentialRow:
    """A credential.

    Attributes:
        name, type: the name and type in the project file.
        source: where its keys come from, in words.
        missing: its variables that are not set in the console's environment.
        couriers: the couriers that use it.
        roles: the other credentials that use it to assume their role.
    """

    name: str
    type: str
    source: str
    missing: tuple[str, ...]
    couriers: tuple[str, ...]
    roles: tuple[str, ...]


def credentials_of(edit: ProjectEdit, environment: Mapping[str, str]) -> list[CredentialRow]:
    """The credentials of a valid project, in the order of its file."""
    names = edit.names("credentials")
    sections = {name: edit.section("credentials", name) for name in names}
    used = {name: edit.section("couriers", name).get("credential") for name in edit.names("couriers")}
    return [
        CredentialRow(
            name,
            str(section.get("type", "")),
            _source(section),
            _missing(sections, name, environment),
            tuple(courier for courier, credential in used.items() if credential == name),
            tuple(each for each in names if sections[each].get("credential") == name),
        )
        for name, section in sections.items()
    ]


def _source(section: Mapping[str, object]) -> str:
    match section.get("type"):
        case "iam-credential":
            return "The variables " + " and ".join(f"`{section[key]}`" for key in _VARIABLES if section.get(key))
        case "profile":
            return f"The profile `{section.get('profile')}` of the AWS configuration"
        case "iam-role-to-role":
            base = section.get("credential")
            return f"The role `{section.get('role-arn')}`" + (f", assumed with `{base}`" if base else "")
        case _:
            return "AWS default credentials"


def _missing(
    sections: Mapping[str, Mapping[str, object]], name: str, environment: Mapping[str, str]
) -> tuple[str, ...]:
    section = sections.get(name, {})
    base = section.get("credential")
    if base:
        return _missing(sections, str(base), environment)
    names = [str(section[key]) for key in _VARIABLES if section.get(key)]
    return tuple(variable for variable in names if not environment.get(variable))
