"""The front door: spec, check, write, resend, preview. What happens behind it is in the modules named here."""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from random import SystemRandom
from secrets import token_hex
from signal import SIGINT
from typing import Any, TypeVar

from airbyte_cdk.destinations import Destination
from airbyte_cdk.models import (
    AirbyteConnectionStatus,
    AirbyteErrorTraceMessage,
    AirbyteMessage,
    AirbyteTraceMessage,
    ConfiguredAirbyteCatalog,
    ConfiguredAirbyteCatalogSerializer,
    FailureType,
    Status,
    TraceType,
    Type,
)

from destination_heap_analytics.config.parse import parse_config
from destination_heap_analytics.config.settings import Settings
from destination_heap_analytics.delivery.client import HeapClient, Kind
from destination_heap_analytics.delivery.connection_check import PREFLIGHT_SECONDS, explain, preflight
from destination_heap_analytics.errors import ConfigError, InterruptedSyncError, SyncStoppedError
from destination_heap_analytics.process.progress_line import Progress
from destination_heap_analytics.process.signals import exit_code, watch_signals
from destination_heap_analytics.process.stdin import read_lines, read_messages
from destination_heap_analytics.process.stdout import log_to_output, print_message
from destination_heap_analytics.protocol.catalog import Stream, parse_catalog
from destination_heap_analytics.protocol.messages import Message, parse_line, parse_message
from destination_heap_analytics.rejected.resend import resend
from destination_heap_analytics.rejected.store import Storage, open_storage
from destination_heap_analytics.run.clock import Clock
from destination_heap_analytics.run.event_queue import EventQueue
from destination_heap_analytics.run.preview import PAYLOADS, Preview
from destination_heap_analytics.run.preview_report import Findings, Json, Text
from destination_heap_analytics.run.sync import MOST_SINGLE, Interrupt, Sync

Line = TypeVar("Line")

logger = logging.getLogger("airbyte")


class DestinationHeapAnalytics(Destination):
    """Heap, as a destination of Airbyte."""

    check_config_against_spec = False  # config.py says the same in sentences
    _progress = Progress()

    def check(self, logger: logging.Logger, config: Mapping[str, Any]) -> AirbyteConnectionStatus:
        """Whether the settings are right and Heap takes the app ID; sends the one event of preflight.py."""
        try:
            settings = _settings(logger, config)
            if storage := _storage(settings, None):
                storage.probe()
        except SyncStoppedError as wrong:
            return _failed(str(wrong))
        client = HeapClient(settings.base_url, timeout=(PREFLIGHT_SECONDS, PREFLIGHT_SECONDS))
        verdict = preflight(client, settings.app_id, PREFLIGHT_SECONDS)
        if verdict.kind is Kind.TAKEN:
            return AirbyteConnectionStatus(status=Status.SUCCEEDED)
        words = f" Its words: {verdict.words}" if verdict.words.strip("{}") else ""
        return _failed(explain(verdict, settings.base_url) + words)

    def write(
        self,
        config: Mapping[str, Any],
        configured_catalog: ConfiguredAirbyteCatalog,
        input_messages: Iterable[AirbyteMessage],
    ) -> Iterator[AirbyteMessage]:
        """Load messages handed over in process; behaves as the command does.

        Raises:
            SyncStoppedError: the run ended before its input did.
        """
        settings = _settings(logger, config)
        stream = parse_catalog(ConfiguredAirbyteCatalogSerializer.dump(configured_catalog))
        events: EventQueue[AirbyteMessage] = EventQueue()
        events.read(read_messages(input_messages))
        yield from _sync(settings, stream, events, lambda message, _: parse_message(message)).run()

    def parse_args(self, args: list[str]) -> argparse.Namespace:
        """The command line; prints usage and exits with 2 where it is wrong."""
        parser = argparse.ArgumentParser(
            prog="destination-heap-analytics", description="Loads any stream into Heap by its server-side API."
        )
        commands = parser.add_subparsers(title="commands", dest="command", required=True)
        commands.add_parser("spec", help="print the specification of the settings")
        check = commands.add_parser("check", help="check the settings, and that Heap takes the app ID")
        write = commands.add_parser("write", help="load the messages on standard input into Heap")
        show = commands.add_parser(
            "preview",
            help="show what write would post of the messages on standard input, without any network",
            description="Shows what `write` would post of the messages on standard input, and what is wrong with them: "
            "the first payloads, then the counts. Nothing is sent, and nothing is written.",
            epilog="Exit code: 0 where there is something to load, 1 where there is nothing or `write` would stop.",
        )
        for command in (check, write, show):
            command.add_argument("--config", required=True, metavar="FILE", help="the settings, as JSON")
        for command in (write, show):
            command.add_argument("--catalog", required=True, metavar="FILE", help="the configured catalog, as JSON")
        show.add_argument("--json", action="store_true", help="print one JSON document, for programs")
        show.add_argument(
            "--limit",
            type=_count,
            default=PAYLOADS,
            metavar="N",
            help="how many payloads to show (default: %(default)s)",
        )
        again = commands.add_parser("resend", help="print stored rejected rows as messages, to be piped into write")
        again.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a file of rejected rows")
        again.add_argument("--stream", metavar="NAME", help="their stream, where the file's folder does not tell it")
        return parser.parse_args(args)

    def run_cmd(self, parsed_args: argparse.Namespace) -> Generator[AirbyteMessage, None, None]:
        """The messages that a command answers with."""
        if parsed_args.command == "spec":
            yield AirbyteMessage(type=Type.SPEC, spec=self.spec(logger))
        elif parsed_args.command == "check":
            try:
                status = self.check(logger, _read_json(parsed_args.config, "--config"))
            except ConfigError as wrong:
                status = _failed(str(wrong))
            yield AirbyteMessage(type=Type.CONNECTION_STATUS, connectionStatus=status)
        else:
            settings = _settings(logger, _read_json(parsed_args.config, "--config"))
            stream = parse_catalog(_read_json(parsed_args.catalog, "--catalog"))
            descriptor = _standard_input()
            events: EventQueue[bytes] = EventQueue()
            watch_signals(lambda number: events.post(Interrupt(number)))
            # What has been made until now stays to the end: the collector need not look at it again and again.
            gc.freeze()
            events.read(read_lines(descriptor))
            yield from _sync(settings, stream, events, parse_line, self._progress).run()

    def run(self, args: list[str]) -> None:
        """The whole command: every message on standard output, every failure as one TRACE and exit code 1."""
        parsed_args = self.parse_args(args)
        if parsed_args.command in {"write", "preview"}:
            self._progress = Progress.on_standard_error()
        log_to_output(self._progress)
        messages = self.run_cmd(parsed_args)
        try:
            if parsed_args.command == "resend":
                _resend(parsed_args.files, parsed_args.stream)
                return
            if parsed_args.command == "preview":
                sys.exit(_preview(parsed_args, self._progress))
            for message in messages:
                with self._progress.aside():
                    print_message(message)
        except BrokenPipeError:
            # Nobody listens any more, and so nothing more may be sent; nor can the end of the run be told.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            messages.close()
            sys.exit(1)
        except KeyboardInterrupt:  # before a write has begun to watch for it
            sys.exit(exit_code(SIGINT))
        except InterruptedSyncError as interrupted:
            sys.exit(exit_code(interrupted.signal))
        except SyncStoppedError as stopped:
            with self._progress.aside():
                print_message(_trace(str(stopped), stopped.failure_type))
            sys.exit(1)
        except Exception as defect:  # noqa: BLE001  # the last door: what is behind it must be told, and told once
            with self._progress.aside():
                print_message(_defect(defect))
            sys.exit(1)
        finally:
            self._progress.erase()


