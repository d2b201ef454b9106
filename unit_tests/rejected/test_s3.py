"""A bucket stores whole lines, one object per append; if that fails, a message says why and what to do."""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import botocore.exceptions
import pytest
import requests
from botocore.client import BaseClient

from destination_heap_analytics.config.storage_settings import S3Storage
from destination_heap_analytics.errors import ConfigError, SyncStoppedError, TransientError
from destination_heap_analytics.process.resources import as_stop
from destination_heap_analytics.protocol.catalog import Stream
from destination_heap_analytics.rejected.s3 import S3Bucket, _client
from destination_heap_analytics.rejected.store import open_storage

KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
ANYONE = {"aws_access_key_id": KEY, "aws_secret_access_key": SECRET}
ROLE = "arn:aws:iam::123456789012:role/rejected-rows"


pytestmark = pytest.mark.usefixtures("no_identity_of_this_machine")


@pytest.fixture
def s3(moto_server: str) -> str:
    """The address of an S3 on this machine."""
    return moto_server


@pytest.fixture
def bucket(s3: str) -> Iterator[Any]:
    requests.post(f"{s3}/moto-api/reset", timeout=60)
    resource = boto3.resource("s3", "us-east-1", endpoint_url=s3, **ANYONE)
    yield resource.create_bucket(Bucket="rows")
    resource.meta.client.close()


def settings(endpoint: str | None, **changed: Any) -> S3Storage:
    given = {
        "storage_type": "S3",
        "access_key_id": KEY,
        "secret_access_key": SECRET,
        "s3_bucket_name": "rows",
        "s3_bucket_region": "us-east-1",
        "s3_endpoint": endpoint,
        "bucket_path": "heap/rejected",
    }
    return S3Storage.model_validate({**given, **changed})


def storage(endpoint: str | None, *, seconds: float = 30.0, attempts: int = 1, **changed: Any) -> S3Bucket:
    return S3Bucket(settings(endpoint, **changed), "7/users", "attempt", seconds=seconds, attempts=attempts)


def objects(bucket: Any) -> dict[str, bytes]:
    return {summary.key: summary.get()["Body"].read() for summary in bucket.objects.all()}


def failure(place: S3Bucket, kind: type[SyncStoppedError], action: str = "append") -> str:
    with pytest.raises(kind) as failed:
        place.probe() if action == "probe" else place.append(b"private\n")
    text = str(failed.value.message)
    assert text.startswith("Rejected rows cannot be stored in the bucket `")
    assert SECRET not in text
    assert "private" not in text
    return text


def test_each_append_is_a_separate_object(s3: str, bucket: Any) -> None:
    """Numbered from 1."""
    place = storage(s3)
    assert objects(bucket) == {}
    place.append(b"1\n2\n")
    place.append(b"3\n")
    assert objects(bucket) == {
        "heap/rejected/7/users/attempt_1.jsonl": b"1\n2\n",
        "heap/rejected/7/users/attempt_2.jsonl": b"3\n",
    }


@pytest.mark.parametrize(("prefix", "beginning"), [("", ""), ("/", ""), ("/heap/", "heap/"), ("a b/%é", "a b/%é/")])
def test_the_prefix_is_what_all_names_begin_with(s3: str, bucket: Any, prefix: str, beginning: str) -> None:
    """Slashes around it create no nameless folders; the parts below it stay encoded."""
    stream = Stream("a/b", "..", "incremental", "append", (), {}, 7)
    place = open_storage(settings(s3, bucket_path=prefix), stream, now=0, random_text="0123456789")
    assert place is not None
    place.append(b"1\n")
    assert list(objects(bucket)) == [f"{beginning}7/%2E./a%2Fb/1970-01-01_0_01234567_1.jsonl"]


def test_a_probe_leaves_nothing_behind(s3: str, bucket: Any) -> None:
    """But it did write below the prefix."""
    bucket.Versioning().enable()
    storage(s3).probe()
    assert objects(bucket) == {}
    assert {version.key for version in bucket.object_versions.all()} == {"heap/rejected/check_attempt.txt"}


