"""A name with a line end or an escape code is harmless in everything that a command prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from integration_tests.forked import Forked

ODD = "a\nForged: line\r\x1b[2J\x07\x7f\x9b2J\x85\u2028\u202etxt\u2066"
API = {"api_type": "add_user_properties", "property_columns": "*", "identity_column": "email"}
CONFIG: dict[str, Any] = {"app_id": "11", "api": API, "base_url": "http://127.0.0.1:9"}
STREAM = {"name": ODD, "namespace": ODD, "json_schema": {}}


def record(data: dict[str, Any], stream: str = ODD) -> bytes:
    # Raw where JSON allows it, so that nothing is harmless by accident.
    message = {"type": "RECORD", "record": {"stream": stream, "namespace": ODD, "data": data, "emitted_at": 1}}
    return json.dumps(message, ensure_ascii=False).encode() + b"\n"


def texts(value: Any) -> list[str]:
    """All texts of a JSON document, keys included."""
    if isinstance(value, dict):
        return [text for item in value.items() for part in item for text in texts(part)]
    if isinstance(value, list):
        return [text for part in value for text in texts(part)]
    return [value] if isinstance(value, str) else []


CASES = {
    "spec with an argument": (["spec", ODD], None, None, b""),
    "an unknown command": ([ODD], None, None, b""),
    "a file that is not there": (["check", "--config", f"/no/{ODD}"], None, None, b""),
    "an unknown setting": (["check"], {**CONFIG, ODD: 1, "api": {**API, ODD: 1}}, None, b""),
    "a column set twice": (["check"], {**CONFIG, "api": {**API, "property_columns": f"{ODD},{ODD}"}}, None, b""),
    "a place": (
        ["check"],
        {**CONFIG, "object_storage_config": {"storage_type": "Local", "path": f"/dev/null/{ODD}"}},
        None,
        b"",
    ),
    "a missing column": (["write"], CONFIG, STREAM, record({ODD: 1, "e_mail": 2})),
    "a missing odd column": (["write"], {**CONFIG, "api": {**API, "identity_column": "email" + ODD}}, STREAM, b""),
    "a listed column": (["write"], {**CONFIG, "api": {**API, "property_columns": ODD}}, STREAM, record({"email": ""})),
    "another stream": (["write"], CONFIG, STREAM, record({"email": "a"}, ODD + ODD)),
    "a rejected row": (["write"], CONFIG, STREAM, record({"email": None, ODD: 1})),
    "preview": (["preview"], CONFIG, STREAM, record({"email": "a", ODD: 1, f"x{ODD}": "y" * 2000, "email2": ODD})),
    "preview, wrong column": (["preview"], {**CONFIG, "api": {**API, "identity_column": "email" + ODD}}, STREAM, b""),
    "preview, JSON": (["preview", "--json"], CONFIG, STREAM, record({"email": "a", ODD: 1})),
    "preview, another stream": (["preview"], CONFIG, STREAM, record({"email": "a"}, ODD + ODD)),
    "two streams": (["write"], CONFIG, [STREAM, STREAM], b""),
    "no such rejected rows": (["resend", f"/no/{ODD}"], None, None, b""),
}


@pytest.mark.parametrize("case", CASES)
def test_no_command_prints_a_name_unescaped(forked: Forked, case: str, tmp_path: Path) -> None:
    """Neither on standard output or error, nor inside a message, which other programs show."""
    words, config, streams, lines = CASES[case]
    arguments = list(words)
    if config is not None:
        (tmp_path / "config").write_text(json.dumps(config))
        arguments += ["--config", str(tmp_path / "config")]
    if streams is not None:
        configured = (
            [{"stream": s, "sync_mode": "full_refresh"} for s in streams]
            if isinstance(streams, list)
            else [{"stream": streams, "sync_mode": "full_refresh"}]
        )
        (tmp_path / "catalog").write_text(json.dumps({"streams": configured}))
        arguments += ["--catalog", str(tmp_path / "catalog")]
    run = forked.run(arguments, lines)
    out, err = run.stdout.decode(), run.stderr.decode()
    assert "[2J" in out + err  # the name was printed
    for line in (out + err).removesuffix("\n").split("\n"):
        assert line.isprintable()
        assert not line.startswith("Forged")
    messages = [] if words[0] == "preview" else map(json.loads, out.splitlines())
    assert [text for message in messages for text in texts(message) if not text.isprintable()] == []
