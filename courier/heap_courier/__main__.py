"""The console script: reports in one sentence what to install if a package is missing."""

from __future__ import annotations

import gc
import sys
from typing import Final, NoReturn

_OBJECTS: Final = 50_000  # allocations between garbage collections; at Python's 700, imports alone cause 300 of them


def main() -> NoReturn:
    """Runs the command line."""
    gc.set_threshold(_OBJECTS)
    try:
        from heap_courier.cli.main import main as run  # noqa: PLC0415  (it needs click)

        run()
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if not package or package == "heap_courier":
            raise
        sys.exit(
            f"Error: The Python package `{package}` is missing: install heap-courier with its dependencies by running "
            "`pip install ./courier` in the checkout."
        )


if __name__ == "__main__":
    main()
