"""What a connection template makes, for people: its resources, and who its role lets in to do what."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from runbook import markdown
from runbook.aws.connection_template import ConnectionTemplate, RoleToBe, StackToBe
from runbook.aws.template import NotKnown
from runbook.untrusted import code, text


def overview_of(template: ConnectionTemplate, parameters: Mapping[str, str], stack: StackToBe) -> str:
    """The template in Markdown, as a stack with these parameters would make it."""
    parts = [markdown.table(["Resource", "Type"], [(code(name), code(kind)) for name, kind in template.resources])]
    try:
        roles = template.roles(parameters, stack)
    except NotKnown as error:
        return "\n\n".join([*parts, f"Which role it makes cannot be worked out: {error}. Read it in the difference."])
    for role in roles:
        parts += _role(role, stack)
    return "\n\n".join(parts)


def _role(role: RoleToBe, stack: StackToBe) -> Iterator[str]:
    yield f"**Role {code(role.name)}**, as account {stack.account} would have it. Who may assume it:"
    trust = _statements(role.role.trust_policy)
    rows = [(_effect(each), _told(each, "Principal"), _told(each, "Condition")) for each in trust]
    yield markdown.table(["", "Who", "On condition that"], rows)
    yield "What it may do:"
    policies = [each for policy in role.role.identity_policies for each in _statements(policy)]
    may = [
        (_effect(each), _told(each, "Action"), _told(each, "Resource"), _told(each, "Condition")) for each in policies
    ]
    yield markdown.table(["", "What", "With", "On condition that"], may)
    if role.elsewhere:
        listed = markdown.names(role.elsewhere, most=len(role.elsewhere))
        yield f"And what these policies say, which are not part of the template: {listed}."


def _effect(statement: Mapping[str, Any]) -> str:
    return text(statement.get("Effect", ""))


def _told(statement: Mapping[str, Any], element: str) -> str:
    """`Action`, or `NotAction` where a statement has that."""
    if element in statement:
        return _words(statement[element])
    return f"all but {_words(statement[f'Not{element}'])}" if f"Not{element}" in statement else ""


def _statements(policy: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    found = policy.get("Statement", [])
    return found if isinstance(found, list) else [found]


def _words(value: Any) -> str:
    """A value of a statement, in a table's cell: lists with commas, conditions a line each."""
    if isinstance(value, str):
        return code(value) if value else ""
    if isinstance(value, list):
        return ", ".join(map(_words, value))
    if isinstance(value, Mapping):
        lines = []
        for key, each in value.items():
            if isinstance(each, Mapping):
                lines += [f"{code(name)} {text(key)} {_words(told)}" for name, told in each.items()]
            else:
                lines.append(f"{text(key)} {_words(each)}")
        return "\n".join(lines)
    return code(json.dumps(value))
