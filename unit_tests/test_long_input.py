"""No function of the three products that accepts a text takes long for a long one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from unit_tests.long_input import EFFECTS, ROOT, functions

WATCHDOG_SECONDS = 300
"""A hundred times what all of them take together: only quadratic functions, or worse, come close."""


@pytest.mark.parametrize("length", [30_000, pytest.param(500_000, marks=pytest.mark.thorough)])
def test_a_long_text_holds_up_no_function(length: int) -> None:
    """In a separate process, which can be killed in the middle of a regular expression."""
    command = [sys.executable, str(ROOT / "unit_tests" / "long_input.py"), str(length)]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=WATCHDOG_SECONDS, check=False)
    except subprocess.TimeoutExpired as stuck:
        pytest.fail(f"stuck in {(stuck.stdout or b'').decode().split()[-1]}")
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == [name for name, _, _ in functions()]


def test_the_functions_that_are_left_out_exist() -> None:
    """Otherwise a stale name might leave out another function some day."""
    assert {name for name, _, _ in functions(())} >= EFFECTS
