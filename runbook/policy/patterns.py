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

VARIABLE = re.compile(r"\$\{([^}]*)\}")
VARIABLE_CONTENT = re.compile(r"\s*([^\s,']+)\s*(?:,\s*'([^']*)'\s*)?")

# The value of a policy variable, given its key and its default; or why there is none: a no says that the request
# certainly has no such key.
Variables = Callable[[str, str | None], str | Answer]


def expand(text: str, variables: Variables | None) -> str | Answer:
    """Mark the wildcards and fill in the variables; or why that cannot be done, as `Variables` says it.

    `variables` is None where the policy language has none (Version 2008-10-17): `${…}` is plain text there.
    """
    if variables is None:
        return _mark(text)
    parts, end = [], 0
    for variable in VARIABLE.finditer(text):
        value = _value(variable.group(1), variables)
        if isinstance(value, Answer):
            return value
        parts += [_mark(text[end : variable.start()]), value]
        end = variable.end()
    if "${" in text[end:]:
        return unknown(f"the variable in {quoted(text)} is not closed")
    return "".join([*parts, _mark(text[end:])])


def literal(expanded: str) -> str:
    """The text where wildcards mean nothing, as in StringEquals."""
    return expanded.replace(ANYTHING, "*").replace(ANY_CHARACTER, "?")


def like(expanded: str, text: str) -> bool:
    """Wildcards match any characters, as in StringLike."""
    return _matches(_expression(expanded), text)


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
    service, colon, name = pattern.lower().partition(":")
    if not (colon and name and re.fullmatch(r"[a-z0-9-]+", service)):
        return unknown(f"{quoted(pattern)} is not an action")
    return Answer(like(_mark(f"{service}:{name}"), action.lower()))


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
    expression = _resource_expression(expanded)
    return unknown(f"{quoted(pattern)} is not an ARN") if expression is None else Answer(_matches(expression, resource))


@lru_cache(maxsize=4096)
def _resource_expression(expanded: str) -> str | None:
    """A regular expression for the ARNs that a pattern means; None for what is no ARN."""
    parts = expanded.split(":", 5)
    if parts[0] != "arn" or (len(parts) < 6 and not expanded.endswith(ANYTHING)):
        return None
    head = [_expression(part, wildcard="[^:]") for part in parts[:5]]
    return ":".join([*head, *(_expression(part) for part in parts[5:])])


def _value(variable: str, variables: Variables) -> str | Answer:
    if variable in ("*", "?", "$"):
        return variable
    content = VARIABLE_CONTENT.fullmatch(variable)
    if content is None:
        return unknown(f"${{{untrusted.text(variable)}}} is not a policy variable")
    return variables(*content.groups())


def _mark(text: str) -> str:
    return text.replace("*", ANYTHING).replace("?", ANY_CHARACTER)


def _expression(expanded: str, *, wildcard: str = ".") -> str:
    """A regular expression; `wildcard` is what a wildcard stands for, but a `*` at the end stands for anything."""
    body = re.sub(f"{ANYTHING}+$", "", expanded)
    escaped = re.sub(f"{ANYTHING}+", f"{wildcard}*", re.escape(body)).replace(ANY_CHARACTER, wildcard)
    return escaped if body == expanded else f"{escaped}.*"


@lru_cache(maxsize=4096)
def _compiled(expression: str) -> re.Pattern[str]:
    return re.compile(expression, re.DOTALL)


def _matches(expression: str, text: str) -> bool:
    return _compiled(expression).fullmatch(text) is not None