def allowed(s3: str, *actions: str) -> dict[str, str]:
    """Keys of a user with only this permission, on a server that checks keys from now on."""
    iam = boto3.client("iam", "us-east-1", endpoint_url=s3, **ANYONE)
    iam.create_user(UserName="writer")
    if actions:
        listed = ",".join(f'"{action}"' for action in actions)
        policy = f'{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":[{listed}],"Resource":"*"}}]}}'
        iam.put_user_policy(UserName="writer", PolicyName="p", PolicyDocument=policy)
    key = iam.create_access_key(UserName="writer")["AccessKey"]
    iam.close()
    requests.post(f"{s3}/moto-api/reset-auth", data=b"0", timeout=60)
    return {"access_key_id": key["AccessKeyId"], "secret_access_key": key["SecretAccessKey"]}


@pytest.fixture
def strict(s3: str) -> Iterator[Callable[..., dict[str, str]]]:
    yield lambda *actions: allowed(s3, *actions)
    requests.post(f"{s3}/moto-api/reset-auth", data=b"inf", timeout=60)


@pytest.mark.usefixtures("bucket")
def test_a_probe_succeeds_even_if_its_removal_is_refused(s3: str, strict: Callable[..., dict[str, str]]) -> None:
    """Permission to put objects is enough."""
    keys = strict("s3:PutObject")
    place = storage(s3, **keys)
    place.probe()
    place.append(b"1\n")


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize("action", ["append", "probe"])
def test_a_user_who_may_not_write_is_reported(s3: str, strict: Callable[..., dict[str, str]], action: str) -> None:
    """In one message: the place, the reason, and the remedy with the settings."""
    assert failure(storage(s3, **strict("s3:ListBucket")), ConfigError, action) == (
        f"Rejected rows cannot be stored in the bucket `rows` at {s3}, because access is denied: allow the owner "
        "of `object_storage_config.access_key_id` or `object_storage_config.role_arn` s3:PutObject below "
        "`object_storage_config.bucket_path`."
    )


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("access_key_id", "the access key ID is unknown"),
        ("secret_access_key", "the secret does not belong to the access key ID"),
    ],
)
def test_wrong_keys_are_reported(s3: str, strict: Callable[..., dict[str, str]], key: str, reason: str) -> None:
    """Each separately."""
    text = failure(storage(s3, **{**strict("s3:PutObject"), key: "wrong"}), ConfigError)
    assert text.endswith(f", because {reason}: correct `object_storage_config.{key}`.")


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize("action", ["append", "probe"])
def test_a_bucket_that_does_not_exist_is_reported(s3: str, action: str) -> None:
    """It is not created silently."""
    text = failure(storage(s3, s3_bucket_name="other"), ConfigError, action)
    assert "the bucket `other`" in text
    assert text.endswith(
        "because there is no such bucket: create it, or correct `object_storage_config.s3_bucket_name`."
    )


def test_a_role_is_assumed_for_writing(s3: str, bucket: Any, strict: Callable[..., dict[str, str]]) -> None:
    """By a user with no other permission; the role may only write."""
    iam = boto3.client("iam", "us-east-1", endpoint_url=s3, **ANYONE)
    trust = (
        '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}'
    )
    policy = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:PutObject","Resource":"*"}]}'
    iam.create_role(RoleName="rejected-rows", AssumeRolePolicyDocument=trust)
    iam.put_role_policy(RoleName="rejected-rows", PolicyName="p", PolicyDocument=policy)
    iam.close()
    keys = strict("sts:AssumeRole")
    assert "access is denied" in failure(storage(s3, **keys), ConfigError)
    place = storage(s3, role_arn=ROLE, **keys)
    place.append(b"1\n")
    place.append(b"2\n")
    place.probe()
    requests.post(f"{s3}/moto-api/reset-auth", data=b"inf", timeout=60)
    assert list(objects(bucket).values())[:2] == [b"1\n", b"2\n"]


@pytest.mark.usefixtures("bucket")
def test_a_role_that_may_not_be_assumed_is_reported(s3: str, strict: Callable[..., dict[str, str]]) -> None:
    """This differs from a bucket that may not be written to."""
    text = failure(storage(s3, role_arn=ROLE, **strict("s3:PutObject")), ConfigError)
    assert text.endswith(
        "because the role cannot be assumed: allow sts:AssumeRole in the role's trust policy, or correct "
        "`object_storage_config.role_arn`."
    )


