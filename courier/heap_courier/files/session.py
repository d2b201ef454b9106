"""A session with AWS or an S3-compatible service, authenticated by a courier's credential."""

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
    """Creates a session for a credential; sends no request.

    Args:
        credential: the courier's credential, or the base of a role.
        courier: its region and endpoint are used.
        environment: contains the environment variables that the credential refers to.
        config: the configuration of the requests that assume a role.
        limit: the time limit of those requests.

    Raises:
        SetupError: an environment variable is not set.
    """
    if isinstance(credential, KeyCredential):
        names = (credential.access_key_env, credential.secret_key_env, credential.session_token_env)
        for name in names:
            if name and not environment.get(name):
                raise SetupError(
                    f"The environment variable `{name}` of the credential `{credential.name}` is not set: set it where "
                    "heap-courier is started, and restart a running console or daemon."
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
    """Creates a session with the credentials of a role, which is assumed again before they expire.

    Amazon has a separate endpoint for assuming roles; other services use the one for S3.
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
    # If the role cannot be assumed, botocore would log a traceback with the role, besides the error reported here.
    logging.getLogger("botocore.credentials").setLevel(logging.CRITICAL)

    def create(*arguments: Any, **options: Any) -> Any:
        client = session.client(*arguments, region_name=region, endpoint_url=address, config=config, **options)
        limit.install(client)  # a role is assumed during the call that needs it
        return client

    fetcher = AssumeRoleCredentialFetcher(create, base, role.role_arn, extra_args=extra)
    credentials = DeferredRefreshableCredentials(fetcher.fetch_credentials, "assume-role")
    core = botocore.session.get_session()
    core.register_component("credential_provider", _Role(credentials))
    return boto3.Session(botocore_session=core, region_name=session.region_name)


class _Role:
    """A botocore credential provider."""

    def __init__(self, credentials: DeferredRefreshableCredentials) -> None:
        self._credentials = credentials

    def load_credentials(self) -> DeferredRefreshableCredentials:
        return self._credentials
