"""The command line: spec, check, write, preview, resend. It does not import the CDK, which takes over a second."""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
import traceback
from collections.abc import Callable, Generator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from signal import SIGINT
from typing import TYPE_CHECKING, Any, NoReturn

from airbyte_protocol_dataclasses.models import (
    AirbyteErrorTraceMessage,
    AirbyteMessage,
    AirbyteTraceMessage,
    ConnectorSpecification,
    FailureType,
    TraceType,
    Type,
)

from destination_heap_analytics.errors import ConfigError, InterruptedSyncError, OutputError
from destination_heap_analytics.process.json_file import read_json
from destination_heap_analytics.process.progress_line import Progress
from destination_heap_analytics.process.resources import as_stop
from destination_heap_analytics.process.secrets import NO_SECRETS
from destination_heap_analytics.process.signals import exit_code, watch_signals
from destination_heap_analytics.process.stdin import bytes_left, read_lines
from destination_heap_analytics.process.stdout import (
    StandardOutput,
    discard_output,
    log_to_output,
    print_line,
    print_message,
)
from destination_heap_analytics.process.volume import Volume
from destination_heap_analytics.version import VERSION
from destination_heap_analytics.wording import printable

if TYPE_CHECKING:  # importing these is slow, and spec does not need them
    from destination_heap_analytics.config.column_list import ColumnList
    from destination_heap_analytics.protocol.catalog import Stream

    Blocks = Generator[tuple[list[bytes], int], None, None]

PAYLOADS = 5
"""The default number of payloads that a preview shows."""


def main() -> None:
    """The entry point of the console script."""
    run(sys.argv[1:])


def parse_args(args: list[str]) -> argparse.Namespace:
    """Parse the command line; print the usage and exit with code 2 if it is invalid."""
    parser = _Parser(
        prog="destination-heap-analytics", description="Load any stream into Heap through its server-side API."
    )
    parser.add_argument("--version", action="version", version=f"{parser.prog} {VERSION}")
    commands = parser.add_subparsers(title="commands", dest="command", required=True)
    commands.add_parser("spec", help="print the specification of the settings")
    check = commands.add_parser("check", help="check the settings, and that Heap accepts the app ID")
    write = commands.add_parser("write", help="load the messages on standard input into Heap")
    show = commands.add_parser(
        "preview",
        help="show what write would send for the messages on standard input, without network access",
        description="Show what `write` would send for the messages on standard input, and what is wrong with them: "
        "the first payloads, then the counts. Nothing is sent, and no file is written.",
        epilog="Exit code: 0 if there is something to load, 1 if there is nothing or `write` would stop.",
    )
    for command in (check, write, show):
        command.add_argument("--config", required=True, metavar="FILE", help="the settings, as JSON")
    for command in (write, show):
        given = command.add_mutually_exclusive_group(required=True)
        given.add_argument("--catalog", metavar="FILE", help="the configured catalog of the messages, as JSON")
        given.add_argument(
            "--rows",
            metavar="FILE",
            help="load the rows of a file instead of messages: CSV, TSV, NDJSON or a JSON list, with or without gzip; "
            "- for standard input",
        )
        command.add_argument("--stream", metavar="NAME", help="with --rows: the stream's name, instead of the file's")
        command.add_argument(
            "--primary-key", metavar="COLUMNS", help="with --rows: the columns that together identify a row"
        )
    show.add_argument("--json", action="store_true", help="print one JSON document instead of text")
    show.add_argument(
        "--limit", type=_count, default=PAYLOADS, metavar="N", help="how many payloads to show (default: %(default)s)"
    )
    again = commands.add_parser("resend", help="print stored rejected rows as messages, to pipe into write")
    again.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a file of rejected rows")
    again.add_argument("--stream", metavar="NAME", help="the stream's name, if the file's folder is not named after it")
    parsed = parser.parse_args(args)
    if parsed.command in {"write", "preview"} and parsed.catalog and (parsed.stream or parsed.primary_key):
        parser.error("--stream and --primary-key require --rows; a catalog defines both")
    return parsed


