"""Each error of a bucket is a sentence with a remedy."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest
from botocore.exceptions import BotoCoreError, ClientError

from courier.unit_tests.files.answered_bucket import KEYS, bucket, refusal
from heap_courier.errors import CourierError, LaterError, SetupError, UnreadableFileError
from heap_courier.files.bucket_errors import BucketErrors
from heap_courier.project.model import Courier, RoleCredential


@pytest.mark.parametrize(
    ("status", "code", "kind", "words"),
    [
        (404, "NoSuchBucket", SetupError, "there is no such bucket: fix the courier's `bucket`."),
        (403, "AccessDenied", SetupError, "access is denied: allow s3:ListBucket"),
        (403, "InvalidAccessKeyId", SetupError, "the access key is unknown: fix the variable `KEY`."),
        (
            403,
            "SignatureDoesNotMatch",
            SetupError,
            "the secret does not belong to the access key: fix the variable `SECRET`.",
        ),
        (400, "ExpiredToken", SetupError, "has expired: renew the credential `reader`."),
        (400, "Odd Code <b>", SetupError, "it refused the request (status 400): fix the courier's settings."),
        (503, "SlowDown", LaterError, "it is unavailable now (SlowDown, status 503): try again later."),
        (500, "InternalError", LaterError, "it is unavailable now (InternalError, status 500): try again later."),
        (429, "TooMany", LaterError, "it is unavailable now (TooMany, status 429): try again later."),
    ],
)
def test_a_refusal_is_reported_with_its_remedy(status: int, code: str, kind: type[CourierError], words: str) -> None:
    with pytest.raises(kind) as refused:
        list(bucket(lambda _: refusal(status, code)).list())

    assert str(refused.value).startswith("The courier `Heap` cannot read the bucket `heap` at http://127.0.0.1:1 below")
    assert words in str(refused.value)
    assert "Words of the server" not in str(refused.value)


@pytest.mark.parametrize(("status", "code"), [(404, "NoSuchKey"), (403, "InvalidObjectState")])
def test_a_refused_object_fails_only_its_file(tmp_path: Path, status: int, code: str) -> None:
    with pytest.raises(UnreadableFileError, match="The file `a` of the bucket `heap` at"):
        bucket(lambda _: refusal(status, code)).fetch("a", tmp_path / "a")


def exceptions() -> list[type[BotoCoreError]]:
    classes = (each for _, each in inspect.getmembers(botocore.exceptions, inspect.isclass))
    return [each for each in classes if issubclass(each, BotoCoreError)]


@pytest.mark.parametrize("failure", exceptions(), ids=lambda failure: failure.__name__)
def test_every_error_of_botocore_is_reported_with_a_remedy(failure: type[BotoCoreError]) -> None:
    """Including errors of a role, which is based on a key pair."""
    role = RoleCredential("role", "arn:aws:iam::123456789012:role/reader", None, KEYS)
    for credential in (KEYS, role):
        raised = failure.__new__(failure)
        Exception.__init__(raised, "Words of the library.")
        courier = Courier("Heap", credential, "heap", "", None, None, Path("e"), None)

        error = BucketErrors(courier)._failed(raised)

        assert isinstance(error, SetupError | LaterError)
        sentence = str(error)
        assert sentence.startswith("The courier `Heap` cannot read the bucket `heap`, because ")
        assert ": " in sentence
        assert sentence.endswith(".")
        assert "{" not in sentence
        assert "Words of the library" not in sentence


def test_a_refusal_with_any_status_is_either_a_setup_error_or_temporary() -> None:
    """Including a refused role: a busy service is not a denied one."""
    errors = BucketErrors(Courier("Heap", KEYS, "heap", "", None, None, Path("e"), None))
    for status in range(400, 600):
        for operation in ("ListObjectsV2", "GetObject", "AssumeRole"):
            response: Any = {"Error": {"Code": str(status)}, "ResponseMetadata": {"HTTPStatusCode": status}}
            error = errors._refused(ClientError(response, operation), None)
            is_temporary = status == 429 or status >= 500
            assert isinstance(error, LaterError if is_temporary else SetupError), (status, operation)
