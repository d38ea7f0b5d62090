"""What notebooks are called where people choose one: the heading of each."""

import json
from typing import Any

from runbook.execute import notebook_names, notebook_path


def titles() -> dict[str, str]:
    """The headings of all notebooks by their names, in the order of the runbook."""
    return {name: _heading(name) for name in notebook_names()}


def _heading(name: str) -> str:
    content: Any = json.loads(notebook_path(name).read_text(encoding="utf-8"))
    first = "".join(content["cells"][0]["source"]) if content["cells"] else ""
    return first.partition("\n")[0].lstrip("# ").strip() or name
