"""The client and a server that breaks HTTP: a row counts as delivered only if the server stored exactly that row."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from destination_heap_analytics.delivery.http.client import HeapClient, Kind
from integration_tests.fault_kit import FRAMINGS, OK, answer_bytes, serving, take

STATUSES: Final = (200, 200, 202, 400, 403, 413, 429, 500, 503)


@dataclass(frozen=True)
class Step:
    """What the server does with one request: store it if the status is a success, then send these bytes.

    Attributes:
        sent: bytes on the wire.
        hangs_up: whether it closes the connection then.
        is_whole: whether the status line and headers of the final answer are among them.
    """

    status: int
    sent: bytes
    hangs_up: bool
    is_whole: bool


@st.composite
def steps(draw: st.DrawFn) -> Step:
    status = draw(st.sampled_from(STATUSES))
    framing = draw(st.sampled_from(FRAMINGS))
    interim = tuple(draw(st.lists(st.sampled_from((100, 102, 103, 199)), max_size=3)))
    sent = answer_bytes(status, draw(st.sampled_from((b"{}", b'{"a":"HTTP/1.1 200 OK"}'))), framing, interim=interim)
    head = sent.index(b"\r\n\r\n", sent.index(b"HTTP/1.1 %d Status" % status)) + 4
    sent += draw(
        st.sampled_from((b"", b"", b"", OK, OK + OK, b"\r\n", b"HTTP/1.1 200", answer_bytes(400, b"{}", "length")))
    )
    cut = draw(st.one_of(st.none(), st.integers(0, len(sent))))
    hangs_up = cut is not None or framing in {"closing", "length too long", "negative length"}
    return Step(status, sent[:cut], hangs_up, cut is None or cut >= head)


@settings(max_examples=300, deadline=None)
@given(st.lists(steps(), min_size=1, max_size=8))
def test_a_row_counts_as_delivered_only_if_the_server_stored_it(script: list[Step]) -> None:
    """Whatever the bytes of this response, or of the one before; and a complete response is never misread."""
    stored: set[bytes] = set()
    remaining = iter(script)
    hung_up = threading.Semaphore(0)

    def handle(client: socket.socket, _: int) -> None:
        while body := take(client):
            step = next(remaining)
            if step.status < 300:
                stored.add(body)
            with suppress(OSError):  # the client may be the first to close the connection
                client.sendall(step.sent)
            if step.hangs_up:
                client.close()
                hung_up.release()
                return

    with serving(handle) as url:
        client = HeapClient(url, timeout=(60.0, 60.0))
        for number, step in enumerate(script):
            row = b'{"row":%d}' % number
            verdict = client.post("/api/track", row)
            assert verdict.kind is not Kind.ACCEPTED or row in stored
            assert verdict.status == (step.status if step.is_whole else None)
            if step.hangs_up:
                assert hung_up.acquire(timeout=60)  # a request that left earlier would rightly count as failed
        client.close()
