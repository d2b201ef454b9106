"""The event that `check` sends to Heap, and what the outcome means for the user.

Heap's server-side API has no read endpoint (https://developers.heap.io/llms.txt lists none), so sending an event is the
only way to verify an app ID. The event is always the same, byte for byte, including its idempotency key, so Heap keeps
one copy of it, however often it is sent.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future, TimeoutError  # noqa: A004  # before Python 3.11 not the built-in one
from http import HTTPStatus
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

import orjson

from destination_heap_analytics.delivery.http.client import REFUSED_CONNECTION, Client, Kind, Verdict
from destination_heap_analytics.heap_api import EU_HOST, TOKEN_PATH, US_HOST, Api

PREFLIGHT_EVENT: Final = MappingProxyType(
    {
        "identity": "airbyte-connection-check",
        "event": "Airbyte Connection Check",
        "timestamp": "2022-10-26T00:00:00+00:00",
        "idempotency_key": "destination-heap-analytics-connection-check",
        "properties": {},
    }
)

PREFLIGHT_SECONDS: Final = 25.0
"""The time limit of the whole check: Airbyte's form waits about half a minute."""


def preflight_body(app_id: str) -> bytes:
    """The event as the body of a request."""
    return orjson.dumps({"app_id": app_id, **PREFLIGHT_EVENT})


def preflight_request(api: Api, app_id: str) -> tuple[str, bytes]:
    """Path and body of the request that `check` sends: the event, or for deletions a harmless request for a token."""
    return (TOKEN_PATH, b"") if api is Api.DELETE_USERS else (Api.TRACK.endpoint.path, preflight_body(app_id))


def preflight(client: Client, request: tuple[str, bytes], seconds: float) -> Verdict:
    """Send the request. The whole exchange has a time limit, because a socket's time-out restarts with every byte."""
    verdict: Future[Verdict] = Future()

    def send() -> None:
        try:
            verdict.set_result(client.post(*request))
        except Exception as defect:  # noqa: BLE001  # re-raised in the waiting thread
            verdict.set_exception(defect)

    threading.Thread(target=send, name="preflight", daemon=True).start()
    try:
        return verdict.result(seconds)
    except TimeoutError:
        return Verdict(Kind.RETRYABLE, trouble=f"the request timed out after {seconds:.0f} s")


def explain(verdict: Verdict, base_url: str, *, reached: bool = False) -> str:
    """The meaning of a verdict other than ACCEPTED, and what to do, without the text of Heap's response.

    Args:
        verdict: the outcome of a request.
        base_url: where it was sent.
        reached: whether Heap has accepted something at this address, which proves the settings.
    """
    hosts = f"{US_HOST}, or {EU_HOST} for data kept in the EU"
    if verdict.kind is Kind.NOT_HEAP:
        return f"`base_url` is not Heap's API: {base_url} returned {verdict.trouble}. Use {hosts}."
    if verdict.status is None and reached:
        return f"Heap stopped responding: {verdict.trouble} at {base_url}. Run the sync again."
    if verdict.trouble == REFUSED_CONNECTION and base_url.startswith("http:"):  # this machine, as config/ ensures
        return (
            f"No server is listening at {base_url}: {verdict.trouble}. Start a sandbox there with `heap-sandbox --port "
            f"{urlsplit(base_url).port or 80}` (`pip install ./sandbox` in a checkout installs it), or correct "
            "`base_url`."
        )
    if verdict.status is None:
        return (
            f"`base_url` cannot be reached: {verdict.trouble} at {base_url}. Check its spelling ({hosts}), and that "
            "the network allows this machine to connect to it."
        )
    status = _status(verdict.status)
    if verdict.kind is Kind.LOCKED_OUT:
        words = f" ({verdict.trouble})" if verdict.trouble else ""
        return (
            f"`app_id` or `api.api_key` was refused: {base_url} returned {status}{words}. Use the environment ID of "
            "Main Production, the only environment that can delete users, and the API key that Heap shows under "
            "Account > Manage > Privacy & Security."
        )
    if verdict.breaks_a_rule:
        return (
            f"`app_id` was refused: {base_url} returned {status}. Use the environment ID that Heap shows under "
            f"Account > Manage > Projects, and the host of its data centre as `base_url` ({hosts})."
        )
    if verdict.kind in {Kind.NO_ACCESS, Kind.REFUSED, Kind.TOO_LARGE}:
        return (
            f"`app_id` or `base_url` is wrong: {base_url} returned {status}. Use the environment ID that Heap shows "
            f"under Account > Manage > Projects, and as `base_url` {hosts}. Check that no firewall blocks this machine."
        )
    if verdict.status == HTTPStatus.TOO_MANY_REQUESTS:
        return (
            f"Heap received too many requests: {base_url} returned {status}. The settings are correct; Heap "
            "accepts 30 requests per identity in 30 seconds. Run the sync again later."
        )
    if verdict.kind is Kind.RETRYABLE and verdict.status not in {HTTPStatus.NOT_IMPLEMENTED, *range(600, 1000)}:
        return (
            f"Heap is unavailable: {base_url} returned {status}. Try again later; if this persists, check `base_url`."
        )
    return f"`base_url` may not be Heap's API: {base_url} returned {status}, which Heap never does. Use {hosts}."


def _status(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"{status}"
