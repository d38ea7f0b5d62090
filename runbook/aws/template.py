"""CloudFormation templates, as far as parameters decide what they come to: worked out, nothing called."""

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import yaml

from runbook import untrusted
from runbook.plan import Effect
from runbook.strict_yaml import DEEPEST, MOST_VALUES, BoundedLoader, described
from runbook.untrusted import code

Parameters = Mapping[str, str]

LARGEST = 1_000_000
"""Maximum size of a template in bytes. Source: AWS, "CloudFormation quotas"."""


NO_VALUE = object()
"""What `AWS::NoValue` stands for: a property, or a member of a list, that is not there."""


class NotKnown(Exception):
    """A template, or a value or condition in it, that cannot be worked out here."""


def parse(body: Any) -> Mapping[str, Any]:
    """A template as GetTemplate gives it: YAML text, JSON text, or JSON decoded already. Raises NotKnown."""
    try:
        text = _as_json(body) if isinstance(body, str) else json.dumps(body, default=str)
        template = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        raise NotKnown("the template cannot be read") from None
    if not _within_bounds(template):
        raise NotKnown(f"the template has more than {MOST_VALUES:,} values, or more than {DEEPEST} inside each other")
    if not isinstance(template, Mapping) or not isinstance(template.get("Resources"), Mapping):
        raise NotKnown("the template has no resources")
    if not all(isinstance(each, Mapping) for each in template["Resources"].values()):
        raise NotKnown("a resource of the template is no mapping")
    if not all(isinstance(template.get(section, {}), Mapping) for section in ("Conditions", "Parameters", "Mappings")):
        raise NotKnown("`Conditions`, `Parameters` or `Mappings` of the template is no mapping")
    return template


@lru_cache(16)  # one template is read many times, and reading YAML takes longer than asking for it
def _as_json(text: str) -> str:
    """A template in YAML, or in JSON, as JSON. Raises NotKnown."""
    if len(text.encode(errors="replace")) > LARGEST:
        raise NotKnown(f"the template is larger than {LARGEST:,} bytes, which CloudFormation takes at most")
    if text.lstrip().startswith("{"):
        try:
            return json.dumps(json.loads(text))  # much faster, and what is not JSON may still be YAML
        except (ValueError, RecursionError):
            pass
    try:
        return json.dumps(yaml.load(text, Loader=_Loader), default=str)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise NotKnown(f"the template cannot be read ({untrusted.text(described(error).rstrip('.'))})") from None


def _within_bounds(template: Any) -> bool:
    """Return whether a template has no more values, and none deeper, than can be worked out in good time."""
    pending, values = [(template, 1)], 0
    while pending:
        value, depth = pending.pop()
        values += 1
        if depth > DEEPEST or values > MOST_VALUES:
            return False
        if isinstance(value, Mapping | list):
            inside = value.values() if isinstance(value, Mapping) else value
            pending += [(each, depth + 1) for each in inside]
    return True


def differences(template: Mapping[str, Any], before: Parameters, after: Parameters) -> tuple[Effect, ...]:
    """The resources that come or go when the parameters change, in the order of the template.

    `before` and `after` are all of the stack's parameters, as DescribeStacks shows them. A resource whose condition
    cannot be worked out is left out. Source: AWS, "Condition functions".
    """
    return replaced(template, before, template, after)


def replaced(
    old: Mapping[str, Any] | None, before: Parameters, new: Mapping[str, Any] | None, after: Parameters
) -> tuple[Effect, ...]:
    """The resources that come or go when a template takes the place of another; None: there is no stack.

    A resource whose condition cannot be worked out is left out.
    """
    resources = {**(old or {"Resources": {}})["Resources"], **(new or {"Resources": {}})["Resources"]}
    old_values, new_values = Values(old or {}, before), Values(new or {}, after)
    effects = []
    for name, resource in resources.items():
        try:
            was, will_be = _is_made(old, old_values, name), _is_made(new, new_values, name)
        except NotKnown:
            continue
        if was != will_be:
            kind = str(resource.get("Type", ""))
            effects.append(Effect(action="add" if will_be else "remove", name=name, kind=kind))
    return tuple(effects)


