"""The place of published tables: a folder on this machine, or a prefix in a bucket."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from deltalake.exceptions import DeltaError

from heap_courier.errors import CourierError, LaterError, SetupError
from heap_courier.files.bucket import Bucket
from heap_courier.files.bucket_errors import Use
from heap_courier.project.model import Courier, DeltaSettings

_USE: Final = Use(
    "Nothing can be published in", "the `delta` section's", "s3:GetObject, s3:PutObject and s3:DeleteObject"
)
_TOKEN: Final = "AWS_SESSION_TOKEN"  # noqa: S105  (a name)
_MARK: Final = "_heap-courier"
"""The key of an empty object that tests, before a table is written, whether the bucket has conditional writes."""
_DENIED: Final = re.compile(r"AccessDenied|AllAccessDisabled|status:? 403|403 Forbidden|Permission denied")
_FULL: Final = re.compile(r"No space left|Disk quota|StorageFull|QuotaExceeded")
_NOT_IN_A_PATH: Final = re.compile(r"[^\w ./,+=@-]")


class Place:
    """The place of a project's published tables.

    Raises:
        SetupError: it cannot be used with these settings.
        LaterError: it is unavailable.
    """

    def __init__(self, settings: DeltaSettings, environment: Mapping[str, str]) -> None:
        self._folder = settings.folder
        self._bucket: Bucket | None = None
        if self._folder:
            self._folder = self._folder.absolute()
            if odd := _NOT_IN_A_PATH.search(str(self._folder)):
                raise SetupError(
                    f"The path of the folder `{self._folder}` contains `{odd[0]}`, which the library for Delta tables "
                    "does not support: set a `folder` under `delta` in heap-courier.yaml whose path has only letters, "
                    "digits, spaces and `-_.,+=@`."
                )
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise SetupError(
                    f"The folder `{self._folder}` cannot be created: {error.strerror}. Set another `folder` under "
                    "`delta` in heap-courier.yaml."
                ) from error
            return
        self._bucket = Bucket(_as_a_courier(settings), environment, use=_USE)
        next(self._bucket.list(), None)
        if self._bucket.put_new(_MARK, b"") and self._bucket.put_new(_MARK, b""):
            raise SetupError(
                f"Nothing can be published in {self}, because its server ignores If-None-Match, so two writers could "
                "overwrite each other's versions: use Amazon S3, or a server with conditional writes."
            )

    def __str__(self) -> str:
        return f"`{self._folder}`" if self._folder else str(self._bucket)

    def address(self, folder: str) -> str:
        """The address of a table for readers: a path, or `s3://bucket/prefix/folder`."""
        if self._bucket is None:
            return str((self._folder or Path()) / folder)
        courier = self._bucket.courier
        return f"s3://{courier.bucket}/{courier.prefix}{folder}"

    def options(self) -> dict[str, str] | None:
        """The storage options for deltalake. Call it for each table, because a role's credentials expire."""
        if self._bucket is None:
            return None
        identity, courier = self._bucket.identity(), self._bucket.courier
        options = {
            "AWS_ACCESS_KEY_ID": identity.access_key,
            "AWS_SECRET_ACCESS_KEY": identity.secret_key,
            "AWS_REGION": identity.region,
            "AWS_CONDITIONAL_PUT": "etag",  # of two writers of the same version, the second one fails
            "AWS_S3_ALLOW_UNSAFE_RENAME": "false",  # overrides the environment variable
            "max_retries": "4",
            "retry_timeout": "60s",  # instead of three minutes, during which deltalake may block all other threads
        }
        if not identity.token and os.environ.get(_TOKEN):
            raise SetupError(
                f"Nothing can be published in {self}, because the library for Delta tables would combine the "
                f"environment variable `{_TOKEN}` with the keys of the credential `{courier.credential.name}`, which "
                "has no token: unset the variable, or set `session-token-env` of the credential to its name."
            )
        if identity.token:
            options[_TOKEN] = identity.token
        if courier.endpoint_url:
            options["AWS_ENDPOINT_URL"] = courier.endpoint_url
            options["AWS_VIRTUAL_HOSTED_STYLE_REQUEST"] = "false"
            if courier.endpoint_url.startswith("http:"):
                options["AWS_ALLOW_HTTP"] = "true"
        return options

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Replaces what deltalake raises by a CourierError."""
        try:
            yield
        except CourierError:
            raise
        except (DeltaError, OSError, ValueError) as failure:
            raise self._sentence(str(failure)) from None

    def _sentence(self, said: str) -> CourierError:
        begin = f"The table cannot be published in {self}"
        if _DENIED.search(said):
            what = f"{_USE.rights} on it" if self._bucket else "this user to write to it"
            return SetupError(f"{begin}: access is denied. Allow {what}.")
        if _FULL.search(said):
            return SetupError(f"{begin}: it is full. Free some space, then run `heap-courier publish`.")
        first = said.partition("\n")[0]
        return LaterError(f"{begin}: {first[:200].rstrip('.')}. Try again later with `heap-courier publish`.")


def _as_a_courier(settings: DeltaSettings) -> Courier:
    return Courier(
        name="delta",
        credential=settings.credential,
        bucket=settings.bucket,
        prefix=settings.prefix,
        endpoint_url=settings.endpoint_url,
        region=settings.region,
        entities=Path(),
        operations=None,
    )
