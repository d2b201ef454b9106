"""Sessions for the credentials of couriers."""

from __future__ import annotations

from pathlib import Path

import pytest

from courier.unit_tests.files.answered_bucket import KEYS
from heap_courier.errors import SetupError
from heap_courier.files.bucket import Bucket
from heap_courier.project.model import Courier


def test_a_variable_that_is_not_set_is_named() -> None:
    courier = Courier("Heap", KEYS, "heap", "", None, None, Path("e"), None)

    with pytest.raises(SetupError, match="The environment variable `SECRET` of the credential `reader` is not set"):
        Bucket(courier, {"KEY": "k"})
