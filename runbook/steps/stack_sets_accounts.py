"""What becomes of each account of the organization: connected, left out, not covered, and why. Nothing is called."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from runbook.aws.connections import Connection
from runbook.aws.organization_tree import Member, Tree, Unit
from runbook.aws.stack_sets import Instance
from runbook.environment import Environment
from runbook.parameters import ParameterError
from runbook.untrusted import code

_OF_STACK_SET = re.compile(r"StackSet-(.+)-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""What CloudFormation calls the stacks of a stack set."""


class Fate(StrEnum):
    """What becomes of an account."""

    CONNECTED = "connected"
    CONNECT = "will be connected"
    AGAIN = "will be tried again"
    DISCONNECT = "will be disconnected"
    ELSEWHERE = "connected in another way"
    LEFT_OUT = "left out"
    NOT_COVERED = "not covered"
    OUTSIDE = "not in a target"

    @property
    def mark(self) -> str:
        """A sign that needs no colour to be told from the others."""
        return {
            "connected": "✓",
            "will be connected": "+",
            "will be tried again": "↻",
            "will be disconnected": "–",
            "connected in another way": "=",
        }.get(self.value, "·")


class Asked(Protocol):
    """The part of the wish that decides about accounts."""

    @property
    def only(self) -> tuple[str, ...]: ...
    @property
    def excepted(self) -> tuple[str, ...]: ...
    @property
    def delete(self) -> bool: ...


@dataclass(frozen=True)
class Choice:
    """The targets that were found in the organization. `inner` are those that lie within another one."""

    targets: tuple[Unit, ...]
    inner: tuple[Unit, ...]
    removed: tuple[Unit, ...]


@dataclass(frozen=True)
class Fates:
    """What becomes of each account, and why. `wanted` are the accounts that are to be up to date, by OU.

    `new_units` are the OUs among these that become targets, also those that have nobody to connect now: accounts may
    join them.
    """

    of: Mapping[str, tuple[Fate, str]]
    wanted: Mapping[str, tuple[str, ...]]
    out_of_date: Mapping[str, tuple[str, ...]]
    filter: Mapping[str, Any] | None
    new_units: tuple[str, ...]

    @property
    def to_connect(self) -> tuple[str, ...]:
        """The accounts in which a stack is to be made."""
        return self.that(Fate.CONNECT, Fate.AGAIN)

    def that(self, *some: Fate) -> tuple[str, ...]:
        """The accounts of which one of these becomes."""
        return tuple(account for account, (fate, _) in self.of.items() if fate in some)


def chosen(tree: Tree, targets: Sequence[str], removed: Sequence[str]) -> Choice:
    """The units that are meant. Raises ParameterError, with all that is wrong with them."""
    problems: list[str] = []

    def found(names: Sequence[str], parameter: str) -> list[Unit]:
        units = []
        for name in names:
            try:
                units.append(tree.find(name))
            except ParameterError as error:
                problems.extend(f"{code(parameter)}: {problem}" for problem in error.problems)
        return list({unit.id: unit for unit in units}.values())

    wanted, gone = found(targets, "targets"), found(removed, "remove_targets")
    for unit in gone:
        problems += [
            f"`remove_targets`: {unit.shown} is in a target, {each.shown}; leave it out of one of the two."
            for each in wanted
            if tree.contains(each.id, unit.id) or tree.contains(unit.id, each.id)
        ]
    if problems:
        raise ParameterError(problems)
    inner = [unit for unit in wanted if any(other != unit and tree.contains(other.id, unit.id) for other in wanted)]
    return Choice(tuple(unit for unit in wanted if unit not in inner), tuple(inner), tuple(gone))


