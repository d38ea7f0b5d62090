"""Operations on stack sets: so many accounts at one time, until all are done or too many have failed.

Nothing runs in the background. `advance` makes up for the time that has passed since it was last called: whatever a
stack waited for that is over by now, the next one begins at the moment when it was over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from moto.core.utils import utcnow

from runbook.sandbox import clock
from runbook.sandbox.callers import PARTITION
from runbook.sandbox.cloudformation.stacks import Shown
from runbook.sandbox.stack_sets.preferences import Preferences
from runbook.sandbox.stack_sets.sets import Instance, StackSet, all_stack_sets
from runbook.sandbox.stack_sets.work import Clock, Skipped, Waiting, Work, WorkFailed

TOLERANCE_EXCEEDED = "Cancelled since failure tolerance has exceeded"
STOPPED = "Cancelled since the operation was stopped"
USER_INITIATED = "User initiated operation"

NO_PREFERENCES = Preferences({})


@dataclass
class Result:
    """What an operation has come to in one account and Region. `number`: its place in the operation."""

    instance: Instance
    number: int
    status: str = "PENDING"
    reason: str | None = None
    gate: Shown | None = None
    work: Work | None = field(default=None, repr=False)
    waiting: Waiting | None = field(default=None, repr=False)

    def summary(self) -> Shown:
        """As ListStackSetOperationResults shows it."""
        return {
            "Account": self.instance.account,
            "Region": self.instance.region,
            "Status": self.status,
            "StatusReason": self.reason,
            "AccountGateResult": self.gate,
            "OrganizationalUnitId": self.instance.unit,
        }


class Operation:
    """One operation on a stack set. `request` is what was asked for, compared when its id comes again.

    `work` is what is done to an instance. `action`: CREATE, UPDATE, DELETE or DETECT_DRIFT.
    """

    def __init__(
        self,
        stack_set: StackSet,
        operation_id: str,
        action: str,
        instances: Iterable[Instance],
        work: Callable[[StackSet, Instance, Clock], Work],
        *,
        preferences: Preferences = NO_PREFERENCES,
        regions: Iterable[str] = (),
        request: Any = None,
        retain: bool | None = None,
        targets: Shown | None = None,
    ) -> None:
        self.stack_set = stack_set
        self.id = operation_id
        self.action = action
        self.preferences = preferences
        self.request = request
        self.retain = retain
        self.targets = targets
        self.status = "QUEUED"
        self.ended: float | None = None
        self.results = [Result(instance, number) for number, instance in enumerate(instances)]
        self._work = work
        self._regions = preferences.order(
            tuple(dict.fromkeys([*regions, *(result.instance.region for result in self.results)]))
        )
        self._moment = clock.now()
        self._asked = (self._moment, utcnow())

    # How the API shows it

    def at(self, moment: float) -> datetime:
        """A time of the clock as a date."""
        asked, date = self._asked
        return date + timedelta(seconds=moment - asked)

    def summary(self) -> Shown:
        """As ListStackSetOperations shows it."""
        return {
            "OperationId": self.id,
            "Action": self.action,
            "Status": self.status,
            "CreationTimestamp": self._asked[1],
            "EndTimestamp": None if self.ended is None else self.at(self.ended),
            "StatusDetails": {"FailedStackInstancesCount": sum(each.status == "FAILED" for each in self.results)},
            "OperationPreferences": dict(self.preferences.given) or None,
        }

    def description(self) -> Shown:
        """As DescribeStackSetOperation shows it."""
        return {
            **self.summary(),
            "StackSetId": self.stack_set.id,
            "RetainStacks": self.retain,
            "DeploymentTargets": self.targets,
            "StackSetDriftDetectionDetails": self.drift() if self.action == "DETECT_DRIFT" else None,
        }

    def drift(self) -> Shown:
        """AWS, StackSetDriftDetectionDetails: what a drift detection has found."""
        checked = [result.instance.drift_status for result in self.results if result.status == "SUCCEEDED"]
        failed = sum(result.status == "FAILED" for result in self.results)
        status = "FAILED" if self.status == "FAILED" else "PARTIAL_SUCCESS" if failed else "COMPLETED"
        under_way = {"QUEUED": "IN_PROGRESS", "RUNNING": "IN_PROGRESS", "STOPPING": "IN_PROGRESS", "STOPPED": "STOPPED"}
        found = "DRIFTED" if "DRIFTED" in checked else "IN_SYNC" if "IN_SYNC" in checked else "NOT_CHECKED"
        return {
            "DriftStatus": found,
            "DriftDetectionStatus": under_way.get(self.status, status),
            "LastDriftCheckTimestamp": self.at(self._moment),
            "TotalStackInstancesCount": len(self.results),
            "DriftedStackInstancesCount": checked.count("DRIFTED"),
            "InSyncStackInstancesCount": checked.count("IN_SYNC"),
            "InProgressStackInstancesCount": sum(each.status in {"PENDING", "RUNNING"} for each in self.results),
            "FailedStackInstancesCount": failed,
        }

    # How it goes on

    def begin(self, at: float) -> None:
        """Its turn has come."""
        self._moment, self.status = at, "RUNNING"
        for result in self.results:
            instance = result.instance
            instance.last_operation = self.id
            if self.action in {"CREATE", "UPDATE"}:  # one that was queued behind a deletion comes back
                self.stack_set.instances.setdefault((instance.account, instance.region), instance)
            if self.action != "DETECT_DRIFT":
                instance.detailed_status, instance.reason = "PENDING", USER_INITIATED

    def stop(self) -> None:
        """AWS, StopStackSetOperation: "StackSets will cancel all the unstarted stack instance deployments and wait for
        those are in-progress to complete".
        """
        self.status = "STOPPING"
        self._cancel(self.results, STOPPED)
        self.advance(clock.now())

    def advance(self, now: float) -> None:
        """Do what is due by `now`, one thing after the other."""
        while self.ended is None:
            while begin := self._to_begin():  # what is done at once makes room for the next
                for result in begin:
                    self._start(result)
            running = [result for result in self.results if result.status == "RUNNING"]
            if not running:
                self._end()
                return
            ends = {result.number: result.waiting.ended for result in running if result.waiting is not None}
            moment = min((end for end in ends.values() if end is not None), default=None)
            if moment is None or moment > now:
                return
            self._moment = max(self._moment, moment)
            for result in running:
                if ends.get(result.number) == moment:
                    self._go_on(result)

    def _to_begin(self) -> list[Result]:
        """The accounts to begin with now. Regions one after the other, or all at the same time."""
        begin: list[Result] = []
        for region in self._regions:
            here = [result for result in self.results if result.instance.region == region]
            failed = sum(result.status == "FAILED" for result in here)
            if failed > self.preferences.tolerance(len(here)):
                self._cancel(here if self.preferences.parallel else self.results, TOLERANCE_EXCEEDED)
            running = sum(result.status == "RUNNING" for result in here)
            room = max(self.preferences.concurrency(len(here), failed) - running, 0)
            pending = [result for result in here if result.status == "PENDING"]
            begin += pending[:room]
            if (pending or running) and not self.preferences.parallel:
                break
        return begin

    def _start(self, result: Result) -> None:
        instance = result.instance
        result.status = "RUNNING"
        if self.action != "DETECT_DRIFT":
            instance.detailed_status = "RUNNING"
        function = f"arn:{PARTITION}:lambda:{instance.region}:{instance.account}:function"
        reason = f"Function not found: {function}:AWSCloudFormationStackSetAccountGate"
        result.gate = {"Status": "SKIPPED", "StatusReason": reason}
        result.work = self._work(self.stack_set, instance, lambda: self._moment)
        self._go_on(result)

    def _go_on(self, result: Result) -> None:
        assert result.work is not None
        try:
            result.waiting = next(result.work)
        except StopIteration:
            self._settle(result, "SUCCEEDED", None)
        except Skipped as skipped:
            # Assumed: what the result says, for which AWS has no status of its own. It does not count as failed.
            self._settle(result, "SUCCEEDED", str(skipped), detailed="SKIPPED_SUSPENDED_ACCOUNT")
        except WorkFailed as failed:
            self._settle(result, "FAILED", str(failed))

    def _settle(self, result: Result, status: str, reason: str | None, detailed: str = "") -> None:
        """The end of one account. AWS, StackInstance, Status and StackInstanceComprehensiveStatus."""
        result.status, result.reason, result.work, result.waiting = status, reason, None, None
        instance = result.instance
        skipped = bool(detailed)
        if self.action == "DETECT_DRIFT":
            instance.drift_checked = self.at(self._moment)
            if not skipped:
                return
        elif self.action == "DELETE":
            if status == "SUCCEEDED" and not skipped:
                self.stack_set.instances.pop((instance.account, instance.region), None)
                return
            if status == "FAILED":
                instance.status = detailed = "INOPERABLE"
        else:
            instance.status = "CURRENT" if status == "SUCCEEDED" and not skipped else "OUTDATED"
        instance.detailed_status, instance.reason = detailed or status, reason

    def _cancel(self, results: Iterable[Result], reason: str) -> None:
        """Whatever has not begun does not begin."""
        for result in results:
            if result.status == "PENDING":
                result.status, result.reason = "CANCELLED", reason
                if self.action != "DETECT_DRIFT":
                    result.instance.detailed_status, result.instance.reason = "CANCELLED", reason
                if self.action in {"CREATE", "UPDATE"}:
                    result.instance.status = "OUTDATED"

    def _end(self) -> None:
        """AWS, StackSetOperation, Status: FAILED when a Region exceeded the failure tolerance."""
        exceeded = any(result.reason == TOLERANCE_EXCEEDED for result in self.results) or any(
            sum(result.status == "FAILED" for result in here) > self.preferences.tolerance(len(here))
            for region in self._regions
            if (here := [result for result in self.results if result.instance.region == region])
        )
        self.status = "STOPPED" if self.status == "STOPPING" else "FAILED" if exceeded else "SUCCEEDED"
        self.ended = self._moment
        if self.action == "DETECT_DRIFT":
            self.stack_set.drift = self.drift()


def add(operation: Operation) -> None:
    """Put an operation at the end of its stack set's; it begins now if it is the only one."""
    operation.stack_set.operations[operation.id] = operation
    _advance(operation.stack_set, clock.now())


def advance() -> None:
    """Bring every stack set to where it is by now. Whoever calls holds the lock, and has advanced the stacks."""
    now = clock.now()
    for stack_set in all_stack_sets():
        _advance(stack_set, now)


def _advance(stack_set: StackSet, now: float) -> None:
    """One operation at a time. AWS, StackSetOperation, Status, QUEUED: "For automatic deployments that require a
    sequence of operations, the operation is queued to be performed".
    """
    freed = max((each.ended for each in stack_set.operations.values() if each.ended is not None), default=0.0)
    for operation in stack_set.unfinished:
        if operation.status == "QUEUED":
            operation.begin(max(freed, operation._moment))
        operation.advance(now)
        if operation.ended is None:
            return
        freed = operation.ended
