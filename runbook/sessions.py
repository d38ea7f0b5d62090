"""The way into each account through boto3: a session for each, the clients made from it, and who we are there.

Apart from the environment because botocore takes half a second to import: nobody who reads a form waits for it.
"""

import re
import threading
import time
from collections.abc import Callable, Mapping
from copy import copy
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
import botocore.loaders
import botocore.session
from botocore import UNSIGNED
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import (
    Credentials,
    DeferredRefreshableCredentials,
    ReadOnlyCredentials,
    create_credential_resolver,
)
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from botocore.hooks import HierarchicalEmitter
from botocore.httpsession import URLLib3Session
from botocore.parsers import ResponseParserError
from botocore.utils import get_environ_proxies

from runbook import __version__, responses, secrets
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


class AccountCredentials:
    """The credentials of one account, which sign nothing before STS has named that account as theirs.

    Credentials can change from one call to the next: a profile's process, a renewed login. STS is asked once about each
    set, by its access key id, and whoever needs the same answer waits for it. botocore signs every attempt of every
    call with what `get_frozen_credentials` returns, so that what was verified is what signs. An exception there ends
    the call before it is sent, and botocore does not retry it.
    """

    def __init__(
        self,
        account: str,
        load: Callable[[], Credentials | None],
        ask: Callable[[ReadOnlyCredentials], Identity],
        belong_elsewhere: Callable[[Identity], AccountError],
    ) -> None:
        self.identity: Identity | None = None
        self._account = account
        self._load = load
        self._ask = ask
        self._belong_elsewhere = belong_elsewhere
        self._lock = threading.RLock()
        self._credentials: Credentials | None = None
        self._identities: dict[str, Identity] = {}

    def load_credentials(self) -> "AccountCredentials":
        """Stand in for botocore's search for credentials, which comes later."""
        return self

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """Return credentials to sign with. Raises AccountError when they belong to another account."""
        frozen = self._found().get_frozen_credentials()
        _remember(frozen)
        key = str(frozen.access_key)
        if key not in self._identities:
            with self._lock:
                if key not in self._identities:
                    self._identities[key] = self._ask(frozen)
        identity = self._identities[key]
        if identity.account != self._account:
            raise self._belong_elsewhere(identity)
        self.identity = identity
        return frozen

    def get_deferred_property(self, name: str) -> Callable[[], Any]:
        """Return what gives a property once it is needed: botocore asks for an account id in some endpoints."""
        return lambda: getattr(self._found(), name, None)

    def verify(self) -> Identity:
        """Return the identity that was verified last, after a first verification. Raises AccountError."""
        if self.identity is None:
            with self._lock:
                if self.identity is None:
                    self.get_frozen_credentials()
        assert self.identity is not None
        return self.identity

    def _found(self) -> Credentials:
        """Return the credentials that are verified, found when they are needed first."""
        with self._lock:
            self._credentials = self._credentials or self._load()
            if self._credentials is None:
                raise NoCredentialsError
            return self._credentials


