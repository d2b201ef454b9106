"""No regular expression of the three products takes more than linear time, whatever its input.

All expressions are found by reading the sources. Work is counted (step_count.py), not timed.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import pytest

from heap_courier.data_types.date_patterns import reader
from heap_courier.files.entities import Member
from heap_courier.files.file_pattern import parse_pattern
from heap_courier.formats.file_format import FileFormat
from unit_tests.step_count import Expression, Node, Text, TooManyStepsError, elements, witnesses

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("destination_heap_analytics", "courier/heap_courier", "sandbox/heap_sandbox")
METHODS = frozenset({"match", "fullmatch", "search", "findall", "finditer", "sub", "subn", "split"})
ALPHABET = [*map(chr, range(33, 127)), " ", "\n", "\t", "\x00", "\x80", "é", "\u2028", "\ud800", "😀"]
PASSED_ON: Final = {"_like": frozenset({"fullmatch"})}
"""Functions with an expression as argument, and how they use it."""

FEW, MANY = 40, 160
"""Lengths of inputs. Four times the length is sixteen times the work of a quadratic expression."""

MOST_TIMES = 7
"""Up to this factor, the work counts as proportional to four times the length."""

ONCE = 800
"""Steps that do not count: a bounded repetition, such as {0,63}, may complete only in the longer text."""

MOST_BEGINNINGS = 8
"""The most beginnings tried per expression; some list a hundred words."""

DAY: Final = date(2026, 1, 2)
KEYS: Final = parse_pattern("'a-'yyyy-MM'-'yyyy-MM-dd*'.avro'")
MADE_AT_RUN_TIME: Final = {
    "destination_heap_analytics.rows.delimited: re.compile(f'{re.escape(spaced)}+\"')": lambda: re.compile(', +"'),
    "heap_courier.data_types.date_patterns: re.compile(''.join(parts), re.ASCII | re.IGNORECASE)": lambda: reader(
        "EEEE 'of' d MMMM y, hh:m:ss.SSS a ZZ"
    ),
    "heap_courier.files.entities: expression": lambda: Member("a*b*b*c", "tag", FileFormat("avro")).matches("a"),
    # A key of S3 has 1,024 bytes at most; each star after the first one multiplies the work by it.
    "heap_courier.files.file_pattern: self._expression(digits)": lambda: KEYS.matches("a", DAY),
    "heap_courier.files.file_pattern: self._expression(_ANY)": lambda: KEYS.matches_any("a"),
    "heap_courier.files.file_pattern: self._expression(_PLAUSIBLE)": lambda: KEYS.day_of("a-2026-01-2026-01-02.avro"),
    "heap_courier.project.setting_types: pattern": lambda: re.compile("passed on"),
}
"""Expressions that are composed at run time, each with a function that creates a worst case."""


@dataclass(frozen=True)
class Found:
    """An expression in the sources.

    Attributes:
        where: module and name, or module and source text.
        pattern: None if it is put together at run time.
        methods: how it is used.
    """

    where: str
    pattern: re.Pattern[Any] | None
    methods: frozenset[str]


def modules() -> Iterator[tuple[str, ast.Module]]:
    for package in PACKAGES:
        folder = ROOT / package
        for file in sorted(folder.rglob("*.py")):
            name = ".".join(file.relative_to(folder.parent).with_suffix("").parts)
            source = file.read_text(encoding="utf-8")
            if any(word in source for word in ("re.", *PASSED_ON)):
                yield name.removesuffix(".__init__"), ast.parse(source)


def expressions() -> Iterator[Found]:
    for name, tree in modules():
        names, uses = named(tree)
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            match node.func:
                case ast.Attribute(value=ast.Name(id="re"), attr=attribute):
                    function = f"re.{attribute}"
                case ast.Name(id=function) if function in PASSED_ON:
                    pass
                case _:
                    continue
            if function == "re.compile":
                target = names.get(id(node), "")
                pattern = getattr(importlib.import_module(name), target, None)
                where = target if pattern else ast.unparse(node)
                yield Found(f"{name}: {where}", pattern, frozenset(uses.get(target, METHODS)))
            elif (method := function.removeprefix("re.")) in METHODS or function in PASSED_ON:
                methods = PASSED_ON.get(function, frozenset({method}))
                yield Found(f"{name}: {ast.unparse(node.args[0])}", value(name, node.args[0]), methods)


def named(tree: ast.Module) -> tuple[dict[int, str], dict[str, set[str]]]:
    """The names that calls are assigned to, and the methods of `re` that are called on names."""
    names: dict[int, str] = {}
    uses: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in METHODS and isinstance(node.value, ast.Name):
            uses.setdefault(node.value.id, set()).add(node.attr)
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Call):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Name):
                names[id(node.value)] = target.id
    return names, uses


def value(module: str, pattern: ast.expr) -> re.Pattern[Any] | None:
    """An expression that is a literal where it is used; None if it is computed."""
    code = compile(ast.Expression(pattern), module, "eval")
    try:
        return re.compile(eval(code, vars(importlib.import_module(module))))  # noqa: S307  # our own sources
    except NameError:
        return None


FOUND = list(expressions())


def inputs(expression: Expression, length: int) -> Iterator[Text]:
    """Texts that begin as the expression expects, are long, and end differently."""
    is_bytes = isinstance(expression.pattern.pattern, bytes)
    alphabet: list[Text] = [char.encode("latin-1", "ignore") for char in ALPHABET] if is_bytes else list(ALPHABET)
    alphabet = [char for char in alphabet if char]

    def char(node: Node) -> Text:
        return next((letter for letter in alphabet if expression.takes(node, letter)), alphabet[0])

    units = dict.fromkeys(char(node) for node in elements(expression.tree))
    units |= dict.fromkeys(b" 0a\"'[{.\\" if is_bytes else " 0a\"'[{.\\")
    singles: list[Text] = [bytes([unit]) if isinstance(unit, int) else unit for unit in units]
    beginnings = list(dict.fromkeys(witnesses(expression, expression.tree, char)))
    beginnings = beginnings[:: -(-len(beginnings) // MOST_BEGINNINGS)] + beginnings[-1:]
    ends: list[Any] = [b"\x00", b""] if is_bytes else ["\x00", ""]
    whole: Any = beginnings[-1]
    pumped: list[Any] = [*singles, *(one + other for one in singles[:5] for other in singles[:5] if one != other)]
    pumped += [part for part in (whole, whole[:-1], whole[1:]) if part]
    for beginning in beginnings:
        for unit in pumped:
            text: Any = beginning + unit * (length // len(unit))
            for end in ends:
                yield text + end


def growth(found: Found, pattern: re.Pattern[Any]) -> tuple[str, Text] | None:
    """A method and an input for which the work grows faster than linearly; None if there is none."""
    expression = Expression(pattern)
    by_kinds = {
        expression.kinds(few): (few, many)
        for few, many in zip(inputs(expression, FEW), inputs(expression, MANY), strict=True)
    }
    for method in sorted(found.methods):
        for few, many in by_kinds.values():
            try:
                before = expression.steps(few, method, FEW * FEW * 10)
                expression.steps(many, method, before * MOST_TIMES + ONCE)
            except TooManyStepsError:  # noqa: PERF203  # each input on its own
                return method, few
    return None


@pytest.mark.parametrize("found", [found for found in FOUND if found.pattern], ids=lambda found: found.where)
def test_the_work_of_an_expression_grows_in_proportion_to_its_input(found: Found) -> None:
    """An input of a million spaces must not block a run."""
    assert found.pattern is not None
    assert growth(found, found.pattern) is None


def test_an_expression_that_is_composed_at_run_time_is_listed() -> None:
    """With an example below."""
    assert {found.where for found in FOUND if not found.pattern} == set(MADE_AT_RUN_TIME)


@pytest.mark.parametrize("make", MADE_AT_RUN_TIME.values(), ids=MADE_AT_RUN_TIME)
def test_the_work_of_an_expression_that_is_composed_at_run_time_grows_in_proportion(
    make: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same, for an example of each."""
    made: list[re.Pattern[Any]] = []
    compiled = re._compile  # type: ignore[attr-defined]  # through which all functions of `re` go

    def record(pattern: Any, flags: Any) -> Any:
        made.append(compiled(pattern, flags))
        return made[-1]

    with monkeypatch.context() as patch:
        patch.setattr(re, "_compile", record)
        make()
    assert made
    for pattern in made:
        assert growth(Found("", pattern, frozenset({"fullmatch"})), pattern) is None


@pytest.mark.parametrize("pattern", [r"\s+$", r"(a+)+b", r"\s*x?\s*y", r"a+b", r"(\d+)\1", r"[^/]*a[^/]*b"])
def test_work_that_grows_faster_is_detected(pattern: str) -> None:
    """The test above can fail."""
    found = Found("", re.compile(pattern), frozenset({"search"}))
    assert growth(found, re.compile(pattern)) is not None


@pytest.mark.parametrize("found", [found for found in FOUND if found.pattern], ids=lambda found: found.where)
def test_the_counting_matcher_matches_what_python_matches(found: Found) -> None:
    """Otherwise it would count something else."""
    assert found.pattern is not None
    expression = Expression(found.pattern)
    for text in inputs(expression, 5):
        match, whole = found.pattern.match(text), found.pattern.fullmatch(text)
        assert expression.end(text) == (match and match.end())
        assert expression.end(text, whole=True) == (whole and whole.end())
