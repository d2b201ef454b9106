"""One TCP connection, for faults that end it."""

from __future__ import annotations

import asyncio
import os
import socket
import struct

from uvicorn.protocols.http.h11_impl import H11Protocol

_NO_LINGER = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)


class Connection:
    """A client's connection. `number` is given when its first request to Heap arrives."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.number = 0
        self._transport = transport

    def reset(self) -> None:
        """End it with RST instead of FIN, discarding what was not sent yet."""
        if self._transport.is_closing():
            return  # the client has closed it already
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self._transport.abort()

    def close(self) -> None:
        """Close it normally."""
        self._transport.close()


class ConnectionProtocol(H11Protocol):
    """uvicorn's HTTP protocol; every request finds its connection in `scope["state"]`.

    ASGI hides the transport. uvicorn copies `app_state` into the scope of each request, so a connection put there
    reaches the application without touching anything private. test_server.py guards it.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Give this connection its own state."""
        super().connection_made(transport)
        self.app_state = {"connection": Connection(transport)}
