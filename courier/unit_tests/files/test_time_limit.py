"""The time that a call to S3 may take."""

from __future__ import annotations

import socket

from heap_courier.files.time_limit import TimeLimit


def test_all_connections_of_a_late_call_are_shut_down_also_after_one_that_its_server_closed() -> None:
    used, server = socket.socketpair()
    unconnected = socket.socket()  # shutting it down fails, as it does after a reset
    with used, server, unconnected, TimeLimit().call(0.05) as call:
        call.use(unconnected)
        call.use(used)
        used.settimeout(20)
        assert used.recv(1) == b""
        assert call.is_late
