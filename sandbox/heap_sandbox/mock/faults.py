"""Faults on demand: which request fails, how, and how often."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from heap_sandbox.mock import deletions
from heap_sandbox.mock.rules import APIS

PATHS = (*APIS, *deletions.METHODS)
"""The addresses that can be struck; the ID of a deletion request after its address does not count."""

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_TEXT = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")
_STATUSES = range(200, 600)
MAXIMUM = 1_000
"""Faults in force at most."""
_FRAMING = ("content-length", "transfer-encoding")


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault as it was asked for.

    Attributes:
        kind: status (another answer), reset_before or reset_after storing, hang (no answer), latency (a late answer).
        path: The only address that is struck.
        match: Text that must occur in the body, byte for byte in UTF-8.
        skip: How many matching requests are left alone first.
        every: Only each n-th matching request after those is struck.
        times: How often it strikes at most.
        probability: How likely it strikes when it is due.
        seed: Makes the probability repeatable.
        status: The status of the answer.
        headers: Headers of the answer.
        body: Body of the answer.
        content_type: Content-Type of the answer.
        store: Whether the request is handled before that answer is given.
        seconds: How long a hang or a latency lasts.
    """

    kind: str
    path: str | None = None
    match: str | None = None
    skip: int = 0
    every: int = 1
    times: int | None = None
    probability: float = 1.0
    seed: int | None = None
    status: int = 503
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    content_type: str = "text/plain"
    store: bool = False
    seconds: float = 0.0

    @property
    def stores(self) -> bool:
        """Whether the request is handled as usual, and only its answer differs."""
        return self.store or self.kind == "reset_after"

    def row(self) -> dict[str, Any]:
        """The fault with the fields that its kind has; asking for this row gives the same fault."""
        return {"kind": self.kind} | {name: getattr(self, name) for name in _FIELDS[self.kind]}


def define(wanted: Any) -> Fault:
    """A fault from its JSON; ValueError says in a sentence what is wrong."""
    if not isinstance(wanted, dict):
        raise ValueError("A fault is a JSON object.")  # noqa: TRY004  # the answer is 422, whatever the mistake
    kind = wanted.get("kind")
    if not isinstance(kind, str) or kind not in _FIELDS:
        raise ValueError(f"A fault's kind is one of {', '.join(_FIELDS)}.")
    fields = {name: value for name, value in wanted.items() if name != "kind" and value is not None}
    for name, value in fields.items():
        if name not in _FIELDS[kind]:
            raise ValueError(f"A {kind} fault has no {name!r}; it has {', '.join(_FIELDS[kind])}.")
        valid, rule = _CHECKS[name]
        if not valid(value):
            raise ValueError(f"{name} must be {rule}.")
    fault = Fault(kind, **(_DEFAULT_SECONDS.get(kind, {}) | fields))
    if fault.status in (204, 304) and fault.body:
        raise ValueError(f"An answer with status {fault.status} has no body.")
    return fault


@dataclass(frozen=True, slots=True)
class Strike:
    """What befalls one request: seconds of latency in all, then perhaps one other fault."""

    seconds: float = 0.0
    fault: Fault | None = None

    @property
    def kind(self) -> str | None:
        """The kind that the request log names."""
        if self.fault:
            return self.fault.kind
        return "latency" if self.seconds else None


class Armed:
    """A fault at work: how many requests it matched, and how many it struck."""

    def __init__(self, number: int, fault: Fault) -> None:
        self.number = number
        self.fault = fault
        self.matched = 0
        self.fired = 0
        self._random = random.Random(fault.seed)  # noqa: S311  # decides about a rehearsal, not about a secret
        self._match = (fault.match or "").encode()

    @property
    def spent(self) -> bool:
        """Whether it has struck as often as it may."""
        return self.fault.times is not None and self.fired >= self.fault.times

    def due(self, path: str, body: bytes) -> bool:
        """Count the request if it matches; whether it is this one's turn to be struck."""
        if self.fault.path not in (None, path) or self._match not in body:
            return False
        self.matched += 1
        turn = self.matched - self.fault.skip
        if turn < 1 or turn % self.fault.every or self.spent:
            return False
        return self._random.random() < self.fault.probability

    def row(self) -> dict[str, Any]:
        """The fault and its counts."""
        counts = {"matched": self.matched, "fired": self.fired, "spent": self.spent}
        return {"id": self.number} | self.fault.row() | counts


