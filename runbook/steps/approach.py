"""Which approach fits, why, and which notebooks follow with which parameters: decided from answers and one look.

Nothing is called here. Source: outline, sections `overview` and `approaches`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from runbook import markdown
from runbook.steps.approach_case import MANY, Case
from runbook.steps.approach_notebooks import OTHER_ADD_ON, Approach, Call, calls
from runbook.steps.start_here import StartHere
from runbook.steps.topology import Encryption, Topology

HANDFUL = 5
"""Up to so many single buckets are opened by their own policies. The page gives no number here either."""


@dataclass(frozen=True)
class Reason:
    """A sentence, and the entry of the outline that it goes back to; empty for one of our own."""

    text: str
    entry: str = ""


@dataclass(frozen=True)
class Recommendation:
    """What to do, the reasons for it, what speaks against the other approaches, and what to look out for."""

    approach: Approach
    reasons: tuple[Reason, ...]
    others: tuple[tuple[Approach, Reason], ...]
    cautions: tuple[str, ...]
    calls: tuple[Call, ...]


def recommend(given: StartHere, topology: Topology) -> Recommendation:
    """The approach for what somebody has, where things stand now."""
    case = Case.of(given, topology)
    approach, reasons = _decide(case)
    others = tuple((each, _against(case, each)) for each in Approach if each is not approach)
    return Recommendation(
        approach=approach,
        reasons=tuple(reasons),
        others=others,
        cautions=tuple(_cautions(case, approach)),
        calls=tuple(calls(case, approach)),
    )


# --- the decision ----------------------------------------------------------------------------------------------------


def _decide(case: Case) -> tuple[Approach, list[Reason]]:
    if case.given.same_account:
        return Approach.SAME_ACCOUNT, [
            Reason("There is next to nothing to set up, and accounts stay apart.", "overview.same-account")
        ]
    if not case.given.create_roles:
        return Approach.BUCKET_POLICY, [
            Reason("No IAM role may be created in the accounts; this way creates nothing in them."),
            Reason("It is the finest-grained way: no more than each bucket is opened.", "approaches.permission-scope"),
        ]
    if case.single and len(case.buckets) <= HANDFUL and not case.encrypted(Encryption.AWS):
        return Approach.BUCKET_POLICY, [
            Reason(
                f"Only {markdown.count(len(case.buckets), 'single bucket')} to be scanned: a bucket policy opens "
                "nothing else, and nothing is created in the accounts.",
                "approaches.permission-scope",
            ),
            Reason("The work is the same again for every bucket; for so few it is little.", "approaches.effort"),
        ]
    reasons = [
        Reason("It is the way that the documentation recommends.", "approaches.iam-role"),
        Reason("It is set up once for an account; buckets that are added later need nothing.", "approaches.effort"),
    ]
    if case.single:
        reasons.append(
            Reason(
                f"{markdown.count(len(case.buckets), 'bucket')}: the role can be kept to them by the template's own "
                "parameters (`template_parameters`).",
                "approaches.permission-scope",
            )
        )
    if case.encrypted(Encryption.AWS):
        reasons.append(
            Reason(
                "Buckets are encrypted with AWS's own key, which opens to nobody outside of their account: a role "
                "inside is the only way to them.",
                "bucket-policy.kms",
            )
        )
    if case.many and case.organization:
        who = "whole OUs" if case.given.organizational_units else markdown.count(case.number, "account")
        return Approach.STACK_SETS, [
            *reasons,
            Reason(
                f"They are many ({who}) and in an organization: a stack set connects them from one place, and those "
                "that join later by itself.",
                "stack-sets.many-accounts",
            ),
        ]
    if case.many:
        reasons.append(Reason("They are many, but not in one organization, which a stack set of this kind needs."))
    return Approach.IAM_ROLE, reasons


def _against(case: Case, approach: Approach) -> Reason:
    """What speaks against an approach that is not the one."""
    match approach:
        case Approach.SAME_ACCOUNT:
            return Reason(
                "What the documentation recommends before all else, where it is possible. Here it is taken that "
                "bucketAV has to stay in account a (`same_account`).",
                "overview.same-account",
            )
        case _ if case.given.same_account:
            return Reason("Not needed: no other account is involved.")
        case Approach.BUCKET_POLICY if case.encrypted(Encryption.AWS):
            return Reason("It cannot open buckets that are encrypted with AWS's own key.", "bucket-policy.kms")
        case Approach.BUCKET_POLICY:
            return Reason("The work is the same again for every bucket, and for each that is new.", "approaches.effort")
        case _ if not case.given.create_roles:
            return Reason("It creates an IAM role in every account, which may not be (`create_roles`).")
        case Approach.STACK_SETS if not case.organization:
            return Reason("The accounts are not in one organization (`organization`).", "stack-sets.many-accounts")
        case Approach.STACK_SETS:
            return Reason(
                f"Worth it from about {MANY} accounts on; here it is {case.number}. It takes the management account or "
                "a delegated administrator.",
                "stack-sets.many-accounts",
            )
        case _ if case.single:
            return Reason(
                "It opens the account: more than these buckets, unless it is kept to them.",
                "approaches.permission-scope",
            )
        case _:
            return Reason("Possible as well: one stack after the other, and again for each account that joins.")


# --- what to look out for --------------------------------------------------------------------------------------------


def _cautions(case: Case, approach: Approach) -> Iterable[str]:
    given, topology = case.given, case.topology
    if approach is Approach.SAME_ACCOUNT:
        if given.queues:
            yield "A queue in another account gets the findings all the same: see below."
        return
    by_role = approach in (Approach.IAM_ROLE, Approach.STACK_SETS)
    if by_role and not topology.by_role_possible:
        yield f"{topology.stack.product}: too old for roles. Update it first; until then, only policies open buckets."
    if case.home:
        yield "Account a's own buckets need nothing here: bucketAV reads them without any connection."
    if given.organization == "yes" and topology.organization is None:
        yield "Account a says that it is in no organization, or may not ask. A stack set cannot be made before it can."
    if approach is Approach.STACK_SETS:
        if not topology.managed:
            yield "The environment names no `management` account; name it, or a delegated administrator."
        yield "A stack set never creates anything in the management account, and account a is always left out."
    blocked = [each.address for each in case.to_open if each.state and each.state.encryption is Encryption.AWS]
    if approach is Approach.BUCKET_POLICY and case.encrypted(Encryption.AWS):
        which = markdown.names(blocked) if blocked else "Buckets that are encrypted with AWS's own key"
        yield f"{which}: no policy can open them. Encrypt with a customer-managed key first, or let a role be created."
    if case.encrypted(Encryption.CUSTOMER):
        yield (
            "Customer-managed keys: "
            + (
                "the key's policy has to let the role in as well; 02-iam-role tells where it does not."
                if by_role
                else "the key's policy has to let the scan role in; 05-bucket-policy does that (`key_policy`)."
            )
        )
    if OTHER_ADD_ON in given.add_ons:
        yield "Other add-ons than the four work within account a only, whatever is opened here."
    for problem in (f"{each.title}: {each.problem}" for each in case.accounts if each.problem):
        yield problem.splitlines()[0]
