"""A courier's bucket: listed and fetched below its prefix; where it cannot be, a sentence says why and what to do."""

from __future__ import annotations

import json
import logging
import os
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import boto3
import pytest
import requests
import trustme

from courier.integration_tests.scripted_s3 import BUCKET, Drips, ScriptedS3
from heap_courier.errors import CourierError, LaterError, SetupError, UnreadableFileError
from heap_courier.files.bucket import Bucket
from heap_courier.project.model import (
    Courier,
    Credential,
    DefaultCredential,
    KeyCredential,
    ProfileCredential,
    RoleCredential,
)

KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
KEYS = KeyCredential("heap-keys", "HEAP_KEY", "HEAP_SECRET")
ENVIRONMENT = {"HEAP_KEY": KEY, "HEAP_SECRET": SECRET}
ROLE = RoleCredential("heap-role", "arn:aws:iam::123456789012:role/reader", "0123/45", KEYS)


def courier(endpoint: str | None, credential: Credential = KEYS, **changed: Any) -> Courier:
    made = Courier("heap", credential, "heap-rs3", "exports/", endpoint, "us-east-1", Path(), None)
    return replace(made, **changed)


def bucket(
    endpoint: str | None,
    credential: Credential = KEYS,
    environment: dict[str, str] | None = None,
    *,
    attempts: int = 1,
    seconds: float = 30.0,
    **changed: Any,
) -> Bucket:
    made = courier(endpoint, credential, **changed)
    return Bucket(made, ENVIRONMENT if environment is None else environment, attempts=attempts, seconds=seconds)


@pytest.fixture
def stored(s3: str) -> Iterator[Any]:
    """The bucket as its owner sees it."""
    resource = boto3.resource("s3", "us-east-1", endpoint_url=s3, aws_access_key_id=KEY, aws_secret_access_key=SECRET)
    yield resource.create_bucket(Bucket="heap-rs3")
    resource.meta.client.close()


def keys(place: Bucket, prefix: str = "") -> list[str]:
    return [item.key for item in place.list(prefix)]


def refused(kind: type[CourierError], action: Callable[[], Any]) -> str:
    with pytest.raises(kind) as failed:
        action()
    assert type(failed.value) is kind
    sentence = str(failed.value)
    assert SECRET not in sentence
    assert "private" not in sentence
    return sentence


def test_objects_are_listed_below_the_prefix(s3: str, stored: Any) -> None:
    """By key, which is relative to it; a folder's placeholder is not a file."""
    before = datetime.now(timezone.utc) - timedelta(minutes=1)
    for key in ("exports/b", "exports/a/é +&%.avro", "exports/", "exports/a/", "exports2/c", "other"):
        stored.put_object(Key=key, Body=b"" if key.endswith("/") else b"12345")
    listed = list(bucket(s3).list())
    assert [item.key for item in listed] == ["a/é +&%.avro", "b"]
    assert [item.size for item in listed] == [5, 5]
    assert {item.etag for item in listed} == {"827ccb0eea8a706c4c34a16891f84e7b"}
    assert all(item.modified > before for item in listed)
    assert keys(bucket(s3), "a/") == ["a/é +&%.avro"]
    assert keys(bucket(s3), "none") == []
    assert keys(bucket(s3, prefix="")) == ["exports/a/é +&%.avro", "exports/b", "exports2/c", "other"]


def test_an_object_is_fetched_whole(s3: str, stored: Any, tmp_path: Path) -> None:
    """Also one that comes in several parts; and progress is reported along the way."""
    content = os.urandom(1 << 20) * 20
    stored.put_object(Key="exports/users.avro", Body=content)
    told: list[int] = []
    to = tmp_path / "users.avro"
    to.write_bytes(b"an older one")
    bucket(s3).fetch("users.avro", to, told.append)
    assert to.read_bytes() == content
    assert sum(told) == len(content)
    assert len(told) > 10
    assert list(tmp_path.iterdir()) == [to]