class Faults:
    """All faults in force, in the order in which they were asked for."""

    def __init__(self) -> None:
        self._armed: list[Armed] = []
        self._numbers = count(1)

    def add(self, faults: list[Fault]) -> None:
        """Put more faults in force; ValueError if they are too many, since each request is compared with each."""
        if len(self._armed) + len(faults) > MAXIMUM:
            raise ValueError(f"At most {MAXIMUM:,} faults can be in force; remove some with DELETE /sandbox/faults.")
        self._armed += [Armed(next(self._numbers), fault) for fault in faults]

    def remove(self, number: int) -> bool:
        """Clear one fault; returns whether there was one of this number."""
        left = [armed for armed in self._armed if armed.number != number]
        found = len(left) < len(self._armed)
        self._armed = left
        return found

    def clear(self) -> None:
        """Clear all faults."""
        self._armed = []

    def rows(self) -> list[dict[str, Any]]:
        """The faults and how often each has fired; a spent one stays listed until all are cleared."""
        return [armed.row() for armed in self._armed]

    def strike(self, path: str, body: bytes) -> Strike:
        """The faults of this request: every latency that is due, and the first other fault that is due."""
        seconds = 0.0
        other: Fault | None = None
        for armed in self._armed:
            if not armed.due(path, body):
                continue
            if armed.fault.kind == "latency":
                seconds += armed.fault.seconds
            elif other is None:
                other = armed.fault
            else:
                continue
            armed.fired += 1
        return Strike(seconds, other)


def _is_header(item: tuple[Any, Any]) -> bool:
    name, value = item
    if not isinstance(value, str) or not _HEADER_TEXT.fullmatch(value):
        return False
    return bool(_HEADER_NAME.fullmatch(name)) and name.lower() not in _FRAMING


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


_CHECKS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "path": (lambda value: isinstance(value, str) and value in PATHS, f"one of {', '.join(PATHS)}"),
    "match": (lambda value: isinstance(value, str), "a string"),
    "skip": (lambda value: type(value) is int and value >= 0, "an integer from 0"),
    "every": (lambda value: type(value) is int and value >= 1, "an integer from 1"),
    "times": (lambda value: type(value) is int and value >= 1, "an integer from 1, or null"),
    "probability": (lambda value: _is_number(value) and 0 <= value <= 1, "a number from 0 to 1"),
    "seed": (lambda value: type(value) is int, "an integer"),
    "status": (lambda value: type(value) is int and value in _STATUSES, "an integer from 200 to 599"),
    "headers": (
        lambda value: isinstance(value, dict) and all(map(_is_header, value.items())),
        f"an object of header names and printable strings, without {' and '.join(_FRAMING)}",
    ),
    "body": (lambda value: isinstance(value, str), "a string"),
    "content_type": (
        lambda value: isinstance(value, str) and bool(_HEADER_TEXT.fullmatch(value)),
        "a printable string",
    ),
    "store": (lambda value: type(value) is bool, "true or false"),
    "seconds": (lambda value: _is_number(value) and value >= 0, "a number from 0"),
}
_COMMON = ("path", "match", "skip", "every", "times", "probability", "seed")
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "status": (*_COMMON, "status", "headers", "body", "content_type", "store"),
    "reset_before": _COMMON,
    "reset_after": _COMMON,
    "hang": (*_COMMON, "seconds"),
    "latency": (*_COMMON, "seconds"),
}
_DEFAULT_SECONDS: Mapping[str, dict[str, Any]] = {"hang": {"seconds": 3600.0}, "latency": {"seconds": 1.0}}