def _failed(sentence: str) -> AirbyteConnectionStatus:
    return AirbyteConnectionStatus(status=Status.FAILED, message=sentence)


def _settings(logger: logging.Logger, config: Any) -> Settings:
    parsed = parse_config(config)
    if parsed.warning:
        logger.warning(parsed.warning)
    return parsed.settings


def _sync(
    settings: Settings,
    stream: Stream,
    events: EventQueue[Line],
    parse: Callable[[Line, int], Message],
    progress: Progress | None = None,
) -> Sync[Line]:
    return Sync(
        settings,
        stream,
        HeapClient(settings.base_url, connections=MOST_SINGLE),
        _storage(settings, stream),
        events=events,
        parse=parse,
        logger=logger,
        clock=Clock(),
        chance=SystemRandom(),
        random_text=token_hex(16),
        progress=progress,
    )


def _storage(settings: Settings, stream: Stream | None) -> Storage | None:
    return open_storage(settings.object_storage_config, stream, now=_now(), random_text=token_hex(4))


def _read_json(path: str, option: str) -> Any:
    try:
        return json.loads(Path(path).read_bytes())
    except OSError as failure:
        raise ConfigError(f"The file given with {option}, {path}, cannot be read: {failure.strerror}.") from None
    except ValueError:
        raise ConfigError(f"The file given with {option}, {path}, is not valid JSON.") from None


def _standard_input() -> int:
    """Its descriptor; whoever forgot to pipe something in is told what is waited for."""
    if sys.stdin is None:  # its descriptor may belong to another file by now
        raise ConfigError("Standard input is closed: pipe Airbyte messages into the command.")
    if sys.stdin.isatty() and sys.stderr is not None:
        sys.stderr.write("Reading Airbyte messages from this terminal, a line each, until Ctrl-D: ")
        sys.stderr.write("pipe a file in, as in `< messages.jsonl`, where you have one.\n")
    return sys.stdin.fileno()


def _preview(arguments: argparse.Namespace, progress: Progress) -> int:
    """Show on standard output what `write` would do, its failures too; the exit code."""
    output = (Json if arguments.json else Text)(sys.stdout.buffer, progress)
    try:
        config = parse_config(_read_json(arguments.config, "--config"))
        stream = parse_catalog(_read_json(arguments.catalog, "--catalog"))
        lines = read_lines(_standard_input())
    except ConfigError as wrong:
        findings = Findings(error=str(wrong))
        output.end(findings)
    else:
        preview = Preview(config, stream, token_hex(16))
        preview.show(lines, output, limit=arguments.limit, progress=progress)
        findings = preview.findings
    return findings.exit_code


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError("must be 0 or more")
    return int(text)


def _resend(files: Sequence[Path], stream: str | None) -> None:
    """Print the rows of these files as messages; what is wrong goes to standard error, since `write` reads the rest."""
    try:
        for line in resend(files, stream, _now()):
            sys.stdout.buffer.write(line + b"\n")
        sys.stdout.buffer.flush()
    except ConfigError as wrong:
        sys.stdout.buffer.flush()
        sys.stderr.write(f"{wrong}\n")
        sys.exit(1)


def _now() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def _defect(defect: Exception) -> AirbyteMessage:
    """The trace of an error that nobody foresaw: where it arose, but not its text, which may hold a row's content."""
    frames = "".join(traceback.format_tb(defect.__traceback__))
    name = type(defect).__name__
    message = f"The connector itself failed ({name}). Please report it with the stack trace; it holds no row's content."
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


def main() -> None:
    """The console script."""
    DestinationHeapAnalytics().run(sys.argv[1:])
