"""Generates the specification behind the Airbyte form from the settings; it is committed as spec.json.

The form does not support `$ref`, `anyOf` or `allOf`; a choice is a `oneOf` whose branches share a property with a
`const` (https://docs.airbyte.com/connector-development/connector-specification-reference).

    python -m destination_heap_analytics.config.spec > destination_heap_analytics/spec.json
"""

from __future__ import annotations

import inspect
import json
import sys
from typing import Any, Final

from destination_heap_analytics.config.settings import Settings

_NOT_FOR_FORMS: Final = ("$defs", "discriminator", "anyOf", "mapping")


def specification() -> dict[str, Any]:
    """The specification as a JSON object."""
    schema = Settings.model_json_schema()
    definitions = schema["$defs"]
    del schema["description"]  # the docstring of the class, for maintainers
    return {
        "documentationUrl": "https://docs.airbyte.com/integrations/destinations/heap-analytics",
        "supportsIncremental": True,
        "supported_destination_sync_modes": ["overwrite", "append", "append_dedup"],
        "connectionSpecification": {
            "$schema": "http://json-schema.org/draft-07/schema#",
            **_plain(schema, definitions),
            "additionalProperties": True,
        },
    }


def _plain(node: Any, definitions: dict[str, Any]) -> Any:
    """The schema without references, and with each choice in the one way that the form supports."""
    if isinstance(node, list):
        return [_plain(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        branch = definitions[node["$ref"].rpartition("/")[2]]
        beside = {key: value for key, value in node.items() if key != "$ref"}
        return _plain({**beside, "oneOf": [branch]} if beside else branch, definitions)  # a choice with one branch
    if "anyOf" in node:  # an optional setting: absent rather than null
        given = next(option for option in node["anyOf"] if option != {"type": "null"})
        node = {**given, **{key: value for key, value in node.items() if key not in {"anyOf", "default"}}}
    plain = {key: _plain(value, definitions) for key, value in node.items() if key not in _NOT_FOR_FORMS}
    if plain.get("default", ...) is None:
        del plain["default"]
    if "oneOf" in plain:
        # Without a default the form preselects the first branch.
        plain = {"type": "object", **{key: value for key, value in plain.items() if key != "default"}}
    if "description" in plain and isinstance(plain["description"], str):
        plain["description"] = " ".join(inspect.cleandoc(plain["description"]).split())
    return plain


if __name__ == "__main__":
    json.dump(specification(), sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")
