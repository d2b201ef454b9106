"""Views that depend on a PostgreSQL table, read from the catalog with everything needed to recreate them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

from heap_courier.errors import SchemaError
from heap_courier.warehouse.base import View, quoted

_DEPENDENTS: Final = """
    WITH RECURSIVE dependent(oid, depth) AS (
        SELECT c.oid, 0 FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname = current_schema() AND c.relname = $1
        UNION
        SELECT r.ev_class, d.depth + 1
        FROM dependent AS d
        JOIN pg_catalog.pg_depend AS p ON p.refobjid = d.oid AND p.refclassid = 'pg_catalog.pg_class'::regclass
            AND p.classid = 'pg_catalog.pg_rewrite'::regclass
        JOIN pg_catalog.pg_rewrite AS r ON r.oid = p.objid AND r.ev_class <> d.oid
    ), deepest AS (
        SELECT oid, max(depth) AS depth FROM dependent GROUP BY oid
    )
    SELECT CAST(c.oid AS bigint), CASE WHEN n.nspname = current_schema() THEN c.relname END,
        quote_ident(n.nspname) || '.' || quote_ident(c.relname), CAST(c.relkind AS text),
        pg_catalog.pg_get_userbyid(c.relowner), pg_catalog.pg_has_role(c.relowner, 'USAGE'),
        c.relowner = (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = current_user),
        CASE WHEN c.relkind IN ('v', 'm') THEN rtrim(pg_catalog.pg_get_viewdef(c.oid), '; ') END,
        (SELECT string_agg(quote_ident(option_name) || ' = ' || quote_literal(option_value), ', ')
            FROM pg_catalog.pg_options_to_table(c.reloptions)),
        c.relispopulated,
        EXISTS (SELECT 1 FROM pg_catalog.pg_trigger AS t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal)
            OR EXISTS (SELECT 1 FROM pg_catalog.pg_rewrite AS r WHERE r.ev_class = c.oid AND r.rulename <> '_RETURN')
    FROM deepest AS d
    JOIN pg_catalog.pg_class AS c ON c.oid = d.oid JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE d.depth >= $2 ORDER BY d.depth, c.oid
"""
_GRANTED: Final = """
    SELECT format('GRANT %s%s ON %s TO %s%s', g.privilege_type, columns, $2, CASE WHEN g.grantee = 0 THEN 'PUBLIC'
        ELSE quote_ident(pg_catalog.pg_get_userbyid(g.grantee)) END, CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION'
        ELSE '' END)
    FROM (
        SELECT relacl, '' FROM pg_catalog.pg_class WHERE oid = $1
        UNION ALL
        SELECT attacl, ' (' || quote_ident(attname) || ')' FROM pg_catalog.pg_attribute
        WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped
    ) AS rights(acl, columns), LATERAL pg_catalog.aclexplode(acl) AS g
    WHERE acl IS NOT NULL
"""
_COMMENTS: Final = """
    SELECT format('COMMENT ON %s %s IS %L', $3, $2, description) FROM pg_catalog.pg_description
    WHERE objoid = $1 AND classoid = 'pg_catalog.pg_class'::regclass AND objsubid = 0
    UNION ALL
    SELECT format('COMMENT ON COLUMN %s.%I IS %L', $2, a.attname, description) FROM pg_catalog.pg_description
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = objoid AND a.attnum = objsubid
    WHERE objoid = $1 AND classoid = 'pg_catalog.pg_class'::regclass
"""
_INDEXES: Final = "SELECT pg_catalog.pg_get_indexdef(indexrelid) FROM pg_catalog.pg_index WHERE indrelid = $1"
_KINDS: Final = {"v": "VIEW", "m": "MATERIALIZED VIEW"}


class Catalog(Protocol):
    """A connection that can query the catalog."""

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Runs a query. Returns its rows."""


def dependents(catalog: Catalog, relation: str, *, itself: bool) -> list[View]:
    """All views that depend, directly or indirectly, on a table or view of the current schema.

    They are in an order in which they can be created.

    Raises:
        SchemaError: one of them belongs to another user, or could not be recreated unchanged.
    """
    return [_view(catalog, row) for row in catalog.query(_DEPENDENTS, (relation, 0 if itself else 1))]


def _view(catalog: Catalog, row: tuple[Any, ...]) -> View:
    oid, relation, name, letter, owner, is_owner, is_mine, query, options, is_populated, has_more = row
    if letter not in _KINDS or has_more:
        raise SchemaError(
            f"{name} depends on a table whose columns change, and has rules or triggers that would be lost: drop it, "
            "run the courier, then create it again."
        )
    if not is_owner:
        raise SchemaError(
            f"The view {name} depends on a table whose columns change, and belongs to `{owner}`: let `{owner}` drop it "
            "and create it again after the run, or make the user in the address a member of that role."
        )
    kind = _KINDS[letter]
    options = f" WITH ({options})" if options else ""
    data = " WITH NO DATA" if not is_populated else ""
    statements = [] if is_mine else [f"ALTER {kind} {name} OWNER TO {quoted(owner)}"]
    statements += [sql for (sql,) in catalog.query(_GRANTED, (oid, name))]
    statements += [sql for (sql,) in catalog.query(_COMMENTS, (oid, name, kind))]
    statements += [sql for (sql,) in catalog.query(_INDEXES, (oid,))]
    return View(relation, name, kind, f"CREATE {kind} {name}{options} AS {query}{data}", tuple(statements))
