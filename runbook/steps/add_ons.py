"""Add-ons: lets them move files between accounts, quarantine and find them, by policies of buckets and keys."""

from collections.abc import Iterable, Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from runbook import markdown
from runbook.access import AccessMatrix
from runbook.aws.add_ons import AddOn, add_on_settings
from runbook.aws.cloudformation import scan_settings
from runbook.aws.stack_parameters import as_text, resource_of
from runbook.checks import Check, Checks, Status
from runbook.environment import Environment
from runbook.parameters import Offer, Several
from runbook.plan import Change, Plan, Resource
from runbook.policy import actions
from runbook.policy.statements import Mode
from runbook.progress import Progress, silent
from runbook.run import Run
from runbook.steps.add_ons_changes import changes
from runbook.steps.add_ons_checks import checks_of
from runbook.steps.add_ons_probe import probe_checks
from runbook.steps.add_ons_proof import not_looked_at, proof
from runbook.steps.add_ons_state import State, Wish, observe
from runbook.steps.inventory import BucketAddress, KeyPolicyChoice, Target, parse_address, with_account_ids
from runbook.steps.merging import MODES
from runbook.steps.step import Step, Verification
from runbook.untrusted import code

Expected = Literal[
    "", "connection-target", "connected", "target-bucket", "source-bucket", "scheduled-scan", "own-account"
]

AddOnName = Annotated[str, Offer("add-on")]
"""An add-on as the product calls it, or one of its stacks."""


class AddOns(Step):
    """Parameters of notebook 04-add-ons."""

    notebook: ClassVar[str] = "04-add-ons"
    title: ClassVar[str] = "Add-ons"
    default_scenario: ClassVar[str] = "connection-target"
    alternatives: ClassVar[tuple[tuple[str, ...], ...]] = (
        ("source_buckets", "target_buckets"),
        ("add_ons", "remove_add_ons"),
    )

    source_buckets: Several[BucketAddress] = Field(
        (), description="buckets that files come from, each as ACCOUNT/BUCKET"
    )
    target_buckets: Several[BucketAddress] = Field(
        (), description="target or quarantine buckets, each as ACCOUNT/BUCKET"
    )
    add_ons: Several[AddOnName] = Field((), description="add-ons or their stacks; none: all installed ones that fit")
    remove_add_ons: Several[AddOnName] = Field((), description="add-ons or stacks whose statements are taken out again")
    situation: Expected = Field("", description="the situation it should turn out to be; empty: any")
    key_policy: KeyPolicyChoice = Field(
        "check", description="keys of encrypted buckets: must be open, open them, leave them"
    )
    mode: Mode = Field("literal", description="the documented statements, or narrower ones")

    @model_validator(mode="after")
    def _some_bucket(self) -> "AddOns":
        if not (self.source_buckets or self.target_buckets):
            raise ValueError("which buckets? Give `source_buckets`, `target_buckets`, or both; neither is given.")
        for name in ("source_buckets", "target_buckets"):
            for address in getattr(self, name):
                parse_address(address, code(name))
        if both := sorted({*self.add_ons} & {*self.remove_add_ons}):
            raise ValueError(f"{markdown.names(both)} is both in `add_ons` and in `remove_add_ons`.")
        return self

    def wish(self, environment: Environment) -> Wish:
        """The buckets with account ids filled in. Raises ParameterError."""

        def targets(name: str) -> tuple[Target, ...]:
            listed = [parse_address(address, code(name)) for address in getattr(self, name)]
            return with_account_ids(listed, environment, code(name))

        return Wish(
            sources=targets("source_buckets"),
            targets=targets("target_buckets"),
            add_ons=self.add_ons,
            remove=self.remove_add_ons,
            mode=self.mode,
            key_policy=self.key_policy,
        )

    def examine(self, environment: Environment) -> None:
        self.wish(environment)

    def observe(self, environment: Environment, *, progress: Progress = silent) -> State:
        return observe(environment, self.wish(environment), progress)

    def checks(self, environment: Environment, state: State) -> Checks:
        return Checks.of(dict.fromkeys(checks_of(environment, state, self.situation)))

    def plan(self, environment: Environment, state: State, scenario: str = "") -> Plan:
        checks = checks_of(environment, state, self.situation)
        failed = {check.subject for check in checks if check.status is Status.FAILED}
        found = changes(environment, state, failed | _of_missing_roles(state))
        return Plan(
            step=self.notebook,
            scenario=scenario,
            environment=environment.name,
            parameters=dict(self.as_given()),
            changes=found,
            observed=(
                *(add_on_settings(add_on) for add_on in _used(state)),
                *([scan_settings(environment, state.stack)] if _scans(state) else []),
            ),
            notes=tuple(_notes(state, found)),
            left_out=tuple(sorted(failed)),
        )

    def probe(
        self, environment: Environment, state: State, run: Run, *, progress: Progress = silent
    ) -> tuple[Check, ...]:
        return tuple(probe_checks(environment, state, progress)) if run.applied else ()

    def present(self, environment: Environment, state: State) -> Mapping[Resource, str | None]:
        keys = {each.key.policy_resource: each.key.policy for site in state.sites for each in site.keys if each.key}
        stacks = (state.stack, *(each.stack for each in state.installed.add_ons))
        settled = {resource_of(environment, each): as_text(each.parameters) for each in stacks if not each.busy}
        return {site.bucket.policy_resource: site.bucket.policy for site in state.sites} | keys | settled

    def verify(self, environment: Environment, state: State, run: Run, probed: tuple[Check, ...]) -> Verification:  # noqa: ARG002 (a step's)
        rows, checks = proof(state, run)
        checks += [problem.check for problem in state.problems]
        if run.applied:
            checks += [*probed, *not_looked_at(state, run)]
        return Verification(Checks.of(checks), AccessMatrix(tuple(rows), predicted=not run.applied))


def _of_missing_roles(state: State) -> set[str]:
    """The routes on which a role works that is not there: a policy that names it would be refused."""
    return {
        route for site in state.sites for part in site.parts if part.role_arn in state.roles for route in part.routes
    }


def _used(state: State) -> Iterable[AddOn]:
    return {route.add_on.stack.arn: route.add_on for route in state.routes}.values()


def _scans(state: State) -> bool:
    return any(part.kind == "scan" for site in state.sites for part in site.parts)


def _notes(state: State, found: tuple[Change, ...]) -> Iterable[str]:
    """What the two modes make of a difference, and where there is nothing to open."""
    literal, hardened = (
        [each for site in state.sites for part in site.parts for each in part.statements(site.bucket, mode)]
        for mode in MODES
    )
    saved = actions.saved(literal, hardened)
    if saved and state.wish.mode == "literal":
        listed = markdown.names(saved, most=5)
        yield f"Mode `literal`, the documented statements. `hardened` would not grant {len(saved)} actions: {listed}."
    elif saved:
        listed = markdown.names(saved, most=5)
        yield f"Mode `hardened`, ours and not confirmed by the vendor: does not grant {len(saved)} actions, {listed}."
    changed = {change.resource.arn for change in found}
    for site in state.sites:
        if site.parts and not any(part.crosses(site.bucket.account) for part in site.parts):
            yield f"{code(site.bucket.name)}: nothing to open, who works with it is a role of its own account."
        elif site.parts and site.bucket.arn not in changed and changed:
            yield f"{code(site.bucket.name)}: nothing to change in its policy."
    if state.wish.remove:
        yield "Statements in the policies of keys stay: whether a role still needs them elsewhere cannot be told."
