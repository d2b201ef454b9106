"""Publishes domain tables as Delta tables for other engines. Only copies: never decides what a table contains."""
