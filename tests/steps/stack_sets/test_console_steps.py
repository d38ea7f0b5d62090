"""The page's 24 steps, as the stored notebook has them: fields that the API has, with what the plan really sends."""

import json
import re
from collections.abc import Sequence
from typing import Any

import botocore.session
import nbformat
import pytest
from botocore.model import ServiceModel, Shape
from botocore.validate import validate_parameters

from runbook.execute import notebook_path
from runbook.review.outline import load
from runbook.steps.stack_sets_requests import CONSOLE_STEPS, PlannedCall, planned_calls
from tests.steps.stack_sets.world import Through

STEPS = [entry for entry in load().entries_of("stack-sets") if entry.kind == "step"]


@pytest.fixture(scope="module")
def table() -> list[list[str]]:
    """The rows of the stored table."""
    notebook = nbformat.read(notebook_path("03-stack-sets"), as_version=4)  # type: ignore[no-untyped-call]
    (cell,) = [cell for cell in notebook.cells if cell.id == "steps"]
    lines = str(cell.outputs[0]["data"]["text/markdown"]).splitlines()[2:]
    return [[part.strip() for part in line.strip("|").split(" | ")] for line in lines]


@pytest.fixture(scope="module")
def api() -> ServiceModel:
    return botocore.session.get_session().get_service_model("cloudformation")


def member(shape: Shape, path: Sequence[str]) -> Shape:
    for name in path:
        shape = shape.members[name]  # type: ignore[attr-defined]
    return shape


def sent(calls: Sequence[PlannedCall], operation: str, field: str, name: str) -> Any:
    """What a plan sends under a field; of a parameter, its value."""
    (call,) = [call for call in calls if call.operation == operation]
    value: Any = call.arguments
    for part in field.split("."):
        value = value[part]
    if not name:
        return value
    (found,) = [each["ParameterValue"] for each in value if each["ParameterKey"] == name]
    return found


def test_all_24_steps_are_there_in_the_order_of_the_page(table: list[list[str]]) -> None:
    assert len(STEPS) == len(CONSOLE_STEPS) == len(table) == 24
    for number, (entry, row) in enumerate(zip(STEPS, table, strict=True), start=1):
        assert row[0] == str(number)
        assert row[1].startswith(f"[L{38 + number}](")
        assert row[2] == entry.asks


def test_every_field_is_one_that_the_api_has_and_the_plan_sends(
    table: list[list[str]], api: ServiceModel, procedure: Through
) -> None:
    calls = planned_calls(procedure("organizational-unit").plan().changes)
    fields = 0
    for row in table:
        request, told = row[3], row[4]
        if request == "none":
            assert told, row
            continue
        fields += 1
        found = re.fullmatch(r"`(\w+)` `([\w.]+)`(?: (\w+))?", request)
        assert found, request
        operation, field, name = found[1], found[2], found[3] or ""
        shape = api.operation_model(operation).input_shape
        assert shape
        assert member(shape, field.split(".")).name
        value = sent(calls, operation, field, name)
        text = value if isinstance(value, str) else json.dumps(value)
        shown = f"{len(text.encode()):,} bytes" if "\n" in text else f"`{text}`"
        assert told.startswith(shown), row
    assert fields == 15


def test_every_planned_call_is_one_that_the_api_takes(api: ServiceModel, procedure: Through) -> None:
    plans = [procedure(scenario).plan() for scenario in ("organizational-unit", "newer-version", "removal")]
    calls = [call for plan in plans for call in planned_calls(plan.changes)]
    assert [call.operation for call in calls] == [
        "CreateChangeSet", "ExecuteChangeSet", "CreateStackSet", "CreateStackInstances", "UpdateStackSet",
        "DeleteStackInstances", "DeleteStackSet",
    ]  # fmt: skip
    for call in calls:
        shape = api.operation_model(call.operation).input_shape
        assert shape
        made_up = {"ChangeSetName": "name"} if call.operation.endswith("ChangeSet") else {}
        validate_parameters({**call.arguments, **made_up}, shape)  # raises for what the API does not take


def test_an_existing_stack_set_gets_the_same_by_update(procedure: Through) -> None:
    from runbook.review.console_steps import console_steps

    shown = repr(console_steps(procedure("newer-version").plan()))
    assert "| `UpdateStackSet` `AutoDeployment.Enabled` | `true` |" in shown
    assert "| `CreateStackInstances` `Regions` | not sent: this plan changes nothing here |" in shown
