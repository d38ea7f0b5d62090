"""Add-ons and their buckets as they are: one look at AWS, then values."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cached_property

from runbook.aws.add_ons import ROLE_OUTPUTS, AddOn, Installed, read_add_ons
from runbook.aws.bucket_traits import Traits, read_traits
from runbook.aws.cloudformation import Stack
from runbook.aws.connections import Connection, ConnectionsUnreadable, read_connections, role_name
from runbook.aws.iam import RoleError
from runbook.aws.kms import Key
from runbook.aws.organizations import ControlPolicies
from runbook.aws.s3 import Bucket
from runbook.environment import AccountError, Environment
from runbook.policy import document
from runbook.policy.statements import Mode
from runbook.progress import Progress, in_parallel
from runbook.steps.add_on_parts import Kind, Part
from runbook.steps.add_on_situations import SCHEDULED, Found, Need, Owner, find_situation
from runbook.steps.bucket_access import Caller, Documents, read_caller
from runbook.steps.bucket_look import KeyName, Problem, key_name, look_at_buckets, look_at_keys
from runbook.steps.inventory import KeyPolicyChoice, Target
from runbook.steps.merging import MODES, body, parsed
from runbook.steps.openings import read_bucketav, switched


@dataclass(frozen=True)
class Wish:
    """What a run is about, with account ids filled in."""

    sources: tuple[Target, ...]
    targets: tuple[Target, ...]
    add_ons: tuple[str, ...]
    remove: tuple[str, ...]
    mode: Mode
    key_policy: KeyPolicyChoice


@dataclass(frozen=True)
class Route:
    """An add-on's way from a source to a target, and the situation that it is in."""

    add_on: AddOn
    source: str
    target: str
    found: Found
    wanted: bool = True

    @property
    def name(self) -> str:
        """`bucketav-quarantine: 222222222222/uploads-b → 333333333333/quarantine-c`."""
        ways = {"source": self.source or "any source", "target": self.target}
        return f"{self.add_on.stack.name}: " + " → ".join(way for way in ways.values() if way)


@dataclass(frozen=True)
class BucketKey:
    """A key that the bucket's files are encrypted with: new ones, or only some that are there."""

    key: Key | None
    problem: str
    default: bool


@dataclass(frozen=True)
class Site:
    """One bucket as it is, what is done with it, and what is not to be done with it any more."""

    address: str
    bucket: Bucket
    traits: Traits
    keys: tuple[BucketKey, ...]
    parts: tuple[Part, ...]
    unwanted: tuple[Part, ...] = ()

    def keys_for(self, part: Part) -> tuple[BucketKey, ...]:
        """The keys that a part uses: to write the one for new files, to read all."""
        if not part.key_actions:
            return ()
        return tuple(each for each in self.keys if each.default or not part.is_target)

    def with_policies(self, policies: Mapping[str, str | None]) -> "Site":
        """The same with other policies, by the ARN of bucket or key; where none is given, it keeps its own."""
        keys = tuple(
            replace(each, key=replace(each.key, policy=policies[each.key.arn]))
            if each.key and each.key.arn in policies
            else each
            for each in self.keys
        )
        bucket = self.bucket
        if bucket.arn in policies:
            bucket = replace(bucket, policy=policies[bucket.arn])
        return replace(self, bucket=bucket, keys=keys)

    def documents(self, key: Key | None = None) -> Documents:
        """What decides over the bucket, and over one of its keys."""
        return Documents(body(self.bucket.policy), body(key.policy if key else None))

    def without(self, routes: Iterable[str]) -> "Site":
        """The same without the parts that only these routes need."""
        left_out = set(routes)
        return replace(self, parts=tuple(part for part in self.parts if not set(part.routes) <= left_out))


@dataclass(frozen=True)
class State:
    """Everything one look found. `connections` is None where they cannot be read; `roles` says for the ARN of each role
    that cannot be read why. `environment` is the name of the environment.
    """

    environment: str
    stack: Stack
    wish: Wish
    installed: Installed
    connections: tuple[Connection, ...] | None
    routes: tuple[Route, ...]
    sites: tuple[Site, ...]
    problems: tuple[Problem, ...]
    callers: Mapping[str, Caller]
    roles: Mapping[str, str]
    connections_problem: str = ""
    unfit: tuple[AddOn, ...] = field(default=())

    @cached_property
    def scan_role(self) -> str:
        """The ARN of bucketAV's scan role."""
        return self.stack.output("ScanRoleArn")


