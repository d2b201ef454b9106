"""The bucket of a courier: lists and fetches the objects below its prefix.

Errors are reported by their codes, never in the words of a response.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from http import HTTPStatus
from io import BytesIO
from pathlib import Path
from typing import IO, Any, Final, NamedTuple
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore.config import Config
from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    HTTPClientError,
    IncompleteReadError,
    InvalidRegionError,
    NoCredentialsError,
    PaginationError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    ProxyConnectionError,
    ReadTimeoutError,
    ResponseStreamingError,
    SSLError,
    SSOError,
    TokenRetrievalError,
)
from botocore.exceptions import ConnectionError as AnyConnectionError
from botocore.parsers import ResponseParserError

from heap_courier.errors import CourierError, LaterError, SetupError, UnreadableFileError
from heap_courier.files.time_limit import Call, TimeLimit
from heap_courier.project.model import Courier, Credential, KeyCredential, ProfileCredential, RoleCredential

CONNECTIONS: Final = 8  # files that may be fetched at a time

_SECONDS: Final = 10.0  # of silence, after which an attempt has failed
_BLOCK: Final = 1 << 18
_CALL_SECONDS: Final = 120.0  # for a call in all, with its retries; a byte now and then is no silence
_BLOCK_SECONDS: Final = 60.0  # for a block of a file: some 4 KB a second
_ATTEMPTS: Final = 5  # with pauses of 1, 2, 4 and 8 s at most between them: a minute of silence in all

_DENIED: Final = (
    "access is denied",
    "allow s3:ListBucket on the bucket and s3:GetObject below the courier's `prefix` to {credential}",
)
_UNKNOWN_KEY: Final = ("the access key is unknown", "fix {key}")
_EXPIRED: Final = ("the credential has expired", "renew {credential}")
_ELSEWHERE: Final = ("the bucket is in another region", "fix the courier's `region`")
_NO_CREDENTIALS: Final = (
    "{credential} provides no access key",
    "fix it, or give `access-key-env` and `secret-key-env`",
)
_UNASSUMED: Final = (
    "{credential} may not be assumed",
    "fix its `role-arn` and `external-id`, or allow sts:AssumeRole with that external id in the role's trust policy",
)
_FIX_ADDRESS: Final = "fix the courier's `endpoint-url`"
_NOT_S3: Final = ("the server at its address is not S3", _FIX_ADDRESS)
_NO_ADDRESS: Final = ("its address is not a valid URL", _FIX_ADDRESS)
_INCOMPLETE_LIST: Final = ("its listing has an entry without key, size or date, or outside the prefix", _FIX_ADDRESS)
_CUT_LIST: Final = ("its listing is cut short, without saying how to continue", _FIX_ADDRESS)
_REDIRECTED: Final = (
    "it redirects every request without naming a region",
    "fix the courier's `region` or `endpoint-url`",
)
_FIX_SETTINGS: Final = "fix the courier's settings"
_REFUSALS: Final = {
    "NoSuchBucket": ("there is no such bucket", "fix the courier's `bucket`"),
    "InvalidBucketName": ("this is not a valid bucket name", "fix the courier's `bucket`"),
    "AccessDenied": _DENIED,
    "AllAccessDisabled": _DENIED,
    "403": _DENIED,
    "InvalidAccessKeyId": _UNKNOWN_KEY,
    "InvalidClientTokenId": _UNKNOWN_KEY,
    "UnrecognizedClientException": _UNKNOWN_KEY,
    "SignatureDoesNotMatch": ("the secret does not belong to the access key", "fix {secret}"),
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "InvalidToken": _EXPIRED,
    "PermanentRedirect": _ELSEWHERE,
    "TemporaryRedirect": _ELSEWHERE,
    "AuthorizationHeaderMalformed": _ELSEWHERE,
    "IllegalLocationConstraintException": _ELSEWHERE,
    "301": _ELSEWHERE,
    "307": _ELSEWHERE,
    "RequestTimeTooSkewed": ("the clock of this machine is wrong", "set it"),
}
_OF_A_FILE: Final = {
    "NoSuchKey": "is no longer in the bucket: run the courier again",
    "404": "is no longer in the bucket: run the courier again",
    "InvalidObjectState": "is in an archive storage class: restore it first",
}
_BUSY: Final = frozenset({"SlowDown", "Throttling", "ThrottlingException", "RequestTimeout", "ServiceUnavailable"})
_CUT_SHORT: Final = (IncompleteReadError, ReadTimeoutError, ResponseStreamingError)
_UNREACHABLE: Final = (
    (ProxyConnectionError, "the proxy failed"),
    (ConnectTimeoutError, "the connection timed out"),
    (EndpointConnectionError, "nothing answers at its address"),
    (AnyConnectionError, "the connection failed"),
    (HTTPClientError, "its response was incomplete"),
    (IncompleteReadError, "its response was incomplete"),
)
_UNUSABLE: Final = (
    ((NoCredentialsError, PartialCredentialsError, CredentialRetrievalError), _NO_CREDENTIALS),
    ((SSOError, TokenRetrievalError), _EXPIRED),
    (ProfileNotFound, ("AWS has no such profile here", "fix the `profile` of {credential}, or AWS_PROFILE")),
    (SSLError, ("the TLS handshake failed", "fix the courier's `endpoint-url`, or this machine's certificates")),
    (ResponseParserError, _NOT_S3),
    (InvalidRegionError, ("there is no such region", "fix the courier's `region`")),
    (ParamValidationError, ("a name is malformed", "fix the courier's `bucket`, or `role-arn` and `external-id`")),
    (PaginationError, ("its listing repeats itself", _FIX_ADDRESS)),
    (ValueError, ("its response has a malformed date or number", _FIX_ADDRESS)),
)


class Object(NamedTuple):
    """An object of the bucket; its key is relative to the courier's prefix."""

    key: str
    size: int
    etag: str
    modified: datetime


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
        attempts: int = _ATTEMPTS,
        seconds: float = _SECONDS,
        call_seconds: float = _CALL_SECONDS,
        block_seconds: float = _BLOCK_SECONDS,
    ) -> None:
        """Sends no request yet.

        Args:
            courier: which bucket, and by which credential.
            environment: of the variables that the credential names.
            attempts: how often to ask before it counts as failed.
            seconds: how long to wait for an answer, and in the middle of one.
            call_seconds: how long a call may take in all, with its retries.
            block_seconds: how long 256 KB of a file may take.

        Raises:
            SetupError: a variable is missing, or a setting is malformed.
        """
        self.courier = courier
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
        with self._explained():
            session = _session(courier.credential, courier, environment, Config(**options), self._limit)
            if courier.endpoint_url:
                options["s3"] = {"addressing_style": "path"}
            try:
                self._client = session.client("s3", endpoint_url=courier.endpoint_url, config=Config(**options))
            except ValueError as failure:
                raise failure if isinstance(failure, BotoCoreError) else self._setup_error(_NO_ADDRESS) from None
            self._limit.install(self._client)
            # botocore alone asks this, for the region of a redirect without one: endlessly, if it is redirected too.
            self._client.meta.events.register("before-call.s3.HeadBucket", self._refuse_redirect)

    def __str__(self) -> str:
        at = f" at {self.courier.endpoint_url}" if self.courier.endpoint_url else ""
        below = f" below `{self.courier.prefix}`" if self.courier.prefix else ""
        return f"the bucket `{self.courier.bucket}`{at}{below}"

    def list(self, prefix: str = "") -> Iterator[Object]:
        """The objects whose keys begin so, by key. Those that stand for folders are left out."""
        beginning = self.courier.prefix + prefix
        with self._explained():
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.courier.bucket, Prefix=beginning)
            for page in self._one_by_one(iter(pages)):
                if "Name" not in page:  # a web server may say 200 to anything
                    raise self._setup_error(_NOT_S3)
                if page.get("IsTruncated") and not page.get("NextContinuationToken"):
                    raise self._setup_error(_CUT_LIST)
                for item in page.get("Contents", ()):
                    key = item.get("Key", "")
                    if key.endswith("/") and key.startswith(beginning):
                        continue
                    if not key.startswith(beginning) or item.get("Size", -1) < 0 or "LastModified" not in item:
                        raise self._setup_error(_INCOMPLETE_LIST)
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
        temporary = to.with_name(f"{to.name}.part")
        with self._explained(key):
            try:
                with temporary.open("wb") as file:
                    self._copy(key, file, progress or (lambda _bytes: None), listed)
                temporary.replace(to)
            finally:
                with suppress(OSError):  # the first error is the one to show
                    temporary.unlink(missing_ok=True)

    def probe(self, key: str) -> None:
        """Asks whether an object can be fetched, without its content. Raises what `fetch` raises."""
        with self._explained(key), self._limited(self._call_seconds):
            self._client.head_object(Bucket=self.courier.bucket, Key=self.courier.prefix + key)

    def read(self, key: str) -> bytes:
        """The content of a small object. Raises what `fetch` raises."""
        content = BytesIO()
        with self._explained(key):
            self._copy(key, content, lambda _bytes: None)
        return content.getvalue()

    def _copy(self, key: str, to: IO[bytes], progress: Callable[[int], None], listed: Object | None = None) -> None:
        """Fetches an object again that came in part, or not as it was listed, which the library does not do."""
        for attempts_left in reversed(range(self._attempts)):
            try:
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
            except _CUT_SHORT:
                if not attempts_left:
                    raise
            else:
                difference = listed and _difference(listed, answer.get("ETag", "").strip('"'), to.tell())
                if not difference:
                    return
                if not attempts_left:
                    raise UnreadableFileError(f"The file `{key}` of {self} {difference}.")
            progress(-to.tell())
            to.seek(0)
            to.truncate()

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
                raise self._later_error("its response takes too long")

    def _refuse_redirect(self, **_: object) -> None:
        raise self._setup_error(_REDIRECTED)

    @contextmanager
    def _explained(self, key: str | None = None) -> Iterator[None]:
        try:
            yield
        except CourierError:
            raise
        except ClientError as refusal:
            raise self._refused(refusal, key) from None
        except (BotoCoreError, ResponseParserError, ValueError) as failure:
            raise self._failed(failure) from None
        except KeyError as missing:  # in an answer
            raise self._setup_error((f"its response lacks `{missing.args[0]}`", _FIX_ADDRESS)) from None
        except OSError as fault:
            raise SetupError(f"The file `{key}` cannot be written to disk: {fault.strerror}.") from None
        except Exception as failure:  # noqa: BLE001  (an odd answer may make the library raise anything)
            if isinstance(failure, RuntimeError) and "expired" in str(failure):  # credentials that come expired
                raise self._setup_error(_EXPIRED) from None
            raise self._failed(failure) from None

    def _refused(self, refusal: ClientError, key: str | None) -> CourierError:
        status = refusal.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code = refusal.response.get("Error", {}).get("Code") or str(status)
        in_role = refusal.operation_name == "AssumeRole"
        known = _REFUSALS.get(code)
        if known and not (in_role and known is _DENIED):
            return self._setup_error(known)
        is_busy = code in _BUSY or status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR
        if in_role and not is_busy:
            return self._setup_error(_UNASSUMED)
        if key is not None and code in _OF_A_FILE:
            return UnreadableFileError(f"The file `{key}` of {self} {_OF_A_FILE[code]}.")
        shown = f"{code}, status {status}" if re.fullmatch("[A-Za-z][A-Za-z0-9.]{0,60}", code) else f"status {status}"
        if is_busy:
            return self._later_error(f"it is unavailable now ({shown})")
        return self._setup_error((f"it refused the request ({shown})", _FIX_SETTINGS))

    def _failed(self, failure: Exception) -> CourierError:
        for unusable, fault in _UNUSABLE:
            if isinstance(failure, unusable):
                return self._setup_error(fault)
        for unreachable, trouble in _UNREACHABLE:
            if isinstance(failure, unreachable):
                return self._later_error(trouble)
        return self._setup_error((f"of {type(failure).__name__}", _FIX_SETTINGS))

    def _setup_error(self, fault: tuple[str, str]) -> SetupError:
        """The error in a sentence that names the credential, or the variables of the key pair that it rests on."""
        credential = self.courier.credential
        root = credential
        while isinstance(root, RoleCredential):
            root = root.base
        names = dict.fromkeys(("key", "secret"), f"the credential `{root.name}`")
        if isinstance(root, KeyCredential):
            names = {"key": f"the variable `{root.access_key_env}`", "secret": f"the variable `{root.secret_key_env}`"}
        reason, remedy = (words.format(credential=f"the credential `{credential.name}`", **names) for words in fault)
        return SetupError(f"{self._sentence(reason)}: {remedy}.")

    def _later_error(self, reason: str) -> LaterError:
        return LaterError(f"{self._sentence(reason)}: try again later.")

    def _sentence(self, reason: str) -> str:
        return f"The courier `{self.courier.name}` cannot read {self}, because {reason}"


