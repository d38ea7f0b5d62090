"""A stack's parameters: what was passed becomes a text for each one that the template declares, or a ValidationError.

Texts are kept as they were passed; `values` makes of them what the template sees.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from moto.ssm.models import ssm_backends

from runbook.sandbox.cloudformation.refusals import ValidationError
from runbook.sandbox.cloudformation.templates import Template
from runbook.sandbox.errors import NotImplementedInSandbox

Declarations = Mapping[str, Mapping[str, Any]]
"""The section Parameters of a template."""

MASK = "****"


def passed(
    declarations: Declarations, given: Iterable[Mapping[str, Any]], previous: Mapping[str, str] | None
) -> dict[str, str]:
    """The text of every declared parameter.

    `given` is a request's Parameters; `previous` the stack's present texts, None for a new stack. One that is not
    given has the template's default: AWS, UpdateStack, Parameter, UsePreviousValue: "use the existing parameter value
    that the stack is using", also for one that was never passed; what is left out goes back to the default. Raises
    ValidationError, before anything is changed.
    """
    texts: dict[str, str] = {}
    for each in given:
        name = str(each.get("ParameterKey"))
        text = each.get("ParameterValue")
        if _true(each.get("UsePreviousValue")):
            if text:
                raise ValidationError(
                    f"Invalid input for parameter key {name}. Cannot specify usePreviousValue as true and non empty "
                    "value for a parameter"
                )
            if previous is None or name not in previous:
                raise ValidationError(
                    f"Invalid input for parameter key {name}. Cannot specify usePreviousValue as true for a parameter "
                    "key not in the previous template"
                )
            texts[name] = previous[name]
        elif text is not None:
            texts[name] = str(text)
    unknown = [name for name in texts if name not in declarations]
    if unknown:
        raise ValidationError(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
    missing = [name for name, declared in declarations.items() if name not in texts and declared.get("Default") is None]
    if missing:
        raise ValidationError(f"Parameters: [{', '.join(missing)}] must have values")
    complete = {
        name: texts[name] if name in texts else _text(declared["Default"]) for name, declared in declarations.items()
    }
    for name, declared in declarations.items():
        _check(name, declared, complete[name])
    return complete


def values(declarations: Declarations, texts: Mapping[str, str], account: str, region: str) -> dict[str, Any]:
    """What the template sees: lists for list types, numbers for numbers.

    AWS, "Parameters": CommaDelimitedList is "an array of literal strings that are separated by commas"; "Each member
    string is space trimmed".
    """
    return {
        name: _value(str(declared.get("Type", "String")), texts[name], account, region)
        for name, declared in declarations.items()
    }


def shown(template: Template, texts: Mapping[str, str]) -> list[dict[str, str]]:
    """Parameters as stacks and change sets show them: the texts as passed, asterisks for NoEcho.

    AWS, "Parameters", NoEcho: calls that describe the stack or its events return asterisks. (It is four of them.)
    """
    return [
        {"ParameterKey": name, "ParameterValue": MASK if name in template.secrets else texts[name]}
        for name in template.parameters
    ]


def is_list(declared: Mapping[str, Any]) -> bool:
    kind = str(declared.get("Type", "String"))
    return kind == "CommaDelimitedList" or "List<" in kind


def _value(kind: str, text: str, account: str, region: str) -> Any:
    if kind.startswith("AWS::SSM::Parameter::Value<"):
        text = _stored(text, account, region)
        kind = kind.removeprefix("AWS::SSM::Parameter::Value<").removesuffix(">")
    if kind == "CommaDelimitedList" or kind.startswith("List<"):
        members = [member.strip() for member in text.split(",")]
        return [_number(member) for member in members] if kind == "List<Number>" else members
    return _number(text) if kind == "Number" else text


def _stored(name: str, account: str, region: str) -> str:
    """AWS, "SSM parameter types": the value in Parameter Store. Public ones (`/aws/...`) are made up."""
    found = ssm_backends[account][region].get_parameter(name)
    if found is not None:
        return str(found.value)
    if name.startswith("/aws/"):
        return "ami-00000000000000000" if "ami" in name else name
    raise ValidationError(f"Parameters [{name}] referenced by template not found in SSM")


def _check(name: str, declared: Mapping[str, Any], text: str) -> None:
    """The constraints of the section Parameters. AWS names the constraint, or gives ConstraintDescription instead."""
    numbers = str(declared.get("Type")) in {"Number", "List<Number>"}
    for member in [each.strip() for each in text.split(",")] if is_list(declared) else [text]:
        violated = _violated(declared, member, number=numbers)
        if violated is None:
            continue
        if declared.get("ConstraintDescription"):
            raise ValidationError(
                f"Parameter '{name}' failed to satisfy constraint: {declared['ConstraintDescription']}"
            )
        raise ValidationError(f"Parameter '{name}' {violated}")


def _violated(declared: Mapping[str, Any], text: str, *, number: bool) -> str | None:
    if number and not _is_number(text):
        return "must be a number."
    allowed = declared.get("AllowedValues")
    if allowed is not None and text not in map(_text, allowed):
        return "must be one of AllowedValues"
    pattern = declared.get("AllowedPattern")
    if pattern is not None and not _matches(str(pattern), text):
        return f"must match pattern {pattern}"
    if number:
        if "MinValue" in declared and float(text) < float(declared["MinValue"]):
            return f"must be a number not less than {declared['MinValue']}"
        if "MaxValue" in declared and float(text) > float(declared["MaxValue"]):
            return f"must be a number not greater than {declared['MaxValue']}"
        return None
    if "MinLength" in declared and len(text) < int(declared["MinLength"]):
        return f"must contain at least {declared['MinLength']} characters"
    if "MaxLength" in declared and len(text) > int(declared["MaxLength"]):
        return f"must contain at most {declared['MaxLength']} characters"
    return None


def _matches(pattern: str, text: str) -> bool:
    try:
        return re.fullmatch(pattern, text) is not None
    except re.error as error:  # AWS's are Java's
        raise NotImplementedInSandbox(f"The sandbox cannot read the AllowedPattern {pattern}: {error}.") from error


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _true(value: Any) -> bool:
    return str(value).lower() == "true"


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
