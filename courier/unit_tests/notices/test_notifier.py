# ruff: noqa: S106  (names of variables)
"""Notifications, really delivered: to a command, a local web server, and a local mail server."""

from __future__ import annotations

import json
import ssl
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from heap_courier.notices import channels as the_channels
from heap_courier.notices import notifier as the_notifier
from heap_courier.notices.notice import KINDS, Kind, Notice
from heap_courier.notices.notifier import Notifier
from heap_courier.project.model import Channels, Notify, Smtp, Webhook

NOW = datetime(2026, 3, 4, 8, 30, tzinfo=timezone.utc)
NOTICE = Notice(
    "error",
    "run-failed",
    "Courier `Heap`: failed after 5 seconds.\nIn Zürich.",
    courier="Heap",
    group="nightly",
    slot=NOW,
    run="20260304-083000-5f0c",
    details={"rows": 3},
    files=("users-2026-03-04.avro",),
)
SECRETS = {"TOKEN": "geheim", "PASSWORD": "sesame", "HOOK": "x"}


def sent(settings: Notify, *notices: Notice, environment: Mapping[str, str] = SECRETS) -> list[str]:
    """Sends notices, without pauses; returns what is logged besides them."""
    logged: list[Notice] = []
    notifier = Notifier(settings, environment, logged.append, lambda: NOW, lambda _seconds: None)
    for notice in notices or (NOTICE,):
        notifier(notice)
    notifier.close()
    for notice in notices or (NOTICE,):
        logged.remove(notice)
    assert {(each.event, each.level) for each in logged} <= {("notification-failed", "warning")}
    return [each.text for each in logged]


def on_error(**channels: Any) -> dict[str, Channels]:
    return {"error": Channels(**channels)}


