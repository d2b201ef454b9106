"""A rejected row is stored as the source wrote it, under a path with its stream, by a thread of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from queue import SimpleQueue
from types import MappingProxyType
from typing import Any

import pytest

from destination_heap_analytics.config.storage_settings import LocalStorage, NoStorage
from destination_heap_analytics.errors import ConfigError, Reason, RowRejectedError
from destination_heap_analytics.protocol.catalog import Stream
from destination_heap_analytics.rejected.store import (
    APPEND_BYTES,
    WAITING_BYTES,
    RejectWriter,
    Stored,
    StoreFailed,
    open_storage,
    part_name,
    path_part,
    rejected_line,
)

LONG = 60.0
NULL = RowRejectedError(Reason.NULL, "email")
ADDED = '"rejected_reason": "null", "rejected_field": "email", "rejected_message": "column `email` is null"'


def record_line(data: str, before: str = '"stream":"users",', after: str = ',"emitted_at":1') -> bytes:
    return f'{{"type":"RECORD","record":{{{before}"data":{data}{after}}}}}'.encode("utf-8", "surrogateescape")


def stored(source: bytes | dict[str, Any] | None, rejection: RowRejectedError = NULL) -> str:
    return rejected_line(source, rejection).decode("utf-8", "surrogateescape")


@pytest.mark.parametrize(
    "data",
    [
        '{"id": 1}',
        '{"big":12345678901234567890123,"price":12.50,"tiny":1e-400,"zero":-0.0}',
        '{"a":NaN,"b":-Infinity,"c":1E400}',
        '{"z":1,"a":2,"z":3}',
        '{"a":"\\ud800 \\u00e9 é \u2028 }\\"{"}',
        '{"rejected_reason":"mine","rejected_message":[]}',
        '{"o":{"data":{"x":[{}]}},"l":[[],{}]}',
        '{"long":' + "7" * 5000 + "}",
        '{"raw":"\udcff\udc80"}',
        '{ "a" : 1 ,\t"b" : "}" }',
        '{"deep":' + "[" * 900 + "]" * 900 + "}",
    ],
)
def test_a_row_is_stored_as_written_with_three_keys_appended(data: str) -> None:
    """With all digits, escapes, repeated keys, and bytes that are not UTF-8."""
    filled = data[:-1].rstrip()
    assert stored(record_line(data)) == f"{filled}, {ADDED}{data[len(filled) :]}"


@pytest.mark.parametrize(
    "line",
    [
        record_line('{"id":1}', before='"data":{"id":0},"namespace":"{\\"data\\"}","stream":"data",'),
        record_line('{"id":1}', after=',"meta":{"data":{"id":2}}'),
        b'\xef\xbb\xbf { "record" : { "x" : [ ] , "data" : {"id":1} } , "data" : {"id":2} , "type" : "RECORD" }\r\n',
        b'{"record":{"data":{"id":0}},"type":"RECORD","record":{"stream":"users","data":{"id":1}}}',
    ],
)
def test_the_row_is_found_anywhere(line: bytes) -> None:
    """As the parser of the line found it: of repeated keys, the last."""
    assert stored(line) == f'{{"id":1, {ADDED}}}'


@pytest.mark.parametrize("depth", [5_000, 200_000])
def test_a_row_may_be_nested_more_deeply_than_python_reads(depth: int) -> None:
    """This may be why it was rejected."""
    data = '{"deep":' + "[" * depth + "]" * depth + "}"
    assert stored(record_line(data, before='"data":{},"stream":"users",')) == f"{data[:-1]}, {ADDED}}}"


@pytest.mark.parametrize("blank", ["", " ", "\t \r"])
def test_a_row_without_columns_has_only_the_three_keys(blank: str) -> None:
    """It is still valid JSON."""
    assert stored(record_line(f"{{{blank}}}")) == f"{{{ADDED}{blank}}}"


@pytest.mark.parametrize(
    ("rejection", "reason", "column", "message"),
    [
        (NULL, "null", "email", "column `email` is null"),
        (RowRejectedError(Reason.TOO_DEEP), "too_deep", None, "the row is nested too deeply to be read"),
        (RowRejectedError(Reason.NULL, '"\ud800'), "null", '"\ud800', 'column `"\\ud800` is null'),
    ],
)
def test_the_three_keys_say_what_was_wrong(
    rejection: RowRejectedError, reason: str, column: str | None, message: str
) -> None:
    """For programs and for people."""
    row = json.loads(stored(record_line('{"id":1}'), rejection))
    assert row == {"id": 1, "rejected_reason": reason, "rejected_field": column, "rejected_message": message}


def test_heaps_response_is_stored_with_the_row() -> None:
    """It may echo the row, so it must not be logged."""
    rejection = RowRejectedError(Reason.REFUSED, status=400, words='bad "identity" a@b.c')
    row = json.loads(stored(record_line("{}"), rejection))
    assert row["rejected_message"] == f'{rejection}. Heap\'s response: bad "identity" a@b.c'


def test_the_three_keys_win_over_the_sources_own() -> None:
    """For JSON parsers, which use the last; the text has both."""
    row = stored(record_line('{"rejected_reason":"mine"}'))
    assert json.loads(row)["rejected_reason"] == "null"
    assert '"rejected_reason":"mine"' in row


@pytest.mark.parametrize("reason", [Reason.UNREADABLE, Reason.NO_DATA])
@pytest.mark.parametrize(
    "line", [b'{"type":"RECORD","record":{"data":{"a":', b'{"type":"RECORD","record":{"data":{}}}\r', b'\xff"\x00\\']
)
def test_a_line_without_a_readable_row_is_stored_whole(reason: Reason, line: bytes) -> None:
    """As text, from which every byte can be restored."""
    row = json.loads(rejected_line(line + b"\n", RowRejectedError(reason)).decode("ascii"))
    assert row["unreadable_line"].encode("utf-8", "surrogateescape") == line
    assert list(row)[1:] == ["rejected_reason", "rejected_field", "rejected_message"]


def test_a_row_passed_in_process_is_written_as_json() -> None:
    """Values that JSON does not support become text."""
    data = MappingProxyType({"day": date(2026, 1, 31), "price": Decimal("1.10"), "n": None, "big": 10**30})
    row = json.loads(rejected_line(data, NULL))
    assert list(row.items())[:4] == [("day", "2026-01-31"), ("price", "1.10"), ("n", None), ("big", 10**30)]
    assert row["rejected_reason"] == "null"


def circular() -> dict[str, Any]:
    row: dict[str, Any] = {}
    row["self"] = row
    return row


def endless() -> dict[str, Any]:
    row: dict[str, Any] = {}
    for _ in range(200_000):
        row = {"inner": row}
    return row


@pytest.mark.parametrize(
    "make",
    [lambda: None, dict, lambda: {("a", "b"): 1}, circular, endless],
    ids=["none", "empty", "key", "circular", "endless"],
)
def test_the_reason_is_stored_for_a_row_that_is_not_json(make: Callable[[], Any]) -> None:
    """It is counted, and does not stop the run."""
    assert stored(make()) == f"{{{ADDED}}}"


NAMES = ["users", "a b", "a/b", "..", ".", ".hidden", "~", "é\u2028", "\x00\n", "%41", "\ud800", "Ä" * 40, "-rf"]


@pytest.mark.parametrize("name", [*NAMES, "", "x" * 300, "." * 300, "/" * 300, "~" * 300])
def test_every_name_is_one_safe_part_of_a_path(name: str, tmp_path: Path) -> None:
    """Whatever a source calls its streams."""
    part = path_part(name)
    assert part.isascii()
    assert part.isprintable()
    assert "/" not in part
    assert not part.startswith(".")
    (tmp_path / part).mkdir()
    assert [path.name for path in tmp_path.iterdir()] == [part]


@pytest.mark.parametrize("name", NAMES)
def test_the_name_can_be_recovered_from_its_part(name: str) -> None:
    """So that rows can be resent to their stream."""
    assert part_name(path_part(name)) == name


@pytest.mark.parametrize("part", [path_part("x" * 300), path_part(""), "%FF"])
def test_a_name_that_was_cut_or_never_encoded_is_not_decoded(part: str) -> None:
    """There is no name rather than a wrong one."""
    assert part_name(part) is None


def test_names_too_long_for_a_file_system_stay_distinct() -> None:
    """Even if they begin the same."""
    assert path_part("x" * 300) != path_part("x" * 301)


@pytest.mark.parametrize(
    ("namespace", "name", "sync_id", "folder"),
    [(None, "users", 7, "7/users"), ("crm", "a/b", None, "0/crm/a%2Fb"), ("..", "..", 0, "0/%2E./%2E.")],
)
def test_the_path_says_sync_namespace_stream_and_attempt(
    namespace: str | None, name: str, sync_id: int | None, folder: str, tmp_path: Path
) -> None:
    """Attempts of one sync have the same number, and separate files."""
    stream = Stream(name, namespace, "incremental", "append", (), {}, sync_id)
    settings = LocalStorage(storage_type="Local", path=str(tmp_path))
    for random_text in ("0123456789abcdef", "fedcba98"):
        storage = open_storage(settings, stream, now=1_769_817_599_999, random_text=random_text)
        assert storage is not None
        storage.append(b"{}\n")
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.jsonl")) == [
        f"{folder}/2026-01-30_1769817599999_01234567_1.jsonl",
        f"{folder}/2026-01-30_1769817599999_fedcba98_1.jsonl",
    ]


def test_the_check_needs_no_stream(tmp_path: Path) -> None:
    """It only probes the directory, and leaves nothing behind."""
    place = tmp_path / "new"
    storage = open_storage(LocalStorage(storage_type="Local", path=str(place)), None, now=0, random_text="r")
    assert storage is not None
    storage.probe()
    assert list(place.iterdir()) == []


def test_without_a_setting_there_is_no_storage() -> None:
    """Rows are only counted and explained."""
    stream = Stream("users", None, "incremental", "append", (), {})
    assert open_storage(NoStorage(storage_type="None"), stream, now=0, random_text="r") is None


def test_the_s3_client_is_imported_only_if_needed() -> None:
    """Starting up should be fast."""
    code = (
        "import sys, destination_heap_analytics.destination, destination_heap_analytics.rejected.store as store;"
        "from destination_heap_analytics.config.storage_settings import LocalStorage;"
        "store.open_storage(LocalStorage(storage_type='Local', path='x'), None, now=0, random_text='r');"
        "sys.exit('destination_heap_analytics.rejected.s3' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=LONG, cwd=Path(__file__).parents[2])


class Shelf:
    """A storage that keeps lines in memory, and can be blocked or fail."""

    def __init__(self) -> None:
        self.appends: list[bytes] = []
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)
        self.error: Exception | None = None

    def append(self, lines: bytes) -> None:
        self.begun.release()
        assert self.go_on.acquire(timeout=LONG)
        if self.error:
            raise self.error
        self.appends.append(lines)

    def probe(self) -> None:
        raise NotImplementedError

    def await_append(self) -> None:
        assert self.begun.acquire(timeout=LONG)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


class Reports:
    """The reports of a writer, in order."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Stored[int] | StoreFailed] = SimpleQueue()
        self.put = self._queue.put

    def next(self) -> Stored[int] | StoreFailed:
        return self._queue.get(timeout=LONG)

    @property
    def is_empty(self) -> bool:
        return self._queue.empty()


