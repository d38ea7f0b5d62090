"""CloudFormation StackSets: connects many accounts of an organization to bucketAV by one stack set."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from runbook.access import AccessMatrix
from runbook.aws.organizations import MANAGEMENT
from runbook.aws.stack_set_operations import wait_until_idle
from runbook.aws.stack_sets import Instance
from runbook.checks import Check, Checks, Status
from runbook.environment import Environment
from runbook.parameters import Number, ParameterError, Several, YesOrNo, matching
from runbook.plan import Plan, Resource
from runbook.progress import Progress, silent
from runbook.run import Run
from runbook.steps.connection_parameters import Address, Version, published_at
from runbook.steps.inventory import Account, AccountOrNothing, UnitName, account_ids
from runbook.steps.stack_sets_access import Connections, access_of, read_connections
from runbook.steps.stack_sets_checks import checks_of
from runbook.steps.stack_sets_overview import overview
from runbook.steps.stack_sets_plan import changes, notes, observed, present
from runbook.steps.stack_sets_proof import detect_drift, proof
from runbook.steps.stack_sets_state import State, Wish, instances_now, observe
from runbook.steps.step import Step, Verification
from runbook.untrusted import code

StackSetName = Annotated[
    str, matching(r"[A-Za-z][A-Za-z0-9-]{0,127}", "a stack set's name (a letter, then letters, digits and hyphens)")
]


@dataclass(frozen=True)
class Probed:
    """The roles of some accounts, the instances with their last drift, and what detecting drift was like if it was."""

    connections: Connections
    instances: tuple[Instance, ...]
    drift: tuple[Check, ...]


class StackSets(Step):
    """Parameters of notebook 03-stack-sets."""

    notebook: ClassVar[str] = "03-stack-sets"
    title: ClassVar[str] = "Connect many accounts: CloudFormation StackSets"
    default_scenario: ClassVar[str] = "organizational-unit"
    alternatives: ClassVar[tuple[tuple[str, ...], ...]] = (
        ("targets", "remove_targets", "delete"),
        ("only_accounts", "except_accounts"),
        ("template_version", "template_url"),
    )

    targets: Several[UnitName] = Field(
        (), description="who to connect: `organization`, an OU's id, or its path such as Workloads/Production"
    )
    remove_targets: Several[UnitName] = Field(
        (), description="OUs whose accounts to disconnect again, written the same way"
    )
    delete: YesOrNo = Field(False, description="disconnect all accounts, then delete the stack set")
    only_accounts: Several[Account] = Field((), description="of the targets, only these accounts (INTERSECTION)")
    except_accounts: Several[Account] = Field((), description="of the targets, all but these accounts (DIFFERENCE)")
    stack_set_name: StackSetName = Field("bucketav-account-connection", description="what the stack set is called")
    template_version: Version = Field("2.0.0", description="the version of the account-connection template")
    template_url: Address = Field("", description="another address of the template in S3; empty for the product's own")
    template_parameters: dict[str, str] = Field({}, description="more parameters of the template, by name")
    administrator: AccountOrNothing = Field(
        "", description="the account to manage the stack set from; empty for the management account, else account a"
    )
    activate_trusted_access: YesOrNo = Field(False, description="let StackSets work in the organization if it may not")
    allowlist_organization: YesOrNo = Field(False, description="put the organization on bucketAV's list first")
    failure_tolerance: Number = Field(5, ge=0, description="in how many accounts it may fail before no more are begun")
    max_concurrent: Number = Field(10, ge=1, description="in how many accounts to work at a time")
    concurrency_mode: Literal["soft", "strict"] = Field(
        "soft", description="soft: as many at a time throughout; strict: fewer with every failure"
    )
    detect_drift: YesOrNo = Field(False, description="when verifying, have CloudFormation compare every stack anew")

    @model_validator(mode="after")
    def _one_thing_at_a_time(self) -> "StackSets":
        if self.delete and (self.targets or self.remove_targets or self.only_accounts or self.except_accounts):
            raise ValueError(
                "`delete` takes the whole stack set away: leave out `targets`, `remove_targets`, `only_accounts` and "
                "`except_accounts`."
            )
        if self.delete and (self.activate_trusted_access or self.allowlist_organization):
            raise ValueError(
                "`delete` takes the whole stack set away: it needs neither `activate_trusted_access` nor "
                "`allowlist_organization`."
            )
        if self.only_accounts and self.except_accounts:
            raise ValueError(
                "`only_accounts` and `except_accounts` are two ways to say the same; CloudFormation takes one of them."
            )
        if (self.only_accounts or self.except_accounts) and not self.targets:
            raise ValueError(
                "`only_accounts` and `except_accounts` choose among the accounts of `targets`; none given."
            )
        if both := sorted({*self.targets} & {*self.remove_targets}):
            raise ValueError(f"{code(both[0])} is both in `targets` and in `remove_targets`.")
        if self.concurrency_mode == "strict" and self.max_concurrent > self.failure_tolerance + 1:
            raise ValueError(
                f"`max_concurrent` is {self.max_concurrent}; in strict mode CloudFormation takes at most one more than "
                f"`failure_tolerance`, which is {self.failure_tolerance}. Lower it to {self.failure_tolerance + 1}, "
                "or set `concurrency_mode: soft`."
            )
        return self

    def wish(self, environment: Environment) -> Wish:
        """What is asked for, with accounts as ids. Raises ParameterError."""
        problems: list[str] = []

        only = account_ids(self.only_accounts, environment, "only_accounts", problems)
        excepted = account_ids(self.except_accounts, environment, "except_accounts", problems)
        named = [self.administrator or _default_administrator(environment)]
        administrator = account_ids(named, environment, "administrator", problems)
        if environment.account_a in only:
            problems.append(
                f"`only_accounts`: {environment.account_a} is account a, which runs bucketAV and cannot be connected "
                "to itself."
            )
        if problems:
            raise ParameterError(problems)
        return Wish(
            name=self.stack_set_name,
            administrator=administrator[0],
            targets=self.targets,
            remove_targets=self.remove_targets,
            delete=self.delete,
            only=only,
            excepted=excepted,
            url=self.template_url or published_at(self.template_version),
            parameters=self.template_parameters,
            activate=self.activate_trusted_access,
            allowlist=self.allowlist_organization,
            preferences=self._preferences,
        )

    @property
    def _preferences(self) -> Mapping[str, Any]:
        return {
            "FailureToleranceCount": self.failure_tolerance,
            "MaxConcurrentCount": self.max_concurrent,
            "ConcurrencyMode": f"{self.concurrency_mode.upper()}_FAILURE_TOLERANCE",
        }

    def examine(self, environment: Environment) -> None:
        self.wish(environment)

    def observe(self, environment: Environment, *, progress: Progress = silent) -> State:
        return observe(environment, self.wish(environment), progress)

    def settle(self, environment: Environment, state: State, *, progress: Progress = silent) -> State:
        """Wait until no operation goes on in the stack set, and look again if one did."""
        if state.administrator is None or state.running is None:
            return state
        wait_until_idle(environment, state.administrator, self.stack_set_name, lambda what: progress(0, 0, what))
        return self.observe(environment, progress=progress)

    def checks(self, environment: Environment, state: State) -> Checks:
        return Checks.of(checks_of(environment, state))

    def plan(self, environment: Environment, state: State, scenario: str = "") -> Plan:
        failed = {check.subject for check in checks_of(environment, state) if check.status is Status.FAILED}
        made = () if failed else changes(environment, state)
        return Plan(
            step=self.notebook,
            scenario=scenario,
            environment=environment.name,
            parameters=dict(self.as_given()),
            changes=made,
            observed=observed(environment, state, made),
            notes=tuple(notes(environment, state)),
            left_out=tuple(sorted(failed)),
            overview=overview(environment, state, made),
        )

    def probe(self, environment: Environment, state: State, run: Run, *, progress: Progress = silent) -> Probed:
        """Read the roles of some accounts; have drift detected where that is asked for, and read its result."""
        connections = read_connections(environment, state, run, progress)
        if not self.detect_drift:
            return Probed(connections, state.instances, ())
        drift = tuple(detect_drift(environment, state, progress))
        return Probed(connections, instances_now(environment, state), drift)

    def present(self, environment: Environment, state: State) -> Mapping[Resource, str | None]:
        return present(environment, state)

    def verify(self, environment: Environment, state: State, run: Run, probed: Probed) -> Verification:
        rows, access = access_of(state, run, probed.connections)
        checks = [*proof(environment, replace(state, instances=probed.instances), run), *probed.drift, *access]
        return Verification(Checks.of(checks), AccessMatrix(rows, predicted=not run.applied))


def _default_administrator(environment: Environment) -> str:
    return MANAGEMENT if MANAGEMENT in environment.file.accounts else "a"
