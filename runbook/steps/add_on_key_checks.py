"""What stands between an add-on's role and a bucket's keys: the key's policy, the role's own, and who manages it."""

from collections.abc import Iterable

from runbook.aws.kms import OURS, Key
from runbook.checks import Check, Status
from runbook.environment import Environment
from runbook.policy import document, keys
from runbook.policy.document import Document
from runbook.policy.evaluate import Verdict
from runbook.steps.add_on_parts import Part
from runbook.steps.add_ons_changes import (
    RESTRICTION,
    KeyUse,
    desired_key_policies,
    kept_from_key,
    key_is_open,
    key_uses,
    owning_stack,
    predicted_callers,
)
from runbook.steps.add_ons_state import BucketKey, Site, State
from runbook.steps.bucket_access import key_half
from runbook.steps.policy_checks import key_policy_objection
from runbook.untrusted import code

TITLE = "Its keys let the role in"
OWN = "The role's own policy lets it use the keys"


class KeyQuestions:
    """Answers about the keys of all buckets of a look; what is worked out for all together is worked out once."""

    def __init__(self, environment: Environment, state: State) -> None:
        self._environment = environment
        self._state = state
        self._choice = state.wish.key_policy
        uses = [use for use in key_uses(state.sites) if use.role in state.callers]
        self._desired = desired_key_policies(state, uses)
        self._later = predicted_callers(state, uses) if self._choice == "change" else state.callers

    def checks(self, site: Site, part: Part) -> Iterable[Check]:
        """Whether a role can use the keys that it needs on a bucket, or will."""
        if not part.key_actions:
            yield Check(TITLE, site.address, Status.OK, "Listing versions and reading tags takes no key.")
            return
        if not site.keys_for(part):
            found = f"Default encryption is {site.bucket.encryption}; no key to open."
            yield Check(TITLE, site.address, Status.OK, found)
        for each in site.keys_for(part):
            yield from self._key_checks(site, part, each)

    def _key_checks(self, site: Site, part: Part, each: BucketKey) -> Iterable[Check]:
        severe = Status.WARNING if self._choice == "skip" else Status.FAILED
        key = each.key
        if key is None:
            yield Check(TITLE, site.address, severe, each.problem, "Ask the key's owner to have a look.")
        elif key.aws_managed:
            yield _aws_managed(site, part, each)
        elif not key.enabled:
            yield Check(TITLE, site.address, Status.FAILED, f"{_shown(each)}, which is not enabled.", "Enable the key.")
        else:
            use = KeyUse(site, part, key)
            yield self._policy_check(use, each)
            yield from self._own_checks(use, severe)

    def _policy_check(self, use: KeyUse, each: BucketKey) -> Check:
        address, key, caller = use.site.address, use.key, self._state.callers[use.role]
        shown, needed = _shown(each), " and ".join(use.part.key_actions)
        if key_is_open(caller, use, key.policy) and (self._choice != "change" or key.arn not in self._desired):
            return Check(TITLE, address, Status.OK, f"{shown}, which lets {use.part.who} {needed}.")
        if self._choice != "change":
            status = Status.WARNING if self._choice == "skip" else Status.FAILED
            return Check(
                TITLE,
                address,
                status,
                f"{shown}, which does not let {use.part.who} {needed}.",
                "`key_policy: change` adds a statement to the key's policy; `skip` leaves the key to its owner.",
            )
        desired = document.parse(self._desired[key.arn], "policy")
        if objection := self._objection(use, key, desired):
            return Check(TITLE, address, Status.FAILED, *objection)
        return Check(TITLE, address, Status.OK, f"{shown}; a statement will let {use.part.who} {needed}.")

    def _objection(self, use: KeyUse, key: Key, desired: Document) -> tuple[str, str] | None:
        """Why a statement in the key's policy cannot be stored, would be useless, or would harm its administrators."""
        if objection := key_policy_objection(desired):
            return objection
        for action in use.part.key_actions:
            decision = key_half(self._state.callers[use.role], use.site.bucket, key, desired.body, action)
            if decision.verdict is Verdict.DENIED and decision.explicit:
                return (
                    f"A statement would be useless in the policy of {key.arn}: {decision.reason}",
                    "Ask the key's owner to make an exception for the role.",
                )
        operator = self._environment.identity(key.account).arn
        before = document.parse(key.policy or "", "policy")
        if lost := keys.lost(before, desired, key.arn, [operator], but=OURS):
            return (
                f"With it, administrators of {key.arn} could not do any more what they can do now: "
                f"{', '.join(lost[:3])}.",
                "Open the key by hand.",
            )
        decision = keys.may_change(desired, key.arn, operator)
        if not decision.allowed:
            return (
                f"The policy of {key.arn} does not let {operator} change it, and KMS refuses a policy that locks out "
                f"who puts it: {decision.reason}",
                "Have an administrator of the key do this, or add the statement by hand.",
            )
        return None

    def _own_checks(self, use: KeyUse, severe: Status) -> Iterable[Check]:
        """Cross-account, the key's policy is only half of it: KMSKeyRestriction limits the role's own half."""
        address, stack = use.site.address, owning_stack(self._state, use.role)
        where = f"stack {code(stack.name)}" if stack else f"the connection stack of account {use.part.account}"
        if not kept_from_key(self._state.callers[use.role], use):
            yield Check(OWN, address, Status.OK, f"{use.part.who} may use them.")
        elif not kept_from_key(self._later[use.role], use):
            found = f"{RESTRICTION} of {where} keeps {use.part.who} from {use.key.arn}; it will be added there."
            yield Check(OWN, address, Status.OK, found)
        else:
            change = " (`key_policy: change` does so)" if stack and self._choice != "change" else ""
            found = f"{use.part.who} is kept from {use.key.arn} by its own policy."
            yield Check(OWN, address, severe, found, f"Add the key to {RESTRICTION} of {where}{change}.")


def _aws_managed(site: Site, part: Part, each: BucketKey) -> Check:
    what = "Default encryption uses" if each.default else "Some of its files are encrypted with"
    if not part.crosses(site.bucket.account):
        found = f"{what} the AWS-managed key aws/s3, which is open to roles of its own account."
        return Check(TITLE, site.address, Status.OK, found)
    return Check(
        TITLE,
        site.address,
        Status.FAILED,
        f"{what} the AWS-managed key aws/s3; its policy cannot be changed, so no role of another account can ever use "
        "it.",
        "Ways out: change the bucket to SSE-S3 or to a customer-managed key, and copy files that are to be read over "
        "themselves; or connect the account by IAM role (02-iam-role), so that a role of its own does the work; or use "
        "another bucket.",
    )


def _shown(each: BucketKey) -> str:
    """`Default encryption uses arn:aws:kms:…`."""
    arn = each.key.arn if each.key else ""
    return f"Default encryption uses {arn}" if each.default else f"Some of its files are encrypted with {arn}"
