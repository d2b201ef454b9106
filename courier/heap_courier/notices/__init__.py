"""Notices: events that are logged, counted and sent as notifications. Never decides what a run does."""
