"""Secrets never reach the output."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from airbyte_protocol_dataclasses.models import AirbyteMessage, Type

from destination_heap_analytics.connector import secrets_of
from destination_heap_analytics.process.secrets import Secrets, find_secrets
from destination_heap_analytics.process.stdout import as_json, log_to_output, print_message
from destination_heap_analytics.protocol.messages import EchoedState

CANARY = "wJalrXUtnFEMI/K7MDENG"
STORAGE = {"storage_type": "S3", "access_key_id": "AKIACANARY", "secret_access_key": CANARY}


@pytest.mark.parametrize(
    "config",
    [
        {"object_storage_config": STORAGE},
        {"object_storage_config": [{"deep": STORAGE}]},
        STORAGE,
        {"api": {"secret_access_key": CANARY, "access_key_id": "AKIACANARY"}},
        {"api": {"api_key": f" {CANARY}\n", "access_key_id": "AKIACANARY"}},
    ],
)
def test_each_value_of_a_secret_setting_is_found(config: Any) -> None:
    """Even if it is in the wrong place."""
    assert secrets_of(config).masked(f"a {CANARY} b AKIACANARY") == "a **** b ****"


def test_a_secret_that_contains_another_is_masked_whole() -> None:
    """No part of it remains."""
    assert Secrets(["abc", "abcdef"]).masked("abcdef abc") == "**** ****"


@pytest.mark.parametrize("config", [None, "text", 7, [], {"secret": None}, {"secret": ""}, {"secret": {"a": 1}}])
def test_a_configuration_without_secrets_masks_nothing(config: Any) -> None:
    """An empty secret would match between any two characters."""
    assert find_secrets(config, ["secret"]).masked("text 7") == "text 7"


def test_log_lines_statuses_and_errors_are_masked(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """In every kind of message."""
    handlers = logging.getLogger().handlers
    try:
        log_to_output(secrets=Secrets([CANARY]))
        logging.getLogger("airbyte").info("the key %s was given", CANARY)
    finally:
        logging.getLogger().handlers = handlers
        logging.captureWarnings(capture=False)
    (line,) = capfdbinary.readouterr().out.splitlines()
    assert json.loads(line)["log"] == {"level": "INFO", "message": "the key **** was given"}


def test_any_state_is_returned_unchanged(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """It is opaque, and belongs to the source."""
    print_message(EchoedState(type=Type.STATE, line=f'{{"cursor":"{CANARY}"}}'), Secrets([CANARY]))
    assert CANARY in capfdbinary.readouterr().out.decode()


def test_a_message_is_written_without_fields_that_are_none() -> None:
    """As the CDK does."""
    assert as_json(AirbyteMessage(type=Type.LOG)) == '{"type":"LOG"}'