def test_a_small_object_is_read(s3: str, stored: Any) -> None:
    stored.put_object(Key="exports/manifests/sync_1.json", Body=b"{}")
    assert bucket(s3).read("manifests/sync_1.json") == b"{}"


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("action", ["fetch", "read"])
def test_a_vanished_object_is_reported(s3: str, tmp_path: Path, action: str) -> None:
    """It was listed, and then it was removed; that is not a fault of the settings."""
    place = bucket(s3)
    fetch: Callable[[], Any] = lambda: place.fetch("gone.avro", tmp_path / "gone.avro")  # noqa: E731
    assert refused(UnreadableFileError, fetch if action == "fetch" else lambda: place.read("gone.avro")) == (
        f"The file `gone.avro` of the bucket `heap-rs3` at {s3} below `exports/` is no longer in the bucket: run the "
        "courier again."
    )
    assert list(tmp_path.iterdir()) == []


def allowed(s3: str, *actions: str) -> dict[str, str]:
    """Variables with the keys of a user with this permission alone, at a server that checks keys from now on."""
    iam = boto3.client("iam", "us-east-1", endpoint_url=s3, aws_access_key_id=KEY, aws_secret_access_key=SECRET)
    iam.create_user(UserName="reader")
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}]}
    iam.put_user_policy(UserName="reader", PolicyName="p", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName="reader")["AccessKey"]
    iam.close()
    requests.post(f"{s3}/moto-api/reset-auth", data=b"0", timeout=60)
    return {"HEAP_KEY": key["AccessKeyId"], "HEAP_SECRET": key["SecretAccessKey"]}


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize(
    ("variable", "words"),
    [
        ("HEAP_KEY", "because the access key is unknown: fix the variable `HEAP_KEY`."),
        ("HEAP_SECRET", "because the secret does not belong to the access key: fix the variable `HEAP_SECRET`."),
    ],
)
def test_a_wrong_key_pair_is_reported(s3: str, variable: str, words: str) -> None:
    """By the variable that holds the wrong half."""
    place = bucket(s3, environment={**allowed(s3, "s3:*"), variable: "wrong"})
    assert refused(SetupError, lambda: keys(place)) == (
        f"The courier `heap` cannot read the bucket `heap-rs3` at {s3} below `exports/`, {words}"
    )


