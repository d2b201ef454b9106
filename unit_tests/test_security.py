"""Each promise of SECURITY.md is held by a test."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

import pytest

ROOT = Path(__file__).resolve().parents[1]
CLIENT = "unit_tests/delivery/http/test_client.py"

HELD_BY: Final = {
    "**No row content": ["unit_tests/test_row_content.py::test_no_value_of_a_row_is_printed"],
    "**Rejected rows** are stored": ["unit_tests/rejected/test_local.py::test_created_files_are_for_their_owner_only"],
    "**No row is silently lost.**": [
        "integration_tests/test_byte_streams.py::test_a_row_counts_as_delivered_only_if_the_server_stored_it",
        "integration_tests/test_kill.py::test_a_run_that_is_killed_again_and_again_loses_no_row",
        "unit_tests/protocol/test_checkpoints.py::test_a_state_waits_for_every_row_read_before_it",
    ],
    "**The courier changes a table in one transaction**": [
        (
            "courier/integration_tests/test_courier_kill.py::"
            "test_dumps_of_heap_connect_land_once_however_often_the_run_is_killed"
        )
    ],
    "**HTTPS.**": [
        "unit_tests/config/test_parse.py::test_base_url_may_be_any_https_host_and_http_on_this_machine",
        f"{CLIENT}::test_a_redirect_is_not_followed",
        f"{CLIENT}::test_plain_http_never_goes_through_a_proxy",
    ],
    "Certificates are verified": [
        f"{CLIENT}::test_an_untrusted_certificate_is_distinguished_from_a_server_without_tls",
        f"{CLIENT}::test_proxies_and_certificates_of_the_environment_hold",
    ],
    "A web page, a firewall's answer": [
        f"{CLIENT}::test_a_page_with_status_200_is_not_heap",
        "integration_tests/test_byte_streams.py::test_a_row_counts_as_delivered_only_if_the_server_stored_it",
    ],
    "**Configuration.** Secrets": [
        "unit_tests/config/test_spec.py::test_secrets_are_marked",
        "unit_tests/config/test_parse.py::test_an_address_with_a_secret_is_refused_and_not_repeated",
        "unit_tests/test_entry_points.py::test_a_secret_is_masked_in_process_too",
        "integration_tests/test_delete_users.py::test_the_api_key_is_never_printed",
    ],
    "**The courier's project holds no secrets**": [
        "courier/unit_tests/project/test_reader.py::test_a_secret_is_refused_anywhere_and_not_repeated"
    ],
    "**Configurations, catalogs, messages and files**": [
        "unit_tests/test_regular_expressions.py::test_the_work_of_an_expression_grows_in_proportion_to_its_input",
        "unit_tests/run/test_sync.py::test_a_record_nested_too_deeply_is_rejected",
        "courier/unit_tests/cli/test_main.py::test_a_file_that_is_nested_too_deeply_is_reported_in_a_sentence",
    ],
    "**File and column names**": ["unit_tests/rejected/test_store.py::test_every_name_is_one_safe_part_of_a_path"],
    "**Control characters**": [
        "unit_tests/test_odd_names.py::test_no_command_prints_a_name_unescaped",
        "courier/unit_tests/cli/test_output.py::test_a_name_from_outside_is_escaped",
        "sandbox/unit_tests/test_cli.py::test_control_characters_never_reach_the_terminal",
    ],
    "It listens on 127.0.0.1 unless": [
        "courier/unit_tests/console/test_gate.py::test_an_unknown_host_name_is_refused",
        "courier/unit_tests/console/test_gate.py::test_another_site_cannot_change_anything",
        "courier/unit_tests/console/test_gate.py::test_other_computers_cannot_reach_it_unprotected",
        "courier/unit_tests/console/test_gate.py::test_without_it_only_the_sign_in_form_is_available",
    ],
    "Its pages load nothing from elsewhere": [
        "courier/unit_tests/console/test_gate.py::test_the_policy_forbids_framing_and_inline_scripts",
        "courier/unit_tests/console/screens/test_tables.py::test_values_are_escaped",
    ],
    "SQL runs in a separate process": [
        "courier/unit_tests/console/screens/test_tables.py::test_queries_cannot_change_data_or_read_files",
        "courier/unit_tests/console/screens/test_tables.py::test_a_query_that_takes_too_long_is_stopped",
        "courier/unit_tests/console/screens/test_tables.py::test_the_first_rows_are_shown",
    ],
    "It listens on 127.0.0.1, except": [
        "unit_tests/test_deploy.py::test_the_console_is_published_to_this_computer_alone_with_a_token_and_tls",
        "sandbox/unit_tests/page/test_gate.py::test_a_name_from_elsewhere_is_not",
        "sandbox/unit_tests/page/test_gate.py::test_another_page_changes_nothing",
    ],
    "It is a test tool without": [],  # advice, not a promise
}
"""The tests of each promise, by its beginning."""


def promises() -> list[str]:
    section = (ROOT / "SECURITY.md").read_text(encoding="utf-8").partition("## Guarantees")[2].partition("\n## ")[0]
    return [line[2:] for line in section.splitlines() if line.startswith("- ")]


def test_every_promise_is_in_the_table() -> None:
    """A new promise needs a test, and a removed one none."""
    assert {next((key for key in HELD_BY if line.startswith(key)), line) for line in promises()} == set(HELD_BY)


@pytest.mark.parametrize("test", sorted({test for tests in HELD_BY.values() for test in tests}))
def test_every_test_that_holds_a_promise_exists(test: str) -> None:
    """By its name: reviewers judge whether it tests the promise."""
    file, _, name = test.partition("::")
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
