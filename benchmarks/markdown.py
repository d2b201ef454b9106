"""Markdown shared by the reports: the machine, lines of tables, targets."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

TARGETS = (("", "target", "aim", "measured", ""), ("---", "---:", "---:", "---:", "---"))
"""The header of a table of targets."""

_TELLING = 0.1
"""Rows that take less than this share of the start-up are indistinguishable from its noise."""


def machine(load: float, packages: Iterable[str]) -> str:
    """A description of the machine; `load` is its load average before the first run."""
    try:
        system = platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:  # not Linux
        system = platform.system()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"Measured on {datetime.now(timezone.utc):%Y-%m-%d} on one machine, over loopback: {_processor()}, "
        f"{os.cpu_count()} cores, {memory:.0f} GiB of memory; {system}, {platform.system()} {platform.release()}; "
        f"Python {platform.python_version()}, {', '.join(f'{package} {version(package)}' for package in packages)}. "
        f"Load average before the first run: {load:.1f}."
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def line(cells: Iterable[str]) -> str:
    """A line of a table."""
    return f"| {' | '.join(cells)} |"


def target(name: str, value: float, *, least: float | None = None, most: float | None = None, aim: float = 0) -> str:
    """A line of a table of targets, with whether the target is met."""
    wanted = f"at least {least:g}" if least is not None else f"at most {most:g}"
    is_met = value >= least if least is not None else most is not None and value <= most
    return line([name, wanted, f"{aim:g}" if aim else "", number(value), "met" if is_met else "**missed**"])


def number(value: float) -> str:
    """A number with about three significant digits."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"  # noqa: PLR2004


def beyond(start_up: float, whole: float) -> float | None:
    """The cost without start-up; None if it is indistinguishable from noise."""
    return whole - start_up if whole - start_up > _TELLING * start_up else None
