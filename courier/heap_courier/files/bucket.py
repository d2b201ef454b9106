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
    CUT_LIST,
    INCOMPLETE_LIST,
    NO_ADDRESS,
    NOT_S3,
    REDIRECTED,
    BucketErrors,
    Use,
)
from heap_courier.files.session import open_session
from heap_courier.files.time_limit import Call, TimeLimit
from heap_courier.project.model import Courier

CONNECTIONS: Final = 8  # files that may be fetched at a time

_SECONDS: Final = 10.0  # of silence, after which an attempt has failed
_BLOCK: Final = 1 << 18
_CALL_SECONDS: Final = 120.0  # for a call in all, with its retries; a byte now and then does not count as silence
_BLOCK_SECONDS: Final = 60.0  # for a block of a file: some 4 KB a second
_ATTEMPTS: Final = 5  # with pauses of 1, 2, 4 and 8 s at most between them: a minute of silence in all

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
_IS_THERE: Final = (HTTPStatus.PRECONDITION_FAILED, HTTPStatus.CONFLICT)
_CUT_SHORT: Final = (IncompleteReadError, ReadTimeoutError, ResponseStreamingError)


class Object(NamedTuple):
    """An object of the bucket; its key is relative to the courier's prefix."""

    key: str
    size: int
    etag: str
    modified: datetime


class Identity(NamedTuple):
    """By which requests are signed, for a library that has a client of its own; `token` is empty for lasting keys."""

    access_key: str
    secret_key: str
    token: str
    region: str


def _difference(listed: Object, etag: str, size: int) -> str | None:
    """How what came differs from what was listed, as the end of a sentence."""
    if listed.etag and etag and etag != listed.etag:
        return "has changed since it was listed: run the courier again"
    if size != listed.size:
        got = f"more than {listed.size:,}" if size > listed.size else f"{size:,} of {listed.size:,}"
        return f"does not match its listing ({got} bytes): run the courier again, or export the file again"
    return None


