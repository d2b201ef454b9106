"""Courier groups: runs of several couriers, schedules, notifications. Never what a courier does."""
