"""The command that serves the console: `console`."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from pathlib import Path

import click

from heap_courier.cli.log import LOG
from heap_courier.errors import SetupError
from heap_courier.notices.notice import note, trouble


@click.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8480, show_default=True, help="The port; 0 for a free one."
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="The address to listen on; any other than 127.0.0.1 needs a token.",
)
@click.option(
    "--allow-host",
    "names",
    multiple=True,
    metavar="NAME",
    help="A host name under which browsers may reach it; can be repeated.",
)
@click.option(
    "--tls-cert", "certificate", type=click.Path(dir_okay=False, path_type=Path), help="The certificate for https."
)
@click.option(
    "--tls-key", "key", type=click.Path(dir_okay=False, path_type=Path), help="The certificate's private key."
)
@click.option("--behind-proxy", is_flag=True, help="A proxy in front of the console terminates TLS.")
@click.pass_obj
def console(
    folder: Path,
    /,
    *,
    port: int,
    host: str,
    names: tuple[str, ...],
    certificate: Path | None,
    key: Path | None,
    behind_proxy: bool,
) -> None:
    """Serve the console, which manages the project in a browser, until stopped with Ctrl-C or SIGTERM.

    By default only this computer can reach it. To let others reach it, set a token in the environment variable
    HEAP_COURIER_CONSOLE_TOKEN and use TLS: --tls-cert and --tls-key, or a proxy and --behind-proxy.
    """
    from heap_courier.notices.metrics import Metrics  # noqa: PLC0415  (only this command needs it)

    try:
        from heap_courier.console.jobs import Jobs  # noqa: PLC0415  (an extra that other commands do not need)
        from heap_courier.console.server import TOKEN_VARIABLE, Place, serve  # noqa: PLC0415
        from heap_courier.console.visit import Console  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("heap_courier"):
            raise
        raise SetupError(
            f"The console needs the Python package `{error.name}`: run `pip install './courier[console]'` in the "
            "checkout."
        ) from None

    metrics = Metrics()
    LOG.listeners[:] = [metrics]
    jobs = Jobs(lambda fault: LOG(trouble(fault)))
    serve(
        Console(folder, os.environ, lambda: datetime.now(timezone.utc), jobs, LOG, metrics.exposed),
        Place(host, port, names, certificate, key, behind_proxy, os.environ.get(TOKEN_VARIABLE) or None),
        lambda sentence: LOG(note(sentence)),
    )
