"""The way into each account through boto3: a session for each, the clients made from it, and who we are there.

Apart from the environment because botocore takes half a second to import: nobody who reads a form waits for it.
"""

import re
import time
from collections.abc import Mapping
from copy import copy
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
import botocore.loaders
import botocore.session
from botocore import UNSIGNED
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import DeferredRefreshableCredentials
from botocore.exceptions import BotoCoreError, ClientError
from botocore.hooks import HierarchicalEmitter
from botocore.httpsession import URLLib3Session
from botocore.utils import get_environ_proxies

from runbook import __version__
from runbook.aws_errors import in_words, unanswered
from runbook.environment import AccountError, AddressError, Identity
from runbook.progress import WORKERS
from runbook.untrusted import prose, text

if TYPE_CHECKING:
    from runbook.environment import Environment

ATTEMPTS = 8
"""How often a call is tried in all; the waits between add up to about a minute."""

FETCH_SECONDS, FETCH_ATTEMPTS = 10, 3
"""How long to wait for what is at an address, and how often it is asked for in all."""


class Sessions:
    """How the accounts of an environment are reached. Nothing is called before it has to be."""

    def __init__(self, environment: "Environment") -> None:
        self._environment = environment
        self.made: dict[str, boto3.Session] = {}

    def of(self, account: str) -> boto3.Session:
        """The session of an account (12 digits), made once."""
        if account not in self.made:
            entry = next(
                (entry for entry in self._environment.file.accounts.values() if entry.account_id == account), None
            )
            if entry and entry.profile:
                session = _session_of_profile(entry.profile)
            elif pattern := (entry and entry.role_arn) or self._default_role(account):
                session = self._assumed_session(pattern.format(account_id=account), account)
            else:
                session = self._base_session
            self.made[account] = session
        return self.made[account]

    def client_as(self, credentials: Mapping[str, Any], service: str, region: str) -> Any:
        """A client with the credentials that a role's session has, as keyword arguments of boto3's session."""
        session = boto3.Session(**credentials, botocore_session=session_without_profile())
        return self.client(session, service, region)

    def anonymous_client(self, service: str, region: str) -> Any:
        """A client whose calls are not signed."""
        # Some credentials, so that none are looked for all over the machine.
        session = boto3.Session("none", "none", botocore_session=session_without_profile())
        return self.client(session, service, region, UNSIGNED)

    def regions(self) -> list[str]:
        """The Regions of the environment's partition, as botocore knows them: the environment's own first."""
        session = boto3.Session(botocore_session=session_without_profile())
        partition = session.get_partition_for_region(self._environment.region)
        others = {*session.get_available_regions("s3", partition)} - {self._environment.region}
        return [self._environment.region, *sorted(others)]

    def client(self, session: boto3.Session, service: str, region: str, signature: Any = None) -> Any:
        """A new client of a session, with the package's own settings."""
        config = Config(
            signature_version=signature,
            # "adaptive" also sends less as long as AWS says that it is too much, for all threads of a client together.
            retries={"mode": "adaptive", "total_max_attempts": ATTEMPTS},
            max_pool_connections=WORKERS,
            user_agent_extra=f"bucketav-runbook/{__version__}",
            connect_timeout=10,
            read_timeout=60,
        )
        client = session.client(
            service,  # type: ignore[call-overload]
            region_name=region,
            endpoint_url=self._endpoint_url,
            config=config,
        )
        if self._endpoint_url:
            # S3 Control puts the account id in front of the host, which only AWS's own hosts answer to.
            client.meta.events.register("before-sign.s3-control", _without_account_in_host)
        return client

    def ask_identity(self, session: boto3.Session, expected: str | None) -> Identity:
        """Who a session's credentials are. Raises AccountError unless they are in the account that is `expected`."""
        where, name = self._environment.where, self._environment.account_name
        try:
            answer = self.client(session, "sts", self._environment.region).get_caller_identity()
        except (ClientError, BotoCoreError) as error:
            who = f"account {name(expected)}" if expected else "the credentials to start from"
            advice = (
                "Log in (for example `aws sso login --profile NAME`), or name another `profile` or `role_arn` there."
            )
            raise AccountError(f"{where}: {who} cannot be used. {_with_advice(error, advice)}") from None
        identity = Identity(answer["Account"], answer["Arn"])
        if expected and identity.account != expected:
            raise AccountError(
                f"{where}: the credentials for account {name(expected)} belong to account "
                f"{identity.account} ({identity.arn}). Correct its `account_id`, `profile` or `role_arn`; "
                "nothing was called in it."
            )
        return identity

    def fetch(self, url: str) -> bytes:
        """What is at an address. Raises AddressError."""
        parts = urlsplit(url)
        if parts.scheme != "https":
            raise AddressError(f"{url} is not an https address; it was not opened.", refused=False)
        asked = url if not self._endpoint_url else self._endpoint_url + url.removeprefix(f"https://{parts.netloc}")
        request = AWSRequest("GET", asked, headers={"Host": parts.netloc})
        session = URLLib3Session(proxies=get_environ_proxies(asked), timeout=FETCH_SECONDS)
        problem = AddressError(url, refused=False)
        for attempt in range(FETCH_ATTEMPTS):
            time.sleep(attempt)
            try:
                answer = session.send(request.prepare())
            except BotoCoreError as error:
                problem = AddressError(
                    f"{url} has to be reachable from here, and is not: {prose(error)}", refused=False
                )
                continue
            if answer.status_code == 200:
                return bytes(answer.content)
            refused = 400 <= answer.status_code < 500
            problem = AddressError(f"{url} answers with status {answer.status_code}.", refused=refused)
            if refused:
                break
        raise problem

    def _default_role(self, account: str) -> str | None:
        """The role for accounts that name none; not for the account that the base credentials belong to already."""
        if self._environment.file.role_arn is None or self._base_identity.account == account:
            return None
        return self._environment.file.role_arn

    @cached_property
    def _base_session(self) -> boto3.Session:
        if self._sandbox:
            return boto3.Session(
                aws_access_key_id=self._sandbox.access_key_id,
                aws_secret_access_key=self._sandbox.secret_access_key,
                botocore_session=session_without_profile(),
            )
        return _session_of_profile(self._environment.file.profile)

    @cached_property
    def _base_identity(self) -> Identity:
        return self.ask_identity(self._base_session, None)

    def _assumed_session(self, role_arn: str, account: str) -> boto3.Session:
        """A session whose credentials are fetched at the first call and renewed before they expire."""
        sts = self.client(self._base_session, "sts", self._environment.region)

        def refresh() -> dict[str, str]:
            try:
                answer = sts.assume_role(RoleArn=role_arn, RoleSessionName="bucketav-runbook")
            except (ClientError, BotoCoreError) as error:
                name, where = self._environment.account_name(account), self._environment.where
                advice = (
                    f"The role has to exist and to trust {self._base_identity.arn}; "
                    f"another role or profile for the account goes into {where}."
                )
                told = f"Account {name} cannot be reached: assuming {role_arn} failed. "
                raise AccountError(told + _with_advice(error, advice)) from None
            granted = answer["Credentials"]
            return {
                "access_key": granted["AccessKeyId"],
                "secret_key": granted["SecretAccessKey"],
                "token": granted["SessionToken"],
                "expiry_time": granted["Expiration"].isoformat(),
            }

        session = session_without_profile()
        # botocore offers no public way to give a session credentials that renew themselves.
        session._credentials = DeferredRefreshableCredentials(  # type: ignore[attr-defined]
            refresh_using=refresh, method="sts-assume-role"
        )
        return boto3.Session(botocore_session=session)

    @property
    def _endpoint_url(self) -> str | None:
        return self._sandbox.endpoint_url if self._sandbox else self._environment.file.endpoint_url

    @cached_property
    def _sandbox(self) -> Any:
        if not self._environment.file.sandbox:
            return None
        # moto takes a second to import, and real accounts never need it.
        from runbook.sandbox import server

        try:
            return server.running() or server.start()
        except server.SandboxError as error:
            raise AccountError(str(error)) from None


