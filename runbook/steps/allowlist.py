"""Prepare bucketAV: lets accounts and organizations connect to it and send it events, by its stack's two lists."""

from collections.abc import Iterable, Mapping
from typing import ClassVar

from pydantic import Field, model_validator

from runbook import markdown
from runbook.access import AccessMatrix
from runbook.aws.organizations import read_organization
from runbook.aws.stack_parameters import as_text, from_text, resource_of
from runbook.checks import Check, Checks, Status
from runbook.environment import Environment
from runbook.parameters import OrganizationId, ParameterError, Several
from runbook.plan import Change, Plan, Resource
from runbook.policy.evaluate import Verdict
from runbook.progress import Progress, silent
from runbook.run import Run
from runbook.steps.allowlist_access import access
from runbook.steps.allowlist_checks import checks_of
from runbook.steps.allowlist_state import Lists, State, Wish, lists_of, observe
from runbook.steps.inventory import Account, account_ids
from runbook.steps.step import Step, Verification
from runbook.untrusted import code

PARAMETERS = "allowlist.parameters"


class Allowlist(Step):
    """Parameters of notebook 01-allowlist."""

    notebook: ClassVar[str] = "01-allowlist"
    title: ClassVar[str] = "Prepare bucketAV: allowlist accounts"
    default_scenario: ClassVar[str] = "one-account"
    alternatives: ClassVar[tuple[tuple[str, ...], ...]] = (
        ("accounts", "organizations", "remove_accounts", "remove_organizations"),
    )

    accounts: Several[Account] = Field((), description="accounts to let in, each by its id or name")
    organizations: Several[OrganizationId] = Field((), description="organizations to let in as a whole, by their ids")
    remove_accounts: Several[Account] = Field((), description="accounts to take off the list again")
    remove_organizations: Several[OrganizationId] = Field((), description="organizations to take off the list again")

    @model_validator(mode="after")
    def _something_to_change(self) -> "Allowlist":
        if not (self.accounts or self.organizations or self.remove_accounts or self.remove_organizations):
            raise ValueError(
                "what is to be changed? Give `accounts` or `organizations` to let in, or `remove_accounts` or "
                "`remove_organizations` to take off the list; none of them is given."
            )
        return self

    def wish(self, environment: Environment) -> Wish:
        """What is to be put on the lists and taken off, as ids. Raises ParameterError."""
        problems: list[str] = []
        add = Lists(account_ids(self.accounts, environment, "accounts", problems), self.organizations)
        remove = Lists(
            account_ids(self.remove_accounts, environment, "remove_accounts", problems), self.remove_organizations
        )
        both = {*add.accounts, *add.organizations} & {*remove.accounts, *remove.organizations}
        problems += [f"{code(each)} is both to be let in and to be taken off the list." for each in sorted(both)]
        if environment.account_a in add.accounts:
            problems.append(
                f"`accounts`: {environment.account_a} is account a, which runs bucketAV: its own buckets are scanned "
                "without being on the list, and it cannot be connected to itself."
            )
        if problems:
            raise ParameterError(problems)
        return Wish(add, remove)

    def examine(self, environment: Environment) -> None:
        self.wish(environment)

    def observe(self, environment: Environment, *, progress: Progress = silent) -> State:
        organization = read_organization(environment, environment.account_a)
        return observe(environment, self.wish(environment), organization, progress)

    def checks(self, environment: Environment, state: State) -> Checks:
        return Checks.of(checks_of(environment, state))

    def plan(self, environment: Environment, state: State, scenario: str = "") -> Plan:
        failed = {check.subject for check in checks_of(environment, state) if check.status is Status.FAILED}
        return Plan(
            step=self.notebook,
            scenario=scenario,
            environment=environment.name,
            parameters=dict(self.as_given()),
            changes=() if failed else tuple(changes(environment, state)),
            notes=tuple(_notes(environment, state)),
            left_out=tuple(sorted(failed)),
        )

    def present(self, environment: Environment, state: State) -> Mapping[Resource, str | None]:
        return {resource_of(environment, state.stack): as_text(state.stack.parameters)}

    def verify(self, environment: Environment, state: State, run: Run, probed: None) -> Verification:  # noqa: ARG002 (nothing is probed)
        now = state.present
        before, after = (now, state.wanted) if not run.applied else (_lists_before(run, now), now)
        matrix = AccessMatrix(tuple(access(environment, state, before, after, now)), predicted=not run.applied)
        return Verification(Checks.of(_proof(state, matrix, run)), matrix)


# --- the change ------------------------------------------------------------------------------------------------------


