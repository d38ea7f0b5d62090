"""Which account-connection template: parameters that every step that connects accounts has."""

from typing import Annotated

from pydantic import AfterValidator

from runbook.aws.connection_template import ADDRESS, parse_address
from runbook.parameters import matching

Version = Annotated[str, matching(r"[0-9]+\.[0-9]+\.[0-9]+", "a version such as `2.0.0`")]


def _address(value: str) -> str:
    if value:
        parse_address(value)
    return value


Address = Annotated[str, AfterValidator(_address)]
"""A template's address in S3, or nothing."""


def published_at(version: str) -> str:
    """Where the product publishes a version of the template. Source: outline `stack-sets.template-url`."""
    return ADDRESS.format(version=version)