def _session(
    credential: Credential, courier: Courier, environment: Mapping[str, str], config: Config, limit: TimeLimit
) -> Any:
    if isinstance(credential, KeyCredential):
        names = (credential.access_key_env, credential.secret_key_env, credential.session_token_env)
        for name in names:
            if name and not environment.get(name):
                raise SetupError(
                    f"The environment variable `{name}` of the credential `{credential.name}` is not set: set it where "
                    "heap-courier is started, and start a running console or daemon again."
                )
        key, secret, token = (environment[name] if name else None for name in names)
        return boto3.Session(key, secret, token, courier.region)
    if isinstance(credential, ProfileCredential):
        return boto3.Session(profile_name=credential.profile, region_name=courier.region)
    if isinstance(credential, RoleCredential):
        base = _session(credential.base, courier, environment, config, limit)
        return _in_role(credential, base, courier, config, limit)
    return boto3.Session(region_name=courier.region)


def _in_role(role: RoleCredential, session: Any, courier: Courier, config: Config, limit: TimeLimit) -> Any:
    """A session whose credentials are those of the role, assumed again before they expire.

    A service other than Amazon's assumes roles at its own address; Amazon has another for it.
    """
    is_amazon = courier.endpoint_url is None or ".amazonaws.com" in (urlsplit(courier.endpoint_url).hostname or "")
    region = session.region_name or "us-east-1"
    address = None if is_amazon else courier.endpoint_url
    base = session.get_credentials()
    if base is None:
        raise NoCredentialsError
    extra = {"RoleSessionName": "heap-courier"}
    if role.external_id is not None:
        extra["ExternalId"] = role.external_id
    # It logs a refusal with its traceback and the role, in front of the error that says the same in a sentence.
    logging.getLogger("botocore.credentials").setLevel(logging.CRITICAL)

    def create(*arguments: Any, **options: Any) -> Any:
        client = session.client(*arguments, region_name=region, endpoint_url=address, config=config, **options)
        limit.install(client)  # a role is assumed in the middle of the call that needs it
        return client

    fetcher = AssumeRoleCredentialFetcher(create, base, role.role_arn, extra_args=extra)
    credentials = DeferredRefreshableCredentials(fetcher.fetch_credentials, "assume-role")
    core = botocore.session.get_session()
    core.register_component("credential_provider", _Role(credentials))
    return boto3.Session(botocore_session=core, region_name=session.region_name)


class _Role:
    """What botocore asks for credentials."""

    def __init__(self, credentials: DeferredRefreshableCredentials) -> None:
        self._credentials = credentials

    def load_credentials(self) -> DeferredRefreshableCredentials:
        return self._credentials