def fates(
    environment: Environment,
    tree: Tree,
    choice: Choice,
    asked: Asked,
    units: Sequence[str],
    instances: Sequence[Instance],
    connections: Sequence[Connection],
    roles: Mapping[str, str],
) -> Fates:
    """Decide about every account.

    `units` are those that the stack set is deployed to; `roles` connection roles that are there although no connection
    is known.
    """
    here = {each.account: each for each in instances if not each.skipped}
    others = elsewhere(environment, instances, connections, roles)
    gone = _gone(tree, choice, asked, instances)
    decided: dict[str, tuple[Fate, str]] = {}
    there = tuple(dict.fromkeys([*units, *(each.unit for each in instances)]))
    wanted: dict[str, list[str]] = {}
    for unit in [] if asked.delete else there:
        own = [each for each in here.values() if each.unit == unit]
        kept = [each.account for each in own if each.account not in gone and each.current]
        if not any(tree.contains(each.id, unit) for each in choice.removed) and (
            kept or not {each.account for each in own} <= gone or not own
        ):
            wanted[unit] = kept
    out_of_date: dict[str, list[str]] = {}
    for member in tree.members.values():
        target = next((unit for unit in choice.targets if tree.contains(unit.id, member.parent)), None)
        instance = here.get(member.id)
        fate, why = _fate(environment, tree, member, asked, target, instance, gone, others)
        decided[member.id] = (fate, why)
        if fate is Fate.CONNECT and target:
            wanted.setdefault(target.id, []).append(member.id)
        elif fate is Fate.AGAIN and instance:
            wanted[instance.unit].append(member.id)
        elif instance and not instance.current and member.id not in gone:
            out_of_date.setdefault(instance.unit, []).append(member.id)
    if not asked.only:  # with it exactly these accounts are meant, and nobody who joins
        for target in choice.targets:
            if not any(tree.contains(unit, target.id) for unit in wanted):
                wanted[target.id] = []
    new = tuple(unit for unit in wanted if unit not in there)
    return Fates(
        of=decided,
        wanted={unit: tuple(sorted(accounts)) for unit, accounts in wanted.items()},
        out_of_date={unit: tuple(sorted(accounts)) for unit, accounts in out_of_date.items()},
        filter=_filter(tree, new, wanted, asked) if new else None,
        new_units=new,
    )


def elsewhere(
    environment: Environment,
    instances: Sequence[Instance],
    connections: Sequence[Connection],
    roles: Mapping[str, str],
) -> dict[str, str]:
    """The accounts that are connected in another way than by this stack set, and in which."""
    own = {each.stack for each in instances if each.stack}
    found = {account: f"it has a role {code(role)}, although no connection is known" for account, role in roles.items()}
    for each in connections:
        if each.stack_id.raw in own:
            continue
        if by_set := _OF_STACK_SET.fullmatch(each.stack_name.raw):
            by = f"by another stack set, {code(by_set[1])}"
        else:
            by = f"by a stack of its own, {code(each.stack_name)}" if each.stack_name else "by a stack of its own"
        region = "" if each.region == environment.region else f", in {each.region}"
        version = f", version {each.stack_version}" if each.stack_version else ""
        found[each.account] = f"{by}{version}{region}"
    return found


def _gone(tree: Tree, choice: Choice, asked: Asked, instances: Iterable[Instance]) -> set[str]:
    """The accounts whose instances go."""
    if asked.delete:
        return {each.account for each in instances}
    units = {unit.id for unit in choice.removed}
    inside = {member.id for unit in units for member in tree.within(unit)}
    return {each.account for each in instances if each.unit in units or each.account in inside}


def _fate(
    environment: Environment,
    tree: Tree,
    member: Member,
    asked: Asked,
    target: Unit | None,
    instance: Instance | None,
    gone: set[str],
    others: Mapping[str, str],
) -> tuple[Fate, str]:
    """What becomes of one account, and why if that is not plain."""
    if instance and member.id in gone:
        return Fate.DISCONNECT, ""
    if member.id == tree.management:
        return Fate.NOT_COVERED, "the management account gets nothing from a stack set"
    if not member.active:
        return Fate.NOT_COVERED, member.state.lower().replace("_", " ")
    if member.id == environment.account_a:
        return Fate.LEFT_OUT, "it runs bucketAV"
    if instance and instance.current:
        return Fate.CONNECTED, ""
    if member.id in others:
        return Fate.ELSEWHERE, others[member.id]
    if target is None:
        return Fate.OUTSIDE, _last_failure(instance)
    if member.id in asked.excepted:
        return Fate.LEFT_OUT, "by `except_accounts`"
    if asked.only and member.id not in asked.only:
        return Fate.LEFT_OUT, "not in `only_accounts`"
    return (Fate.AGAIN, _last_failure(instance)) if instance else (Fate.CONNECT, "")


def _last_failure(instance: Instance | None) -> str:
    if instance is None:
        return ""
    return f"not up to date: {instance.reason}" if instance.reason else "not up to date"


def _filter(tree: Tree, new: Sequence[str], wanted: Mapping[str, Sequence[str]], asked: Asked) -> dict[str, Any]:
    """What keeps the accounts that are not wanted out of OUs that are deployed to for the first time."""
    inside = sorted(account for unit in new for account in wanted[unit])
    if asked.only:
        return {"AccountFilterType": "INTERSECTION", "Accounts": inside}
    excluded = {member.id for unit in new for member in tree.within(unit)} - {*inside, tree.management}
    return {"AccountFilterType": "DIFFERENCE", "Accounts": sorted(excluded)} if excluded else {}
