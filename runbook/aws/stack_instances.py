"""The instances of a stack set as something to change: OUs deployed to or taken out, account by account."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runbook import markdown
from runbook.aws.kinds import MadeAsPlanned, Report, Told, register
from runbook.aws.stack_set_definition import call_as_option
from runbook.aws.stack_set_operations import Operations, wait_until_idle
from runbook.aws.stack_sets import (
    Instance,
    administrator_of,
    arn_of,
    name_of,
    read_instances,
    read_stack_set,
)
from runbook.environment import Environment
from runbook.plan import Change, Resource
from runbook.untrusted import code

MOST_UNITS = 50
"""OUs that one operation may be given. Source: CloudFormation API, CreateStackInstances and the others."""

Accounts = Mapping[str, Sequence[str]]
"""Accounts by the OU (or root) that they were deployed to with."""


def resource_of(environment: Environment, account: str, region: str, name: str) -> Resource:
    """The instances of a stack set, as plans name them."""
    arn = arn_of(environment, account, region, name).replace(":stackset/", ":stackset-target/")
    return Resource(kind=StackInstances.name, account=account, region=region, arn=arn)


def as_text(region: str, units: Sequence[str], instances: Sequence[Instance]) -> str | None:
    """The value as plans hold it: accounts that are up to date and those that are not, by OU; None for no OU at all."""
    units = sorted({*units, *(each.unit for each in instances)})
    if not units:
        return None
    kinds = {
        "UpToDate": [each for each in instances if each.current],
        "OutOfDate": [each for each in instances if not each.current and not each.skipped],
        "Suspended": [each for each in instances if not each.current and each.skipped],
    }
    values: dict[str, Any] = {"Region": region, "UpToDate": {unit: [] for unit in units}}
    for kind, found in kinds.items():
        by_unit: dict[str, list[str]] = {}
        for each in found:
            named = each.account if each.region == region else f"{each.account} in {each.region}"
            by_unit.setdefault(each.unit, []).append(named)
        if by_unit:
            values[kind] = {**values.get(kind, {}), **by_unit}
    return json.dumps(values)


# --- what has to be called -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Request:
    """One call, and how many accounts it is about; None where only AWS knows."""

    call: str
    arguments: Mapping[str, Any]
    what: str


def requests(change: Change) -> list[Request]:
    """The calls that a change comes to as long as nobody else does anything."""
    return [*removals(change, change.before), *creations(change, change.before)]


def removals(change: Change, present: str | None) -> list[Request]:
    """What takes out the OUs and accounts that are in `change.before` and not in `change.after`, as far as `present`.

    They go before others come, because an account cannot be in twice. Who is in neither stays: an account that joined
    a target since is none of the change's business.
    """
    return list(_removals(_read(change.before), _read(present), _read(change.after), _common(change)))


def creations(change: Change, present: str | None) -> list[Request]:
    """What makes the accounts of `change.after` up to date that are not so in `present`.

    A new OU is deployed to with the filter of `change.after` (`Filter`). Without one, and where an OU is deployed to
    already, exactly the accounts are named that are missing. On the way back, an OU that had nobody is put back without
    those who were left out of it (`LeftOut`).
    """
    target = _read(change.after)
    filtered = target.filter
    if filtered is None:
        left_out = json.loads(change.before).get("LeftOut", []) if change.before else []
        empty: Mapping[str, Any] = {"AccountFilterType": "DIFFERENCE", "Accounts": left_out} if left_out else {}
    else:
        empty = filtered
    return list(_creations(_read(present), target, filtered is not None, empty, _common(change)))


def _common(change: Change) -> Mapping[str, Any]:
    preferences = preferences_of(change)
    return {"Regions": [change.resource.region], **({"OperationPreferences": preferences} if preferences else {})}


@dataclass(frozen=True)
class _Value:
    """A value, taken apart."""

    up_to_date: Accounts
    made: Mapping[str, set[str]]
    suspended: Mapping[str, set[str]]
    filter: Mapping[str, Any] | None


def _read(text: str | None) -> _Value:
    values = json.loads(text) if text else {}
    up_to_date, out_of_date = values.get("UpToDate", {}), values.get("OutOfDate", {})
    suspended = {unit: {*accounts} for unit, accounts in values.get("Suspended", {}).items()}
    units = sorted({*up_to_date, *out_of_date, *suspended})
    made = {unit: {*up_to_date.get(unit, []), *out_of_date.get(unit, [])} for unit in units}
    return _Value(up_to_date, made, suspended, values.get("Filter"))


def _removals(before: _Value, there: _Value, target: _Value, common: Mapping[str, Any]) -> Iterator[Request]:
    # Who was not up to date before cannot be made so again; what there is of it goes.
    up_to_date = {unit: {*accounts} for unit, accounts in there.up_to_date.items()}
    stays = {
        unit: {*target.up_to_date.get(unit, [])} | (accounts - up_to_date.get(unit, set()))
        for unit, accounts in target.made.items()
    }
    going = {
        unit: (accounts & before.made[unit]) - stays.get(unit, set())
        for unit, accounts in there.made.items()
        if unit in before.made
    }
    whole = [unit for unit in going if unit not in target.made]
    # Nothing can be deleted in a suspended account; only its record can go.
    for units in _batches([unit for unit in whole if there.suspended.get(unit)]):
        yield _removal(_intersection({unit: there.suspended[unit] for unit in units}), common, retain=True)
    for units in _batches(whole):
        yield _removal({"OrganizationalUnitIds": units}, common)
    for units in _batches([unit for unit, accounts in going.items() if accounts and unit not in whole]):
        yield _removal(_intersection({unit: going[unit] for unit in units}), common)


def _removal(targets: Mapping[str, Any], common: Mapping[str, Any], *, retain: bool = False) -> Request:
    arguments = {"DeploymentTargets": targets, **common, "RetainStacks": retain}
    return Request("delete_stack_instances", arguments, "disconnected")


def _creations(
    there: _Value, target: _Value, filtered: bool, choice: Mapping[str, Any], common: Mapping[str, Any]
) -> Iterator[Request]:
    missing = {
        unit: {*accounts} - {*there.up_to_date.get(unit, [])}
        for unit, accounts in target.up_to_date.items()
        if {*accounts} - {*there.up_to_date.get(unit, [])} or unit not in there.made
    }
    new = [unit for unit in missing if unit not in there.made and (filtered or not missing[unit])]
    for units in _batches(new):
        targets = {"OrganizationalUnitIds": units, **choice}
        yield Request("create_stack_instances", {"DeploymentTargets": targets, **common}, "connected")
    for units in _batches([unit for unit in missing if unit not in new]):
        targets = _intersection({unit: missing[unit] for unit in units})
        yield Request("create_stack_instances", {"DeploymentTargets": targets, **common}, "connected")


def _batches(units: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(units), MOST_UNITS):
        yield list(units[start : start + MOST_UNITS])


def _intersection(accounts: Mapping[str, set[str]]) -> dict[str, Any]:
    return {
        "OrganizationalUnitIds": list(accounts),
        "Accounts": sorted({account for each in accounts.values() for account in each}),
        "AccountFilterType": "INTERSECTION",
    }


# --- the kind --------------------------------------------------------------------------------------------------------


@register
class StackInstances(MadeAsPlanned):
    """Which accounts of which OUs have a stack that is up to date. Made account by account, so perhaps in part."""

    name = "cloudformation.stack-instances"
    independent = False

    def read(self, environment: Environment, resource: Resource) -> str | None:
        """The instances once no operation goes on."""
        administrator = administrator_of(environment, resource.account, resource.region)
        name = name_of(resource)
        wait_until_idle(environment, administrator, name, lambda _: None)
        found = read_stack_set(environment, administrator, name)
        if found is None:
            return None
        return as_text(resource.region, found.units, read_instances(environment, administrator, name))

    def write(self, environment: Environment, change: Change, report: Report) -> Told:
        """Make the calls one after the other. Raises OperationFailed at the first that did not reach every account."""
        resource = change.resource
        administrator = administrator_of(environment, resource.account, resource.region)
        operations = Operations(environment, administrator, name_of(resource), report)

        def run(calls: Sequence[Request]) -> Told:
            return tuple(operations.run(each.call, each.arguments, each.what) for each in calls)

        present = self.read(environment, resource)
        told = run(removals(change, present))
        # An OU goes with those inside it, also with one that stays a target: what that took is made again.
        present = self.read(environment, resource) if told else present
        return (*told, *run(creations(change, present)))

    def tidy(self, environment: Environment, change: Change) -> None:
        """There is nothing to take away."""

    def same(self, one: str | None, other: str | None) -> bool:
        """Whether what is there, `one`, is what is to be, `other`.

        The same accounts are up to date, and nothing is there of others but what is to be. Who is not up to date in
        what is to be was so before, and need not be there. Of suspended accounts there is nothing.
        """
        return _same(_by_unit(one), _by_unit(other))

    def made(self, change: Change, present: str | None) -> bool:
        """As planned, but for accounts that the change does not know: who joins a target is connected by itself."""
        return _same(_known(change, present), _by_unit(change.after))

    def in_part(self, change: Change, present: str | None) -> bool:
        """Whether every OU that the change does not touch is as it was, but for accounts that the change does not know;
        in the others, anything may be on its way.
        """
        before, after, now = _by_unit(change.before), _by_unit(change.after), _known(change, present)
        known = {*before, *after}
        untouched = {unit for unit in known if before.get(unit) == after.get(unit)}
        return {*now} <= known and all(now.get(unit) == before.get(unit) for unit in untouched)

    def by_hand(self, change: Change) -> str:
        resource, name = change.resource, name_of(change.resource)
        calls = requests(change)
        parts = [
            f"In account {resource.account}, Region {resource.region}: CloudFormation › StackSets › {code(name)}. One "
            "operation at a time: wait for each to come to its end."
        ]
        for number, each in enumerate(calls, start=1):
            console = _console(each.arguments, resource.region, delete=each.call.startswith("delete"))
            file = "request.json" if len(calls) == 1 else f"request-{number}.json"
            request = markdown.code_block(json.dumps(each.arguments, indent=2), "json")
            verb = each.call.replace("_", "-")
            command = (
                f"aws cloudformation {verb} --region {resource.region} --stack-set-name {name}"
                f"{call_as_option(change)} --cli-input-json file://{file}"
            )
            parts += [
                f"{console} Or, with the file {code(file)}:",
                markdown.folded(file, request),
                markdown.code_block(command, "sh"),
            ]
        return "\n\n".join(parts)


def preferences_of(change: Change) -> Mapping[str, Any]:
    """How operations are to go about it: what the plan says, in the value that is to be or, on the way back, was."""
    for text in (change.after, change.before):
        if text is not None and "OperationPreferences" in (values := json.loads(text)):
            found: Mapping[str, Any] = values["OperationPreferences"]
            return found
    return {}


ByUnit = Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]
"""For each OU the accounts that are up to date, and those that are not."""


def _same(there: ByUnit, wanted: ByUnit) -> bool:
    return {*there} == {*wanted} and all(
        up_to_date == wanted[unit][0] and {*behind} <= {*wanted[unit][1]}
        for unit, (up_to_date, behind) in there.items()
    )


def _known(change: Change, present: str | None) -> ByUnit:
    """What is there, without the accounts that an OU has neither before the change nor after it."""
    before, after = _read(change.before).made, _read(change.after).made

    def known(unit: str, accounts: Sequence[str]) -> tuple[str, ...]:
        return tuple(each for each in accounts if each in before.get(unit, ()) or each in after.get(unit, ()))

    return {
        unit: (known(unit, up_to_date), known(unit, behind)) for unit, (up_to_date, behind) in _by_unit(present).items()
    }


def _by_unit(text: str | None) -> ByUnit:
    values = json.loads(text) if text else {}
    up_to_date, out_of_date = values.get("UpToDate", {}), values.get("OutOfDate", {})
    return {
        unit: (tuple(sorted(up_to_date.get(unit, []))), tuple(sorted(out_of_date.get(unit, []))))
        for unit in {*up_to_date, *out_of_date}
    }


def _console(arguments: Mapping[str, Any], region: str, *, delete: bool) -> str:
    """What to click and to fill in."""
    targets, preferences = arguments["DeploymentTargets"], arguments.get("OperationPreferences", {})
    units = markdown.names(targets["OrganizationalUnitIds"], most=MOST_UNITS)
    kind = {"INTERSECTION": "Intersection", "DIFFERENCE": "Difference"}.get(targets.get("AccountFilterType", ""))
    accounts = f"; Account filter type {kind}: {markdown.joined(targets['Accounts'], 50)}" if kind else ""
    action = "Delete stacks from StackSet" if delete else "Add stacks to StackSet"
    options = (
        f"Maximum concurrent accounts {preferences.get('MaxConcurrentCount', 1)}, Failure tolerance "
        f"{preferences.get('FailureToleranceCount', 0)}"
    )
    return (
        f"Actions › {action} › Deploy to organizational units: {units}{accounts}. Region {region}. {options} › "
        "Next › Submit."
    )
