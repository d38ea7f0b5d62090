"""Which accounts there are and how each is reached: one YAML file, and the clients that are made from it."""

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError
from pydantic import AfterValidator, Field

from runbook.aws_errors import raise_unless_answered, refused_action
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
    is_account_id,
    load_yaml,
    matching,
    project_root,
    quoted,
    resolve_path,
    shortened,
    shown,
)

if TYPE_CHECKING:
    from botocore.model import OperationModel

    from runbook.sessions import Sessions


class AccountError(RunbookError):
    """An account cannot be reached, or is not the one it should be."""


MOST_ADDRESSES, MOST_UNREACHABLE = 100, 3
"""Maximum number of addresses out of messages that are opened in one run, and of those that may not be reachable: a
queue holds messages of 14 days, and genuine ones of that time name one or two certificates."""


class AddressError(RunbookError):
    """What is at an address of AWS's cannot be had. `refused` says that somebody answered there, and said no."""

    def __init__(self, message: str, *, refused: bool) -> None:
        self.refused = refused
        super().__init__(message)


class FetchOnce:
    """Fetches addresses that stand in messages anybody may have written, each once, and not any number of them.

    What is at an address is remembered, and that it could not be had as well.
    """

    def __init__(self, fetch: Callable[[str], bytes]) -> None:
        self._fetch = fetch
        self._lock = threading.Lock()
        self._found: dict[str, bytes | AddressError] = {}

    def __call__(self, url: str) -> bytes:
        """Return what is at `url`. Raises AddressError."""
        with self._lock:
            if url not in self._found:
                self._found[url] = self._fetched(url)
            found = self._found[url]
        if isinstance(found, AddressError):
            raise AddressError(str(found), refused=found.refused)
        return found

    def _fetched(self, url: str) -> bytes | AddressError:
        unreachable = [each for each in self._found.values() if isinstance(each, AddressError) and not each.refused]
        if len(unreachable) >= MOST_UNREACHABLE:
            return AddressError(f"{url} was not opened: {len(unreachable)} others could not be reached.", refused=True)
        if len(self._found) >= MOST_ADDRESSES:
            return AddressError(f"{url} was not opened: {MOST_ADDRESSES} others were before it.", refused=True)
        try:
            return self._fetch(url)
        except AddressError as error:
            return error


def _role_pattern(value: str) -> str:
    if not re.fullmatch(r"arn:aws[a-z-]*:iam::([0-9]{12}|\{account_id\}):role/[A-Za-z0-9_+=,.@/-]+", value):
        raise ValueError(f"is {quoted(value)}; a role's ARN was expected, where the account may be `{{account_id}}`.")
    return value


RolePattern = Annotated[str, AfterValidator(_role_pattern)]


def _endpoint(value: str) -> str:
    try:
        url = urlsplit(value)
        usable = url.scheme in ("http", "https") and url.hostname and url.port != 0 and "@" not in url.netloc
    except ValueError:  # a port that is no number, half an IPv6 address
        usable = False
    if not usable or url.path not in ("", "/") or url.query or url.fragment or re.search(r"[\s\\]", value):
        found = "holds a user name" if "@" in value else f"is {value!r}"
        raise ValueError(f"{found}; https://HOST or http://HOST was expected, with a port if there is one.")
    return value


Endpoint = Annotated[str, AfterValidator(_endpoint)]


def is_account_name(text: str) -> bool:
    """Return whether an environment may call an account so: never anything that could be taken for an account id."""
    return re.fullmatch("[A-Za-z][A-Za-z0-9_-]{0,63}", text) is not None


def _account_name(value: str) -> str:
    if not is_account_name(value):
        raise ValueError(
            f"{quoted(value)} is no name of an account: a letter, then up to 63 letters, digits, hyphens and "
            "underscores (a to z, 0 to 9)."
        )
    return value


AccountName = Annotated[str, AfterValidator(_account_name)]


