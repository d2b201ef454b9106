"""The bucket without a network: each request of the library is answered by a function of the test."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import datetime, timezone
from io import BytesIO
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import BotoCoreError, ClientError

from heap_courier.errors import CourierError, LaterError, SetupError, UnreadableFileError
from heap_courier.files.bucket import Bucket, Object
from heap_courier.project.model import Courier, Credential, KeyCredential, RoleCredential

KEYS = KeyCredential("reader", "KEY", "SECRET")
WRITTEN = datetime(2026, 3, 1, tzinfo=timezone.utc)
LISTING = "<ListBucketResult><Name>heap</Name>{more}{contents}<IsTruncated>{truncated}</IsTruncated></ListBucketResult>"
CONTENT = (
    "<Contents><Key>{}</Key><Size>{}</Size><ETag>&quot;e&quot;</ETag>"
    "<LastModified>2026-03-01T00:00:00.000Z</LastModified></Contents>"
)

Answer = Callable[[AWSPreparedRequest], tuple[int, dict[str, str], bytes]]


class Raw(BytesIO):
    """A body as urllib3 hands it out."""

    def stream(self, *_: object, **__: object) -> list[bytes]:
        return [self.read()]


def bucket(answer: Answer, credential: Credential = KEYS, **more: Any) -> Bucket:
    """A bucket below `exports/` whose requests are answered so."""
    courier = Courier("Heap", credential, "heap", "exports/", "http://127.0.0.1:1", "us-east-1", Path("e"), None)
    made = Bucket(courier, {"KEY": "k", "SECRET": "s"}, attempts=more.pop("attempts", 1), **more)

    def send(request: AWSPreparedRequest, **_: object) -> AWSResponse:
        status, headers, body = answer(request)
        return AWSResponse(request.url, status, headers, Raw(body))

    made._client.meta.events.register("before-send.s3", send)
    return made


def listing(*objects: tuple[str, int], following: str = "") -> tuple[int, dict[str, str], bytes]:
    contents = "".join(CONTENT.format(*each) for each in objects)
    more = f"<NextContinuationToken>{following}</NextContinuationToken>" if following else ""
    text = LISTING.format(contents=contents, more=more, truncated=str(bool(following)).lower())
    return 200, {"content-type": "application/xml"}, text.encode()


def refusal(status: int, code: str) -> tuple[int, dict[str, str], bytes]:
    return status, {}, f"<Error><Code>{code}</Code><Message>Words of the server.</Message></Error>".encode()


def test_keys_are_relative_to_the_prefix_and_folders_are_left_out() -> None:
    found = list(bucket(lambda _: listing(("exports/", 0), ("exports/a.avro", 3), ("exports/b/", 0))).list())

    assert found == [Object("a.avro", 3, "e", WRITTEN)]


def test_pages_are_listed_one_after_another() -> None:
    asked: list[str] = []

    def answer(request: AWSPreparedRequest) -> tuple[int, dict[str, str], bytes]:
        asked.append(request.url)
        return listing(("exports/x-a", 1), following="t2") if len(asked) == 1 else listing(("exports/x-b", 1))

    assert [each.key for each in bucket(answer).list("x")] == ["x-a", "x-b"]
    assert ["prefix=exports%2Fx" in url for url in asked] == [True, True]
    assert "continuation-token=t2" in asked[1]


@pytest.mark.parametrize("etag", ["e", ""])
def test_an_object_is_compared_with_its_listing_and_there_only_when_it_is_whole(tmp_path: Path, etag: str) -> None:
    listed = Object("a", 3, etag, WRITTEN)
    headers = {"content-length": "3", "etag": '"e"'}
    progress: list[int] = []

    bucket(lambda _: (200, headers, b"abc")).fetch(listed, tmp_path / "a", progress.append)

    assert (tmp_path / "a").read_bytes() == b"abc"
    assert progress == [3]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
    ("listed", "words"),
    [
        (Object("a", 3, "old", WRITTEN), "has changed since it was listed: run the courier again."),
        (Object("a", 4, "", WRITTEN), "does not match its listing (3 of 4 bytes)"),
        (Object("a", 2, "", WRITTEN), "does not match its listing (more than 2 bytes)"),
    ],
)
def test_an_object_that_is_not_the_listed_one_is_refused(tmp_path: Path, listed: Object, words: str) -> None:
    place = bucket(lambda _: (200, {"content-length": "3", "etag": '"e"'}, b"abc"))

    with pytest.raises(UnreadableFileError) as refused:
        place.fetch(listed, tmp_path / "a")

    assert words in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_an_object_that_comes_otherwise_at_first_is_fetched_again(tmp_path: Path) -> None:
    answers = [(200, {"content-length": "1"}, b"x"), (200, {"content-length": "3"}, b"abc")]
    progress: list[int] = []

    bucket(lambda _: answers.pop(0), attempts=2).fetch(Object("a", 3, "", WRITTEN), tmp_path / "a", progress.append)

    assert (tmp_path / "a").read_bytes() == b"abc"
    assert progress == [1, -1, 3]


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
def test_a_refusal_says_who_must_do_what(status: int, code: str, kind: type[CourierError], words: str) -> None:
    with pytest.raises(kind) as refused:
        list(bucket(lambda _: refusal(status, code)).list())

    assert str(refused.value).startswith("The courier `Heap` cannot read the bucket `heap` at http://127.0.0.1:1 below")
    assert words in str(refused.value)
    assert "Words of the server" not in str(refused.value)


@pytest.mark.parametrize(("status", "code"), [(404, "NoSuchKey"), (403, "InvalidObjectState")])
def test_a_refused_object_is_the_trouble_of_its_file_alone(tmp_path: Path, status: int, code: str) -> None:
    with pytest.raises(UnreadableFileError, match="The file `a` of the bucket `heap` at"):
        bucket(lambda _: refusal(status, code)).fetch("a", tmp_path / "a")


@pytest.fixture(scope="module")
def silent() -> Bucket:
    """One that is asked nothing: a client of the library takes long to make."""
    return bucket(lambda _: listing())


def exceptions() -> list[type[BotoCoreError]]:
    classes = (each for _, each in inspect.getmembers(botocore.exceptions, inspect.isclass))
    return [each for each in classes if issubclass(each, BotoCoreError)]


@pytest.mark.parametrize("failure", exceptions(), ids=lambda failure: failure.__name__)
def test_every_failure_of_the_library_is_a_sentence_that_says_what_to_do(
    silent: Bucket, failure: type[BotoCoreError]
) -> None:
    """With a role, too, which rests on a key pair."""
    role = RoleCredential("role", "arn:aws:iam::123456789012:role/reader", None, KEYS)
    for credential in (KEYS, role):
        raised = failure.__new__(failure)
        Exception.__init__(raised, "Words of the library.")
        silent.courier = Courier("Heap", credential, "heap", "", None, None, Path("e"), None)

        error = silent._failed(raised)

        assert isinstance(error, SetupError | LaterError)
        sentence = str(error)
        assert sentence.startswith("The courier `Heap` cannot read the bucket `heap`, because ")
        assert ": " in sentence
        assert sentence.endswith(".")
        assert "{" not in sentence
        assert "Words of the library" not in sentence


def test_a_refusal_of_any_status_is_a_fault_of_the_settings_or_passes(silent: Bucket) -> None:
    """Also that of a role: a service that is busy is not one that forbids it."""
    for status in range(400, 600):
        for operation in ("ListObjectsV2", "GetObject", "AssumeRole"):
            response: Any = {"Error": {"Code": str(status)}, "ResponseMetadata": {"HTTPStatusCode": status}}
            error = silent._refused(ClientError(response, operation), None)
            is_temporary = status == 429 or status >= 500
            assert isinstance(error, LaterError if is_temporary else SetupError), (status, operation)


def test_a_variable_that_is_not_set_is_named() -> None:
    courier = Courier("Heap", KEYS, "heap", "", None, None, Path("e"), None)

    with pytest.raises(SetupError, match="The variable `SECRET` of the credential `reader` is not set"):
        Bucket(courier, {"KEY": "k"})
