"""Normalisation of values before they are compared."""

from __future__ import annotations

from collections.abc import Callable

import duckdb
import pytest

from heap_courier.stitch.records import normalising


@pytest.mark.parametrize(
    ("rule", "given", "expected"),
    [
        (normalising.address, "123 W. Elm St.", "123 WEST ELM STREET"),
        (normalising.address, "1st  Ave, Apt #4", "FIRST AVENUE APARTMENT 4"),
        (normalising.address, " , ", None),
        (normalising.birthdate, "1980-02-03", "19800203"),
        (normalising.birthdate, "1980-02-03 00:00:00", "19800203"),
        (normalising.birthdate, "03.02.1980", "19800203"),
        (normalising.birthdate, "02/30/1980", None),
        (normalising.birthdate, "soon", None),
        (normalising.email, " Bob+News@Acme.com ", "BOB@ACME.COM"),
        (normalising.email, "bob@acme", None),
        (normalising.email, "b@a.c", None),
        (normalising.email, "zoe\u0308@acme.com", "ZO\u00cb@ACME.COM"),
        (normalising.email, "bob smith@acme.com", None),
        (normalising.gender, "female", "F"),
        (normalising.gender, "other", None),
        (normalising.name, "O'Neil", "ONEIL"),
        (normalising.name, " Anne-Marie ", "ANNE MARIE"),
        (normalising.name, "??", None),
        (normalising.name, "12-3", None),
        (normalising.without_title, "MRS SMITH", "SMITH"),
        (normalising.without_title, "DREW SMITH", "DREW SMITH"),
        (normalising.phone, "+1 (555) 123-4567", "5551234567"),
        (normalising.phone, "555-123-4567 ext. 12", "5551234567"),
        (normalising.phone, "12345", None),
        (normalising.phone, "+1 000 000 0000", "0000000000"),
        (normalising.postal, "02139-1234", "02139"),
        (normalising.postal, "sw1a 1aa", "SW1A1AA"),
        (normalising.suffix, "SMITH JR", "JR"),
        (normalising.without_suffix, "SMITH JR", "SMITH"),
    ],
)
def test_a_value_is_normalised(rule: Callable[[str], str], given: str, expected: str | None) -> None:
    literal = "'" + given.replace("'", "''") + "'"

    assert duckdb.sql(f"SELECT {rule(literal)}").fetchall() == [(expected,)]
    assert duckdb.sql(f"SELECT {rule('CAST(NULL AS VARCHAR)')}").fetchall() == [(None,)]
