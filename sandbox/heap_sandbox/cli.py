"""The command heap-sandbox."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from socket import socket
from typing import Any

try:
    from heap_sandbox.heap import Heap
    from heap_sandbox.server import HOST, assemble, listen, serve, url
    from heap_sandbox.store import Store, Unusable
except ModuleNotFoundError as missing:
    package = str(missing.name).partition(".")[0]
    sys.exit(f"The sandbox needs {package}: pip install 'destination-heap-analytics[sandbox]', or -e '.[sandbox]'.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the sandbox until Ctrl-C or SIGTERM; returns the exit code."""
    options = _options(arguments)
    try:
        with closing(Store(options.database)) as store:
            heap = assemble(store, options.app_id, rate_limits=options.rate_limits, scale=options.scale)
            with closing(_listen(options.port)) as listener:
                asyncio.run(_run(heap, listener))
    except (Unusable, _Busy, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


class _Busy(Exception):  # noqa: N818  # says what is the matter with the port
    """A port that cannot be listened on."""


def _listen(port: int) -> socket:
    try:
        return listen(port)
    except (OSError, OverflowError) as error:
        reason = str(getattr(error, "strerror", None) or error).rstrip(".")
        raise _Busy(f"Cannot listen on {HOST}:{port}: {reason}. Choose another port with --port.") from error


async def _run(heap: Heap, listener: socket) -> None:
    with _signals(heap.stopping):
        sys.stdout.write(
            f"Heap sandbox listening on {url(listener)}\nOpen {url(listener)}/ in a browser to watch it.\n"
        )
        sys.stdout.flush()
        await serve(heap, listener)


@contextmanager
def _signals(stopping: asyncio.Event) -> Iterator[None]:
    """End in an orderly way on Ctrl-C and SIGTERM; plain handlers, since a loop's own do not exist on Windows."""
    loop = asyncio.get_running_loop()

    def stop(_number: int, _frame: Any) -> None:
        loop.call_soon_threadsafe(stopping.set)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="heap-sandbox",
        description="A local Heap to try a client against, and a page to watch it. It answers on 127.0.0.1 only.",
    )
    parser.add_argument("--port", type=int, default=8470, help="port to listen on, 0 for a free one (default: 8470)")
    parser.add_argument("--database", type=Path, help="file to keep the data in (default: gone at the end)")
    parser.add_argument(
        "--app-id", action="append", default=[], metavar="DIGITS", help="an app that exists, repeatable (default: any)"
    )
    parser.add_argument("--rate-limits", action="store_true", help="enforce the rates that Heap documents")
    parser.add_argument(
        "--scale", type=float, default=1.0, metavar="N", help="divide the length of the rates' windows by N"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
