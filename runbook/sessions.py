"""The way into each account through boto3: a session for each, the clients made from it, and who we are there.

Apart from the environment because botocore takes half a second to import: nobody who reads a form waits for it.
"""

import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from copy import copy
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
import botocore.loaders
import botocore.session
from botocore import UNSIGNED
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials, DeferredRefreshableCredentials, ReadOnlyCredentials
from botocore.exceptions import BotoCoreError, ClientError, ProfileNotFound, SSLError
from botocore.hooks import HierarchicalEmitter
from botocore.httpsession import URLLib3Session
from botocore.parsers import ResponseParserError
from botocore.utils import get_environ_proxies

from runbook import __version__, commands, responses, secrets
from runbook.aws_errors import in_words, unanswered
from runbook.credentials import (
    SourceCredentials,
    find_credentials,
    mfa_device_of,
    remember,
    role_credentials,
    session_with_mfa,
    tags,
)
from runbook.environment import AccountError, AddressError, Identity
from runbook.mfa import Ask, NoCode
from runbook.progress import WORKERS
from runbook.untrusted import prose, text

if TYPE_CHECKING:
    from runbook.environment import AccountEntry, Environment

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
        load: Callable[[], Any],
        ask: Callable[[ReadOnlyCredentials], Identity],
        belong_elsewhere: Callable[[Identity], AccountError],
    ) -> None:
        self.identity: Identity | None = None
        self._account = account
        self._load = load
        self._ask = ask
        self._belong_elsewhere = belong_elsewhere
        self._lock = threading.RLock()
        self._credentials: Any = None
        self._identities: dict[str, Identity] = {}

    def load_credentials(self) -> "AccountCredentials":
        """Stand in for botocore's search for credentials, which comes later."""
        return self

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """Return credentials to sign with. Raises AccountError when they belong to another account."""
        frozen: ReadOnlyCredentials = self._found().get_frozen_credentials()
        remember(frozen)
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

    def _found(self) -> Any:
        """Return the credentials that are verified, found when they are needed first."""
        with self._lock:
            self._credentials = self._credentials or self._load()
            return self._credentials


@dataclass(frozen=True)
class _Source:
    """Where credentials come from: `name` in words, a session of it, and the credentials that it has."""

    name: str
    session: boto3.Session
    credentials: SourceCredentials


