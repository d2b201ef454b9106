"""Calls every function of the three products that accepts a single text with long adversarial texts; run by its test.

    python unit_tests/long_input.py CHARACTERS

Prints each function before it is called, so that the last line names one that does not return.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from collections.abc import Callable, Container, Iterator
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
PACKAGES: Final = ("destination_heap_analytics", "courier/heap_courier", "sandbox/heap_sandbox")
UNITS: Final = (
    " ",
    "9",
    "0.",
    '"',
    "'",
    '""',
    "[",
    "{",
    '{"a":',
    "(",
    ".",
    ",",
    "a,",
    "\\",
    "\\u",
    "%",
    "*",
    "a ",
    "-",
    "::",
)
"""Texts to repeat."""

EFFECTS: Final = frozenset(
    {
        "destination_heap_analytics.__getattr__",  # looks up an attribute
        "destination_heap_analytics.cli._print_error",  # prints
        "destination_heap_analytics.delivery.http.client._check_certificates",  # opens a file
        "destination_heap_analytics.process.stdout.print_line",  # prints
        "destination_heap_analytics.process.stdout.write",  # prints
        "heap_courier.cli.terminal.say",  # prints
        "heap_courier.cli.terminal.say_lines",  # prints
        "heap_sandbox.page.live._file",  # opens a file
    }
)
"""Functions with side effects, which are not called."""


def functions(left_out: Container[str] = EFFECTS) -> Iterator[tuple[str, Callable[[Any], object], bool]]:
    """Name, function, and whether it accepts bytes."""
    for package in PACKAGES:
        folder = ROOT / package
        for file in sorted(folder.rglob("*.py")):
            module = ".".join(file.relative_to(folder.parent).with_suffix("").parts).removesuffix(".__init__")
            for node in ast.parse(file.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.FunctionDef) and (kind := _kind(node)):
                    name = f"{module}.{node.name}"
                    if name not in left_out:
                        yield name, getattr(importlib.import_module(module), node.name), kind == "bytes"


def _kind(node: ast.FunctionDef) -> str | None:
    """The type of its parameter, if it accepts a single text or any value."""
    arguments = node.args.posonlyargs + node.args.args
    needed = arguments[: len(arguments) - len(node.args.defaults)]
    if len(needed) != 1 or None in node.args.kw_defaults or not needed[0].annotation:
        return None
    kind = ast.unparse(needed[0].annotation)
    return kind if kind in {"str", "bytes", "object", "str | bytes"} else None


def main(length: int) -> None:
    """Call all of them."""
    for package in ("", "courier", "sandbox"):
        sys.path.insert(0, str(ROOT / package))
    for name, function, takes_bytes in functions():
        sys.stdout.write(f"{name}\n")
        sys.stdout.flush()
        for unit in UNITS:
            for text in (unit * (length // len(unit)), "a" + unit * (length // len(unit)) + "\x00"):
                _call(function, text.encode() if takes_bytes else text)


def _call(function: Callable[[Any], object], text: str | bytes) -> None:
    try:
        result = function(text)
        if inspect.isgenerator(result):
            list(result)
    except Exception as refusal:  # most texts are invalid
        if isinstance(refusal, TypeError | AttributeError | MemoryError):
            raise  # a bug, whatever the text


if __name__ == "__main__":
    main(int(sys.argv[1]))