class _Parser(argparse.ArgumentParser):
    """Reports an invalid argument with its control characters escaped."""

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


def run(args: list[str]) -> None:
    """Run a command: every message goes to standard output, and a failure is one TRACE and exit code 1."""
    parsed_args = parse_args(args)
    try:
        _Command(parsed_args).run()
    except KeyboardInterrupt:  # before a write watches for signals
        sys.exit(exit_code(SIGINT))


class _Command:
    """One run of a command.

    Attributes:
        progress: the line at the bottom of the terminal.
        secrets: the texts to mask in the output; empty until the configuration has been read.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        loads = arguments.command in {"write", "preview"}
        if loads:
            import_module("destination_heap_analytics.connector")  # before the clock of the progress line starts
        self.progress = Progress.on_standard_error() if loads else Progress()
        self.secrets = NO_SECRETS

    def run(self) -> None:
        """Run the command; exit with its exit code unless that is 0."""
        log_to_output(self.progress)
        try:
            self._run()
        except BrokenPipeError:  # no one reads the output any more
            discard_output()
            sys.exit(1)
        except OutputError as failed:
            discard_output()
            _print_error(str(failed))
            sys.exit(1)
        finally:
            self.progress.erase()

    def _run(self) -> None:
        try:
            getattr(self, f"_{self._arguments.command}")()
        except (BrokenPipeError, OutputError):
            raise
        except InterruptedSyncError as interrupted:
            sys.exit(exit_code(interrupted.signal))
        except Exception as failure:  # noqa: BLE001  # the last resort: any failure is reported, once
            stop = as_stop(failure)
            self._print(_trace(str(stop), stop.failure_type) if stop else _defect(failure))
            sys.exit(1)

    def _print(self, message: AirbyteMessage) -> None:
        with self.progress.aside():
            print_message(message, self.secrets)

    def _config(self) -> Any:
        from destination_heap_analytics.connector import secrets_of  # noqa: PLC0415

        config = read_json(self._arguments.config, "--config")
        self.secrets = secrets_of(config)
        log_to_output(self.progress, self.secrets)
        return config

    def _spec(self) -> None:
        content = json.loads(Path(__file__).with_name("spec.json").read_bytes())
        self._print(AirbyteMessage(type=Type.SPEC, spec=ConnectorSpecification(**content)))

    def _check(self) -> None:
        from destination_heap_analytics import connector  # noqa: PLC0415  (a slow import that spec does not need)

        try:
            status = connector.check(self._config())
        except Exception as failure:
            if (stop := as_stop(failure)) is None:
                raise
            status = connector.failed(str(stop))
        self._print(AirbyteMessage(type=Type.CONNECTION_STATUS, connectionStatus=status))

    def _write(self) -> None:
        messages = load(self._arguments, self.progress, self._config())
        try:
            for message in messages:
                self._print(message)
        finally:
            messages.close()

    def _preview(self) -> None:
        from destination_heap_analytics import connector  # noqa: PLC0415
        from destination_heap_analytics.run.preview_report import Findings, Json, Text  # noqa: PLC0415

        output = (Json if self._arguments.json else Text)(StandardOutput(), self.progress)
        try:
            settings = connector.parse_config(self._config())
            stream, lines, hint, _ = _input(self._arguments)
            preview = connector.preview(settings, stream)
        except ConfigError as wrong:
            findings = Findings(error=self.secrets.masked(str(wrong)))
            output.end(findings)
        else:
            preview.show(
                lines,
                output,
                limit=self._arguments.limit,
                progress=self.progress,
                hint=lambda: hint(settings.settings.columns),
            )
            findings = preview.findings
        sys.exit(findings.exit_code)

    def _resend(self) -> None:
        from destination_heap_analytics.rejected.resend import resend  # noqa: PLC0415

        try:
            for line in resend(self._arguments.files, self._arguments.stream, _now()):
                print_line(line)
        except ConfigError as wrong:  # on standard error: `write` reads standard output
            _print_error(str(wrong))
            sys.exit(1)


def load(arguments: argparse.Namespace, progress: Progress, config: Any) -> Generator[AirbyteMessage, None, None]:
    """The messages of a write: each returned state. Starts to watch for signals once it is iterated.

    Raises:
        SyncStoppedError: the sync failed.
        InterruptedSyncError: a signal stopped it.
    """
    from destination_heap_analytics import connector  # noqa: PLC0415
    from destination_heap_analytics.run.event_queue import EventQueue  # noqa: PLC0415
    from destination_heap_analytics.run.sync import Interrupt  # noqa: PLC0415

    settings = connector.parse_settings(config)
    stream, lines, _, volume = _input(arguments)
    events: EventQueue[bytes] = EventQueue()
    watch_signals(lambda number: events.post(Interrupt(number)))
    # Existing objects live until the process exits: exempt them from garbage collection.
    gc.freeze()
    yield from connector.sync(
        settings,
        stream,
        lines,
        connector.parse_line,
        progress=progress,
        events=events,
        expected_rows=volume.rows,
    ).run()


def _input(arguments: argparse.Namespace) -> tuple[Stream, Blocks, Callable[[ColumnList], str | None], Volume]:
    """The stream, the lines of its messages, a function that returns a final hint, and the expected number of rows.

    Raises:
        ConfigError: the catalog, or the file of rows, is wrong.
    """
    from destination_heap_analytics import connector  # noqa: PLC0415

    if arguments.rows is None:
        stream = connector.parse_catalog(read_json(arguments.catalog, "--catalog"))
        descriptor = _standard_input()
        volume = Volume(bytes_left(descriptor))
        return stream, volume.of_lines(read_lines(descriptor)), lambda _: None, volume
    if arguments.rows == "-" and sys.stdin is not None and sys.stdin.isatty():
        _print_error("Reading rows from this terminal, until Ctrl-D.")
    rows = connector.open_rows(arguments.rows, stream=arguments.stream, primary_key=arguments.primary_key)
    return rows.stream, rows.blocks, rows.hint, rows.volume


def _print_error(sentence: str) -> None:
    if sys.stderr is not None:  # None if its descriptor is closed
        with suppress(OSError):
            sys.stderr.write(f"{sentence}\n")


def _standard_input() -> int:
    """The descriptor of standard input; if it is a terminal, tell the user what the command expects."""
    if sys.stdin is None:  # its descriptor may belong to another file by now
        raise ConfigError("Standard input is closed: pipe Airbyte messages into the command.")
    if sys.stdin.isatty() and sys.stderr is not None:
        sys.stderr.write("Reading Airbyte messages from this terminal, one per line, until Ctrl-D. ")
        sys.stderr.write("To load a file, redirect it: `< messages.jsonl`.\n")
    return sys.stdin.fileno()


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError("must be 0 or more")
    return int(text)


def _now() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def _defect(defect: Exception) -> AirbyteMessage:
    """The trace of an unexpected error: where it was raised, but not its text, which may contain a row's content."""
    frames = "".join(traceback.format_tb(defect.__traceback__))
    name = type(defect).__name__
    message = f"Internal error in the connector ({name}). Please report it with the stack trace, which has no row data."
    return _trace(message, FailureType.system_error, frames)


def _trace(message: str, failure_type: FailureType, frames: str | None = None) -> AirbyteMessage:
    return AirbyteMessage(
        type=Type.TRACE,
        trace=AirbyteTraceMessage(
            type=TraceType.ERROR,
            emitted_at=_now(),
            error=AirbyteErrorTraceMessage(
                message=message, internal_message=message, failure_type=failure_type, stack_trace=frames
            ),
        ),
    )