class Sessions:
    """How the accounts of an environment are reached. Nothing is called before it has to be."""

    def __init__(self, environment: "Environment") -> None:
        self._environment = environment
        self._sessions: dict[str, boto3.Session] = {}
        self.credentials: dict[str, AccountCredentials] = {}
        secrets.guard()

    def of(self, account: str) -> boto3.Session:
        """The session of an account (12 digits), made once. Its credentials sign for no other account."""
        if account not in self._sessions:
            entry = next(
                (entry for entry in self._environment.file.accounts.values() if entry.account_id == account), None
            )
            load: Callable[[], Credentials | None]
            if entry and entry.profile:
                source, session = f"profile `{entry.profile}`", _session_of_profile(entry.profile)
                load = partial(_find_credentials, session)
            elif pattern := (entry and entry.role_arn) or self._default_role(account):
                role = pattern.format(account_id=account)
                source, session = f"role {role}", session_without_profile()
                load = partial(self._assumed_credentials, role, account)
            else:
                source, session = self._base_source, self._session_to_start_from()
                load = self._base_session.get_credentials
            # AccountCredentials stand where this session would look for credentials of its own.
            made = boto3.Session(botocore_session=session)
            self.credentials[account] = AccountCredentials(
                account,
                load,
                lambda frozen: self._ask_identity(made, frozen, account),
                partial(self._of_another_account, account, source),
            )
            session.register_component("credential_provider", self.credentials[account])
            self._sessions[account] = made
        return self._sessions[account]

    def verify(self, credentials: AccountCredentials, account: str) -> Identity:
        """Return the identity of an account's credentials. Raises AccountError unless it is that account's."""
        try:
            return credentials.verify()
        except (ClientError, BotoCoreError, ResponseParserError) as error:
            raise self._unusable(account, error) from None

    def client_as(self, credentials: Mapping[str, Any], service: str, region: str) -> Any:
        """A client with the credentials that a role's session has, as keyword arguments of boto3's session."""
        for name in ("aws_secret_access_key", "aws_session_token"):
            secrets.remember(credentials.get(name))
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

    def client(
        self,
        session: boto3.Session,
        service: str,
        region: str,
        signature: Any = None,
        credentials: ReadOnlyCredentials | None = None,
    ) -> Any:
        """A new client of a session, with the package's own settings, and exactly these credentials if any are given.

        Only `Environment` and this class call this: they know whose credentials a session has.
        """
        own = credentials or ReadOnlyCredentials(None, None, None)
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
            aws_access_key_id=own.access_key,
            aws_secret_access_key=own.secret_key,
            aws_session_token=own.token,
        )
        responses.watch(client)
        client.meta.events.register("before-sign", partial(_remember_credentials, session))
        if self._endpoint_url:
            # S3 Control puts the account id in front of the host, which only AWS's own hosts answer to.
            client.meta.events.register("before-sign.s3-control", _without_account_in_host)
        return client

    def _ask_identity(
        self, session: boto3.Session, credentials: ReadOnlyCredentials | None, account: str | None
    ) -> Identity:
        """Ask STS whose these credentials of a session are: the only call that is made before it is known."""
        try:
            answer = self.client(
                session, "sts", self._environment.region, credentials=credentials
            ).get_caller_identity()
        except (ClientError, BotoCoreError, ResponseParserError) as error:
            raise self._unusable(account, error) from None
        return Identity(answer["Account"], answer["Arn"])

    def _unusable(self, account: str | None, error: ClientError | BotoCoreError | ResponseParserError) -> AccountError:
        who = f"account {self._environment.account_name(account)}" if account else "the credentials to start from"
        advice = "Log in (for example `aws sso login --profile NAME`), or name another `profile` or `role_arn` there."
        return AccountError(f"{self._environment.where}: {who} cannot be used. {_with_advice(error, advice)}")

    def _of_another_account(self, account: str, source: str, found: Identity) -> AccountError:
        where, name = self._environment.where, self._environment.account_name
        return AccountError(
            f"{where}: the credentials for account {name(account)} belong to account {name(found.account)} "
            f"({found.arn}). They come from {source}. Correct the account's `account_id`, `profile` or `role_arn` in "
            f"{where}, or log in to account {account}. No call was made with these credentials."
        )

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
        session = self._session_to_start_from()
        if self._sandbox:
            session.set_credentials(self._sandbox.access_key_id, self._sandbox.secret_access_key)
        return boto3.Session(botocore_session=session)

    def _session_to_start_from(self) -> botocore.session.Session:
        return session_without_profile() if self._sandbox else _session_of_profile(self._environment.file.profile)

    @property
    def _base_source(self) -> str:
        profile = self._environment.file.profile
        return f"profile `{profile}`" if profile else "boto3's default credentials (AWS_PROFILE, AWS_ACCESS_KEY_ID, …)"

    @cached_property
    def _base_identity(self) -> Identity:
        return self._ask_identity(self._base_session, None, None)

    def _assumed_credentials(self, role_arn: str, account: str) -> Credentials:
        """Credentials that are fetched at the first call and renewed before they expire."""
        sts = self.client(self._base_session, "sts", self._environment.region)

        def refresh() -> dict[str, str]:
            try:
                answer = sts.assume_role(RoleArn=role_arn, RoleSessionName="bucketav-runbook")
            except (ClientError, BotoCoreError, ResponseParserError) as error:
                name, where = self._environment.account_name(account), self._environment.where
                advice = (
                    f"The role has to exist and to trust {self._base_identity.arn}; "
                    f"another role or profile for the account goes into {where}."
                )
                told = f"Account {name} cannot be reached: assuming {role_arn} failed. "
                raise AccountError(told + _with_advice(error, advice)) from None
            granted = answer["Credentials"]
            secrets.remember(granted["SecretAccessKey"])
            secrets.remember(granted["SessionToken"])
            return {
                "access_key": granted["AccessKeyId"],
                "secret_key": granted["SecretAccessKey"],
                "token": granted["SessionToken"],
                "expiry_time": granted["Expiration"].isoformat(),
            }

        return DeferredRefreshableCredentials(refresh_using=refresh, method="sts-assume-role")

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


def _session_of_profile(profile: str | None) -> botocore.session.Session:
    """A session of an AWS profile, or of boto3's default credentials; nothing is read before the first client."""
    return _sharing_models(botocore.session.Session(profile=profile))


def _find_credentials(session: botocore.session.Session) -> Credentials | None:
    """Search for credentials where botocore does."""
    return create_credential_resolver(session).load_credentials()


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
    """Read the services' models, megabytes of JSON, once for all accounts, and answers with parsers that are quick."""
    session.register_component("data_loader", loader())
    session.register_component("response_parser_factory", responses.parsers())
    return session


@cache
def loader() -> botocore.loaders.Loader:
    return botocore.loaders.create_loader()


def _with_advice(error: ClientError | BotoCoreError | ResponseParserError, advice: str) -> str:
    """What went wrong and what to do about it: `advice`, unless AWS has not answered at all."""
    told = text(error) if isinstance(error, ClientError) else prose(error)
    return str(in_words(error)) if unanswered(error) else f"{told}\n{advice}"


def _remember_credentials(session: boto3.Session, *, signature_version: Any, **_: Any) -> None:
    """Know the secrets that a call is signed with, wherever they came from, before there is an answer to tell of."""
    credentials: Any = None if signature_version is UNSIGNED else session.get_credentials()
    # Those of an account are remembered when they sign, and what is asked about them is signed by themselves.
    if credentials and not isinstance(credentials, AccountCredentials):
        _remember(credentials.get_frozen_credentials())


def _remember(credentials: ReadOnlyCredentials) -> None:
    secrets.remember(credentials.secret_key)
    secrets.remember(credentials.token)


def _without_account_in_host(request: Any, **_: Any) -> None:
    request.url = re.sub(r"//[0-9]{12}\.", "//", request.url)
