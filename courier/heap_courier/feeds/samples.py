"""Sample files, from which feeds are proposed, and which are loaded when a feed is activated."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from string import ascii_letters, digits
from typing import Any, Final

import pyarrow as pa

from heap_courier.errors import SetupError, failure_of_file
from heap_courier.feeds.model import Feed, Sample
from heap_courier.feeds.proposal import Proposal, propose
from heap_courier.feeds.reader import read_feeds
from heap_courier.feeds.rules import check
from heap_courier.feeds.separators import with_separator
from heap_courier.files.entities import ArchiveEntity, Entity, FileEntity, HeapConnectEntity, read_entities
from heap_courier.files.fileset import FetchedFile
from heap_courier.formats.file_format import AVRO, PARQUET, SEPARATORS, FileFormat
from heap_courier.formats.readers import chunks, schema
from heap_courier.project.model import Courier, Project

FOLDER: Final = "samples"
_LONGEST_NAME: Final = 250  # bytes; file systems allow 255
_KEPT: Final = 180
_KEPT_END: Final = 40
_BATCHES: Final = 4  # batches of the file that a proposal examines: tens of thousands of rows
_CONTENT_TYPES: Final = {
    ".avro": AVRO,
    ".parquet": PARQUET,
    ".csv": "text/csv",
    ".dat": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".tab": "text/tab-separated-values",
    ".psv": "text/pipe-separated-values",
    ".json": "application/json",
    ".ndjson": "application/x-ndjson",
    ".jsonl": "application/x-ndjson",
}


def folder_of(project: Project, courier: Courier) -> Path:
    """The folder of a courier's samples."""
    return project.folder / FOLDER / courier.name


def sample_of(project: Project, path: Path, given: FileFormat | None, **parts: Any) -> Sample:
    """A file as a sample.

    Args:
        project: the project of the feed.
        path: the file.
        given: its format; None: the format by which it was fetched, or the one that its name suggests.
        parts: parts of a `FileFormat` that override those of the format; None: not overridden.

    Raises:
        SetupError: the file does not exist, its format is unknown, or the parts do not apply to it.
    """
    if not path.is_file():
        raise SetupError(f"There is no file `{path}`: fetch samples with `heap-courier sample COURIER`.")
    chosen = {part: value for part, value in parts.items() if value is not None}
    fetched = None if given else _fetched_as(project, path)
    file_format = replace(given or fetched or _named_as(path, text="separator" in chosen), **chosen)
    if chosen and file_format.content_type not in SEPARATORS:
        options = ", ".join(f"--{part.replace('_', '-')}" for part in chosen)
        raise SetupError(
            f"`{path}` is read as {file_format.content_type}, and {options} applies to delimited text only: set "
            "--content-type text/csv if it is delimited text, or leave the option out."
        )
    if not fetched:
        file_format = with_separator(path, file_format)
    return Sample(os.path.relpath(path.resolve(), project.folder.resolve()), file_format)


def propose_feed(project: Project, domain_table: str, sample: Sample) -> Proposal:
    """Proposes a feed from the first rows of a sample.

    Raises:
        SetupError: the name is not valid for a feed, or the sample has no column that can be its key.
        UnreadableFileError: the sample is not valid in its format.
    """
    source, colon, name = domain_table.partition(":")
    if not (source.strip() and colon and name.strip()):
        raise SetupError(f"`{domain_table}` is not a domain table name: write SOURCE:NAME, such as Heap:Users.")
    path = project.folder / sample.path
    feed_id = "df-" + "".join(secrets.choice(ascii_letters + digits) for _ in range(8))
    with failure_of_file(sample.path):
        proposal = propose(
            schema(path, sample.format, sample.path), _rows(path, sample), source=source, name=name, feed_id=feed_id
        )
    feed = replace(proposal.feed, sample=sample)
    try:
        check(feed)
    except ValueError as error:
        raise SetupError(f"`{domain_table}` cannot become a feed: {error}") from None
    return proposal._replace(feed=feed)


