"""What was chosen, where no form is to be seen: each parameter with its value and what it means."""

from typing import Any

from runbook import markdown
from runbook.steps.step import Asked
from runbook.untrusted import code


def lines(asked: Asked) -> list[str]:
    """`name: value` for each parameter."""
    return [f"{name}: {value}" for name, value, _ in _rows(asked)]


def table(asked: Asked, head: tuple[str, str, str]) -> str:
    """The parameters as a table in Markdown."""
    rows = [(code(name), code(value) if value else "", meaning) for name, value, meaning in _rows(asked)]
    return markdown.table(head, rows)


def _rows(asked: Asked) -> list[tuple[str, str, str]]:
    return [
        (name, _shown(getattr(asked, name)), field.description or "")
        for name, field in type(asked).model_fields.items()
    ]


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name}={each}" for name, each in value.items())
    return ", ".join(str(each) for each in value) if isinstance(value, tuple) else str(value)
