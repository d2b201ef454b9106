"""The heap-sandbox command."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from socket import socket
from typing import Any, NoReturn

from heap_sandbox.version import VERSION

try:
    from heap_sandbox.mock.database import Unusable
    from heap_sandbox.mock.heap import Heap
    from heap_sandbox.mock.store import Store
    from heap_sandbox.server import HOST, assemble, listen, serve, url
except ModuleNotFoundError as missing:
    package = str(missing.name).partition(".")[0]
    sys.exit(f"heap-sandbox requires {package}, which is not installed. Run: pip install ./sandbox")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the sandbox until Ctrl-C or SIGTERM; returns the exit code."""
    options = _options(arguments)
    try:
        with closing(Store(options.database)) as store:
            heap = assemble(
                store, options.app_id, options.api_key, rate_limits=options.rate_limits, scale=options.scale
            )
            with closing(_listen(options.port, options.host)) as listener:
                asyncio.run(_run(heap, listener))
    except (Unusable, _Busy, ValueError) as error:
        sys.stderr.write(f"{printable(str(error))}\n")
        return 1
    return 0


class _Busy(Exception):  # noqa: N818  # a reason, not a defect
    """The port cannot be used."""


def _listen(port: int, host: str) -> socket:
    try:
        return listen(port, host)
    except (OSError, OverflowError) as error:
        reason = str(getattr(error, "strerror", None) or error).rstrip(".")
        raise _Busy(f"Cannot listen on {host}:{port}: {reason}. Choose another port with --port.") from error


async def _run(heap: Heap, listener: socket) -> None:
    with _signals(heap.stopping):
        sys.stdout.write(
            f"Heap sandbox listening on {url(listener)}\nOpen {url(listener)}/ in a browser for a live view.\n"
        )
        sys.stdout.flush()
        await serve(heap, listener)


@contextmanager
def _signals(stopping: asyncio.Event) -> Iterator[None]:
    """Shut down cleanly on Ctrl-C and SIGTERM. Plain handlers, because Windows has no event loop handlers."""
    loop = asyncio.get_running_loop()

    def stop(_number: int, _frame: Any) -> None:
        loop.call_soon_threadsafe(stopping.set)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def printable(text: str) -> str:
    """The text with control characters escaped, so that it cannot control the terminal."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


class _Parser(argparse.ArgumentParser):
    """A parser that escapes control characters in its error messages."""

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = _Parser(
        prog="heap-sandbox",
        description="A local mock of Heap's server-side API with a live page. It listens on 127.0.0.1.",
    )
    parser.add_argument("--version", action="version", version=f"{parser.prog} {VERSION}")
    parser.add_argument("--port", type=int, default=8470, help="port to listen on, 0 for any free one (default: 8470)")
    parser.add_argument(
        "--host",
        default=HOST,
        metavar="ADDRESS",
        help="address to listen on; change it only in a container whose port only this computer can reach "
        "(default: 127.0.0.1)",
    )
    parser.add_argument("--database", type=Path, help="file to keep the data in (default: discard it on exit)")
    parser.add_argument(
        "--app-id", action="append", default=[], metavar="DIGITS", help="accept this app ID; repeatable (default: any)"
    )
    parser.add_argument(
        "--api-key", action="append", default=[], metavar="KEY", help="accept this API key; repeatable (default: any)"
    )
    parser.add_argument("--rate-limits", action="store_true", help="enforce Heap's documented rate limits")
    parser.add_argument("--scale", type=float, default=1.0, metavar="N", help="divide the rate limits' windows by N")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
