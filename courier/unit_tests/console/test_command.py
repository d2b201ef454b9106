"""`heap-courier console` as a command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from heap_courier.cli.main import cli
from heap_courier.errors import SetupError


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in sys.modules if name.startswith("heap_courier.console")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "starlette.applications", None)
    error = CliRunner().invoke(cli, ["--project", str(tmp_path), "console"]).exception
    assert isinstance(error, SetupError)
    assert "`pip install './courier[console]'`" in str(error)


def test_other_commands_do_not_import_it() -> None:
    """It would double their startup time."""
    program = (
        "import sys, heap_courier.cli.main as m; [m.cli.get_command(m.click.Context(m.cli), n) for n in m._COMMANDS]; "
        "print(*(n for n in sys.modules if n.split('.')[0] in ('starlette', 'uvicorn', 'jinja2', 'ruamel')))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == []


def test_a_port_in_use_is_explained(tmp_path: Path) -> None:
    from heap_courier.console.server import Place, listen  # noqa: PLC0415

    listener = listen(Place(port=0))
    with listener:
        port = listener.getsockname()[1]
        error = CliRunner().invoke(cli, ["--project", str(tmp_path), "console", "--port", str(port)]).exception
    assert isinstance(error, SetupError)
    assert f"Cannot listen on 127.0.0.1:{port}" in str(error)