# A command


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def test_a_command_receives_the_text_on_standard_input_and_its_output_is_discarded(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "notice"
    code = f"import sys, pathlib; pathlib.Path({str(path)!r}).write_bytes(sys.stdin.buffer.read()); print('a')"
    assert sent(Notify(on_error(command=python(code)))) == []
    assert path.read_text("utf-8").splitlines() == [
        "Courier `Heap`: failed after 5 seconds.",
        "In Zürich.",
        "File: users-2026-03-04.avro",
        "Run: `heap-courier runs 20260304-083000-5f0c`",
        "Group: `heap-courier group runs nightly`",
    ]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (python("import sys; sys.stdin.read(); sys.exit(3)"), "exited with code 3"),
        (("/no/such/command", "token"), "cannot be run (No such file or directory)"),
        (python("import sys; sys.stdin.read(); import time; time.sleep(600)"), "did not finish within 0 seconds"),
    ],
)
def test_a_command_that_fails_is_reported_without_its_arguments(
    command: tuple[str, ...], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "600" in command[-1]:
        monkeypatch.setattr(the_channels, "COMMAND_TIMEOUT", 0.2)
    assert sent(Notify(on_error(command=command))) == [f"The notification failed: the command `{command[0]}` {why}."]


def test_a_command_that_reads_no_input_counts_as_notified() -> None:
    long = Notice("error", "x", "It rains. " * 100_000)
    assert sent(Notify(on_error(command=python("pass"))), long) == []


# Kinds


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_sent_to_its_own_channels_and_notes_are_not_sent(kind: Kind, hook: Hook) -> None:
    settings = Notify({kind: Channels(webhook=Webhook(hook.url))})
    kinds: tuple[Kind, ...] = (*KINDS, "note", "trouble")
    assert sent(settings, *(Notice(each, "x", each) for each in kinds)) == []
    assert [content["kind"] for _headers, content in hook.got] == [kind]


def test_all_channels_of_a_kind_are_used_even_if_one_of_them_fails(hook: Hook) -> None:
    assert len(sent(Notify(on_error(command=("/no/such/command",), webhook=Webhook(hook.url))))) == 1
    assert len(hook.got) == 1


# A webhook


class Hook:
    """A server that records requests, and responds with the given statuses."""

    def __init__(self) -> None:
        self.got: list[tuple[Mapping[str, str], dict[str, Any]]] = []
        self.answers: list[int] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.got.append((dict(self.headers), json.loads(body)))
                self.send_response(hook.answers.pop(0) if hook.answers else 204)
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/secret-path"
        self.host = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def hook() -> Iterator[Hook]:
    hook = Hook()
    yield hook
    hook.server.shutdown()
    hook.server.server_close()


def test_a_webhook_receives_json_with_links_to_the_console(hook: Hook) -> None:
    settings = Notify(on_error(webhook=Webhook(hook.url, token_env="TOKEN")), console="https://courier.example.com/")
    assert sent(settings) == []
    ((headers, content),) = hook.got
    assert headers["Authorization"] == "Bearer geheim"
    assert headers["Content-Type"] == "application/json"
    assert len(content.pop("id")) == 16
    assert content == {
        "time": "2026-03-04T08:30:00Z",
        "kind": "error",
        "event": "run-failed",
        "text": "Courier `Heap`: failed after 5 seconds.\nIn Zürich.\nFile: users-2026-03-04.avro\n"
        "Run: https://courier.example.com/runs/20260304-083000-5f0c\n"
        "Group: https://courier.example.com/groups/nightly/edit",
        "message": "Courier `Heap`: failed after 5 seconds.\nIn Zürich.",
        "courier": "Heap",
        "group": "nightly",
        "slot": "2026-03-04T08:30:00Z",
        "run": "20260304-083000-5f0c",
        "details": {"rows": 3},
        "files": ["users-2026-03-04.avro"],
        "links": {
            "run": "https://courier.example.com/runs/20260304-083000-5f0c",
            "group": "https://courier.example.com/groups/nightly/edit",
        },
    }


@pytest.mark.parametrize(
    ("answers", "attempts", "failure"),
    [
        ([500, 429, 204], 3, ""),
        ([503] * 9, 4, "it responded with status 503"),
        ([404], 1, "it responded with status 404"),
        ([307], 1, "it responded with status 307"),  # the token is not sent elsewhere
    ],
)
def test_temporary_failures_are_retried_with_the_same_id(
    hook: Hook, answers: list[int], attempts: int, failure: str
) -> None:
    hook.answers = answers
    told = sent(Notify(on_error(webhook=Webhook(hook.url))))
    assert told == ([f"The notification failed: the webhook {hook.host}: {failure}."] if failure else [])
    assert len(hook.got) == attempts
    assert len({content["id"] for _headers, content in hook.got}) == 1


@pytest.mark.parametrize(
    ("webhook", "failure"),
    [
        (Webhook("http://127.0.0.1:9/secret-path"), "127.0.0.1:9: it cannot be reached"),
        (Webhook(url_env="NONE"), "in `NONE`: the environment variable `NONE` is not set"),
        (Webhook("http://127.0.0.1:9/x", token_env="NONE"), "127.0.0.1:9: the environment variable `NONE` is not set"),
        (Webhook(url_env="HOOK"), "in `HOOK`: the variable `HOOK` does not contain a URL such as https://host/path"),
    ],
)
def test_a_webhook_that_cannot_be_used_is_reported_without_its_secrets(webhook: Webhook, failure: str) -> None:
    assert sent(Notify(on_error(webhook=webhook))) == [f"The notification failed: the webhook {failure}."]


# E-mail


class Inbox:
    """What a mail server received."""

    def __init__(self) -> None:
        self.got: list[tuple[list[str], Message]] = []
        self.answers: list[str] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802  (aiosmtpd's)
        if self.answers:
            return self.answers.pop(0)
        self.got.append((envelope.rcpt_tos, message_from_bytes(envelope.content)))
        return "250 OK"


def signing_in(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
    return AuthResult(success=data == LoginPassword(b"courier", b"sesame"), handled=False)


class MailServer(Controller):
    """A mail server on a free port."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


Served = Callable[..., tuple[Inbox, int]]


@pytest.fixture
def mail_server() -> Iterator[Served]:
    controllers: list[Controller] = []

    def start(**options: Any) -> tuple[Inbox, int]:
        inbox = Inbox()
        controllers.append(MailServer(inbox, "127.0.0.1", 0, **options))
        controllers[-1].start()
        return inbox, controllers[-1].port

    yield start
    for controller in controllers:
        controller.stop()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def encryption(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """The TLS settings of a server whose certificate this process trusts."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return context


def server(port: int, security: Any = "none", **settings: Any) -> Smtp:
    return Smtp("127.0.0.1", port, security, "courier@example.com", **settings)


def mailed(smtp: Smtp) -> list[str]:
    return sent(Notify(on_error(email=("data@example.com", "oncall@example.com")), smtp))


def test_an_e_mail_is_sent_after_starttls_and_login(mail_server: Served, encryption: ssl.SSLContext) -> None:
    inbox, port = mail_server(
        tls_context=encryption, require_starttls=True, authenticator=signing_in, auth_required=True
    )
    assert mailed(server(port, "starttls", user="courier", password_env="PASSWORD")) == []
    ((recipients, message),) = inbox.got
    assert recipients == ["data@example.com", "oncall@example.com"]
    assert message["Subject"] == "heap-courier error: Courier `Heap`: failed after 5 seconds."
    assert message["From"] == "courier@example.com"
    assert message["Date"] == "Wed, 04 Mar 2026 08:30:00 +0000"
    content = message.get_payload(decode=True)
    assert isinstance(content, bytes)
    assert "In Zürich.\n" in content.decode().replace("\r\n", "\n")


def test_a_wrong_password_is_reported_and_not_retried(mail_server: Served, encryption: ssl.SSLContext) -> None:
    inbox, port = mail_server(tls_context=encryption, authenticator=signing_in, auth_required=True)
    told = mailed(server(port, "starttls", user="courier", password_env="TOKEN"))
    assert told == ["The notification failed: e-mail via 127.0.0.1: the server responded with code 535."]
    assert inbox.got == []


def test_no_e_mail_is_sent_to_a_server_whose_certificate_is_not_trusted(
    mail_server: Served, encryption: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox, port = mail_server(tls_context=encryption)
    monkeypatch.delenv("SSL_CERT_FILE")
    reason = "the server's certificate or encryption cannot be trusted"
    assert mailed(server(port, "starttls")) == [f"The notification failed: e-mail via 127.0.0.1: {reason}."]
    assert inbox.got == []


def test_no_e_mail_is_sent_unencrypted_if_the_server_does_not_support_starttls(mail_server: Served) -> None:
    inbox, port = mail_server()
    (failure,) = mailed(server(port, "starttls"))
    assert "does not support STARTTLS or login, which the settings require" in failure
    assert inbox.got == []


def test_a_busy_mail_server_is_retried(mail_server: Served) -> None:
    inbox, port = mail_server()
    inbox.answers = ["451 Later", "451 Later"]
    assert mailed(server(port)) == []
    assert len(inbox.got) == 1


def test_a_mail_server_that_cannot_be_reached_is_reported() -> None:
    assert mailed(server(9)) == ["The notification failed: e-mail via 127.0.0.1: the server cannot be reached."]


# A run never waits


def test_a_run_does_not_wait_for_a_channel_and_excess_notices_are_dropped_with_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(the_notifier, "MOST_WAITING", 2)
    entered, released = threading.Event(), threading.Event()

    def hang(*_args: object) -> None:
        entered.set()
        assert released.wait(60)

    monkeypatch.setattr(the_channels, "run_command", hang)
    logged: list[Notice] = []
    notifier = Notifier(Notify(on_error(command=("x",))), {}, logged.append, lambda: NOW)
    notifier(NOTICE)
    assert entered.wait(60)
    for _ in range(4):
        notifier(NOTICE)
    assert sum(each.event == "notification-failed" for each in logged) == 2
    released.set()
    notifier.close()
