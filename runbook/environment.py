"""Which accounts there are and how each is reached: one YAML file, and the sessions and clients made from it."""

import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Annotated, Any
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
from botocore.model import OperationModel
from botocore.utils import get_environ_proxies
from pydantic import AfterValidator, Field

from runbook import __version__
from runbook.aws_errors import in_words, raise_unless_answered, refused_action, unanswered
from runbook.call_limit import wait_for_turn
from runbook.errors import RunbookError
from runbook.parameters import (
    AccountId,
    ParameterError,
    Parameters,
    Region,
    StackName,
    build,
    did_you_mean,
    load_yaml,
    project_root,
    resolve_path,
    shown,
)
from runbook.progress import WORKERS

ATTEMPTS = 8
"""How often a call is tried in all; the waits between add up to about a minute."""

FETCH_SECONDS, FETCH_ATTEMPTS = 10, 3
"""How long to wait for what is at an address, and how often it is asked for in all."""


class AccountError(RunbookError):
    """An account cannot be reached, or is not the one it should be."""


class AddressError(RunbookError):
    """What is at an address of AWS's cannot be had. `refused` says that somebody answered there, and said no."""

    def __init__(self, message: str, *, refused: bool) -> None:
        self.refused = refused
        super().__init__(message)


def _role_pattern(value: str) -> str:
    if not re.fullmatch(r"arn:aws[a-z-]*:iam::(\d{12}|\{account_id\}):role/[\w+=,.@/-]+", value):
        raise ValueError(f"is {value!r}; a role's ARN was expected, where the account may be `{{account_id}}`.")
    return value


RolePattern = Annotated[str, AfterValidator(_role_pattern)]


class AccountEntry(Parameters):
    """One account of an environment and the way in, where it differs from the environment's own."""

    account_id: AccountId
    profile: str | None = None
    role_arn: RolePattern | None = None


class EnvironmentFile(Parameters):
    """`params/environments/NAME.yaml`."""

    region: Region = Field(description="the Region bucketAV runs in")
    stack_name: StackName = Field("bucketav", description="the name of bucketAV's CloudFormation stack")
    profile: str | None = Field(None, description="the AWS profile to start from; none: boto3's default credentials")
    role_arn: RolePattern | None = Field(None, description="the role to assume in every account that names no other")
    endpoint_url: str | None = Field(None, description="sends every call there instead of AWS")
    sandbox: bool = Field(False, description="the simulated organization; started when none is running")
    probe: bool = Field(False, description="verification may assume the scan role and read and tag one object a bucket")
    accounts: dict[str, AccountEntry] = Field(description="accounts by what they are: `a` runs bucketAV, `b`, `c`, …")


@dataclass(frozen=True)
class Identity:
    """Who the credentials for an account are, as STS says."""

    account: str
    arn: str

    @property
    def partition(self) -> str:
        """`aws`, `aws-us-gov` or `aws-cn`: the second part of every ARN of this account."""
        return self.arn.split(":")[1]


@dataclass(frozen=True, order=True)
class Refusal:
    """What our credentials in an account may not do: an IAM action, such as `s3:GetBucketPolicy`."""

    account: str
    action: str


