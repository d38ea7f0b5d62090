"""What becomes of each account: how it stands with bucketAV, what its stack should be, and the change that takes."""

import json
from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum

from runbook.aws import template
from runbook.aws.connection_template import ACCOUNT_PARAMETER, STACK_NAME_PARAMETER
from runbook.aws.connections import Connection
from runbook.aws.stacks import WholeStack, as_text, body_of, leftover, resource_of
from runbook.environment import Environment
from runbook.plan import Change, Effect
from runbook.steps.iam_role_state import Standing, State
from runbook.untrusted import code, text

OUTLINE = ("iam-role.connect", "iam-role.connect-account")


class Way(StrEnum):
    """What there is to do in an account."""

    CREATE = "create the connection stack"
    UPDATE = "update the connection stack"
    NOTHING = "nothing: it is connected as it should be"
    ELSEWHERE = "nothing: another stack connects it"
    TAKEN = "not possible: the role's name is taken"
    FORGOTTEN = "not possible: bucketAV does not know of its stack"
    DELETE = "delete the connection stack"
    ABSENT = "nothing: there is no such stack"


def way_of(environment: Environment, state: State, standing: Standing) -> Way:
    """What there is to do in an account that could be looked at."""
    if standing.account in state.wish.disconnect:
        return Way.ABSENT if standing.stack is None or _is_empty(standing) else Way.DELETE
    if standing.value is not None:
        if not WholeStack().same(standing.value, wanted(environment, state, standing)):
            return Way.UPDATE
        known = state.connections is None or state.connection_of(standing.account, environment.region)
        return Way.NOTHING if known else Way.FORGOTTEN
    if standing.role is None:
        return Way.CREATE
    return Way.ELSEWHERE if other_connection(environment, state, standing) else Way.TAKEN


def other_connection(environment: Environment, state: State, standing: Standing) -> Connection | None:
    """The connection that another stack of this Region has made, as bucketAV knows it."""
    found = state.connection_of(standing.account, environment.region)
    return found if found and standing.role_owner and found.stack_id.raw == standing.role_owner else None


def wanted(environment: Environment, state: State, standing: Standing) -> str | None:
    """What the account's stack should be; None where it should not be, or the template is not known."""
    if state.template is None or standing.account in state.wish.disconnect:
        return None
    return as_text(
        state.template.body,
        wanted_parameters(environment, state, standing),
        state.template.capabilities,
        TemplateURL=state.template.url,
    )


def wanted_parameters(environment: Environment, state: State, standing: Standing) -> dict[str, str]:
    """All parameters of the stack: those given, else those it has, else the template's defaults."""
    assert state.template is not None
    present: Mapping[str, str] = json.loads(standing.value)["Parameters"] if standing.value else {}
    own = {STACK_NAME_PARAMETER: environment.stack_name, ACCOUNT_PARAMETER: environment.account_a}
    return state.template.with_defaults({**present, **own, **state.wish.parameters})


def changes_of(environment: Environment, state: State, leave_out: Collection[str]) -> Iterable[Change]:
    """A change for each account that needs one; none for those to leave out."""
    for account, standing in state.standings.items():
        if account in leave_out or standing.problem:
            continue
        way = way_of(environment, state, standing)
        if way in (Way.CREATE, Way.UPDATE, Way.DELETE):
            yield _change(environment, state, standing, way)


def _change(environment: Environment, state: State, standing: Standing, way: Way) -> Change:
    name = state.wish.stack_name
    partition = environment.identity(standing.account).partition
    after = wanted(environment, state, standing)
    summaries = {
        Way.CREATE: f"connect the account to bucketAV: create stack {code(name)}, version {version_in(after)}",
        Way.UPDATE: f"update stack {code(name)} from version {version_in(standing.value)} to {version_in(after)}",
        Way.DELETE: f"disconnect the account from bucketAV: delete stack {code(name)}",
    }
    remains = (leftover(name),) if way is Way.CREATE and standing.stack is not None else ()
    summary = summaries[way] + (", after what a failed attempt has left of it is deleted" if remains else "")
    return Change(
        resource=resource_of(partition, standing.account, environment.region, name),
        summary=summary,
        before=standing.value,
        after=after,
        outline=OUTLINE,
        effects=(*remains, *_effects(standing.value, after)),
    )


def _effects(before: str | None, after: str | None) -> tuple[Effect, ...]:
    """The resources that come or go."""
    parts = []
    for value in (before, after):
        values = json.loads(value) if value else None
        try:
            content = template.parse(body_of(values)) if values else None
        except template.NotKnown:
            return ()
        parts.append((content, values["Parameters"] if values else {}))
    (old, old_parameters), (new, new_parameters) = parts
    return template.replaced(old, old_parameters, new, new_parameters)


def version_in(value: str | None) -> str:
    """The version of the template that a stack was made from, as it says; else `unknown`."""
    return version_of(body_of(json.loads(value))) if value else "unknown"


def version_of(body: str) -> str:
    """The version that a template says it is, in its outputs or in what it tells bucketAV; else `unknown`."""
    try:
        content = template.parse(body)
    except template.NotKnown:
        return "unknown"
    told = [content.get("Outputs", {}).get("Version", {}).get("Value")]
    told += [each.get("Properties", {}).get("StackVersion") for each in content["Resources"].values()]
    return next((text(each) for each in told if isinstance(each, str)), "unknown")


def _is_empty(standing: Standing) -> bool:
    """A stack that is only a name: nothing was created, or nothing is left."""
    return standing.value is None
