"""Creates a new project folder, ready to be edited."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from heap_courier.errors import SetupError
from heap_courier.project.reader import FILE_NAME

_WAREHOUSE: Final = {
    "duckdb": """\
warehouse:
  engine: duckdb            # a file on this computer; or postgresql
  file: heap.duckdb
  # engine: postgresql
  # dsn-env: HEAP_WAREHOUSE # the variable that contains postgresql://user:password@host/database
""",
    "postgresql": """\
warehouse:
  engine: postgresql        # or duckdb: a file on this computer
  dsn-env: HEAP_WAREHOUSE   # the variable that contains postgresql://user:password@host/database
  # engine: duckdb
  # file: heap.duckdb
""",
}

_FILES: Final = {
    FILE_NAME: """\
# Where Heap's files come from, and where the tables are. docs/pull-from-heap.md explains every setting.

{warehouse}
credentials:                # where to find each secret, never the secret itself
  heap-bucket:
    type: iam-credential
    access-key-env: AWS_ACCESS_KEY_ID
    secret-key-env: AWS_SECRET_ACCESS_KEY
  # heap-profile:
  #   type: profile         # of ~/.aws/config
  #   profile: heap
  # heap-role:
  #   type: iam-role-to-role
  #   role-arn: arn:aws:iam::123456789012:role/heap-reader
  #   external-id: "01234567890123456789"
  #   credential: heap-bucket

couriers:
  Heap:                     # fetches files by the dates in their names, and loads them by its load operations
    credential: heap-bucket
    bucket: heap-rs3-example
    entities: entities/heap.json
    load-operations: load-operations/heap.json
  Heap-Connect:             # follows the manifests that Heap writes: every table, each dump once
    credential: heap-bucket
    bucket: heap-rs3-example
    entities: entities/heap-connect.json

feeds: feeds                # the folder to which `heap-courier feed add` writes feeds

groups:
  nightly:
    schedule: "30 8 * * *"  # minute, hour, day of the month, month, day of the week
    time-zone: UTC
    status: disabled        # or enabled
    couriers:
      - courier: Heap-Connect
        wait: 2 hours       # for files that are late
        missing: stop       # or notify, and continue without them
    warn-after: 3 hours

# notify: [mail, -s, heap-courier, data@example.com]   # a command that receives warnings and errors on standard input
""",
    "entities/heap-connect.json": """\
[
  {
    "object/type": "heap-connect",
    "heap-connect/source": "Heap-Connect"
  }
]
""",
    "entities/heap.json": """\
[
  {
    "object/type": "file",
    "object/file-pattern": "'path/to/users'-YYYY-MM-dd'.avro'",
    "object/land-as": {
      "file/tag": "users",
      "file/content-type": "application/avro"
    }
  }
]
""",
    "load-operations/heap.json": "{}\n",
    ".gitignore": """\
# Personal data, and files that can be fetched again.
/heap.duckdb*
/samples/
/.heap-courier/
""",
}

_BARE: Final = {
    FILE_NAME: """\
# Where Heap's files come from, and where the tables are. docs/pull-from-heap.md explains every setting.

{warehouse}
feeds: feeds                # the folder of the feeds
""",
    ".gitignore": _FILES[".gitignore"],
}


def make_project(folder: Path, *, bare: bool = False, engine: Literal["duckdb", "postgresql"] = "duckdb") -> list[Path]:
    """Writes the files of a new project and returns their paths. The first feed creates `feeds/`.

    Args:
        folder: the project's folder.
        bare: whether to leave out the example couriers and groups.
        engine: the engine of its warehouse.

    Raises:
        SetupError: one of the files already exists, and nothing is written; or the folder cannot be written.
    """
    files = _BARE if bare else _FILES
    paths = [folder / name for name in files]
    try:
        if there := [path for path in paths if path.exists()]:
            raise SetupError(f"`{there[0]}` already exists: choose another folder; nothing was written.")
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
        for path, content in zip(paths, files.values(), strict=True):
            path.write_text(content.replace("{warehouse}", _WAREHOUSE[engine]), encoding="utf-8")
    except OSError as error:
        raise SetupError(f"`{error.filename}` cannot be written: {error.strerror}. Choose another folder.") from error
    return paths
