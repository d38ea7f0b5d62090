"""Brings the operations of stacks on, as time passes.

An operation is a generator: between two of its steps some simulated time goes by. Nothing runs in the background.
`advance` makes up for the time that has passed; the gate calls it before every request, of whatever service, so that
nobody ever sees a stack that is behind the clock, or resources that are ahead of it.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from datetime import datetime, timedelta
from random import Random

from moto.core.utils import utcnow
from moto.moto_api._internal import mock_random

from runbook.sandbox import clock
from runbook.sandbox.callers import Caller
from runbook.sandbox.cloudformation.stacks import Stack, all_stacks

Steps = Generator[float | None, None, None]
"""Each step yields how many seconds it is until the next; None: the operation's usual interval."""

LOCK = threading.RLock()
"""Held by whoever looks at or changes stacks: requests come in threads."""


class Operation:
    """Something that goes on with a stack, as far as the clock lets it.

    The ids that it makes up come from a generator of its own: they do not depend on what else is asked meanwhile.
    """

    def __init__(self, stack: Stack, steps: Steps, expected: int, at: float) -> None:
        self._stack = stack
        self._steps = steps
        self._interval = clock.OPERATION_SECONDS / max(expected, 1)
        self._due = at
        began = utcnow() - timedelta(seconds=max(clock.now() - at, 0))
        self._started = max([began, *(event.time for event in stack.events[-1:])])
        self._passed = 0.0
        stack.operations += 1
        self._random = Random(f"{stack.stack_id} {stack.operations}").getstate()

    @property
    def time(self) -> datetime:
        """When the present step happens."""
        return self._started + timedelta(seconds=self._passed)

    def advance(self, now: float) -> None:
        """Do what is due."""
        if now < self._due:
            return
        state = mock_random.getstate()
        mock_random.setstate(self._random)
        try:
            while now >= self._due:
                waits = next(self._steps)
                passes = self._interval if waits is None else waits
                self._due += passes
                self._passed += passes
        except StopIteration:
            self._end()
        except BaseException:
            self._end()
            raise
        finally:
            self._random = mock_random.getstate()
            mock_random.setstate(state)

    def _end(self) -> None:
        self._stack.operation, self._stack.ended = None, self._due


def advance() -> None:
    """Bring every stack to where it is by now."""
    with LOCK:
        now = clock.now()
        for stack in all_stacks():
            if stack.operation is not None:
                stack.operation.advance(now)


def begin(
    stack: Stack,
    steps: Steps,
    expected: int,
    caller: Caller | None,
    *,
    token: str | None = None,
    at: float | None = None,
) -> None:
    """Start an operation with the rights of `caller`. Its last step happens after clock.OPERATION_SECONDS or so.

    Its first step happens `at` that time of the clock, which may be past; by default now.
    """
    stack.token, stack.caller = token, caller
    stack.operation = Operation(stack, steps, expected, clock.now() if at is None else at)
    stack.operation.advance(clock.now())


def run(steps: Steps) -> None:
    """Do all of it now: for the seeded world, whose ids depend on the order in which they are made up."""
    for _ in steps:
        pass


def expected_steps(changes: int) -> int:
    """About how many steps there are when so many resources change."""
    return 3 + 2 * changes
