"""The bucket of a courier: lists and fetches the objects below its prefix."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from http import HTTPStatus
from io import BytesIO
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    IncompleteReadError,
    NoCredentialsError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from botocore.parsers import ResponseParserError

from heap_courier.errors import UnreadableFileError
from heap_courier.files.bucket_errors import (
    INCOMPLETE_LIST,
    NO_ADDRESS,
    NOT_S3,
    REDIRECTED,
    TRUNCATED_LIST,
    BucketErrors,
    Use,
)
from heap_courier.files.session import open_session
from heap_courier.files.time_limit import Call, TimeLimit
from heap_courier.project.model import Courier

CONNECTIONS: Final = 8  # concurrent fetches

_SECONDS: Final = 10.0  # of silence after which an attempt fails
_BLOCK: Final = 1 << 18
_CALL_SECONDS: Final = 120.0  # for a whole call with its retries, since one byte now and then resets _SECONDS
_BLOCK_SECONDS: Final = 60.0  # for one block of a file: about 4 KB a second
_ATTEMPTS: Final = 5  # with pauses of at most 1, 2, 4 and 8 s between them: about a minute of silence in total

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
_EXISTS: Final = (HTTPStatus.PRECONDITION_FAILED, HTTPStatus.CONFLICT)
_INCOMPLETE: Final = (IncompleteReadError, ReadTimeoutError, ResponseStreamingError)


class Object(NamedTuple):
    """An object of the bucket; its key is relative to the courier's prefix."""

    key: str
    size: int
    etag: str
    modified: datetime


class Identity(NamedTuple):
    """The keys that sign requests, for a library with a client of its own; `token` is empty for long-term keys."""

    access_key: str
    secret_key: str
    token: str
    region: str


def _difference(listed: Object, etag: str, size: int) -> str | None:
    """How a fetched object differs from its listing, as the end of a sentence; None if it does not."""
    if listed.etag and etag and etag != listed.etag:
        return "has changed since it was listed: run the courier again"
    if size != listed.size:
        got = f"more than {listed.size:,}" if size > listed.size else f"{size:,} of {listed.size:,}"
        return f"does not match its listing ({got} bytes): run the courier again, or export the file again"
    return None


