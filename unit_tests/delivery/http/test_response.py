"""A response read from bytes: what became of the request, and whether the connection can be used again."""

from __future__ import annotations

import io
from itertools import cycle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_heap_analytics.delivery.http.response import (
    BODY_BYTES,
    HEAD_BYTES,
    BrokenResponseError,
    Response,
    read_response,
)

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def read(content: bytes) -> Response:
    return read_response(io.BytesIO(content).read)


@pytest.mark.parametrize("interim", [b"100 Continue", b"102 Processing", b"103 Early Hints", b"199 Whatever"])
def test_interim_responses_are_skipped(interim: bytes) -> None:
    """All of them, with their headers, however many."""
    response = read((b"HTTP/1.1 " + interim + b"\r\nLink: </a>\r\n\r\n") * 5 + OK)
    assert (response.status, response.body, response.is_reusable) == (200, b"{}", True)


@pytest.mark.parametrize(
    "content",
    [
        OK,
        CHUNKED + b"1\r\n{\r\n1;name=value\r\n}\r\n0\r\n\r\n",
        CHUNKED + b"02\r\n{}\r\n0\r\nX-Trailer: 1\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200\r\nContent-Length: 2\n\n{}",
    ],
)
def test_a_response_that_ends_where_it_says_leaves_the_connection_usable(content: bytes) -> None:
    """By its length, or by its last chunk."""
    response = read(content)
    assert (response.status, response.body, response.is_reusable, response.has_excess) == (200, b"{}", True, False)


@pytest.mark.parametrize("status", [204, 304])
def test_a_response_without_a_body_ends_with_its_headers(status: int) -> None:
    """If a length above zero is given, the connection is not reused."""
    head = b"HTTP/1.1 %d X\r\n" % status
    assert read(head + b"\r\n").is_reusable
    assert read(head + b"Content-Length: 0\r\n\r\n").is_reusable
    assert not read(head + b"Content-Length: 5\r\n\r\n").is_reusable


@pytest.mark.parametrize(
    "content",
    [
        OK.replace(b"Content-Length: 2", b"Content-Length: 3"),
        OK.replace(b"Content-Length: 2", b"Content-Length: -2"),
        OK.replace(b"Content-Length: 2", b"Content-Length: +2"),
        OK.replace(b"Content-Length: 2", b"Content-Length: 1_0"),
        OK.replace(b"Content-Length: 2", b"X: y"),
        OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
        OK.replace(b"1.1", b"1.0"),
        OK.replace(b"Content-Length: 2", b"Content-Length : 2"),
        OK.replace(b"Content-Length: 2", b"X: a\r\n b\r\nContent-Length: 2"),
        OK.replace(b"Content-Length: 2", b"Transfer-Encoding: gzip, chunked"),
        OK.replace(b"Content-Length: 2", b"Content-Length: 2\r\nTransfer-Encoding: chunked"),
        CHUNKED + b"-5\r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"0x2\r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"2\n{}\n0\n\n",
        CHUNKED + b"zz\r\n",
        CHUNKED + b"1\r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"2\r\n{}\r\n",
        CHUNKED + b"2\r\n{}\r\n0\r\nno trailer\r\n\r\n",
        CHUNKED + b"2\r\n{}\r\n0\r\n" + b"X: y\r\n" * 5000 + b"\r\n",
        CHUNKED + b"f" * 500,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000,
    ],
)
def test_after_an_ambiguous_response_the_connection_is_not_reused(content: bytes) -> None:
    """Its status still counts: the headers are complete."""
    response = read(content)
    assert (response.status, response.is_reusable) == (200, False)
    assert len(response.body) <= BODY_BYTES


@pytest.mark.parametrize("excess", [b"\r\n", b"x", OK])
def test_bytes_after_a_response_are_noticed(excess: bytes) -> None:
    """They would be read as the beginning of the next response."""
    response = read(OK + excess)
    assert (response.status, response.has_excess, response.is_reusable) == (200, True, False)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"HTTP/1.",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 99 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"\r\n" + OK,
        OK[:30],
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + OK,
        b"HTTP/1.1 102 Processing\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\n\r\n" * 10_000 + OK,
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * HEAD_BYTES + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * HEAD_BYTES + b"\r\n",
        OK.replace(b"Content-Length: 2", b"Content-Length: 2\r\nContent-Length: 3"),
    ],
)
def test_an_incomplete_response_is_an_error(content: bytes) -> None:
    """The outcome of the request is unknown."""
    with pytest.raises(BrokenResponseError):
        read(content)


@given(st.lists(st.integers(1, 9), min_size=1), st.sampled_from([OK, CHUNKED + b"2\r\n{}\r\n0\r\n\r\n"]))
def test_it_does_not_matter_how_the_bytes_arrive(sizes: list[int], content: bytes) -> None:
    """One at a time, or all at once."""
    source = io.BytesIO(b"HTTP/1.1 103 Early Hints\r\n\r\n" + content)
    turn = cycle(sizes)
    response = read_response(lambda _: source.read(next(turn)))
    assert (response.status, response.body, response.is_reusable) == (200, b"{}", True)


def test_headers_are_found_in_any_case_and_joined() -> None:
    """As in RFC 9110; bytes that are not text are accepted."""
    response = read(b"HTTP/1.1 200 \xff\r\nX-A: 1\r\nx-a:  2 \r\nContent-Length: 0\r\n\r\n")
    assert (response.fields["x-a"], response.reason) == ("1, 2", "ÿ")


def test_a_body_whose_connection_fails_does_not_change_the_status() -> None:
    """Such as a time-out or a reset."""
    blocks = iter([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{"])

    def receive(_: int) -> bytes:
        for block in blocks:
            return block
        raise ConnectionResetError

    response = read_response(receive)
    assert (response.status, response.body, response.is_reusable) == (200, b"{", False)
