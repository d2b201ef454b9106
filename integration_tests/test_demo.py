"""The demo, observed in a browser."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from playwright.sync_api import Page, expect

from integration_tests.conftest import ROOT

pytestmark = pytest.mark.xdist_group("form")  # to share the browser


def test_the_demo_can_be_watched(page: Page) -> None:
    """It prints the address, the page shows what the connector writes, and Ctrl-C stops it."""
    demo = subprocess.Popen(
        [sys.executable, str(ROOT / "scripts" / "demo.py"), "--watch"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert demo.stdout is not None
        address = next(line.split()[-1] for line in demo.stdout if line.startswith("The sandbox stays open"))
        page.goto(address)
        expect(page.get_by_role("tab", name="Events 37")).to_be_visible()
        expect(page.get_by_role("tab", name="Accounts 36")).to_be_visible()
        demo.send_signal(signal.SIGINT)
        demo.communicate(timeout=60)
        assert demo.returncode == 0
    finally:
        demo.kill()
        demo.communicate()
