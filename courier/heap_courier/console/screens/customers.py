"""Customers: search, records and links, the evidence, and a person's decisions."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from typing import Any, Final

from markupsafe import Markup
from starlette.responses import Response

from heap_courier.console.jobs import Job
from heap_courier.console.visit import Visit, changing, looking
from heap_courier.couriers.context import Context
from heap_courier.errors import CourierError, SetupError
from heap_courier.feeds.reader import read_feeds
from heap_courier.group_work import Audience, group_context
from heap_courier.stitch import customer as customers_of_run
from heap_courier.stitch.customer import Customer, CustomerRecord, Link, find, name_of
from heap_courier.stitch.extra import require_extra
from heap_courier.stitch.labels import label_of, refuse_contradiction, remove_label, store_labels, stored_labels
from heap_courier.stitch.picture import drawing
from heap_courier.stitch.records.inputs import Pair, inputs
from heap_courier.warehouse.base import Warehouse

DRAWN: Final = 40  # records
_LINKS: Final = 200  # listed at most
_FOUND: Final = 100  # customers listed at most
_COLUMNS: Final = ("email", "phone", "city")  # in the list, besides the name


def customers(visit: Visit) -> Response:
    """The customers that match a search; before the first run of Stitch, what it still needs."""
    context = visit.console.context()
    search = visit.parameter("q").strip()
    found: tuple[Customer, ...] = ()
    taking_part: list[str] = []
    ready, decisions = False, []
    with looking(context) as warehouse:
        if warehouse:
            ready = customers_of_run.has_customers(warehouse)
            if ready:
                found = customers_of_run.search_customers(warehouse, search, _FOUND)
                decisions = _decisions(warehouse)
            taking_part = [each.table for each in inputs(warehouse, read_feeds(context.project.feeds))]
    return visit.page(
        "customers.html",
        q=search,
        customers=found,
        columns=_COLUMNS,
        limit=_FOUND,
        ready=ready,
        taking_part=taking_part,
        waiting=[
            feed for feed in read_feeds(context.project.feeds) if feed.stitch and feed.domain_table not in taking_part
        ],
        unavailable=_unavailable(),
        decisions=decisions,
        said=visit.said,
    )


def customer(visit: Visit) -> Response:
    """A customer: its values, its records, the links between them, and its history. Its forms store decisions."""
    return _decided(visit) if visit.posted else _customer_page(visit)


def explain(visit: Visit) -> Response:
    """Why two records are one customer, or are not."""
    context = visit.console.context()
    first, second = visit.parameter("first").strip(), visit.parameter("second").strip()
    problem, status = "", 200
    values: dict[str, Any] = {"customers": (), "path_of_links": [], "refused": [], "compared": [], "drawing": ""}
    if first and second:
        try:
            values |= _explained(context, first, second)
        except CourierError as error:
            problem, status = str(error), 409
    return visit.page(
        "explain.html",
        status,
        first=first,
        second=second,
        asked=bool(first and second),
        problem=problem,
        **values,
    )


def remove_decision(visit: Visit) -> Response:
    """Revokes a decision."""
    with changing(visit.console.context()) as warehouse:
        remove_label(warehouse, visit.form.get("label"))
    return visit.to("customers", said=f"The decision was removed. {_SOON}")


def run_now(visit: Visit) -> Response:
    """Runs Stitch."""
    context = visit.console.context()
    require_extra()

    def work(job: Job) -> Any:
        watcher = _Watcher(job)
        steps = group_context(context, watcher, lambda _seconds: None)
        steps.stitch()
        steps.publish()
        return watcher.result

    return visit.to("jobs", visit.console.jobs.start("stitch", "Stitch", "all tables that take part", work).id)


_SOON: Final = "It takes effect with the next run of Stitch."


class _Watcher(Audience):
    """Shows a run of Stitch in its job."""

    def __init__(self, job: Job) -> None:
        self.bar = job
        self.result: Any = None

    def stitched(self, result: Any, seconds: float) -> None:  # noqa: ARG002
        self.result = result


def _decided(visit: Visit) -> Response:
    """Stores a person's decision about the records of a customer as a label for the next run of Stitch."""
    context = visit.console.context()
    customer_id = visit.part("id")
    chosen = set(visit.form.all("record"))
    try:
        with changing(context) as warehouse:
            _expect_customers(warehouse)
            records = _all_records(warehouse, customer_id)
            if visit.form.get("do") == "join":
                other = _other(warehouse, visit.form.get("other"), customer_id)
                partitions: tuple[list[Pair], ...] = ([*records, *other],)
            else:
                partitions = _split(records, chosen)
            _store(warehouse, partitions)
    except CourierError as error:
        return _customer_page(visit, str(error), chosen=chosen)
    return visit.to("customers", said=f"The decision was stored. {_SOON}")


