"""Reads the records of customers, normalises them, and removes bad values. Never links them."""
