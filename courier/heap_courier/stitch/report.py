"""Benchmarks of the last run: https://docs.amperity.com/reference/stitch_benchmarks.html."""

from __future__ import annotations

from typing import Final, NamedTuple

from heap_courier.errors import SetupError
from heap_courier.stitch.tables.definitions import COALESCED
from heap_courier.warehouse.base import Warehouse, quoted

CLUSTERS: Final = 10
"""The number of customers listed."""


class Benchmark(NamedTuple):
    """A share that should be small.

    Attributes:
        name: what is measured.
        share: the share of customers, or of combinations of values; 0 to 1.
        best: the upper end of the best range; None if none is published. One is published for given names only.
    """

    name: str
    share: float
    best: float | None


class Suspect(NamedTuple):
    """A customer to review."""

    customer_id: str
    records: int
    given_names: int
    surnames: int
    postal_codes: int
    supersized: bool


class QualityReport(NamedTuple):
    """The benchmarks, and the customers to review first."""

    benchmarks: tuple[Benchmark, ...]
    suspects: tuple[Suspect, ...]


_COUNTS: Final = f"""
    SELECT customer_id, count(*) AS records, count(DISTINCT UPPER(TRIM(given_name))) AS given_names,
        count(DISTINCT UPPER(TRIM(surname))) AS surnames, count(DISTINCT UPPER(TRIM(postal))) AS postal_codes,
        bool_or(supersized) AS supersized
    FROM {quoted(COALESCED)} GROUP BY customer_id
"""
_MANY: Final = (("given_names", 3, 0.00011), ("surnames", 3, None), ("postal_codes", 5, None))
_SHARED: Final = (("e-mail", ("email",)), ("phone", ("phone",)), ("address", ("address", "city", "state", "postal")))


def report(warehouse: Warehouse) -> QualityReport:
    """The benchmarks of the last run.

    Raises:
        SetupError: Stitch has not run yet.
    """
    if not warehouse.columns(COALESCED):
        raise SetupError("There are no customers yet: run `heap-courier stitch run` first.")
    benchmarks = []
    for name, most, best in _MANY:
        share = _share(warehouse, f"SELECT {name} > {most} AS counts FROM ({_COUNTS}) AS c")
        benchmarks.append(Benchmark(f"customers with more than {most} {name.replace('_', ' ')}", share, best))
    for name, columns in _SHARED:
        same = ", ".join(
            f"UPPER(TRIM({column}))" for column in ("COALESCE(given_name, full_name)", "surname", *columns)
        )
        held = (
            f"SELECT count(DISTINCT customer_id) > 1 AS counts FROM {quoted(COALESCED)} WHERE {columns[0]} IS NOT NULL "
            f"AND COALESCE(given_name, full_name) IS NOT NULL GROUP BY {same}"
        )
        benchmarks.append(Benchmark(f"name and {name} of several customers", _share(warehouse, held), None))
    suspects = warehouse.query(
        f"SELECT * FROM ({_COUNTS}) AS c WHERE given_names > 3 OR surnames > 3 OR postal_codes > 5 OR supersized "
        f"ORDER BY supersized DESC, given_names + surnames + postal_codes DESC, customer_id LIMIT {CLUSTERS}"
    )
    return QualityReport(tuple(benchmarks), tuple(Suspect(*row) for row in suspects))


def _share(warehouse: Warehouse, query: str) -> float:
    ((counted, whole),) = warehouse.query(f"SELECT count(CASE WHEN counts THEN 1 END), count(*) FROM ({query}) AS q")
    return float(counted) / whole if whole else 0.0