@pytest.mark.parametrize("code", ["AccessDenied", "ValidationError"])
@pytest.mark.parametrize("endpoint", ["https://s3.us-east-1.amazonaws.com", None])
def test_amazon_assumes_roles_at_a_separate_address(
    monkeypatch: pytest.MonkeyPatch, endpoint: str | None, code: str
) -> None:
    """Even if the address of its S3 is set, such as one inside a private network."""
    asked: list[Any] = []
    call = BaseClient._make_api_call

    def refuse(client: Any, operation: str, arguments: Any) -> Any:
        if operation != "AssumeRole":
            return call(client, operation, arguments)
        asked.append((client.meta.endpoint_url, arguments["RoleArn"]))
        raise botocore.exceptions.ClientError({"Error": {"Code": code}}, operation)

    monkeypatch.setattr(BaseClient, "_make_api_call", refuse)
    assert "the role cannot be assumed" in failure(storage(endpoint, role_arn=ROLE), ConfigError)
    assert asked == [("https://sts.us-east-1.amazonaws.com", ROLE)]


def test_the_machines_own_identity_is_used_if_no_keys_are_given(
    s3: str, bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it has none, this is reported."""
    place = storage(s3, access_key_id=None, secret_access_key=None)
    assert failure(place, ConfigError).endswith(
        "because this machine has no AWS identity of its own: set `object_storage_config.access_key_id` and "
        "`object_storage_config.secret_access_key`."
    )
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    storage(s3, access_key_id=None, secret_access_key=None).append(b"1\n")
    assert list(objects(bucket).values()) == [b"1\n"]


@pytest.mark.parametrize("key", ["access_key_id", "secret_access_key"])
def test_half_a_pair_of_keys_is_reported(key: str) -> None:
    """The machine's own identity is not used silently."""
    text = failure(storage(None, **{key: None}), ConfigError)
    assert (
        "one part of the access key is set: set both `object_storage_config.access_key_id` and `object_storage" in text
    )


Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def service(*answers: Answer) -> Iterator[tuple[str, list[Any]]]:
    """A server that returns these responses in turn, repeating the last: its address, and the requests received."""
    asked: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # sends "continue" to a client that waits for it

        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            asked.append((self.path, dict(self.headers), body))
            answers[min(len(asked), len(answers)) - 1](self)

        do_POST = do_PUT  # noqa: N815  # the base's name

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def answer(status: int, body: str = "", **headers: str) -> Answer:
    def give(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body.encode())

    return give


def refusal(status: int, code: str) -> Answer:
    return answer(status, f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{SECRET} private</Message></Error>")


STORED = answer(200, ETag='"1"')


class Wire:
    """A server with scripted responses, and a client for it; created once, because that is slow."""

    def __init__(self, url: str, answers: list[Answer]) -> None:
        self.answers = answers
        self._url = url
        self._client = _client(settings(url), 30.0, 1)

    def storage(self, *answers: Answer) -> S3Bucket:
        self.answers[:] = answers
        place = storage(self._url)
        place._client = self._client
        return place


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    answers: list[Answer] = []

    def as_told(handler: BaseHTTPRequestHandler) -> None:
        answers[0](handler)

    with service(as_told) as (url, _):
        yield Wire(url, answers)


@pytest.mark.parametrize(
    ("status", "code", "kind", "words"),
    [
        (404, "NoSuchBucket", ConfigError, "there is no such bucket"),
        (400, "InvalidBucketName", ConfigError, "correct `object_storage_config.s3_bucket_name`"),
        (403, "AccessDenied", ConfigError, "access is denied"),
        (403, "InvalidAccessKeyId", ConfigError, "correct `object_storage_config.access_key_id`"),
        (403, "SignatureDoesNotMatch", ConfigError, "correct `object_storage_config.secret_access_key`"),
        (400, "ExpiredToken", ConfigError, "the credentials have expired: renew them"),
        (301, "PermanentRedirect", ConfigError, "another region: correct `object_storage_config.s3_bucket_region`"),
        (400, "AuthorizationHeaderMalformed", ConfigError, "correct `object_storage_config.s3_bucket_region`"),
        (403, "RequestTimeTooSkewed", ConfigError, "the clock of this machine is wrong: set it"),
        (400, "KeyTooLongError", ConfigError, "it refuses them (KeyTooLongError, status 400)"),
        (400, "wJalrXUtnFEMI/K7", ConfigError, "it refuses them (status 400)"),
        (503, "SlowDown", TransientError, "it is unavailable (SlowDown, status 503): the sync may succeed later."),
        (500, "InternalError", TransientError, "it is unavailable (InternalError, status 500)"),
        (429, "TooMany", TransientError, "it is unavailable (TooMany, status 429)"),
        (400, "RequestTimeout", TransientError, "it is unavailable (RequestTimeout, status 400)"),
    ],
)
def test_every_refusal_has_a_consequence_and_a_message(
    wire: Wire, status: int, code: str, kind: type[SyncStoppedError], words: str
) -> None:
    """By its code only: the rest of the response may contain a secret or a row."""
    assert words in failure(wire.storage(refusal(status, code)), kind)


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (403, ConfigError, "access is denied"),
        (404, ConfigError, "it refuses them (status 404)"),
        (301, ConfigError, "another region"),
        (502, TransientError, "it is unavailable (status 502)"),
    ],
)
@pytest.mark.parametrize("body", ["", "<html>private</html>", "private"])
def test_a_refusal_without_a_code_counts_by_its_status(
    wire: Wire, status: int, kind: type[SyncStoppedError], words: str, body: str
) -> None:
    """As from a firewall or a proxy in front of S3."""
    assert words in failure(wire.storage(answer(status, body)), kind)


