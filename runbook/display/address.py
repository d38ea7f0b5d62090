"""Parameters in the address of a page: `02-iam-role.ipynb?accounts=["b"]` opens the form with them filled in.

Only Voilà hands the address to the kernel. Anybody can make up a link, so nothing happens by opening one, and what is
in it can only choose among what is one's own: no template from elsewhere, no file, and never whether changes are made.
"""

import json
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlencode

from runbook.display.frontend import in_voila
from runbook.environment import environment_names
from runbook.parameters import ParameterError, parse_yaml, quoted
from runbook.steps.step import Asked

CHOOSING = (
    "accounts",
    "add_ons",
    "allowlist_organization",
    "buckets",
    "key_policy",
    "only_accounts",
    "queues",
    "source_buckets",
    "target_buckets",
    "targets",
)
"""The parameters that an address may hold, besides environment and scenario."""


def from_address(asked: type[Asked]) -> dict[str, Any]:
    """The parameters in the address of the page that is being opened; other words in it mean nothing here."""
    if not in_voila():
        return {}
    query = parse_qs(os.environ.get("QUERY_STRING", ""), keep_blank_values=True)
    known = {"environment", "scenario", *(name for name in CHOOSING if name in asked.model_fields)}
    given = {name: _value(values[-1], name) for name, values in query.items() if name in known}
    if given.get("environment", "sandbox") not in environment_names():
        named = quoted(given["environment"])
        raise ParameterError([f"the address: there is no environment {named} in params/environments."])
    return given


def with_parameters(page: str, values: Mapping[str, Any]) -> str:
    """The address of a page that is opened with these parameters."""
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}
    return f"{page}?{urlencode(texts)}"


def _value(text: str, name: str) -> Any:
    """A list or a mapping is written as YAML has it, as after `-p`."""
    return parse_yaml(text, f"the address: {name}") if text.startswith(("[", "{")) else text