def changes(environment: Environment, state: State) -> Iterable[Change]:
    """The change of the stack's parameters; nothing when both lists are as wanted."""
    if state.wanted_parameters != state.stack.parameters:
        yield Change(
            resource=resource_of(environment, state.stack),
            summary=_summary(state),
            before=as_text(state.stack.parameters),
            after=as_text(state.wanted_parameters),
            outline=(PARAMETERS,),
            effects=state.effects or (),
        )


def _summary(state: State) -> str:
    """`let account 444444444444 connect to bucketAV and send it events`; who is taken off follows after `no longer`."""
    present, wanted = state.present, state.wanted
    let_in = _named(_only(wanted, present))
    taken_off = _named(_only(present, wanted))
    parts = [f"let {let_in} connect to bucketAV and send it events"] if let_in else []
    if taken_off:
        parts.append(f"no longer let {taken_off} {'do so' if let_in else 'connect or send events'}")
    return "; ".join(parts)


def _only(some: Lists, others: Lists) -> Lists:
    return Lists(
        tuple(each for each in some.accounts if each not in others.accounts),
        tuple(each for each in some.organizations if each not in others.organizations),
    )


def _named(lists: Lists) -> str:
    parts = []
    if lists.accounts:
        parts.append(f"{'account' if len(lists.accounts) == 1 else 'accounts'} {markdown.names(lists.accounts)}")
    if lists.organizations:
        parts.append(f"every account of {markdown.names(lists.organizations)}")
    return " and ".join(parts)


def _notes(environment: Environment, state: State) -> Iterable[str]:
    """What is already so, and what else might be wanted."""
    there = [each for each in state.wish.add.accounts if each in state.present.accounts]
    there += [each for each in state.wish.add.organizations if each in state.present.organizations]
    if there:
        yield f"On the lists already: {markdown.names(there, most=10)}."
    own = state.organization
    if own is None:
        return
    members = [each for each in state.wish.add.accounts if each in (own.members or {})]
    if own.id in state.wanted.organizations:
        if members:
            yield f"{own.id} is on the list, which lets in {markdown.names(members)} without their ids."
        return
    missing = [each for each in own.active() if each not in (*state.wanted.accounts, environment.account_a)]
    if members and not missing:
        yield (
            f"With this, every active account of organization {own.id} is on the list, one by one. Its id does the "
            f"same and lets in the accounts to come as well: `organizations: [{own.id}]`."
        )
    elif members:
        belong = "belongs" if len(members) == 1 else "belong"
        yield (
            f"{markdown.names(members)} {belong} to organization {own.id}. To let in all of its accounts, and those "
            f"to come: `organizations: [{own.id}]`."
        )


# --- the proof -------------------------------------------------------------------------------------------------------


def _lists_before(run: Run, now: Lists) -> Lists:
    """The lists that the run found; those of now where it had nothing to change."""
    (before,) = [lists_of(from_text(change.before or "{}")) for change in run.plan.changes] or [now]
    return before


def _proof(state: State, matrix: AccessMatrix, run: Run) -> Iterable[Check]:
    title = f"bucketAV {'lets in' if run.applied else 'would let in'} who is on the lists, and nobody else"
    if state.policies is None:
        found = f"Who is let in cannot be worked out. {state.problems['policies']}"
        yield Check(
            title,
            state.stack.name,
            Status.WARNING,
            found,
            "It needs sns:GetTopicAttributes and sqs:GetQueueAttributes.",
        )
        return
    for subject, rows in matrix.by_principal().items():
        wrong = [row for row in rows if row.after.allowed != row.granted]
        if wrong:
            missing = any(row.granted and row.after.verdict is Verdict.DENIED for row in wrong)
            status = Status.FAILED if run.applied and missing else Status.WARNING
            found = f"{', '.join(row.action for row in wrong)} is {wrong[0].after.verdict}: {wrong[0].after.reason}"
            yield Check(title, subject, status, found, "Look at the policies of the topic and the queue.")
        else:
            yield Check(title, subject, Status.OK, "Let in." if rows[0].granted else "Kept out.")
    if run.applied:
        title, there = "Connection stacks have a topic to report to", state.policies.topic is not None
        if there == state.present.empty:
            found = (
                f"There is {'one' if there else 'none'}, although the lists are {'empty' if there else 'not empty'}."
            )
            remedy = "See in CloudFormation what became of the update, and of the topic since."
            yield Check(title, state.stack.name, Status.FAILED, found, remedy)
        else:
            found = "It is there." if there else "There is none, because nobody is on the lists."
            yield Check(title, state.stack.name, Status.OK, found)