@pytest.mark.parametrize("status", [301, 302, 303, 304, 307, 308])
def test_a_redirect_to_itself_is_a_wrong_setting(status: int) -> None:
    """Botocore follows it until the stack overflows."""

    def redirect(handler: BaseHTTPRequestHandler) -> None:
        body = "<?xml version='1.0'?><Error><Code>PermanentRedirect</Code><Endpoint>127.0.0.1</Endpoint></Error>"
        answer(status, body, Location=handler.path)(handler)

    with service(redirect) as (url, _):
        assert "correct `object_storage_config" in failure(storage(url), ConfigError)


@pytest.mark.parametrize("status", [400, 403, 409])
@pytest.mark.parametrize("code", ["SlowDown", "ThrottledException", "OperationAborted", "InternalError"])
def test_a_code_of_a_temporary_failure_is_transient_with_any_status(wire: Wire, status: int, code: str) -> None:
    """Services other than Amazon's choose their own statuses."""
    assert f"it is unavailable ({code}, status {status})" in failure(
        wire.storage(refusal(status, code)), TransientError
    )


@pytest.mark.parametrize("action", ["append", "probe"])
def test_a_machine_without_descriptors_is_not_a_wrong_address(monkeypatch: pytest.MonkeyPatch, action: str) -> None:
    """The command reports the missing resource."""

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    place = storage(closed_port())
    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(OSError, match="Too many open files") as failed:
        place.probe() if action == "probe" else place.append(b"private\n")
    assert isinstance(as_stop(failed.value), TransientError)


LONG_AGO = "<Expiration>2001-01-01T00:00:00Z</Expiration>"


@pytest.mark.parametrize(
    ("credentials", "words"),
    [
        ("", "the server there does not assume roles"),
        ("<AccessKeyId>a</AccessKeyId><SecretAccessKey>b</SecretAccessKey>", "the server there does not assume roles"),
        (
            "<AccessKeyId>a</AccessKeyId><SecretAccessKey>b</SecretAccessKey><SessionToken>c</SessionToken>" + LONG_AGO,
            "the credentials of the role have already expired: set the clock of this machine.",
        ),
    ],
)
def test_an_odd_response_to_assume_role_is_explained(credentials: str, words: str) -> None:
    """S3-compatible services may omit anything."""
    inner = f"<Credentials>{credentials}</Credentials>" if credentials else ""
    assumed = answer(200, f"<AssumeRoleResponse><AssumeRoleResult>{inner}</AssumeRoleResult></AssumeRoleResponse>")
    with service(assumed) as (url, _):
        assert words in failure(storage(url, role_arn=ROLE), ConfigError)


