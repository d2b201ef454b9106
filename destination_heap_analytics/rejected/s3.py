"""Rejected rows in a bucket in S3 or an S3-compatible service: one object per append.

Importing this module imports boto3, which is slow; store.py does so only if rows are stored in S3.
Failures are identified only by their error code: the text of a response may contain anything.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http import HTTPStatus
from shlex import quote
from typing import Any, Final
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
    InvalidRegionError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    ProxyConnectionError,
    SSLError,
)
from botocore.exceptions import ConnectionError as AnyConnectionError
from botocore.parsers import ResponseParserError

from destination_heap_analytics.config.storage_settings import S3Storage
from destination_heap_analytics.errors import ConfigError, SyncStoppedError, TransientError
from destination_heap_analytics.rejected.local import RESEND
from destination_heap_analytics.version import VERSION

CONNECT_SECONDS: Final = 5.0
READ_SECONDS: Final = 30.0
ATTEMPTS: Final = 4

_CHECK_SECONDS: Final = 10.0
_CHECK_ATTEMPTS: Final = 2
"""Limits of the check, for which a person waits: a silent server is detected within about twenty seconds."""

_SETTINGS: Final = "`object_storage_config`"
_KEY: Final = "`object_storage_config.access_key_id`"
_SECRET: Final = "`object_storage_config.secret_access_key`"  # noqa: S105  # its name
_ROLE: Final = "`object_storage_config.role_arn`"
_BUCKET: Final = "`object_storage_config.s3_bucket_name`"
_REGION: Final = "`object_storage_config.s3_bucket_region`"
_ENDPOINT: Final = "`object_storage_config.s3_endpoint`"
_PREFIX: Final = "`object_storage_config.bucket_path`"

_NO_BUCKET: Final = ("there is no such bucket", f"create it, or correct {_BUCKET}")
_NO_NAME: Final = ("its name is not valid", f"correct {_BUCKET}")
_MALFORMED: Final = ("a name is malformed", f"correct {_BUCKET} or {_ROLE}")
_DENIED: Final = ("access is denied", f"allow the owner of {_KEY} or {_ROLE} s3:PutObject below {_PREFIX}")
_UNASSUMED: Final = (
    "the role cannot be assumed",
    f"allow sts:AssumeRole in the role's trust policy, or correct {_ROLE}",
)
_UNKNOWN_KEY: Final = ("the access key ID is unknown", f"correct {_KEY}")
_WRONG_SECRET: Final = ("the secret does not belong to the access key ID", f"correct {_SECRET}")
_EXPIRED: Final = ("the credentials have expired", f"renew them, or set {_KEY} and {_SECRET} of a user")
_ELSEWHERE: Final = ("the bucket is in another region", f"correct {_REGION}")
_CLOCK: Final = ("the clock of this machine is wrong", "set it")
_NO_CREDENTIALS: Final = ("this machine has no AWS identity of its own", f"set {_KEY} and {_SECRET}")
_HALF_A_PAIR: Final = ("only one part of the access key is set", f"set both {_KEY} and {_SECRET}")
_NO_REGION: Final = ("there is no such region", f"correct {_REGION}")
_NO_ROLES: Final = ("the server there does not assume roles", f"correct {_ROLE} or {_ENDPOINT}")
_OUTDATED: Final = ("the credentials of the role have already expired", "set the clock of this machine")
_REDIRECTS: Final = ("the server there redirects in a loop", f"correct {_ENDPOINT}")
_NOT_S3: Final = ("the server there is not an S3 service", f"correct {_ENDPOINT}")

_REFUSALS: Final = {
    "NoSuchBucket": _NO_BUCKET,
    "InvalidBucketName": _NO_NAME,
    "AccessDenied": _DENIED,
    "AllAccessDisabled": _DENIED,
    "403": _DENIED,
    "InvalidAccessKeyId": _UNKNOWN_KEY,
    "InvalidClientTokenId": _UNKNOWN_KEY,
    "UnrecognizedClientException": _UNKNOWN_KEY,
    "SignatureDoesNotMatch": _WRONG_SECRET,
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "InvalidToken": _EXPIRED,
    "PermanentRedirect": _ELSEWHERE,
    "TemporaryRedirect": _ELSEWHERE,
    "AuthorizationHeaderMalformed": _ELSEWHERE,
    "IllegalLocationConstraintException": _ELSEWHERE,
    "301": _ELSEWHERE,
    "307": _ELSEWHERE,
    "RequestTimeTooSkewed": _CLOCK,
}
_LATER: Final = frozenset(
    {
        "BandwidthLimitExceeded",
        "InternalError",
        "OperationAborted",
        "RequestLimitExceeded",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "TooManyRequestsException",
    }
)
"""Codes of temporary failures, whatever the status; botocore retries most of them."""

_UNREADABLE: Final = (AttributeError, KeyError, TypeError, ResponseParserError)
"""What botocore raises for a response that is not XML, or not in S3's format, instead of its own errors."""

