"""Errors of a bucket as sentences: what failed, why, and what to do.

A message quotes the error code of a response, never its text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Final, NamedTuple

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
    SSLError,
    SSOError,
    TokenRetrievalError,
)
from botocore.exceptions import ConnectionError as AnyConnectionError
from botocore.parsers import ResponseParserError

from heap_courier.errors import CourierError, LaterError, SetupError, UnreadableFileError
from heap_courier.project.model import Courier, KeyCredential, RoleCredential

_DENIED: Final = (
    "access is denied",
    "allow s3:ListBucket on the bucket and {rights} below {settings} `prefix` to {credential}",
)
_UNKNOWN_KEY: Final = ("the access key is unknown", "fix {key}")
_EXPIRED: Final = ("the credential has expired", "renew {credential}")
_ELSEWHERE: Final = ("the bucket is in another region", "fix {settings} `region`")
_NO_CREDENTIALS: Final = (
    "{credential} provides no access key",
    "fix it, or set `access-key-env` and `secret-key-env`",
)
_UNASSUMED: Final = (
    "the role of {credential} cannot be assumed",
    "fix its `role-arn` and `external-id`, or allow sts:AssumeRole with that external id in the role's trust policy",
)
_FIX_ADDRESS: Final = "fix {settings} `endpoint-url`"
NOT_S3: Final = ("the server at its address is not S3", _FIX_ADDRESS)
NO_ADDRESS: Final = ("its address is not a valid URL", _FIX_ADDRESS)
INCOMPLETE_LIST: Final = ("its listing has an entry without key, size or date, or outside the prefix", _FIX_ADDRESS)
TRUNCATED_LIST: Final = ("its listing is truncated, but has no continuation token", _FIX_ADDRESS)
REDIRECTED: Final = (
    "it redirects every request without naming a region",
    "fix {settings} `region` or `endpoint-url`",
)
_FIX_SETTINGS: Final = "fix {settings} settings"
_REFUSALS: Final = {
    "NoSuchBucket": ("there is no such bucket", "fix {settings} `bucket`"),
    "InvalidBucketName": ("this is not a valid bucket name", "fix {settings} `bucket`"),
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
_UNREACHABLE: Final = (
    (ProxyConnectionError, "the proxy failed"),
    (ConnectTimeoutError, "the connection timed out"),
    (EndpointConnectionError, "its address cannot be reached"),
    (AnyConnectionError, "the connection failed"),
    (HTTPClientError, "its response was incomplete"),
    (IncompleteReadError, "its response was incomplete"),
)
_UNUSABLE: Final = (
    ((NoCredentialsError, PartialCredentialsError, CredentialRetrievalError), _NO_CREDENTIALS),
    ((SSOError, TokenRetrievalError), _EXPIRED),
    (
        ProfileNotFound,
        ("there is no such AWS profile on this machine", "fix the `profile` of {credential}, or AWS_PROFILE"),
    ),
    (SSLError, ("the TLS handshake failed", "fix {settings} `endpoint-url`, or this machine's certificates")),
    (ResponseParserError, NOT_S3),
    (InvalidRegionError, ("there is no such region", "fix {settings} `region`")),
    (ParamValidationError, ("a name is malformed", "fix {settings} `bucket`, or `role-arn` and `external-id`")),
    (PaginationError, ("its listing repeats itself", _FIX_ADDRESS)),
    (ValueError, ("its response has a malformed date or number", _FIX_ADDRESS)),
)


class Use(NamedTuple):
    """What a bucket is used for, as its errors describe it.

    Attributes:
        subject: the start of the sentence: "The courier `Heap` cannot read".
        settings: whose settings they are: "the courier's".
        rights: the permissions on objects that this use needs: "s3:GetObject".
    """

    subject: str
    settings: str
    rights: str


class BucketErrors:
    """Creates the errors of a bucket, for a courier or for another use of it."""

    def __init__(self, courier: Courier, use: Use | None = None) -> None:
        self._courier = courier
        self._use = use or Use(f"The courier `{courier.name}` cannot read", "the courier's", "s3:GetObject")

    @property
    def place(self) -> str:
        """The bucket as messages describe it."""
        at = f" at {self._courier.endpoint_url}" if self._courier.endpoint_url else ""
        below = f" below `{self._courier.prefix}`" if self._courier.prefix else ""
        return f"the bucket `{self._courier.bucket}`{at}{below}"

    @contextmanager
    def explained(self, key: str | None = None) -> Iterator[None]:
        """Replaces what boto3 raises by a CourierError with the reason; `key` is the key of the object, if any."""
        try:
            yield
        except CourierError:
            raise
        except ClientError as refusal:
            raise self._refused(refusal, key) from None
        except (BotoCoreError, ResponseParserError, ValueError) as failure:
            raise self._failed(failure) from None
        except KeyError as missing:  # in a response
            raise self.to_fix((f"its response lacks `{missing.args[0]}`", _FIX_ADDRESS)) from None
        except OSError as fault:
            raise SetupError(f"The file `{key}` cannot be written to disk: {fault.strerror}.") from None
        except Exception as failure:  # noqa: BLE001  (an unexpected response may make boto3 raise anything)
            if isinstance(failure, RuntimeError) and "expired" in str(failure):  # the new credentials have expired
                raise self.to_fix(_EXPIRED) from None
            raise self._failed(failure) from None

    def to_fix(self, fault: tuple[str, str]) -> SetupError:
        """An error that the user must fix; `fault` is its reason and remedy.

        The placeholders of `fault` become the credential, and the environment variables of the key pair behind it.
        """
        credential = self._courier.credential
        root = credential
        while isinstance(root, RoleCredential):
            root = root.base
        names = dict.fromkeys(("key", "secret"), f"the credential `{root.name}`")
        if isinstance(root, KeyCredential):
            names = {"key": f"the variable `{root.access_key_env}`", "secret": f"the variable `{root.secret_key_env}`"}
        names |= {"credential": f"the credential `{credential.name}`"}
        names |= {"settings": self._use.settings, "rights": self._use.rights}
        reason, remedy = (words.format(**names) for words in fault)
        return SetupError(f"{self._sentence(reason)}: {remedy}.")

    def for_later(self, reason: str) -> LaterError:
        """A temporary error."""
        return LaterError(f"{self._sentence(reason)}: try again later.")

    def _refused(self, refusal: ClientError, key: str | None) -> CourierError:
        status = refusal.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code = refusal.response.get("Error", {}).get("Code") or str(status)
        in_role = refusal.operation_name == "AssumeRole"
        known = _REFUSALS.get(code)
        if known and not (in_role and known is _DENIED):
            return self.to_fix(known)
        is_busy = code in _BUSY or status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR
        if in_role and not is_busy:
            return self.to_fix(_UNASSUMED)
        if key is not None and code in _OF_A_FILE:
            return UnreadableFileError(f"The file `{key}` of {self.place} {_OF_A_FILE[code]}.")
        shown = f"{code}, status {status}" if re.fullmatch("[A-Za-z][A-Za-z0-9.]{0,60}", code) else f"status {status}"
        if is_busy:
            return self.for_later(f"it is unavailable now ({shown})")
        return self.to_fix((f"it refused the request ({shown})", _FIX_SETTINGS))

    def _failed(self, failure: Exception) -> CourierError:
        for unusable, fault in _UNUSABLE:
            if isinstance(failure, unusable):
                return self.to_fix(fault)
        for unreachable, trouble in _UNREACHABLE:
            if isinstance(failure, unreachable):
                return self.for_later(trouble)
        return self.to_fix((f"of {type(failure).__name__}", _FIX_SETTINGS))

    def _sentence(self, reason: str) -> str:
        return f"{self._use.subject} {self.place}, because {reason}"