@pytest.mark.parametrize("body", ["{}", "<html>Welcome</html>", "", "<a><b></a>", "<AssumeRoleResponse/>"])
def test_a_server_that_answers_assume_role_with_something_else_is_a_wrong_setting(body: str) -> None:
    """A proxy, or a service without roles."""
    with service(answer(200, body)) as (url, _):
        assert "the server there does not assume roles" in failure(storage(url, role_arn=ROLE), ConfigError)


@pytest.mark.parametrize(
    "body",
    [
        "<Error><Code>a</Code><Code>b</Code></Error>",
        "<Error><Code>a<b/></Code></Error>",
        "<ErrorResponse><Error/></ErrorResponse>",
        "<Error><Code/></Error>",
        "<Error/>",
        "null",
        "\x00",
    ],
)
@pytest.mark.parametrize("status", [200, 412, 429, 503, 600])
def test_a_response_that_botocore_cannot_parse_is_explained(wire: Wire, status: int, body: str) -> None:
    """It fails on some of them with a Python error."""
    failure(wire.storage(answer(status, body)), SyncStoppedError)


def test_an_address_that_accepts_everything_is_not_s3(wire: Wire) -> None:
    """Rows would be lost; S3 confirms what it has stored with an ETag."""
    assert failure(wire.storage(answer(200, "<html>Welcome</html>")), ConfigError).endswith(
        "because the server there is not an S3 service: correct `object_storage_config.s3_endpoint`."
    )


def test_temporary_failures_are_retried_with_the_same_bytes() -> None:
    """As the same object, so that no row is stored twice."""
    with service(refusal(503, "SlowDown"), STORED) as (url, asked):
        storage(url, attempts=2).append(b"1\n")
    assert [(path, body) for path, _, body in asked] == [("/rows/heap/rejected/7/users/attempt_1.jsonl", b"1\n")] * 2


def test_nothing_is_sent_that_s3_compatible_services_refuse() -> None:
    """Such as checksums in a trailer after the rows."""
    with service(STORED) as (url, asked):
        storage(url).append(b"1\n")
    _, headers, body = asked[0]
    assert body == b"1\n"
    assert [name for name in headers if "checksum" in name.lower() or "trailer" in name.lower()] == []


def closed_port() -> str:
    with service(STORED) as (url, _):
        return url


@pytest.mark.parametrize("action", ["append", "probe"])
def test_an_endpoint_that_never_responded_is_a_setting_to_fix(action: str) -> None:
    """Most likely it is misspelled."""
    assert failure(storage(closed_port()), ConfigError, action).endswith(
        "because there is no server at its address: correct `object_storage_config.s3_endpoint`, or check the network."
    )


def test_an_endpoint_that_stored_rows_and_is_gone_is_a_transient_error() -> None:
    """The settings are correct."""
    with service(answer(200, ETag='"1"', Connection="close")) as (url, _):
        place = storage(url)
        place.append(b"1\n")
    assert failure(place, TransientError).endswith(
        "because there is no server at its address: the sync may succeed later."
    )


@pytest.mark.parametrize("action", ["append", "probe"])
def test_a_silent_server_is_given_up(action: str) -> None:
    """The sync may succeed later."""
    go_on = threading.Event()
    with service(lambda _: go_on.wait(60) and None) as (url, _):
        try:
            assert "it did not respond" in failure(storage(url, seconds=0.05), TransientError, action)
        finally:
            go_on.set()


def test_waiting_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """More tightly for the check, for which a person waits."""
    made: list[Any] = []

    def refuse(self: Any, *_: Any) -> None:
        made.append(self.meta.config)
        raise botocore.exceptions.NoCredentialsError

    monkeypatch.setattr("botocore.client.BaseClient._make_api_call", refuse)
    place = S3Bucket(settings(None), "7/users", "attempt")
    for action in ("append", "probe"):
        failure(place, ConfigError, action)
    assert [
        (config.connect_timeout, config.read_timeout, config.retries["total_max_attempts"], config.retries["mode"])
        for config in made
    ] == [(5.0, 30.0, 4, "standard"), (5.0, 10.0, 2, "standard")]