_OF_STS = r"[A-Za-z0-9_+=,.@-]{2,64}"
ExternalId = Annotated[
    str, matching(r"[A-Za-z0-9_+=,.@:/-]{2,1224}", "an external id (2 to 1224 letters, digits and `_+=,.@:/-`)")
]
SessionName = Annotated[str, matching(_OF_STS, "a session name (2 to 64 letters, digits and `_+=,.@-`)")]
SourceIdentity = Annotated[
    str, matching(rf"(?!aws:){_OF_STS}", "a source identity (2 to 64 letters, digits and `_+=,.@-`)")
]
MfaSerial = Annotated[
    str,
    matching(
        r"[A-Za-z0-9_+=/:,.@-]{9,256}", "an MFA device (its ARN, arn:aws:iam::ACCOUNT_ID:mfa/NAME, or its number)"
    ),
]
TagKey = Annotated[
    str, matching(r"(?i:(?!aws:))[\w .:/=+@-]{1,128}", "a tag's key (1 to 128 characters, not beginning with `aws:`)")
]
TagValue = Annotated[str, matching(r"[\w .:/=+@-]{0,256}", "a tag's value (up to 256 characters)")]
"""Source of these: STS API reference, AssumeRole and GetSessionToken."""


class AccountEntry(Parameters):
    """One account of an environment and the way in, where it differs from the environment's own."""

    account_id: AccountId
    profile: str | None = None
    role_arn: RolePattern | None = None
    external_id: ExternalId | None = None


