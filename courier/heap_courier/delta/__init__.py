"""Publishes domain tables as Delta tables for other engines. Never decides what a table contains."""