class Sessions:
    """How the accounts of an environment are reached. Nothing is called before it has to be."""

    def __init__(self, environment: "Environment") -> None:
        self._environment = environment
        self._lock = threading.RLock()
        self._sources: dict[str | None, _Source] = {}
        self._identities: dict[str | None, Identity] = {}
        self._sessions: dict[str, boto3.Session] = {}
        self.credentials: dict[str, AccountCredentials] = {}
        secrets.guard()

    def of(self, account: str) -> boto3.Session:
        """The session of an account (12 digits), made once. Its credentials sign for no other account."""
        if account not in self._sessions:
            entry = self._entry(account)
            profile = (entry and entry.profile) or self._environment.file.profile
            source, role = self._source(profile), self._role(entry, account)
            load: Callable[[], Any] = (
                partial(self._assume, profile, role, account) if role else lambda: source.credentials
            )
            session = self._new_session(profile)
            # AccountCredentials stand where this session would look for credentials of its own.
            made = boto3.Session(botocore_session=session)
            self.credentials[account] = AccountCredentials(
                account,
                load,
                lambda frozen: self._ask_identity(made, frozen, account),
                partial(self._of_another_account, account, f"role {role}" if role else source.name),
            )
            session.register_component("credential_provider", self.credentials[account])
            self._sessions[account] = made
        return self._sessions[account]

    def caller(self) -> Identity:
        """Return the identity of the credentials to start from. Raises AccountError."""
        return self._identity_of(self._environment.file.profile)

    def log_in(self) -> None:
        """Obtain all credentials that take an MFA code, so that nobody is asked later. Raises AccountError."""
        file = self._environment.file
        if file.sandbox:
            return
        own = [entry.profile for entry in file.accounts.values()]
        starts = [file.profile] if file.role_arn or None in own else []
        for profile in dict.fromkeys([*starts, *filter(None, own)]):
            with suppress(ProfileNotFound):  # said of each account that is to be reached by it
                source = self._source(profile)
                if self._mfa_device(profile, source):
                    self._identity_of(profile)

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
        session = boto3.Session(**credentials, botocore_session=self._new_session(self._settings))
        return self.client(session, service, region)

    def anonymous_client(self, service: str, region: str) -> Any:
        """A client whose calls are not signed."""
        # Some credentials, so that none are looked for all over the machine.
        session = boto3.Session("none", "none", botocore_session=self._new_session(self._settings))
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
            proxies={} if self._sandbox else None,
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
        client.meta.events.register_first("needs-retry", _not_for_a_certificate)
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
        if "MultiFactorAuthentication" in str(error):
            advice = "Each MFA code is valid once: wait for the device's next one, then try again."
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
        session = URLLib3Session(
            proxies={} if self._sandbox else get_environ_proxies(asked),
            timeout=FETCH_SECONDS,
            verify=self._trusted_certificates(url),
        )
        problem = AddressError(url, refused=False)
        for attempt in range(FETCH_ATTEMPTS):
            time.sleep(attempt)
            try:
                answer = session.send(request.prepare())
            except BotoCoreError as error:
                problem = _unreachable(url, error)
                if isinstance(error, SSLError):
                    break
                continue
            if answer.status_code == 200:
                return bytes(answer.content)
            refused = 400 <= answer.status_code < 500
            problem = AddressError(f"{url} answers with status {answer.status_code}.", refused=refused)
            if refused:
                break
        raise problem

    def _trusted_certificates(self, url: str) -> Any:
        """Return the file of certificates to trust, as botocore's clients find it; True for botocore's own."""
        try:
            own = self._new_session(self._settings).get_config_variable("ca_bundle")
        except BotoCoreError as error:
            raise _unreachable(url, error) from None
        return str(own or os.environ.get("REQUESTS_CA_BUNDLE", "")) or True

    def _entry(self, account: str) -> "AccountEntry | None":
        entries = self._environment.file.accounts.values()
        return next((entry for entry in entries if entry.account_id == account), None)

    def _role(self, entry: "AccountEntry | None", account: str) -> str | None:
        """The role to assume in an account: its own, or the default for accounts that name no way in.

        Not for the account that the credentials to start from belong to already.
        """
        if entry and entry.role_arn:
            return entry.role_arn.format(account_id=account)
        default = self._environment.file.role_arn
        if default is None or (entry and entry.profile) or self.caller().account == account:
            return None
        return default.format(account_id=account)

    def _source(self, profile: str | None) -> _Source:
        """One source for each profile, None for boto3's default credentials, whatever uses it."""
        with self._lock:
            if profile not in self._sources:
                self._sources[profile] = self._new_source(profile)
            return self._sources[profile]

    def _new_source(self, profile: str | None) -> _Source:
        session = self._new_session(profile)
        made = boto3.Session(botocore_session=session)
        credentials = SourceCredentials(partial(self._find_credentials, session), self._without_code)
        if profile == self._environment.file.profile and (serial := self._environment.file.mfa_serial):
            with_mfa = partial(
                session_with_mfa, partial(self._sts, made), credentials, serial, endpoint_url=self._endpoint_url
            )
            credentials = SourceCredentials(lambda ask_code: with_mfa(ask_code=ask_code), self._without_code)
        session.register_component("credential_provider", credentials)
        default = "boto3's default credentials (AWS_PROFILE, AWS_ACCESS_KEY_ID, …)"
        return _Source(f"profile `{profile}`" if profile else default, made, credentials)

    def _find_credentials(self, session: botocore.session.Session, ask_code: Ask) -> Credentials | None:
        if self._sandbox:
            return Credentials(self._sandbox.access_key_id, self._sandbox.secret_access_key)
        return find_credentials(session, self._environment.region, ask_code)

    def _without_code(self, prompt: str, reason: NoCode) -> AccountError:
        device = prompt.removeprefix("Enter MFA code for ").removesuffix(": ")
        test = commands.span("environment", "test", self._environment.name)
        return AccountError(
            f"{self._environment.where}: an MFA code of {text(device)} is needed. {reason} Or run {test} in a "
            "terminal. It asks for the code once, and the session is remembered until it expires, for notebooks and "
            "batches too."
        )

    def _mfa_device(self, profile: str | None, source: _Source) -> str | None:
        """The MFA device whose code the credentials of a source take."""
        own = self._environment.file.mfa_serial if profile == self._environment.file.profile else None
        return own or (None if self._sandbox else mfa_device_of(source.session._session))

    def _identity_of(self, profile: str | None) -> Identity:
        with self._lock:
            if profile not in self._identities:
                self._identities[profile] = self._ask_identity(self._source(profile).session, None, None)
            return self._identities[profile]

    def _assume(self, profile: str | None, role_arn: str, account: str) -> Credentials:
        """Credentials of a role that are fetched at the first call and renewed before they expire."""
        source = self._source(profile)

        def refresh() -> dict[str, Any]:
            try:
                options = self._session_options(account, self._identity_of(profile))
                granted = role_credentials(partial(self._sts, source.session), source.credentials, role_arn, options)
            except (ClientError, BotoCoreError, ResponseParserError) as error:
                raise self._not_assumed(role_arn, account, self._identity_of(profile), error) from None
            remember(ReadOnlyCredentials(granted["access_key"], granted["secret_key"], granted["token"]))
            return granted

        return DeferredRefreshableCredentials(refresh_using=refresh, method="sts-assume-role")

    def _session_options(self, account: str, caller: Identity) -> dict[str, Any]:
        """The parameters of AssumeRole besides the role."""
        file, entry = self._environment.file, self._entry(account)
        options = {
            "ExternalId": (entry and entry.external_id) or file.external_id,
            "DurationSeconds": file.duration_seconds,
            "RoleSessionName": file.role_session_name or session_name(caller, self._environment.run),
            "SourceIdentity": file.source_identity,
            "Tags": tags(file.session_tags),
        }
        return {name: value for name, value in options.items() if value}

    def _not_assumed(self, role_arn: str, account: str, caller: Identity, error: Exception) -> AccountError:
        name, where = self._environment.account_name(account), self._environment.where
        advice = (
            f"The role has to exist and to trust {caller.arn}; another role or profile for the account goes into "
            f"{where}, and so does what the role's trust policy asks for: `external_id`, `source_identity`, "
            "`session_tags`, `mfa_serial`."
        )
        return AccountError(
            f"Account {name} cannot be reached: assuming {role_arn} failed. {_with_advice(error, advice)}"
        )

    def _sts(self, session: boto3.Session, service: str, **keys: str | None) -> Any:
        """A client with these credentials, made as botocore's fetchers ask for it."""
        own = ReadOnlyCredentials(keys["aws_access_key_id"], keys["aws_secret_access_key"], keys["aws_session_token"])
        return self.client(session, service, self._environment.region, credentials=own)

    @property
    def _settings(self) -> str | None:
        """The profile whose settings (`ca_bundle`, …) count where no account is asked."""
        file = self._environment.file
        return file.profile or file.accounts["a"].profile

    def _new_session(self, profile: str | None) -> botocore.session.Session:
        return session_without_profile() if self._sandbox else _session_of_profile(profile)

    @property
    def _endpoint_url(self) -> str | None:
        return self._sandbox.endpoint_url if self._sandbox else self._environment.file.endpoint_url

    @cached_property
    def _sandbox(self) -> Any:
        if not self._environment.file.sandbox:
            return None
        # moto takes a second to import, and real accounts never need it.
        from runbook import running_sandbox
        from runbook.sandbox.server import SandboxError

        try:
            return running_sandbox.find_or_start()
        except SandboxError as error:
            raise AccountError(str(error)) from None


