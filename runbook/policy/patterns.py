"""How the text of a policy matches the text of a request: wildcards, policy variables, actions, resources and ARNs.

Sources: IAM User Guide, "IAM JSON policy elements: Action", "Resource", "Condition operators", "Variables and tags".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from runbook import untrusted
from runbook.policy.answers import NO, Answer, unknown
from runbook.untrusted import quoted

# After expansion these two stand for the policy's own wildcards, so that a `*` which comes out of a variable
# (`${*}`, or a user called `a*`) stays a plain character. Both are private-use characters of Unicode.
ANYTHING, ANY_CHARACTER = "\ue000", "\ue001"
# The same between two colons of an ARN.
ANYTHING_IN_PART, ANY_CHARACTER_IN_PART = "\ue002", "\ue003"
FEW = 2  # as many `*` may be tried in every place; more of them could take longer than anybody waits

VARIABLE = re.compile(r"\$\{([^}]*)\}")
VARIABLE_CONTENT = re.compile(r"\s*([^\s,']+)\s*(?:,\s*'([^']*)'\s*)?")

_LOWER = str.maketrans({chr(code): chr(code + 32) for code in range(ord("A"), ord("Z") + 1)})

# The value of a policy variable, given its key and its default; or why there is none: a no says that the request
# certainly has no such key.
Variables = Callable[[str, str | None], str | Answer]


def lowered(text: str) -> str:
    """Lower case of A to Z alone: `str.lower` makes an ASCII `k` of the Kelvin sign, and AWS does not."""
    return text.translate(_LOWER)


def expand(text: str, variables: Variables | None) -> str | Answer:
    """Mark the wildcards and fill in the variables; or why that cannot be done, as `Variables` says it.

    `variables` is None where the policy language has none (Version 2008-10-17): `${…}` is plain text there.
    """
    if _has_private_use(text):
        return unknown(f"{text!r} has a private-use character")
    if variables is None:
        return _mark(text)
    parts, end = [], 0
    for variable in VARIABLE.finditer(text):
        value = _value(variable.group(1), variables)
        if isinstance(value, Answer):
            return value
        if _has_private_use(value):
            return unknown(f"{value!r} has a private-use character")
        parts += [_mark(text[end : variable.start()]), value]
        end = variable.end()
    if "${" in text[end:]:
        return unknown(f"the variable in {quoted(text)} is not closed")
    return "".join([*parts, _mark(text[end:])])


def _has_private_use(text: str) -> bool:
    return not text.isascii() and any(ANYTHING <= character <= ANY_CHARACTER_IN_PART for character in text)


def literal(expanded: str) -> str:
    """The text where wildcards mean nothing, as in StringEquals."""
    return expanded.replace(ANYTHING, "*").replace(ANY_CHARACTER, "?")


def like(expanded: str, text: str) -> bool:
    """Wildcards match any characters, as in StringLike."""
    return _matches(expanded, text)


def like_arn(expanded: str, arn: str) -> Answer:
    """Each of an ARN's six parts for itself, as in ArnLike and ArnEquals."""
    wanted, given = expanded.split(":", 5), arn.split(":", 5)
    for text, parts in ((literal(expanded), wanted), (arn, given)):
        if len(parts) != 6:
            return unknown(f"{quoted(text)} is not an ARN")
    return Answer(all(like(pattern, part) for pattern, part in zip(wanted, given, strict=True)))


@lru_cache(maxsize=16_384)
def covers_action(pattern: str, action: str) -> Answer:
    """Whether an Action of a policy covers a request's action; upper and lower case are the same."""
    if pattern in ("*", "*:*"):
        return Answer(True)
    service, colon, name = lowered(pattern).partition(":")
    if not (colon and name and name.isascii() and re.fullmatch(r"[a-z0-9-]+", service)):
        return unknown(f"{quoted(pattern)} is not an action")
    return Answer(like(_mark(f"{service}:{name}"), lowered(action)))