class EnvironmentFile(Parameters):
    """`params/environments/NAME.yaml`."""

    region: Region = Field(description="the Region bucketAV runs in")
    stack_name: StackName = Field("bucketav", description="the name of bucketAV's CloudFormation stack")
    profile: str | None = Field(None, description="the AWS profile to start from; none: boto3's default credentials")
    role_arn: RolePattern | None = Field(None, description="the role to assume in every account that names no other")
    external_id: ExternalId | None = Field(None, description="the external id that the roles' trust policies ask for")
    # A role's own maximum is an hour at least. botocore renews a session 15 minutes before its end.
    duration_seconds: int | None = Field(None, ge=1800, le=43200, description="how long a role's session lasts")
    role_session_name: SessionName | None = Field(
        None, description="the name of the roles' sessions; none: who works, and in which run"
    )
    source_identity: SourceIdentity | None = Field(None, description="the source identity of the roles' sessions")
    session_tags: dict[TagKey, TagValue] = Field({}, max_length=50, description="the tags of the roles' sessions")
    mfa_serial: MfaSerial | None = Field(
        None, description="the MFA device of the user to start from: its code is asked for once"
    )
    endpoint_url: Endpoint | None = Field(None, description="sends every call there instead of AWS")
    sandbox: bool = Field(False, description="the simulated organization; started when none is running")
    probe: bool = Field(False, description="verification may assume the scan role and read and tag one object a bucket")
    accounts: dict[AccountName, AccountEntry] = Field(
        description="accounts by what they are: `a` runs bucketAV, `b`, `c`, …"
    )


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
        self.run = ""
        self._lock = threading.RLock()
        self._clients: dict[tuple[str, str, str], Any] = {}
        self._assumed: set[str] = set()
        self._noting: list[set[Refusal]] = []

    def __repr__(self) -> str:
        accounts = ", ".join(f"{name} {entry.account_id}" for name, entry in self.file.accounts.items())
        return f"Environment {self.name}: bucketAV is stack {self.stack_name} in {self.region}; accounts {accounts}"

    def works_in(self, folder: Path) -> None:
        """Name the run whose folder this is in the sessions of roles that begin from now on."""
        inside = shown(folder).startswith("runs/")
        self.run = shown(folder).removeprefix("runs/") if inside else folder.name

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
        if is_account_id(name_or_id):
            return name_or_id
        raise AccountError(
            f"{self.where}: there is no account `{shortened(name_or_id)}`, and it is not an account id of 12 digits."
            f"{did_you_mean(name_or_id, list(self.file.accounts))}"
        )

    def account_name(self, account: str) -> str:
        """`222222222222 (b)` where the environment has a name for the account, else only the id."""
        names = [name for name, entry in self.file.accounts.items() if entry.account_id == account]
        return f"{account} ({', '.join(names)})" if names else account

    def regions(self) -> list[str]:
        """The Regions there are to choose from, as botocore knows them: the environment's own first."""
        return self._sessions.regions()

    def client(self, service: str, account: str, region: str | None = None) -> Any:
        """A boto3 client for `service`, acting in `account` (12 digits), in `region` or bucketAV's own.

        Raises AccountError when the credentials cannot be used, or belong to another account. The client itself raises
        it, instead of sending a call, when its credentials have changed to another account's since.
        """
        region = region or self.region
        self.identity(account)
        with self._lock:
            key = (service, account, region)
            if key not in self._clients:
                client = self._sessions.client(self._sessions.of(account), service, region)
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

    def _note_refusal(self, account: str, *, parsed: Mapping[str, Any], model: "OperationModel", **_: Any) -> None:
        service = model.service_model.signing_name
        if action := refused_action(service, model.name, parsed):
            for noted in self._noting:
                noted.add(Refusal(account, action))

    def identity(self, account: str) -> Identity:
        """Who we are in `account`. Raises AccountError when it cannot be reached, or is another account."""
        with self._lock:
            self._sessions.of(account)
            credentials = self._sessions.credentials[account]
        # Each account is asked about by itself: hundreds of them would otherwise wait for each other.
        return self._sessions.verify(credentials, account)

    def caller(self) -> Identity:
        """Return the identity of the credentials to start from, before any role. Raises AccountError."""
        return self._sessions.caller()

    def log_in(self) -> None:
        """Ask now for the MFA codes that the environment's credentials take, unless a session is remembered.

        The sessions are remembered for other processes too. Without MFA, nothing is called. Raises AccountError.
        """
        self._sessions.log_in()

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
        the role's trust policy, or our own, does not allow it, or when the session is another role's.
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
        found = str(answer["AssumedRoleUser"]["Arn"])
        if not _is_session_of(found, role_arn):
            raise AccountError(
                f"{role_arn} was to be assumed from account {self.account_name(account)}, but the session is {found}. "
                "No call was made with it."
            )
        self._assumed.add(answer["Credentials"]["AccessKeyId"])
        return _as_client_arguments(answer["Credentials"])

    def client_as(self, credentials: Mapping[str, Any], service: str, region: str) -> Any:
        """A client with the credentials that `assume` returned. Raises AccountError for any others."""
        if credentials.get("aws_access_key_id") not in self._assumed:
            raise AccountError("These credentials are no role's that was assumed here. No call was made with them.")
        return self._sessions.client_as(credentials, service, region)

    def anonymous_client(self, service: str, region: str) -> Any:
        """A client whose calls are not signed: for what anybody may read."""
        return self._sessions.anonymous_client(service, region)

    def fetch(self, url: str) -> bytes:
        """What is at an https address of AWS's that takes no credentials; nothing is followed anywhere else.

        As with all calls, an environment with an endpoint of its own asks there, naming the host; and trouble on the
        way or on the other side is reason to ask again. Raises AddressError.
        """
        return self._sessions.fetch(url)

    @cached_property
    def fetch_once(self) -> "FetchOnce":
        """`fetch` for addresses out of messages: each is opened once in a run, and not any number of them."""
        return FetchOnce(self.fetch)

    @cached_property
    def _sessions(self) -> "Sessions":
        # botocore takes half a second to import; a form that somebody is waiting for needs none of it.
        from runbook.sessions import Sessions

        return Sessions(self)


def load_environment(name: str) -> Environment:
    """The environment `params/environments/NAME.yaml`, or the one in a file when `name` is a path to a `.yaml`.

    Raises ParameterError for an unknown name or a damaged file.
    """
    path = environment_path(name)
    where = shown(path)
    file = build(EnvironmentFile, load_yaml(path), where)
    return make_environment(path.stem if path.parent == _folder() else where, file, where)