def _customer_page(visit: Visit, problem: str = "", chosen: Collection[str] = ()) -> Response:
    context = visit.console.context()
    customer_id = visit.part("id")
    with looking(context) as warehouse:
        _expect_customers(warehouse)
        assert warehouse is not None  # noqa: S101  (expected)
        found = customers_of_run.customer_of(warehouse, customer_id)
        if found is None:
            raise SetupError(f"There is no customer `{customer_id}` now: a run may have merged it into another one.")
        records = customers_of_run.records_of(warehouse, customer_id)
        links = customers_of_run.links_of(warehouse, customer_id, limit=_LINKS)
        changes = customers_of_run.changes_of(warehouse, customer_id)
    return visit.page(
        "customer.html",
        409 if problem else 200,
        customer=found,
        values={column: value for column, value in found.values.items() if value is not None},
        records=records,
        columns=_filled(records),
        listed=[(link, None) for link in links],
        limit=_LINKS,
        drawing=_drawing([(each.datasource, each.pk) for each in records], links),
        drawn=DRAWN,
        changes=changes,
        chosen=chosen,
        problem=problem,
        unavailable=_unavailable(),
    )


def _expect_customers(warehouse: Warehouse | None) -> None:
    if warehouse is None or not customers_of_run.has_customers(warehouse):
        raise SetupError("There are no customers yet: run Stitch on the screen Customers first.")


def _filled(records: tuple[CustomerRecord, ...]) -> list[str]:
    """The columns that any of the records fills."""
    return [name for name in (records[0].values if records else ()) if any(each.values[name] for each in records)]


def _drawing(own: list[Pair], links: tuple[Link, ...]) -> Markup:
    """The first records with the links between them, and the records of other customers that links lead to."""
    first = set(own[:DRAWN])
    rest = set(own[DRAWN:])
    shown = [link for link in links if {link.first, link.second} & first and not {link.first, link.second} & rest][
        :_LINKS
    ]
    return Markup(drawing(first, shown))  # noqa: S704  (names are escaped there)


def _explained(context: Context, first: str, second: str) -> dict[str, Any]:
    require_extra()
    from heap_courier.stitch.explain import SCORING, bits_in_words  # noqa: PLC0415  (an extra)
    from heap_courier.stitch.run import StitchContext, explained  # noqa: PLC0415  (as above)

    found = explained(StitchContext(context.project, context.warehouse, context.now, context.bar), first, second)

    def row(link: Link) -> tuple[Link, str]:
        return link, bits_in_words(found, (link.first, link.second)) if link.evidence == SCORING else ""

    links = [*found.path, *found.refused]
    linked = {(link.first, link.second) for link in links}
    ends = {record for link in links for record in (link.first, link.second)}
    return {
        "customers": found.customers,
        "path_of_links": [row(link) for link in found.path],
        "refused": [row(link) for link in found.refused],
        "compared": [(pair, bits_in_words(found, pair)) for pair in found.weights if pair not in linked],
        "drawing": Markup(drawing(ends & set(found.records), links)) if links else "",  # noqa: S704  (as above)
    }


def _all_records(warehouse: Warehouse, customer_id: str) -> list[Pair]:
    found = customers_of_run.customer_of(warehouse, customer_id)
    if found is None:
        raise SetupError("This customer no longer exists, because a run has changed it: search again.")
    return [(each.datasource, each.pk) for each in customers_of_run.records_of(warehouse, customer_id, found.records)]


def _split(records: list[Pair], chosen: set[str]) -> tuple[list[Pair], list[Pair]]:
    """The records that were not chosen, and the chosen ones."""
    parted = [each for each in records if name_of(each) in chosen]
    rest = [each for each in records if name_of(each) not in chosen]
    if len(parted) < len(chosen):
        raise SetupError("A run of Stitch has changed this customer in the meantime: review its records.")
    if not parted:
        raise SetupError("Select the records that are another customer.")
    if not rest:
        raise SetupError("All records are selected: clear the ones that stay with this customer.")
    return rest, parted


def _other(warehouse: Warehouse, text: str, customer_id: str) -> list[Pair]:
    """The records of another customer, given by its id or by one of its records."""
    if not text:
        raise SetupError("Enter the ID of the other customer, or one of its records, such as CRM:Customers/1001.")
    other, _ = find(warehouse, text)
    if other == customer_id:
        raise SetupError(f"`{text}` already belongs to this customer.")
    return _all_records(warehouse, other)


def _store(warehouse: Warehouse, partitions: tuple[list[Pair], ...]) -> None:
    label = label_of(f"console-{secrets.token_hex(4)}", *partitions)
    refuse_contradiction(stored_labels(warehouse), label)
    store_labels(warehouse, label)


def _decisions(warehouse: Warehouse) -> list[tuple[str, list[list[str]]]]:
    """The labels, each with the records of its partitions as text."""
    decisions = []
    for label_id, lines in stored_labels(warehouse).items():
        partitions: dict[str, list[str]] = {}
        for each in lines:
            what = (
                f"{each.datasource}/{each.value}"
                if each.semantic == "pk"
                else f"{each.datasource}, {each.semantic} {each.value}"
            )
            partitions.setdefault(each.partition_id, []).append(what)
        decisions.append((label_id, list(partitions.values())))
    return decisions


def _unavailable() -> str:
    """Why Stitch cannot run, in a sentence; empty if it can."""
    try:
        require_extra()
    except SetupError as error:
        return str(error)
    return ""
