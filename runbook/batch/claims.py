"""What a job may change and whose accounts it is about, told from its parameters alone, without a call to AWS."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from runbook.environment import Environment
from runbook.steps.add_ons import AddOns
from runbook.steps.allowlist import Allowlist
from runbook.steps.bucket_policy import BucketPolicy
from runbook.steps.findings_topic import FindingsTopic
from runbook.steps.iam_role import IamRole
from runbook.steps.inventory import account_ids
from runbook.steps.stack_sets import StackSets
from runbook.steps.start_here import StartHere
from runbook.steps.step import Asked, Step

STACK = "bucketAV's stack"
ADD_ON_STACKS = "the stacks of add-ons"
FINDINGS_TOPIC = "the policy of the findings topic"
CONNECTION = "the connection of account "
EVERY_CONNECTION = f"{CONNECTION}*"
EVERYTHING = "*"
KEYS = "the keys of account "


@dataclass(frozen=True)
class Claim:
    """The ids of the accounts that a job is about, what it may change there or in account a, and what it reads.

    Resources are named in words. `reads` holds those of which a change would make the job's plan another one.
    """

    accounts: tuple[str, ...] = ()
    resources: frozenset[str] = field(default_factory=frozenset)
    reads: frozenset[str] = field(default_factory=frozenset)


def claim_of(asked: Asked, environment: Environment) -> Claim:
    """What a job lays claim to. A key is only found in AWS, so that a job that may open keys claims all of an account;
    a stack set claims every connection. A step that is not known here claims everything.
    """
    match asked:
        case Allowlist():
            return Claim((), frozenset({STACK}))
        case IamRole():
            wish = asked.wish(environment)
            accounts = (*wish.connect, *wish.disconnect)
            return Claim(accounts, frozenset(f"{CONNECTION}{account}" for account in accounts), frozenset({STACK}))
        case StackSets():
            claimed = {f"the stack set {asked.stack_set_name}", EVERY_CONNECTION}
            claimed |= {STACK} if asked.allowlist_organization else set()
            return Claim((), frozenset(claimed), frozenset({STACK}))
        case AddOns():
            listed = asked.wish(environment)
            stacks = {STACK, ADD_ON_STACKS} if asked.key_policy == "change" else set()
            targets = [*listed.sources, *listed.targets]
            buckets = _buckets([(each.account, each.bucket, asked.key_policy) for each in targets])
            reads = {STACK, ADD_ON_STACKS, *(f"{CONNECTION}{account}" for account in buckets.accounts)}
            return Claim(buckets.accounts, buckets.resources | stacks, frozenset(reads))
        case BucketPolicy():
            named = asked.targets(environment)
            return _buckets([(each.account, each.bucket, each.key_policy) for each in named])
        case FindingsTopic():
            return _queues(asked, environment)
        case StartHere():
            return Claim(account_ids(asked.accounts, environment, "accounts", []), reads=frozenset({EVERYTHING}))
        case Step():
            return Claim((), frozenset({EVERYTHING}))
        case _:
            return Claim()


def _buckets(targets: Sequence[tuple[str, str, str | None]]) -> Claim:
    """`targets`: account, bucket, and what is to become of the key's policy."""
    resources = {f"the policy of bucket {bucket}" for _, bucket, _ in targets}
    resources |= {f"{KEYS}{account}" for account, _, key_policy in targets if key_policy == "change"}
    return Claim(_once(account for account, _, _ in targets), frozenset(resources), frozenset({STACK}))


def _queues(asked: FindingsTopic, environment: Environment) -> Claim:
    targets = asked.targets(environment)
    resources = {f"the queue {target.address}" for target in targets}
    if asked.dead_letter:
        resources |= {f"the queue {target.account}/{asked.dead_letter}" for target in targets}
    if asked.key_policy == "change":
        resources |= {f"{KEYS}{target.account}" for target in targets}
    if asked.subscriber == "queue-owner":
        resources.add(FINDINGS_TOPIC)
    accounts = _once(target.account for target in targets)
    return Claim(accounts, frozenset(resources), frozenset({STACK, FINDINGS_TOPIC}))


def _once(accounts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(accounts))


def in_order(claims: Mapping[str, Claim]) -> dict[str, tuple[str, ...]]:
    """For each job those before it that must be over when it begins, so that running some at a time changes nothing.

    They are the ones that may change what it changes or reads, or read what it may change.
    """
    jobs = list(claims)
    return {
        job: tuple(other for other in jobs[:number] if _meet(claims[other], claims[job]))
        for number, job in enumerate(jobs)
    }


def _meet(first: Claim, second: Claim) -> bool:
    changed_by_first = _any_same(first.resources, second.resources | second.reads)
    return changed_by_first or _any_same(second.resources, first.reads)


def _any_same(some: Iterable[str], others: Collection[str]) -> bool:
    return any(_same(one, other) for one in some for other in others)


def _same(one: str, other: str) -> bool:
    pair = {one, other}
    if EVERY_CONNECTION in pair and all(each.startswith(CONNECTION) for each in pair):
        return True
    return len(pair) == 1 or EVERYTHING in pair


def overlaps(
    needs: Mapping[str, Collection[str]], claims: Mapping[str, Claim], *, one_at_a_time: bool
) -> dict[str, tuple[str, str]]:
    """What two jobs would change although neither has to wait for the other: the resource, with two such jobs.

    `needs` holds every job, after those that it needs. `one_at_a_time`: no two jobs about an account run together.
    """
    holders: dict[str, list[str]] = {}
    for name in needs:
        for resource in claims[name].resources:
            holders.setdefault(resource, []).append(name)
    for name in needs:
        if EVERYTHING in claims[name].resources:
            wide = list(holders)
        elif EVERY_CONNECTION in claims[name].resources:
            wide = [resource for resource in holders if resource.startswith(CONNECTION)]
        else:
            continue
        for resource in wide:
            holders[resource].append(name)
    position = {name: number for number, name in enumerate(needs)}
    before = _before(needs, position)
    found = {}
    for resource, names in holders.items():
        if one_at_a_time and resource.startswith(KEYS):
            continue
        ordered = sorted(set(names), key=position.__getitem__)
        for first, second in pairwise(ordered):
            if not before[second] >> position[first] & 1:
                found[resource] = (first, second)
                break
    return found


def _before(needs: Mapping[str, Collection[str]], position: Mapping[str, int]) -> dict[str, int]:
    """For each job those that are over when it begins, as a number with a bit for each: thousands are compared."""
    before: dict[str, int] = {}
    for name, needed in needs.items():
        mask = 0
        for each in needed:
            mask |= before[each] | 1 << position[each]
        before[name] = mask
    return before
