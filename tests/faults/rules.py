"""What can happen to a call, and the rules by which it does: values only, for the middleware to carry out.

A call is named by what it asks for and how often that was asked before, because concurrent calls come in any order. A
retry of botocore's is the same call: it carries the same invocation id.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

Action = Callable[[], None]


class Fault(StrEnum):
    """What can happen to a call."""

    THROTTLED = "throttled"
    BROKEN = "500"
    UNAVAILABLE = "503"
    RESET = "connection reset"
    REPLY_LOST = "reply lost"
    EXPIRED = "credentials expired"
    CUT = "answer cut off"
    GARBLED = "answer garbled"
    PAGE = "a captive portal's page"
    EMPTY = "empty answer"
    WRONG_TYPE = "answer of another type"
    DOUBLED = "answer twice"


DAMAGES = (Fault.CUT, Fault.GARBLED, Fault.PAGE, Fault.EMPTY, Fault.WRONG_TYPE, Fault.DOUBLED)
"""Damages to an answer on its way, of a call that was carried out."""


@dataclass(frozen=True)
class Call:
    """One call that the package makes: the `occurrence`-th of its kind on its resource, counted from 1."""

    service: str
    operation: str
    account: str
    resource: str
    occurrence: int

    def __str__(self) -> str:
        return f"{self.service} {self.operation} {self.resource} in {self.account}, number {self.occurrence}"

    @property
    def writes(self) -> bool:
        """Whether it makes, changes or deletes something. The scan role's probe puts the tags it has just read, and
        a request for confirmation that was used is of no use to anybody."""
        words = ("Put", "Delete", "Create", "Update", "Execute", "Set", "Subscribe", "Confirm", "Unsubscribe")
        return self.operation.startswith(words) and (self.operation not in ("PutObjectTagging", "DeleteMessageBatch"))

    @property
    def changes(self) -> bool:
        """Whether it makes a change that was planned, or takes it back. A change set does nothing until executed, a
        subscription nothing until confirmed."""
        return self.writes and self.operation not in ("CreateChangeSet", "DeleteChangeSet", "Subscribe")

    def same_but_later(self, other: Call) -> bool:
        """Whether `other` asks for the same, now or later."""
        mine = (self.service, self.operation, self.account, self.resource)
        theirs = (other.service, other.operation, other.account, other.resource)
        return mine == theirs and other.occurrence >= self.occurrence


class Rule(Protocol):
    """Says what goes wrong."""

    def fault(self, call: Call, attempt: int) -> Fault | None:
        """What happens to this attempt (from 1) at the call; None: nothing."""


@dataclass(frozen=True)
class Once:
    """The first attempts at one call meet these faults, one each; then it goes through."""

    call: Call
    faults: tuple[Fault, ...]

    def __str__(self) -> str:
        return f"once {', '.join(self.faults)}"

    @property
    def kind(self) -> Fault:
        return self.faults[0]

    @property
    def kinds(self) -> tuple[Fault, ...]:
        return self.faults

    def fault(self, call: Call, attempt: int) -> Fault | None:
        return self.faults[attempt - 1] if call == self.call and attempt <= len(self.faults) else None


@dataclass(frozen=True)
class Always:
    """That call and every later one for the same fail, until the rule is lifted."""

    call: Call
    kind: Fault

    def __str__(self) -> str:
        return f"{self.kind} for good"

    @property
    def kinds(self) -> tuple[Fault, ...]:
        return (self.kind,)

    def fault(self, call: Call, attempt: int) -> Fault | None:  # noqa: ARG002
        return self.kind if self.call.same_but_later(call) else None


@dataclass
class FromThen:
    """That call and everything after it fail: a network that is gone, credentials that have expired for good."""

    call: Call
    kind: Fault
    reached: bool = False

    def fault(self, call: Call, attempt: int) -> Fault | None:  # noqa: ARG002
        self.reached = self.reached or call == self.call
        return self.kind if self.reached else None


@dataclass
class At:
    """Something else happens right `before` a call reaches the world, or `after` it was carried out; once.

    A `lost` call is not answered: before it, it is not carried out either.
    """

    call: Call
    before: Action | None = None
    after: Action | None = None
    lost: bool = False
    done: bool = False

    def fault(self, call: Call, attempt: int) -> Fault | None:  # noqa: ARG002
        if call != self.call or not self.lost:
            return None
        return Fault.REPLY_LOST if self.after else Fault.RESET


@dataclass
class Record:
    """What came through the door: each call once, in the order of arrival, and those that the world said yes to.

    `met` counts how often each fault happened: a rule that never met its call proves nothing.
    """

    calls: list[Call] = field(default_factory=list)
    carried_out: list[Call] = field(default_factory=list)
    met: Counter[Fault] = field(default_factory=Counter)

    @property
    def changed(self) -> Counter[tuple[str, str]]:
        """How often each changing operation was carried out on each resource."""
        return Counter((call.operation, call.resource) for call in self.carried_out if call.changes)