def environment_path(name: str) -> Path:
    """Return the file of an environment, by its name or the path to it. Raises ParameterError for what is neither."""
    if name.endswith((".yaml", ".yml")):
        return resolve_path(name)
    if not re.fullmatch("[A-Za-z0-9_][A-Za-z0-9_. -]*", name):
        raise ParameterError(
            [f"environment {quoted(name)}: write the name of a file in params/environments, or a path to a `.yaml`."]
        )
    return _folder() / f"{name}.yaml"


def make_environment(name: str, file: EnvironmentFile, where: str) -> Environment:
    """Return the environment that a file describes. Raises ParameterError for what its keys cannot say together."""
    if "a" not in file.accounts:
        raise ParameterError([f"{where}: `accounts` has no `a`, the account that runs bucketAV."])
    if problems := [*_confusable(file.accounts, where), *_without_role(file, where)]:
        raise ParameterError(problems)
    if file.sandbox and (file.endpoint_url or file.profile):
        raise ParameterError([f"{where}: `sandbox: true` brings its own endpoint and credentials; leave out yours."])
    return Environment(name, file, where)


def _confusable(accounts: Mapping[str, AccountEntry], where: str) -> Iterator[str]:
    """Names that could be taken for each other, and accounts with two ways in, of which only one would be used."""
    by_name: dict[str, str] = {}
    by_id: dict[str, str] = {}
    for name, entry in accounts.items():
        first = by_name.setdefault(name.lower(), name)
        if first != name:
            yield f"{where}: `accounts` has `{first}` and `{name}`, which differ in upper and lower case only."
        first = by_id.setdefault(entry.account_id, name)
        if accounts[first] != entry:
            yield (
                f"{where}: `accounts.{first}` and `accounts.{name}` are both account {entry.account_id}, with "
                "different ways in. Give both the same `profile`, `role_arn` and `external_id`, or remove one."
            )


def _without_role(file: EnvironmentFile, where: str) -> Iterator[str]:
    """Name the keys that are for sessions of roles, where no role is assumed: they would do nothing."""
    if not file.role_arn and not any(entry.role_arn for entry in file.accounts.values()):
        given = file.model_dump(exclude_defaults=True)
        for key in ("external_id", "duration_seconds", "role_session_name", "source_identity", "session_tags"):
            if key in given:
                yield f"{where}: `{key}` is for roles, and there is no `role_arn`. Name the role, or remove `{key}`."
    for name, entry in file.accounts.items():
        if entry.external_id and not entry.role_arn and (entry.profile or not file.role_arn):
            yield (
                f"{where}: `accounts.{name}.external_id` is for a role, and the account is reached by none. Name its "
                "`role_arn`, or remove `external_id`."
            )


def environment_names() -> list[str]:
    """The environments there are to choose from, the sandbox first."""
    names = sorted(path.stem for path in _folder().glob("*.yaml"))
    return sorted(names, key=lambda name: name != "sandbox")


def _folder() -> Path:
    return project_root() / "params" / "environments"


def _wait_for_turn(account: str, **_: Any) -> None:
    """Every attempt of a call waits, those of credentials left out: they go to another account, and are few."""
    wait_for_turn(account)


def _is_session_of(session_arn: str, role_arn: str) -> bool:
    """Return whether `arn:aws:sts::ACCOUNT:assumed-role/NAME/SESSION` is of a role, whose path it leaves out."""
    account, role = role_arn.split(":", 5)[4:]
    return session_arn.split(":")[4:] == [account, f"assumed-role/{role.rpartition('/')[2]}/runbook-probe"]


def _as_client_arguments(credentials: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "aws_access_key_id": credentials["AccessKeyId"],
        "aws_secret_access_key": credentials["SecretAccessKey"],
        "aws_session_token": credentials["SessionToken"],
    }