def test_permission_to_list_is_not_permission_to_fetch(s3: str, stored: Any, tmp_path: Path) -> None:
    """Either permission is asked for, with the credential that lacks it."""
    stored.put_object(Key="exports/a", Body=b"private")
    place = bucket(s3, environment=allowed(s3, "s3:ListBucket"))
    assert keys(place) == ["a"]
    assert refused(SetupError, lambda: place.fetch("a", tmp_path / "a")).endswith(
        "because access is denied: allow s3:ListBucket on the bucket and s3:GetObject below the courier's `prefix` to "
        "the credential `heap-keys`."
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("stored")
def test_a_bucket_that_does_not_exist_is_reported(s3: str) -> None:
    sentence = refused(SetupError, lambda: keys(bucket(s3, bucket="heap-rs4")))
    assert "the bucket `heap-rs4`" in sentence
    assert sentence.endswith("because there is no such bucket: fix the courier's `bucket`.")


def test_a_role_is_assumed(s3: str, stored: Any) -> None:
    """By a user with no other permission, and by a role that may only read."""
    stored.put_object(Key="exports/a", Body=b"1")
    iam = boto3.client("iam", "us-east-1", endpoint_url=s3, aws_access_key_id=KEY, aws_secret_access_key=SECRET)
    statement = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    trust = {"Version": "2012-10-17", "Statement": [statement]}
    iam.create_role(RoleName="reader", AssumeRolePolicyDocument=json.dumps(trust))
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    iam.put_role_policy(RoleName="reader", PolicyName="p", PolicyDocument=json.dumps(policy))
    iam.close()
    environment = allowed(s3, "sts:AssumeRole")
    assert "access is denied" in refused(SetupError, lambda: keys(bucket(s3, environment=environment)))
    assert keys(bucket(s3, ROLE, environment)) == ["a"]
    assert bucket(s3, ROLE, environment).read("a") == b"1"


@pytest.mark.usefixtures("stored")
def test_a_role_that_may_not_be_assumed_is_reported(s3: str) -> None:
    place = bucket(s3, ROLE, allowed(s3, "s3:*"))
    assert refused(SetupError, lambda: keys(place)).endswith(
        "because the role of the credential `heap-role` cannot be assumed: fix its `role-arn` and `external-id`, or "
        "allow sts:AssumeRole with that external id in the role's trust policy."
    )


@pytest.mark.usefixtures("stored")
def test_the_key_behind_a_role_is_reported(s3: str) -> None:
    place = bucket(s3, ROLE, {**allowed(s3, "s3:*"), "HEAP_KEY": "wrong"})
    assert refused(SetupError, lambda: keys(place)).endswith("the access key is unknown: fix the variable `HEAP_KEY`.")


@pytest.mark.usefixtures("stored")
def test_the_environment_is_the_default_credential(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place = bucket(s3, DefaultCredential())
    assert refused(SetupError, lambda: keys(place)).endswith(
        "because the credential `default` provides no access key: fix it, or set `access-key-env` and `secret-key-env`."
    )
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    assert "provides no access key" in refused(SetupError, lambda: keys(bucket(s3, DefaultCredential())))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    assert keys(bucket(s3, DefaultCredential())) == []


def test_a_profile_is_read(s3: str, stored: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stored.put_object(Key="exports/a", Body=b"1")
    environment = allowed(s3, "s3:*")
    profile = f"[shop]\naws_access_key_id={environment['HEAP_KEY']}\naws_secret_access_key={environment['HEAP_SECRET']}"
    (tmp_path / "credentials").write_text(profile, encoding="utf-8")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    assert keys(bucket(s3, ProfileCredential("shop-profile", "shop"))) == ["a"]
    assert refused(SetupError, lambda: bucket(s3, ProfileCredential("shop-profile", "shpo"))).endswith(
        "because there is no such AWS profile on this machine: fix the `profile` of the credential "
        "`shop-profile`, or AWS_PROFILE."
    )


@pytest.mark.parametrize("missing", ["HEAP_KEY", "HEAP_SECRET", "HEAP_TOKEN"])
@pytest.mark.parametrize("value", [None, ""])
def test_a_variable_that_is_not_set_is_reported(missing: str, value: str | None) -> None:
    """Before anything is asked."""
    environment = {**ENVIRONMENT, "HEAP_TOKEN": "token", missing: value}
    given = {name: text for name, text in environment.items() if text is not None}
    credential = replace(KEYS, session_token_env="HEAP_TOKEN")  # noqa: S106  # its name
    assert refused(SetupError, lambda: bucket(None, credential, given)) == (
        f"The environment variable `{missing}` of the credential `heap-keys` is not set: set it where heap-courier is "
        "started, and restart a running console or daemon."
    )


@pytest.mark.parametrize(
    ("endpoint", "changed", "words"),
    [
        ("127.0.0.1:9000", {}, "its address is not a valid URL: fix the courier's `endpoint-url`"),
        (None, {"region": "us east 1"}, "there is no such region: fix the courier's `region`"),
        (None, {"bucket": "heap rs3"}, "a name is malformed: fix the courier's `bucket`"),
    ],
)
def test_a_malformed_setting_is_reported(endpoint: str | None, changed: dict[str, str], words: str) -> None:
    """Before anything is asked."""
    assert words in refused(SetupError, lambda: keys(bucket(endpoint, **changed)))


Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def service(*answers: Answer) -> Iterator[tuple[str, list[Any]]]:
    """A server that gives these responses in turn, repeating the last; with its address and the requests it got."""
    asked: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked.append((self.path, dict(self.headers), body))
            answers[min(len(asked), len(answers)) - 1](self)

        do_HEAD = do_POST = do_GET  # noqa: N815  # as the library calls it

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


def answer(status: int, body: str = "", *, length: int | None = None) -> Answer:
    def give(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body) if length is None else length))
        handler.end_headers()
        handler.wfile.write(body.encode())

    return give


def refusal(status: int, code: str) -> Answer:
    return answer(status, f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{SECRET} private</Message></Error>")


EMPTY = answer(200, "<ListBucketResult><Name>heap-rs3</Name><KeyCount>0</KeyCount></ListBucketResult>")


@pytest.mark.parametrize(
    ("status", "code", "kind", "words"),
    [
        (404, "NoSuchBucket", SetupError, "there is no such bucket: fix the courier's `bucket`."),
        (403, "AccessDenied", SetupError, "access is denied"),
        (403, "InvalidAccessKeyId", SetupError, "fix the variable `HEAP_KEY`."),
        (403, "SignatureDoesNotMatch", SetupError, "fix the variable `HEAP_SECRET`."),
        (400, "ExpiredToken", SetupError, "the credential has expired: renew the credential `heap-keys`."),
        (400, "AuthorizationHeaderMalformed", SetupError, "another region: fix the courier's `region`."),
        (403, "RequestTimeTooSkewed", SetupError, "the clock of this machine is wrong: set it."),
        (400, "KeyTooLongError", SetupError, "it refused the request (KeyTooLongError, status 400)"),
        (400, "wJalrXUtnFEMI/K7", SetupError, "it refused the request (status 400)"),
        (503, "SlowDown", LaterError, "it is unavailable now (SlowDown, status 503): try again later."),
        (500, "InternalError", LaterError, "it is unavailable now (InternalError, status 500)"),
        (429, "TooMany", LaterError, "it is unavailable now (TooMany, status 429)"),
        (400, "RequestTimeout", LaterError, "it is unavailable now (RequestTimeout, status 400)"),
    ],
)
def test_every_refusal_has_a_consequence_and_a_sentence(
    status: int, code: str, kind: type[CourierError], words: str
) -> None:
    """By its code alone: what else the answer says may be anything."""
    with service(refusal(status, code)) as (url, _):
        place = bucket(url)
        assert words in refused(kind, lambda: keys(place))


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (403, SetupError, "access is denied"),
        (503, LaterError, "it is unavailable now (status 503)"),
        (404, UnreadableFileError, "is no longer in the bucket"),
    ],
)
def test_a_refused_fetch_counts_by_its_status(
    tmp_path: Path, status: int, kind: type[CourierError], words: str
) -> None:
    """Where a proxy answers in the place of S3; nothing stays of the file."""
    with service(answer(status)) as (url, _):
        place = bucket(url)
        assert words in refused(kind, lambda: place.fetch("a", tmp_path / "a"))
    assert list(tmp_path.iterdir()) == []


