"""A bucket without a network: a function of the test responds to each request."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from io import BytesIO
from pathlib import Path
from typing import Any

from botocore.awsrequest import AWSPreparedRequest, AWSResponse

from heap_courier.files.bucket import Bucket
from heap_courier.project.model import Courier, Credential, KeyCredential

KEYS = KeyCredential("reader", "KEY", "SECRET")
WRITTEN = datetime(2026, 3, 1, tzinfo=timezone.utc)
LISTING = "<ListBucketResult><Name>heap</Name>{more}{contents}<IsTruncated>{truncated}</IsTruncated></ListBucketResult>"
CONTENT = (
    "<Contents><Key>{}</Key><Size>{}</Size><ETag>&quot;e&quot;</ETag>"
    "<LastModified>2026-03-01T00:00:00.000Z</LastModified></Contents>"
)

Answer = Callable[[AWSPreparedRequest], tuple[int, dict[str, str], bytes]]


class Raw(BytesIO):
    """A body as urllib3 returns it."""

    def stream(self, *_: object, **__: object) -> list[bytes]:
        return [self.read()]


def bucket(answer: Answer, credential: Credential = KEYS, **more: Any) -> Bucket:
    """A bucket below `exports/` that gets its responses from a function."""
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
