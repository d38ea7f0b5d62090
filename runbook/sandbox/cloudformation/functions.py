"""What an expression of a template comes to: the intrinsic functions, with values for what they refer to."""

from __future__ import annotations

import base64
import ipaddress
import json
from collections.abc import Callable, Mapping
from typing import Any

from runbook.sandbox.cloudformation.refusals import ValidationError
from runbook.sandbox.cloudformation.templates import Reference, Template, substitute
from runbook.sandbox.errors import NotImplementedInSandbox

ABSENT = object()
"""What `AWS::NoValue` comes to. AWS, "Pseudo parameters": it removes the property."""

AVAILABILITY_ZONES = "abc"


class Resolver:
    """Evaluates the expressions of one template.

    `values`: parameters and pseudo parameters. `resource`: a resource's Ref (attribute "") or attribute. `exports`:
    what other stacks export. `seen` collects what has been referred to; a branch of Fn::If that does not count is not
    looked at.
    """

    def __init__(
        self,
        template: Template,
        values: Mapping[str, Any],
        resource: Callable[[str, str], Any],
        exports: Mapping[str, str],
    ) -> None:
        self._template = template
        self._values = values
        self._resource = resource
        self._exports = exports
        self._conditions: dict[str, bool] = {}
        self.seen: list[Reference] = []

    def condition(self, name: str | None) -> bool:
        """Whether a condition of the template holds; without a name, yes."""
        if name is None:
            return True
        if name not in self._conditions:
            if name not in self._template.conditions:
                raise ValidationError(f"Template error: unresolved condition dependency {name} in the template")
            self._conditions[name] = self._holds(self._template.conditions[name])
        return self._conditions[name]

    def active(self) -> list[str]:
        """The resources whose condition holds, each after those that it depends on."""
        resources = self._template.resources
        return [name for name in self._template.order if self.condition(resources[name].get("Condition"))]

    def properties(self, name: str) -> dict[str, Any]:
        """A resource's properties. AWS::NoValue leaves one out."""
        defined = self._template.resources[name].get("Properties") or {}
        return {key: value for key in defined if (value := self.value(defined[key])) is not ABSENT}

    def value(self, part: Any) -> Any:
        """What an expression comes to; ABSENT for AWS::NoValue."""
        if isinstance(part, dict):
            if len(part) == 1:
                ((name, argument),) = part.items()
                if name == "Ref":
                    return self._reference(Reference(argument))
                if name.startswith("Fn::"):
                    return self._function(name, argument)
            return {key: found for key, value in part.items() if (found := self.value(value)) is not ABSENT}
        if isinstance(part, list):
            return [found for item in part if (found := self.value(item)) is not ABSENT]
        return part

    def _reference(self, reference: Reference) -> Any:
        self.seen.append(reference)
        if reference.name == "AWS::NoValue":
            return ABSENT
        if reference.name in self._values and not reference.attribute:
            return self._values[reference.name]
        if reference.name not in self._template.resources:
            raise ValidationError(
                f"Template format error: Unresolved resource dependencies [{reference.name}] in the template"
            )
        if not self.condition(self._template.resources[reference.name].get("Condition")):
            raise ValidationError(
                f"Template format error: Unresolved resource dependencies [{reference.name}] in the Resources block of "
                "the template"
            )
        return self._resource(reference.name, reference.attribute)

    def _function(self, name: str, argument: Any) -> Any:
        match name, argument:
            case "Fn::GetAtt", [str(resource), attribute]:
                return self._reference(Reference(resource, str(self.value(attribute))))
            case "Fn::Sub", [str(text), dict(own)]:
                given = {key: self.value(value) for key, value in own.items()}
                return substitute(text, lambda each: self._substituted(each, given))
            case "Fn::Sub", str(text):
                return substitute(text, lambda each: self._substituted(each, {}))
            case "Fn::If", [str(condition), then, otherwise]:
                return self.value(then if self.condition(condition) else otherwise)
            case "Fn::Join", [str(separator), parts]:
                return separator.join(_text(each) for each in self.value(parts))
            case "Fn::Split", [str(separator), text]:
                return str(self.value(text)).split(separator)
            case "Fn::Select", [index, parts]:
                return self._select(int(self.value(index)), self.value(parts))
            case "Fn::FindInMap", [*path]:
                return self._find(path)
            case "Fn::ImportValue", _:
                return self._import(str(self.value(argument)))
            case "Fn::GetAZs", _:
                region = self.value(argument) or self._values["AWS::Region"]
                return [f"{region}{zone}" for zone in AVAILABILITY_ZONES]
            case "Fn::Base64", _:
                return base64.b64encode(str(self.value(argument)).encode()).decode()
            case "Fn::Cidr", [block, count, *bits]:
                return _subnets(str(self.value(block)), int(self.value(count)), int(self.value(bits[0])) if bits else 8)
            case "Fn::Length", _:
                return len(self.value(argument))
            case "Fn::ToJsonString", _:
                return json.dumps(self.value(argument), separators=(",", ":"))
            case (("Fn::And" | "Fn::Or" | "Fn::Not" | "Fn::Equals"), _):
                return self._holds({name: argument})
            case _:
                raise NotImplementedInSandbox(f"The sandbox does not know {name} in a template, or not this form.")

    def _holds(self, expression: Any) -> bool:
        match expression:
            case {"Condition": str(name)}:
                return self.condition(name)
            case {"Fn::Equals": [one, other]}:
                return _text(self.value(one)) == _text(self.value(other))
            case {"Fn::Not": [one]}:
                return not self._holds(one)
            case {"Fn::And": [*several]}:
                return all(self._holds(each) for each in several)
            case {"Fn::Or": [*several]}:
                return any(self._holds(each) for each in several)
            case _:
                raise NotImplementedInSandbox(f"The sandbox does not know the condition {json.dumps(expression)}.")

    def _substituted(self, reference: Reference, own: Mapping[str, Any]) -> str:
        whole = f"{reference.name}.{reference.attribute}" if reference.attribute else reference.name
        return _text(own[whole] if whole in own else self._reference(reference))

    def _select(self, index: int, parts: Any) -> Any:
        if not isinstance(parts, list) or not 0 <= index < len(parts):
            raise ValidationError("Template error: Fn::Select  cannot select nonexistent value at index " + str(index))
        return parts[index]

    def _find(self, path: list[Any]) -> Any:
        default = path.pop() if isinstance(path[-1], dict) and "DefaultValue" in path[-1] else None
        keys = [str(self.value(each)) for each in path]
        found: Any = self._template.mappings
        for key in keys:
            if not isinstance(found, Mapping) or key not in found:
                if default is not None:
                    return self.value(default["DefaultValue"])
                raise ValidationError(f"Template error: Unable to get mapping for {'::'.join(keys)}")
            found = found[key]
        return self.value(found)

    def _import(self, name: str) -> str:
        if name not in self._exports:
            raise ValidationError(f"No export named {name} found.")
        return self._exports[name]


def _text(value: Any) -> str:
    """A value inside a text: AWS writes true and false, a list as its members with commas, no value as nothing."""
    if value is ABSENT:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(map(_text, value))
    return str(value)


def _subnets(block: str, count: int, bits: int) -> list[str]:
    try:
        network = ipaddress.ip_network(block)
    except ValueError as error:
        raise ValidationError(f"Template error: Fn::Cidr: {error}") from error
    subnets = network.subnets(new_prefix=network.max_prefixlen - bits)
    return [str(subnet) for subnet, _ in zip(subnets, range(count), strict=False)]
