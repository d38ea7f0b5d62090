"""From what there is to what has to be changed: the allowlist, trusted access, the stack set, its instances."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from runbook import markdown
from runbook.aws import stack_instances, stack_set_definition, trusted_access
from runbook.aws.connection_template import ACCOUNT_PARAMETER, STACK_NAME_PARAMETER
from runbook.aws.stack_parameters import as_text
from runbook.aws.stack_parameters import resource_of as parameters_of
from runbook.aws.stack_sets import Administrator
from runbook.environment import Environment
from runbook.plan import Change, Observation, Resource
from runbook.steps.allowlist import changes as allowlist_changes
from runbook.steps.stack_sets_accounts import Fate
from runbook.steps.stack_sets_state import State
from runbook.untrusted import code

AUTO_DEPLOYMENT: Mapping[str, bool] = {"Enabled": True, "RetainStacksOnAccountRemoval": False}
"""Accounts that join are connected, those that leave lose their stack. Source: outline
`stack-sets.automatic-deployment`, `stack-sets.account-removal`."""

NAMED_IAM = "CAPABILITY_NAMED_IAM"
"""The role has a name of its own. Source: outline `stack-sets.capabilities`."""


def changes(environment: Environment, state: State) -> tuple[Change, ...]:
    """What has to be changed, in the order in which it is made; taken back, it goes the other way round."""
    assert state.administrator is not None
    parts = [*_allowlist(environment, state), *_access(environment, state)]
    instances, definition = _instances(environment, state), _definition(environment, state)
    # Instances need their stack set: it comes before them, and goes after them.
    parts += [*instances, *definition] if state.wish.delete else [*definition, *instances]
    return tuple(parts)


def present(environment: Environment, state: State) -> Mapping[Resource, str | None]:
    """Return bucketAV's stack, the stack set and its instances as plans hold them, where they could be read."""
    stack = state.allowlist.stack
    found: dict[Resource, str | None] = {parameters_of(environment, stack): as_text(stack.parameters)}
    if state.administrator is None or state.running or "stack set" in state.problems:
        return found
    where = environment, state.wish.administrator, environment.region, state.wish.name
    there = state.found is not None
    return found | {
        stack_set_definition.resource_of(*where): stack_set_definition.as_text(
            stack_set_definition.definition(state.found), state.instances
        )
        if state.found
        else None,
        stack_instances.resource_of(*where): instances_present(state) if there else None,
    }


def observed(environment: Environment, state: State, made: Iterable[Change]) -> tuple[Observation, ...]:
    """The stack set, where the plan deploys it and does not change it: what was reviewed has to be what is made."""
    kinds = {change.resource.kind for change in made}
    only_instances = stack_instances.StackInstances.name in kinds and not state.wish.delete
    if state.found is None or not only_instances or stack_set_definition.StackSetDefinition.name in kinds:
        return ()
    return (stack_set_definition.content_of(environment, state.wish.administrator, environment.region, state.found),)


def notes(environment: Environment, state: State) -> Iterable[str]:
    """What else is to be known of the plan."""
    if state.fates is None or state.tree is None or state.choice is None:
        return
    if state.choice.inner:
        inner = markdown.names([unit.shown for unit in state.choice.inner], most=10)
        yield f"{inner}: within another target, which covers it."
    if postponed(environment, state):
        yield (
            "The stack set is updated in all of its accounts first, those among them that are not up to date. Run this "
            "again afterwards to connect others."
        )
    for unit in state.choice.targets:
        around = [each for each in state.fates.wanted if state.tree.contains(each, unit.id)]
        if not around:
            yield (
                f"{unit.shown}: none of `only_accounts` is to be connected there, so that it does not become a target "
                "of the stack set."
            )
        elif unit.id not in around:
            outer = state.tree.units[around[0]].shown
            yield f"{unit.shown}: within {outer}, which is a target already and covers it."
        elif unit.id in state.fates.new_units and not state.fates.wanted[unit.id]:
            yield (
                f"{unit.shown}: nobody is to be connected there now. It becomes a target all the same, so that who "
                "joins it is connected by itself."
            )
    moved = state.fates.that(Fate.LEFT_OUT)
    if state.fates.to_connect and moved:
        yield (
            "Automatic deployment does not know of the accounts that are left out: one that is moved from one OU of "
            "the targets into another gets a stack, or an attempt at one."
        )


