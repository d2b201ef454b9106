"""Creates an environment with PyAirbyte unless it is up to date, and prints the path of its Python.

    python scripts/pyairbyte_env.py

It installs more than a hundred packages (800 MB, several minutes) with versions of its own, so it is separate from
.venv. Exit code 3: no supported Python is installed.
"""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = ROOT / "integration_tests" / "pyairbyte" / "requirements.txt"
FOLDER = ROOT / ".venv-pyairbyte"
SUPPORTED = ((3, 10), (3, 12))
"""The Python versions that this PyAirbyte supports: `Requires-Python: <3.13,>=3.10`."""

NO_PYTHON = 3


def main() -> None:
    """Print the path of a Python with PyAirbyte."""
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # concurrent tests wait for the one that creates it
        print(_environment(FOLDER / "env", FOLDER / "made-for"))


def _environment(folder: Path, stamp: Path) -> Path:
    made = folder / "bin" / "python"
    wanted = REQUIREMENTS.read_text(encoding="utf-8")
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted and _version(str(made)):
        return made
    stamp.unlink(missing_ok=True)
    python = _supported_python()
    _say(f"Installing PyAirbyte into {FOLDER.name} (800 MB; several minutes the first time) ...")
    subprocess.run([python, "-m", "venv", "--clear", str(folder)], check=True, stdout=sys.stderr)  # noqa: S603
    pip = [str(made), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(REQUIREMENTS)]
    subprocess.run(pip, check=True, stdout=sys.stderr)  # noqa: S603
    stamp.write_text(wanted, encoding="utf-8")
    return made


def _supported_python() -> str:
    least, most = SUPPORTED
    names = [sys.executable, *(f"python{major}.{minor}" for major, minor in ((3, 12), (3, 11), (3, 10)))]
    for name in names:
        version = _version(name)
        if version and least <= version <= most:
            return name
    _say("PyAirbyte requires Python 3.10 to 3.12; none of them is installed.")
    sys.exit(NO_PYTHON)


def _version(python: str) -> tuple[int, ...] | None:
    """The version of a Python as (major, minor); None if it does not run."""
    ask = "import sys; print(*sys.version_info[:2])"
    try:
        run = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=False)  # noqa: S603
    except OSError:
        return None
    return tuple(map(int, run.stdout.split())) if run.returncode == 0 else None


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
