"""Checks whether a project is ready for Stitch: which tables take part, and what would improve the result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from heap_courier.documents.wording import listed
from heap_courier.feeds.model import Feed
from heap_courier.stitch.records.inputs import Input, inputs
from heap_courier.stitch.records.semantics import COLUMNS, column, is_key
from heap_courier.warehouse.base import Warehouse, quoted


@dataclass(frozen=True, slots=True)
class CheckedInput:
    """A table that takes part, with its number of records and its tags."""

    table: str
    records: int
    keys: tuple[str, ...]
    profile: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Check:
    """The tables that take part, and advice in sentences."""

    inputs: tuple[CheckedInput, ...]
    advice: tuple[str, ...]


def check(warehouse: Warehouse, feeds: Sequence[Feed]) -> Check:
    """Checks the tables that would take part in a run.

    Raises:
        SetupError: a feed has the source `Stitch`.
    """
    chosen = inputs(warehouse, feeds)
    checked = []
    for each in chosen:
        ((records,),) = warehouse.query(f"SELECT count(*) FROM {quoted(each.table)}")
        checked.append(CheckedInput(each.table, int(records), each.keys, each.profile))
    return Check(tuple(checked), tuple(_advice(feeds, chosen)))


def _advice(feeds: Sequence[Feed], chosen: Sequence[Input]) -> Iterator[str]:
    taking_part = {each.table for each in chosen}
    if not chosen:
        yield (
            "No table takes part: set `stitch: true` in a feed whose fields have semantic tags and activate it, or run "
            "a courier that follows Heap Connect."
        )
    for feed in feeds:
        if feed.stitch and feed.domain_table not in taking_part:
            yield f"{feed.domain_table}: not active yet; run `heap-courier feed activate {feed.domain_table}`."
        if not feed.stitch and any(field.tag and column(field.tag) in COLUMNS for field in feed.fields):
            yield f"{feed.domain_table}: has profile tags but no `stitch: true`, so it does not take part."
    for each in chosen:
        yield from _of_input(each)
    yield from _together(chosen)


def _of_input(each: Input) -> Iterator[str]:
    tags = set(each.fields)
    named = {"full-name"} & tags or {"given-name", "surname"} <= tags
    reachable = tags & {"email", "phone", "birthdate"} or {"address", "postal"} <= tags
    if not tags - {"create-dt", "update-dt"}:
        yield f"{each.table}: no field has a semantic tag, so no record can be linked; tag its fields."
        return
    if not any(is_key(tag) for tag in tags) and not named:
        yield (
            f"{each.table}: no name and no key; tag `given-name` and `surname`, or `full-name`, or a key such as "
            "`fk-customer`."
        )
    if named and not reachable and not each.keys:
        yield (
            f"{each.table}: names alone do not link records; tag one of `email`, `phone` or `birthdate`, or `address` "
            "and `postal`."
        )
    if named and "birthdate" not in tags and not any(tag.startswith("sk-") for tag in tags):
        yield (
            f"{each.table}: without `birthdate` or a separation key, a parent and child with the same name at the same "
            "address become one customer."
        )
    for tag, names in each.fields.items():
        if len(names) > 1 and tag != "update-dt":
            yield f"{each.table}: {listed(names)} have the same tag `{tag}`; the first one with a value is used."


def _together(chosen: Sequence[Input]) -> Iterator[str]:
    if len(chosen) < 2:  # noqa: PLR2004  (a single table has nothing to link)
        return
    for each in chosen:
        others = set().union(*(other.fields for other in chosen if other is not each))
        shared = {
            tag
            for tag in each.fields
            if tag in others and not tag.startswith("sk-") and tag not in ("ck", "create-dt", "update-dt")
        }
        if not shared:
            yield f"{each.table}: has no tag in common with another table, so its records cannot be linked to theirs."