def _session_of_profile(profile: str | None) -> boto3.Session:
    """A session of an AWS profile, or of boto3's default credentials; nothing is read before the first client."""
    return boto3.Session(botocore_session=_sharing_models(botocore.session.Session(profile=profile)))


def session_without_profile() -> botocore.session.Session:
    """A botocore session that does not look at AWS_PROFILE: a profile of this machine has no say in it."""
    session = botocore.session.Session(
        session_vars={"profile": (None, None, None, None)},
        event_hooks=copy(_handlers()),
        include_builtin_handlers=False,
    )
    return _sharing_models(session)


@cache
def _handlers() -> HierarchicalEmitter:
    """botocore's own handlers, which take longer to register than to copy: once for hundreds of accounts."""
    handlers = HierarchicalEmitter()
    botocore.session.Session(event_hooks=handlers)
    return handlers


def _sharing_models(session: botocore.session.Session) -> botocore.session.Session:
    """Read the services' models, megabytes of JSON, once for all accounts instead of once for each."""
    session.register_component("data_loader", _loader())
    return session


@cache
def _loader() -> botocore.loaders.Loader:
    return botocore.loaders.create_loader()


def _with_advice(error: ClientError | BotoCoreError, advice: str) -> str:
    """What went wrong and what to do about it: `advice`, unless AWS has not answered at all."""
    told = text(error) if isinstance(error, ClientError) else prose(error)
    return str(in_words(error)) if unanswered(error) else f"{told}\n{advice}"


def _without_account_in_host(request: Any, **_: Any) -> None:
    request.url = re.sub(r"//\d{12}\.", "//", request.url)
