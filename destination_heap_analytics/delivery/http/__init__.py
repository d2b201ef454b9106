"""Requests over HTTP: connections, responses, threads that post, one client per kind of API. Never which rows go."""
