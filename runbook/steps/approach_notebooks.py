"""The notebooks that carry an approach out, in order, with the parameters to fill in; what is in place is left out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from runbook import commands
from runbook.aws.organizations import MANAGEMENT
from runbook.steps.approach_case import Case, NamedBucket, called
from runbook.steps.scenarios import papermill_line
from runbook.steps.topology import AccountState, Encryption, Reach, Way

OTHER_ADD_ON = "other"
"""Stands for the add-ons that only ever work within account a."""


class Approach(StrEnum):
    """The ways to let bucketAV in, the recommended one first; stack sets make the same roles as IAM_ROLE."""

    SAME_ACCOUNT = "run bucketAV in the account of the buckets"
    IAM_ROLE = "IAM role-based access"
    STACK_SETS = "IAM role-based access, by a stack set"
    BUCKET_POLICY = "S3 bucket-policy-based access"


@dataclass(frozen=True)
class Call:
    """A notebook to open, the parameters to fill in, and what for. `missing` says what only the reader can fill in."""

    notebook: str
    values: Mapping[str, Any]
    why: str
    missing: str = ""

    def in_environment(self, environment: str) -> dict[str, Any]:
        """All values that the notebook is given: none of a scenario's."""
        return {"environment": environment, "scenario": "", **self.values}

    def runbook_command(self, environment: str) -> str:
        """The command that carries it out; a comment where somebody has to name something first."""
        if self.missing:
            return self._comment
        return commands.for_notebook("run", self.notebook, environment, values=self.values, options=("--apply",))

    def papermill_command(self, environment: str) -> str:
        """The same with papermill."""
        if self.missing:
            return self._comment
        return papermill_line(self.notebook, {**self.in_environment(environment), "apply": True})

    @property
    def _comment(self) -> str:
        return f"# {self.notebook}: first name {self.missing}"


def calls(case: Case, approach: Approach) -> Iterable[Call]:
    """The notebooks in order; what is in place already is left out."""
    if approach is Approach.SAME_ACCOUNT:
        yield from _queues(case)
        return
    if approach is Approach.STACK_SETS:
        yield _stack_set(case)
        if left := [called(each) for each in case.accounts if _in_no_stack_set(each) and each.way is not Way.CONNECTED]:
            yield Call("02-iam-role", {"accounts": left}, "a stack set makes nothing in the management account")
    else:
        if unlisted := [called(each) for each in case.accounts if each.way is Way.APART]:
            why = "bucketAV has to know the account before it is connected, or sends events"
            yield Call("01-allowlist", {"accounts": unlisted}, why)
        yield from _by_role(case) if approach is Approach.IAM_ROLE else _by_policy(case)
    yield from _add_ons(case, approach)
    yield from _queues(case)


def _by_role(case: Case) -> Iterable[Call]:
    if accounts := [called(each) for each in case.accounts if each.way is not Way.CONNECTED]:
        yield Call("02-iam-role", {"accounts": accounts}, "a stack in each account makes the role and reports it")


def _stack_set(case: Case) -> Call:
    given = case.given
    values: dict[str, Any] = {"targets": list(given.organizational_units) or ["organization"]}
    if not given.organizational_units and given.number_of_accounts <= len(case.accounts) and given.accounts:
        values["only_accounts"] = [called(each) for each in case.accounts if not _in_no_stack_set(each)]
    own = case.topology.organization
    if own is None or own.id not in case.topology.lists.organizations:
        values["allowlist_organization"] = True
    return Call("03-stack-sets", values, "one definition connects them all; the organization goes on the allowlist")


def _in_no_stack_set(account: AccountState) -> bool:
    return account.label == MANAGEMENT


def _by_policy(case: Case) -> Iterable[Call]:
    closed = [
        each
        for each in case.to_open
        if each.state is None
        or (each.state.reach in (Reach.NONE, Reach.UNKNOWN) and each.state.encryption is not Encryption.AWS)
    ]
    why = "each bucket's policy names the scan role"
    if not closed and (not case.to_open or case.given.organizational_units):
        yield Call("05-bucket-policy", {}, why, "`buckets`, or an `inventory`: they could not be listed")
    elif closed:
        with_key = case.given.encryption == "customer-managed-key" or any(_with_key(each) for each in closed)
        values = {"buckets": [each.address for each in closed], **({"key_policy": "change"} if with_key else {})}
        yield Call("05-bucket-policy", values, why)


def _add_ons(case: Case, approach: Approach) -> Iterable[Call]:
    """Within a connected account add-ons need nothing; other buckets, and all by policy, have to be opened to them."""
    known = [each for each in case.given.add_ons if each != OTHER_ADD_ON]
    if not known:
        return
    sources = [each.address for each in case.buckets]
    targets = [each.address for each in case.targets]
    why = (
        "add-ons act through the roles, and need the target bucket of another account opened"
        if approach is not Approach.BUCKET_POLICY
        else "each add-on has a role of its own, which the buckets have to name"
    )
    if not sources and not targets:
        yield Call("04-add-ons", {"add_ons": known}, why, "`source_buckets` or `target_buckets`")
        return
    values: dict[str, Any] = {"source_buckets": sources} if sources else {}
    values |= {"target_buckets": targets} if targets else {}
    with_key = any(_with_key(each) for each in (*case.buckets, *case.targets))
    yield Call("04-add-ons", {**values, "add_ons": known, **({"key_policy": "change"} if with_key else {})}, why)


def _with_key(bucket: NamedBucket) -> bool:
    return bucket.state is not None and bucket.state.encryption is Encryption.CUSTOMER


def _queues(case: Case) -> Iterable[Call]:
    if queues := list(case.given.queues):
        yield Call("06-findings-topic", {"queues": queues}, "a queue in another account gets the findings")
