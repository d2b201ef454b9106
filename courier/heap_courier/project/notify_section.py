"""The section `notify` of heap-courier.yaml: which notifications are sent, and where to."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field, model_validator

from heap_courier.project.model import Channels, Notify, Smtp, Webhook
from heap_courier.project.setting_types import ON_THIS_MACHINE, Section, Variable, like

_PORTS: Final = {"starttls": 587, "tls": 465, "none": 25}

Address = Annotated[str, like(r"[^@\s<>,;]+@[^@\s<>,;]+", "must be an e-mail address such as data@example.com")]
Url = Annotated[
    str,
    like(
        rf"(https://[^/@\s]+|http://{ON_THIS_MACHINE}(:\d+)?)(/[^\s]*)?",
        "must be a URL such as https://host/path, without a user or password; http is only for this machine",
    ),
]


class _Webhook(Section):
    url: Url | None = None
    url_env: Variable | None = None
    token_env: Variable | None = None

    @model_validator(mode="after")
    def _has_address(self) -> _Webhook:
        if (self.url is None) == (self.url_env is None):
            raise ValueError("needs either `url`, or `url-env`, the name of the environment variable that contains it")
        return self


class _Smtp(Section):
    host: Annotated[str, like(r"[A-Za-z0-9][A-Za-z0-9.-]*", "must be the name of a mail server")]
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    security: Literal["starttls", "tls", "none"] = "starttls"
    sender: Annotated[Address, Field(alias="from")]
    user: str | None = None
    password_env: Variable | None = None

    @model_validator(mode="after")
    def _is_safe(self) -> _Smtp:
        if (self.user is None) != (self.password_env is None):
            raise ValueError("needs `user` and `password-env` together, or neither")
        if self.user and self.security == "none":
            raise ValueError("cannot send a password without encryption: set `security` to `starttls` or `tls`")
        return self

    def settings(self) -> Smtp:
        """The validated section as a value of the project."""
        port = self.port or _PORTS[self.security]
        return Smtp(self.host, port, self.security, self.sender, self.user, self.password_env)


class _Channels(Section):
    command: Annotated[list[str], Field(min_length=1)] | None = None
    webhook: _Webhook | None = None
    email: Annotated[list[Address], Field(min_length=1)] | None = None

    def settings(self) -> Channels:
        """The validated section as a value of the project."""
        webhook = self.webhook and Webhook(self.webhook.url, self.webhook.url_env, self.webhook.token_env)
        return Channels(tuple(self.command or ()), webhook or None, tuple(self.email or ()))


class NotifySection(Section):
    """Channels by kind; or a single command, which receives warnings and errors."""

    running: _Channels = _Channels()
    completed: _Channels = _Channels()
    warning: _Channels = _Channels()
    error: _Channels = _Channels()
    smtp: _Smtp | None = None
    console: Url | None = None

    @model_validator(mode="before")
    @classmethod
    def _command_alone(cls, section: Any) -> Any:
        if isinstance(section, dict):
            return section
        if not isinstance(section, list):
            raise ValueError(  # noqa: TRY004  (pydantic's)
                "must be channels by kind, such as `error: {email: [data@example.com]}`, or a command"
            )
        if not all(isinstance(part, str) and part for part in section):
            raise ValueError("must be a command as a list of texts, such as `[mail, -s, heap, data@example.com]`")
        return {kind: {"command": section} for kind in ("warning", "error")} if section else {}

    @model_validator(mode="after")
    def _has_server(self) -> NotifySection:
        if self.smtp is None and any(channels.email for channels in self._by_kind().values()):
            raise ValueError("sends e-mail but has no `smtp`: add the mail server, with `host` and `from`")
        return self

    def settings(self) -> Notify:
        """The validated section as a value of the project."""
        kinds = {kind: channels.settings() for kind, channels in self._by_kind().items()}
        sent = {kind: channels for kind, channels in kinds.items() if channels != Channels()}
        return Notify(sent, self.smtp.settings() if self.smtp else None, self.console)

    def _by_kind(self) -> dict[str, _Channels]:
        return {"running": self.running, "completed": self.completed, "warning": self.warning, "error": self.error}
