"""Reads the JSON files that are passed to a command: the settings and the configured catalog."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

from destination_heap_analytics.errors import ConfigError
from destination_heap_analytics.process.resources import as_stop

_YAML: Final = re.compile(r"(---|[\"']?[A-Za-z_][\w.-]*[\"']?[ \t]*:([ \t]|$)|-[ \t]+\S)")
_MESSAGE: Final = re.compile(r'\s*\{\s*"type"\s*:\s*"[A-Z_]+"')


def read_json(path: str, option: str) -> Any:
    """The content of a JSON file.

    Raises:
        ConfigError: the file cannot be read, or is not JSON; the message says where.
    """
    file = f"The {option} file `{path}`"
    try:
        content = Path(path).read_bytes()
    except OSError as failure:
        if as_stop(failure):
            raise
        raise ConfigError(f"{file} cannot be read: {failure.strerror}.") from None
    try:
        text = content.decode(json.detect_encoding(content))
    except UnicodeDecodeError:
        raise ConfigError(f"{file} is not valid UTF-8. Re-export it as UTF-8.") from None
    if not text.strip():
        raise ConfigError(f"{file} is empty.")
    try:
        return json.loads(text)
    except json.JSONDecodeError as fault:
        raise ConfigError(f"{file} is {_other_format(text) or f'not valid JSON: {_place(fault)}.'}") from None
    except RecursionError:
        raise ConfigError(f"{file} is nested too deeply to be read.") from None
    except ValueError:  # Python's own limit for the digits of an integer
        raise ConfigError(f"{file} is not valid JSON: it contains a number with too many digits.") from None


def _place(fault: json.JSONDecodeError) -> str:
    reason = fault.msg.removesuffix(" at").lower()  # one of the parser's own phrases, never the content
    return f"{reason} at line {fault.lineno}, column {fault.colno}"


def _other_format(text: str) -> str | None:
    """Another format that the text is in, and what to do; None if the text is just invalid JSON."""
    if _MESSAGE.match(text):
        return (
            "a file of Airbyte messages, such as the output of a source's `discover` or `read`, not a single JSON "
            "document. Pass the JSON document that the option expects."
        )
    lines = (line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))
    if _YAML.match(next(lines, "")):
        return "YAML, not JSON. Convert it, as in `yq -o json FILE`."
    return None
