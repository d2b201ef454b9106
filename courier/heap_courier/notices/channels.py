"""The channels of notifications: a command, a webhook, e-mail. Each function makes one attempt to deliver."""

from __future__ import annotations

import smtplib
import socket
import ssl
import subprocess
from collections.abc import Mapping, Sequence
from email.message import EmailMessage
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from heap_courier.project.model import Smtp, Webhook

if TYPE_CHECKING:
    from datetime import datetime

COMMAND_TIMEOUT: Final = 60.0  # seconds that a command may take
TIMEOUT: Final = 10.0  # seconds that a server may take to connect, and for each response
_TRY_AGAIN: Final = {408, 425, 429}
_SERVER_ERROR: Final = 500
_REDIRECT: Final = 300
_TEMPORARY: Final = range(400, 500)  # of SMTP


class DeliveryError(Exception):
    """A notification was not delivered.

    The message says why, without anything that may be secret: arguments, URLs of webhooks, responses of servers.

    Attributes:
        temporary: whether a retry may succeed.
    """

    def __init__(self, message: str, *, temporary: bool = False) -> None:
        super().__init__(message)
        self.temporary = temporary


def run_command(command: Sequence[str], text: str) -> None:
    """Passes a text to the standard input of a command. Never retried: the command may have done its work.

    Raises:
        DeliveryError: it cannot be run, fails, or takes too long.
    """
    try:
        subprocess.run(  # noqa: S603  (the user's own command)
            command,
            input=text + "\n",
            encoding="utf-8",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=COMMAND_TIMEOUT,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        raise DeliveryError(f"exited with code {error.returncode}") from None
    except subprocess.TimeoutExpired:
        raise DeliveryError(f"did not finish within {COMMAND_TIMEOUT:.0f} seconds") from None
    except (OSError, ValueError) as error:
        raise DeliveryError(f"cannot be run ({getattr(error, 'strerror', None) or type(error).__name__})") from None


def post(webhook: Webhook, content: Mapping[str, Any], environment: Mapping[str, str]) -> None:
    """Posts JSON to a webhook. Does not follow redirects, so that the token is not sent elsewhere.

    Raises:
        DeliveryError: a variable is not set, or the server does not accept it.
    """
    import requests  # noqa: PLC0415  (takes a tenth of a second to import)

    url = webhook.url or _secret(environment, webhook.url_env)
    if urlsplit(url).scheme not in ("http", "https"):
        raise DeliveryError(f"the variable `{webhook.url_env}` does not contain a URL such as https://host/path")
    headers = {"Authorization": f"Bearer {_secret(environment, webhook.token_env)}"} if webhook.token_env else {}
    try:
        answer = requests.post(url, json=content, headers=headers, timeout=TIMEOUT, allow_redirects=False, stream=True)
        status = answer.status_code
        answer.close()
    except requests.RequestException as error:
        reason = "it took too long to respond" if isinstance(error, requests.Timeout) else "it cannot be reached"
        raise DeliveryError(reason, temporary=not isinstance(error, requests.exceptions.InvalidURL)) from None
    if status >= _REDIRECT:
        raise DeliveryError(
            f"it responded with status {status}", temporary=status in _TRY_AGAIN or status >= _SERVER_ERROR
        )


def host_of(webhook: Webhook) -> str:
    """How messages refer to a webhook: by its host or the variable, because the rest of a URL is often a secret."""
    return urlsplit(webhook.url).netloc if webhook.url else f"in `{webhook.url_env}`"


def mail(
    smtp: Smtp,
    recipients: Sequence[str],
    subject: str,
    text: str,
    *,
    environment: Mapping[str, str],
    message_id: str,
    now: datetime,
) -> None:
    """Sends an e-mail by SMTP.

    Raises:
        DeliveryError: a variable is not set, or the server does not accept it.
    """
    message = EmailMessage()
    message["From"], message["To"] = smtp.sender, ", ".join(recipients)
    message["Subject"] = " ".join(subject.split())
    message["Date"] = format_datetime(now)
    message["Message-ID"] = f"<{message_id}@{smtp.sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office replies
    message.set_content(text + "\n")
    password = _secret(environment, smtp.password_env) if smtp.password_env else ""
    try:
        with _connected(smtp) as server:
            if smtp.security == "starttls":
                server.starttls(context=ssl.create_default_context())
            if smtp.user:
                server.login(smtp.user, password)
            refused = server.send_message(message, smtp.sender, list(recipients))
    except smtplib.SMTPResponseException as error:
        raise DeliveryError(
            f"the server responded with code {error.smtp_code}", temporary=error.smtp_code in _TEMPORARY
        ) from None
    except smtplib.SMTPRecipientsRefused as error:
        codes = [code for code, _ in error.recipients.values()]
        raise DeliveryError(
            "the server refused all recipients", temporary=all(code in _TEMPORARY for code in codes)
        ) from None
    except smtplib.SMTPNotSupportedError:
        raise DeliveryError("the server does not support STARTTLS or login, which the settings require") from None
    except ssl.SSLError:
        raise DeliveryError("the server's certificate or encryption cannot be trusted") from None
    except (smtplib.SMTPException, OSError) as error:
        reason = "took too long to respond" if isinstance(error, socket.timeout) else "cannot be reached"
        raise DeliveryError(f"the server {reason}", temporary=True) from None
    if refused:
        raise DeliveryError(f"the server refused {len(refused)} of {len(recipients)} recipients")


def _connected(smtp: Smtp) -> smtplib.SMTP:
    if smtp.security == "tls":
        return smtplib.SMTP_SSL(smtp.host, smtp.port, timeout=TIMEOUT, context=ssl.create_default_context())
    return smtplib.SMTP(smtp.host, smtp.port, timeout=TIMEOUT)


def _secret(environment: Mapping[str, str], variable: str | None) -> str:
    value = environment.get(variable or "", "").strip()
    if not value:
        raise DeliveryError(f"the environment variable `{variable}` is not set")
    return value
