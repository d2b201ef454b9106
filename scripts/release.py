"""The release checklist of `bash scripts/release`."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from runpy import run_path

ROOT = Path(__file__).resolve().parents[1]
PROJECTS = {
    "destination-heap-analytics": (ROOT, "destination_heap_analytics", "airbyte/destination-heap-analytics"),
    "heap-courier": (ROOT / "courier", "heap_courier", "heap-courier"),
    "heap-sandbox": (ROOT / "sandbox", "heap_sandbox", "heap-sandbox"),
}
"""The folder, package and image of each project, by name."""


def main() -> int:
    """Work through the checklist. Returns 1 if an item fails."""
    parser = argparse.ArgumentParser(prog="scripts/release", description=__doc__)
    parser.add_argument("--dry-run", action="store_true", help="everything but the tag")
    is_rehearsal = parser.parse_args().dry_run
    version = versions()["destination-heap-analytics"]
    problems = [*version_problems(ROOT), *changelog_problems((ROOT / "CHANGELOG.md").read_text("utf-8"), version)]
    if not is_rehearsal:
        problems += git_problems(version)
    for problem in problems:
        say(f"PROBLEM  {problem}")
    if problems:
        return 1
    say(f"ok       the version is {version} everywhere, and the changelog has a section with a date")
    dist = ROOT / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    dist.mkdir()
    for name, (folder, _, _) in PROJECTS.items():
        run(sys.executable, "-m", "build", "--outdir", str(dist), str(folder))
        say(f"ok       archive and wheel of {name}")
    for name, (folder, _, _) in PROJECTS.items():
        bill = ["requirements", str(folder / "requirements.txt"), "--output-file", str(dist / f"{name}.cdx.json")]
        run(str(Path(sys.executable).with_name("cyclonedx-py")), *bill)
        say(f"ok       bill of materials of the image of {name}")
    images(version)
    if is_rehearsal:
        say("Nothing is tagged or published: this was a dry run.")
        return 0
    run("git", "tag", f"v{version}")
    say(f"ok       tagged v{version}. Now publish:")
    say(f"  git push origin v{version}")
    say("  python -m twine upload dist/*.tar.gz dist/*.whl")
    for _, _, image in PROJECTS.values():
        say(f"  docker push {image}:{version}")
    return 0


def versions() -> dict[str, str]:
    """The version of each project, according to its package."""
    return {
        name: str(run_path(str(folder / package / "version.py"))["VERSION"])
        for name, (folder, package, _) in PROJECTS.items()
    }


def version_problems(root: Path) -> list[str]:
    """Places with another version than the connector's package."""
    version = versions()["destination-heap-analytics"]
    places = {
        "metadata.yaml": r"^ *dockerImageTag: (\S+)$",
        "Dockerfile": r"^LABEL io\.airbyte\.version=(\S+)$",
        "CHANGELOG.md": r"^## (\d\S*)",
    }
    found = [(name, re.search(each, (root / name).read_text("utf-8"), re.MULTILINE)) for name, each in places.items()]
    problems = [f"{name} says {match[1] if match else 'nothing'}, not {version}" for name, match in found
                if not match or match[1] != version]  # fmt: skip
    for name, own in versions().items():
        image = PROJECTS[name][2]
        if image in ("heap-courier", "heap-sandbox"):
            named = set(re.findall(rf"image: {image}:(\S+)", deployed(root)))
            problems += [f"deploy/ and compose.yaml name {image}:{other}, not {own}" for other in sorted(named - {own})]
    return problems


def deployed(root: Path) -> str:
    """The text of the files that refer to images."""
    paths = [root / "compose.yaml", *root.glob("deploy/kubernetes/*.yaml")]
    return "\n".join(path.read_text("utf-8") for path in paths)


def changelog_problems(changelog: str, version: str) -> list[str]:
    """Problems of the section of this version: it is missing, empty, or has no date."""
    section = re.search(rf"^## {re.escape(version)}\b([^\n]*)\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
    if not section:
        return [f"CHANGELOG.md has no section for {version}"]
    problems = []
    if not re.search(r"\(\d{4}-\d\d-\d\d\)", section[1]):
        problems.append(f"the heading of {version} in CHANGELOG.md has no date")
    if not re.search(r"^- ", section[2], re.MULTILINE):
        problems.append(f"the section of {version} in CHANGELOG.md is empty")
    return problems


def git_problems(version: str) -> list[str]:
    """Problems that prevent tagging the commit."""
    problems = []
    if output("git", "status", "--porcelain"):
        problems.append("there are uncommitted changes")
    if output("git", "branch", "--show-current") != "main":
        problems.append("this is not the branch main")
    if output("git", "tag", "--list", f"v{version}"):
        problems.append(f"the tag v{version} already exists")
    return problems


def images(version: str) -> None:
    """Build the images, if `docker` is installed."""
    if not shutil.which("docker"):
        say("SKIPPED  images: `docker` is not installed")
        return
    base = os.environ.get("IMAGE_BASE")
    options = ["--build-arg", f"BASE={base}"] if base else []
    instead = f", on {base} instead of the pinned base" if base else ""
    for folder, _, image in PROJECTS.values():
        run("docker", "build", "--quiet", *options, "--tag", f"{image}:{version}", str(folder))
        size = int(output("docker", "image", "inspect", "--format", "{{.Size}}", f"{image}:{version}"))
        say(f"ok       image {image}:{version}, {size / 1e6:,.0f} MB{instead}")


def run(*command: str) -> None:
    """Run a step; show its output only if it fails."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        sys.exit(f"PROBLEM  {' '.join(command)}\n{done.stdout[-2000:]}{done.stderr[-4000:]}")


def output(*command: str) -> str:
    """The output of a command."""
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603


def say(sentence: str) -> None:
    """Print a line for the user."""
    print(sentence, flush=True)


if __name__ == "__main__":
    sys.exit(main())
