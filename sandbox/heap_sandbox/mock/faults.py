"""Simulated faults: which requests fail, how, and how often."""

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
"""The endpoints that a fault can apply to; the ID of a deletion request is not part of its endpoint."""

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_TEXT = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")
_STATUSES = range(200, 600)
MAXIMUM = 1_000
"""The most faults that can be active."""
_FRAMING = ("content-length", "transfer-encoding")


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault as it was defined.

    Attributes:
        kind: status (another response), reset_before or reset_after storing, hang (no response), latency (a delay).
        path: The only endpoint that it applies to.
        match: Text that the body must contain, byte for byte in UTF-8.
        skip: How many matching requests are unaffected at first.
        every: Affects only every n-th matching request after those.
        times: How many requests it affects at most.
        probability: How likely it affects a request whose turn it is.
        seed: Makes the probability repeatable.
        status: The status of the response.
        headers: Headers of the response.
        body: Body of the response.
        content_type: Content-Type of the response.
        store: Whether the request is handled before that response is sent.
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
        """Whether the request is handled as usual, and only its response differs."""
        return self.store or self.kind == "reset_after"

    def row(self) -> dict[str, Any]:
        """The fields that its kind has; they define the same fault again."""
        return {"kind": self.kind} | {name: getattr(self, name) for name in _FIELDS[self.kind]}


def define(wanted: Any) -> Fault:
    """The fault that a JSON document defines; ValueError with a sentence if it is invalid."""
    if not isinstance(wanted, dict):
        raise ValueError("A fault must be a JSON object.")  # noqa: TRY004  # any mistake is answered with 422
    kind = wanted.get("kind")
    if not isinstance(kind, str) or kind not in _FIELDS:
        raise ValueError(f"A fault's kind must be one of {', '.join(_FIELDS)}.")
    fields = {name: value for name, value in wanted.items() if name != "kind" and value is not None}
    for name, value in fields.items():
        if name not in _FIELDS[kind]:
            raise ValueError(f"A {kind} fault has no {name!r}; it has {', '.join(_FIELDS[kind])}.")
        valid, rule = _CHECKS[name]
        if not valid(value):
            raise ValueError(f"{name} must be {rule}.")
    fault = Fault(kind, **(_DEFAULT_SECONDS.get(kind, {}) | fields))
    if fault.status in (204, 304) and fault.body:
        raise ValueError(f"A response with status {fault.status} cannot have a body.")
    return fault


@dataclass(frozen=True, slots=True)
class Applied:
    """What faults do to one request: the total latency in seconds, and at most one other fault."""

    seconds: float = 0.0
    fault: Fault | None = None

    @property
    def kind(self) -> str | None:
        """The kind for the request log."""
        if self.fault:
            return self.fault.kind
        return "latency" if self.seconds else None


class ActiveFault:
    """A fault, and how many requests it matched and affected."""

    def __init__(self, number: int, fault: Fault) -> None:
        self.number = number
        self.fault = fault
        self.matched = 0
        self.fired = 0
        self._random = random.Random(fault.seed)  # noqa: S311  # not for secrets
        self._match = (fault.match or "").encode()

    @property
    def spent(self) -> bool:
        """Whether it has affected as many requests as it may."""
        return self.fault.times is not None and self.fired >= self.fault.times

    def due(self, path: str, body: bytes) -> bool:
        """Count the request if it matches; return whether the fault applies to it."""
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
    """All active faults, in the order in which they were added."""

    def __init__(self) -> None:
        self._active: list[ActiveFault] = []
        self._numbers = count(1)

    def add(self, faults: list[Fault]) -> None:
        """Add faults; ValueError if there would be too many, because each request is compared with all of them."""
        if len(self._active) + len(faults) > MAXIMUM:
            raise ValueError(f"At most {MAXIMUM:,} faults can be active; remove some with DELETE /sandbox/faults.")
        self._active += [ActiveFault(next(self._numbers), fault) for fault in faults]

    def remove(self, number: int) -> bool:
        """Remove one fault; return whether it existed."""
        left = [active for active in self._active if active.number != number]
        found = len(left) < len(self._active)
        self._active = left
        return found

    def clear(self) -> None:
        """Remove all faults."""
        self._active = []

    def rows(self) -> list[dict[str, Any]]:
        """The faults and how many requests each has affected; a spent one stays listed until it is removed."""
        return [active.row() for active in self._active]

    def apply(self, path: str, body: bytes) -> Applied:
        """The faults that apply to a request: every latency, and the first other fault."""
        seconds = 0.0
        other: Fault | None = None
        for active in self._active:
            if not active.due(path, body):
                continue
            if active.fault.kind == "latency":
                seconds += active.fault.seconds
            elif other is None:
                other = active.fault
            else:
                continue
            active.fired += 1
        return Applied(seconds, other)


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
    "skip": (lambda value: type(value) is int and value >= 0, "an integer of at least 0"),
    "every": (lambda value: type(value) is int and value >= 1, "an integer of at least 1"),
    "times": (lambda value: type(value) is int and value >= 1, "an integer of at least 1, or null"),
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
    "seconds": (lambda value: _is_number(value) and value >= 0, "a number of at least 0"),
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
