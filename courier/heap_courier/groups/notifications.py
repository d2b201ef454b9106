"""What someone should know who is not looking: said, and given to the command that the project names."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from typing import Final

PATIENCE: Final = 60.0  # seconds for the command to take a notice


def notifier(command: Sequence[str], say: Callable[[str], None]) -> Callable[[str], None]:
    """Makes the function that gives a notice: to `say`, and on the standard input of a command where there is one.

    A command that fails is told of, by its name alone, since its arguments may hold a secret; it never ends a run.
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
