"""Columns that are hashed or left out: the rules, and the record of hashed columns. Never how a row is loaded."""
