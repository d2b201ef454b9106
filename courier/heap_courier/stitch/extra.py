"""The packages of the extra `stitch`, needed only to link records."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

from heap_courier.errors import SetupError

_PACKAGES: Final = ("splink", "anyascii", "nicknames")


def require_extra() -> None:
    """Raises SetupError if the extra is not installed."""
    if missing := [name for name in _PACKAGES if find_spec(name) is None]:
        raise SetupError(
            f"Stitch needs the Python package `{missing[0]}`: install the courier with its extra, "
            "`pip install './courier[stitch]'` in the checkout."
        )
