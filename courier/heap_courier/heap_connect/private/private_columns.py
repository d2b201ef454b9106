"""Columns of Heap's tables that a courier hashes or leaves out. Pure."""

from __future__ import annotations

import hmac
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

import pyarrow as pa

from heap_courier.documents.wording import did_you_mean, listed
from heap_courier.errors import SchemaError, SetupError
from heap_courier.files.entities import HASH, LEAVE_OUT, ColumnRule, HeapConnectEntity

SHORTEST_SECRET: Final = 16  # characters


@dataclass(frozen=True, slots=True)
class PrivateColumns:
    """The rules of an entity, and the secret for hashes, which is empty if nothing is hashed."""

    rules: tuple[ColumnRule, ...] = ()
    secret: bytes = b""

    @property
    def fingerprint(self) -> str:
        """Identifies the secret without revealing it."""
        return hmac.digest(self.secret, b"heap-courier fingerprint", "sha256").hex()

    def hashed(self, table: str, columns: Iterable[str]) -> frozenset[str]:
        """The columns of a table to hash."""
        return frozenset(column for column in columns if self._treatments(table, column) == {HASH})

    def left_out(self, table: str, columns: Iterable[str]) -> frozenset[str]:
        """The columns of a table to leave out, including those with both rules."""
        return frozenset(column for column in columns if LEAVE_OUT in self._treatments(table, column))

    def _treatments(self, table: str, column: str) -> set[str]:
        """The rules for a column, whose name matches in any case, so that no value escapes its rule."""
        return {
            rule.treatment
            for rule in self.rules
            if rule.column.lower() == column.lower() and fnmatchcase(table, rule.table)
        }

    def expect_tables(self, tables: Mapping[str, Collection[str] | None]) -> None:
        """Refuses rules that match nothing, because a misspelled rule would let values through.

        Args:
            tables: all tables with their columns, or None if these are unknown.

        Raises:
            SetupError: no table matches a rule, or no matching table has the column.
        """
        for rule in self.rules:
            matching = {name: columns for name, columns in tables.items() if fnmatchcase(name, rule.table)}
            if not matching:
                raise SetupError(
                    f"`heap-connect/columns`: there is no table `{rule.table}`{did_you_mean(rule.table, tables)}."
                )
            if "*" in rule.table and None not in matching.values():
                known = {column for columns in matching.values() for column in columns or ()}
                if rule.column.lower() not in {column.lower() for column in known}:
                    raise SetupError(
                        f"`heap-connect/columns`: no table that matches `{rule.table}` has a column `{rule.column}`"
                        f"{did_you_mean(rule.column, sorted(known))}."
                    )

    def expect_columns(self, table: str, columns: Collection[str]) -> None:
        """Refuses a table without the column of a rule for this table.

        Raises:
            SchemaError: there is no such column; suggests the nearest one, or lists all.
        """
        known = {column.lower() for column in columns}
        for rule in self.rules:
            if rule.table == table and rule.column.lower() not in known:
                remedy = did_you_mean(rule.column, columns) or f"; it has {listed(sorted(columns))}"
                raise SchemaError(f"`heap-connect/columns`: the table `{table}` has no column `{rule.column}`{remedy}.")

    def with_hashes(self, columns: Collection[str], batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch with these String columns hashed."""
        arrays = [
            self.hashes(values) if name in columns else values
            for name, values in zip(batch.schema.names, batch.columns, strict=True)
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=batch.schema)

    def hashes(self, texts: pa.StringArray) -> pa.StringArray:
        """The HMAC-SHA256 of each text in hexadecimal; null stays null."""
        encoded = texts.dictionary_encode()
        hashes = [hmac.digest(self.secret, text.encode(), "sha256").hex() for text in encoded.dictionary.to_pylist()]
        return pa.array(hashes, pa.string()).take(encoded.indices)


def private_columns(entity: HeapConnectEntity, environment: Mapping[str, str]) -> PrivateColumns:
    """The rules of an entity, with the secret from the environment.

    Raises:
        SetupError: the secret is missing or too short.
    """
    if entity.hash_secret_env is None:
        return PrivateColumns(entity.columns)
    secret = environment.get(entity.hash_secret_env, "")
    if len(secret) < SHORTEST_SECRET:
        raise SetupError(
            f"The environment variable `{entity.hash_secret_env}` must contain the secret for hashed columns, at least "
            f"{SHORTEST_SECRET} characters long (`heap-connect/hash-secret-env`)."
        )
    return PrivateColumns(entity.columns, secret.encode())
