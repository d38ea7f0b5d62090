"""Whether a key's policy takes something away from those who administer the key, or locks them out.

A key whose policy lets nobody change it can only be brought back by AWS Support (KMS Developer Guide, "Default key
policy"). So a policy that is to replace another one is refused when anybody who may administer the key now, as far as
the policy goes, could do less with it afterwards.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from runbook.policy import actions, principals
from runbook.policy.document import Document
from runbook.policy.evaluate import ANYTHING, Decision, Request, Verdict, evaluate

CHANGE = "kms:PutKeyPolicy"


def administrators(document: Document, key_arn: str, others: Iterable[str] = ()) -> tuple[str, ...]:
    """Who may change the policy as far as it goes: the account, roles and users that it names, and of the `others`."""
    account = key_arn.split(":")[4]
    partition = key_arn.split(":")[1]
    asked = [f"arn:{partition}:iam::{account}:root", f"arn:{partition}:iam::{account}:role/any-other", *others]
    asked += [each for statement in document.statements for each in _named(statement.get("Principal"), partition)]
    return tuple(each for each in dict.fromkeys(asked) if _may(document, key_arn, each, CHANGE).allowed)


def lost(
    before: Document, after: Document, key_arn: str, others: Iterable[str] = (), *, but: Collection[str] = ()
) -> tuple[str, ...]:
    """What an administrator of the key could not do any more: `kms:PutKeyPolicy for arn:aws:iam::…:root`; or nothing.

    What cannot be decided counts as lost where it could be decided before. Actions in `but` are not asked about.
    """
    found = []
    for principal in administrators(before, key_arn, others):
        for action in (each for each in actions.of_service("kms") if each not in but):
            was, is_now = (_may(each, key_arn, principal, action).verdict for each in (before, after))
            if is_now is not was and (was is Verdict.ALLOWED or is_now is Verdict.DENIED):
                found.append(f"{action} for {principal}")
    return tuple(found)


def may_change(document: Document, key_arn: str, principal: str) -> Decision:
    """Whether the policy goes as far as to let a principal change it again: KMS refuses to store one that does not."""
    return _may(document, key_arn, principal, CHANGE)


def _may(document: Document, key_arn: str, principal: str, action: str) -> Decision:
    """What the policy says; the principal's own policies are taken to allow everything."""
    request = Request(principal, action, key_arn, key_arn.split(":")[4], _context(principal), unknown=["*"])
    return evaluate(request, identity_policies=(ANYTHING,), resource_policy=document.body)


def _context(principal: str) -> dict[str, str]:
    caller = principals.parse(principal)
    known = {"aws:PrincipalAccount": caller.account, "kms:CallerAccount": caller.account}
    known["aws:PrincipalArn"] = caller.role_arn or principal
    return {name: value for name, value in known.items() if value} | {"aws:SecureTransport": "true"}


def _named(element: object, partition: str) -> Iterable[str]:
    """The accounts, roles and users that a Principal names, as callers."""
    kinds = element if isinstance(element, dict) else {}
    values = kinds.get("AWS", [])
    for value in [values] if isinstance(values, str) else _texts(values):
        if principals.ACCOUNT_ID.fullmatch(value):
            yield f"arn:{partition}:iam::{value}:root"
        elif principals.parse(value).kind in ("root", "role", "user", "assumed-role") and "*" not in value:
            yield value


def _texts(values: Sequence[object]) -> list[str]:
    return [value for value in values if isinstance(value, str)]
