"""Parameters in the address of a page: `02-iam-role.ipynb?accounts=["b"]` opens the form with them filled in.

Only Voilà hands the address to the kernel. Nothing happens by opening one: whether changes are made is never in it.
"""

import json
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlencode

from runbook.display.frontend import in_voila
from runbook.parameters import parse_yaml
from runbook.steps.step import Asked

OTHERS = ("environment", "scenario")
"""What an address may hold besides the parameters that a notebook asks for."""


def from_address(asked: type[Asked]) -> dict[str, Any]:
    """The parameters in the address of the page that is being opened; other words in it mean nothing here."""
    if not in_voila():
        return {}
    query = parse_qs(os.environ.get("QUERY_STRING", ""), keep_blank_values=True)
    known = (*OTHERS, *asked.model_fields)
    return {name: _value(values[-1], name) for name, values in query.items() if name in known}


def with_parameters(page: str, values: Mapping[str, Any]) -> str:
    """The address of a page that is opened with these parameters."""
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}
    return f"{page}?{urlencode(texts)}"


def _value(text: str, name: str) -> Any:
    """A list or a mapping is written as YAML has it, as after `-p`."""
    return parse_yaml(text, f"the address: {name}") if text.startswith(("[", "{")) else text
