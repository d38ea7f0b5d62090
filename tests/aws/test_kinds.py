"""Kinds of resource: whoever applies or undoes a saved plan knows all of them."""

from pathlib import Path

import runbook.aws


def test_importing_the_package_registers_every_kind() -> None:
    """`runbook undo` imports no step."""
    modules = Path(runbook.aws.__file__).parent.glob("*.py")
    registering = {each.stem for each in modules if "\n@register\n" in each.read_text(encoding="utf-8")}
    assert registering == set(runbook.aws.__all__)
