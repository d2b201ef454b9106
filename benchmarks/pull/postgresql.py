"""A temporary local PostgreSQL server, reached by a socket."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_SECONDS = 120.0  # a server that does not respond within this time is considered broken
_USER = "heap"


def programs() -> Path | None:
    """The programs of the newest PostgreSQL that Debian packages have installed."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    return folders[-1] if folders else None


@dataclass(frozen=True, slots=True)
class PostgreSQL:
    """A server as seen by clients; `folder` contains its socket."""

    programs: Path
    folder: Path

    def dsn(self, database: str) -> str:
        """The connection string of a database."""
        return f"postgresql:///{database}?host={self.folder}&user={_USER}"

    def make(self, database: str) -> None:
        """Create an empty database."""
        self._run("createdb", database)

    def drop(self, database: str) -> None:
        """Drop a database."""
        self._run("dropdb", database)

    @classmethod
    @contextmanager
    def start(cls, programs: Path, *options: str) -> Iterator[PostgreSQL]:
        """A server, removed with its data at the end of the block.

        Args:
            programs: the folder returned by the function `programs`.
            options: `name=value`, as in postgresql.conf.

        Raises:
            RuntimeError: it did not start.
        """
        folder = Path(tempfile.mkdtemp(prefix="heap-pg-", dir="/tmp"))  # a socket's path is 107 bytes at most
        try:
            user = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
            if user:
                shutil.chown(folder, user)
            make = [
                str(programs / "initdb"),
                "-D",
                str(folder / "data"),
                "-U",
                _USER,
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--no-sync",
            ]
            subprocess.run(make, user=user, cwd=folder, check=True, capture_output=True)  # noqa: S603
            settings = [word for option in ("listen_addresses=", *options) for word in ("-c", option)]
            with (folder / "log").open("wb") as log:
                server = subprocess.Popen(  # noqa: S603
                    [str(programs / "postgres"), "-D", str(folder / "data"), *settings, "-k", str(folder)],
                    user=user,
                    cwd=folder,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,  # Ctrl-C goes to its parent, which then stops it
                )
            try:
                this = cls(programs, folder)
                this._await()
                yield this
            finally:
                server.send_signal(signal.SIGINT)
                server.wait()
        finally:
            shutil.rmtree(folder)

    def _await(self) -> None:
        asked = [str(self.programs / "pg_isready"), "-q", "-h", str(self.folder)]
        end = time.monotonic() + _SECONDS
        while subprocess.run(asked, check=False).returncode:  # noqa: S603
            if time.monotonic() > end:
                raise RuntimeError(f"PostgreSQL does not come up: {(self.folder / 'log').read_text()}")
            time.sleep(0.1)

    def _run(self, program: str, database: str) -> None:
        subprocess.run([str(self.programs / program), "-h", str(self.folder), "-U", _USER, database], check=True)  # noqa: S603