def wanted_definition(environment: Environment, state: State) -> dict[str, Any] | None:
    """The stack set as it is to be; None where it goes, or where there is no template to make it from."""
    found = stack_set_definition.definition(state.found) if state.found else None
    if state.wish.delete:
        return None
    if not state.wish.deploys or state.template is None:
        return found
    values: dict[str, Any] = {
        "Description": _description(environment),
        **(found or {}),
        "PermissionModel": "SERVICE_MANAGED",
        "AutoDeployment": dict(AUTO_DEPLOYMENT),
        "Capabilities": sorted({NAMED_IAM, *state.template.capabilities}),
        "Parameters": wanted_parameters(environment, state),
    }
    values.pop("Template", None)
    return values | {"Template": state.template.body.split("\n")}


def wanted_parameters(environment: Environment, state: State) -> dict[str, str]:
    """The template's parameters: those given win over those that the stack set has, and these over defaults."""
    assert state.template is not None
    present = state.found.parameters if state.found else {}
    own = {STACK_NAME_PARAMETER: environment.stack_name, ACCOUNT_PARAMETER: environment.account_a}
    return state.template.with_defaults({**present, **own, **state.wish.parameters})


def instances_wanted(state: State) -> str | None:
    """The instances as they are to be, as plans hold them, with how to go about it."""
    assert state.fates is not None
    assert state.administrator is not None
    fates = state.fates
    values: dict[str, Any] = {"Region": state.administrator.region, "UpToDate": dict(sorted(fates.wanted.items()))}
    values |= {"OutOfDate": dict(sorted(fates.out_of_date.items()))} if fates.out_of_date else {}
    values |= {"Filter": dict(fates.filter)} if fates.filter is not None else {}
    values |= {"LeftOut": left_out} if (left_out := _left_out(state)) else {}
    return json.dumps(values | _ways(state, state.administrator))


def _left_out(state: State) -> list[str]:
    """Who is in an OU that goes and has nobody connected: put back, it is deployed to without them, as it was."""
    assert state.fates is not None
    assert state.tree is not None
    connected = {each.unit for each in state.instances}
    units = {*(state.found.units if state.found else ())} - connected - {*state.fates.wanted}
    return sorted({member.id for unit in units for member in state.tree.within(unit)} - {state.tree.management})


def instances_present(state: State) -> str | None:
    """The instances as they are, as plans hold them."""
    assert state.administrator is not None
    units = state.found.units if state.found else ()
    return stack_instances.as_text(state.administrator.region, units, state.instances)


# --- the changes -----------------------------------------------------------------------------------------------------


def _allowlist(environment: Environment, state: State) -> Iterable[Change]:
    """The change of step 1, where it was asked for."""
    return allowlist_changes(environment, state.allowlist) if state.wish.allowlist else ()


def _access(environment: Environment, state: State) -> Iterable[Change]:
    if not state.wish.activate or state.tree is None or state.access in (trusted_access.ENABLED, None):
        return
    yield Change(
        resource=trusted_access.resource_of(environment, state.tree.id, state.tree.management),
        summary="let CloudFormation StackSets work in the accounts of the organization",
        before=trusted_access.as_text(str(state.access)),
        after=trusted_access.as_text(trusted_access.ENABLED),
        outline=("stack-sets.permissions",),
    )


