"""Who may do what: AWS's policy evaluation logic for one request, answered allowed, denied or indeterminate.

Nothing is allowed by guess. Whatever this module does not know (an operator, an element, the value of a variable)
makes the verdict indeterminate where it could change it, and only there: a definite explicit Deny elsewhere still
denies, and a request that nothing could allow is still denied.

Condition keys that follow from the principal and the resource are filled in. Any other key that a request's context
lacks counts as absent, even one that AWS puts into every request (aws:SecureTransport, aws:CurrentTime), unless the
request calls it unknown.

`python -m runbook.policy.evaluate` reads requests with their policies as JSON, one a line, and prints a verdict for
each, as JSON too.

Sources: IAM User Guide, "Policy evaluation logic" and "Cross-account policy evaluation logic"; KMS Developer Guide,
"Key policies"; Organizations User Guide, "SCP evaluation" and "RCP evaluation".
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import chain
from typing import Any, TextIO

from runbook.policy import conditions, principals, rules
from runbook.policy.answers import NO, YES, Answer, all_of, any_of, negation, unknown
from runbook.policy.conditions import Context
from runbook.policy.patterns import Variables, covers_action, covers_resource, lowered
from runbook.policy.principals import Principal, Reach
from runbook.policy.rules import Kind, Rule
from runbook.untrusted import pattern_text, printable, quoted

Policy = Mapping[str, Any]

ANYTHING: Policy = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
}
"""An identity policy that stands against nothing: what is left to decide is what the other policies say."""


class Verdict(StrEnum):
    ALLOWED = "allowed"
    DENIED = "denied"
    INDETERMINATE = "indeterminate"


@dataclass(frozen=True)
class Request:
    """One call. `principal` is an ARN, a service such as `sns.amazonaws.com`, or `*` for anonymous; `resource` an ARN.

    `unknown` names condition keys whose value the caller does not know; `aws:RequestTag/*` names many at once.
    To assume a role, `resource` is the role's ARN and the resource policy is its trust policy.
    """

    principal: str
    action: str
    resource: str
    resource_account: str
    context: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    unknown: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """`reason` is a sentence that names the deciding statement; `explicit` says that a Deny decided."""

    verdict: Verdict
    reason: str
    explicit: bool = False

    @property
    def allowed(self) -> bool:
        return self.verdict is Verdict.ALLOWED

    def renamed(self, name: str, other: str) -> Decision:
        """The same decision about a resource of another name. `name` may stand in no other part of a word."""
        return Decision(self.verdict, self.reason.replace(name, other), self.explicit)


def evaluate(
    request: Request,
    *,
    identity_policies: Sequence[Policy] = (),
    resource_policy: Policy | None = None,
    permissions_boundary: Policy | None = None,
    service_control_policies: Sequence[Sequence[Policy]] = (),
    resource_control_policies: Sequence[Sequence[Policy]] = (),
    session_policies: Sequence[Policy] = (),
) -> Decision:
    """Decide one request.

    Control policies come as one list for each level, from the root down to the account; none for an account that they
    do not apply to, such as the management account.
    """
    case = _Case(request, bounded=permissions_boundary is not None)
    if case.problem:
        return Decision(Verdict.INDETERMINATE, f"Not known, because {case.problem}.")
    kind = Kind.TRUST if case.assumes_role else Kind.RESOURCE
    boundary = permissions_boundary
    policies = _Policies(
        identity=list(rules.read_all(identity_policies, "identity policy", Kind.IDENTITY)),
        resource=[] if resource_policy is None else rules.read(resource_policy, "the resource policy", kind),
        boundary=None if boundary is None else rules.read(boundary, "the permissions boundary", Kind.IDENTITY),
        session=list(rules.read_all(session_policies, "session policy", Kind.IDENTITY)) if session_policies else None,
        service_control=rules.read_levels(service_control_policies, "service control policy", Kind.IDENTITY),
        resource_control=rules.read_levels(resource_control_policies, "resource control policy", Kind.CONTROL),
    )
    return case.decide(policies.for_caller(case.caller))


# Resource control policies are known to apply to these services; for others AWS extends its list over time:
# https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_rcps.html#rcp-supported-services
RESOURCE_CONTROL_SERVICES = ("s3", "sts", "kms", "sqs", "secretsmanager")
# A bucket owner's root user keeps these whatever the bucket policy denies:
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketPolicy.html
BUCKET_POLICY_ACTIONS = ("s3:getbucketpolicy", "s3:putbucketpolicy", "s3:deletebucketpolicy")
NO_GRANT = "no resource policy allows it"
ROLE_ARN = re.compile(r"arn:[a-z0-9-]+:iam::[0-9]{12}:role/.+")


@dataclass(frozen=True)
class _Policies:
    """The statements of all policies. No boundary and no session policies (None) limit nothing."""

    identity: list[Rule]
    resource: list[Rule]
    boundary: list[Rule] | None
    session: list[Rule] | None
    service_control: list[list[Rule]]
    resource_control: list[list[Rule]]

    def for_caller(self, caller: Principal) -> _Policies:
        """Without what cannot concern the caller: only users and roles have policies of their own."""
        if caller.kind in ("service", "provider", "anonymous"):
            return replace(self, identity=[], boundary=None, session=None, service_control=[])
        if caller.kind == "root":
            return replace(self, identity=[], boundary=None)
        if caller.kind == "federated-user":
            # Without a session policy, a session of GetFederationToken has only what resource policies grant it.
            return replace(self, session=self.session or [])
        if caller.is_service_linked_role:
            return replace(self, service_control=[], resource_control=[])
        return self

    def all(self) -> Iterator[Rule]:
        limits = [self.boundary or [], self.session or [], *self.service_control, *self.resource_control]
        return chain(self.identity, self.resource, *limits)


class _Case:
    """One request, and what each statement says about it."""

    def __init__(self, request: Request, *, bounded: bool) -> None:
        given = {key.lower(): conditions.texts(value) or () for key, value in request.context.items()}
        [principal_arn] = given.get("aws:principalarn", ())[:1] or [""]
        self.request = request
        self.bounded = bounded
        self.action = lowered(request.action)
        self.service = self.action.partition(":")[0]
        self.caller = principals.parse(request.principal, principal_arn)
        self.context = Context(given, _derived(request, self.caller, self.service), request.unknown)

    @property
    def problem(self) -> str:
        """Why the request itself cannot be judged, if so."""
        if self.caller.kind == "unknown":
            return f"{quoted(self.request.principal)} is not a principal"
        if not re.fullmatch(r"[a-z0-9-]+:[a-z0-9]+", self.action):
            return f"{quoted(self.request.action)} is not an action"
        if not principals.ACCOUNT_ID.fullmatch(self.request.resource_account):
            return f"{quoted(self.request.resource_account)} is not an account id"
        if self.request.resource != "*" and not self.request.resource.startswith("arn:"):
            return f"{quoted(self.request.resource)} is not an ARN"
        return ""

    @property
    def assumes_role(self) -> bool:
        on_role = ROLE_ARN.fullmatch(self.request.resource) is not None
        return self.action.startswith("sts:assumerole") or (self.service == "sts" and on_role)

    @property
    def only_by_resource_policy(self) -> bool:
        """KMS keys and roles: even in one account nobody gets in without the key policy or the trust policy."""
        of_alias = self.action.endswith("alias") and ":alias/" in self.request.resource
        on_key = self.service == "kms" and self.request.resource != "*" and not of_alias
        return self.assumes_role or on_key

    def decide(self, policies: _Policies) -> Decision:
        what = f"{pattern_text(self.request.action)} on {pattern_text(self.request.resource)}"
        if self.action == "sts:getcalleridentity" and self.caller.kind != "anonymous":
            return Decision(Verdict.ALLOWED, "Everyone may call sts:GetCallerIdentity; no policy can change that.")
        denied = any_of(self.says("Deny", rule) for rule in policies.all())
        if denied.truth:
            return Decision(Verdict.DENIED, f"{what} is denied by {denied.why}.", explicit=True)
        allowed = self.allowed(policies)
        if allowed.truth is False:
            return Decision(Verdict.DENIED, f"{what} is not allowed: {allowed.why}.")
        for answer in (denied, allowed):
            if answer.truth is None:
                who = pattern_text(self.request.principal)
                return Decision(Verdict.INDETERMINATE, f"Whether {who} may {what} is not known: {answer.why}.")
        return Decision(Verdict.ALLOWED, f"{what} is allowed by {allowed.why}.")

    def allowed(self, policies: _Policies) -> Answer:
        """Whether anything allows the request and no limit withholds it, explicit denies aside."""
        grants = {
            reach: any_of((self.says("Allow", rule, reach) for rule in policies.resource), NO_GRANT) for reach in Reach
        }
        if self.caller.kind in ("service", "provider", "anonymous"):
            return grants[Reach.DIRECT]
        if self.caller.kind == "root" and self.assumes_role:
            return Answer(False, "a root user cannot assume roles")
        identity = self.identity(policies)
        limits = [
            self.within(policies.boundary, "the permissions boundary does not allow it"),
            self.within(policies.session, "no session policy allows it"),
        ]
        controls = [
            self.within(level, f"no service control policy at level {number} allows it")
            for number, level in enumerate(policies.service_control, 1)
        ]
        if self.caller.account != self.request.resource_account:
            return all_of([any_of(grants.values(), NO_GRANT), identity, *limits, *controls])
        delegated = grants[Reach.ACCOUNT] if self.only_by_resource_policy else YES
        by_identity = all_of([delegated, identity, *limits])
        by_role = all_of([grants[Reach.ROLE], *limits])
        why = by_role.why if grants[Reach.ROLE].truth else by_identity.why
        return all_of([any_of([by_identity, grants[Reach.DIRECT], by_role], why), *controls])

    def identity(self, policies: _Policies) -> Answer:
        if self.caller.kind == "root":
            return Answer(True, "being the root user of the account")
        return any_of((self.says("Allow", rule) for rule in policies.identity), "no identity policy allows it")

    def within(self, limit: list[Rule] | None, otherwise: str) -> Answer:
        """Whether a limit lets the request through; None is no limit. Its reason is not worth mentioning."""
        if limit is None:
            return YES
        answer = any_of((self.says("Allow", rule) for rule in limit), otherwise)
        return YES if answer.truth else answer

    def says(self, effect: str, rule: Rule, reach: Reach | None = None) -> Answer:
        """Whether a statement has this effect on the request; with `reach`, naming the caller in that way."""
        if rule.body.get("Effect") == ("Allow" if effect == "Deny" else "Deny") or self.is_exempt(effect, rule):
            return NO
        answer = all_of(self.applies(rule, effect, reach))
        if answer.truth is None:
            return unknown(f"{rule.where} may apply, but {answer.why}")
        return Answer(True, rule.where) if answer.truth else NO

    def is_exempt(self, effect: str, rule: Rule) -> bool:
        owner = self.caller.kind == "root" and self.caller.account == self.request.resource_account
        return owner and effect == "Deny" and rule.kind is Kind.RESOURCE and self.action in BUCKET_POLICY_ACTIONS

    def applies(self, rule: Rule, effect: str, reach: Reach | None) -> Iterator[Answer]:
        if rule.defect:
            yield unknown(rule.defect)
            if not rule.body:
                return
        if rule.body.get("Effect") != effect:
            yield unknown(f"its Effect is {quoted(rule.body.get('Effect'))}")
        if rule.kind is Kind.CONTROL and self.service not in RESOURCE_CONTROL_SERVICES:
            yield unknown(f"it is not known whether resource control policies apply to {self.service}")
        yield self.names_action(rule)
        yield self.names_caller(rule, effect, reach)
        yield self.names_resource(rule)
        if "Condition" in rule.body:
            yield conditions.holds(rule.body["Condition"], self.context, self.variables(rule))

    def names_action(self, rule: Rule) -> Answer:
        element, patterns = _either(rule.body, "Action")
        if patterns is None or (element == "NotAction" and not patterns):
            return unknown("its Action is missing or malformed")
        covered = any_of(covers_action(pattern, self.action) for pattern in patterns)
        return negation(covered) if element == "NotAction" else covered

    def names_resource(self, rule: Rule) -> Answer:
        element, patterns = _either(rule.body, "Resource")
        if rule.kind is Kind.TRUST:
            return unknown("a trust policy has no Resource") if element else YES
        if patterns is None or (element == "NotResource" and not patterns):
            return unknown("its Resource is missing or malformed")
        variables = self.variables(rule)
        covered = any_of(covers_resource(pattern, self.request.resource, variables) for pattern in patterns)
        return negation(covered) if element == "NotResource" else covered

    def variables(self, rule: Rule) -> Variables | None:
        return self.context.variable if rule.has_variables else None

    def names_caller(self, rule: Rule, effect: str, reach: Reach | None) -> Answer:
        elements = [element for element in ("Principal", "NotPrincipal") if element in rule.body]
        if rule.kind is Kind.IDENTITY:
            return unknown("an identity policy has no Principal") if elements else YES
        if len(elements) != 1:
            return unknown("it needs either Principal or NotPrincipal")
        element = rule.body[elements[0]]
        if elements == ["Principal"]:
            reaches = [reach] if reach else Reach
            return any_of(principals.named(element, self.caller, each, grants=effect == "Allow") for each in reaches)
        if effect == "Allow" or rule.kind is Kind.TRUST:
            return unknown("AWS does not support NotPrincipal here")
        if self.bounded and self.caller.kind in ("user", "role", "assumed-role"):
            # Whoever has a permissions boundary is always denied, listed or not (IAM User Guide, "NotPrincipal").
            return YES
        return negation(principals.spared(element, self.caller))


def _either(statement: Mapping[str, Any], name: str) -> tuple[str, list[str] | None]:
    """Which of `Action` and `NotAction` a statement has, and its texts; None when malformed."""
    present = [element for element in (name, f"Not{name}") if element in statement]
    if len(present) != 1:
        return present[0] if present else "", None
    values = statement[present[0]]
    values = values if isinstance(values, (list, tuple)) else [values]
    return present[0], list(values) if all(isinstance(value, str) for value in values) else None


def _derived(request: Request, caller: Principal, service: str) -> dict[str, tuple[str, ...]]:
    """The condition keys that follow from the principal and the resource; no values where one is certainly absent.

    Source: IAM User Guide, "AWS global condition context keys" and "Principal key values".
    """
    keys: dict[str, tuple[str, ...]] = {"aws:resourceaccount": (request.resource_account,), "aws:username": ()}
    if service == "s3":
        keys["s3:resourceaccount"] = (request.resource_account,)
    if caller.kind == "service":
        return keys | {"aws:principalisawsservice": ("true",), "aws:principalservicename": (caller.text,)}
    if caller.kind == "anonymous":
        anonymous = dict.fromkeys(("aws:principalaccount", "aws:userid"), ("anonymous",))
        return keys | anonymous | {"aws:principaltype": ("Anonymous",)}
    types = {"root": "Account", "user": "User", "federated-user": "FederatedUser"}
    if caller.account and caller.kind != "provider":
        keys |= {
            "aws:principalisawsservice": ("false",),
            "aws:principalaccount": (caller.account,),
            "aws:principalarn": (caller.role_arn or caller.text,),
            "aws:principaltype": (types.get(caller.kind, "AssumedRole"),),
        }
    if service == "kms" and caller.account:
        keys["kms:calleraccount"] = (caller.account,)
    if caller.kind == "root":
        keys["aws:userid"] = (caller.account,)
    if caller.kind == "user":
        keys["aws:username"] = (caller.name.rpartition("/")[2],)
    return keys


# ---- as a command ----

NEEDED = ("id", "principal", "action", "resource", "resource_account")
POLICIES = ("identity_policies", "session_policies")
LEVELS = ("service_control_policies", "resource_control_policies")
SINGLE = ("resource_policy", "permissions_boundary")
# Fields that say something about a case and take no part in it.
REMARKS = (
    "allowed",
    "verdict",
    "expected",
    "reason",
    "source",
    "comment",
    "note",
    "description",
    "title",
    "name",
    "why",
)


def decide_case(case: Mapping[str, Any]) -> Decision:
    """A decision for one case in the format of tests/data/access-cases.jsonl.

    A field that is not known makes the verdict indeterminate, since it may hold a policy that matters.
    Raises ValueError when a field is missing or is not what it has to be.
    """
    missing = [name for name in NEEDED if name not in case]
    if missing:
        raise ValueError(f"the field {', '.join(missing)} is missing")
    for name in NEEDED[1:]:
        if not isinstance(case[name], str):
            raise ValueError(f"{name} is {case[name]!r}, not a text")
    given = {name: value for name, value in case.items() if value is not None}
    for name in (*POLICIES, *LEVELS):
        if not isinstance(given.get(name, []), list):
            raise ValueError(f"{name} is not a list")
    for name in LEVELS:
        if not all(isinstance(level, list) for level in given.get(name, [])):
            raise ValueError(f"{name} is not a list of levels, each a list of policies")
    unknown_keys = given.get("unknown", [])
    if not isinstance(unknown_keys, list) or not all(isinstance(key, str) for key in unknown_keys):
        raise ValueError("unknown is not a list of condition keys")
    context = given.get("context", {})
    known = {key: value for key, value in context.items() if value is not None} if isinstance(context, dict) else None
    if known is None or any(conditions.texts(value) is None for value in known.values()):
        raise ValueError("context is not an object of texts or lists of texts")
    strangers = set(given) - {*NEEDED, *POLICIES, *LEVELS, *SINGLE, *REMARKS, "context", "unknown"}
    if strangers:
        return Decision(Verdict.INDETERMINATE, f"The field {', '.join(sorted(strangers))} is not known.")
    request = Request(
        principal=case["principal"],
        action=case["action"],
        resource=case["resource"],
        resource_account=case["resource_account"],
        context=known,
        unknown=unknown_keys,
    )
    return evaluate(request, **{name: given[name] for name in (*POLICIES, *LEVELS, *SINGLE) if name in given})


def main(
    lines: Iterable[str | bytes] = sys.stdin.buffer, output: TextIO = sys.stdout, errors: TextIO = sys.stderr
) -> int:
    """Answer each line; 1 when a line could not be read, after answering all the others."""
    status = 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            case = json.loads(line)
            if not isinstance(case, dict):
                raise ValueError("it is not a JSON object")
            decision = decide_case(case)
        except (ValueError, RecursionError) as error:
            print(printable(f"line {number}: {error}"), file=errors)
            status = 1
        else:
            print(json.dumps({"id": case["id"], "verdict": decision.verdict}), file=output)
    return status


if __name__ == "__main__":
    sys.exit(main())
