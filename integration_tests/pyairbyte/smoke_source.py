"""The source of PyAirbyte's smoke test, without the rest of PyAirbyte: it starts three times as fast.

Importing a module imports its packages first, and theirs bring databases and clouds that a source has no use for; so
empty ones replace them.
"""

import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

folder = Path(find_spec("airbyte").origin).parent
for name in ("airbyte", "airbyte.cli"):
    package = ModuleType(name)
    package.__path__ = [str(folder.joinpath(*name.split(".")[1:]))]
    sys.modules[name] = package

from airbyte.cli.smoke_test_source.run import run  # noqa: E402  # from the empty ones

if __name__ == "__main__":
    run()
