"""Resources that an action is needed on: as narrow as AWS takes them, and as names are known.

`permissions/resources.yaml` beside this module has the patterns. Names come from an environment, from a step, or from
both; what is not known is `*`. A plan narrows whose policies are written to the buckets and keys that it changes.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache, singledispatch
from itertools import product
from pathlib import Path
from string import Formatter
from typing import Any

from runbook.aws.connection_template import parse_address as parse_template_address
from runbook.aws.connections import role_name
from runbook.environment import Environment, EnvironmentFile
from runbook.parameters import load_yaml
from runbook.plan import Plan
from runbook.policy import actions
from runbook.steps.add_ons import AddOns
from runbook.steps.bucket_policy import BucketPolicy
from runbook.steps.connection_parameters import published_at
from runbook.steps.findings_topic import FindingsTopic
from runbook.steps.iam_role import IamRole
from runbook.steps.stack_sets import StackSets
from runbook.steps.step import Asked

FILE = Path(__file__).with_name("permissions") / "resources.yaml"

HOME, MANAGEMENT, DELEGATED = "bucketAV account", "management account", "delegated administrator"
"""The parts that one account has each. What the other accounts are differs from notebook to notebook."""

ANY = ("*",)

CONNECTION = "-account-connection"
"""Stacks and stack sets that connect accounts are called `bucketav-account-connection` unless a parameter says more."""

PUBLISHED = "bucketav-add-ons/account-connection/*"
"""The versions of the connection template. Source: outline `stack-sets.template-url`."""

CHANGED = ("kms:key", "s3:bucket")
"""Types whose policies are written only where a plan changes them."""

Names = Mapping[str, tuple[str, ...]]
"""A name in the patterns -> what it may be."""


@dataclass(frozen=True)
class Scope:
    """Where bucketAV is, as it stands in ARNs: `*` for what is not known, `${…}` in a CloudFormation template.

    `home` is the account that runs bucketAV, `bucketav` its stack's name, `account` the one that the policy is for.
    """

    partition: str = "aws"
    region: str = "*"
    home: str = "*"
    management: str = "*"
    bucketav: str = str(EnvironmentFile.model_fields["stack_name"].default)
    account: str = "*"

    @classmethod
    def of(cls, environment: Environment, part: str) -> "Scope":
        """Return the scope of a part in an environment; nothing is called."""
        home, region = environment.account_a, environment.region
        managed = "management" in environment.file.accounts
        management = environment.account_id("management") if managed else "*"
        account = {HOME: home, MANAGEMENT: management}.get(part, "*")
        return cls(_partition(region), region, home, management, environment.stack_name, account)


@dataclass(frozen=True)
class Known:
    """Facts known of a run: nothing, where it will be, also its step, or all of its plan."""

    environment: Environment | None = None
    step: Asked | None = None
    plan: Plan | None = None
    scope: Scope | None = None


def resources(notebook: str, action: str, names: Names, plan: Plan | None = None) -> tuple[str, ...]:
    """Return the ARN patterns that an action is needed on, `*` where AWS takes nothing narrower.

    None at all means that the run has no resource of that type.
    """
    if reason_for_any(notebook, action):
        return ANY
    types = actions.resource_types(action)
    if plan is not None and actions.manages_permissions(action) and {*types} & {*CHANGED}:
        return tuple(sorted({change.resource.arn for change in plan.changes if _type(change.resource.arn) in types}))
    patterns = _data()["resources"]
    return tuple(dict.fromkeys(arn for each in types for pattern in patterns[each] for arn in _filled(pattern, names)))


def reason_for_any(notebook: str, action: str) -> str:
    """Return why an action is needed on all resources, empty when it is not."""
    if not actions.resource_types(action):
        return "AWS defines no type of resource for these actions."
    return str(_data()["unnamed"].get(action, {}).get(notebook, ""))


def names_of(notebook: str, part: str, known: Known) -> Names:
    """Return the names for one part of a notebook, from what is known. Raises ParameterError for unusable values."""
    environment = known.environment
    scope = known.scope or (Scope.of(environment, part) if environment else Scope())
    found = _of_scope(notebook, part, scope)
    if known.step is None or environment is None:
        return found
    return {**found, **_of_step(known.step, environment, part)}


def _of_scope(notebook: str, part: str, scope: Scope) -> dict[str, tuple[str, ...]]:
    own, connection = scope.bucketav, f"{scope.bucketav}{CONNECTION}*"
    stack = (own, f"{own}-*") if notebook == AddOns.notebook else (own,)
    return {
        **{name: (value,) for name, value in asdict(scope).items()},
        "stack": stack if part == HOME else (connection,),
        "stack_set": (connection,),
        "role": (f"{own}-*",) if part == HOME else (role_name(own),),
        "bucket": ANY,
        "object": ("*/*",) if notebook == AddOns.notebook else (PUBLISHED,),
        "queue": (f"{own}-*",) if part == HOME else ANY,
    }


def _partition(region: str) -> str:
    prefixes = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}
    return next((partition for prefix, partition in prefixes.items() if region.startswith(prefix)), "aws")


# --- the names of a step ---------------------------------------------------------------------------------------------


@singledispatch
def _of_step(_step: Asked, _environment: Environment, _part: str) -> Names:
    return {}


@_of_step.register
def _(step: IamRole, environment: Environment, part: str) -> Names:
    template = {"object": _template(step)}
    if part == HOME:
        return template
    accounts = tuple(environment.account_id(account) for account in (*step.accounts, *step.disconnect))
    return {**template, "account": accounts, "stack": (step.connection_stack_name,)}


@_of_step.register
def _(step: StackSets, _environment: Environment, _part: str) -> Names:
    return {"object": _template(step), "stack_set": (step.stack_set_name,)}


@_of_step.register
def _(step: AddOns, environment: Environment, part: str) -> Names:
    wish, own = step.wish(environment), environment.stack_name
    listed = [
        target
        for target in (*wish.sources, *wish.targets)
        if (target.account == environment.account_a) == (part == HOME)
    ]
    if part != HOME:
        return {**_of_buckets(listed), "account": _each(target.account for target in listed)}
    named = [name for name in (*step.add_ons, *step.remove_add_ons) if not name.startswith(own)]
    return {
        **_of_buckets(listed),
        "stack": (own, f"{own}-*", *named),
        "role": (f"{own}-*", *(f"{name}-*" for name in named)),
    }


@_of_step.register
def _(step: BucketPolicy, environment: Environment, part: str) -> Names:
    targets = step.targets(environment)
    accounts = {} if part in (HOME, MANAGEMENT) else {"account": _each(target.account for target in targets)}
    return {**_of_buckets(targets), **accounts}


@_of_step.register
def _(step: FindingsTopic, environment: Environment, part: str) -> Names:
    if part in (HOME, MANAGEMENT):
        return {}
    targets = step.targets(environment)
    return {
        "account": _each(target.account for target in targets),
        "queue": _each([*(target.name for target in targets), *filter(None, [step.dead_letter])]),
    }


def _of_buckets(targets: Iterable[Any]) -> dict[str, tuple[str, ...]]:
    buckets = _each(target.bucket for target in targets)
    return {"bucket": buckets, "object": tuple(f"{bucket}/*" for bucket in buckets)}


def _template(step: IamRole | StackSets) -> tuple[str, ...]:
    address = parse_template_address(step.template_url or published_at(step.template_version))
    return (f"{address.bucket}/{address.key}",)


def _each(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


# --- the patterns ----------------------------------------------------------------------------------------------------


@cache
def _data() -> Mapping[str, Any]:
    found: Mapping[str, Any] = load_yaml(FILE)
    return found


def _filled(pattern: str, names: Names) -> Iterator[str]:
    """Return the pattern with every combination of names."""
    fields = _each(name for _, name, _, _ in Formatter().parse(pattern) if name)
    for values in product(*(names[field] for field in fields)):
        yield pattern.format(**dict(zip(fields, values, strict=True)))


def _type(arn: str) -> str:
    """Return the type of a bucket's or a key's ARN; of others only the service."""
    service, kind = arn.split(":")[2], arn.split(":", 5)[5].partition("/")[0]
    return {"s3": "s3:bucket", "kms": f"kms:{kind}"}.get(service, service)
