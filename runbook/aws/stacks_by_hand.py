"""Creating, updating and deleting a stack as console steps and AWS CLI commands, for the owner of the account."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

from runbook import markdown
from runbook.aws.change_sets import but_for, commands
from runbook.aws.console import quick_create_url
from runbook.plan import Change
from runbook.untrusted import code, text

LEFTOVER = "AWS::CloudFormation::Stack"
"""What a plan calls the empty stack of a failed attempt, which has to go before the stack is created."""


def instructions(change: Change) -> str:
    """The change as Markdown."""
    if change.after is None:
        return _delete(change)
    values = json.loads(change.after)
    return _create(change, values) if change.before is None else _update(change, values)


def _create(change: Change, values: Mapping[str, Any]) -> str:
    resource, url = change.resource, values.get("TemplateURL", "")
    partition = resource.arn.split(":")[1]
    parts = []
    if any(effect.kind == LEFTOVER for effect in change.effects):
        parts.append(
            "First delete what a failed attempt has left: "
            f"{code(f'aws cloudformation delete-stack {_named(change)}')} and "
            f"{code(f'aws cloudformation wait stack-delete-complete {_named(change)}')}."
        )
    if url:
        link = quick_create_url(partition, resource.region, url, resource.name, values["Parameters"])
        parts.append(
            f"Whoever may create stacks in account {resource.account} follows "
            f"{markdown.link('this link', link)} in a browser that is logged in there, compares what it shows, "
            "acknowledges that IAM resources with custom names might be created › Create stack. Or:"
        )
    parts += [
        *_template_file(values),
        markdown.code_block(
            f"aws cloudformation create-stack {_named(change)} {_arguments(values)}\n"
            f"aws cloudformation wait stack-create-complete {_named(change)}",
            "sh",
        ),
    ]
    return "\n\n".join(parts)


def _update(change: Change, values: Mapping[str, Any]) -> str:
    resource, url = change.resource, values.get("TemplateURL", "")
    source = f"Amazon S3 URL › {code(url)}" if url else "Upload a template file › the one below"
    parameters = "; ".join(f"{text(name)}: {code(value)}" for name, value in values["Parameters"].items())
    return "\n\n".join(
        [
            f"In account {resource.account}, Region {resource.region}: CloudFormation › Stacks › {code(resource.name)} "
            f"› Update › Make a direct update › Replace existing template › {source} › Next. {parameters} › Next › "
            f"Next. Under Change set preview nothing may be removed or replaced{but_for(change)} › Submit. Or:",
            *_template_file(values),
            markdown.code_block(commands(_named(change), "new-template", _arguments(values)), "sh"),
            f"Run the fourth command only if the third shows that nothing is removed or replaced{but_for(change)}.",
        ]
    )


def _delete(change: Change) -> str:
    resource = change.resource
    return "\n\n".join(
        [
            f"In account {resource.account}, Region {resource.region}: CloudFormation › Stacks › {code(resource.name)} "
            "› Delete. Or:",
            markdown.code_block(
                f"aws cloudformation delete-stack {_named(change)}\n"
                f"aws cloudformation wait stack-delete-complete {_named(change)}",
                "sh",
            ),
        ]
    )


def _named(change: Change) -> str:
    return f"--region {change.resource.region} --stack-name {change.resource.name}"


def _arguments(values: Mapping[str, Any]) -> str:
    """Template, parameters and capabilities. Parameters as JSON: commas in values would split the short form."""
    url = values.get("TemplateURL")
    parameters = [{"ParameterKey": name, "ParameterValue": value} for name, value in values["Parameters"].items()]
    source = f"--template-url {shlex.quote(url)}" if url else "--template-body file://template.yaml"
    capabilities = f" --capabilities {' '.join(values['Capabilities'])}" if values["Capabilities"] else ""
    return f"{source} --parameters {shlex.quote(json.dumps(parameters))}{capabilities}"


def _template_file(values: Mapping[str, Any]) -> list[str]:
    """The template to save, where it has no address."""
    if values.get("TemplateURL"):
        return []
    body = markdown.code_block("\n".join(values["Template"]), "yaml")
    return ["With the file `template.yaml`:", markdown.folded("template.yaml", body)]
