"""Notifications: notices sent to the channels that the project configures for their kind."""

from __future__ import annotations

import queue
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Final

from heap_courier.notices import channels, message
from heap_courier.notices.channels import DeliveryError
from heap_courier.notices.notice import Notice, Report, trouble
from heap_courier.project.model import Notify

PAUSES: Final = (1.0, 5.0, 20.0)  # seconds between the attempts to deliver a notification
MOST_WAITING: Final = 1_000  # notifications in the queue; more are dropped, which is logged
PATIENCE: Final = 60.0  # seconds that an exiting process waits for notifications to be sent


class Notifier:
    """Logs notices, and sends those of the configured kinds in order, in a separate thread.

    A run never waits for a channel and never fails because of one: a failed delivery is logged as a warning.

    Args:
        settings: which notifications go where.
        environment: contains the secrets.
        log: receives each notice, and each failure to deliver one.
        now: returns the current time.
        pause: waits for a number of seconds between attempts.
    """

    def __init__(
        self,
        settings: Notify,
        environment: Mapping[str, str],
        log: Report,
        now: Callable[[], datetime],
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._settings = settings
        self._environment = environment
        self._log = log
        self._now = now
        self._pause = pause
        self._waiting: queue.Queue[Notice | None] = queue.Queue(MOST_WAITING)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def __call__(self, notice: Notice) -> None:
        """Logs a notice, and queues it for sending if its kind has channels."""
        self._log(notice)
        if notice.kind not in self._settings.channels:
            return
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._send_all, name="notifications", daemon=True)
                self._thread.start()
        try:
            self._waiting.put_nowait(notice)
        except queue.Full:
            self._failed(f"A notification was dropped: {MOST_WAITING:,} others are waiting to be sent.", notice)

    @property
    def is_sending(self) -> bool:
        """Whether notifications may still be waiting to be sent."""
        return self._thread is not None and self._thread.is_alive()

    def finish(self) -> None:
        """Stops the thread once it has sent what is queued, without waiting for it."""
        with suppress(queue.Full):
            self._waiting.put_nowait(None)

    def close(self, patience: float = PATIENCE) -> None:
        """Waits until all notifications are sent, but at most `patience` seconds."""
        if self._thread is None:
            return
        self.finish()
        self._thread.join(patience)
        if self._thread.is_alive():
            sentence = f"Dropped the notifications that could not be sent within {patience:.0f} seconds."
            self._log(trouble(sentence, "notification-failed"))

    def _send_all(self) -> None:
        while (notice := self._waiting.get()) is not None:
            for name, deliver in self._deliveries(notice):
                if failure := self._delivered(deliver):
                    self._failed(f"The notification failed: {name} {failure}.", notice)

    def _delivered(self, deliver: Callable[[], None]) -> str | None:
        """Delivers a notification, with retries; returns why it failed, or None."""
        pauses = iter(PAUSES)
        while True:
            try:
                deliver()
            except DeliveryError as error:  # noqa: PERF203  (retried)
                pause = next(pauses, None) if error.temporary else None
                if pause is None:
                    return str(error)
                self._pause(pause)
            except Exception as error:  # noqa: BLE001  (other notifications must still be sent)
                return f"failed unexpectedly ({type(error).__name__})"
            else:
                return None

    def _deliveries(self, notice: Notice) -> list[tuple[str, Callable[[], None]]]:
        to, console = self._settings.channels[notice.kind], self._settings.console
        notice_id, now = secrets.token_hex(8), self._now()
        found: list[tuple[str, Callable[[], None]]] = []
        text = message.text(notice, console)
        if to.command:  # (its arguments may contain a secret)
            found.append((f"the command `{to.command[0]}`", partial(channels.run_command, to.command, text)))
        if to.webhook:
            content = message.content(notice, console, notice_id, now)
            post = partial(channels.post, to.webhook, content, self._environment)
            found.append((f"the webhook {channels.host_of(to.webhook)}:", post))
        if to.email and self._settings.smtp:
            mail = partial(
                channels.mail,
                self._settings.smtp,
                to.email,
                message.subject(notice),
                text,
                environment=self._environment,
                message_id=notice_id,
                now=now,
            )
            found.append((f"e-mail via {self._settings.smtp.host}:", mail))
        return found

    def _failed(self, sentence: str, notice: Notice) -> None:
        self._log(
            Notice(
                "trouble",
                "notification-failed",
                sentence,
                group=notice.group,
                slot=notice.slot,
                details={"courier": notice.courier} if notice.courier else {},
            )
        )