def observe(environment: Environment, wish: Wish, progress: Progress) -> State:
    """Look at bucketAV, its add-ons and connections, and at every bucket, role and key once, many at a time.

    Raises StackError or AccountError when bucketAV itself cannot be read.
    """
    stack = read_bucketav(environment)
    installed = read_add_ons(environment)
    connections, problem = _connections(environment)
    connected = {each.account for each in connections or () if each.region == environment.region}
    routes, unfit = _routes(environment.account_a, wish, installed, connected)
    targets = {target.address: target for target in (*wish.sources, *wish.targets)}
    looked = dict(zip(targets, look_at_buckets(environment, list(targets.values()), progress), strict=True))
    buckets = {address: each for address, each in looked.items() if isinstance(each, Bucket)}
    parts = {address: _parts(environment, stack, address, [r for r in routes if r.wanted]) for address in buckets}
    unwanted = {
        address: _unwanted(environment, stack, wish, installed, connected, address, routes, parts[address])
        for address in buckets
    }
    parts = {address: _with_base_there(buckets[address], each) for address, each in parts.items()}
    sites = _sites(environment, buckets, parts, unwanted, progress)
    callers, roles = _callers(environment, stack, sites, routes, progress)
    return State(
        environment=environment.name,
        stack=stack,
        wish=wish,
        installed=installed,
        connections=connections,
        routes=routes,
        sites=sites,
        problems=tuple(each for each in looked.values() if isinstance(each, Problem)),
        callers=callers,
        roles=roles,
        connections_problem=problem,
        unfit=unfit,
    )


def _connections(environment: Environment) -> tuple[tuple[Connection, ...] | None, str]:
    try:
        return read_connections(environment), ""
    except ConnectionsUnreadable as error:
        return None, str(error)


# --- the routes ------------------------------------------------------------------------------------------------------


def _routes(
    account_a: str, wish: Wish, installed: Installed, connected: set[str]
) -> tuple[tuple[Route, ...], tuple[AddOn, ...]]:
    """Every way of every add-on that is asked for; and the add-ons that fit none of the buckets.

    An add-on that is named is taken to be meant; of all that are installed, those whose own parameters fit.
    """
    removed = [add_on for word in wish.remove for add_on in installed.called(word)]
    asked = [add_on for word in wish.add_ons for add_on in installed.called(word)]
    if not wish.add_ons and not wish.remove:
        asked = list(installed.add_ons)
    found: dict[str, Route] = {}
    unfit = []
    for wanted, add_ons in ((True, asked), (False, removed)):
        for add_on in add_ons:
            if add_on.name in ROLE_OUTPUTS and add_on.role_arn:
                ways = list(_ways(account_a, wish, add_on, connected, named=bool(wish.add_ons) or not wanted))
                unfit += [] if ways else [add_on]
                found |= {route.name: replace(route, wanted=wanted) for route in ways}
    return tuple(found.values()), tuple(unfit)


def _ways(account_a: str, wish: Wish, add_on: AddOn, connected: set[str], *, named: bool) -> Iterable[Route]:
    def owner(target: Target | None) -> Owner | None:
        return None if target is None else Owner(target.account, target.account in connected)

    if add_on.name == SCHEDULED:
        for scanned in wish.sources:
            if named or scans(add_on, scanned.bucket, own=scanned.account == account_a):
                yield Route(add_on, scanned.address, "", find_situation(account_a, SCHEDULED, owner(scanned), None))
        return
    own = [target for target in wish.targets if target.bucket == add_on.target]
    if wish.targets and not own and add_on.target and not named:
        return
    targets: Sequence[Target | None] = own or wish.targets or (None,)
    sources: Sequence[Target | None] = wish.sources or (None,)
    for source in sources:
        for target in targets:
            if (source is not None and source == target) or (source, target) == (None, None):
                continue
            found = find_situation(account_a, add_on.name, owner(source), owner(target))
            yield Route(add_on, source.address if source else "", target.address if target else "", found)


def scans(add_on: AddOn, bucket: str, *, own: bool) -> bool:
    """Whether a scheduled scan is for a bucket, by its own parameters.

    Assumed: that wildcards stand for buckets of its `own` account only, for nobody lets it list those of another one.
    """
    return any(fnmatchcase(bucket, pattern) if own else bucket == pattern for pattern in add_on.scanned)


# --- the parts -------------------------------------------------------------------------------------------------------


def _parts(environment: Environment, stack: Stack, address: str, routes: Iterable[Route]) -> tuple[Part, ...]:
    """What is done with a bucket on all the routes, each role and kind of work once."""
    found: dict[tuple[Kind, str], Part] = {}
    for route in routes:
        for part in _parts_of(environment, stack, address, route):
            before = found.get((part.kind, part.role_arn))
            found[part.kind, part.role_arn] = (
                replace(before, routes=(*before.routes, *part.routes)) if before is not None else part
            )
    return tuple(found.values())


def _parts_of(environment: Environment, stack: Stack, address: str, route: Route) -> Iterable[Part]:
    add_on, found = route.add_on, route.found
    role, label = add_on.role_arn, "".join(word.title() for word in add_on.name.split("-"))
    if found.acting:
        role = connection_role(environment, found.acting)
    if address == route.source and add_on.name == SCHEDULED:
        yield Part("scheduled", role, label, (route.name,))
        if Need.BASE_STATEMENTS in found.needs:
            delete, tag = (switched("stack", stack, name) for name in ("DeleteInfectedFiles", "TagFiles"))
            yield Part("scan", stack.output("ScanRoleArn"), "Scan", (route.name,), delete, tag)
    elif address == route.source:
        yield Part("source", role, f"{label}Source", (route.name,))
    if address == route.target:
        kind: Kind = "connection-target" if found.acting else "target"
        yield Part(kind, role, "ConnectionTarget" if found.acting else f"{label}Target", (route.name,))


