"""Two people change one thing at the same time: the second to write is told, and neither's work is lost."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runbook import run as runs
from runbook.aws.kinds import kind_of
from runbook.checks import Check, ChecksFailed, Status
from runbook.environment import Environment
from runbook.plan import Change, Plan, Resource
from runbook.run import ApplyFailed, StalePlan
from tests.faults.rules import At
from tests.faults.ways import PHASES, WAYS, Bystander, Trip, Undisturbed, Way

if TYPE_CHECKING:
    from tests.faults.middleware import Middleware

TELLING = (StalePlan, ApplyFailed, ChecksFailed)
"""How somebody is told that a thing is not, or no longer, as their own plan has it."""


@dataclass
class Second:
    """The second operator: plans, applies and verifies a change of their own, with the means of the package."""

    way: Way
    environment: Environment
    resource: Resource
    folder: Path
    plan: Plan | None = None

    def applies(self) -> None:
        kind = kind_of(self.resource)
        present = kind.read(self.environment, self.resource)
        change = Change(resource=self.resource, summary="theirs", before=present, after=self.way.add(present))
        self.plan = Plan(
            step=self.way.step.notebook,
            scenario="",
            environment=self.environment.name,
            parameters={},
            changes=(change,),
            observed=(),
            notes=(),
            left_out=(),
        )
        runs.apply(self.plan, self.environment, self.folder / f"{len(list(self.folder.iterdir()))}")

    def verifies(self) -> list[Check]:
        """What is not in place."""
        assert self.plan
        return [each for each in runs.in_place(self.plan, self.environment, {}) if each.status is Status.FAILED]

    @property
    def value(self) -> str:
        """What is there now."""
        return kind_of(self.resource).read(self.environment, self.resource) or ""


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_what_a_second_operator_does_between_any_two_calls_is_kept_and_who_comes_second_is_told(
    way: Way,
    faults: "Middleware",
    bystander: Bystander,
    put_back: Callable[[], None],
    set_out: Callable[..., Trip],
    undisturbed: Callable[[Way], Undisturbed],
    subtests: pytest.Subtests,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """They do all of their change right before a call of the first one's run, and all of their proof after it.

    Only calls that see or change the thing matter: whatever happens between two of them is the same for both.
    """
    normal, planned, unguarded = undisturbed(way), set_out(way), []
    planned.go("check", "plan")
    for phase in PHASES:
        for call in filter(way.touches, normal.calls[phase]):
            with subtests.test(f"in {phase}, before {call}"):
                put_back()
                trip = set_out(way, planned.environment)
                trip.results |= planned.results
                if phase == "verify":
                    trip.go("apply")
                resource = _shared(way, normal.results["plan"])
                second = Second(way, bystander.environment, resource, tmp_path_factory.mktemp("second"))
                with faults.watching(At(call, before=second.applies)) as seen:
                    told = _goes_on(trip, phase)
                assert call in seen.calls, told
                assert second.plan, "the second one did nothing"
                if way.theirs not in second.value:
                    unguarded.append(call)
                    assert second.verifies(), "their change was overwritten, and they are not told"
                    second.applies()
                assert way.theirs in second.value, "the second one's change is lost"
                assert way.ours in second.value or told, "the first one's change is lost, and nobody is told"
                assert bool(told) is (trip.status != "done")
                assert not second.verifies() or way.ours in second.value
    assert [call.operation for call in unguarded] == list(way.unguarded)


def _shared(way: Way, plan: Plan) -> Resource:
    return next(change.resource for change in plan.changes if way.shared in change.resource.arn)


def _goes_on(trip: Trip, phase: str) -> str:
    """The rest of the way, from this phase on; what is told when it does not end well."""
    try:
        trip.go(*PHASES[PHASES.index(phase) :])
    except TELLING as error:
        return str(error)
    return ""