class Environment:
    """An environment file brought to life: account names, identities, and one cached client per service and account.

    Nothing is called before the first `client` or `identity`, but the sandbox is started if the file asks for it.
    """

    def __init__(self, name: str, file: EnvironmentFile, where: str) -> None:
        self.name = name
        self.file = file
        self.where = where
        self.region = file.region
        self.stack_name = file.stack_name
        self._lock = threading.RLock()
        self._asking: dict[str, threading.Lock] = {}
        self._sessions: dict[str, boto3.Session] = {}
        self._clients: dict[tuple[str, str, str], Any] = {}
        self._identities: dict[str, Identity] = {}
        self._noting: list[set[Refusal]] = []

    def __repr__(self) -> str:
        accounts = ", ".join(f"{name} {entry.account_id}" for name, entry in self.file.accounts.items())
        return f"Environment {self.name}: bucketAV is stack {self.stack_name} in {self.region}; accounts {accounts}"

    @property
    def account_a(self) -> str:
        """The id of the account that runs bucketAV."""
        return self.account_id("a")

    @cached_property
    def partition(self) -> str:
        """The partition of account a, taken from its caller's identity."""
        return self.identity(self.account_a).partition

    def account_id(self, name_or_id: str) -> str:
        """The 12 digits for a name of this environment (`b`), or for themselves. Raises AccountError otherwise."""
        if name_or_id in self.file.accounts:
            return self.file.accounts[name_or_id].account_id
        if re.fullmatch(r"\d{12}", name_or_id):
            return name_or_id
        raise AccountError(
            f"{self.where}: there is no account `{name_or_id}`, and it is not an account id of 12 digits."
            f"{did_you_mean(name_or_id, list(self.file.accounts))}"
        )

    def account_name(self, account: str) -> str:
        """`222222222222 (b)` where the environment has a name for the account, else only the id."""
        names = [name for name, entry in self.file.accounts.items() if entry.account_id == account]
        return f"{account} ({names[0]})" if names else account

    def regions(self) -> list[str]:
        """The Regions there are to choose from, as botocore knows them: the environment's own first."""
        session = boto3.Session(botocore_session=_session_without_profile())
        partition = session.get_partition_for_region(self.region)
        return [self.region, *sorted({*session.get_available_regions("s3", partition)} - {self.region})]

    def client(self, service: str, account: str, region: str | None = None) -> Any:
        """A boto3 client for `service`, acting in `account` (12 digits), in `region` or bucketAV's own."""
        region = region or self.region
        with self._lock:
            key = (service, account, region)
            if key not in self._clients:
                client = self._make_client(self._session(account), service, region)
                client.meta.events.register("before-send", partial(_wait_for_turn, account))
                client.meta.events.register("after-call", partial(self._note_refusal, account))
                self._clients[key] = client
            return self._clients[key]

    @contextmanager
    def noting_refusals(self) -> Iterator[set[Refusal]]:
        """Inside, the set is filled with what a client of an account was not allowed to do, whoever dealt with it."""
        noted: set[Refusal] = set()
        self._noting.append(noted)
        try:
            yield noted
        finally:
            self._noting[:] = [each for each in self._noting if each is not noted]

    def _note_refusal(self, account: str, *, parsed: Mapping[str, Any], model: OperationModel, **_: Any) -> None:
        service = model.service_model.signing_name
        if action := refused_action(service, model.name, parsed):
            for noted in self._noting:
                noted.add(Refusal(account, action))

    def identity(self, account: str) -> Identity:
        """Who we are in `account`. Raises AccountError when it cannot be reached, or is another account."""
        with self._lock:
            session, asking = self._session(account), self._asking.setdefault(account, threading.Lock())
        # Each account is asked about by itself: hundreds of them would otherwise wait for each other.
        with asking:
            if account not in self._identities:
                self._identities[account] = self._ask_identity(session, account)
            return self._identities[account]

    def assume(
        self,
        role_arn: str,
        account: str,
        *,
        credentials: Mapping[str, Any] | None = None,
        external_id: str = "",
    ) -> dict[str, Any]:
        """Keyword arguments for a client that acts as `role_arn`, assumed from `account`.

        `credentials`: of another role that was assumed before, and from which this one is. Raises AccountError when
        the role's trust policy, or our own, does not allow it.
        """
        sts = self.client_as(credentials, "sts", self.region) if credentials else self.client("sts", account)
        named = {"ExternalId": external_id} if external_id else {}
        try:
            answer = sts.assume_role(RoleArn=role_arn, RoleSessionName="runbook-probe", **named)
        except ClientError as error:
            raise_unless_answered(error)
            raise AccountError(
                f"{role_arn} cannot be assumed from account {self.account_name(account)}. {error}"
            ) from None
        return _as_client_arguments(answer["Credentials"])

    def client_as(self, credentials: Mapping[str, Any], service: str, region: str) -> Any:
        """A client with the credentials that `assume` returned."""
        session = boto3.Session(**credentials, botocore_session=_session_without_profile())
        return self._make_client(session, service, region)

    def anonymous_client(self, service: str, region: str) -> Any:
        """A client whose calls are not signed: for what anybody may read."""
        # Some credentials, so that none are looked for all over the machine.
        session = boto3.Session("none", "none", botocore_session=_session_without_profile())
        return self._make_client(session, service, region, UNSIGNED)

    def fetch(self, url: str) -> bytes:
        """What is at an https address of AWS's that takes no credentials; nothing is followed anywhere else.

        As with all calls, an environment with an endpoint of its own asks there, naming the host; and trouble on the
        way or on the other side is reason to ask again. Raises AddressError.
        """
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
                problem = AddressError(f"{url} has to be reachable from here, and is not: {error}", refused=False)
                continue
            if answer.status_code == 200:
                return bytes(answer.content)
            refused = 400 <= answer.status_code < 500
            problem = AddressError(f"{url} answers with status {answer.status_code}.", refused=refused)
            if refused:
                break
        raise problem

    # --- how an account is reached ---

    def _make_client(self, session: boto3.Session, service: str, region: str, signature: Any = None) -> Any:
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

    def _session(self, account: str) -> boto3.Session:
        if account not in self._sessions:
            entry = next((entry for entry in self.file.accounts.values() if entry.account_id == account), None)
            if entry and entry.profile:
                session = _session_of_profile(entry.profile)
            elif pattern := (entry and entry.role_arn) or self._default_role(account):
                session = self._assumed_session(pattern.format(account_id=account), account)
            else:
                session = self._base_session
            self._sessions[account] = session
        return self._sessions[account]

    def _default_role(self, account: str) -> str | None:
        """The role for accounts that name none; not for the account that the base credentials belong to already."""
        if self.file.role_arn is None or self._base_identity.account == account:
            return None
        return self.file.role_arn

    @cached_property
    def _base_session(self) -> boto3.Session:
        if self._sandbox:
            return boto3.Session(
                aws_access_key_id=self._sandbox.access_key_id,
                aws_secret_access_key=self._sandbox.secret_access_key,
                botocore_session=_session_without_profile(),
            )
        return _session_of_profile(self.file.profile)

    @cached_property
    def _base_identity(self) -> Identity:
        return self._ask_identity(self._base_session, None)

    def _assumed_session(self, role_arn: str, account: str) -> boto3.Session:
        """A session whose credentials are fetched at the first call and renewed before they expire."""
        sts = self._make_client(self._base_session, "sts", self.region)

        def refresh() -> dict[str, str]:
            try:
                answer = sts.assume_role(RoleArn=role_arn, RoleSessionName="bucketav-runbook")
            except (ClientError, BotoCoreError) as error:
                told = f"Account {self.account_name(account)} cannot be reached: assuming {role_arn} failed. "
                raise AccountError(
                    told
                    + _with_advice(
                        error,
                        f"The role has to exist and to trust {self._base_identity.arn}; "
                        f"another role or profile for the account goes into {self.where}.",
                    )
                ) from None
            granted = answer["Credentials"]
            return {
                "access_key": granted["AccessKeyId"],
                "secret_key": granted["SecretAccessKey"],
                "token": granted["SessionToken"],
                "expiry_time": granted["Expiration"].isoformat(),
            }

        session = _session_without_profile()
        # botocore offers no public way to give a session credentials that renew themselves.
        session._credentials = DeferredRefreshableCredentials(  # type: ignore[attr-defined]
            refresh_using=refresh, method="sts-assume-role"
        )
        return boto3.Session(botocore_session=session)

    def _ask_identity(self, session: boto3.Session, expected: str | None) -> Identity:
        try:
            answer = self._make_client(session, "sts", self.region).get_caller_identity()
        except (ClientError, BotoCoreError) as error:
            who = f"account {self.account_name(expected)}" if expected else "the credentials to start from"
            advice = (
                "Log in (for example `aws sso login --profile NAME`), or name another `profile` or `role_arn` there."
            )
            raise AccountError(f"{self.where}: {who} cannot be used. {_with_advice(error, advice)}") from None
        identity = Identity(answer["Account"], answer["Arn"])
        if expected and identity.account != expected:
            raise AccountError(
                f"{self.where}: the credentials for account {self.account_name(expected)} belong to account "
                f"{identity.account} ({identity.arn}). Correct its `account_id`, `profile` or `role_arn`; "
                "nothing was called in it."
            )
        return identity

    @property
    def _endpoint_url(self) -> str | None:
        return self._sandbox.endpoint_url if self._sandbox else self.file.endpoint_url

    @cached_property
    def _sandbox(self) -> Any:
        if not self.file.sandbox:
            return None
        # moto takes a second to import, and real accounts never need it.
        from runbook.sandbox import server

        try:
            return server.running() or server.start()
        except server.SandboxError as error:
            raise AccountError(str(error)) from None


