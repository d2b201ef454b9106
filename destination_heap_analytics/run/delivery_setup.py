"""Creates the delivery for the settings: the form of requests, rate limits and concurrency."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from typing import Any, Final

from destination_heap_analytics.config.settings import Settings
from destination_heap_analytics.delivery.batch import Envelope
from destination_heap_analytics.delivery.concurrency import Concurrency
from destination_heap_analytics.delivery.connection_check import preflight_request
from destination_heap_analytics.delivery.delivery import Delivery, Send, Settled
from destination_heap_analytics.delivery.planner import ROW_FORM, Planner, bulk_form
from destination_heap_analytics.delivery.rate_limits import Pacer
from destination_heap_analytics.delivery.users_first import UsersFirst
from destination_heap_analytics.heap_api import Api, Rate

MOST_BULK: Final = 16
MOST_SINGLE: Final = 64
MOST_DELETIONS: Final = 2
"""The most requests in flight: in bulk, one row per request, and for deletions."""


def delivery_for(
    settings: Settings,
    send: Callable[[Any, str, bytes, int], None],
    settled: Settled,
    *,
    rng: random.Random,
    logger: logging.Logger,
    now: float,
) -> Delivery | UsersFirst:
    """A delivery without any rows.

    Args:
        settings: the user's settings.
        send: posts a request; its first argument is returned with the response.
        settled: called with rows that are delivered or rejected.
        rng: adds jitter to the pauses before retries.
        logger: for messages to the user.
        now: seconds.
    """

    def delivery(api: Api) -> Callable[[Send, Settled], Delivery]:
        return lambda send, settled: _delivery(settings, api, send, settled, rng=rng, logger=logger, now=now)

    events = delivery(settings.selected_api)
    if settings.user_columns is None:
        return events(send, settled)
    return UsersFirst(delivery(Api.USER_PROPERTIES), events, send=send, settled=settled)


def _delivery(
    settings: Settings,
    api: Api,
    send: Send,
    settled: Settled,
    *,
    rng: random.Random,
    logger: logging.Logger,
    now: float,
) -> Delivery:
    is_bulk = settings.is_bulk
    app = Rate(settings.delivery.max_events_per_minute, 60) if api is Api.TRACK else None
    pacer = Pacer(app, api.endpoint.bulk_rate if is_bulk else api.endpoint.single_rate)
    form = bulk_form(merges=api is not Api.TRACK, most=api.endpoint.most) if is_bulk else ROW_FORM
    most = MOST_DELETIONS if api is Api.DELETE_USERS else MOST_BULK if is_bulk else MOST_SINGLE
    return Delivery(
        planner=Planner(form, pacer, Concurrency(most)),
        pacer=pacer,
        envelope=Envelope(settings.app_id, api.endpoint, bulk=is_bulk),
        preflight=preflight_request(api, settings.app_id),
        base_url=settings.url,
        send=send,
        settled=settled,
        rng=rng,
        logger=logger,
        now=now,
    )