def test_amazons_addresses_have_the_bucket_in_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bucket is in the path only if an endpoint is set."""
    made: list[Any] = []

    def refuse(self: Any, *_: Any) -> None:
        made.append(((self.meta.config.s3 or {}).get("addressing_style"), self.meta.region_name))
        raise botocore.exceptions.NoCredentialsError

    monkeypatch.setattr("botocore.client.BaseClient._make_api_call", refuse)
    for endpoint, region in ((None, "eu-central-1"), ("https://s3.example.com", "moon-1")):
        failure(storage(endpoint, s3_bucket_region=region), ConfigError)
    assert made == [(None, "eu-central-1"), ("path", "moon-1")]


class Failing:
    """A client whose every request ends in this error."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def put_object(self, **_: Any) -> Any:
        raise self.error


def failing(kind: type[Exception], endpoint: str | None = "https://s3.example.com") -> S3Bucket:
    place = storage(endpoint)
    place._client = Failing(kind.__new__(kind, f"{SECRET} private"))
    return place


def failures() -> list[type[Exception]]:
    found = [kind for kind in vars(botocore.exceptions).values() if isinstance(kind, type)]
    return [kind for kind in found if issubclass(kind, botocore.exceptions.BotoCoreError)]


@pytest.mark.parametrize("kind", failures())
def test_every_failure_of_the_library_has_a_consequence_and_a_message(kind: type[Exception]) -> None:
    """Even unknown ones; network failures are transient once the settings are known to be right."""
    place = failing(kind)
    assert failure(place, SyncStoppedError).endswith(".")
    place._stored = 1
    network = issubclass(kind, (botocore.exceptions.HTTPClientError, botocore.exceptions.ConnectionError))
    failure(place, TransientError if network else ConfigError)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (botocore.exceptions.EndpointConnectionError, "there is no server at its address"),
        (botocore.exceptions.ConnectTimeoutError, "the connection timed out"),
        (botocore.exceptions.SSLError, "the TLS handshake failed"),
        (botocore.exceptions.ProxyConnectionError, "the proxy failed"),
    ],
)
def test_without_an_endpoint_the_region_may_be_misspelled(kind: type[Exception], words: str) -> None:
    """The address of Amazon's S3 contains it."""
    assert failure(failing(kind, None), ConfigError) == (
        f"Rejected rows cannot be stored in the bucket `rows`, because {words}: correct "
        "`object_storage_config.s3_bucket_region`, or check the network."
    )


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (
            {"s3_bucket_region": "no.region"},
            "there is no such region: correct `object_storage_config.s3_bucket_region`.",
        ),
        (
            {"s3_bucket_name": "no such bucket"},
            "a name is malformed: correct `object_storage_config.s3_bucket_name` or",
        ),
        ({"role_arn": "role"}, "a name is malformed: correct `object_storage_config.s3_bucket_name` or"),
        ({"s3_endpoint": "https://-a.c:9000"}, "correct `object_storage_config"),
    ],
)
def test_what_the_library_refuses_without_sending_is_reported(changed: dict[str, str], words: str) -> None:
    """Before anything is sent."""
    assert words in failure(storage(None, **changed), ConfigError)


@pytest.mark.parametrize("endpoint", [None, "http://127.0.0.1:9000"])
def test_the_commands_that_send_rows_again_can_be_pasted(endpoint: str | None) -> None:
    """The folder has the name of the stream, which resend reads."""
    retrieval = S3Bucket(settings(endpoint), "7/my users", "attempt").retrieval
    address = f"--endpoint-url {endpoint} " if endpoint else ""
    place = "s3://rows/heap/rejected/7/my users"
    assert retrieval == (
        f"in {place}/attempt*. Once the cause is fixed, send them again: aws s3 cp {address}--recursive --exclude '*' "
        f"--include 'attempt*' '{place}' 'my users' && destination-heap-analytics resend 'my users'/attempt*.jsonl | "
        "destination-heap-analytics write --config CONFIG --catalog CATALOG"
    )
