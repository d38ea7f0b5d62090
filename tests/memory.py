"""A kind of resource that lives in this process, for tests of runs that need no AWS: thousands of them in seconds."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

from runbook import run as runs
from runbook.aws import kinds
from runbook.aws.kinds import AllAtOnce, Report, Told
from runbook.environment import Environment, Identity
from runbook.plan import Change, Plan, Resource
from runbook.result import record


class _NoEnvironment:
    """An environment in which every account is what it should be, and nothing can be called."""

    def identity(self, account: str) -> Identity:
        return Identity(account, f"arn:aws:iam::{account}:user/me")

    def works_in(self, folder: Path) -> None:
        """Sessions are of no account, and nothing names their run."""


NO_ENVIRONMENT = cast(Environment, _NoEnvironment())
"""The environment of runs of this kind."""


class Memory(AllAtOnce):
    """Values by ARN. `written` are the writes that reached it, in order."""

    name = "test.memory"

    def __init__(self) -> None:
        self.values: dict[str, str | None] = {}
        self.written: list[Change] = []

    def read(self, environment: Environment, resource: Resource) -> str | None:  # noqa: ARG002 (a protocol's)
        return self.values.get(resource.arn)

    def write(self, environment: Environment, change: Change, report: Report) -> Told:  # noqa: ARG002
        self.written.append(change)
        self.values[change.resource.arn] = change.after
        return ()

    def tidy(self, environment: Environment, change: Change) -> None:
        """Nothing is ever left beside it."""

    def by_hand(self, change: Change) -> str:  # noqa: ARG002
        return ""


@contextmanager
def in_memory(memory: Memory | None = None, workers: int = 1) -> Iterator[Memory]:
    """Make the kind known, with a memory of its own; by default changes are made one after the other."""
    memory = memory or Memory()
    with patch.dict(kinds._READERS, {Memory.name: memory}), patch("runbook.progress.WORKERS", workers):
        yield memory


def a_plan(*values: tuple[str | None, str | None], **more: Any) -> Plan:
    """A plan with a change for each pair of a value before and after."""
    changes = tuple(
        Change(
            resource=Resource(
                kind=Memory.name, account=f"{number + 1:012}", region="eu-west-1", arn=f"arn:aws:test:::thing-{number}"
            ),
            summary=f"change thing-{number}",
            before=before,
            after=after,
        )
        for number, (before, after) in enumerate(values)
    )
    return Plan(step="05-bucket-policy", scenario="", environment="sandbox", parameters={}, changes=changes, **more)


def seed(memory: Memory, plan: Plan) -> None:
    """Put into the memory what the plan found."""
    memory.values = {change.resource.arn: change.before for change in plan.changes}


def applied(memory: Memory, plan: Plan, folder: Path) -> None:
    """Apply the plan and note it, as a procedure does."""
    seed(memory, plan)
    runs.apply(plan, NO_ENVIRONMENT, folder)
    record(folder, {"mode": "apply", "status": "applied"})
