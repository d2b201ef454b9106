"""The limit on the time of a call to S3."""

from __future__ import annotations

import socket

from heap_courier.files.time_limit import TimeLimit


def test_all_connections_of_a_late_call_are_shut_down_even_if_one_is_closed_already() -> None:
    used, server = socket.socketpair()
    unconnected = socket.socket()  # shutting it down fails, as it does after a reset
    with used, server, unconnected, TimeLimit().call(0.05) as call:
        call.use(unconnected)
        call.use(used)
        used.settimeout(20)
        assert used.recv(1) == b""
        assert call.is_late
