"""Credentials as botocore obtains them: of a profile, of a user with MFA, of a role; asked for once and shared.

Sessions that took an MFA code are remembered where the AWS CLI remembers them, so that one code serves both.
"""

import hashlib
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import botocore.session
from botocore.credentials import (
    AssumeRoleCredentialFetcher,
    CachedCredentialFetcher,
    Credentials,
    DeferredRefreshableCredentials,
    ReadOnlyCredentials,
    create_credential_resolver,
)
from botocore.exceptions import NoCredentialsError, RefreshWithMFAUnsupportedError
from botocore.utils import JSONFileCache

from runbook import secrets
from runbook.mfa import Ask, NoCode, NotAsked, ask

PROMPT = "Enter MFA code for {}: "
"""botocore's own prompt."""

FAILURE_SECONDS = 10
"""Seconds for which a refused MFA code is the answer for all accounts that wait for it: each would ask again."""

MakeClient = Callable[..., Any]
"""Makes a client of a service with `aws_access_key_id`, `aws_secret_access_key` and `aws_session_token`."""


class SourceCredentials:
    """The credentials of one identity, loaded when they are needed first, and shared by all accounts that use them.

    `load` gets the function that asks for an MFA code; where there is none, what `without` makes of it is raised. Who
    needs the credentials meanwhile waits, and gets the same answer: nobody is asked twice.
    """

    def __init__(self, load: Callable[[Ask], Any], without: Callable[[str, NoCode], Exception]) -> None:
        self._load = load
        self._without = without
        self._lock = threading.RLock()
        self._credentials: Any = None
        self._asked = False
        self._failure: tuple[float, Exception] | None = None

    def load_credentials(self) -> "SourceCredentials":
        """Stand in for botocore's search for credentials, which comes later."""
        return self

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """Return credentials to sign with. Raises what stands against it, NoCredentialsError where there are none."""
        with self._lock:
            if self._failure and time.monotonic() < self._failure[0] + FAILURE_SECONDS:
                raise self._failure[1]
            self._asked = False
            try:
                return self._current()
            except Exception as error:
                self._failure = (time.monotonic(), error) if self._asked else None
                raise

    def get_deferred_property(self, name: str) -> Callable[[], Any]:
        """Return what gives a property once it is needed: botocore asks for an account id in some endpoints."""
        return lambda: getattr(self.get_frozen_credentials(), name, None)

    def _current(self) -> ReadOnlyCredentials:
        try:
            frozen: ReadOnlyCredentials = self._loaded().get_frozen_credentials()
        except RefreshWithMFAUnsupportedError:
            self._credentials = None  # its session is over: a new one takes a new code
            frozen = self._loaded().get_frozen_credentials()
        remember(frozen)
        return frozen

    def _loaded(self) -> Any:
        self._credentials = self._credentials or self._load(self._ask_once)
        if self._credentials is None:
            raise NoCredentialsError
        return self._credentials

    def _ask_once(self, prompt: str) -> str:
        self._asked = True
        try:
            return ask(prompt)
        except NoCode as reason:
            self._asked = not isinstance(reason, NotAsked)
            raise self._without(prompt, reason) from None


def find_credentials(session: botocore.session.Session, region: str, ask_code: Ask) -> Credentials | None:
    """Return the credentials that botocore finds for a session's profile; None where there are none.

    A profile that takes an MFA code is used as the AWS CLI uses it, with its cache. Nothing else is written to disk.
    """
    cache = cli_cache() if mfa_device_of(session) else None
    resolver: Any = create_credential_resolver(session, cache=cache, region_name=region)
    resolver.get_provider("assume-role")._prompter = ask_code  # no parameter of the resolver's
    found: Credentials | None = resolver.load_credentials()
    return found


def mfa_device_of(session: botocore.session.Session) -> str | None:
    """Return the MFA device that a session's profile, or one that it starts from, asks a code of; None for none."""
    profiles: Mapping[str, Mapping[str, str]] = session.full_config["profiles"]
    profile, seen = str(session.get_config_variable("profile") or "default"), set[str]()
    while profile not in seen and "role_arn" in profiles.get(profile, {}):
        if device := profiles[profile].get("mfa_serial"):
            return device
        seen.add(profile)
        profile = profiles[profile].get("source_profile", profile)
    return None


def session_with_mfa(
    client: MakeClient, user: SourceCredentials, serial: str, ask_code: Ask, endpoint_url: str | None
) -> Credentials:
    """Return credentials of a user's session with MFA, with which any number of roles can be assumed."""

    def refresh() -> dict[str, Any]:
        return _SessionTokenFetcher(client, user, serial, ask_code, endpoint_url).fetch_credentials()

    return DeferredRefreshableCredentials(refresh_using=refresh, method="sts-get-session-token")


def role_credentials(
    client: MakeClient, source: SourceCredentials, role_arn: str, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Assume a role, and return its credentials as botocore's refreshable ones take them."""
    fetched: dict[str, Any] = AssumeRoleCredentialFetcher(
        client, source, role_arn, extra_args=dict(options)
    ).fetch_credentials()
    return fetched


def remember(credentials: ReadOnlyCredentials) -> None:
    """Keep the secrets of credentials out of everything that is written."""
    secrets.remember(credentials.secret_key)
    secrets.remember(credentials.token)


def tags(values: Mapping[str, str]) -> Sequence[Mapping[str, str]]:
    """Return session tags as STS takes them."""
    return [{"Key": key, "Value": value} for key, value in values.items()]


class _CliCache(JSONFileCache):
    """The AWS CLI's cache of sessions; a file that cannot be read or written is no reason to stop."""

    def __contains__(self, key: Any) -> bool:
        try:
            return bool(self[key]["Credentials"])
        except (KeyError, TypeError):
            return False

    def __setitem__(self, key: str, value: Any) -> None:
        with suppress(OSError):
            super().__setitem__(key, value)


def cli_cache() -> Any:
    """Return the folder of the AWS CLI's sessions, one file each, which its owner alone can read."""
    return _CliCache(str(Path("~/.aws/cli/cache").expanduser()))


class _SessionTokenFetcher(CachedCredentialFetcher):
    """Gets a session of a user by an MFA code, or the one that the cache has: botocore does so for roles only."""

    def __init__(
        self, client: MakeClient, user: SourceCredentials, serial: str, ask_code: Ask, endpoint_url: str | None
    ) -> None:
        self._client = client
        self._user = user.get_frozen_credentials()
        self._serial = serial
        self._ask_code = ask_code
        self._endpoint_url = endpoint_url
        super().__init__(cli_cache())

    def _create_cache_key(self) -> str:
        """As botocore's for roles: the SHA-1 of the parameters. Sessions of other endpoints have other keys."""
        parameters = {"SerialNumber": self._serial, "AccessKeyId": self._user.access_key}
        parameters |= {"EndpointUrl": self._endpoint_url} if self._endpoint_url else {}
        return hashlib.sha1(json.dumps(parameters, sort_keys=True).encode()).hexdigest()

    def _get_credentials(self) -> Any:
        code = self._ask_code(PROMPT.format(self._serial))
        client = self._client(
            "sts",
            aws_access_key_id=self._user.access_key,
            aws_secret_access_key=self._user.secret_key,
            aws_session_token=self._user.token,
        )
        return client.get_session_token(SerialNumber=self._serial, TokenCode=code)
