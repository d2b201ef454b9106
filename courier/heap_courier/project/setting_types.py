"""The types of settings in heap-courier.yaml: names, durations, sizes, variables, sections."""

from __future__ import annotations

import re
from datetime import time, timedelta
from typing import Annotated, Final
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import AfterValidator, BeforeValidator, ConfigDict

from heap_courier.documents import schema
from heap_courier.documents.wording import nearest

ON_THIS_MACHINE: Final = (
    r"(?i:localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[::1\]|host\.docker\.internal|host\.containers\.internal)"
)
_UNITS: Final = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800}
_BYTES: Final = re.compile("([0-9]{1,6}) ?([MGT])B")
_UNITS_OF_BYTES: Final = {"M": 10**6, "G": 10**9, "T": 10**12}
_DURATION: Final = re.compile(rf"([0-9]{{1,4}}) *({'|'.join(_UNITS)})s?", re.IGNORECASE)
_TIME: Final = re.compile("([01][0-9]|2[0-3]):([0-5][0-9])", re.ASCII)
_SECRETS: Final = {"access-key", "secret-key", "access_key", "secret_key", "aws-access-key-id", "aws-secret-access-key"}


def like(pattern: str, sentence: str) -> AfterValidator:
    """Validates that a text fully matches a pattern; `sentence` is the end of the error message if it does not."""

    def checked(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(sentence)
        return value

    return AfterValidator(checked)


def _duration(value: object) -> timedelta:
    if type(value) is int and value == 0:
        return timedelta()
    if not isinstance(value, str) or not (match := _DURATION.fullmatch(value.strip())):
        raise ValueError("must be a duration such as `30 minutes`, `24 hours` or `2 days`")
    return timedelta(seconds=int(match[1]) * _UNITS[match[2].lower()])


def _age(value: object) -> timedelta:
    age = _duration(value)
    if age < timedelta(days=1):
        raise ValueError("must be at least `1 day`")
    return age


def _bytes(value: object) -> int:
    if not isinstance(value, str) or not (match := _BYTES.fullmatch(value)):
        raise ValueError("must be a size such as `500MB`, `20GB` or `1TB`")
    return int(match[1]) * _UNITS_OF_BYTES[match[2]]


def _time_zone(value: object) -> ZoneInfo:
    try:
        return ZoneInfo(str(value))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        near = nearest(str(value), sorted(available_timezones()), sure=True)
        hint = f"; did you mean `{near}`?" if near else ""
        raise ValueError(f"must be a time zone such as `UTC` or `America/Los_Angeles`{hint}") from None


def _time(value: object) -> time:
    if not isinstance(value, str) or not (match := _TIME.fullmatch(value)):
        raise ValueError('must be a time of day in quotes, such as `"07:00"`')
    return time(int(match[1]), int(match[2]))


def _dsn(value: str) -> str:
    try:
        parts = urlsplit(value)
        secret = parts.password is not None or any("password" in name for name in parse_qs(parts.query))
    except ValueError:
        raise ValueError("must be an address such as postgresql://user@host/database") from None
    if parts.scheme not in {"postgresql", "postgres"}:
        raise ValueError("must be an address such as postgresql://user@host/database")
    if secret:
        raise ValueError("contains a password, which does not belong in the file: use `dsn-env`, or ~/.pgpass")
    return value


def _status(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value in {"enabled", "disabled"}:
        return value == "enabled"
    raise ValueError("must be `enabled` or `disabled`")


Name = Annotated[
    str,
    like(
        r"[^\W_][\w .-]{0,63}",
        "must be a name of letters, digits, spaces, `-`, `_` and `.`, 64 at most, the first a letter or digit",
    ),
]
Duration = Annotated[timedelta, BeforeValidator(_duration)]
Age = Annotated[timedelta, BeforeValidator(_age)]
Bytes = Annotated[int, BeforeValidator(_bytes)]
TimeZone = Annotated[ZoneInfo, BeforeValidator(_time_zone)]
Time = Annotated[time, BeforeValidator(_time)]
Dsn = Annotated[str, AfterValidator(_dsn)]
Status = Annotated[bool, BeforeValidator(_status)]
Variable = Annotated[
    str,
    like(
        r"[A-Za-z_][A-Za-z0-9_]*",
        "must be the name of an environment variable; the secret itself does not belong in the file",
    ),
]


class Section(schema.Section):
    """Settings of the project; a text must not be empty."""

    model_config = ConfigDict(str_min_length=1)

    elsewhere = {  # noqa: RUF012  (a constant of the class)
        name: f"does not accept `{name}`: set `{name.replace('_', '-')}-env` to the variable with its value"
        for name in _SECRETS
    }
