"""`heap-courier`: the command line, and how it exits."""

from __future__ import annotations

import errno
import os
import signal
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Final, NoReturn

import click

from heap_courier.cli.log import LOG
from heap_courier.documents.wording import did_you_mean
from heap_courier.errors import CourierError, internal_error
from heap_courier.notices.log import FORMATS
from heap_courier.notices.notice import Notice
from heap_courier.printable import printable
from heap_courier.signals import Interruption

_COMMANDS: Final = {
    "init": ("init", "Create a project: heap-courier.yaml, entities, load operations."),
    "check": ("couriers", "Check the project, buckets, credentials, newest files and feeds."),
    "sample": ("couriers", "Fetch files of a courier and keep them, without loading them."),
    "feed": ("feeds", "Feeds: how the rows of a file become rows of a domain table."),
    "run": ("couriers", "Run a courier: fetch its files and load them into their domain tables."),
    "group": ("groups", "Courier groups: couriers that run together, by hand or on a schedule."),
    "console": ("console", "Serve the console, which manages the project in a browser."),
    "stitch": ("stitch", "Stitch: link each customer's records across all feeds."),
    "tables": ("tables", "List the domain tables."),
    "show": ("tables", "Show rows of a domain table."),
    "publish": ("maintenance", "Publish changed domain tables as Delta tables, for other engines."),
    "backup": ("maintenance", "Back up the DuckDB warehouse, even while the daemon is running."),
    "restore": ("maintenance", "Replace the warehouse with a backup."),
    "prune": ("maintenance", "Remove expired samples, runs and kept files."),
    "runs": ("tables", "List the runs, or show one of them."),
}


class _Commands(click.Group):
    """Commands whose modules are imported on first call: the Avro and S3 libraries take a second to import."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  (click's)
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            ctx.fail(f"There is no command `{cmd_name}`{did_you_mean(cmd_name, _COMMANDS)}.")
        module, _ = _COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(f"heap_courier.cli.{module}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, sentence) for name, (_, sentence) in _COMMANDS.items()])


def main() -> NoReturn:
    """Runs the command line. An error is a sentence and exit code 1; Ctrl-C gives 130 and SIGTERM 143."""
    interruption = Interruption()
    try:
        code = exit_code(interruption)
    except Exception as error:
        if not LOG.is_json:
            raise
        _complain(internal_error(error))
        code = 1
    try:
        if sys.stdout:  # None if standard output is closed
            sys.stdout.flush()
    except OSError as error:
        if error.errno != errno.EPIPE:
            _complain(f"Error: Cannot write the output ({error.strerror}): redirect it elsewhere.")
        code = code or 1
    # Everything is closed, so skip the interpreter's shutdown. Arrow may still be reading ahead from a file in a thread
    # of its own, and would abort the process (signal 6) after a command that succeeded. And after a signal, a thread
    # may wait for a bucket for a long time.
    os._exit(code)


def exit_code(interruption: Interruption) -> int:
    """Runs the command line and reports an error, if there is one; returns the exit code."""
    try:
        cli.main(standalone_mode=False)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except click.UsageError as error:
        if error.ctx:
            _complain(error.ctx.get_usage(), "")
        _complain(f"Error: {printable(error.format_message())}")
        return error.exit_code
    except click.ClickException as error:
        _complain(f"Error: {printable(error.format_message())}")
        return error.exit_code
    except CourierError as error:
        _complain(f"Error: {error}" if "\n" not in str(error) else str(error))
        return 1
    except OSError as error:
        _complain(_sentence(error))
        return 1
    except MemoryError:
        _complain("Error: Not enough memory.")
        return 1
    except (click.Abort, KeyboardInterrupt):
        word = "Terminated" if interruption.number == signal.SIGTERM else "Interrupted"
        _complain(f"{word}: what was loaded is kept; the next run loads the rest.")
        return 128 + interruption.number
    return 0


def _sentence(error: OSError) -> str:
    """An error of the operating system that no caller has reported more precisely."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "Error: The disk, or the output device, is full: free some space, then run this again."
    if error.errno == errno.EPIPE:
        return "Error: The output was closed before all of it was written."
    if error.filename is None:
        return f"Error: A system call failed to read or write ({error.strerror or type(error).__name__})."
    name = printable(os.fsdecode(error.filename))
    return f"Error: `{name}` cannot be read or written ({error.strerror}): check its permissions and its owner."


def _complain(*lines: str) -> None:
    """Lines on standard error, which may be closed or full as well: the exit code is set regardless."""
    if LOG.is_json:
        text = "\n".join(filter(None, lines)).removeprefix("Error: ")
        LOG(Notice("error", "command-failed", text))
        return
    with suppress(OSError):
        for line in lines:
            click.echo(line, err=True)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option(
    "--project",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="The project folder; by default the current one.",
)
@click.option(
    "--log-format",
    type=click.Choice(FORMATS),
    default="text",
    envvar="HEAP_COURIER_LOG_FORMAT",
    help="The log on standard error: text, or one JSON object per line. [env: HEAP_COURIER_LOG_FORMAT]",
    expose_value=False,
    is_eager=True,
    callback=lambda _context, _option, value: setattr(LOG, "format", value),
)
@click.version_option(package_name="heap-courier", message="heap-courier %(version)s")
@click.pass_context
def cli(context: click.Context, folder: Path) -> None:
    """Load Heap's exports (Heap Connect for S3) into tables."""
    context.obj = folder