def test_an_object_in_glacier_is_reported(tmp_path: Path) -> None:
    with service(refusal(403, "InvalidObjectState")) as (url, _):
        place = bucket(url)
        sentence = refused(UnreadableFileError, lambda: place.fetch("a", tmp_path / "a"))
    assert sentence.endswith("is in an archive storage class: restore it first.")


def test_an_address_that_accepts_everything_is_not_s3() -> None:
    """The bucket is not empty, it is none."""
    with service(answer(200, "<html>Welcome</html>")) as (url, _):
        place = bucket(url)
        assert refused(SetupError, lambda: keys(place)).endswith("is not S3: fix the courier's `endpoint-url`.")


def page(key: str, more: str = "") -> Answer:
    item = f"<Key>exports/{key}</Key><Size>1</Size><ETag>e</ETag><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
    return answer(200, f"<ListBucketResult><Name>heap-rs3</Name>{more}<Contents>{item}</Contents></ListBucketResult>")


def test_more_objects_than_one_answer_holds_are_listed() -> None:
    more = "<IsTruncated>true</IsTruncated><NextContinuationToken>behind-a</NextContinuationToken>"
    with service(page("a", more), page("b")) as (url, asked):
        assert keys(bucket(url)) == ["a", "b"]
    assert ["continuation-token=behind-a" in path for path, *_ in asked] == [False, True]


