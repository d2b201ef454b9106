"""Splink called directly by a script, as its documentation shows: what `stitch run` is compared with.

`python -m benchmarks.stitch.direct FILE.duckdb MEMORY` reads the table `CRM:People`, trains a model, scores pairs and
writes the table `clusters`. It prints the seconds of the whole, and of those the ones that training took.

It normalises less than `stitch run`, has no bad values, contradictions, labels, stable ids or tables of customers, and
does not collapse duplicates.
"""

from __future__ import annotations

import logging
import sys
import time

import duckdb
import splink.comparison_library as cl
from splink import DuckDBAPI, Linker, SettingsCreator, block_on

_THRESHOLD = 0.95
_UPPER = ("given_name", "surname", "email", "address", "city")
_CLEANED = ", ".join(
    [
        "pk",
        *(f"upper(trim({name})) AS {name}" for name in _UPPER),
        "right(regexp_replace(phone, '[^0-9]', '', 'g'), 10) AS phone",
        "postal",
        "birthdate",
    ]
)


def main() -> None:
    """Links the people of a file."""
    file, memory = sys.argv[1:]
    logging.getLogger("splink").setLevel(logging.ERROR)
    begun = time.monotonic()
    connection = duckdb.connect(file)
    connection.execute(f"SET memory_limit = '{memory}'")
    connection.execute(f'CREATE TABLE people AS SELECT {_CLEANED} FROM "CRM:People"')  # noqa: S608  (constants)
    settings = SettingsCreator(
        link_type="dedupe_only",
        unique_id_column_name="pk",
        retain_intermediate_calculation_columns=False,
        retain_matching_columns=False,
        comparisons=[
            cl.NameComparison("given_name"),
            cl.NameComparison("surname"),
            cl.DamerauLevenshteinAtThresholds("birthdate", [1, 2]),
            cl.EmailComparison("email"),
            cl.DamerauLevenshteinAtThresholds("phone", 1),
            cl.JaroWinklerAtThresholds("address", [0.92]),
            cl.ExactMatch("postal"),
        ],
        blocking_rules_to_generate_predictions=[
            block_on("substr(given_name, 1, 3)", "substr(surname, 1, 3)", "postal"),
            block_on("substr(surname, 1, 3)", "birthdate"),
            block_on("postal", "birthdate"),
            block_on("postal", "address"),
            block_on("email"),
            block_on("phone"),
        ],
    )
    linker = Linker(DuckDBAPI(connection=connection).register("people"), settings, log_level=None)
    training = time.monotonic()
    linker.training.estimate_probability_two_random_records_match(
        [block_on("given_name", "surname", "birthdate")], recall=0.4
    )
    linker.training.estimate_u_using_random_sampling(max_pairs=1e6, seed=1)
    linker.training.estimate_parameters_using_expectation_maximisation(block_on("given_name", "surname"))
    linker.training.estimate_parameters_using_expectation_maximisation(block_on("birthdate", "postal"))
    trained = time.monotonic()
    predicted = linker.inference.predict(threshold_match_probability=_THRESHOLD)
    found = linker.clustering.cluster_pairwise_predictions_at_threshold(predicted, _THRESHOLD)
    connection.execute(f"CREATE TABLE clusters AS SELECT pk, cluster_id FROM {found.physical_name}")  # noqa: S608  (splink's name)
    connection.close()
    print(time.monotonic() - begun, trained - training)


if __name__ == "__main__":
    main()
