"""CloudFormation templates, as far as parameters decide which resources there are: worked out, nothing called."""

import json
from collections.abc import Mapping
from typing import Any

import yaml

from runbook.plan import Effect

Parameters = Mapping[str, str]


class NotKnown(Exception):
    """A template, or a condition in it, that cannot be worked out here."""


def parse(body: Any) -> Mapping[str, Any]:
    """A template as GetTemplate gives it: YAML text, JSON text, or JSON decoded already. Raises NotKnown."""
    try:
        template = yaml.load(body, Loader=_Loader) if isinstance(body, str) else body
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise NotKnown(f"the template cannot be read ({' '.join(str(error).split())})") from None
    if not isinstance(template, Mapping) or not isinstance(template.get("Resources"), Mapping):
        raise NotKnown("the template has no resources")
    return json.loads(json.dumps(template, default=str))  # type: ignore[no-any-return]


def differences(template: Mapping[str, Any], before: Parameters, after: Parameters) -> tuple[Effect, ...]:
    """The resources that come or go when the parameters change, in the order of the template.

    `before` and `after` are all of the stack's parameters, as DescribeStacks shows them. A resource whose condition
    cannot be worked out is left out. Source: AWS, "Condition functions".
    """
    then, now = _Conditions(template, before), _Conditions(template, after)
    effects = []
    for name, resource in template["Resources"].items():
        if "Condition" in resource:
            try:
                was, will_be = then.holds(resource["Condition"]), now.holds(resource["Condition"])
            except NotKnown:
                continue
            if was != will_be:
                kind = str(resource.get("Type", ""))
                effects.append(Effect(action="add" if will_be else "remove", name=name, kind=kind))
    return tuple(effects)


class _Conditions:
    """The conditions of a template with given parameters."""

    def __init__(self, template: Mapping[str, Any], parameters: Parameters) -> None:
        self._declared = template.get("Parameters", {})
        self._conditions = template.get("Conditions", {})
        self._parameters = parameters

    def holds(self, name: str) -> bool:
        """Whether a condition is met. Raises NotKnown."""
        if name not in self._conditions:
            raise NotKnown(f"the template has no condition `{name}`")
        return self._truth(self._conditions[name])

    def _truth(self, condition: Any) -> bool:
        match condition:
            case {"Condition": str(name), **others} if not others:
                return self.holds(name)
            case {"Fn::Equals": [one, other]}:
                return bool(self._value(one) == self._value(other))
            case {"Fn::Not": [one]}:
                return not self._truth(one)
            case {"Fn::And": list(parts)}:
                return all(self._truth(part) for part in parts)
            case {"Fn::Or": list(parts)}:
                return any(self._truth(part) for part in parts)
        raise NotKnown(f"the condition {json.dumps(condition)[:80]} is of an unknown form")

    def _value(self, value: Any) -> Any:
        match value:
            case str() | int() | float() | bool():
                return _text(value)
            case {"Ref": str(name)} if name in self._parameters:
                return self._parameter(name)
            case {"Fn::Join": [str(between), parts]}:
                return between.join(self._list(parts))
            case {"Fn::Select": [index, parts]}:
                return self._member(parts, str(self._value(index)))
            case {"Fn::Split": [str(between), text]}:
                return str(self._value(text)).split(between)
        raise NotKnown(f"{json.dumps(value)[:80]} is not known before an update")

    def _member(self, parts: Any, index: str) -> str:
        members = self._list(parts)
        if not index.isdigit() or int(index) >= len(members):
            raise NotKnown(f"there is no member {index} in {json.dumps(parts)[:80]}")
        return members[int(index)]

    def _list(self, parts: Any) -> list[str]:
        if isinstance(parts, list):
            return [str(self._value(part)) for part in parts]
        value = self._value(parts)
        if not isinstance(value, list):
            raise NotKnown(f"{json.dumps(parts)[:80]} is not a list")
        return value

    def _parameter(self, name: str) -> str | list[str]:
        """AWS, "Parameters": a list is "separated by commas", and "each member string is space trimmed"."""
        value, kind = self._parameters[name], str(self._declared.get(name, {}).get("Type", ""))
        if self._declared.get(name, {}).get("NoEcho") in (True, "true"):
            raise NotKnown(f"`{name}` is not shown")
        listed = kind == "CommaDelimitedList" or kind.startswith("List<")
        return [part.strip() for part in value.split(",")] if listed else value


def _text(value: str | float) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class _Loader(yaml.SafeLoader):
    """YAML's safe loader with CloudFormation's short forms: `!Ref X` is `{"Ref": "X"}`, `!Join` is `Fn::Join`."""


def _short_form(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> Any:
    name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        return {name: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.MappingNode)
    return {name: loader.construct_mapping(node, deep=True)}


_Loader.add_multi_constructor("!", _short_form)
