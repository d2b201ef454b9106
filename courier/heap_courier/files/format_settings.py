"""Types of the settings that specify how a file is read, in entities and in samples of feeds."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator

from heap_courier.documents.wording import nearest
from heap_courier.formats.file_format import CONTENT_TYPES, ENCODINGS, is_character, is_encoding

_UNSUPPORTED: Final = ("application/xml", "application/ingest-pack+cbor")


def _content_type(value: str) -> str:
    if value in CONTENT_TYPES:
        return value
    if value in _UNSUPPORTED:
        raise ValueError(f"is `{value}`, which is not supported; use one of {', '.join(CONTENT_TYPES)}")
    near = nearest(value, CONTENT_TYPES)
    raise ValueError(f"must be one of {', '.join(CONTENT_TYPES)}" + (f"; did you mean `{near}`?" if near else ""))


def _character(value: Any) -> Any:
    if not is_character(value):
        raise ValueError("must be one ASCII character, such as `|`; write a tab as `\\t`, a backslash as `\\\\`")
    return value


def _quote(value: Any) -> Any:
    return value if value == "" else _character(value)


def _encoding(value: Any) -> Any:
    if not is_encoding(value):
        raise ValueError(f"must be the name of an encoding{ENCODINGS}")
    return value


ContentType = Annotated[str, AfterValidator(_content_type)]
Character = Annotated[str | None, BeforeValidator(_character)]
"""None if the setting is absent: the default of the content type applies."""

Quote = Annotated[str | None, BeforeValidator(_quote)]
"""Like `Character`, but may be empty: the file has no quotes."""

Encoding = Annotated[str | None, BeforeValidator(_encoding)]
"""None if the setting is absent: the file is UTF-8."""
