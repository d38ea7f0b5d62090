"""Reads a template once, and says what can be said of it without any values: its form, its order, what it needs."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

from moto.cloudformation.models import Stack as MotoStack
from yaml import YAMLError

from runbook.sandbox.cloudformation.refusals import InsufficientCapabilities, ValidationError
from runbook.sandbox.errors import NotImplementedInSandbox

Definition = Mapping[str, Any]
"""A resource as the template defines it."""

SIZE_OF_A_BODY = 51_200
"""AWS, "CloudFormation quotas": bytes of a template body in a request. A previous template may be larger."""

IAM_TYPES = frozenset(
    f"AWS::IAM::{kind}"
    for kind in (
        "AccessKey", "Group", "GroupPolicy", "InstanceProfile", "ManagedPolicy", "Policy", "Role", "RolePolicy",
        "User", "UserPolicy", "UserToGroupAddition",
    )
)  # fmt: skip
"""AWS, CreateStack, Capabilities: the types that need CAPABILITY_IAM, or CAPABILITY_NAMED_IAM with a custom name."""

IAM_NAMES = {
    "AWS::IAM::Group": "GroupName",
    "AWS::IAM::InstanceProfile": "InstanceProfileName",
    "AWS::IAM::ManagedPolicy": "ManagedPolicyName",
    "AWS::IAM::Role": "RoleName",
    "AWS::IAM::User": "UserName",
}

_PLACEHOLDER = re.compile(r"\$\{([^!{}][^{}]*)\}")


class Reference(NamedTuple):
    """Something that an expression names: a parameter, a pseudo parameter or a resource, and an attribute of it."""

    name: str
    attribute: str = ""


@dataclass(frozen=True)
class Template:
    """A template: the text as it was passed, and its sections. Nobody may change what is in them."""

    text: str
    sections: Mapping[str, Any] = field(compare=False)

    @property
    def description(self) -> str | None:
        return self.sections.get("Description")

    @property
    def parameters(self) -> Mapping[str, Mapping[str, Any]]:
        return self._section("Parameters")

    @property
    def mappings(self) -> Mapping[str, Any]:
        return self._section("Mappings")

    @property
    def conditions(self) -> Mapping[str, Any]:
        return self._section("Conditions")

    @property
    def resources(self) -> Mapping[str, Definition]:
        return self._section("Resources")

    @property
    def outputs(self) -> Mapping[str, Mapping[str, Any]]:
        return self._section("Outputs")

    def _section(self, name: str) -> Mapping[str, Any]:
        section: Mapping[str, Any] = self.sections.get(name) or {}
        return section

    @cached_property
    def secrets(self) -> frozenset[str]:
        """The parameters that say NoEcho."""
        return frozenset(
            name for name, each in self.parameters.items() if str(each.get("NoEcho", False)).lower() == "true"
        )

    @cached_property
    def order(self) -> tuple[str, ...]:
        """The resources, each after those that it depends on, otherwise as they stand.

        AWS, "DependsOn": CloudFormation follows Ref, Fn::GetAtt and Fn::Sub, and DependsOn. Raises ValidationError for
        a circle.
        """
        order: dict[str, None] = {}

        def visit(name: str, above: tuple[str, ...]) -> None:
            if name in order:
                return
            if name in above:
                circle = ", ".join(sorted(above[above.index(name) :]))
                raise ValidationError(f"Circular dependency between resources: [{circle}]")
            for needed in self.dependencies(name):
                visit(needed, (*above, name))
            order[name] = None

        for name in self.resources:
            visit(name, ())
        return tuple(order)

    def dependencies(self, name: str) -> tuple[str, ...]:
        """The resources that a resource refers to."""
        return tuple(dict.fromkeys(each for each in needs(self.resources[name]) if each in self.resources))

    @cached_property
    def capability(self) -> tuple[str, tuple[str, ...]]:
        """What the caller has to acknowledge ("" for nothing), and the types because of which.

        AWS, CreateStack, Capabilities: "If you have IAM resources with custom names, you must specify
        CAPABILITY_NAMED_IAM"; with IAM resources, either.
        """
        found = {name: each for name, each in self.resources.items() if each["Type"] in IAM_TYPES}
        named = [each for each in found.values() if IAM_NAMES.get(each["Type"]) in (each.get("Properties") or {})]
        types = tuple(sorted({str(each["Type"]) for each in found.values()}))
        return ("CAPABILITY_NAMED_IAM" if named else "CAPABILITY_IAM" if found else "", types)

    def require(self, capabilities: list[str]) -> None:
        """Raise InsufficientCapabilities unless the caller has acknowledged what the template needs."""
        needed, _ = self.capability
        enough = {"CAPABILITY_IAM": {"CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"}}.get(needed, {needed})
        if needed and not enough & set(capabilities):
            raise InsufficientCapabilities(needed)


def read(text: str) -> Template:
    """The template in a text, JSON or YAML. The same text gives the same object. Raises ValidationError."""
    return _read(text)


def needs(definition: Definition) -> list[str]:
    """What a resource's definition names: other resources that it depends on, and parameters."""
    explicit = definition.get("DependsOn", ())
    named = [explicit] if isinstance(explicit, str) else list(explicit)
    return named + [reference.name for reference in references(definition.get("Properties"))]


