"""The connector's version, for those it talks to."""

from __future__ import annotations

from typing import Final

VERSION: Final = "0.2.0"
