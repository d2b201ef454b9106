"""An S3 on this machine, and no identity but those that a test gives."""

from __future__ import annotations

import pytest
import requests


@pytest.fixture(autouse=True)
def nobody(no_identity_of_this_machine: None) -> None:
    """A courier is whom its project names."""


@pytest.fixture
def s3(moto_server: str) -> str:
    """The address of an S3 (IAM and STS too) that holds nothing yet and takes any key pair."""
    requests.post(f"{moto_server}/moto-api/reset", timeout=60)
    requests.post(f"{moto_server}/moto-api/reset-auth", data=b"inf", timeout=60)
    return moto_server