def _is_made(template: Mapping[str, Any] | None, values: "Values", name: str) -> bool:
    """Whether a stack from this template has the resource. Raises NotKnown."""
    if template is None or name not in template["Resources"]:
        return False
    resource = template["Resources"][name]
    return "Condition" not in resource or values.holds(resource["Condition"])


def with_defaults(template: Mapping[str, Any], given: Parameters) -> dict[str, str]:
    """All parameters of a template with their values, as texts: those given, and the defaults of the others.

    One that is neither given nor has a default is left out.
    """
    defaults = {
        name: _text(declared["Default"])
        for name, declared in template.get("Parameters", {}).items()
        if "Default" in declared
    }
    values = defaults | dict(given)
    return {name: values[name] for name in template.get("Parameters", {}) if name in values}


class Values:
    """What values and conditions of a template come to.

    `parameters` are those of the stack, as texts. `known` is what other references come to: pseudo parameters
    (`AWS::Region`), resources (`Role` for `!Ref Role`) and attributes of resources (`Role.Arn` for `!GetAtt Role.Arn`).
    Source: AWS, "Intrinsic function reference".
    """

    def __init__(
        self,
        template: Mapping[str, Any],
        parameters: Parameters,
        known: Mapping[str, Any] | None = None,
    ) -> None:
        self._template = template
        self._parameters = parameters
        self._known = dict(known or {})
        self._conditions: dict[str, bool | NotKnown] = {}

    def holds(self, name: Any) -> bool:
        """Return whether a condition is met. Raises NotKnown.

        Each is worked out once: conditions of conditions could otherwise double with every step.
        """
        if not isinstance(name, str):
            raise NotKnown("the name of a condition is not text")
        if name not in self._conditions:
            conditions = self._template.get("Conditions", {})
            if name not in conditions:
                raise NotKnown(f"the template has no condition {code(name)}")
            self._conditions[name] = NotKnown(f"the condition {code(name)} depends on itself")
            try:
                self._conditions[name] = self._truth(conditions[name])
            except NotKnown as error:
                self._conditions[name] = error
            except RecursionError:
                self._conditions[name] = NotKnown(f"the condition {code(name)} depends on too many others")
        found = self._conditions[name]
        if isinstance(found, NotKnown):
            raise NotKnown(str(found))
        return found

    def of(self, value: Any) -> Any:
        """A value with every intrinsic function in it worked out, however deep. Raises NotKnown.

        Numbers and booleans stay what they are; what `AWS::NoValue` stands for is left out.
        """
        if isinstance(value, Mapping) and len(value) == 1:
            (name,) = value
            if name == "Ref" or name.startswith("Fn::"):
                return self._function(name, value[name])
        if isinstance(value, Mapping):
            members = {key: self.of(each) for key, each in value.items()}
            return {key: each for key, each in members.items() if each is not NO_VALUE}
        if isinstance(value, list):
            return [each for each in map(self.of, value) if each is not NO_VALUE]
        return value

    def _truth(self, condition: Any) -> bool:
        match condition:
            case {"Condition": str(name), **others} if not others:
                return self.holds(name)
            case {"Fn::Equals": [one, other]}:
                return bool(self._comparable(one) == self._comparable(other))
            case {"Fn::Not": [one]}:
                return not self._truth(one)
            case {"Fn::And": list(parts)}:
                return all(self._truth(part) for part in parts)
            case {"Fn::Or": list(parts)}:
                return any(self._truth(part) for part in parts)
        raise NotKnown(f"the condition {_shown(condition)} is of an unknown form")

    def _function(self, name: str, argument: Any) -> Any:
        match name, argument:
            case "Ref", str(referred):
                return self._reference(referred)
            case "Fn::GetAtt", str(attribute) | [str(attribute)]:
                return self._resource(attribute)
            case "Fn::GetAtt", [str(resource), str(attribute)]:
                return self._resource(f"{resource}.{attribute}")
            case "Fn::If", [str(condition), one, other]:
                return self.of(one if self.holds(condition) else other)
            case "Fn::Join", [str(between), parts]:
                return between.join(self._list(parts))
            case "Fn::Select", [index, parts]:
                return self._member(parts, _text(self.of(index)))
            case "Fn::Split", [str(between), text]:
                return self._string(text).split(between)
            case "Fn::Sub", str(text):
                return self._substituted(text, {})
            case "Fn::Sub", [str(text), Mapping() as more]:
                return self._substituted(text, more)
            case "Fn::FindInMap", [table, first, second]:
                return self._found_in_map(*map(self._string, (table, first, second)))
        raise NotKnown(f"{_shown({name: argument})} is not known before the stack is there")

    def _reference(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return NO_VALUE
        return self._parameter(name) if name in self._parameters else self._resource(name)

    def _resource(self, name: str) -> Any:
        """A pseudo parameter, a resource, or an attribute of one."""
        if name not in self._known:
            raise NotKnown(f"{code(name)} is not known before the stack is there")
        return self._known[name]

    def _substituted(self, text: str, more: Mapping[str, Any]) -> str:
        """`Fn::Sub`; `${!Literal}` stays `${Literal}`."""

        def value(found: re.Match[str]) -> str:
            name = found[1]
            if name.startswith("!"):
                return f"${{{name[1:]}}}"
            return self._string(more.get(name, {"Ref": name}))

        return re.sub(r"\$\{([^}]+)\}", value, text)

    def _found_in_map(self, table: str, first: str, second: str) -> Any:
        try:
            return self._template["Mappings"][table][first][second]
        except KeyError:
            raise NotKnown(f"there is no {code(second)} of {code(first)} in the mapping {code(table)}") from None

    def _comparable(self, value: Any) -> Any:
        found = self.of(value)
        return list(map(_text, found)) if isinstance(found, list) else _text(found)

    def _string(self, value: Any) -> str:
        found = self.of(value)
        if not isinstance(found, str | int | float):
            raise NotKnown(f"{_shown(value)} is not a text")
        return _text(found)

    def _member(self, parts: Any, index: str) -> str:
        members = self._list(parts)
        if not re.fullmatch("[0-9]{1,9}", index) or int(index) >= len(members):
            raise NotKnown(f"there is no member {index} in {_shown(parts)}")
        return members[int(index)]

    def _list(self, parts: Any) -> list[str]:
        found = self.of(parts)
        if not isinstance(found, list):
            raise NotKnown(f"{_shown(parts)} is not a list")
        return list(map(_text, found))

    def _parameter(self, name: str) -> str | list[str]:
        """AWS, "Parameters": a list is "separated by commas", and "each member string is space trimmed"."""
        declared = self._template.get("Parameters", {}).get(name, {})
        value, kind = self._parameters[name], str(declared.get("Type", ""))
        if declared.get("NoEcho") in (True, "true") or kind.startswith("AWS::SSM::Parameter::Value<"):
            raise NotKnown(f"{code(name)} is not shown")
        listed = kind == "CommaDelimitedList" or kind.startswith("List<")
        return [part.strip() for part in value.split(",")] if listed else value


def _shown(value: Any) -> str:
    """As much of a value as fits into a sentence."""
    return untrusted.text(json.dumps(value)[:80])


def _text(value: Any) -> str:
    """A scalar as CloudFormation writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


class _Loader(BoundedLoader):
    """YAML's loader with CloudFormation's short forms: `!Ref X` is `{"Ref": "X"}`, `!Join` is `Fn::Join`."""


def _short_form(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> Any:
    name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        return {name: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.MappingNode)
    return {name: loader.construct_mapping(node, deep=True)}


_Loader.add_multi_constructor("!", _short_form)
