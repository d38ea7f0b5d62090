"""CloudFormation StackSets with service-managed permissions as on AWS, in place of moto's.

    access, roles                      who may work with stack sets, and as whom they work in accounts
    targets, preferences               what an operation is about, and how it goes about it
    sets                               what there is
    work, drift                        what is done to one stack instance
    operations, auto_deployment        what is done to many, and without being asked
    handlers                           the API

moto knows OUs one level deep, deploys to the management account, and forgets what it did. Self-managed stack sets are
not simulated.
"""

from __future__ import annotations

from functools import cache

from runbook.sandbox.cloudformation import engine
from runbook.sandbox.stack_sets import auto_deployment, handlers, operations

__all__ = ["advance", "install"]


@cache
def install() -> None:
    """Change moto, process-wide. Idempotent."""
    handlers.install()
    auto_deployment.install()


def advance() -> None:
    """Bring every stack set to where it is by now; the stacks have to be there already."""
    with engine.LOCK:
        operations.advance()
