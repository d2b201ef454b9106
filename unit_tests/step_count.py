"""Counts the steps of a regular expression with a backtracking matcher like Python's own.

`re` does not report its work, and time depends on the machine. This matcher reads the same parse tree and tries the
same alternatives in the same order; it only lacks the shortcuts that make `re` faster, such as skipping to a literal.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, Final

if sys.version_info >= (3, 11):
    from re import _compiler as compiler  # type: ignore[attr-defined]  # private, and the same as sre_compile
    from re import _constants as c  # type: ignore[attr-defined]
    from re import _parser as parser  # type: ignore[attr-defined]
else:
    import sre_compile as compiler
    import sre_constants as c
    import sre_parse as parser

Node = tuple[Any, Any]
Text = str | bytes
After = Callable[[int], bool]

SINGLE: Final = frozenset({c.LITERAL, c.NOT_LITERAL, c.ANY, c.IN})
_GREEDY: Final = frozenset({c.MAX_REPEAT, getattr(c, "POSSESSIVE_REPEAT", None)})


class TooManyStepsError(Exception):
    """The matcher was stopped."""


class Expression:
    """A compiled pattern, taken apart."""

    def __init__(self, pattern: re.Pattern[Any]) -> None:
        self.pattern = pattern
        self.tree: list[Node] = list(parser.parse(pattern.pattern, pattern.flags & ~re.DEBUG))
        self._has_back_reference = "GROUPREF" in repr(self.tree)
        self._elements = list(elements(self.tree))
        self._kinds: dict[Text, Hashable] = {}
        self._singles: dict[int, tuple[re.Pattern[Any], dict[Text, bool], Node]] = {}

    def takes(self, node: Node, char: Text) -> bool:
        """Whether an element that matches one character matches this one."""
        key = id(node)
        if key not in self._singles:
            tree = parser.SubPattern(parser.State(), [node])
            tree.state.str = tree.state.str if hasattr(tree.state, "str") else self.pattern.pattern
            self._singles[key] = (compiler.compile(tree, self.pattern.flags), {}, node)
        single, known, _ = self._singles[key]
        if char not in known:
            known[char] = single.match(char) is not None
        return known[char]

    def kinds(self, text: Text) -> tuple[Hashable, ...]:
        """The kind of each character to the expression; texts of the same kinds take the same steps."""
        if self._has_back_reference:
            return tuple(text)
        return tuple(self._kind(text[at : at + 1]) for at in range(len(text)))

    def _kind(self, char: Text) -> Hashable:
        if char not in self._kinds:
            takes = (self.takes(node, char) for node in self._elements)
            self._kinds[char] = (*takes, char.isalnum() or char in {"_", b"_"}, char in {"\n", b"\n"})
        return self._kinds[char]

    def steps(self, text: Text, method: str, most: int) -> int:
        """The number of steps that `method` takes for a text.

        Raises:
            TooManyStepsError: more than `most`.
        """
        run = _Run(self, text, most)
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(max(limit, len(text) * 50))  # a repeated group is matched recursively
        try:
            run.all(method)
        finally:
            sys.setrecursionlimit(limit)  # other tests in this process rely on it
        return run.count

    def end(self, text: Text, *, whole: bool = False) -> int | None:
        """The end of the match at the start of a text; None if there is none."""
        return _Run(self, text, sys.maxsize).at(0, whole=whole)


class _Run:
    def __init__(self, expression: Expression, text: Text, most: int) -> None:
        self._takes = expression.takes
        self._tree = expression.tree
        self._text = text
        self._most = most
        self._groups: dict[int, tuple[int, int]] = {}
        self.count = 0

    def all(self, method: str) -> None:
        """Do the work of a method of a pattern."""
        if method in {"match", "fullmatch"}:
            self.at(0, whole=method == "fullmatch")
            return
        at = 0
        while at <= len(self._text):
            end = self.at(at)
            if end is not None and method == "search":
                break
            at = at + 1 if end is None or end == at else end

    def at(self, start: int, *, whole: bool = False) -> int | None:
        """The end of the match that begins at `start`; None if there is none."""
        ends: list[int] = []

        def found(at: int) -> bool:
            if whole and at < len(self._text):
                return False
            ends.append(at)
            return True

        return ends[0] if self._sequence(self._tree, 0, start, found) else None

    def _step(self, steps: int = 1) -> None:
        self.count += steps
        if self.count > self._most:
            raise TooManyStepsError

    def _one(self, node: Node, at: int) -> bool:
        self._step()
        return at < len(self._text) and self._takes(node, self._text[at : at + 1])

    def _sequence(self, nodes: Sequence[Node], index: int, at: int, after: After) -> bool:  # noqa: C901  # by element
        while index < len(nodes) and nodes[index][0] in SINGLE:
            if not self._one(nodes[index], at):
                return False
            index, at = index + 1, at + 1
        self._step()
        if index == len(nodes):
            return after(at)
        op, value = nodes[index]

        def rest(then: int) -> bool:
            return self._sequence(nodes, index + 1, then, after)

        if op in {c.MAX_REPEAT, c.MIN_REPEAT} or op in _GREEDY:
            return self._repeat(op, value, at, rest)
        if op is c.SUBPATTERN:
            group, _, _, inner = value

            def closed(end: int) -> bool:
                before = self._groups.get(group)
                self._groups[group] = (at, end)
                if rest(end):
                    return True
                if before is not None:
                    self._groups[group] = before
                return False

            return self._sequence(inner.data, 0, at, closed if group is not None else rest)
        if op is c.BRANCH:
            return any(self._sequence(branch.data, 0, at, rest) for branch in value[1])
        if op is c.GROUPREF:
            start, end = self._groups.get(value, (0, -1))
            part = self._text[start : max(start, end)]
            self._step(len(part))
            return end >= start and self._text[at : at + len(part)] == part and rest(at + len(part))
        if op in {c.ASSERT, c.ASSERT_NOT}:
            direction, inner = value
            start = at - inner.getwidth()[0] if direction < 0 else at
            holds = start >= 0 and self._sequence(inner.data, 0, start, lambda _: True)
            return holds == (op is c.ASSERT) and rest(at)
        if op is c.AT:
            return self._is_at(value, at) and rest(at)
        raise NotImplementedError(op)

    def _is_at(self, where: Any, at: int) -> bool:
        size = len(self._text)
        if where in {c.AT_BEGINNING, c.AT_BEGINNING_STRING}:
            return at == 0 or (where is c.AT_BEGINNING and self._text[at - 1 : at] in {"\n", b"\n"})
        if where in {c.AT_END, c.AT_END_STRING}:
            return at == size or (where is c.AT_END and self._text[at:] in {"\n", b"\n"})
        before, behind = (
            part.isalnum() or part in {"_", b"_"} for part in (self._text[max(at - 1, 0) : at], self._text[at : at + 1])
        )
        return (bool(before) != bool(behind)) == (where is c.AT_BOUNDARY)

    def _repeat(self, op: Any, value: tuple[int, Any, Any], at: int, rest: After) -> bool:
        least, most, inner = value
        nodes = inner.data
        if len(nodes) == 1 and nodes[0][0] in SINGLE:
            return self._repeat_single(op, (least, most, nodes[0]), at, rest)

        def again(count: int, here: int) -> bool:
            def more() -> bool:
                return count < most and self._sequence(
                    nodes, 0, here, lambda end: (end > here or count < least) and again(count + 1, end)
                )

            def enough() -> bool:
                return count >= least and rest(here)

            return (enough() or more()) if op is c.MIN_REPEAT else (more() or enough())

        return again(0, at)

    def _repeat_single(self, op: Any, value: tuple[int, Any, Node], at: int, rest: After) -> bool:
        least, most, node = value
        count = 0
        if op is c.MIN_REPEAT:
            while True:
                if count >= least and rest(at + count):
                    return True
                if count >= most or not self._one(node, at + count):
                    return False
                count += 1
        while count < most and self._one(node, at + count):
            count += 1
        if op is not c.MAX_REPEAT:
            return count >= least and rest(at + count)
        return any(rest(at + taken) for taken in range(count, least - 1, -1))


def elements(tree: Sequence[Node]) -> Iterator[Node]:
    """All elements that match one character."""
    for op, value in tree:
        if op in SINGLE:
            yield (op, value)
        elif op is c.SUBPATTERN:
            yield from elements(value[3])
        elif op is c.BRANCH:
            for branch in value[1]:
                yield from elements(branch)
        elif op in {c.ASSERT, c.ASSERT_NOT}:
            yield from elements(value[1])
        elif op in {c.MAX_REPEAT, c.MIN_REPEAT} or op in _GREEDY:
            yield from elements(value[2])


def witnesses(expression: Expression, tree: Sequence[Node], char: Callable[[Node], Text]) -> list[Text]:
    """A text for each prefix of the pattern, with each repetition as short as possible, and once more."""
    empty: Text = type(expression.pattern.pattern)()
    found = [empty]
    text = empty
    for op, value in tree:
        if op in SINGLE:
            text += char((op, value))  # type: ignore[operator]
        elif op is c.SUBPATTERN:
            inner = witnesses(expression, value[3], char)
            found += [text + part for part in inner]  # type: ignore[operator]
            text += inner[-1]  # type: ignore[operator]
        elif op is c.BRANCH:
            for branch in value[1]:
                found += [text + part for part in witnesses(expression, branch, char)]  # type: ignore[operator]
            text += witnesses(expression, value[1][0], char)[-1]  # type: ignore[operator]
        elif op in {c.MAX_REPEAT, c.MIN_REPEAT} or op in _GREEDY:
            inner = witnesses(expression, value[2], char)
            found += [text + part for part in inner]  # type: ignore[operator]
            text += inner[-1] * max(1, min(value[0], 40))  # type: ignore[operator]
        elif op in {c.ASSERT, c.ASSERT_NOT} and value[0] < 0 and not text and op is c.ASSERT:
            text += witnesses(expression, value[1], char)[-1]  # type: ignore[operator]
        found.append(text)
    return found