class Bucket:
    """The objects below the prefix of a courier. May be shared between threads.

    Every method raises SetupError where the user must act, and LaterError where the same may pass later, after five
    attempts.
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
        """Sends no request yet.

        Args:
            courier: which bucket, and by which credential.
            environment: of the variables that the credential names.
            use: in whose words errors are; None: the courier's.
            attempts: how often to ask before it counts as failed.
            seconds: how long to wait for an answer, and in the middle of one.
            call_seconds: how long a call may take in all, with its retries.
            block_seconds: how long 256 KB of a file may take.

        Raises:
            SetupError: a variable is missing, or a setting is malformed.
        """
        self.courier = courier
        self._errors = BucketErrors(courier, use)
        options: dict[str, Any] = {
            "connect_timeout": seconds,
            "read_timeout": seconds,
            "retries": {"mode": "standard", "total_max_attempts": attempts},
            "max_pool_connections": CONNECTIONS,
            "user_agent_extra": "heap-courier",
            "response_checksum_validation": "when_required",  # news to many services that speak like S3
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
            # botocore alone asks this, for the region of a redirect without one: endlessly, if it is redirected too.
            self._client.meta.events.register("before-call.s3.HeadBucket", self._refuse_redirect)

    def __str__(self) -> str:
        return self._errors.place

    def identity(self) -> Identity:
        """The credential as it is now: that of a role is renewed before it expires."""
        with self._errors.explained(), self._limited(self._call_seconds):
            credentials = self._session.get_credentials()
            if credentials is None:
                raise NoCredentialsError
            frozen = credentials.get_frozen_credentials()
            region = self._session.region_name or "us-east-1"
            return Identity(frozen.access_key, frozen.secret_key, frozen.token or "", region)

    def list(self, prefix: str = "") -> Iterator[Object]:
        """The objects whose keys begin with a prefix, by key. Folder markers are left out."""
        beginning = self.courier.prefix + prefix
        with self._errors.explained():
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.courier.bucket, Prefix=beginning)
            for page in self._one_by_one(iter(pages)):
                if "Name" not in page:  # a web server may say 200 to anything
                    raise self._errors.to_fix(NOT_S3)
                if page.get("IsTruncated") and not page.get("NextContinuationToken"):
                    raise self._errors.to_fix(CUT_LIST)
                for item in page.get("Contents", ()):
                    key = item.get("Key", "")
                    if key.endswith("/") and key.startswith(beginning):
                        continue
                    if not key.startswith(beginning) or item.get("Size", -1) < 0 or "LastModified" not in item:
                        raise self._errors.to_fix(INCOMPLETE_LIST)
                    key = key.removeprefix(self.courier.prefix)
                    yield Object(key, item["Size"], item.get("ETag", "").strip('"'), item["LastModified"])

    def fetch(self, item: Object | str, to: Path, progress: Callable[[int], None] | None = None) -> None:
        """Fetches an object into a file, which is there only when it is whole.

        Args:
            item: the object as it was listed, to be compared with what comes; or a key relative to the courier's
                prefix, if it was not.
            to: the file; an older one is replaced.
            progress: called with how many more bytes have come; a negative number when a part is fetched again.

        Raises:
            UnreadableFileError: there is no such object (any more), or it is not the one that was listed.
        """
        key, listed = (item, None) if isinstance(item, str) else (item.key, item)
        temporary = to.with_name(f"{to.name}.{secrets.token_hex(8)}.part")  # no other fetch uses the same one
        with self._errors.explained(key):
            try:
                with temporary.open("wb") as file:
                    self._copy(key, file, progress or (lambda _bytes: None), listed)
                temporary.replace(to)
            finally:
                with suppress(OSError):  # the first error is the one to show
                    temporary.unlink(missing_ok=True)

    def put_new(self, key: str, content: bytes) -> bool:
        """Writes a small object unless there is one of this key; whether it wrote it."""
        with self._errors.explained(), self._limited(self._call_seconds):
            try:
                self._client.put_object(
                    Bucket=self.courier.bucket, Key=self.courier.prefix + key, Body=content, IfNoneMatch="*"
                )
            except ClientError as refusal:
                if refusal.response.get("ResponseMetadata", {}).get("HTTPStatusCode") not in _IS_THERE:
                    raise
                return False
            return True

    def probe(self, key: str) -> None:
        """Asks whether an object can be fetched, without its content. Raises what `fetch` raises."""
        with self._errors.explained(key), self._limited(self._call_seconds):
            self._client.head_object(Bucket=self.courier.bucket, Key=self.courier.prefix + key)

    def read(self, key: str) -> bytes:
        """The content of a small object. Raises what `fetch` raises."""
        content = BytesIO()
        with self._errors.explained(key):
            self._copy(key, content, lambda _bytes: None)
        return content.getvalue()

    def _copy(self, key: str, to: IO[bytes], progress: Callable[[int], None], listed: Object | None = None) -> None:
        """Fetches an object again that came in part, or not as it was listed, which the library does not do."""
        for attempts_left in reversed(range(self._attempts)):
            try:
                etag = self._copy_once(key, to, progress, listed)
            except _CUT_SHORT:
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
        """The entity tag of what was fetched, which ends early if it is larger than it was listed."""
        with self._limited(self._call_seconds) as call:
            answer = self._client.get_object(Bucket=self.courier.bucket, Key=self.courier.prefix + key)
            call.extend(self._block_seconds)
            with closing(answer["Body"]) as body:
                for block in body.iter_chunks(_BLOCK):
                    to.write(block)
                    progress(len(block))
                    call.extend(self._block_seconds)
                    if listed and to.tell() > listed.size:
                        break
        return str(answer.get("ETag", "")).strip('"')

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
            if call.is_late:  # even if it looks whole: half a header is one to http.client
                raise self._errors.for_later("its response takes too long")

    def _refuse_redirect(self, **_: object) -> None:
        raise self._errors.to_fix(REDIRECTED)
