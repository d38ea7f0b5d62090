"""Yes, no or "not known", each with its reason, and how such answers combine (Kleene's three-valued logic)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """`truth` is None when the answer is not known; `why` is a sentence without its full stop."""

    truth: bool | None
    why: str = ""


YES = Answer(True)
NO = Answer(False)


def unknown(why: str) -> Answer:
    return Answer(None, why)


def negation(answer: Answer) -> Answer:
    return answer if answer.truth is None else Answer(not answer.truth, answer.why)


def any_of(answers: Iterable[Answer], otherwise: str = "") -> Answer:
    """The first yes; without one the first "not known"; without that no, because of `otherwise`."""
    result = Answer(False, otherwise)
    for answer in answers:
        if answer.truth:
            return answer
        if answer.truth is None and result.truth is False:
            result = answer
    return result


def all_of(answers: Iterable[Answer]) -> Answer:
    """The first no; without one the first "not known"; without that yes, for all the reasons together."""
    reasons: list[str] = []
    open_question: Answer | None = None
    for answer in answers:
        if answer.truth is False:
            return answer
        if answer.truth is None:
            open_question = open_question or answer
        elif answer.why:
            reasons.append(answer.why)
    return open_question or Answer(True, " and ".join(reasons))