_NO_RESOURCES: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
_UNREACHABLE: Final = (
    (SSLError, "the TLS handshake failed"),
    (ProxyConnectionError, "the proxy failed"),
    (ConnectTimeoutError, "the connection timed out"),
    (EndpointConnectionError, "there is no server at its address"),
    (AnyConnectionError, "the connection failed"),
)


class _NoRoleError(BotoCoreError):  # type: ignore[misc]  # its package ships no types
    """The response to AssumeRole contains no credentials."""


_UNUSABLE: Final = (
    (_NoRoleError, _NO_ROLES),
    (NoCredentialsError, _NO_CREDENTIALS),
    (PartialCredentialsError, _HALF_A_PAIR),
    (CredentialRetrievalError, _NO_CREDENTIALS),
    (ProfileNotFound, _NO_CREDENTIALS),
    (InvalidRegionError, _NO_REGION),
    (ParamValidationError, _MALFORMED),
)


class S3Bucket:
    """The objects of one attempt."""

    def __init__(
        self,
        settings: S3Storage,
        folder: str,
        attempt: str,
        *,
        seconds: float = READ_SECONDS,
        attempts: int = ATTEMPTS,
    ) -> None:
        """Prepare; nothing is sent yet.

        Args:
            settings: the bucket and its credentials.
            folder: the path of the objects below the configured prefix.
            attempt: the beginning of the objects' names; unique to this attempt.
            seconds: how long to wait for a response.
            attempts: how often to try before an append fails.
        """
        self._settings = settings
        self._objects = "/".join(filter(None, (settings.bucket_path.strip("/"), folder, attempt)))
        self._check = "/".join(filter(None, (settings.bucket_path.strip("/"), f"check_{attempt}.txt")))
        self._seconds = seconds
        self._attempts = attempts
        self._client: Any = None
        self._stored = 0

    @property
    def retrieval(self) -> str:
        """Where the objects are, and the commands that resend them. The local folder is named after the stream."""
        folder, _, attempt = self._objects.rpartition("/")
        copy = f"s3://{self._settings.s3_bucket_name}/{folder}"
        stream = folder.rpartition("/")[2] or "."
        endpoint = f"--endpoint-url {quote(self._settings.s3_endpoint)} " if self._settings.s3_endpoint else ""
        include = f"--exclude '*' --include {quote(attempt + '*')}"
        fetch = f"aws s3 cp {endpoint}--recursive {include} {quote(copy)} {quote(stream)}"
        files = f"{quote(stream)}/{quote(attempt)}*.jsonl"
        return f"in {copy}/{attempt}*. Once the cause is fixed, send them again: {fetch} && {RESEND % files}"

    def append(self, lines: bytes) -> None:
        """Store whole lines in a separate object; they are durable when this returns.

        Raises:
            ConfigError: a setting is wrong, or no server responds and nothing has been stored yet.
            TransientError: S3 or the network was unavailable in every attempt.
        """
        with self._explained():
            self._client = self._client or _client(self._settings, self._seconds, self._attempts)
            self._put(self._client, f"{self._objects}_{self._stored + 1}.jsonl", lines)
        self._stored += 1

    def probe(self) -> None:
        """Put a small object and remove it. Raises what `append` raises."""
        with self._explained():
            client = _client(self._settings, min(self._seconds, _CHECK_SECONDS), min(self._attempts, _CHECK_ATTEMPTS))
            self._put(client, self._check, b"Written by the check of an Airbyte connection; it can be deleted.\n")
        with suppress(BotoCoreError, ClientError):
            client.delete_object(Bucket=self._settings.s3_bucket_name, Key=self._check)

    def _put(self, client: Any, key: str, body: bytes) -> None:
        response = client.put_object(Bucket=self._settings.s3_bucket_name, Key=key, Body=body)
        if not response.get("ETag"):  # another kind of server may return 200 for any request
            raise self._config_error(_NOT_S3)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except ClientError as refusal:
            raise self._refused(refusal) from None
        except _UNREADABLE:
            raise self._config_error(_NOT_S3) from None
        except RecursionError:  # botocore follows redirects to other regions recursively
            raise self._config_error(_REDIRECTS) from None
        except RuntimeError as failure:  # botocore refuses to sign with expired credentials
            if "expired" not in str(failure):
                raise
            raise self._config_error(_OUTDATED) from None
        except (BotoCoreError, ValueError) as failure:  # ValueError: an invalid address
            if lack := _lack_of_resources(failure):
                raise lack from None
            raise self._failed(failure) from None

    def _refused(self, refusal: ClientError) -> SyncStoppedError:
        status = refusal.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code = refusal.response.get("Error", {}).get("Code") or str(status)
        known = _REFUSALS.get(code)
        in_role = refusal.operation_name == "AssumeRole"
        if known and not (in_role and known is _DENIED):
            return self._config_error(known)
        shown = f"{code}, status {status}" if re.fullmatch("[A-Za-z][A-Za-z0-9.]{0,60}", code) else f"status {status}"
        if code in _LATER or status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return self._transient_error(f"it is unavailable ({shown})")
        return self._config_error(_UNASSUMED if in_role else (f"it refuses them ({shown})", f"correct {_SETTINGS}"))

    def _failed(self, failure: Exception) -> SyncStoppedError:
        trouble = next((trouble for kind, trouble in _UNREACHABLE if isinstance(failure, kind)), None)
        if trouble and not self._stored:
            setting = _ENDPOINT if self._settings.s3_endpoint else _REGION
            return self._config_error((trouble, f"correct {setting}, or check the network"))
        if trouble or isinstance(failure, HTTPClientError):
            return self._transient_error(trouble or "it did not respond")
        known = next((fault for kind, fault in _UNUSABLE if isinstance(failure, kind)), None)
        return self._config_error(known or (f"of {type(failure).__name__}", f"correct {_SETTINGS}"))

    def _config_error(self, fault: tuple[str, str]) -> ConfigError:
        reason, remedy = fault
        return ConfigError(f"{self._sentence(reason)}: {remedy}.")

    def _transient_error(self, reason: str) -> TransientError:
        return TransientError(f"{self._sentence(reason)}: the sync may succeed later.")

    def _sentence(self, reason: str) -> str:
        at = f" at {self._settings.s3_endpoint}" if self._settings.s3_endpoint else ""
        return f"Rejected rows cannot be stored in the bucket `{self._settings.s3_bucket_name}`{at}, because {reason}"