def _with_base_there(bucket: Bucket, parts: Sequence[Part]) -> tuple[Part, ...]:
    """Where the scan role may list and read already, whatever else it may is 05-bucket-policy's business."""
    present = parsed(bucket.policy)

    def settled(part: Part) -> Part:
        every = replace(part, delete=True, tag=True)
        modes = [every.statements(bucket, mode) for mode in MODES] if part.kind == "scan" else []
        if not any(each and all(document.holds(present, base) for base in each[:2]) for each in modes):
            return part
        delete, tag = (any(document.holds(present, each[index]) for each in modes) for index in (2, 3))
        return replace(part, delete=delete, tag=tag, there=True)

    return tuple(map(settled, parts))


def connection_role(environment: Environment, account: str) -> str:
    """The ARN of the role that a connection has made in an account."""
    return f"arn:{environment.partition}:iam::{account}:role/{role_name(environment.stack_name)}"


def _unwanted(
    environment: Environment,
    stack: Stack,
    wish: Wish,
    installed: Installed,
    connected: set[str],
    address: str,
    routes: Sequence[Route],
    kept: Sequence[Part],
) -> tuple[Part, ...]:
    """What removed add-ons did with a bucket, and no other that is installed does: connection roles work for all."""
    removed = {route.add_on.stack.name for route in routes if not route.wanted}
    if not removed:
        return ()
    others = [each.stack.name for each in installed.add_ons if each.stack.name not in removed]
    staying, _ = _routes(environment.account_a, replace(wish, add_ons=(), remove=()), installed, connected)
    stay = _parts(environment, stack, address, [each for each in staying if each.add_on.stack.name in others])
    needed = {(part.kind, part.role_arn) for part in (*kept, *stay)}
    gone = _parts(environment, stack, address, [route for route in routes if not route.wanted])
    return tuple(part for part in gone if part.kind != "scan" and (part.kind, part.role_arn) not in needed)


# --- buckets, keys and roles -----------------------------------------------------------------------------------------


def _sites(
    environment: Environment,
    buckets: Mapping[str, Bucket],
    parts: Mapping[str, tuple[Part, ...]],
    unwanted: Mapping[str, tuple[Part, ...]],
    progress: Progress,
) -> tuple[Site, ...]:
    def look(address: str) -> Traits:
        target = any(part.is_target for part in parts[address])
        source = any(not part.is_target for part in parts[address])
        return read_traits(environment, buckets[address], target=target, source=source)

    traits = dict(zip(buckets, in_parallel(look, list(buckets), what="buckets asked", progress=progress), strict=True))
    names = {address: _key_names(bucket, traits[address]) for address, bucket in buckets.items()}
    with_key = look_at_keys(environment, [name for each in names.values() for name, _ in each], progress)
    return tuple(
        Site(address, bucket, traits[address], _keys(names[address], with_key), parts[address], unwanted[address])
        for address, bucket in buckets.items()
    )


def _key_names(bucket: Bucket, traits: Traits) -> list[tuple[KeyName, bool]]:
    """The key of default encryption, and those that existing files were found to use."""
    default = key_name(bucket)
    found = [(default, True)] if default else []
    return [*found, *(((bucket.account, bucket.region, arn), False) for arn in traits.keys)]


def _keys(names: Sequence[tuple[KeyName, bool]], with_key) -> tuple[BucketKey, ...]:  # type: ignore[no-untyped-def]
    """Each key once: default encryption may name it by an alias, and files by its ARN."""
    found: dict[str, BucketKey] = {}
    for name, default in names:
        key, problem = with_key(name)
        found.setdefault(key.arn if key else name[2], BucketKey(key, problem, default))
    managed = [each for each in found.values() if each.key and each.key.aws_managed]
    return tuple(each for each in found.values() if each not in managed[1:])


def _callers(
    environment: Environment, stack: Stack, sites: Sequence[Site], routes: Iterable[Route], progress: Progress
) -> tuple[dict[str, Caller], dict[str, str]]:
    """The roles that work with the buckets; why one cannot be read by its ARN."""
    owners = dict.fromkeys(site.bucket.account for site in sites)
    owners |= dict.fromkeys(each.key.account for site in sites for each in site.keys if each.key)
    arns = dict.fromkeys(part.role_arn for site in sites for part in site.parts)
    if any(Need.SCAN_ROLE in route.found.needs for route in routes):
        arns |= {stack.output("ScanRoleArn"): None}
    policies = ControlPolicies(environment)

    def look(arn: str) -> Caller | str:
        try:
            return read_caller(environment, arn, owners, policies)
        except (RoleError, AccountError) as error:
            return str(error)

    found = dict(zip(arns, in_parallel(look, list(arns), what="roles looked at", progress=progress), strict=True))
    callers = {arn: each for arn, each in found.items() if isinstance(each, Caller)}
    return callers, {arn: each for arn, each in found.items() if isinstance(each, str)}