def test_a_bucket_that_is_busy_is_asked_again() -> None:
    with service(refusal(503, "SlowDown"), EMPTY) as (url, asked):
        assert keys(bucket(url, attempts=2)) == []
    assert len(asked) == 2


def test_a_bucket_that_stays_busy_is_left_for_later() -> None:
    """After the attempts that are asked for; between them are pauses, which make a minute at most of five."""
    with service(refusal(503, "SlowDown")) as (url, asked):
        place = bucket(url, attempts=3)
        assert "SlowDown" in refused(LaterError, lambda: keys(place))
    assert len(asked) == 3


def closed_port() -> str:
    with service(EMPTY) as (url, _):
        return url


def test_an_address_without_a_response_may_respond_later(tmp_path: Path) -> None:
    place = bucket(closed_port())
    for action in (lambda: keys(place), lambda: place.fetch("a", tmp_path / "a"), lambda: place.read("a")):
        assert refused(LaterError, action).endswith("because its address cannot be reached: try again later.")


def test_a_missing_response_is_not_awaited_forever() -> None:
    held = threading.Event()
    with service(lambda _: held.wait(60) and None) as (url, _):
        place = bucket(url, seconds=0.2)
        assert refused(LaterError, lambda: keys(place)).endswith("its response was incomplete: try again later.")
        held.set()


CUT = answer(200, "123", length=5)


def test_a_body_that_is_cut_short_is_asked_for_again(tmp_path: Path) -> None:
    """From its beginning, since it may be another one by then."""
    told: list[int] = []
    with service(CUT, answer(200, "ab")) as (url, asked):
        bucket(url, attempts=2).fetch("a", tmp_path / "a", told.append)
    assert (tmp_path / "a").read_bytes() == b"ab"
    assert [path for path, *_ in asked] == ["/heap-rs3/exports/a"] * 2
    assert told == [3, -3, 2]


@pytest.mark.parametrize("action", ["fetch", "read"])
def test_a_body_that_stays_short_is_left_for_later(tmp_path: Path, action: str) -> None:
    """And no part of it stays."""
    with service(CUT) as (url, asked):
        place = bucket(url, attempts=2)
        to = tmp_path / "a"
        sentence = refused(LaterError, lambda: place.fetch("a", to) if action == "fetch" else place.read("a"))
    assert sentence.endswith("because its response was incomplete: try again later.")
    assert len(asked) == 2
    assert list(tmp_path.iterdir()) == []


