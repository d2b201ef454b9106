"""Notifications: printed, and passed to the command in the project's `notify`."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from typing import Final

PATIENCE: Final = 60.0  # seconds that the command may take


def notifier(command: Sequence[str], say: Callable[[str], None]) -> Callable[[str], None]:
    """Returns a function that passes a notification to `say`, and to the standard input of a command if there is one.

    A failing command is reported by its name only, because its arguments may contain a secret; it never fails a run.
    """

    def notify(notice: str) -> None:
        say(notice)
        if not command:
            return
        try:
            subprocess.run(  # noqa: S603  (the user's own command)
                command,
                input=notice + "\n",
                encoding="utf-8",
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=PATIENCE,
                check=True,
            )
        except (OSError, subprocess.SubprocessError) as error:
            say(f"The notification failed: the command `{command[0]}` {_reason(error)}.")

    return notify


def _reason(error: Exception) -> str:
    match error:
        case subprocess.CalledProcessError():
            return f"exited with code {error.returncode}"
        case subprocess.TimeoutExpired():
            return f"did not finish within {PATIENCE:.0f} seconds"
        case OSError():
            return f"cannot be run ({error.strerror})"
    return "failed"