def covers_resource(pattern: str, resource: str, variables: Variables | None) -> Answer:
    """Whether a Resource of a policy covers a request's resource.

    A `*` stays between two colons, except at the end of a part, where it may run on beyond the colon.
    """
    if pattern == "*":
        return Answer(True)
    variable = pattern.find("${") if variables else -1
    if variable >= 0 and pattern.count(":", 0, variable) < 5:
        return unknown(f"{quoted(pattern)} has a variable before the fifth colon")
    expanded = expand(pattern, variables)
    if isinstance(expanded, Answer):
        # Whatever its variables stand for, the rest of the pattern may already say no.
        widest = VARIABLE.sub("*", pattern)
        return expanded if "${" in widest or covers_resource(widest, resource, None).truth is not False else NO
    wildcards = _resource_pattern(expanded)
    return unknown(f"{quoted(pattern)} is not an ARN") if wildcards is None else Answer(_matches(wildcards, resource))


@lru_cache(maxsize=4096)
def _resource_pattern(expanded: str) -> str | None:
    """The pattern with wildcards that stay between colons where they have to; None for what is no ARN."""
    parts = expanded.split(":", 5)
    if parts[0] != "arn" or (len(parts) < 6 and not expanded.endswith(ANYTHING)):
        return None
    return ":".join([*map(_in_part, parts[:5]), *parts[5:]])


def _value(variable: str, variables: Variables) -> str | Answer:
    if variable in ("*", "?", "$"):
        return variable
    content = VARIABLE_CONTENT.fullmatch(variable)
    if content is None:
        return unknown(f"${{{untrusted.text(variable)}}} is not a policy variable")
    return variables(*content.groups())


def _mark(text: str) -> str:
    return text.replace("*", ANYTHING).replace("?", ANY_CHARACTER)


def _in_part(part: str) -> str:
    """A part of an ARN: a `*` at its end stands for anything, colons included, and no other wildcard does."""
    body = part.rstrip(ANYTHING)
    inside = body.replace(ANYTHING, ANYTHING_IN_PART).replace(ANY_CHARACTER, ANY_CHARACTER_IN_PART)
    return inside if body == part else inside + ANYTHING


def _matches(pattern: str, text: str) -> bool:
    stars = pattern.count(ANYTHING) + pattern.count(ANYTHING_IN_PART)
    return _compiled(pattern).fullmatch(text) is not None if stars <= FEW else _Steps.of(pattern).match(text)


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    expression = re.escape(pattern).replace(ANYTHING, ".*").replace(ANY_CHARACTER, ".")
    expression = expression.replace(ANYTHING_IN_PART, "[^:]*").replace(ANY_CHARACTER_IN_PART, "[^:]")
    return re.compile(expression, re.DOTALL)


class _Steps:
    """A pattern with many `*`, matched in one pass: a regular expression would try out every way to divide the text.

    Each number is a set of places in the pattern, a bit for each place.
    """

    def __init__(self, pattern: str) -> None:
        pattern = re.sub(f"{ANYTHING_IN_PART}*{ANYTHING}[{ANYTHING}{ANYTHING_IN_PART}]*", ANYTHING, pattern)
        pattern = re.sub(f"{ANYTHING_IN_PART}+", ANYTHING_IN_PART, pattern)
        self._places: dict[str, int] = {}
        for place, character in enumerate(pattern):
            self._places[character] = self._places.get(character, 0) | 1 << place
        self._end = 1 << len(pattern)
        self._stars = self._at(ANYTHING) | self._at(ANYTHING_IN_PART)

    @classmethod
    @lru_cache(maxsize=4096)
    def of(cls, pattern: str) -> _Steps:
        """The same for the same pattern."""
        return cls(pattern)

    def match(self, text: str) -> bool:
        """Return whether the whole text matches."""
        here = self._over_stars(1)
        for character in text:
            one, stay = self._at(character) | self._at(ANY_CHARACTER), self._at(ANYTHING)
            if character != ":":
                one |= self._at(ANY_CHARACTER_IN_PART)
                stay |= self._at(ANYTHING_IN_PART)
            here = self._over_stars((here & one) << 1 | (here & stay))
        return bool(here & self._end)

    def _at(self, character: str) -> int:
        return self._places.get(character, 0)

    def _over_stars(self, places: int) -> int:
        """A star may stand for nothing; no two of them are side by side."""
        return places | (places & self._stars) << 1
