"""Columns that are hashed or left out: the rules, and what is recorded of them. Never how a row is loaded."""