class Bucket:
    """The objects below a courier's prefix. Thread-safe.

    Every method raises SetupError if the user must act, and LaterError if the call still fails after five attempts but
    may succeed later.
    """

    def __init__(
        self,
        courier: Courier,
        environment: Mapping[str, str],
        *,
        use: Use | None = None,
        attempts: int = _ATTEMPTS,
        seconds: float = _SECONDS,
        call_seconds: float = _CALL_SECONDS,
        block_seconds: float = _BLOCK_SECONDS,
    ) -> None:
        """Creates a client; sends no request.

        Args:
            courier: its settings specify the bucket and the credential.
            environment: contains the environment variables that the credential refers to.
            use: how errors describe what the bucket is used for; None: reading by the courier.
            attempts: how often a request is sent before the call fails.
            seconds: how long to wait for a response, and for each further part of it.
            call_seconds: how long a call may take, including its retries.
            block_seconds: how long 256 KB of a file may take.

        Raises:
            SetupError: an environment variable is not set, or a setting is malformed.
        """
        self.courier = courier
        self._errors = BucketErrors(courier, use)
        options: dict[str, Any] = {
            "connect_timeout": seconds,
            "read_timeout": seconds,
            "retries": {"mode": "standard", "total_max_attempts": attempts},
            "max_pool_connections": CONNECTIONS,
            "user_agent_extra": "heap-courier",
            "response_checksum_validation": "when_required",  # many S3-compatible services do not support more
        }
        self._attempts = attempts
        self._call_seconds = call_seconds
        self._block_seconds = block_seconds
        self._limit = TimeLimit()
        with self._errors.explained():
            session = open_session(courier.credential, courier, environment, Config(**options), self._limit)
            self._session = session
            if courier.endpoint_url:
                options["s3"] = {"addressing_style": "path"}
            try:
                self._client = session.client("s3", endpoint_url=courier.endpoint_url, config=Config(**options))
            except ValueError as failure:
                raise failure if isinstance(failure, BotoCoreError) else self._errors.to_fix(NO_ADDRESS) from None
            self._limit.install(self._client)
            # Only botocore sends HeadBucket, to find the region after a redirect without one. If that request is
            # redirected too, it loops forever.
            self._client.meta.events.register("before-call.s3.HeadBucket", self._refuse_redirect)

    def __str__(self) -> str:
        return self._errors.place

    def identity(self) -> Identity:
        """The current keys of the credential; those of a role are renewed before they expire."""
        with self._errors.explained(), self._limited(self._call_seconds):
            credentials = self._session.get_credentials()
            if credentials is None:
                raise NoCredentialsError
            frozen = credentials.get_frozen_credentials()
            region = self._session.region_name or "us-east-1"
            return Identity(frozen.access_key, frozen.secret_key, frozen.token or "", region)

    def list(self, prefix: str = "") -> Iterator[Object]:
        """The objects whose keys start with a prefix, sorted by key, without folder markers."""
        beginning = self.courier.prefix + prefix
        with self._errors.explained():
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.courier.bucket, Prefix=beginning)
            for page in self._one_by_one(iter(pages)):
                if "Name" not in page:  # a web server may respond to any request with status 200
                    raise self._errors.to_fix(NOT_S3)
                if page.get("IsTruncated") and not page.get("NextContinuationToken"):
                    raise self._errors.to_fix(TRUNCATED_LIST)
                for item in page.get("Contents", ()):
                    key = item.get("Key", "")
                    if key.endswith("/") and key.startswith(beginning):
                        continue
                    if not key.startswith(beginning) or item.get("Size", -1) < 0 or "LastModified" not in item:
                        raise self._errors.to_fix(INCOMPLETE_LIST)
                    key = key.removeprefix(self.courier.prefix)
                    yield Object(key, item["Size"], item.get("ETag", "").strip('"'), item["LastModified"])

    def fetch(self, item: Object | str, to: Path, progress: Callable[[int], None] | None = None) -> None:
        """Fetches an object into a file, which appears only once it is complete.

        Args:
            item: the object as listed, to compare the fetched one with it; or, without that check, a key relative to
                the courier's prefix.
            to: the file; an existing one is replaced.
            progress: called with the number of bytes received since the last call; negative before a retry.

        Raises:
            UnreadableFileError: the object does not exist (any more), or differs from its listing.
        """
        key, listed = (item, None) if isinstance(item, str) else (item.key, item)
        temporary = to.with_name(f"{to.name}.{secrets.token_hex(8)}.part")  # unique to this fetch
        with self._errors.explained(key):
            try:
                with temporary.open("wb") as file:
                    self._copy(key, file, progress or (lambda _bytes: None), listed)
                temporary.replace(to)
            finally:
                with suppress(OSError):  # the first error is the one to show
                    temporary.unlink(missing_ok=True)

    def put_new(self, key: str, content: bytes) -> bool:
        """Writes a small object unless one with this key exists. Returns whether it was written."""
        with self._errors.explained(), self._limited(self._call_seconds):
            try:
                self._client.put_object(
                    Bucket=self.courier.bucket, Key=self.courier.prefix + key, Body=content, IfNoneMatch="*"
                )
            except ClientError as refusal:
                if refusal.response.get("ResponseMetadata", {}).get("HTTPStatusCode") not in _EXISTS:
                    raise
                return False
            return True

    def probe(self, key: str) -> None:
        """Checks that an object can be fetched, without fetching it. Raises what `fetch` raises."""
        with self._errors.explained(key), self._limited(self._call_seconds):
            self._client.head_object(Bucket=self.courier.bucket, Key=self.courier.prefix + key)

    def read(self, key: str) -> bytes:
        """The content of a small object. Raises what `fetch` raises."""
        content = BytesIO()
        with self._errors.explained(key):
            self._copy(key, content, lambda _bytes: None)
        return content.getvalue()

    def _copy(self, key: str, to: IO[bytes], progress: Callable[[int], None], listed: Object | None = None) -> None:
        """Fetches an object. Retries if it is incomplete or differs from its listing, which boto3 does not do."""
        for attempts_left in reversed(range(self._attempts)):
            try:
                etag = self._copy_once(key, to, progress, listed)
            except _INCOMPLETE:
                if not attempts_left:
                    raise
            else:
                difference = listed and _difference(listed, etag, to.tell())
                if not difference:
                    return
                if not attempts_left:
                    raise UnreadableFileError(f"The file `{key}` of {self} {difference}.")
            progress(-to.tell())
            to.seek(0)
            to.truncate()

    def _copy_once(self, key: str, to: IO[bytes], progress: Callable[[int], None], listed: Object | None) -> str:
        """Fetches an object and returns its entity tag. Stops early if it is larger than its listing."""
        with self._limited(self._call_seconds) as call:
            response = self._client.get_object(Bucket=self.courier.bucket, Key=self.courier.prefix + key)
            call.extend(self._block_seconds)
            with closing(response["Body"]) as body:
                for block in body.iter_chunks(_BLOCK):
                    to.write(block)
                    progress(len(block))
                    call.extend(self._block_seconds)
                    if listed and to.tell() > listed.size:
                        break
        return str(response.get("ETag", "")).strip('"')

    def _one_by_one(self, pages: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        while True:
            with self._limited(self._call_seconds):
                page = next(pages, None)
            if page is None:
                return
            yield page

    @contextmanager
    def _limited(self, seconds: float) -> Iterator[Call]:
        with self._limit.call(seconds) as call:
            try:
                yield call
            except (BotoCoreError, ClientError, ResponseParserError, ValueError, OSError):
                if not call.is_late:
                    raise
            if call.is_late:  # even if the response looks complete: http.client accepts half a header as one
                raise self._errors.for_later("its response takes too long")

    def _refuse_redirect(self, **_: object) -> None:
        raise self._errors.to_fix(REDIRECTED)
