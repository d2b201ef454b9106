"""The console's web server: reachable from this computer only, unless configured otherwise."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvicorn

from heap_courier.console.app import application
from heap_courier.console.gate import LEAST_TOKEN, Access
from heap_courier.console.visit import Console
from heap_courier.errors import SetupError
from heap_courier.signals import stopped_by_signals

TOKEN_VARIABLE: Final = "HEAP_COURIER_CONSOLE_TOKEN"  # noqa: S105  (the name of the variable)
_GRACE: Final = 2  # seconds for open requests when the console stops
_POLL: Final = 0.2


@dataclass(frozen=True, slots=True)
class Place:
    """Where the console listens, and how it is reached.

    Attributes:
        host: the address to listen on.
        port: the port; 0 picks a free one.
        names: host names that it can be reached by, besides `localhost`.
        certificate, key: the files for TLS.
        behind_proxy: whether a proxy in front of it terminates TLS.
        token: the token that it requires, if any.
    """

    host: str = "127.0.0.1"
    port: int = 8480
    names: tuple[str, ...] = ()
    certificate: Path | None = None
    key: Path | None = None
    behind_proxy: bool = False
    token: str | None = None

    @property
    def is_local(self) -> bool:
        """Whether only this computer can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback and not self.names
        except ValueError:
            return self.host == "localhost" and not self.names

    def access(self) -> Access:
        """The access rules.

        Raises:
            SetupError: other computers could reach it without a token or without TLS.
        """
        if self.token is not None and len(self.token) < LEAST_TOKEN:
            raise SetupError(
                f"The token in {TOKEN_VARIABLE} is too short: use at least {LEAST_TOKEN} characters, such as the "
                "output of `openssl rand -hex 20`."
            )
        if self.token is not None and not self.token.isascii():
            raise SetupError(f"The token in {TOKEN_VARIABLE} must contain only ASCII characters: choose another one.")
        if (self.certificate is None) != (self.key is None):
            raise SetupError("TLS requires both --tls-cert and --tls-key.")
        secure = self.certificate is not None or self.behind_proxy
        if not self.is_local and self.token is None:
            raise SetupError(
                "Other computers could reach the console: set a token in the environment variable "
                f"{TOKEN_VARIABLE}, or omit --host and --allow-host."
            )
        if not self.is_local and not secure:
            raise SetupError(
                "Other computers could reach the console without encryption: set --tls-cert and --tls-key, or "
                "--behind-proxy if a proxy in front of it terminates TLS."
            )
        hosts = {name.lower() for name in self.names}
        if self.host not in ("0.0.0.0", "::"):  # noqa: S104  (compared, not listened on)
            hosts.add(f"[{self.host.lower()}]" if ":" in self.host else self.host.lower())
        return Access(self.token, frozenset(hosts), secure)


def listen(place: Place) -> socket.socket:
    """A listening socket. Raises SetupError if the address or port cannot be used."""
    try:
        family, _, _, _, address = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except (OSError, OverflowError, UnicodeError) as error:
        raise SetupError(f"Cannot listen on `{place.host}`: {_reason(error)}. Choose another --host.") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(256)
    except (OSError, OverflowError) as error:
        listener.close()
        raise SetupError(
            f"Cannot listen on {place.host}:{place.port}: {_reason(error)}. Choose another port with --port."
        ) from error
    return listener


def serve(console: Console, place: Place, say: Callable[[str], None]) -> None:
    """Serves the console until SIGTERM or Ctrl-C; a second one exits immediately.

    On the first one, running jobs are asked to stop and awaited. Call this from the main thread.

    Raises:
        SetupError: the address cannot be used, or other computers could reach the console unprotected.
    """
    stop = threading.Event()
    with stopped_by_signals(stop, say), serving(console, place) as (address, thread):
        say(f"Console of `{console.folder.resolve()}`: open {address}/")
        while not stop.wait(_POLL) and thread.is_alive():
            pass


@contextmanager
def serving(console: Console, place: Place) -> Iterator[tuple[str, threading.Thread]]:
    """Runs the console in a thread within a `with` block; yields its address and the thread. Raises as `serve`."""
    access = place.access()
    with closing(listen(place)) as listener:
        server = uvicorn.Server(_config(console, access, place))
        thread = threading.Thread(target=server.run, args=([listener],), name="console")
        thread.start()
        scheme = "https" if place.certificate else "http"
        host = f"[{place.host}]" if ":" in place.host else place.host
        try:
            yield f"{scheme}://{host}:{listener.getsockname()[1]}", thread
        finally:
            server.should_exit = True
            console.close()
            thread.join()


def _config(console: Console, access: Access, place: Place) -> uvicorn.Config:
    try:
        config = uvicorn.Config(
            application(console, access),
            ws="none",
            lifespan="off",
            interface="asgi3",
            proxy_headers=False,
            server_header=False,
            access_log=False,
            log_config=None,
            log_level="critical",
            timeout_graceful_shutdown=_GRACE,
            ssl_certfile=place.certificate,
            ssl_keyfile=place.key,
        )
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise SetupError(
            f"The certificate `{place.certificate}` with the key `{place.key}` cannot be used: {_reason(error)}."
        ) from error
    return config


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).rstrip(".")
