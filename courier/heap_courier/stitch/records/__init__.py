"""Reads the records of customers, normalises them, and removes bad values. Linking them is not part of it."""