def profile_names() -> list[str]:
    """Return the AWS profiles of this machine."""
    return sorted(botocore.session.Session().available_profiles)


def session_name(caller: Identity, run: str) -> str:
    """Return the name of a role's session: who works, and in which run, where there is one.

    Source: STS API reference, AssumeRole, RoleSessionName: 2 to 64 letters, digits and `_+=,.@-`.
    """
    who = re.sub(r"[^\w+=,.@-]", "-", re.split("[:/]", caller.arn)[-1], flags=re.ASCII)
    return "-".join(filter(None, ["runbook", who[:24], re.sub(r"[^\w+=,.@-]", "-", run, flags=re.ASCII)]))[:64]


def _session_of_profile(profile: str | None) -> botocore.session.Session:
    """A session of an AWS profile, or of boto3's default credentials; nothing is read before the first client."""
    return _sharing_models(
        botocore.session.Session(profile=profile, event_hooks=copy(_handlers()), include_builtin_handlers=False)
    )


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


def _unreachable(url: str, error: BotoCoreError) -> AddressError:
    told = in_words(error) if isinstance(error, SSLError) else prose(error)
    return AddressError(f"{url} has to be reachable from here, and is not: {told}", refused=False)


def _not_for_a_certificate(caught_exception: Exception | None = None, **_: Any) -> None:
    """End a call at a certificate that is not trusted: it will not be at the next attempt either."""
    if isinstance(caught_exception, SSLError):
        raise caught_exception


def _with_advice(error: Exception, advice: str) -> str:
    """What went wrong and what to do about it: `advice`, unless AWS has not answered at all."""
    told = text(error) if isinstance(error, ClientError) else prose(error)
    return str(in_words(error)) if unanswered(error) else f"{told}\n{advice}"


def _remember_credentials(session: boto3.Session, *, signature_version: Any, **_: Any) -> None:
    """Know the secrets that a call is signed with, wherever they came from, before there is an answer to tell of."""
    credentials: Any = None if signature_version is UNSIGNED else session.get_credentials()
    # Those of an account or a source are remembered when they sign; they sign themselves what is asked about them.
    if credentials and not isinstance(credentials, AccountCredentials | SourceCredentials):
        remember(credentials.get_frozen_credentials())


def _without_account_in_host(request: Any, **_: Any) -> None:
    request.url = re.sub(r"//[0-9]{12}\.", "//", request.url)