@pytest.fixture
def reports() -> Reports:
    return Reports()


@pytest.fixture
def writer(shelf: Shelf, reports: Reports) -> Iterator[RejectWriter[int]]:
    writer = RejectWriter[int](shelf, reports.put)
    yield writer
    writer.close()


def test_lines_are_reported_when_they_are_stored_and_not_before(
    writer: RejectWriter[int], shelf: Shelf, reports: Reports
) -> None:
    """When the report arrives, the writer is idle again."""
    assert writer.is_idle
    writer.put(b"a", 1)
    shelf.await_append()
    assert not writer.is_idle
    assert reports.is_empty
    shelf.go_on.release()
    assert reports.next() == Stored((1,))
    assert writer.is_idle
    assert shelf.appends == [b"a\n"]


def test_what_arrives_during_an_append_shares_the_next(
    writer: RejectWriter[int], shelf: Shelf, reports: Reports
) -> None:
    """One append at a time, in the order put."""
    writer.put(b"a", 1)
    shelf.await_append()
    for number in range(2, 5):
        writer.put(b"b" * number, number)
    shelf.go_on.release(2)
    assert [reports.next(), reports.next()] == [Stored((1,)), Stored((2, 3, 4))]
    assert shelf.appends == [b"a\n", b"bb\nbbb\nbbbb\n"]