def _definition(environment: Environment, state: State) -> Iterable[Change]:
    wanted, wish = wanted_definition(environment, state), state.wish
    present = stack_set_definition.definition(state.found) if state.found else None
    if wanted == present or (present is None and not _anywhere(state)):
        return
    assert state.administrator is not None
    before = stack_set_definition.as_text(present, state.instances) if present is not None else None
    after = None
    if wanted is not None:
        ways: dict[str, Any] = {"CallAs": state.administrator.call_as, "TemplateURL": wish.url}
        if present is not None:
            current = sorted({each.account for each in state.instances if not each.skipped})
            ways = {**_ways(state, state.administrator), "TemplateURL": wish.url, "UpToDate": current}
        after = json.dumps(wanted | ways, ensure_ascii=False)
    yield Change(
        resource=stack_set_definition.resource_of(environment, wish.administrator, environment.region, wish.name),
        summary=_summary(state, present, wanted),
        before=before,
        after=after,
        outline=_OUTLINE_OF_SET,
    )


def _summary(state: State, present: Mapping[str, Any] | None, wanted: Mapping[str, Any] | None) -> str:
    if wanted is None:
        return f"delete stack set {code(state.wish.name)}"
    if present is None:
        return f"create stack set {code(state.wish.name)}"
    parts = [name.lower() for name in ("Template", "Parameters", "Capabilities") if present[name] != wanted[name]]
    parts += ["automatic deployment"] if present["AutoDeployment"] != wanted["AutoDeployment"] else []
    number = markdown.count(len([each for each in state.instances if not each.skipped]), "account")
    return f"update stack set {code(state.wish.name)} ({', '.join(parts)}) in {number}"


def _instances(environment: Environment, state: State) -> Iterable[Change]:
    if state.fates is None or state.administrator is None or postponed(environment, state):
        return
    before, after = instances_present(state), instances_wanted(state)
    if stack_instances.StackInstances().same(before, after):
        return
    wish, fates = state.wish, state.fates
    connected, gone = fates.to_connect, fates.that(Fate.DISCONNECT)
    parts = [f"connect {markdown.count(len(connected), 'account')} of {_units(state, connected)}"] if connected else []
    empty = [unit for unit in fates.new_units if not fates.wanted[unit]]
    parts += [f"deploy to {_shown(state, empty)} for accounts to come"] if empty else []
    parts += [f"disconnect {markdown.count(len(gone), 'account')}"] if gone else []
    yield Change(
        resource=stack_instances.resource_of(environment, wish.administrator, environment.region, wish.name),
        summary="; ".join(parts) or f"stop deploying stack set {code(wish.name)} to OUs without accounts",
        before=before,
        after=after,
        outline=_OUTLINE_OF_INSTANCES,
    )


def postponed(environment: Environment, state: State) -> bool:
    """Whether connecting more accounts has to wait for another run.

    An update of the stack set goes through all of its instances, those among them that are not up to date: how they
    will be afterwards is not known yet.
    """
    behind = any(not each.current and not each.skipped for each in state.instances)
    present = stack_set_definition.definition(state.found) if state.found else None
    return behind and present is not None and wanted_definition(environment, state) not in (None, present)


def _anywhere(state: State) -> bool:
    """Whether there is anything to deploy to."""
    return state.fates is not None and bool(state.fates.wanted)


def _units(state: State, accounts: Iterable[str]) -> str:
    """The OUs that accounts are connected with."""
    assert state.fates is not None
    return _shown(state, [unit for unit, wanted in state.fates.wanted.items() if {*wanted} & {*accounts}])


def _shown(state: State, units: Iterable[str]) -> str:
    assert state.tree is not None
    return markdown.names([state.tree.units[unit].shown if unit in state.tree.units else unit for unit in units])


def _ways(state: State, administrator: Administrator) -> dict[str, Any]:
    """How to go about it; nothing that is seen afterwards."""
    return {"OperationPreferences": dict(state.wish.preferences), "CallAs": administrator.call_as}


def _description(environment: Environment) -> str:
    return f"Connects accounts to bucketAV: stack {environment.stack_name} of account {environment.account_a}."


_OUTLINE_OF_SET = tuple(
    f"stack-sets.{name}"
    for name in (
        "create permissions template template-source template-url name stack-name-parameter account-id-parameter "
        "automatic-deployment account-removal capabilities submit"
    ).split()
)
_OUTLINE_OF_INSTANCES = tuple(f"stack-sets.{name}" for name in "deployment targets regions submit".split())
