"""The findings topic: queues of other accounts receive bucketAV's scan results, confirmed without a browser."""

from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import replace
from typing import ClassVar

from runbook.access import AccessMatrix
from runbook.aws.sns import topic_observation
from runbook.checks import Check, Checks, Status
from runbook.environment import Environment
from runbook.plan import Plan, Resource
from runbook.progress import Progress, silent
from runbook.run import Run
from runbook.steps import findings_reading
from runbook.steps.findings_checks import checks_of
from runbook.steps.findings_parameters import FindingsOptions
from runbook.steps.findings_plan import changes_of, notes_of, present
from runbook.steps.findings_proof import proof, rows_of, test_checks
from runbook.steps.findings_reading import Findings, sources_of
from runbook.steps.findings_state import State, observe
from runbook.steps.policy_checks import organization_check
from runbook.steps.step import Step, Verification


class FindingsTopic(FindingsOptions, Step):
    """Parameters of notebook 06-findings-topic."""

    notebook: ClassVar[str] = "06-findings-topic"
    title: ClassVar[str] = "Findings topic: scan results in queues of other accounts"
    default_scenario: ClassVar[str] = "new-queue"

    def examine(self, environment: Environment) -> None:
        self.targets(environment)

    def observe(self, environment: Environment, *, progress: Progress = silent) -> State:
        return observe(environment, self, progress)

    def checks(self, environment: Environment, state: State) -> Checks:
        return Checks.of(checks_of(environment, state))

    def plan(self, environment: Environment, state: State, scenario: str = "") -> Plan:
        failed = {check.subject for check in checks_of(environment, state) if check.status is Status.FAILED}
        addresses = {standing.address for standing in state.standings}
        # What is wrong with bucketAV or its topic is wrong for every queue.
        leave_out = addresses if failed - addresses else failed
        changes = tuple(changes_of(state, leave_out))
        return Plan(
            step=self.notebook,
            scenario=scenario,
            environment=environment.name,
            parameters=dict(self.as_given()),
            changes=changes,
            observed=(topic_observation(environment, state.stack.arn, state.topic_arn),),
            notes=tuple(notes_of(state, changes)),
            left_out=tuple(sorted(failed)),
        )

    def probe(
        self,
        environment: Environment,
        state: State,
        run: Run,
        *,
        progress: Progress = silent,  # noqa: ARG002 (a step's)
    ) -> tuple[Check, ...]:
        """Send a test message through the topic, where one is asked for."""
        sends = run.applied and self.test_message and self.action == "subscribe"
        return tuple(test_checks(environment, state)) if sends else ()

    def present(self, environment: Environment, state: State) -> Mapping[Resource, str | None]:  # noqa: ARG002 (a step's)
        return present(state)

    def verify(self, environment: Environment, state: State, run: Run, probed: tuple[Check, ...]) -> Verification:  # noqa: ARG002 (a step's)
        rows = rows_of(state, run)
        accounts = {standing.target.account for standing in state.standings}
        checks = [*proof(state, run, rows), organization_check(state.unread, accounts), *probed]
        matrix = AccessMatrix(tuple(row for each in rows.values() for row in each), predicted=not run.applied)
        return Verification(Checks.of(checks), matrix)

    def read(self, environment: Environment, run: Run) -> Findings:
        """The findings in the queues that are subscribed and confirmed; acknowledged if asked to, and applying."""
        state = observe(environment, self)
        acknowledge = self.acknowledge and run.applied
        found = findings_reading.read(environment, sources_of(state), acknowledge=acknowledge)
        return replace(found, skipped=_not_subscribed(state))

    def listening(self, environment: Environment, run: Run) -> Generator[Findings, None, None]:
        """What comes into those queues while `listen` seconds pass, each time all that came so far."""
        state = observe(environment, self)
        sources, acknowledge = sources_of(state), self.acknowledge and run.applied
        with closing(findings_reading.listen(environment, sources, self.listen, acknowledge=acknowledge)) as heard:
            for found in heard:
                yield replace(found, skipped=_not_subscribed(state))


def _not_subscribed(state: State) -> tuple[str, ...]:
    read = {source.address for source in sources_of(state)}
    return tuple(standing.address for standing in state.standings if standing.address not in read)
