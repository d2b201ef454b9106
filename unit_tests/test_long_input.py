"""No function of the three products that takes a text is held up by a long one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from unit_tests.long_input import EFFECTS, ROOT, functions

WATCHDOG_SECONDS = 300
"""A hundred times what all of them take together: only one that is quadratic, or worse, comes near it."""


@pytest.mark.parametrize("length", [30_000, pytest.param(500_000, marks=pytest.mark.thorough)])
def test_a_long_text_holds_up_no_function(length: int) -> None:
    """In a separate process, which can be stopped in the middle of a regular expression."""
    command = [sys.executable, str(ROOT / "unit_tests" / "long_input.py"), str(length)]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=WATCHDOG_SECONDS, check=False)
    except subprocess.TimeoutExpired as stuck:
        pytest.fail(f"stuck in {(stuck.stdout or b'').decode().split()[-1]}")
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == [name for name, _, _ in functions()]


def test_the_functions_that_are_left_out_exist() -> None:
    """Otherwise a name would stay that leaves out another function one day."""
    assert {name for name, _, _ in functions(())} >= EFFECTS