def path_of(project: Project, feed: Feed) -> Path:
    """The path for the file of a new feed.

    Raises:
        SetupError: the feed already exists.
    """
    name = re.sub(r"[^a-z0-9]+", "-", feed.domain_table.lower()).strip("-")
    path = project.feeds / f"{name}.yaml"
    twins = [other for other in read_feeds(project.feeds) if other.domain_table.lower() == feed.domain_table.lower()]
    if path.exists() or twins:
        raise SetupError(
            f"The feed `{feed.domain_table}` already exists (`{path}`): edit that file, or remove it first."
        )
    return path


def file_of(project: Project, feed: Feed) -> FetchedFile:
    """The sample of a feed, as a file to load.

    Raises:
        SetupError: the feed has no sample, or the file no longer exists.
    """
    if feed.sample is None:
        raise SetupError(f"The feed `{feed.domain_table}` has no `sample`: add one, or activate it with --no-sample.")
    path = project.folder / feed.sample.path
    if not path.is_file():
        raise SetupError(
            f"The sample `{path}` of the feed `{feed.domain_table}` no longer exists: fetch it again with "
            "`heap-courier sample`, or activate the feed with --no-sample."
        )
    status = path.stat()
    modified = datetime.fromtimestamp(status.st_mtime, timezone.utc)
    return FetchedFile(path, feed.sample.path, "", None, feed.sample.format, status.st_size, modified)


def _rows(path: Path, sample: Sample) -> Iterator[pa.RecordBatch]:
    for chunk in islice(chunks(path, sample.format, sample.path), _BATCHES):
        yield chunk.decode().batch


def keep_sample(folder: Path, file: FetchedFile) -> FetchedFile:
    """Moves a fetched file to the samples folder, under its name in the bucket, unless another tag already did.

    A bucket can contain both `x` and `x/y`: whichever is kept later uses `~x` instead.
    """
    names = [_fitting(name) for name in re.split(r"[/!\\]", file.key) if name not in {"", ".", ".."}]
    *outer, last = names
    for name in outer:
        folder /= f"~{name}" if (folder / name).is_file() else name
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (f"~{last}" if (folder / last).is_dir() else last)
    if file.path.exists():
        _move(file.path, path)
    return replace(file, path=path)


def _move(path: Path, to: Path) -> None:
    """Moves a file, even to another disk. It appears only once it is complete, because a feed may load it."""
    try:
        path.replace(to)
    except OSError as fault:
        if fault.errno != errno.EXDEV:
            raise
        partial = to.with_name(f".{secrets.token_hex(8)}.part")
        try:
            shutil.copyfile(path, partial)
            partial.replace(to)
        finally:
            partial.unlink(missing_ok=True)
        path.unlink()


def _fitting(name: str) -> str:
    """A part of a key as a file name; if it is too long, its beginning, a digest and its end."""
    encoded = name.encode()
    if len(encoded) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(encoded).hexdigest()[:12]
    return f"{encoded[:_KEPT].decode(errors='ignore')}~{digest}~{encoded[-_KEPT_END:].decode(errors='ignore')}"


def _fetched_as(project: Project, path: Path) -> FileFormat | None:
    """The format in the entities list of the courier that fetched a sample, if an entity still matches it."""
    for courier in project.couriers.values():
        folder = folder_of(project, courier).resolve()
        if path.resolve().is_relative_to(folder):
            return _format_of(read_entities(courier.entities), path.resolve().relative_to(folder))
    return None


def _format_of(entities: Iterable[Entity], kept: Path) -> FileFormat | None:
    for entity in entities:
        if isinstance(entity, HeapConnectEntity):
            return FileFormat(AVRO)
        if isinstance(entity, FileEntity) and entity.pattern.matches_any(kept.as_posix()):
            return entity.format
        if isinstance(entity, ArchiveEntity):
            for archive in kept.parents:
                member = kept.relative_to(archive).as_posix()
                if entity.pattern.matches_any(archive.as_posix()):
                    return next((each.format for each in entity.members if each.matches(member)), None)
    return None


def _named_as(path: Path, *, text: bool) -> FileFormat:
    """The format that a file's name suggests; `text`: whether to assume delimited text if it suggests none."""
    name = path.name.lower().removesuffix(".gz")
    content_type = _CONTENT_TYPES.get(Path(name).suffix, "text/csv" if text else None)
    if content_type is None:
        raise SetupError(f"The content type of `{path}` is not clear from its name: set --content-type.")
    return FileFormat(content_type, header_rows=0 if name.endswith(".dat") else 1)
