"""Values that are not used for linking."""

from __future__ import annotations

import duckdb
import pytest

from heap_courier.stitch.records import bad_values

BAD = {
    "email": [
        "TEST@GMAIL.COM", "TEST1@ACME.COM", "NO-REPLY@ACME.COM", "NO.REPLY@ACME.COM", "NONE@NONE.NONE", "NO@ACME.COM",
        "ABC@ABC.COM", "AAA@ACME.COM", "ANN@EXAMPLE.COM", "N.A@ACME.COM",
    ],
    "phone": [
        "0000000000", "5555555555", "6175555555", "0000000001", "1234567890", "6175551212", "5551212", "1111111",
    ],
    "given_name": ["TEST", "TEST TEST", "NO NAME", "UNKNOWN UNKNOWN", "NOT PROVIDED", "MR", "NA"],
    "birthdate": ["19000101", "00010101", "99991231", "11111111", "18500101", "20991231"],
    "postal": ["00000", "99999"],
    "address": ["GENERAL DELIVERY", "UNKNOWN"],
}  # fmt: skip
GOOD = {
    "email": ["TESTA@ACME.COM", "ANN@ACME.COM", "NOELLE@ACME.COM", "ИВАН@ACME.COM", "JO@ACME.COM", "USER7@ACME.COM"],
    "phone": ["6175551234", "5550001", "2000000123"],
    "given_name": ["NO", "TESTA", "ANNA NA", "NAOMI", "MRS SMITH"],
    "birthdate": ["19500203", "20240229", "18900101"],
    "postal": ["02139", "10000"],
    "address": ["1 UNKNOWN ROAD"],
}
BAD_KEYS = [
    "UNKNOWN", "unknown", " n/a ", "#N/A", "(null)", "[null]", "\\N", "nan", "None", "-", "---", "???", "0", "000000",
    "-1", "00000000-0000-0000-0000-000000000000", "\t", "\u00a0", "\u3000 ",
]  # fmt: skip
GOOD_KEYS = ["1", "007", "00000000-0000-0000-0000-000000000001", "ключ", "王", "k-1", "nancy", "1e0"]


def found(condition: str, values: list[str]) -> list[str]:
    rows = duckdb.execute(f"SELECT value FROM (SELECT unnest($1) AS value) WHERE {condition}", [values]).fetchall()
    return sorted(value for (value,) in rows)


@pytest.mark.parametrize("semantic", BAD)
def test_placeholders_are_bad_but_similar_values_are_not(semantic: str) -> None:
    assert found(bad_values.is_bad(semantic), BAD[semantic] + GOOD[semantic]) == sorted(BAD[semantic])


def test_placeholders_are_bad_keys_in_any_spelling() -> None:
    assert found(bad_values.is_bad_key("value"), BAD_KEYS + GOOD_KEYS) == sorted(BAD_KEYS)
