"""A session with AWS, or with a service that speaks like S3, by the credential of a courier."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore.config import Config
from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials
from botocore.exceptions import NoCredentialsError

from heap_courier.errors import SetupError
from heap_courier.files.time_limit import TimeLimit
from heap_courier.project.model import Courier, Credential, KeyCredential, ProfileCredential, RoleCredential


def open_session(
    credential: Credential, courier: Courier, environment: Mapping[str, str], config: Config, limit: TimeLimit
) -> Any:
    """A session by a credential. Sends no request yet.

    Args:
        credential: that of the courier, or one that a role is assumed with.
        courier: whose region and address count.
        environment: of the variables that the credential names.
        config: of the requests that assume a role.
        limit: of the time that they may take.

    Raises:
        SetupError: a variable is missing.
    """
    if isinstance(credential, KeyCredential):
        names = (credential.access_key_env, credential.secret_key_env, credential.session_token_env)
        for name in names:
            if name and not environment.get(name):
                raise SetupError(
                    f"The environment variable `{name}` of the credential `{credential.name}` is not set: set it where "
                    "heap-courier is started, and start a running console or daemon again."
                )
        key, secret, token = (environment[name] if name else None for name in names)
        return boto3.Session(key, secret, token, courier.region)
    if isinstance(credential, ProfileCredential):
        return boto3.Session(profile_name=credential.profile, region_name=courier.region)
    if isinstance(credential, RoleCredential):
        base = open_session(credential.base, courier, environment, config, limit)
        return _in_role(credential, base, courier, config, limit)
    return boto3.Session(region_name=courier.region)


def _in_role(role: RoleCredential, session: Any, courier: Courier, config: Config, limit: TimeLimit) -> Any:
    """A session whose credentials are those of the role, assumed again before they expire.

    A service other than Amazon's assumes roles at its own address; Amazon has another for it.
    """
    is_amazon = courier.endpoint_url is None or ".amazonaws.com" in (urlsplit(courier.endpoint_url).hostname or "")
    region = session.region_name or "us-east-1"
    address = None if is_amazon else courier.endpoint_url
    base = session.get_credentials()
    if base is None:
        raise NoCredentialsError
    extra = {"RoleSessionName": "heap-courier"}
    if role.external_id is not None:
        extra["ExternalId"] = role.external_id
    # It logs a refusal with its traceback and the role, in front of the error that says the same in a sentence.
    logging.getLogger("botocore.credentials").setLevel(logging.CRITICAL)

    def create(*arguments: Any, **options: Any) -> Any:
        client = session.client(*arguments, region_name=region, endpoint_url=address, config=config, **options)
        limit.install(client)  # a role is assumed in the middle of the call that needs it
        return client

    fetcher = AssumeRoleCredentialFetcher(create, base, role.role_arn, extra_args=extra)
    credentials = DeferredRefreshableCredentials(fetcher.fetch_credentials, "assume-role")
    core = botocore.session.get_session()
    core.register_component("credential_provider", _Role(credentials))
    return boto3.Session(botocore_session=core, region_name=session.region_name)


class _Role:
    """What botocore asks for credentials."""

    def __init__(self, credentials: DeferredRefreshableCredentials) -> None:
        self._credentials = credentials

    def load_credentials(self) -> DeferredRefreshableCredentials:
        return self._credentials
