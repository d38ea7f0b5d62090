"""How long things take in the sandbox, in seconds of real time. Tests set the durations, or `now`, to what they need.

Here and not among the rules, so that it can be imported without importing moto.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

OPERATION_SECONDS = 0.2
"""From the start of creating, updating or deleting a stack to its end; a rollback takes about as long again. 0: all of
it happens in the call that starts it."""

PLANNING_SECONDS = 0.05
"""From CreateChangeSet until the change set is complete. 0: at once."""

CUSTOM_RESOURCE_SECONDS = 2.0
"""How long CloudFormation waits for the answer of who provides a custom resource: stands for AWS's hour. A
resource with a ServiceTimeout waits that part of it. 0: not at all."""

QUEUE_POLICY_SECONDS = 0.0
"""From SetQueueAttributes until a queue's policy counts. AWS: "can take up to 60 seconds to propagate"."""

DELETED_QUEUE_SECONDS = 2.0
"""From DeleteQueue until the name can be used again: stands for AWS's 60 seconds."""

LONGEST_POLL = 20.0
"""How long ReceiveMessage waits at most, whatever it is asked for. 20 is AWS's limit, so that it waits as asked."""

TODAY = "2025-11-24T06:00:00.000Z"
"""What the simulated bucketAV takes for the present, always, so that stored outputs with its times repeat."""

now: Callable[[], float] = time.monotonic
"""The present, in seconds. Always called as `clock.now()`, so that it can be replaced."""


def utc() -> datetime:
    """The present in what services write down. Always called as `clock.utc()`, so that it can be replaced."""
    return datetime.now(tz=UTC)