def references(part: Any) -> Iterator[Reference]:
    """Everything that an expression names, in the order in which it stands there."""
    match part:
        case {"Ref": str(name)}:
            yield Reference(name)
        case {"Fn::GetAtt": [str(name), attribute]}:
            yield Reference(name, attribute if isinstance(attribute, str) else "")
        case {"Fn::Sub": [str(text), dict(own)]}:
            yield from references(own)
            yield from (each for each in placeholders(text) if each.name not in own)
        case {"Fn::Sub": str(text)}:
            yield from placeholders(text)
        case dict():
            for value in part.values():
                yield from references(value)
        case list():
            for value in part:
                yield from references(value)


def placeholders(text: str) -> Iterator[Reference]:
    """What `${...}` in a Fn::Sub names. `${!...}` is a literal."""
    for found in _PLACEHOLDER.finditer(text):
        name, _, attribute = found[1].strip().partition(".")
        yield Reference(name, attribute)


def substitute(text: str, value: Any) -> str:
    """The text with each `${...}` replaced by `value(reference)`, and `${!x}` by `${x}`."""

    def replaced(found: re.Match[str]) -> str:
        name, _, attribute = found[1].strip().partition(".")
        return str(value(Reference(name, attribute)))

    return _PLACEHOLDER.sub(replaced, text).replace("${!", "${")


@lru_cache(maxsize=64)
def _read(text: str) -> Template:
    """moto parses a template for every look at a stack, 0.1 s for ours. Here once for each text."""
    try:
        parsed = MotoStack.parse_template(text)
    except (YAMLError, ValueError) as error:
        kind = "JSON" if text.lstrip().startswith("{") else "YAML"
        raise ValidationError(f"Template format error: {kind} not well-formed. ({error})") from error
    if not isinstance(parsed, dict):
        raise ValidationError("Template format error: unsupported structure.")
    template = Template(text, _normal(parsed))
    _check(template)
    return template


def _normal(part: Any) -> Any:
    """The long form of what moto's reader leaves in another one.

    AWS, "Condition functions": `!Condition X` is short for `{"Condition": "X"}`, moto reads `{"Fn::Condition": "X"}`.
    AWS, "Fn::GetAtt": an attribute's name may have dots. And YAML's dates (`Version: 2012-10-17`) are texts in a
    template.
    """
    match part:
        case {"Fn::GetAtt": str(path)}:
            return {"Fn::GetAtt": path.split(".", 1)}
        case {"Fn::GetAtt": [name, *rest]} if len(rest) > 1:
            return {"Fn::GetAtt": [name, ".".join(rest)]}
        case dict():
            return {("Condition" if key == "Fn::Condition" else key): _normal(value) for key, value in part.items()}
        case list():
            return [_normal(item) for item in part]
        case datetime.date():
            return part.isoformat()
        case _:
            return part


def _check(template: Template) -> None:
    """The form that AWS checks before anything else, in its wordings."""
    if not template.resources:
        raise ValidationError("Template format error: At least one Resources member must be defined.")
    for name, definition in template.resources.items():
        if not isinstance(definition, dict) or "Type" not in definition:
            raise ValidationError(
                f"Template format error: [/Resources/{name}] Every Resources object must contain a Type member."
            )
    for name, output in template.outputs.items():
        if not isinstance(output, dict) or output.get("Value") is None:
            raise ValidationError(f"[/Outputs/{name}/Value] 'null' values are not allowed in templates")
    _check_references(template)
    transforms = template.sections.get("Transform", [])
    unknown = {*([transforms] if isinstance(transforms, str) else transforms)} - {"AWS::LanguageExtensions"}
    if unknown:
        raise NotImplementedInSandbox(
            f"The sandbox does not transform templates: {', '.join(sorted(map(str, unknown)))}."
        )
    template.order  # noqa: B018 - raises for a circle


def _check_references(template: Template) -> None:
    known = {*template.parameters, *template.resources}
    for block, parts in (("Resources", template.resources), ("Outputs", template.outputs)):
        unresolved: dict[str, None] = {}
        for part in parts.values():
            named = [reference.name for reference in references(part.get("Properties", part.get("Value")))]
            depends = part.get("DependsOn", [])
            named += [depends] if isinstance(depends, str) else depends
            unresolved.update(dict.fromkeys(name for name in named if name not in known and not _pseudo(name)))
        if unresolved:
            raise ValidationError(
                f"Template format error: Unresolved resource dependencies [{', '.join(unresolved)}] "
                f"in the {block} block of the template"
            )
        for part in parts.values():
            condition = part.get("Condition")
            if isinstance(condition, str) and condition not in template.conditions:
                raise ValidationError(
                    f"Template format error: Unresolved condition dependency {condition} in the {block} block of the "
                    "template"
                )


def _pseudo(name: str) -> bool:
    return name.startswith("AWS::")