def test_the_size_of_an_append_is_limited(writer: RejectWriter[int], shelf: Shelf, reports: Reports) -> None:
    """Unless a single line is larger."""
    writer.put(b"a", 0)
    shelf.await_append()
    third = b"x" * (APPEND_BYTES // 3)
    writer.put(b"y" * (APPEND_BYTES + 1), 1)
    for number in range(2, 6):
        writer.put(third, number)
    shelf.go_on.release(4)
    assert [reports.next() for _ in range(4)] == [Stored((0,)), Stored((1,)), Stored((2, 3)), Stored((4, 5))]


def test_a_writer_with_too_much_to_write_is_full(writer: RejectWriter[int], shelf: Shelf, reports: Reports) -> None:
    """Lines being written count, because they are still in memory."""
    writer.put(b"x" * WAITING_BYTES, 1)
    shelf.await_append()
    assert not writer.is_full
    writer.put(b"x", 2)
    assert writer.is_full
    shelf.go_on.release()
    assert reports.next() == Stored((1,))
    assert not writer.is_full
    shelf.go_on.release()
    assert reports.next() == Stored((2,))


@pytest.mark.parametrize("error", [ConfigError("No room."), ZeroDivisionError()])
def test_a_failure_is_reported_once_and_ends_the_writer(
    writer: RejectWriter[int], shelf: Shelf, reports: Reports, error: Exception
) -> None:
    """Neither queued nor later lines are stored."""
    shelf.error = error
    writer.put(b"a", 1)
    shelf.await_append()
    writer.put(b"b", 2)
    shelf.go_on.release(3)
    failed = reports.next()
    assert isinstance(failed, StoreFailed)
    assert failed.error is error
    writer.put(b"c", 3)
    assert writer.is_idle
    assert not writer.is_full
    assert reports.is_empty
    assert not shelf.begun.acquire(blocking=False)


def test_a_closed_writer_discards_its_queue(shelf: Shelf, reports: Reports) -> None:
    """An append in progress completes, and is reported."""
    before = set(threading.enumerate())
    writer = RejectWriter[int](shelf, reports.put)
    (thread,) = set(threading.enumerate()) - before
    writer.put(b"a", 1)
    shelf.await_append()
    writer.put(b"b", 2)
    writer.close()
    writer.put(b"c", 3)
    shelf.go_on.release(3)
    assert reports.next() == Stored((1,))
    thread.join(LONG)
    assert not thread.is_alive()
    assert (writer.is_idle, reports.is_empty, shelf.appends) == (True, True, [b"a\n"])


def test_a_writer_that_was_never_used_ends_when_it_is_closed(shelf: Shelf, reports: Reports) -> None:
    """Its thread exits."""
    before = set(threading.enumerate())
    writer = RejectWriter[int](shelf, reports.put)
    (thread,) = set(threading.enumerate()) - before
    assert thread.daemon
    writer.close()
    thread.join(LONG)
    assert not thread.is_alive()
    assert reports.is_empty
