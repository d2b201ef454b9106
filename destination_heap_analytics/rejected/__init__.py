"""Rejected records: counted, explained, stored and sent again. Never the decision to reject one."""
