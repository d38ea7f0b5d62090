"""An operation of CloudFormation on a stack: waited for, told while it goes on, and explained when it fails."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from runbook import markdown
from runbook.aws.cloudformation import WAIT_SECONDS, Pauses, Stack, StackError, read_stack_at
from runbook.aws.kinds import Report
from runbook.environment import Environment
from runbook.untrusted import Untrusted, code

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient


class OperationFailed(StackError):
    """CloudFormation could not do what it was asked."""


@dataclass(frozen=True)
class Failure:
    """The resource at which an operation failed; what failed after it was only cancelled."""

    name: str
    kind: str
    reason: Untrusted

    def __str__(self) -> str:
        return f"{self.name} ({self.kind}): {self.reason}"


class Operation:
    """One operation on a stack, by the stack's id (its name is gone with it), known among its events by a token."""

    def __init__(self, environment: Environment, stack_id: str, token: str, report: Report) -> None:
        _, _, _, region, account, _ = stack_id.split(":", 5)
        self._environment = environment
        self._where = account, region, stack_id
        self._arn = stack_id
        self._token = token
        self._report = report
        self._pauses = Pauses()
        self._client: CloudFormationClient = environment.client("cloudformation", account, region)

    @property
    def seconds(self) -> int:
        """How long it has been going on."""
        return self._pauses.seconds

    def wait(self, number: int) -> Stack:
        """The stack when it is through, well or not. `number` is how many resources it has to do with.

        Raises OperationFailed when that takes more than WAIT_SECONDS.
        """
        while (stack := read_stack_at(self._environment, *self._where)).busy:
            if self.seconds > WAIT_SECONDS:
                raise OperationFailed(
                    f"Stack {code(stack.name)} is in {stack.status} since {self.seconds // 60} minutes."
                )
            self._report(f"Stack {code(stack.name)}: {stack.status}, {self._done(number)}.")
            self._pauses.sleep()
        return stack

    def failure(self) -> Failure | None:
        """Where it failed first; None when the events do not tell."""
        return next(iter(self._failures("_FAILED")), None)

    def left_behind(self) -> list[Failure]:
        """What it took out of the stack and could not delete: it still exists, and is no part of the stack any more.

        An update is complete nevertheless (CloudFormation user guide, "Stack update status codes").
        """
        return self._failures("DELETE_FAILED")

    def _failures(self, status: str) -> list[Failure]:
        """Of all resources whose status ended so, the first one first."""
        return [
            Failure(
                event["LogicalResourceId"],
                event["ResourceType"],
                Untrusted(event.get("ResourceStatusReason", "no reason is given")),
            )
            for event in reversed(self._events())
            if event["ResourceStatus"].endswith(status)
        ]

    def _done(self, number: int) -> str:
        """`3 of 7 resources done, the last was ScanQueuePolicy`."""
        done = [event for event in self._events() if event["ResourceStatus"].endswith("_COMPLETE")]
        names = list(dict.fromkeys(event["LogicalResourceId"] for event in done if event.get("PhysicalResourceId")))
        last = f", the last was {names[0]}" if names else ""
        return f"{len(names)} of {markdown.count(number, 'resource')} done{last}"

    def _events(self) -> list[Mapping[str, Any]]:
        """What it has done so far to resources of the stack, the newest first.

        Only for telling it: what keeps us from reading them does not keep the operation from going on.
        """
        found: list[Mapping[str, Any]] = []
        try:
            for page in self._client.get_paginator("describe_stack_events").paginate(StackName=self._arn):
                ours = [event for event in page["StackEvents"] if event.get("ClientRequestToken") == self._token]
                found += [event for event in ours if event.get("PhysicalResourceId") != self._arn]
                if len(ours) < len(page["StackEvents"]):
                    break
        except (BotoCoreError, ClientError):
            pass
        return found