def assumed(number: int, minutes: float) -> Answer:
    expiration = (datetime.now(timezone.utc) + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")
    credentials = (
        f"<AccessKeyId>ASIA{number}</AccessKeyId><SecretAccessKey>s</SecretAccessKey>"
        f"<SessionToken>token{number}</SessionToken><Expiration>{expiration}</Expiration>"
    )
    result = f"<AssumeRoleResult><Credentials>{credentials}</Credentials></AssumeRoleResult>"
    return answer(200, f"<AssumeRoleResponse>{result}</AssumeRoleResponse>")


def test_a_role_is_assumed_with_its_external_id_and_again_before_it_expires() -> None:
    """The keys of the first hold for another minute only; those of the second, for an hour."""
    with service(assumed(1, 1), EMPTY, assumed(2, 60), EMPTY, EMPTY) as (url, asked):
        place = bucket(url, ROLE)
        for _ in range(3):
            assert keys(place) == []
    assert [path.partition("?")[0] for path, *_ in asked] == ["/", "/heap-rs3", "/", "/heap-rs3", "/heap-rs3"]
    assert [headers.get("X-Amz-Security-Token") for _, headers, _ in asked] == [
        None,
        "token1",
        None,
        "token2",
        "token2",
    ]
    request = parse_qs(asked[0][2].decode())
    assert request["RoleArn"] == [ROLE.role_arn]
    assert request["ExternalId"] == ["0123/45"]
    assert f"Credential={KEY}/" in asked[0][1]["Authorization"]


def test_a_role_may_be_assumed_by_another_role_and_without_an_external_id() -> None:
    chained = RoleCredential("inner", "arn:aws:iam::123456789012:role/inner", None, ROLE)
    with service(assumed(1, 60), assumed(2, 60), EMPTY) as (url, asked):
        assert keys(bucket(url, chained)) == []
    assert [headers.get("X-Amz-Security-Token") for _, headers, _ in asked] == [None, "token1", "token2"]
    assert "ExternalId" not in parse_qs(asked[1][2].decode())


@pytest.mark.parametrize(
    ("status", "code", "kind", "words"),
    [
        (403, "AccessDenied", SetupError, "the role of the credential `heap-role` cannot be assumed"),
        (400, "ValidationError", SetupError, "the role of the credential `heap-role` cannot be assumed"),
        (503, "ServiceUnavailable", LaterError, "it is unavailable now"),
        (403, "SignatureDoesNotMatch", SetupError, "fix the variable `HEAP_SECRET`"),
    ],
)
def test_a_role_that_is_not_given_is_reported(status: int, code: str, kind: type[CourierError], words: str) -> None:
    with service(answer(status, f"<ErrorResponse><Error><Code>{code}</Code></Error></ErrorResponse>")) as (url, _):
        place = bucket(url, ROLE)
        assert words in refused(kind, lambda: keys(place))


def test_a_session_token_goes_with_the_keys() -> None:
    credential = replace(KEYS, session_token_env="HEAP_TOKEN")  # noqa: S106  # its name
    with service(EMPTY) as (url, asked):
        assert keys(bucket(url, credential, {**ENVIRONMENT, "HEAP_TOKEN": "token"})) == []
    assert asked[0][1]["X-Amz-Security-Token"] == "token"


@pytest.mark.parametrize("action", ["list", "read", "probe", "fetch"])
@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({}, "it redirects every request without naming a region"),
        ({"Location": "/"}, "it redirects every request without naming a region"),
        ({"Location": "http://127.0.0.1:1/"}, "it redirects every request without naming a region"),
        ({"x-amz-bucket-region": "eu-west-1"}, "the bucket is in another region"),
    ],
)
def test_a_server_that_redirects_everything_is_not_followed_forever(
    tmp_path: Path, headers: dict[str, str], words: str, action: str
) -> None:
    def redirect(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(301)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    with service(redirect) as (url, asked):
        place = bucket(url)
        actions: dict[str, Callable[[], Any]] = {
            "list": lambda: keys(place),
            "read": lambda: place.read("x"),
            "probe": lambda: place.probe("x"),
            "fetch": lambda: place.fetch("x", tmp_path / "x"),
        }
        assert words in refused(SetupError, actions[action])
    assert len(asked) < 5


GOOD = "<Key>exports/a</Key><Size>5</Size><LastModified>2026-01-01T00:00:00.000Z</LastModified>"


@pytest.mark.parametrize(
    ("listing", "words"),
    [
        (f"<Contents>{GOOD}</Contents>", None),
        (f"<Contents>{GOOD.replace('<Size>5</Size>', '')}</Contents>", "an entry without key, size or date"),
        (f"<Contents>{GOOD.replace('5', '-5', 1)}</Contents>", "an entry without key, size or date"),
        (f"<Contents>{GOOD.partition('<Last')[0]}</Contents>", "an entry without key, size or date"),
        (f"<Contents>{GOOD.partition('</Key>')[2]}</Contents>", "an entry without key, size or date"),
        (
            f"<Contents>{GOOD.replace('exports', 'imports')}</Contents>",
            "an entry without key, size or date, or outside",
        ),
        (f"<Contents>{GOOD.replace('5', 'five', 1)}</Contents>", "its response has a malformed date or number"),
        (f"<Contents>{GOOD.replace('2026-', 'soon')}</Contents>", "its response has a malformed date or number"),
        (f"<IsTruncated>true</IsTruncated><Contents>{GOOD}</Contents>", "is truncated, but has no continuation token"),
        (
            "<IsTruncated>true</IsTruncated><NextContinuationToken>same</NextContinuationToken>",
            "its listing repeats itself",
        ),
    ],
)
def test_an_odd_listing_is_refused(listing: str, words: str | None) -> None:
    """A shorter one would lose files."""
    with service(answer(200, f"<ListBucketResult><Name>heap-rs3</Name>{listing}</ListBucketResult>")) as (url, _):
        if words is None:
            assert keys(bucket(url)) == ["a"]
        else:
            assert words in refused(SetupError, lambda: keys(bucket(url)))


@pytest.mark.parametrize(
    ("expiration", "words"),
    [
        ("", "its response lacks `Expiration`"),
        ("<Expiration></Expiration>", "its response has a malformed date or number"),
        ("<Expiration>soon</Expiration>", "its response has a malformed date or number"),
        ("<Expiration>2020-01-01T00:00:00Z</Expiration>", "the credential has expired: renew"),
    ],
)
def test_credentials_of_a_role_that_do_not_say_how_long_they_hold_are_refused(expiration: str, words: str) -> None:
    made = "<AccessKeyId>A</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>" + expiration
    result = f"<AssumeRoleResult><Credentials>{made}</Credentials></AssumeRoleResult>"
    with service(answer(200, f"<AssumeRoleResponse>{result}</AssumeRoleResponse>")) as (url, _):
        assert words in refused(SetupError, lambda: keys(bucket(url, ROLE)))


def test_a_role_that_is_refused_is_not_logged_by_the_library(caplog: pytest.LogCaptureFixture) -> None:
    """It would log the role, with a traceback."""
    logging.getLogger("botocore.credentials").setLevel(logging.NOTSET)
    with service(answer(403, "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>")) as (url, _):
        assert "cannot be assumed" in refused(SetupError, lambda: keys(bucket(url, ROLE)))
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_any_error_of_the_library_is_reported_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with service(EMPTY) as (url, _):
        place = bucket(url)

        def odd(**_: Any) -> None:
            raise TypeError("private")

        monkeypatch.setattr(place._client, "get_object", odd)
        assert "because of TypeError" in refused(SetupError, lambda: place.read("x"))


def test_a_role_whose_service_drips_is_given_up() -> None:
    """Each byte resets the library's own time-out."""
    given_up, hung_up = threading.Event(), threading.Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        try:
            while not given_up.wait(0.02):
                handler.wfile.write(b"x")
        except OSError:
            hung_up.set()

    with service(drip) as (url, _):
        place = Bucket(courier(url, ROLE), ENVIRONMENT, attempts=1, seconds=30, call_seconds=0.5)
        assert "its response takes too long" in refused(LaterError, lambda: keys(place))
        assert hung_up.wait(30)
        given_up.set()


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """What a server on this machine speaks TLS with, trusted here as AWS_CA_BUNDLE says."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "authority.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def test_a_bucket_is_read_over_tls(tls: ssl.SSLContext, tmp_path: Path) -> None:
    """As Amazon's is: several objects, on connections that are kept."""
    content = {f"exports/{name}": name.encode() * 1000 for name in "abc"}
    with ScriptedS3(content, tls=tls) as s3:
        place = bucket(s3.address, bucket=BUCKET)
        for item in list(place.list()):
            place.fetch(item, tmp_path / "fetched")
            assert (tmp_path / "fetched").read_bytes() == content[f"exports/{item.key}"]
        assert len(keys(place)) == 3


def test_the_time_of_a_call_is_limited_over_tls(tls: ssl.SSLContext, tmp_path: Path) -> None:
    """A byte now and then does not extend it."""
    with ScriptedS3({"exports/a": b"a" * 1000}, {"exports/a": Drips()}, tls=tls) as s3:
        place = Bucket(courier(s3.address, bucket=BUCKET), ENVIRONMENT, attempts=1, seconds=30, block_seconds=0.5)
        (item,) = place.list()
        with pytest.raises(LaterError):
            place.fetch(item, tmp_path / "fetched")