def _client(settings: S3Storage, seconds: float, attempts: int) -> Any:
    """An S3 client. Creating it sends nothing."""
    if bool(settings.access_key_id) is not bool(settings.secret_access_key):
        raise PartialCredentialsError(provider="settings", cred_var="")
    options: dict[str, Any] = {
        "connect_timeout": min(CONNECT_SECONDS, seconds),
        "read_timeout": seconds,
        "retries": {"mode": "standard", "total_max_attempts": attempts},
        "user_agent_extra": f"destination-heap-analytics/{VERSION}",
    }
    session = boto3.Session(
        aws_access_key_id=settings.access_key_id,
        aws_secret_access_key=settings.secret_access_key,
        region_name=settings.s3_bucket_region or None,
    )
    if settings.role_arn:
        session = _in_role(settings.role_arn, session, settings.s3_endpoint, Config(**options))
    if settings.s3_endpoint:
        options["s3"] = {"addressing_style": "path"}
    # Many S3-compatible services do not support checksums beyond those that S3 requires.
    for option in ("request_checksum_calculation", "response_checksum_validation"):
        options[option] = "when_required"
    return session.client("s3", endpoint_url=settings.s3_endpoint, config=Config(**options))


def _in_role(role: str, session: Any, endpoint: str | None, config: Config) -> Any:
    """A session with the credentials of the role, which are renewed before they expire.

    S3-compatible services assume roles at the same address; Amazon has a separate one.
    """
    is_amazon = endpoint is None or ".amazonaws.com" in (urlsplit(endpoint).hostname or "")
    region = session.region_name or "us-east-1"
    base = session.get_credentials()
    if base is None:
        raise NoCredentialsError
    create = partial(session.client, region_name=region, endpoint_url=None if is_amazon else endpoint, config=config)
    fetcher = AssumeRoleCredentialFetcher(
        create, base, role, extra_args={"RoleSessionName": "destination-heap-analytics"}
    )

    def assumed() -> dict[str, Any]:
        try:
            credentials: dict[str, Any] = fetcher.fetch_credentials()
        except _UNREADABLE:
            raise _NoRoleError from None
        return credentials

    core = botocore.session.get_session()
    core.register_component("credential_provider", _Role(DeferredRefreshableCredentials(assumed, "assume-role")))
    return boto3.Session(botocore_session=core, region_name=session.region_name)


class _Role:
    """The credentials provider for botocore."""

    def __init__(self, credentials: DeferredRefreshableCredentials) -> None:
        self._credentials = credentials

    def load_credentials(self) -> DeferredRefreshableCredentials:
        return self._credentials


def _lack_of_resources(failure: BaseException) -> OSError | None:
    """The underlying error if the machine is out of resources; None otherwise."""
    pending: list[object] = [failure]
    seen: set[int] = set()
    while pending:
        cause = pending.pop()
        if not isinstance(cause, BaseException) or id(cause) in seen:
            continue
        if isinstance(cause, OSError) and cause.errno in _NO_RESOURCES:
            return cause
        seen.add(id(cause))
        pending += [cause.__cause__, cause.__context__, getattr(cause, "kwargs", {}).get("error")]
    return None
