"""DuckDB and PostgreSQL: transactions, upserts, the run log. Never where rows come from."""