def load_environment(name: str) -> Environment:
    """The environment `params/environments/NAME.yaml`, or the one in a file when `name` is a path to a `.yaml`.

    Raises ParameterError for an unknown name or a damaged file.
    """
    path = resolve_path(name) if name.endswith((".yaml", ".yml")) else _folder() / f"{name}.yaml"
    where = shown(path)
    file = build(EnvironmentFile, load_yaml(path), where)
    if "a" not in file.accounts:
        raise ParameterError([f"{where}: `accounts` has no `a`, the account that runs bucketAV."])
    if file.sandbox and (file.endpoint_url or file.profile):
        raise ParameterError([f"{where}: `sandbox: true` brings its own endpoint and credentials; leave out yours."])
    return Environment(path.stem if path.parent == _folder() else where, file, where)


def environment_names() -> list[str]:
    """The environments there are to choose from, the sandbox first."""
    names = sorted(path.stem for path in _folder().glob("*.yaml"))
    return sorted(names, key=lambda name: name != "sandbox")


def _folder() -> Path:
    return project_root() / "params" / "environments"


def _session_of_profile(profile: str | None) -> boto3.Session:
    """A session of an AWS profile, or of boto3's default credentials; nothing is read before the first client."""
    return boto3.Session(botocore_session=_sharing_models(botocore.session.Session(profile=profile)))


def _session_without_profile() -> botocore.session.Session:
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
    return str(in_words(error)) if unanswered(error) else f"{error}\n{advice}"


def _wait_for_turn(account: str, **_: Any) -> None:
    """Every attempt of a call waits, those of credentials left out: they go to another account, and are few."""
    wait_for_turn(account)


def _without_account_in_host(request: Any, **_: Any) -> None:
    request.url = re.sub(r"//\d{12}\.", "//", request.url)


def _as_client_arguments(credentials: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "aws_access_key_id": credentials["AccessKeyId"],
        "aws_secret_access_key": credentials["SecretAccessKey"],
        "aws_session_token": credentials["SessionToken"],
    }
