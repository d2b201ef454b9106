"""Notices: what happens, as it is logged, counted and sent to people. Never decides what a run does."""
