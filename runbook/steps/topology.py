"""Who can be scanned right now: accounts, how each is connected, and for every bucket whether bucketAV reads it.

One look that only reads; every answer is worked out from the live documents, as the verifications do.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from runbook import markdown
from runbook.aws.cloudformation import Stack
from runbook.aws.connections import Connection, connections_or_problem
from runbook.aws.iam import RoleError
from runbook.aws.kms import Key
from runbook.aws.organizations import MANAGEMENT, ControlPolicies, Organization, read_organization
from runbook.aws.s3 import Bucket, BucketError, bucket_names
from runbook.checks import Check, Checks, Status
from runbook.environment import AccountError, Environment
from runbook.policy.evaluate import Decision, Verdict
from runbook.progress import Progress, in_parallel, silent
from runbook.steps.add_ons_state import connection_role
from runbook.steps.allowlist_state import Lists, lists_of
from runbook.steps.bucket_access import DECRYPT, Caller, Documents, decide, read_caller
from runbook.steps.bucket_look import Problem, key_name, look_at_buckets, look_at_keys
from runbook.steps.connection_access import key_document
from runbook.steps.connection_checks import version_check
from runbook.steps.inventory import Target
from runbook.steps.merging import body
from runbook.steps.openings import read_bucketav
from runbook.steps.scan_access import READ
from runbook.untrusted import NOTHING, Untrusted, text

MOST_ACCOUNTS = 24
"""So many accounts are looked into; of the others it is only said how many they are."""

MOST_BUCKETS = 40
"""So many buckets of an account are looked at, in the order of their names."""

ASKED = ("s3:ListBucket", READ[0])
"""What it takes to scan a bucket; with a key, decrypting as well."""


class Way(StrEnum):
    """How an account stands to bucketAV."""

    HOME = "runs bucketAV"
    CONNECTED = "connected by IAM role"
    ALLOWLISTED = "allowlisted, not connected"
    APART = "not allowlisted"


class Reach(StrEnum):
    """How bucketAV gets at the files of a bucket."""

    HOME = "same account"
    ROLE = "by IAM role"
    POLICY = "by bucket policy"
    NONE = "not reachable"
    UNKNOWN = "not known"


class Encryption(StrEnum):
    """What encrypts new files of a bucket by default."""

    PLAIN = "S3"
    CUSTOMER = "a key of the customer"
    AWS = "AWS's own key"


@dataclass(frozen=True)
class BucketState:
    """A bucket, who lets bucketAV at its files, and why so. `encryption` is None where the bucket cannot be read."""

    name: str
    reach: Reach
    why: str
    encryption: Encryption | None


@dataclass(frozen=True)
class AccountState:
    """An account: what the environment and the organization call it (empty where they do not), and its buckets.

    `caller` is the ARN of who looks into it; `unseen` is how many more buckets it has; `problem` says why it cannot be
    looked into, empty where it can.
    """

    id: str
    label: str
    name: Untrusted
    active: bool
    way: Way
    caller: str = ""
    buckets: tuple[BucketState, ...] = ()
    unseen: int = 0
    problem: str = ""

    @property
    def title(self) -> str:
        """`b (uploads)`, or the id where nobody calls it anything."""
        first, *others = dict.fromkeys(part for part in (self.label, f"{self.name}") if part) or [self.id]
        return f"{first} ({others[0]})" if others else first

    def count(self, *reaches: Reach) -> int:
        """How many of its buckets are reached so."""
        return sum(bucket.reach in reaches for bucket in self.buckets)


@dataclass(frozen=True)
class Topology:
    """Everything one look found. `accounts` begins with account a; `unseen` is how many more are connected or listed.

    `organization` is None where account a is in none, or may not ask; `problems` is what could not be read.
    """

    environment: str
    region: str
    stack: Stack
    lists: Lists
    organization: Organization | None
    managed: bool
    accounts: tuple[AccountState, ...]
    unseen: int
    problems: tuple[str, ...]

    @property
    def by_role_possible(self) -> bool:
        """Whether bucketAV is new enough for connections by IAM role."""
        return version_check(self.stack, needed=True).status is Status.OK

    @property
    def checks(self) -> Checks:
        """Whether the environment can be worked with: bucketAV is found, and every account can be looked into."""
        return Checks.of(_checks(self))

    def account(self, identifier: str) -> AccountState | None:
        """An account by its id; None where it was not looked at."""
        return next((each for each in self.accounts if each.id == identifier), None)


def read_topology(environment: Environment, progress: Progress = silent) -> Topology:
    """Look at bucketAV and at every account that the environment, the allowlist or a connection names.

    Raises StackError, AccountError or AwsRefused when bucketAV's own account cannot be read; what stands against a
    single account or bucket is told of it.
    """
    stack = read_bucketav(environment)
    organization = read_organization(environment, environment.account_a)
    problems: dict[str, str] = {}
    found = connections_or_problem(environment, problems) or ()
    connections = [each for each in found if each.names_account]
    if others := [each.account for each in found if not each.names_account]:
        problems["items"] = f"bucketAV's table of connections has an item for {others[0]}, which is no account."
    connected = {each.account for each in connections if each.region == environment.region}
    lists = lists_of(stack.parameters)
    known = _known(environment, lists, connections)
    seen = known[:MOST_ACCOUNTS]
    listed = dict(zip(seen, _bucket_lists(environment, seen, progress), strict=True))
    look = _look(environment, stack, connected, listed, progress)
    return Topology(
        environment=environment.name,
        region=environment.region,
        stack=stack,
        lists=lists,
        organization=organization,
        managed=MANAGEMENT in environment.file.accounts,
        accounts=tuple(_account(environment, organization, lists, connected, listed[each], look) for each in seen),
        unseen=len(known) - len(seen),
        problems=tuple(problems.values()),
    )


def _checks(topology: Topology) -> Iterable[Check]:
    stack = topology.stack
    yield Check("bucketAV is installed", stack.name, Status.OK, f"{stack.product}, {stack.status}, {topology.region}.")
    yield version_check(stack, needed=False)
    title = "The account can be looked into"
    for account in topology.accounts:
        found, *more = account.problem.splitlines() or [
            f"As {text('/'.join(account.caller.split(':')[-1].split('/')[:2]))}."
        ]
        named = Status.FAILED if account.label else Status.WARNING
        yield Check(title, account.title, named if account.problem else Status.OK, found, " ".join(more))
    title = "The organization can be asked"
    own = topology.organization
    if own is None:
        yield Check(title, "account a", Status.WARNING, "It is in none, or may not ask.", "Stack sets need one.")
    elif own.members is None:
        found = "Its accounts cannot be listed."
        yield Check(title, own.id, Status.WARNING, found, "Name the `management` account in the environment.")
    else:
        yield Check(title, own.id, Status.OK, f"{markdown.count(len(own.members), 'account')}.")
    for problem in topology.problems:
        yield Check("Connections can be read", stack.name, Status.WARNING, problem)


# --- which accounts and buckets there are ----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Listed:
    """An account and the names of its buckets, or why they cannot be listed."""

    account: str
    caller: str
    buckets: tuple[str, ...]
    problem: str = ""

    @property
    def targets(self) -> tuple[Target, ...]:
        return tuple(Target(account=self.account, bucket=name) for name in self.buckets[:MOST_BUCKETS])


def _known(environment: Environment, lists: Lists, connections: Iterable[Connection]) -> list[str]:
    """Account a, the others of the environment in their order, then those that only bucketAV knows."""
    named = [entry.account_id for entry in environment.file.accounts.values()]
    return list(
        dict.fromkeys([environment.account_a, *named, *(each.account for each in connections), *lists.accounts])
    )


def _bucket_lists(environment: Environment, accounts: Sequence[str], progress: Progress) -> list[_Listed]:
    def list_(account: str) -> _Listed:
        caller = ""
        try:
            caller = environment.identity(account).arn
            return _Listed(account, caller, tuple(bucket_names(environment, account)))
        except (AccountError, BucketError) as error:
            return _Listed(account, caller, (), str(error))

    return in_parallel(list_, accounts, what="accounts looked into", progress=progress)


# --- who reads a bucket ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Look:
    """The buckets by account and name, their keys, and the roles that may get at them."""

    buckets: Mapping[tuple[str, str], Bucket | Problem]
    keys: Mapping[tuple[str, str], tuple[Key | None, str]]
    scan: Caller | None
    by_role: Mapping[str, Caller | str]
    problem: str


def _look(
    environment: Environment,
    stack: Stack,
    connected: set[str],
    listed: Mapping[str, _Listed],
    progress: Progress,
) -> _Look:
    targets = [target for each in listed.values() for target in each.targets]
    found = look_at_buckets(environment, targets, progress)
    with_key = look_at_keys(environment, [key_name(each) for each in found if isinstance(each, Bucket)], progress)
    buckets = {(target.account, target.bucket): each for target, each in zip(targets, found, strict=True)}
    policies = ControlPolicies(environment)
    reachable = [each.account for each in listed.values() if not each.problem]
    scan, problem = _scan_role(environment, stack, reachable, policies)

    def connection(account: str) -> Caller | str:
        try:
            return read_caller(environment, connection_role(environment, account), [account], policies)
        except (RoleError, AccountError) as error:
            return str(error)

    with_role = [each for each in reachable if each in connected]
    return _Look(
        buckets=buckets,
        keys={name: with_key(key_name(each)) for name, each in buckets.items() if isinstance(each, Bucket)},
        scan=scan,
        by_role=dict(zip(with_role, in_parallel(connection, with_role), strict=True)),
        problem=problem,
    )


def _scan_role(
    environment: Environment, stack: Stack, accounts: Sequence[str], policies: ControlPolicies
) -> tuple[Caller | None, str]:
    try:
        return read_caller(environment, stack.output("ScanRoleArn"), accounts, policies), ""
    except RoleError as error:
        return None, str(error)


def _account(
    environment: Environment,
    organization: Organization | None,
    lists: Lists,
    connected: set[str],
    listed: _Listed,
    look: _Look,
) -> AccountState:
    account = listed.account
    labels = [label for label, entry in environment.file.accounts.items() if entry.account_id == account]
    name, status = ((organization.members if organization else None) or {}).get(account, (NOTHING, "ACTIVE"))
    return AccountState(
        id=account,
        label=labels[0] if labels else "",
        name=name,
        active=status == "ACTIVE",
        way=_way(environment, organization, lists, connected, account),
        caller=listed.caller,
        buckets=tuple(_bucket(environment, look, account, target.bucket) for target in listed.targets),
        unseen=len(listed.buckets) - len(listed.targets),
        problem=listed.problem,
    )


def _way(
    environment: Environment, organization: Organization | None, lists: Lists, connected: set[str], account: str
) -> Way:
    if account == environment.account_a:
        return Way.HOME
    if account in connected:
        return Way.CONNECTED
    # Where the members cannot be listed, nobody is taken for one.
    members = (organization.members or {}) if organization and organization.id in lists.organizations else {}
    return Way.ALLOWLISTED if account in lists.accounts or account in members else Way.APART


def _bucket(environment: Environment, look: _Look, account: str, name: str) -> BucketState:
    bucket = look.buckets[account, name]
    if isinstance(bucket, Problem):
        return BucketState(name, Reach.UNKNOWN, bucket.found, None)
    key, problem = look.keys[account, name]
    encryption = _encryption(bucket, key)
    if problem:
        return BucketState(name, Reach.UNKNOWN, problem, encryption)
    ways: list[tuple[Reach, Caller | str]] = []
    if role := look.by_role.get(account):
        ways.append((Reach.ROLE, role))
    ways.append((Reach.HOME if account == environment.account_a else Reach.POLICY, look.scan or look.problem))
    undecided, denied = "", ""
    for reach, caller in ways:
        if isinstance(caller, str):
            undecided = undecided or caller
            continue
        decision = _scanning(caller, bucket, key)
        if decision.allowed:
            return BucketState(name, reach, decision.reason, encryption)
        if decision.verdict is Verdict.INDETERMINATE:
            undecided = undecided or decision.reason
        denied = denied or decision.reason
    return BucketState(name, Reach.UNKNOWN if undecided else Reach.NONE, undecided or denied, encryption)


def _scanning(caller: Caller, bucket: Bucket, key: Key | None) -> Decision:
    """Whether a role can do all that scanning takes: the answer that stands against it, or the last one."""
    documents = Documents(body(bucket.policy), key_document(key) if key else None)
    decision = Decision(Verdict.DENIED, "")
    for action in (*ASKED, *([DECRYPT] if key else [])):
        decision = decide(caller, bucket, key, documents, action)
        if not decision.allowed:
            break
    return decision


def _encryption(bucket: Bucket, key: Key | None) -> Encryption:
    if bucket.key is None:
        return Encryption.PLAIN
    return Encryption.AWS if not bucket.key or (key is not None and key.aws_managed) else Encryption.CUSTOMER
